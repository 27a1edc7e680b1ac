//! Operations of data frames, each one SQL query over the table as `t`. Expressions are SQL expressions.

use kelvin_sql::Input;

use super::Table;
use crate::error::{Error, Result, nearest};

impl Table {
    /// Runs a query; the table's name is `t`.
    pub fn sql(&self, query: &str) -> Result<Self> {
        Self::query(&[("t", self)], query)
    }

    /// Runs a query over named tables.
    pub fn query(tables: &[(&str, &Self)], query: &str) -> Result<Self> {
        let inputs = tables
            .iter()
            .map(|(name, table)| Input {
                name,
                schema: table.batch.schema(),
                batches: vec![table.batch.clone()],
            })
            .collect();
        let (schema, batches) = kelvin_sql::query(inputs, query).map_err(|message| {
            let known = tables.iter().flat_map(|(_, table)| table.columns());
            Error::invalid(format!("{message}{}", missing_column(&message, known)))
        })?;
        Self::concat(&schema, &batches)
    }

    /// The rows where a condition holds.
    pub fn filter(&self, condition: &str) -> Result<Self> {
        self.sql(&format!("SELECT * FROM t WHERE {condition}"))
    }

    /// These expressions as columns; `"x AS name"` names one.
    pub fn select(&self, expressions: &[String]) -> Result<Self> {
        self.sql(&format!("SELECT {} FROM t", expressions.join(", ")))
    }

    /// One more column; a column of the same name is replaced.
    pub fn derive(&self, name: &str, expression: &str) -> Result<Self> {
        let mut columns: Vec<String> =
            self.columns().into_iter().filter(|column| *column != name).map(quote).collect();
        columns.push(format!("{expression} AS {}", quote(name)));
        self.select(&columns)
    }

    /// One row per combination of the keys, sorted by them, with the aggregates.
    pub fn group(&self, keys: &[String], aggregates: &[String]) -> Result<Self> {
        let positions: Vec<String> = (1..=keys.len()).map(|position| position.to_string()).collect();
        let positions = positions.join(", ");
        let keys = keys.join(", ");
        let columns: Vec<&str> = Some(keys.as_str())
            .into_iter()
            .filter(|keys| !keys.is_empty())
            .chain(aggregates.iter().map(String::as_str))
            .collect();
        let columns = columns.join(", ");
        if keys.is_empty() {
            return self.sql(&format!("SELECT {columns} FROM t"));
        }
        self.sql(&format!("SELECT {columns} FROM t GROUP BY {positions} ORDER BY {positions}"))
    }

    /// The rows in the order of these expressions; `"x DESC"` reverses.
    pub fn sort(&self, keys: &[String]) -> Result<Self> {
        self.sql(&format!("SELECT * FROM t ORDER BY {}", keys.join(", ")))
    }

    /// Rows of both tables that agree in the columns `on`; other columns that both have get the suffix
    /// `_right`.
    pub fn join(&self, other: &Self, on: &[String]) -> Result<Self> {
        for column in on {
            self.column(column)?;
            other.column(column)?;
        }
        let mut columns: Vec<String> =
            self.columns().into_iter().map(|name| format!("t.{}", quote(name))).collect();
        for name in other.columns() {
            if !on.iter().any(|column| column == name) {
                let twin = self.columns().contains(&name);
                let alias = if twin { format!("{name}_right") } else { name.to_owned() };
                columns.push(format!("other.{} AS {}", quote(name), quote(&alias)));
            }
        }
        let condition: Vec<String> =
            on.iter().map(|name| format!("t.{0} = other.{0}", quote(name))).collect();
        let query = format!("SELECT {} FROM t JOIN other ON {}", columns.join(", "), condition.join(" AND "));
        Self::query(&[("t", self), ("other", other)], &query)
    }

    /// The first `n` rows.
    pub fn head(&self, n: usize) -> Self {
        Self { batch: self.batch.slice(0, n.min(self.len())) }
    }

    /// A row per column of numbers: count, nulls, mean, standard deviation, minimum, quartiles, maximum.
    pub fn describe(&self) -> Result<Self> {
        let rows: Vec<String> = self
            .batch
            .schema_ref()
            .fields()
            .iter()
            .filter(|field| field.data_type().is_numeric())
            .map(|field| {
                let x = quote(field.name());
                let quantile = |p: f64| format!("percentile_cont(CAST({x} AS DOUBLE), {p})");
                format!(
                    "SELECT '{}' AS \"column\", count({x}) AS count, count(*) - count({x}) AS nulls, avg(CAST({x} AS DOUBLE)) AS mean, \
                     stddev(CAST({x} AS DOUBLE)) AS std, CAST(min({x}) AS DOUBLE) AS min, {} AS q25, {} AS median, {} AS q75, \
                     CAST(max({x}) AS DOUBLE) AS max FROM t",
                    field.name().replace('\'', "''"),
                    quantile(0.25),
                    quantile(0.5),
                    quantile(0.75)
                )
            })
            .collect();
        if rows.is_empty() {
            return Err(Error::invalid("describe: the table has no columns of numbers"));
        }
        self.sql(&rows.join(" UNION ALL "))
    }
}

/// A name as SQL writes it.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What to write instead of a column that does not exist.
fn missing_column<'a>(message: &str, known: impl Iterator<Item = &'a str>) -> String {
    let Some((_, rest)) = message.split_once("No field named ") else { return String::new() };
    let found: String =
        rest.trim_start_matches('"').chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    nearest(&found, known).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};

    use super::*;

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
    fn join_keeps_both_sides() {
        let means = table().group(&text(&["batch"]), &text(&["avg(lr) AS lr"])).unwrap();
        let joined = table().join(&means, &text(&["batch"])).unwrap();
        assert_eq!(joined.columns(), ["batch", "lr", "lr_right"]);
        assert_eq!(joined.len(), 5);
    }

    #[test]
    fn describe_counts_nulls_and_agrees_with_the_definition() {
        let described = table().describe().unwrap();
        let row = described.filter("\"column\" = 'lr'").unwrap();
        assert_eq!(row.floats("nulls").unwrap(), [1.0]);
        assert!((row.floats("mean").unwrap()[0] - 0.275).abs() < 1e-12);
        assert!((row.floats("median").unwrap()[0] - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_wrong_column_is_named_with_the_right_one() {
        let error = table().filter("batsch = 16").unwrap_err().to_string();
        assert!(error.contains("did you mean `batch`?"), "{error}");
        assert!(table().sql("DROP TABLE t").is_err());
    }
}
