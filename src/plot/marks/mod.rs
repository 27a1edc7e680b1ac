//! The kinds of marks, one file each: what a plot can draw of a table's rows.
//!
//! A kind is a file with an `ENTRY` and a line of [`MARKS`]. Scripts, help and completion read the
//! entry; drawing knows only the points, lines and legend entries that its mark adds to a panel.

mod curve;
mod group_means;
mod histogram;
mod lines;
mod mean;
pub(super) mod points;

use super::mark::MarkKind;

/// Every kind, in the order in which marks are drawn and stand in the legend.
pub static MARKS: &[&MarkKind] =
    &[&histogram::ENTRY, &curve::ENTRY, &lines::ENTRY, &group_means::ENTRY, &mean::ENTRY];

#[cfg(test)]
pub(super) use {group_means::GroupMeansMark, lines::LinesMark, mean::MeanMark};
