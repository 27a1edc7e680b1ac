//! A mean at each position for each value of a column.

use std::sync::Arc;

use super::mean;
use crate::plot::figure::{Key, KeySample, LineStyle, Panel, Tint};
use crate::plot::mark::{Mark, MarkForm, MarkKind, Vertical};
use crate::plot::series::PanelRows;

/// The entry of this kind.
pub static ENTRY: MarkKind = MarkKind {
    method: "mean",
    forms: &[(
        MarkForm::Column(|column| Arc::new(GroupMeansMark { column })),
        "Draws a mean for each value of a column, in its colour: mean(\"batch\").",
    )],
    example: "",
    vertical: Vertical::Column,
    repeats: false,
};

/// The mean of each value of a column.
#[derive(Debug)]
pub struct GroupMeansMark {
    /// The column.
    pub column: String,
}

impl Mark for GroupMeansMark {
    fn kind(&self) -> &'static MarkKind {
        &ENTRY
    }

    fn column(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn draw(&self, view: &PanelRows, panel: &mut Panel) {
        let (series, means) = (view.series, view.groups);
        // Then the legend names these groups' colours already.
        let named = means.column == series.colors.column;
        if named || means.are_many() {
            let label = format!("mean of each {}", self.column.replace('_', " "));
            panel.keys.push(Key { sample: KeySample::Line(LineStyle::GroupMean(Tint::Ink)), label });
        }
        for (group, rows) in means.split(view.rows) {
            let label = means.label(group).filter(|_| !named).map(|label| format!("mean, {label}"));
            let style = LineStyle::GroupMean(means.tint(group));
            panel.lines.push(mean::line(series, &rows, label.unwrap_or_default(), style));
        }
    }
}
