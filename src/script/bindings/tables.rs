//! Tables in scripts.

use std::collections::HashSet;

use arrow::array::{Array as _, ArrayRef};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map};

use crate::error::{Error, Result};
use crate::script::convert::{self, Scripted, at, count, given, handle, texts, write_to};
use crate::table::{Cell, How, JOIN_OPTIONS, JoinOptions, Table};

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

/// Values that a call turns into those of a script, or of a table, at most.
const MOST: usize = 100_000_000;

/// Rows that a call turns into maps, at most.
const MOST_MAPS: usize = 10_000_000;

/// Rows between two looks at the interrupt flag.
const TOGETHER: usize = 1 << 14;

/// Of the values of a column, so many that the next ones are looked at together.
fn parts(column: &ArrayRef) -> impl Iterator<Item = Result<Vec<Cell>>> {
    (0..column.len()).step_by(TOGETHER).map(|start| {
        crate::interrupt::check()?;
        Ok(Cell::all(&column.slice(start, TOGETHER.min(column.len() - start))))
    })
}

/// A column as an array.
fn values(name: &str, column: &ArrayRef) -> Result<Array> {
    if column.len() > MOST {
        let rows = column.len();
        return Err(Error::invalid(format!(
            "column `{name}`: {rows} values, of which an array may hold {MOST}; filter or group before"
        )));
    }
    let mut array = Array::new();
    for cells in parts(column) {
        array.extend(cells?.into_iter().map(value));
    }
    Ok(array)
}

/// Whether these are a column's values.
fn holds(column: &ArrayRef, array: &Array) -> Result<bool> {
    if column.len() != array.len() {
        return Ok(false);
    }
    for (cells, values) in parts(column).zip(array.chunks(TOGETHER)) {
        let same = |(cell, other): (Cell, &Dynamic)| format!("{:?}", value(cell)) == format!("{other:?}");
        if !cells?.into_iter().zip(values).all(same) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Rows of a script as cells; the columns are the keys in the order of first appearance.
fn rows_of(rows: &Array) -> Result<(Vec<String>, Vec<Vec<Cell>>)> {
    let mut maps = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut known = HashSet::new();
    for (index, row) in rows.iter().enumerate() {
        crate::interrupt::check_at(index)?;
        let map = row.as_map_ref().map_err(|_| {
            let found = convert::describe(row);
            Error::invalid(format!("table: expected an array of maps, found in it {found}"))
        })?;
        for key in map.keys() {
            if !known.contains(key.as_str()) {
                known.insert(key.to_string());
                names.push(key.to_string());
            }
        }
        maps.push(map);
    }
    if names.len().saturating_mul(maps.len()) > MOST {
        return Err(Error::invalid(format!(
            "table: {} rows with {} different keys make {} values, expected at most {MOST}",
            maps.len(),
            names.len(),
            names.len() * maps.len()
        )));
    }
    let of_row = |name: &str, index: usize, map: &Map| {
        crate::interrupt::check_at(index)?;
        map.get(name).map_or(Ok(Cell::Null), |value| cell(name, value))
    };
    let columns = names
        .iter()
        .map(|name| maps.iter().enumerate().map(|(index, map)| of_row(name, index, map)))
        .map(Iterator::collect)
        .collect::<Result<Vec<_>>>()?;
    Ok((names, columns))
}

/// Columns of a script, arrays of one length by their names, as cells.
fn columns_of(map: &Map) -> Result<(Vec<String>, Vec<Vec<Cell>>)> {
    let mut columns = Vec::new();
    for (name, values) in map {
        let values: Array = handle(&format!("table: column `{name}`"), "an array of values", values)?;
        let of_row = |(index, value)| crate::interrupt::check_at(index).and_then(|()| cell(name, value));
        columns.push(values.iter().enumerate().map(of_row).collect::<Result<Vec<_>>>()?);
    }
    let lengths: Vec<String> = columns.iter().map(|column| column.len().to_string()).collect();
    if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(Error::invalid(format!(
            "table: expected columns of one length, found {}",
            lengths.join(", ")
        )));
    }
    Ok((map.keys().map(ToString::to_string).collect(), columns))
}

fn cell(name: &str, value: &Dynamic) -> Result<Cell> {
    Ok(match value.type_name() {
        "()" => Cell::Null,
        "bool" => Cell::Bool(value.as_bool().unwrap_or_default()),
        "i64" => Cell::Int(value.as_int().unwrap_or_default()),
        "f64" => Cell::Float(value.as_float().unwrap_or_default()),
        "string" => Cell::Text(value.to_string()),
        _ => {
            return Err(Error::invalid(format!(
                "table: column `{name}` holds {}, expected numbers, text, true or false",
                convert::describe(value)
            )));
        }
    })
}

/// The options of a join.
fn join_options(options: &Map) -> Result<JoinOptions> {
    let given = given("join", JOIN_OPTIONS, options)?;
    Ok(JoinOptions {
        on: given.texts("on")?,
        how: given.choice("how", &How::ALL)?,
        suffix: given.text("suffix")?,
    })
}

/// The rows as maps.
fn maps_of(table: &Table) -> Result<Array> {
    let (rows, columns) = (table.len(), table.columns().len());
    if rows > MOST_MAPS || rows.saturating_mul(columns) > MOST {
        return Err(Error::invalid(format!(
            "rows: {rows} rows of {columns} columns, expected at most {MOST_MAPS} rows and {MOST} values as maps; filter, group \
             or .head(n) before, or take a column: t.column(\"{}\")",
            table.columns().first().unwrap_or(&"x")
        )));
    }
    let mut maps = vec![Map::new(); rows];
    for (name, column) in table.columns().into_iter().zip(table.batch().columns()) {
        for (maps, cells) in maps.chunks_mut(TOGETHER).zip(parts(column)) {
            for (map, cell) in maps.iter_mut().zip(cells?) {
                map.insert(name.into(), value(cell));
            }
        }
    }
    Ok(maps.into_iter().map(Dynamic::from).collect())
}

/// A row as a map; a negative number counts from the end.
pub(super) fn row_of(table: &Table, row: i64) -> Result<Map> {
    let len = table.len() as i64;
    let index = if row < 0 { row + len } else { row };
    if !(0..len).contains(&index) {
        return Err(Error::invalid(format!("row {row}: the table has {len} rows")));
    }
    let cells = table.batch().columns().iter().map(|column| value(Cell::of(column, index as usize)));
    Ok(table.columns().into_iter().map(Into::into).zip(cells).collect())
}

#[export_module]
pub mod functions {
    /// Reads Parquet: a file, a folder with all its files, or a glob. Columns go by name, and what
    /// a file lacks is null there. Folders named key=value become columns: numbers where all values
    /// are written as numbers (01001 is text), else text (`sweep` is always text), null for
    /// __HIVE_DEFAULT_PARTITION__. Names that begin with `_` or `.` are left out. Of a sweep's
    /// folder the metrics are read. Categories and enumerations become text, times with a zone UTC.
    ///
    /// ```
    /// table(#{ lr: [0.05, 0.1], gap: [0.24, 0.2] }).write("results/demo.parquet");
    /// parquet("results/demo.parquet")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parquet(context: NativeCallContext, path: &str) -> Scripted<Table> {
        Table::read_parquet_files(&crate::script::convert::path(path)).map_err(|error| at(&context, error))
    }

    /// A table from an array of maps, one per row; the columns of a row come sorted by name. What a
    /// row lacks and `()` are null; integers and floats in one column are floats.
    ///
    /// ```
    /// table([#{ lr: 0.05, batch: 32, gap: 0.24 }, #{ lr: 0.1, batch: 32, gap: () }])
    /// ```
    #[rhai_fn(return_raw)]
    pub fn table(context: NativeCallContext, rows: Array) -> Scripted<Table> {
        rows_of(&rows)
            .and_then(|(names, columns)| Table::from_cells(&names, &columns))
            .map_err(|error| at(&context, error))
    }

    /// A table from a map of columns, arrays of one length: `table(#{ lr: [0.1, 0.2], gap: [0.5,
    /// ()] })`. The columns come sorted by name; `()` is null.
    #[rhai_fn(name = "table", return_raw)]
    pub fn table_of_columns(context: NativeCallContext, columns: Map) -> Scripted<Table> {
        columns_of(&columns)
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

    /// Runs a SQL query; the table's name is t: `runs.sql("select lr, avg(gap) from t group by
    /// lr")`. Names are case-sensitive, and those with spaces, capitals or SQL's words go in double
    /// quotes, texts in single ones. `/` divides integers as floats (`7 / 2` is 3.5) and `//` as
    /// integers, towards 0 as in DuckDB (`-7 // 2` is -3). `x ^ 2` and `x ** 2` are powers, floats,
    /// and bind tighter than a sign: `-x ^ 2` is -(x ^ 2). Integers that leave their range are an
    /// error, and so are two columns of one name. A null is a missing value: aggregates leave it
    /// out, comparisons with it hold nowhere, it sorts last. A NaN is a value: equal to itself,
    /// greater than every number, and a mean with it is NaN. A column without a name of its own is
    /// called as it is written.
    ///
    /// ```
    /// let runs = table(#{ lr: [0.05, 0.05, 0.1, 0.1], seed: [1, 2, 1, 2], gap: [0.24, 0.26, 0.2, 0.19] });
    /// runs.sql("select lr, avg(gap) as gap, count(*) as n from t group by lr order by lr")
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn sql(context: NativeCallContext, table: &mut Table, query: &str) -> Scripted<Table> {
        table.sql(query).map_err(|error| at(&context, error))
    }

    /// Runs a SQL query over this table as t and others by their names: `runs.sql("select … from t
    /// join costs using (lr)", #{ costs: costs })`.
    #[rhai_fn(name = "sql", return_raw, pure)]
    pub fn sql_with(
        context: NativeCallContext,
        table: &mut Table,
        query: &str,
        others: Map,
    ) -> Scripted<Table> {
        let run = || {
            let others = others
                .iter()
                .map(|(name, other)| Ok((name.as_str(), handle::<Table>(name, "a table", other)?)))
                .collect::<Result<Vec<_>>>()?;
            let all: Vec<(&str, &Table)> = std::iter::once(("t", &*table))
                .chain(others.iter().map(|(name, other)| (*name, other)))
                .collect();
            Table::query(&all, query)
        };
        run().map_err(|error| at(&context, error))
    }

    /// The rows where a condition holds: `runs.filter("batch = 32 and epoch > 10")`. Where it is
    /// null, it does not hold: `gap > 0` leaves out rows without a gap, `gap is null` finds them.
    /// `=` and `==`, `and` and `&&` are the same; `or` and `not` are words.
    ///
    /// ```
    /// let runs = table(#{ batch: [16, 32, 32], lr: [0.1, 0.1, 0.2], gap: [0.13, 0.2, 0.16] });
    /// runs.filter("batch = 32 and lr > 0.1")
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn filter(context: NativeCallContext, table: &mut Table, condition: &str) -> Scripted<Table> {
        table.filter(condition).map_err(|error| at(&context, error))
    }

    /// These expressions as columns: `runs.select(["lr", "gap * 100 as percent"])`. An expression
    /// without `as` is called as it is written; a text that is a column's name means this column,
    /// whatever is in it; two columns of one name are an error.
    ///
    /// ```
    /// let runs = table(#{ lr: [0.05, 0.1], batch: [32, 32], gap: [0.24, 0.2] });
    /// runs.select(["lr", "gap * 100 as percent"])
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn select(context: NativeCallContext, table: &mut Table, expressions: Dynamic) -> Scripted<Table> {
        texts("select", &expressions)
            .and_then(|expressions| table.select(&expressions))
            .map_err(|error| at(&context, error))
    }

    /// One more column at the end, or another one in the place of its name.
    ///
    /// ```
    /// let runs = table(#{ temperature: [1.5e-3, 6.25e-3], gap: [0.24, 0.16] });
    /// runs.derive("log_t", "ln(temperature)")
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn derive(
        context: NativeCallContext,
        table: &mut Table,
        name: &str,
        expression: &str,
    ) -> Scripted<Table> {
        table.derive(name, expression).map_err(|error| at(&context, error))
    }

    /// A row per combination of the keys, sorted by them: `runs.group(["lr"], ["avg(gap) as gap",
    /// "count(*) as n"])`. Nulls in a key form a group of their own, the last; aggregates leave
    /// nulls out (`count(*)` counts rows, `count(gap)` values). stddev and var divide by n - 1 and
    /// are null for one value. Without keys, `[]`, one row for all.
    ///
    /// ```
    /// let runs = table(#{ lr: [0.05, 0.05, 0.1, 0.1], seed: [1, 2, 1, 2], gap: [0.24, 0.26, 0.2, 0.19] });
    /// runs.group("lr", ["avg(gap) as gap", "stddev(gap) as spread", "count(*) as n"])
    /// ```
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

    /// The rows in the order of these expressions: `runs.sort(["batch", "lr desc"])`. Nulls are
    /// last in both directions, unless `nulls first` is written; equal rows stay in their order.
    ///
    /// ```
    /// let runs = table(#{ lr: [0.05, 0.1, 0.2], batch: [32, 16, 32], gap: [0.24, 0.13, 0.16] });
    /// runs.sort(["batch", "lr desc"])
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn sort(context: NativeCallContext, table: &mut Table, keys: Dynamic) -> Scripted<Table> {
        texts("sort", &keys).and_then(|keys| table.sort(&keys)).map_err(|error| at(&context, error))
    }

    /// Rows of both tables that agree in these columns, in the order of the first table's:
    /// `a.join(b, ["run_id"])`. Other columns that both have get `_right` at the second one's name.
    /// A null key agrees with nothing, as in SQL.
    ///
    /// ```
    /// let runs = table(#{ run_id: ["r1", "r2"], gap: [0.24, 0.2] });
    /// let costs = table(#{ run_id: ["r1", "r2"], seconds: [61.5, 58.2] });
    /// runs.join(costs, ["run_id"])
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn join(context: NativeCallContext, table: &mut Table, other: Table, on: Dynamic) -> Scripted<Table> {
        texts("join", &on)
            .and_then(|on| table.join(&other, &JoinOptions::on(&on)))
            .map_err(|error| at(&context, error))
    }

    /// Joins with options: `a.join(b, #{ on: ["run_id"], how: "left", suffix: "_b" })`.
    #[rhai_fn(name = "join", return_raw, pure)]
    pub fn join_with(
        context: NativeCallContext,
        table: &mut Table,
        other: Table,
        options: Map,
    ) -> Scripted<Table> {
        join_options(&options)
            .and_then(|options| table.join(&other, &options))
            .map_err(|error| at(&context, error))
    }

    /// The rows of both tables, columns by name: what one lacks is null there, integers and floats
    /// become floats.
    ///
    /// ```
    /// let split = table(#{ lr: [0.05, 0.1], sampling: ["split", "split"], gap: [0.24, 0.2] });
    /// let random = table(#{ lr: [0.05, 0.1], sampling: ["random", "random"], gap: [0.22, 0.19] });
    /// split.append(random)
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn append(context: NativeCallContext, table: &mut Table, other: Table) -> Scripted<Table> {
        table.append(&other).map_err(|error| at(&context, error))
    }

    /// The first `n` rows.
    ///
    /// ```
    /// let run = train(#{ data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3 });
    /// run.epochs.select(["epoch", "train_loss", "test_loss"]).head(2)
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn head(context: NativeCallContext, table: &mut Table, n: i64) -> Scripted<Table> {
        count("head(n)", &n.into()).map(|n| table.head(n)).map_err(|error| at(&context, error))
    }

    /// The first 10 rows.
    #[rhai_fn(name = "head", pure)]
    pub fn head_ten(table: &mut Table) -> Table {
        table.head(10)
    }

    /// A row per column of numbers: how many values and nulls, mean, standard deviation (dividing
    /// by n - 1), minimum, quartiles (interpolated, as in pandas), maximum.
    ///
    /// ```
    /// table(#{ lr: [0.05, 0.1, 0.2], gap: [0.24, 0.2, 0.16] }).describe()
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn describe(context: NativeCallContext, table: &mut Table) -> Scripted<Table> {
        table.describe().map_err(|error| at(&context, error))
    }

    /// A column as an array; a null is `()`. `runs["gap"]` and `runs.gap` are the same, `runs[0]`
    /// is the first row, `runs[-1]` the last. Times, lists and what else scripts have no type for
    /// come as text.
    ///
    /// ```
    /// table(#{ lr: [0.05, 0.1, 0.2], gap: [0.24, 0.2, ()] }).column("gap")
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn column(context: NativeCallContext, table: &mut Table, name: &str) -> Scripted<Array> {
        table.column(name).and_then(|column| values(name, column)).map_err(|error| at(&context, error))
    }

    /// `runs["gap"]` and `runs.gap` are the column, as `runs.column("gap")`.
    #[rhai_fn(index_get, return_raw, pure)]
    pub fn column_at(context: NativeCallContext, table: &mut Table, name: &str) -> Scripted<Array> {
        let is_method = || {
            let functions = crate::script::manual::functions(context.engine());
            functions.iter().any(|function| {
                function.name == name && function.parameters.first().is_some_and(|first| first == "Table")
            })
        };
        if table.column(name).is_err() && is_method() {
            let text =
                format!("no column `{name}`; it is a function, which is written with brackets: .{name}(…)");
            return Err(at(&context, Error::invalid(text)));
        }
        column(context, table, name)
    }

    /// A table does not change. Rhai also gives back what a method was called on, changed or not.
    #[rhai_fn(index_set, return_raw)]
    pub fn set_column(context: NativeCallContext, table: &mut Table, name: &str, new: Array) -> Scripted<()> {
        // `t.columns` is a copy, too, of which nobody expects more.
        let is_property = ["columns", "len"].contains(&name) || table.column(name).is_err();
        let is_old = match table.column(name) {
            Ok(column) => holds(column, &new).map_err(|error| at(&context, error))?,
            Err(_) => false,
        };
        let text = format!(
            "a table does not change; write t.derive(\"{name}\", \"…\") for a table with other values, or `let values = \
             t.{name};` and change those"
        );
        if is_old || is_property { Ok(()) } else { Err(at(&context, Error::invalid(text))) }
    }

    /// A table does not change, as above.
    #[rhai_fn(index_set, return_raw)]
    pub fn set_row(context: NativeCallContext, table: &mut Table, row: i64, new: Map) -> Scripted<()> {
        let old = row_of(table, row);
        let text = format!(
            "a table does not change; write `let row = t[{row}];` and change that, or make a table of rows: table(rows)"
        );
        match old {
            Ok(old) if format!("{old:?}") == format!("{new:?}") => Ok(()),
            _ => Err(at(&context, Error::invalid(text))),
        }
    }

    /// `runs[0]` is the first row as a map, `runs[-1]` the last.
    #[rhai_fn(index_get, return_raw, pure)]
    pub fn row_at(context: NativeCallContext, table: &mut Table, row: i64) -> Scripted<Map> {
        row_of(table, row).map_err(|error| at(&context, error))
    }

    /// The rows as an array of maps; a null is `()`.
    ///
    /// ```
    /// let runs = table(#{ lr: [0.05, 0.1], gap: [0.24, 0.2] });
    /// for row in runs.rows() { print(`lr ${row.lr}: gap ${row.gap}`); }
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn rows(context: NativeCallContext, table: &mut Table) -> Scripted<Array> {
        maps_of(table).map_err(|error| at(&context, error))
    }

    /// Writes a file; its ending says which kind: .parquet, .csv (nulls are empty, an empty text is
    /// `""`, lists are text) or .json (an array of objects; nulls, NaN and infinities are null).
    ///
    /// ```
    /// let runs = table(#{ lr: [0.05, 0.1], gap: [0.24, 0.2] });
    /// runs.write("results/demo.csv")
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn write(context: NativeCallContext, table: &mut Table, path: &str) -> Scripted<()> {
        write_to(&context, path, |path| table.write(path))
    }

    /// The table as text: types, the first and last rows; of a wide one the first and last columns
    /// and the others' names.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn table_to_string(table: &mut Table) -> String {
        table.render(crate::script::width())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_defaults_are_those_of_a_join() {
        let options = Map::from_iter([("on".into(), "x".into())]);
        let found = join_options(&options).unwrap();
        assert_eq!(format!("{found:?}"), format!("{:?}", JoinOptions::on(&["x".to_owned()])));
    }
}
