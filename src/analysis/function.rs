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
    /// What it does with options.
    pub doc_with_options: &'static str,
    /// Its options.
    pub options: &'static [Opt],
    /// Calls it.
    pub call: fn(&Table, &Given) -> Result<Analysis>,
}

/// What a function finds.
pub enum Analysis {
    /// A table.
    Table(Table),
    /// A fit of Eq. 1.
    Fit(Box<GapFit>),
}

/// What a function does with [`METRIC`].
pub(super) const FOR_THE_METRIC: &str = "The same for the column `y`.";

/// The column that a function looks at.
pub(super) const METRIC: Opt = Opt::new("y", Kind::Column, DefaultValue::Text("gap"), "the column");

/// The table of rows of named values.
pub(super) fn table_of<const N: usize>(names: [&str; N], rows: Vec<[Cell; N]>) -> Result<Table> {
    let mut columns: Vec<Vec<Cell>> = vec![Vec::with_capacity(rows.len()); N];
    for row in rows {
        columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    Table::from_cells(&names.map(str::to_owned), &columns)
}

#[cfg(test)]
mod tests {
    use super::super::FUNCTIONS;
    use super::*;

    /// A default that is read in another way than its schema says would be a fault of kelvin's own.
    #[test]
    fn every_function_reads_its_options_as_its_schema_says() {
        let columns = ["run_id", "epoch", "temperature", "lr", "batch", "gap", "seed_split"];
        let cells: Vec<Vec<Cell>> = columns.iter().map(|_| vec![Cell::Int(1)]).collect();
        let table = Table::from_cells(&columns.map(str::to_owned), &cells).unwrap();
        for (index, function) in FUNCTIONS.iter().enumerate() {
            assert!(FUNCTIONS[..index].iter().all(|other| other.name != function.name), "{}", function.name);
            let given = Given::read(function.name, function.options, []).unwrap();
            let error = (function.call)(&table, &given).err().unwrap().to_string();
            assert!(!error.contains("kelvin itself failed"), "{}: {error}", function.name);
        }
    }
}
