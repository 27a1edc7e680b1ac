//! The columns of kelvin's tables. From this list come the tables of epochs, runs and plans, axis
//! labels, grouping keys, completion, help and `docs/columns.md`.
//!
//! A new metric is an entry in `list.rs` and the place that computes it. A new option of a run
//! needs no column: what no column tells is in `data_options` or `options`, so that different runs
//! have different rows.

mod column;
#[cfg(test)]
mod document;
mod list;
mod options;
#[cfg(test)]
pub(crate) mod tests;

pub use column::{Column, Role};
pub(crate) use column::{OVERLAP, Preview, RunRow};

use list::{ADDED, LATER, MEASURED, METRICS, PARAMETERS, PLAN, RUNS, STEADY};

/// Parameters that the runs table had before the epochs table: they keep their places there.
const EARLY_IN_RUNS: [&str; 2] = ["seed_augment", "seed_noise"];

/// The columns of the epochs table, in order; those of measured quantities where a run measures
/// some.
pub fn of_epochs(measuring: bool) -> impl Iterator<Item = &'static Column> {
    let measured = MEASURED.iter().filter(move |_| measuring);
    PARAMETERS.iter().chain(METRICS).chain(ADDED).chain(measured).chain(LATER)
}

/// The columns that the steady state of a run has besides those of its epochs.
pub fn of_steady() -> impl Iterator<Item = &'static Column> {
    STEADY.iter()
}

/// The columns of a plan's table, in order.
pub fn of_plan() -> impl Iterator<Item = &'static Column> {
    between(PLAN.iter().collect())
}

/// The columns of the runs table, in order.
pub fn of_runs() -> impl Iterator<Item = &'static Column> {
    let early = LATER.iter().filter(|column| EARLY_IN_RUNS.contains(&column.name));
    between(early.chain(RUNS).collect())
}

/// A table's own columns after the first parameters and before the later ones, as in the epochs
/// table.
fn between(own: Vec<&'static Column>) -> impl Iterator<Item = &'static Column> {
    let is_new =
        |column: &&Column| column.role.is_planned() && !own.iter().any(|known| known.name == column.name);
    let later: Vec<&Column> = ADDED.iter().chain(LATER).filter(is_new).collect();
    PARAMETERS.iter().chain(own).chain(later)
}

/// The columns of an epochs table with one of these roles, by name.
pub fn names(roles: &[Role]) -> impl Iterator<Item = &'static str> {
    of_epochs(true).filter(|column| roles.contains(&column.role)).map(|column| column.name)
}

/// The column of this name: of the epochs table, the steady state, the runs table or a plan's.
pub fn find(name: &str) -> Option<&'static Column> {
    of_epochs(true).chain(STEADY).chain(RUNS).chain(PLAN).find(|column| column.name == name)
}

/// What a column is called on an axis, one of the list's or any other.
pub fn axis_label(name: &str) -> String {
    find(name).map_or_else(|| name.replace('_', " "), Column::axis_label)
}
