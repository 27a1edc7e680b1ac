//! Rows of two tables side by side.

use super::Table;
use super::operations::{place, quote, unused};
use super::schema::{comparable, type_name};
use crate::error::{Error, Result};
use crate::options::{DefaultValue, Kind, Opt};

/// Which rows a join keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Pairs that agree.
    Inner,
    /// And the first table's rows without a partner.
    Left,
    /// And the second table's rows without a partner.
    Right,
    /// And the rows of both without a partner.
    Full,
    /// The first table's rows that have a partner, once each, without the second's columns.
    Semi,
    /// The first table's rows that have no partner.
    Anti,
}

impl How {
    /// Every way with its name in scripts.
    pub const ALL: [(&'static str, Self); 6] = [
        ("inner", Self::Inner),
        ("left", Self::Left),
        ("right", Self::Right),
        ("full", Self::Full),
        ("semi", Self::Semi),
        ("anti", Self::Anti),
    ];

    fn sql(self) -> &'static str {
        match self {
            Self::Inner => "JOIN",
            Self::Left => "LEFT JOIN",
            Self::Right => "RIGHT JOIN",
            Self::Full => "FULL JOIN",
            Self::Semi => "LEFT SEMI JOIN",
            Self::Anti => "LEFT ANTI JOIN",
        }
    }
}

/// How two tables are joined.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The columns that agree; both tables have them.
    pub on: Vec<String>,
    /// Which rows are kept.
    pub how: How,
    /// What is added to the name of another column of the second table that the first has too.
    pub suffix: String,
}

impl JoinOptions {
    /// An inner join on these columns.
    pub fn on(on: &[String]) -> Self {
        Self { on: on.to_vec(), how: How::Inner, suffix: "_right".to_owned() }
    }
}

/// The options of `join`.
pub const JOIN_OPTIONS: &[Opt] = &[
    Opt::new(
        "on",
        Kind::List(&Kind::Column),
        DefaultValue::Required,
        "the columns that agree, such as \"run_id\" or [\"lr\", \"batch\"]",
    ),
    Opt::new(
        "how",
        Kind::Choice(&[
            ("inner", "pairs that agree"),
            ("left", "and the first table's rows without a partner"),
            ("right", "and the second's"),
            ("full", "those of both"),
            ("semi", "the first table's rows that have a partner"),
            ("anti", "those that have none"),
        ]),
        DefaultValue::Text("inner"),
        "which rows are kept",
    ),
    Opt::new(
        "suffix",
        Kind::Text,
        DefaultValue::Text("_right"),
        "what the second table's columns get whose names both have",
    ),
];

impl Table {
    /// Rows of both tables that agree in the columns `on`, in the order of the first table's rows,
    /// then the second's; of a right join the other way round. A null key agrees with nothing, as
    /// in SQL (pandas lets nulls agree).
    pub fn join(&self, other: &Self, options: &JoinOptions) -> Result<Self> {
        let JoinOptions { on, how, .. } = options;
        if on.is_empty() {
            return Err(Error::invalid("join: expected at least one column that both tables have"));
        }
        for name in on {
            let (own, theirs) = (self.column(name)?.data_type(), other.column(name)?.data_type());
            if !comparable(own, theirs) {
                return Err(Error::invalid(format!(
                    "join: column `{name}` is {} in the first table and {} in the second; make it one type first: derive(\"{name}\", \"cast({name} as …)\")",
                    type_name(own),
                    type_name(theirs)
                )));
            }
        }
        let names: Vec<&str> = self.columns().into_iter().chain(other.columns()).collect();
        let row = unused(&names);
        let row = quote(&row);
        let columns = self.joined_columns(other, options)?.join(", ");
        let agree: Vec<String> = on.iter().map(|name| format!("t.{0} = other.{0}", quote(name))).collect();
        let order = match how {
            How::Semi | How::Anti => format!("t.{row}"),
            How::Right => format!("other.{row}, t.{row}"),
            How::Inner | How::Left | How::Full => format!("t.{row}, other.{row}"),
        };
        let (left, right) = (place(self, &row)?, place(other, &row)?);
        Self::query(
            &[("t", &left), ("other", &right)],
            &format!(
                "SELECT {columns} FROM t {} other ON {} ORDER BY {order}",
                how.sql(),
                agree.join(" AND ")
            ),
        )
    }

    /// What the query of a join selects.
    fn joined_columns(&self, other: &Self, options: &JoinOptions) -> Result<Vec<String>> {
        let JoinOptions { on, how, suffix } = options;
        let is_key = |name: &str| on.iter().any(|key| key == name);
        let mut names: Vec<String> = self.columns().into_iter().map(str::to_owned).collect();
        let own = |name: &String| match how {
            // Where this table has no row, the other one knows the key.
            How::Right | How::Full if is_key(name) => {
                format!("coalesce(t.{0}, other.{0}) AS {0}", quote(name))
            }
            _ => format!("t.{}", quote(name)),
        };
        let mut columns: Vec<String> = names.iter().map(own).collect();
        if !matches!(how, How::Semi | How::Anti) {
            for name in other.columns().into_iter().filter(|name| !is_key(name)) {
                let twin = self.columns().contains(&name);
                let alias = if twin { format!("{name}{suffix}") } else { name.to_owned() };
                if names.contains(&alias) {
                    return Err(Error::invalid(format!(
                        "join: two columns would be called `{alias}`; rename one with select, or give another `suffix`"
                    )));
                }
                columns.push(format!("other.{} AS {}", quote(name), quote(&alias)));
                names.push(alias);
            }
        }
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Cell;

    fn table(key: &[Option<i64>], name: &str) -> Table {
        let keys = key.iter().map(|key| key.map_or(Cell::Null, Cell::Int)).collect();
        let rows = (0..key.len()).map(|row| Cell::Text(format!("{name}{row}"))).collect();
        Table::from_cells(&["k", name].map(str::to_owned), &[keys, rows]).unwrap()
    }

    fn joined(how: How) -> Vec<String> {
        let a = table(&[Some(3), None, Some(1), Some(3)], "a");
        let b = table(&[Some(1), Some(3), None, Some(3), Some(7)], "b");
        let options = JoinOptions { how, ..JoinOptions::on(&["k".to_owned()]) };
        let joined = a.join(&b, &options).unwrap();
        (0..joined.len())
            .map(|row| {
                let cells = joined.batch().columns().iter().map(|column| Cell::of(column, row).to_string());
                cells.collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    #[test]
    fn every_join_keeps_its_rows_in_order_and_nulls_agree_with_nothing() {
        let inner = ["3 a0 b1", "3 a0 b3", "1 a2 b0", "3 a3 b1", "3 a3 b3"];
        assert_eq!(joined(How::Inner), inner);
        let mut left: Vec<&str> = inner.to_vec();
        left.insert(2, " a1 ");
        assert_eq!(joined(How::Left), left);
        left.extend(["  b2", "7  b4"]);
        assert_eq!(joined(How::Full), left);
        assert_eq!(
            joined(How::Right),
            ["1 a2 b0", "3 a0 b1", "3 a3 b1", "  b2", "3 a0 b3", "3 a3 b3", "7  b4"]
        );
        assert_eq!(joined(How::Semi), ["3 a0", "1 a2", "3 a3"]);
        assert_eq!(joined(How::Anti), [" a1"]);
    }

    #[test]
    fn names_that_meet_get_a_suffix_or_are_told() {
        let a = table(&[Some(1)], "x");
        let on = JoinOptions::on(&["k".to_owned()]);
        assert_eq!(a.join(&a, &on).unwrap().columns(), ["k", "x", "x_right"]);
        let twice = a.join(&a, &on).unwrap();
        assert!(
            twice.join(&a, &on).unwrap_err().to_string().contains("two columns would be called `x_right`")
        );
        let other = JoinOptions { suffix: "_b".to_owned(), ..on.clone() };
        assert_eq!(twice.join(&a, &other).unwrap().columns(), ["k", "x", "x_right", "x_b"]);
        let text = a.derive("k", "'1'").unwrap();
        assert!(
            a.join(&text, &on).unwrap_err().to_string().contains("`k` is int64 in the first table and text")
        );
    }
}
