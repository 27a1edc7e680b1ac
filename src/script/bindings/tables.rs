//! Tables in scripts.

use std::path::Path;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Map};

use crate::error::{Error, Result};
use crate::script::convert::{Scripted, at, texts};
use crate::table::{Cell, Table};

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<Table>("Table");
}

fn value(cell: Cell) -> Dynamic {
    match cell {
        Cell::Null => Dynamic::UNIT,
        Cell::Bool(value) => value.into(),
        Cell::Int(value) => value.into(),
        Cell::Float(value) => value.into(),
        Cell::Text(value) => value.into(),
    }
}

/// Rows of a script as cells; the columns are the keys in the order of first appearance.
fn rows_of(rows: &Array) -> Result<(Vec<String>, Vec<Vec<Cell>>)> {
    let maps: Vec<Map> = rows
        .iter()
        .map(|row| {
            row.clone().try_cast::<Map>().ok_or_else(|| {
                Error::invalid(format!(
                    "table: expected an array of maps, found a row of {}",
                    row.type_name()
                ))
            })
        })
        .collect::<Result<_>>()?;
    let mut names: Vec<String> = Vec::new();
    for map in &maps {
        for key in map.keys() {
            if !names.iter().any(|name| name == key.as_str()) {
                names.push(key.to_string());
            }
        }
    }
    let cell = |name: &str, map: &Map| -> Result<Cell> {
        let Some(value) = map.get(name).filter(|value| !value.is_unit()) else { return Ok(Cell::Null) };
        Ok(match value.type_name() {
            "bool" => Cell::Bool(value.as_bool().unwrap_or_default()),
            "i64" => Cell::Int(value.as_int().unwrap_or_default()),
            "f64" => Cell::Float(value.as_float().unwrap_or_default()),
            "string" => Cell::Text(value.to_string()),
            kind => {
                return Err(Error::invalid(format!(
                    "table: column `{name}` holds a {kind}, expected numbers, text, true or false"
                )));
            }
        })
    };
    let columns = names
        .iter()
        .map(|name| maps.iter().map(|map| cell(name, map)).collect::<Result<Vec<_>>>())
        .collect::<Result<Vec<_>>>()?;
    Ok((names, columns))
}

#[export_module]
pub mod functions {
    /// Reads Parquet: a file, a folder with all its files, or a glob. Folders named key=value become
    /// columns.
    #[rhai_fn(return_raw)]
    pub fn parquet(context: NativeCallContext, path: &str) -> Scripted<Table> {
        Table::read_parquet_files(path).map_err(|error| at(&context, error))
    }

    /// A table from an array of maps, one per row.
    #[rhai_fn(return_raw)]
    pub fn table(context: NativeCallContext, rows: Array) -> Scripted<Table> {
        rows_of(&rows)
            .and_then(|(names, columns)| Table::from_cells(&names, &columns))
            .map_err(|error| at(&context, error))
    }

    /// How many rows.
    #[rhai_fn(get = "len", pure)]
    pub fn table_len(table: &mut Table) -> i64 {
        table.len() as i64
    }

    /// The names of the columns.
    #[rhai_fn(get = "columns", pure)]
    pub fn columns(table: &mut Table) -> Array {
        table.columns().into_iter().map(|name| Dynamic::from(name.to_owned())).collect()
    }

    /// Runs a SQL query; the table's name is t: `runs.sql("select lr, avg(gap) from t group by lr")`.
    #[rhai_fn(return_raw, pure)]
    pub fn sql(context: NativeCallContext, table: &mut Table, query: &str) -> Scripted<Table> {
        table.sql(query).map_err(|error| at(&context, error))
    }

    /// The rows where a condition holds: `runs.filter("batch = 32 and epoch > 10")`.
    #[rhai_fn(return_raw, pure)]
    pub fn filter(context: NativeCallContext, table: &mut Table, condition: &str) -> Scripted<Table> {
        table.filter(condition).map_err(|error| at(&context, error))
    }

    /// These expressions as columns: `runs.select(["lr", "gap * 100 as percent"])`.
    #[rhai_fn(return_raw, pure)]
    pub fn select(context: NativeCallContext, table: &mut Table, expressions: Dynamic) -> Scripted<Table> {
        texts("select", &expressions)
            .and_then(|expressions| table.select(&expressions))
            .map_err(|error| at(&context, error))
    }

    /// One more column, or another one under its name: `runs.derive("log_t", "ln(temperature)")`.
    #[rhai_fn(return_raw, pure)]
    pub fn derive(
        context: NativeCallContext,
        table: &mut Table,
        name: &str,
        expression: &str,
    ) -> Scripted<Table> {
        table.derive(name, expression).map_err(|error| at(&context, error))
    }

    /// A row per combination of the keys: `runs.group(["lr"], ["avg(gap) as gap", "count(*) as n"])`.
    #[rhai_fn(return_raw, pure)]
    pub fn group(
        context: NativeCallContext,
        table: &mut Table,
        keys: Dynamic,
        aggregates: Dynamic,
    ) -> Scripted<Table> {
        texts("group", &keys)
            .and_then(|keys| table.group(&keys, &texts("group", &aggregates)?))
            .map_err(|error| at(&context, error))
    }

    /// The rows in the order of these expressions: `runs.sort(["batch", "lr desc"])`.
    #[rhai_fn(return_raw, pure)]
    pub fn sort(context: NativeCallContext, table: &mut Table, keys: Dynamic) -> Scripted<Table> {
        texts("sort", &keys).and_then(|keys| table.sort(&keys)).map_err(|error| at(&context, error))
    }

    /// Rows of both tables that agree in these columns: `a.join(b, ["run_id"])`.
    #[rhai_fn(return_raw, pure)]
    pub fn join(context: NativeCallContext, table: &mut Table, other: Table, on: Dynamic) -> Scripted<Table> {
        texts("join", &on).and_then(|on| table.join(&other, &on)).map_err(|error| at(&context, error))
    }

    /// The first `n` rows.
    #[rhai_fn(pure)]
    pub fn head(table: &mut Table, n: i64) -> Table {
        table.head(n.max(0) as usize)
    }

    /// The first 10 rows.
    #[rhai_fn(name = "head", pure)]
    pub fn head_ten(table: &mut Table) -> Table {
        table.head(10)
    }

    /// A row per column of numbers: count, nulls, mean, standard deviation, quartiles.
    #[rhai_fn(return_raw, pure)]
    pub fn describe(context: NativeCallContext, table: &mut Table) -> Scripted<Table> {
        table.describe().map_err(|error| at(&context, error))
    }

    /// A column as an array.
    #[rhai_fn(return_raw, pure)]
    pub fn column(context: NativeCallContext, table: &mut Table, name: &str) -> Scripted<Array> {
        let column = table.column(name).map_err(|error| at(&context, error))?;
        Ok((0..table.len()).map(|row| value(Cell::of(column, row))).collect())
    }

    /// The rows as an array of maps.
    #[rhai_fn(pure)]
    pub fn rows(table: &mut Table) -> Array {
        let names = table.columns();
        let row = |row: usize| -> Map {
            names
                .iter()
                .zip(table.batch().columns())
                .map(|(name, column)| ((*name).into(), value(Cell::of(column, row))))
                .collect()
        };
        (0..table.len()).map(|index| Dynamic::from(row(index))).collect()
    }

    /// Writes a file; its ending says which kind: .parquet, .csv or .json.
    #[rhai_fn(return_raw, pure)]
    pub fn write(context: NativeCallContext, table: &mut Table, path: &str) -> Scripted<()> {
        table.write(Path::new(path)).map_err(|error| at(&context, error))
    }

    /// The table as text: types, the first and last rows.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn table_to_string(table: &mut Table) -> String {
        table.render(crate::script::width())
    }
}
