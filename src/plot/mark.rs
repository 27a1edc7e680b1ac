//! What a kind of mark says of itself, and what a mark has to do.

use std::fmt::Debug;
use std::sync::Arc;

use super::figure::Panel;
use super::series::PanelRows;
use crate::analysis::GapFit;
use crate::error::Result;
use crate::options::{Given, Opt};

/// Something that a chart draws of its rows, besides their points.
pub trait Mark: Debug + Send + Sync {
    /// Its kind.
    fn kind(&self) -> &'static MarkKind;

    /// The column whose values it tells apart.
    fn column(&self) -> Option<&str> {
        None
    }

    /// Whether points take the colours of that column where the chart names no other.
    fn colors_points(&self) -> bool {
        false
    }

    /// Adds the points, lines and legend entries that it makes of a panel's rows.
    fn draw(&self, view: &PanelRows, panel: &mut Panel);
}

/// A kind of mark: the entry of its file in [`MARKS`](super::MARKS).
#[derive(Debug)]
pub struct MarkKind {
    /// The method that adds one to a plot.
    pub method: &'static str,
    /// The ways to call it.
    pub forms: &'static [(MarkForm, &'static str)],
    /// A script that runs; empty where another kind of the same method has one.
    pub example: &'static str,
    /// Where its vertical positions come from.
    pub vertical: Vertical,
    /// Whether a second one is drawn, too; otherwise it takes the place of the first.
    pub repeats: bool,
}

/// What a method that adds a mark takes, and what makes the mark of it.
#[derive(Clone, Copy, Debug)]
pub enum MarkForm {
    /// Nothing.
    Plain(fn() -> Arc<dyn Mark>),
    /// The name of a column.
    Column(fn(String) -> Arc<dyn Mark>),
    /// A map of options.
    Options(&'static [Opt], fn(&Given) -> Result<Arc<dyn Mark>>),
    /// A fit.
    Fit(fn(GapFit) -> Arc<dyn Mark>),
    /// A fit and the legend's text.
    LabelledFit(fn(GapFit, String) -> Arc<dyn Mark>),
    /// A function of x, by its number among those that [`Chart::figure`](super::Chart::figure) is
    /// given.
    Function(fn(usize) -> Arc<dyn Mark>),
    /// The same, and the legend's text.
    LabelledFunction(fn(usize, String) -> Arc<dyn Mark>),
}

/// Where the vertical positions of a mark come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vertical {
    /// From the chart's column y.
    Column,
    /// From x, on any vertical axis.
    Any,
    /// It makes them, and the axis has this text; the chart has no column y.
    Own(&'static str),
}

impl MarkKind {
    /// The options of its method; none where it takes no map of them.
    pub fn options(&self) -> &'static [Opt] {
        let options = self.forms.iter().find_map(|(form, _)| match form {
            MarkForm::Options(options, _) => Some(*options),
            _ => None,
        });
        options.unwrap_or_default()
    }
}
