//! What scripts are told of a function of `lab`: name, meaning, example, options, and the call.

use std::borrow::Cow;

use super::Problem;
use super::estimate::Estimate;
use crate::error::Result;
use crate::options::{DefaultValue, Given, Kind, Opt};
use crate::table::Cell;

/// A function of a problem: `lab::gap(problem, #{temperature: 0.1})`.
#[derive(Clone, Copy)]
pub struct LabFunction {
    /// Its name: `lab::gap`.
    pub name: &'static str,
    /// The type that scripts get, as help names it.
    pub returns: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// A script that runs.
    pub example: &'static str,
    /// Its options. Those that may be axes are called with one value each time.
    pub options: &'static [Opt],
    /// Calls it.
    pub call: fn(&Problem, &Given) -> Result<LabValue>,
}

/// What a function of `lab` finds.
pub enum LabValue {
    /// Rows of a table.
    Table(Vec<LabRow>),
    /// Numbers, or a row for each parameter: a table only where an option is an axis.
    Numbers(Vec<LabRow>),
    /// Named values, and a table by the name `table`.
    WithTable(LabRow, Vec<LabRow>),
}

/// A row: names and values.
pub type LabRow = Vec<(Cow<'static, str>, Cell)>;

/// The option `seed`.
pub(super) const SEED: Opt =
    Opt::new("seed", Kind::INTEGER, DefaultValue::Integer(1), "what decides all draws");

/// A named number of a row.
pub(super) fn named(name: impl Into<Cow<'static, str>>, value: f64) -> (Cow<'static, str>, Cell) {
    (name.into(), Cell::number(value))
}

/// An estimate with its standard error.
pub(super) fn with_error(name: &'static str, Estimate { value, error }: Estimate) -> LabRow {
    vec![named(name, value), named(format!("{name}_error"), error)]
}

/// Rows of columns of one length.
pub(super) fn rows_of<N: Into<Cow<'static, str>> + Clone>(
    columns: Vec<(N, Vec<f64>)>,
    cell: fn(f64) -> Cell,
) -> Vec<LabRow> {
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    let row =
        |row: usize| columns.iter().map(|(name, values)| (name.clone().into(), cell(values[row]))).collect();
    (0..rows).map(row).collect()
}
