//! What scripts are told of an analysis function: name, meaning, example, options, and the call.

use super::fit::GapFit;
use crate::error::Result;
use crate::options::{DefaultValue, Given, Kind, Opt};
use crate::table::{Cell, Table};

/// A function of a table: `steady(epochs)`, or with options `steady(epochs, #{last: 100})`.
#[derive(Clone, Copy)]
pub struct TableFunction {
    /// Its name.
    pub name: &'static str,
    /// What its table is called.
    pub table: &'static str,
    /// The type that scripts get, as help names it.
    pub returns: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// A script that runs.
    pub example: &'static str,
    /// Its options.
    pub options: &'static [Opt],
    /// Calls it.
    pub call: fn(&Table, &Given) -> Result<Estimates>,
}

/// What a function finds.
pub enum Estimates {
    /// A table.
    Table(Table),
    /// A fit of Eq. 1.
    Fit(Box<GapFit>),
}

/// The column that a function looks at.
pub(super) const METRIC: Opt = Opt::new("y", Kind::Column, DefaultValue::Text("gap"), "the column");

/// The table of rows of named values.
pub(super) fn table_of<const N: usize>(names: [&str; N], rows: Vec<[Cell; N]>) -> Result<Estimates> {
    let mut columns: Vec<Vec<Cell>> = vec![Vec::with_capacity(rows.len()); N];
    for row in rows {
        columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    Table::from_cells(&names.map(str::to_owned), &columns).map(Estimates::Table)
}
