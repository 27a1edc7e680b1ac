//! Operations of data frames, each one SQL query over the table as `t`. Expressions are SQL
//! expressions.
//!
//! Nulls are missing values: aggregates leave them out, comparisons with them hold nowhere, they
//! form one group of their own, sort last in either direction, and agree with nothing in a join.
//! NaN is a value: equal to itself, greater than every number, and a mean with it is NaN. Names of
//! columns are case-sensitive.

use std::sync::Arc;

use ::arrow::array::Int64Array;
use ::arrow::datatypes::SchemaRef;
use kelvin_sql::{Failure, Input, Selected};

use super::Table;
use super::plain::{plain_batch, typed_batch};
use crate::error::{Error, Result, caught, panic_message, suggestion};
use crate::interrupt;

impl Table {
    /// Runs a query; the table's name is `t`.
    pub fn sql(&self, query: &str) -> Result<Self> {
        Self::query(&[("t", self)], query)
    }

    /// Runs a query over named tables.
    pub fn query(tables: &[(&str, &Self)], query: &str) -> Result<Self> {
        let inputs = tables
            .iter()
            .map(|(name, table)| {
                let batch = typed_batch(&table.batch)?;
                Ok(Input { name: (*name).to_owned(), schema: batch.schema(), batches: vec![batch] })
            })
            .collect::<Result<Vec<_>>>()?;
        /// Where the system does not tell what there is.
        const USUAL: u64 = 8 << 30;
        let budget = crate::memory::available().unwrap_or(USUAL) / 2;
        let text = query.to_owned();
        // The engine looks at the flag between two batches of rows, which may be long; and it may
        // panic.
        let answer = interrupt::leave_behind("the query", move || {
            Ok(caught(|| kelvin_sql::query(inputs, &text, budget as usize, &interrupt::raised)))
        })?;
        let answer = answer.map_err(|panic| {
            Error::invalid(format!(
                "the SQL engine failed at this query ({}); its texts, lists or numbers may be too large for it",
                panic_message(&*panic)
            ))
        })?;
        let (schema, batches) = answer.map_err(|failure| match failure {
            Failure::Stopped => Error::Interrupted,
            Failure::TooLarge => Error::invalid(format!(
                "the query needs more than {:.1} GB of memory, half of what is free; filter or group before",
                budget as f64 / 1e9
            )),
            Failure::Message(message) => {
                let columns = tables.iter().flat_map(|(_, table)| table.columns());
                let known: Vec<&str> = columns.filter(|name| !name.starts_with(ROW)).collect();
                let names: Vec<&str> = tables.iter().map(|(name, _)| *name).collect();
                let told = missing_column(&message, query, &known);
                Error::invalid(told.or_else(|| missing_table(&message, &names)).unwrap_or(message))
            }
        })?;
        if let Some(name) = twice(&schema) {
            return Err(Error::invalid(format!("two columns would be called `{name}`; name one with `as`")));
        }
        let answer = Self::concat(&schema, batches)?;
        Ok(Self { batch: plain_batch(&answer.batch)? })
    }

    /// The rows where a condition holds; where it is null, it does not.
    pub fn filter(&self, condition: &str) -> Result<Self> {
        let condition = kelvin_sql::expression(condition).map_err(|error| wrong("filter", &error))?;
        self.sql(&format!("SELECT * FROM t WHERE {condition}"))
    }

    /// These expressions as columns; `"x AS name"` names one, else it is called as it is written. A
    /// text that is a column's name means this column, also in `group` and `sort`.
    pub fn select(&self, expressions: &[String]) -> Result<Self> {
        let selected = selection("select", &self.names_in(expressions))?;
        self.sql(&format!("SELECT {} FROM t", list(&selected)))
    }

    /// One more column at the end; a column of the same name is replaced where it stands.
    pub fn derive(&self, name: &str, expression: &str) -> Result<Self> {
        let expression = kelvin_sql::expression(expression).map_err(|error| wrong("derive", &error))?;
        let derived = format!("{expression} AS {}", quote(name));
        let own = |column: &str| if column == name { derived.clone() } else { quote(column) };
        let mut columns: Vec<String> = self.columns().into_iter().map(own).collect();
        if !self.columns().contains(&name) {
            columns.push(derived.clone());
        }
        self.sql(&format!("SELECT {} FROM t", columns.join(", ")))
    }

    /// One row per combination of the keys, sorted by them, with the aggregates; without keys one
    /// row.
    pub fn group(&self, keys: &[String], aggregates: &[String]) -> Result<Self> {
        let keys = self.names_in(keys);
        let selected = selection("group", &[&keys, aggregates].concat())?;
        let keys = selection("group", &keys)?.len();
        let positions: Vec<String> = (1..=keys).map(|position| position.to_string()).collect();
        let positions = positions.join(", ");
        let columns = list(&selected);
        if keys == 0 {
            return self.sql(&format!("SELECT {columns} FROM t"));
        }
        self.sql(&format!("SELECT {columns} FROM t GROUP BY {positions} ORDER BY {positions}"))
    }

    /// The rows in the order of these expressions; `"x DESC"` reverses. Nulls are last either way,
    /// unless `NULLS FIRST` is written; equal rows stay in their order.
    pub fn sort(&self, keys: &[String]) -> Result<Self> {
        let mut order = Vec::new();
        for key in &self.names_in(keys) {
            order.extend(kelvin_sql::order(key).map_err(|error| wrong("sort", &error))?);
        }
        if order.is_empty() {
            return Err(Error::invalid("sort: expected at least one expression to sort by"));
        }
        let columns: Vec<String> = self.columns().into_iter().map(quote).collect();
        let row = quote(&unused(&self.columns()));
        order.push(row.clone());
        let query = format!("SELECT {} FROM t ORDER BY {}", columns.join(", "), order.join(", "));
        place(self, &row)?.sql(&query)
    }

    /// Texts that are columns' names in quotes, the others as they are.
    fn names_in(&self, texts: &[String]) -> Vec<String> {
        let columns = self.columns();
        let name = |text: &String| if columns.contains(&text.as_str()) { quote(text) } else { text.clone() };
        texts.iter().map(name).collect()
    }

    /// The first `n` rows.
    pub fn head(&self, n: usize) -> Self {
        Self { batch: self.batch.slice(0, n.min(self.len())) }
    }
}

/// What expressions select, each under a name of its own.
fn selection(call: &str, expressions: &[String]) -> Result<Vec<Selected>> {
    let mut selected: Vec<Selected> = Vec::new();
    for expression in expressions {
        for item in kelvin_sql::selection(expression).map_err(|error| wrong(call, &error))? {
            if let Some(name) =
                item.name.as_ref().filter(|_| selected.iter().any(|other| other.name == item.name))
            {
                return Err(Error::invalid(format!(
                    "{call}: two columns would be called `{name}`; name one with `as`"
                )));
            }
            selected.push(item);
        }
    }
    Ok(selected)
}

fn list(selected: &[Selected]) -> String {
    selected.iter().map(|item| item.sql.as_str()).collect::<Vec<_>>().join(", ")
}

fn wrong(call: &str, error: &str) -> Error {
    Error::invalid(format!("{call}: {error}"))
}

/// A name as SQL writes it.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name of a second column of one name, if there is one: it could not be asked for.
fn twice(schema: &SchemaRef) -> Option<&str> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let second = (0..names.len()).find(|&at| names[..at].contains(&names[at]))?;
    Some(names[second])
}

/// How the column begins that holds the rows' numbers for a while: not as anyone would call a
/// column.
const ROW: &str = "kelvin: row";

/// A name that no column has.
pub(super) fn unused(columns: &[&str]) -> String {
    let mut name = ROW.to_owned();
    while columns.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

/// The table with its rows' numbers as one more column, of this name in quotes.
pub(super) fn place(table: &Table, quoted: &str) -> Result<Table> {
    let numbers = Int64Array::from_iter_values(0..table.len() as i64);
    table.with_column(quoted.trim_matches('"'), Arc::new(numbers))
}

/// An error that names a column which does not exist, if the message is about one, and what to
/// write instead.
fn missing_column(message: &str, query: &str, known: &[&str]) -> Option<String> {
    let (_, rest) = message.split_once("No field named ")?;
    let found =
        rest.split_once(". Did you mean").or_else(|| rest.split_once(".\n")).map_or(rest, |(name, _)| name);
    let found = found.trim_end_matches('.').trim_start_matches("t.").trim_matches('"').replace("\"\"", "\"");
    let cased = known.iter().find(|name| name.to_lowercase() == found.to_lowercase());
    let hint = match cased {
        Some(name) if *name == found => {
            format!("a column of this name goes in double quotes: {}", quote(name))
        }
        Some(name) => format!("did you mean `{name}`?"),
        None => suggestion(&found, known.iter().copied()),
    };
    let is_text = query.contains(&quote(&found)) && cased.is_none();
    let text = if is_text { format!("; text is written '{found}'") } else { String::new() };
    Some(format!("no column `{found}`; {hint}{text}"))
}

/// An error about a table that a query names and was not given.
fn missing_table(message: &str, known: &[&str]) -> Option<String> {
    let found = message.strip_prefix("no table `")?.strip_suffix('`')?;
    Some(format!("no table `{found}`; {}", suggestion(found, known.iter().copied())))
}

#[cfg(test)]
mod tests {
    use ::arrow::array::{Array, ArrayRef, Float64Array, RecordBatch};

    use super::*;
    use crate::table::Cell;

    fn table() -> Table {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("batch", Arc::new(Int64Array::from(vec![16, 32, 16, 32, 16]))),
            ("lr", Arc::new(Float64Array::from(vec![Some(0.1), Some(0.2), Some(0.3), None, Some(0.5)]))),
        ];
        Table::new(RecordBatch::try_from_iter(columns).unwrap())
    }

    fn text(expressions: &[&str]) -> Vec<String> {
        expressions.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn group_filter_derive_sort() {
        let grouped = table().group(&text(&["batch"]), &text(&["avg(lr) AS mean", "count(*) AS n"])).unwrap();
        assert_eq!(grouped.columns(), ["batch", "mean", "n"]);
        assert_eq!(grouped.floats("mean").unwrap(), [0.3, 0.2]);
        assert_eq!(grouped.floats("n").unwrap(), [3.0, 2.0]);
        let by_expression = table().group(&text(&["batch * 2 AS twice"]), &text(&["count(*) AS n"])).unwrap();
        assert_eq!(by_expression.floats("twice").unwrap(), [32.0, 64.0]);
        assert_eq!(table().filter("lr > 0.15 AND batch = 16").unwrap().len(), 2);
        let derived = table().derive("T", "lr / batch").unwrap().sort(&text(&["T DESC NULLS LAST"])).unwrap();
        assert_eq!(derived.floats("T").unwrap()[0], 0.5 / 16.0);
        assert_eq!(table().derive("lr", "lr * 2").unwrap().columns(), ["batch", "lr"]);
    }

    #[test]
    fn integers_divide_as_floats() {
        let halves =
            table().select(&text(&["batch / 32", "batch // 32 AS whole", "-7 // 2 AS negative"])).unwrap();
        assert_eq!(halves.columns(), ["batch / 32", "whole", "negative"]);
        assert_eq!(halves.floats("batch / 32").unwrap(), [0.5, 1.0, 0.5, 1.0, 0.5]);
        assert_eq!(halves.floats("whole").unwrap(), [0.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!(halves.floats("negative").unwrap()[0], -3.0);
        assert_eq!(table().select(&text(&["median(batch / 1) AS m"])).unwrap().floats("m").unwrap(), [16.0]);
    }

    #[test]
    fn and_is_written_in_two_ways() {
        for condition in [
            "lr > 0.15 && batch = 16",
            "not lr > 0.15 && batch = 16",
            "batch = 16 && not lr > 0.4 || batch = 32 && lr is null",
            "batch + 1 = 17 && lr in (0.1, 0.5)",
            "lr between 0.1 and 0.3 && batch < 20 && true",
            "case when lr > 0.2 && batch = 16 then 1 else 0 end = 1",
        ] {
            let condition = condition.replace("||", "or");
            let [found, wanted] = [condition.clone(), condition.replace("&&", "and")]
                .map(|condition| table().filter(&condition).unwrap().render(80));
            assert_eq!(found, wanted, "{condition}");
            let query = table().sql(&format!("select * from t where {condition};")).unwrap();
            assert_eq!(query.render(80), wanted, "{condition}");
        }
        assert_eq!(table().filter("not lr > 0.15 && batch = 16").unwrap().floats("lr").unwrap(), [0.1]);
        assert_eq!(
            table().select(&text(&["'a && b ** c' as x"])).unwrap().strings("x").unwrap()[0],
            "a && b ** c"
        );
    }

    #[test]
    fn powers_are_floats_and_bind_tighter_than_products() {
        let cells = [-1, 4].map(Cell::Int).to_vec();
        let table = Table::from_cells(&["x".to_owned()], &[cells]).unwrap();
        for (expression, wanted) in [
            ("x ^ 2", [1.0, 16.0]),
            ("x ** 2", [1.0, 16.0]),
            ("2 * x ^ 2 + 1", [3.0, 33.0]),
            ("2 ^ x", [0.5, 16.0]),
            ("-x ^ 2", [-1.0, -16.0]),
            ("x ^ -1", [-1.0, 0.25]),
            ("(x + 1) ^ 0.5", [0.0, 5.0_f64.sqrt()]),
            ("sum(x ^ 2) over ()", [17.0, 17.0]),
        ] {
            assert_eq!(table.derive("y", expression).unwrap().floats("y").unwrap(), wanted, "{expression}");
            let query = table.sql(&format!("select {expression} as y from t")).unwrap();
            assert_eq!(query.floats("y").unwrap(), wanted, "{expression}");
        }
        assert_eq!(table.select(&text(&["count(*) as n"])).unwrap().floats("n").unwrap(), [2.0]);
    }

    #[test]
    fn integers_stay_integers_within_their_range() {
        let sums = table()
            .select(&text(&[
                "batch + 1 as a",
                "sum(batch) over (order by lr rows 1 preceding) as b",
                "sum(batch) filter (where lr > 9) over () as none",
                "batch * 2 - 1 + lr as c",
            ]))
            .unwrap();
        let kind = |name: &str| crate::table::schema::type_name(sums.column(name).unwrap().data_type());
        assert_eq!(["a", "b", "none", "c"].map(kind), ["int64", "int64", "int64", "float64"]);
        assert_eq!(sums.floats("b").unwrap(), [16.0, 48.0, 48.0, 32.0, 48.0]);
        let grouped = table()
            .group(
                &text(&["batch"]),
                &text(&["sum(batch + 1) as s", "sum(distinct batch) as d", "sum(lr) as l"]),
            )
            .unwrap();
        assert_eq!(grouped.floats("s").unwrap(), [51.0, 66.0]);
        assert_eq!(grouped.floats("d").unwrap(), [16.0, 32.0]);
        assert_eq!(
            table()
                .filter("lr > 9")
                .unwrap()
                .group(&[], &text(&["sum(batch) as s"]))
                .unwrap()
                .column("s")
                .unwrap()
                .null_count(),
            1
        );
    }

    #[test]
    fn a_root_of_a_negative_number_is_nan() {
        let roots = table().derive("y", "sqrt(batch - 20)").unwrap().floats("y").unwrap();
        assert!(roots[0].is_nan() && roots[1] == 12.0_f64.sqrt(), "{roots:?}");
    }

    #[test]
    fn tables_of_any_name_are_found() {
        let other = table();
        for name in ["Costs", "a.b", "select"] {
            let query = format!("select count(*) as n from t join {0} using (batch)", quote(name));
            let found = Table::query(&[("t", &other), (name, &other)], &query).unwrap();
            assert_eq!(found.floats("n").unwrap(), [13.0], "{name}");
        }
        let error = Table::query(&[("t", &other), ("Costs", &other)], "select 1 from costs").unwrap_err();
        assert!(error.to_string().contains("no table `costs`; did you mean `Costs`?"), "{error}");
        // A table's own capitals need no quotes.
        assert!(Table::query(&[("Costs", &other)], "select 1 from Costs").is_ok());
    }

    #[test]
    fn nulls_and_nans_sort_last_and_equal_rows_stay_in_order() {
        let cells = |values: &[f64]| values.iter().map(|&value| Cell::Float(value)).collect::<Vec<_>>();
        let mut x = cells(&[2.0, -f64::NAN, -0.0, 0.0, f64::NAN, 1.0, -0.0]);
        x.push(Cell::Null);
        let rows = (0..8).map(Cell::Int).collect();
        let table = Table::from_cells(&["x", "row"].map(str::to_owned), &[x, rows]).unwrap();
        let order = |key: &str| table.sort(&text(&[key])).unwrap().floats("row").unwrap();
        assert_eq!(order("x"), [2.0, 3.0, 6.0, 5.0, 0.0, 1.0, 4.0, 7.0]);
        assert_eq!(order("x desc"), [1.0, 4.0, 0.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!(order("x desc nulls first")[0], 7.0);
        let groups = table.group(&text(&["x"]), &text(&["count(*) as n", "avg(x) as mean"])).unwrap();
        assert_eq!(groups.floats("n").unwrap(), [3.0, 1.0, 1.0, 2.0, 1.0]);
        assert_eq!(table.filter("x = 0").unwrap().len(), 3);
        assert_eq!(table.filter("x <> 0").unwrap().len(), 4);
    }

    #[test]
    fn a_name_that_needs_quotes_says_so() {
        let table = Table::from_cells(&["a.b".to_owned()], &[vec![Cell::Int(1)]]).unwrap();
        let error = table.derive("x", "a.b + 1").unwrap_err().to_string();
        assert!(error.contains("goes in double quotes: \"a.b\""), "{error}");
    }

    #[test]
    fn columns_of_any_name_are_columns() {
        let names = ["Größe", "a b", "select", "it's", "say \"hi\"", "a.b"].map(str::to_owned);
        let columns: Vec<Vec<Cell>> = (0..6).map(|n| vec![Cell::Int(n), Cell::Int(20 - n)]).collect();
        let table = Table::from_cells(&names, &columns).unwrap();
        assert_eq!(table.derive("select", "\"a b\" + 1").unwrap().floats("select").unwrap(), [2.0, 20.0]);
        assert_eq!(table.derive("new one", "Größe").unwrap().columns()[6], "new one");
        for name in &names {
            let sorted = table.sort(&[format!("{} desc", quote(name))]).unwrap();
            assert_eq!(sorted.columns(), names);
            let grouped = table.group(&[quote(name)], &text(&["count(*)"])).unwrap();
            assert_eq!(grouped.columns(), [name.as_str(), "count(*)"]);
            let joined =
                table.join(&table, &crate::table::JoinOptions::on(std::slice::from_ref(name))).unwrap();
            assert_eq!(joined.len(), 2);
        }
    }

    #[test]
    fn empty_answers_keep_their_columns_and_types() {
        let none = table().filter("batch > 99").unwrap();
        assert_eq!(
            none.batch().schema_ref().fields(),
            table().derive("lr", "lr").unwrap().batch().schema_ref().fields()
        );
        let grouped = none.group(&text(&["batch"]), &text(&["avg(lr) AS m", "count(*) AS n"])).unwrap();
        assert_eq!((grouped.len(), grouped.columns()), (0, vec!["batch", "m", "n"]));
        assert_eq!(none.group(&[], &text(&["count(*) AS n"])).unwrap().floats("n").unwrap(), [0.0]);
        assert_eq!(none.sort(&text(&["lr"])).unwrap().columns(), ["batch", "lr"]);
        let nothing = Table::from_cells(&[], &[]).unwrap();
        assert_eq!((nothing.len(), nothing.columns().len()), (0, 0));
    }

    #[test]
    fn a_column_of_nulls_alone_computes_to_nulls() {
        let table = Table::from_cells(&["n".to_owned()], &[vec![Cell::Null, Cell::Null]]).unwrap();
        let sums = table.group(&[], &text(&["sum(n)", "avg(n)", "max(n)", "median(n)", "count(n)"])).unwrap();
        let cells: Vec<Cell> = sums.batch().columns().iter().map(|column| Cell::of(column, 0)).collect();
        assert_eq!(cells, [Cell::Null, Cell::Null, Cell::Null, Cell::Null, Cell::Int(0)]);
        assert_eq!(table.derive("m", "n + 1").unwrap().sort(&text(&["m"])).unwrap().len(), 2);
    }

    #[test]
    fn mistakes_are_told_with_what_to_write() {
        for (error, told) in [
            (table().filter("Batch = 1"), "no column `Batch`; did you mean `batch`?"),
            (table().filter("lr = \"x\""), "text is written 'x'"),
            (table().filter("lr ="), "filter: `lr =`: Expected: an expression, found: its end"),
            (table().select(&text(&["lr", "batch as lr"])), "two columns would be called `lr`"),
            (table().group(&text(&["lr"]), &text(&["sum('a') as s"])), "no function takes `sum(text)`"),
            (table().sort(&[]), "sort: expected at least one"),
            (table().sort(&text(&["zz"])), "no column `zz`; known: batch, lr"),
            (table().sort(&text(&["row"])), "no column `row`"),
            (table().sql("select * from tt"), "no table `tt`; known: t"),
            (table().sql("select lr, lr from t"), "two columns would be called `lr`"),
            (table().sql("select 1 as a, 2 as a from t"), "two columns would be called `a`"),
            (table().sql("select lr from t having lr > 1"), "one on rows is written `where`"),
            (table().sql("select t.lr, u.lr from t, t u"), "two columns would be called `lr`"),
            (table().sql("select * from t join t u using (batch)"), "two columns would be called `lr`"),
            (table().derive("y", "avg(lr)"), "`batch` has many values"),
            (
                table().group(&text(&["batch"]), &text(&["lr"])),
                "`lr` has many values; make it one of the keys",
            ),
            (table().filter("lr"), "expected a condition such as x > 0, found `lr`, which is float64"),
            (table().derive("y", "[1, 2]"), "found a list"),
            (table().derive("y", "1 // 0"), "Divide by zero"),
            (table().filter("lr > 0 || batch = 1"), "between conditions write `or`"),
            (table().filter("!(lr > 0)"), "expected `not` in the place of `!`"),
            (table().derive("y", "batch + 9223372036854775807"), "leaves the range of integers"),
            (table().derive("y", "batch * 9223372036854775807"), "leaves the range of integers"),
            (table().derive("y", "-batch - 9223372036854775807"), "leaves the range of integers"),
            (
                table().group(&[], &text(&["sum(batch * 100000000000000000)"])),
                "the sum 11200000000000000000 leaves the range of integers",
            ),
        ] {
            let error = error.map(|table| table.render(80)).unwrap_err().to_string();
            assert!(error.contains(told), "{told}: {error}");
            for word in ["datafusion", "Optimizer", "caused by", "wildcard", ROW] {
                assert!(!error.contains(word), "{error}");
            }
        }
    }

    #[test]
    fn a_wrong_column_is_named_with_the_right_one() {
        let error = table().filter("batsch = 16").unwrap_err().to_string();
        assert!(error.contains("did you mean `batch`?"), "{error}");
        assert!(table().sql("DROP TABLE t").is_err());
    }
}
