//! The points of the rows, which every plot with a column y has unless they are left out.

use crate::plot::figure::{Key, KeySample, Panel, Points, Tint};
use crate::plot::series::PanelRows;

/// Adds the points, and what colours and shapes stand for where their own labels do not say it.
pub fn draw(view: &PanelRows, panel: &mut Panel) {
    panel.points.extend(groups(view, false));
    let series = view.series;
    if series.is_one_key() {
        return;
    }
    let mut add = |sample: KeySample, label: Option<String>| {
        panel.keys.extend(label.map(|label| Key { sample, label }));
    };
    for (color, _) in series.colors.split(view.rows) {
        add(KeySample::Color(series.colors.tint(color)), series.colors.label(color));
    }
    for (marker, _) in series.markers.split(view.rows) {
        add(KeySample::Point(Tint::Ink, marker), series.markers.label(marker));
    }
}

/// A group of points for each colour and shape; hidden ones are places that can be pointed at.
pub fn groups(view: &PanelRows, hidden: bool) -> Vec<Points> {
    let series = view.series;
    let pick = |values: &[f64], rows: &[usize]| rows.iter().map(|&row| values[row]).collect();
    let mut groups = Vec::new();
    for (color, rows) in series.colors.split(view.rows) {
        for (marker, rows) in series.markers.split(&rows) {
            let label = match series.is_one_key() && !hidden {
                true => series.colors.label(color).or_else(|| series.markers.label(marker)),
                false => None,
            };
            groups.push(Points {
                label: label.unwrap_or_default(),
                xs: pick(&series.xs, &rows),
                ys: pick(&series.ys, &rows),
                color: series.colors.tint(color),
                marker,
                notes: match series.notes.is_empty() {
                    true => Vec::new(),
                    false => rows.iter().map(|&row| series.notes[row].clone()).collect(),
                },
                hidden,
            });
        }
    }
    groups
}
