//! The mean at each position.

use std::sync::Arc;

use crate::plot::figure::{Line, LineStyle, Panel};
use crate::plot::mark::{Mark, MarkForm, MarkKind, Vertical};
use crate::plot::series::{PanelRows, Series};

/// The entry of this kind.
pub static ENTRY: MarkKind = MarkKind {
    method: "mean",
    forms: &[(MarkForm::Plain(|| Arc::new(MeanMark)), "Draws the mean at each position.")],
    example: r#"
let steady = table(#{
    temperature: [1e-3, 1e-3, 2e-3, 2e-3, 4e-3, 4e-3], seed: [1, 2, 1, 2, 1, 2],
    gap: [0.24, 0.26, 0.2, 0.19, 0.16, 0.17],
});
plot(steady).x("temperature").y("gap").mean().save("results/demo.svg")"#,
    vertical: Vertical::Column,
    repeats: false,
};

/// The mean of all rows.
#[derive(Debug)]
pub struct MeanMark;

impl Mark for MeanMark {
    fn kind(&self) -> &'static MarkKind {
        &ENTRY
    }

    fn draw(&self, view: &PanelRows, panel: &mut Panel) {
        panel.lines.push(line(view.series, view.rows, "mean".to_owned(), LineStyle::Mean));
    }
}

/// The mean of y at each x of these rows; positions that differ by rounding alone are one.
pub fn line(series: &Series, rows: &[usize], label: String, style: LineStyle) -> Line {
    let mut sorted: Vec<(f64, f64)> = rows
        .iter()
        .map(|&row| (series.xs[row], series.ys[row]))
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let same = |a: &(f64, f64), b: &(f64, f64)| (a.0 - b.0).abs() <= 1e-9 * a.0.abs();
    let (xs, ys) = sorted
        .chunk_by(same)
        .map(|group| (group[0].0, group.iter().map(|(_, y)| y).sum::<f64>() / group.len() as f64))
        .unzip();
    Line { label, xs, ys, style }
}
