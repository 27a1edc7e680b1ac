//! A thin line for each value of a column.

use std::sync::Arc;

use super::points;
use crate::plot::figure::{Key, KeySample, Line, LineStyle, Panel};
use crate::plot::mark::{Mark, MarkForm, MarkKind, Vertical};
use crate::plot::series::PanelRows;

/// The entry of this kind.
pub static ENTRY: MarkKind = MarkKind {
    method: "lines",
    forms: &[(
        MarkForm::Column(|column| Arc::new(LinesMark { column })),
        "Draws a thin line for each value of a column through its points, in the order of x: lines(\"run_id\").",
    )],
    example: r#"
let runs = sweep(#{
    data: digits().take(200), model: linear(), lr: [0.05, 0.1, 0.2], batch: 20, epochs: 3,
}).run("results/demo");
plot(runs).x("epoch").y("test_loss").lines("run_id").color("lr").save("results/demo.svg")"#,
    vertical: Vertical::Column,
    repeats: false,
};

/// Lines through the points of each value of a column.
#[derive(Debug)]
pub struct LinesMark {
    /// The column.
    pub column: String,
}

impl Mark for LinesMark {
    fn kind(&self) -> &'static MarkKind {
        &ENTRY
    }

    fn column(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn colors_points(&self) -> bool {
        true
    }

    fn draw(&self, view: &PanelRows, panel: &mut Panel) {
        let (series, lines) = (view.series, view.groups);
        let line = |(group, rows): (usize, Vec<usize>)| {
            let mut rows = rows;
            rows.sort_by(|&a, &b| series.xs[a].total_cmp(&series.xs[b]));
            // A line whose points share a colour has it, too.
            let color = series.colors.of_row[rows[0]];
            let shared = rows.iter().all(|&row| series.colors.of_row[row] == color);
            let own = !shared || series.colors.column.is_none();
            Line {
                label: String::new(),
                xs: rows.iter().map(|&row| series.xs[row]).collect(),
                ys: rows.iter().map(|&row| series.ys[row]).collect(),
                style: LineStyle::Thin(if own { lines.tint(group) } else { series.colors.tint(color) }),
            }
        };
        panel.lines.extend(lines.split(view.rows).into_iter().map(line));
        if view.shows_points {
            return;
        }
        // Lines without points can still be pointed at, and say themselves what colours mean.
        panel.points.extend(points::groups(view, true));
        for (color, _) in series.colors.split(view.rows) {
            let sample = KeySample::Line(LineStyle::Thin(series.colors.tint(color)));
            panel.keys.extend(series.colors.label(color).map(|label| Key { sample, label }));
        }
    }
}
