//! The columns that a chart names, read once, and the rows of a panel as its marks see them.

use super::groups::Groups;
use crate::error::Result;
use crate::sweep::columns::{self, Role};
use crate::table::Table;

/// More points than this are not told apart one by one.
const MOST_NOTES: usize = 20_000;

/// Columns that say which run a point is from.
fn identity() -> impl Iterator<Item = &'static str> {
    let seeds = columns::names(&[Role::Seed]);
    ["lr", "batch", "seed"].into_iter().chain(seeds).chain(["epoch", "run_id"])
}

/// The columns that a chart names.
pub struct Series {
    /// The column of horizontal positions.
    pub(super) x: String,
    /// Whether equal ratios take equal lengths horizontally.
    pub(super) log_x: bool,
    /// The horizontal position of each row.
    pub(super) xs: Vec<f64>,
    /// The vertical position of each row; empty where the chart has no column y.
    pub(super) ys: Vec<f64>,
    /// Which colour each row has.
    pub(super) colors: Groups,
    /// Which marker shape each row has.
    pub(super) markers: Groups,
    /// What each row is, as [`notes`] says.
    pub(super) notes: Vec<String>,
    /// Positions from the smallest to the largest x, at which curves are evaluated.
    pub(super) positions: Vec<f64>,
    /// The values there of the functions that only the chart's caller can evaluate.
    pub(super) functions: Vec<Vec<f64>>,
}

/// What a mark draws from: the rows of one panel.
pub struct PanelRows<'a> {
    pub(super) series: &'a Series,
    /// The rows by the mark's own column; one group where it has none.
    pub(super) groups: &'a Groups,
    /// The panel's rows.
    pub(super) rows: &'a [usize],
    /// Whether the rows' points are drawn.
    pub(super) shows_points: bool,
}

impl Series {
    /// Whether colours and shapes stand for the same.
    pub(super) fn is_one_key(&self) -> bool {
        self.colors.column == self.markers.column
            || self.colors.column.is_none()
            || self.markers.column.is_none()
    }
}

/// What each row is: its run, and the other columns that the chart names. Empty for very long
/// tables.
pub(super) fn notes(table: &Table, used: &[&str], axes: &[&str]) -> Result<Vec<String>> {
    if table.len() > MOST_NOTES {
        return Ok(Vec::new());
    }
    let known = table.columns();
    let mut names: Vec<&str> = identity().filter(|name| known.contains(name)).collect();
    for name in used {
        if !names.contains(name) {
            names.insert(0, name);
        }
    }
    names.retain(|name| !axes.contains(name));
    let mut notes = vec![String::new(); table.len()];
    let mut seeded = vec![false; table.len()];
    for name in names {
        for (row, value) in table.strings(name)?.into_iter().enumerate() {
            // One seed says as much as its streams.
            if value.is_empty() || (name.starts_with("seed_") && seeded[row]) {
                continue;
            }
            seeded[row] |= name == "seed";
            let gap = if notes[row].is_empty() { "" } else { "\n" };
            let value = value.replace(['\n', '\t'], " ");
            notes[row] += &format!("{gap}{name}\t{value}");
        }
    }
    Ok(notes)
}
