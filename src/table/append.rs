//! Tables one under the other.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field};

use super::plain::with_rows;
use super::schema::{common, type_name};
use super::{Table, arrow};
use crate::error::{Error, Result};

impl Table {
    /// The rows of both, columns by name: what one lacks is null there; numbers of different types
    /// become ones that hold both.
    pub fn append(&self, other: &Self) -> Result<Self> {
        Self::unite(&[("the table", self), ("the appended one", other)])
    }

    /// The rows of all, columns by name, in the order of first appearance. The texts say in errors
    /// which table is meant.
    pub fn unite(tables: &[(impl AsRef<str>, &Self)]) -> Result<Self> {
        let mut fields: Vec<Field> = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut names = HashSet::new();
        for (_, table) in tables {
            for name in table.columns() {
                crate::interrupt::check()?;
                if names.insert(name) {
                    let kind = united_type(tables, name)?;
                    columns.push(united(tables, name, &kind)?);
                    fields.push(Field::new(name, kind, true));
                }
            }
        }
        let rows = tables.iter().map(|(_, table)| table.len()).sum();
        Ok(Self { batch: with_rows(fields, columns, rows)? })
    }
}

fn found<'a>(
    tables: &'a [(impl AsRef<str>, &Table)],
    name: &str,
) -> impl Iterator<Item = (&'a str, &'a ArrayRef)> + Clone {
    let name = name.to_owned();
    tables.iter().filter_map(move |(label, table)| {
        table.batch.column_by_name(&name).map(|column| (label.as_ref(), column))
    })
}

/// The type that holds a column's values in all tables. Where it holds nulls alone, its type is no
/// obstacle.
fn united_type(tables: &[(impl AsRef<str>, &Table)], name: &str) -> Result<DataType> {
    let has_values = |column: &ArrayRef| column.logical_null_count() < column.len();
    let mut kind = DataType::Null;
    let mut first = "";
    for (label, column) in found(tables, name).filter(|(_, column)| has_values(column)) {
        let own = column.data_type();
        kind = common(&kind, own).ok_or_else(|| {
            Error::invalid(format!(
                "column `{name}` is {} in {first} and {} in {label}; make it one type in both first: derive(\"{name}\", \"cast({name} as …)\")",
                type_name(&kind),
                type_name(own)
            ))
        })?;
        first = label;
    }
    for (_, column) in found(tables, name).filter(|(_, column)| !has_values(column)) {
        kind = common(&kind, column.data_type()).unwrap_or(kind);
    }
    Ok(kind)
}

fn united(tables: &[(impl AsRef<str>, &Table)], name: &str, kind: &DataType) -> Result<ArrayRef> {
    // A value that does not fit is an error, not a null.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let parts = tables
        .iter()
        .map(|(label, table)| match table.batch.column_by_name(name) {
            Some(column) if column.data_type() == kind => Ok(Arc::clone(column)),
            Some(column) if column.logical_null_count() < column.len() => {
                cast_with_options(column, kind, &options).map_err(|error| {
                    Error::invalid(format!("column `{name}` of {}: {error}", label.as_ref()))
                })
            }
            _ => Ok(new_null_array(kind, table.len())),
        })
        .collect::<Result<Vec<_>>>()?;
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    concat(&parts).map_err(arrow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Cell;

    fn table(columns: &[(&str, &[Cell])]) -> Table {
        let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let cells: Vec<Vec<Cell>> = columns.iter().map(|(_, cells)| cells.to_vec()).collect();
        Table::from_cells(&names, &cells).unwrap()
    }

    #[test]
    fn columns_go_by_name_and_what_is_missing_is_null() {
        let a =
            table(&[("x", &[Cell::Int(1), Cell::Int(2)]), ("only_a", &[Cell::Text("t".into()), Cell::Null])]);
        let b = table(&[("only_b", &[Cell::Bool(true)]), ("x", &[Cell::Float(0.5)])]);
        let both = a.append(&b).unwrap();
        assert_eq!(both.columns(), ["x", "only_a", "only_b"]);
        assert_eq!(both.floats("x").unwrap(), [1.0, 2.0, 0.5]);
        assert_eq!(Cell::all(both.column("only_b").unwrap()), [Cell::Null, Cell::Null, Cell::Bool(true)]);
        assert_eq!(Cell::all(both.column("only_a").unwrap())[2], Cell::Null);
        // Two integers stay integers.
        assert_eq!(*a.append(&a).unwrap().column("x").unwrap().data_type(), DataType::Int64);
    }

    #[test]
    fn a_column_of_nulls_takes_the_others_type_and_other_conflicts_are_told() {
        let nulls = table(&[("x", &[Cell::Null])]);
        let text = table(&[("x", &[Cell::Text("a".into())])]);
        let number = table(&[("x", &[Cell::Int(1)])]);
        assert_eq!(nulls.append(&text).unwrap().strings("x").unwrap(), ["", "a"]);
        let null_number = number.filter("x > 5").unwrap();
        assert_eq!(text.append(&null_number).unwrap().strings("x").unwrap(), ["a"]);
        let error = text.append(&number).unwrap_err().to_string();
        assert!(error.contains("column `x` is text in the table and int64 in the appended one"), "{error}");
        assert_eq!(nulls.append(&nulls).unwrap().column("x").unwrap().data_type(), &DataType::Null);
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error() {
        let signed = table(&[("x", &[Cell::Int(-1)])]);
        let large: ArrayRef = Arc::new(::arrow::array::UInt64Array::from(vec![u64::MAX]));
        let large = Table::new(::arrow::array::RecordBatch::try_from_iter([("x", large)]).unwrap());
        assert!(signed.append(&large).unwrap_err().to_string().contains("column `x`"));
    }
}
