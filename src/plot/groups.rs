//! The distinct values of a column, and how each of them looks.

use std::collections::HashMap;

use super::figure::Tint;
use super::palette::MOST;
use crate::error::Result;
use crate::table::{Table, number};

/// Floats closer than this, relatively, are one value: what was computed in two ways differs in its
/// last bits.
const SAME: f64 = 1e-12;

/// The distinct values of a column, and which of them each row has.
pub(super) struct Groups {
    /// The column; none where all rows are one group.
    pub column: Option<String>,
    /// The values: numbers by size, then text by the alphabet.
    pub names: Vec<String>,
    /// For each row, the number of its value.
    pub of_row: Vec<usize>,
}

impl Groups {
    /// All rows in one group.
    pub fn none(rows: usize) -> Self {
        Self { column: None, names: vec![String::new()], of_row: vec![0; rows] }
    }

    /// The groups of a column; of no column, all rows are one group.
    pub fn of(column: Option<&str>, table: &Table) -> Result<Self> {
        let Some(column) = column else { return Ok(Self::none(table.len())) };
        if table.column(column)?.data_type().is_floating() {
            let (names, of_row) = of_floats(&table.floats(column)?);
            return Ok(Self { column: Some(column.to_owned()), names, of_row });
        }
        let values = table.strings(column)?;
        let mut names = values.clone();
        // Numbers and text in one column are two ranks, so that the order is one.
        let order = |text: &String| text.parse::<f64>().map_or((1, 0.0), |number| (0, number));
        names.sort_by(|a, b| {
            let ((rank_a, number_a), (rank_b, number_b)) = (order(a), order(b));
            rank_a.cmp(&rank_b).then(number_a.total_cmp(&number_b)).then_with(|| a.cmp(b))
        });
        names.dedup();
        let numbers: HashMap<&str, usize> =
            names.iter().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
        let of_row = values.iter().map(|value| numbers[value.as_str()]).collect();
        Ok(Self { column: Some(column.to_owned()), names, of_row })
    }

    /// Whether there are more groups than colours or shapes can tell apart.
    pub fn are_many(&self) -> bool {
        self.names.len() > MOST
    }

    /// A group's name in a legend; none where a legend would not help.
    pub fn label(&self, group: usize) -> Option<String> {
        let column = self.column.as_ref().filter(|_| !self.are_many())?;
        Some(format!("{column} {}", self.names[group]))
    }

    /// A group's colour: of the palette, or of the scale where there are many groups.
    pub fn tint(&self, group: usize) -> Tint {
        if self.are_many() {
            Tint::Scale(group as f64 / (self.names.len() - 1) as f64)
        } else {
            Tint::Palette(group)
        }
    }

    /// The given rows of each group, group by group; groups without any are left out.
    pub fn split(&self, rows: &[usize]) -> Vec<(usize, Vec<usize>)> {
        // Groups of groups are split: the time must not depend on how many groups there are.
        let mut sorted = rows.to_vec();
        sorted.sort_by_key(|&row| self.of_row[row]);
        sorted
            .chunk_by(|&a, &b| self.of_row[a] == self.of_row[b])
            .map(|rows| (self.of_row[rows[0]], rows.to_vec()))
            .collect()
    }
}

/// The names of the distinct values by size, and the number of each row's. A missing value has the
/// empty name.
fn of_floats(values: &[f64]) -> (Vec<String>, Vec<usize>) {
    let mut rows: Vec<usize> = (0..values.len()).collect();
    // What is missing comes last, whatever its sign.
    rows.sort_by(|&a, &b| values[a].is_nan().cmp(&values[b].is_nan()).then(values[a].total_cmp(&values[b])));
    let mut distinct: Vec<f64> = Vec::new();
    let mut of_row = vec![0; values.len()];
    for row in rows {
        let value = values[row];
        let same = |last: f64| match value.is_finite() {
            true => value - last <= SAME * value.abs(),
            false => value == last || (value.is_nan() && last.is_nan()),
        };
        if !distinct.last().is_some_and(|&last| same(last)) {
            distinct.push(value);
        }
        of_row[row] = distinct.len() - 1;
    }
    let short = |value: f64| if value.is_nan() { String::new() } else { number(value + 0.0) };
    let mut names: Vec<String> = distinct.iter().map(|&value| short(value)).collect();
    // Two values that look alike have as many digits as they need.
    // Sorted, they are neighbours.
    for at in 1..names.len() {
        let (value, before) = (distinct[at], distinct[at - 1]);
        if short(value) == short(before) {
            names[at - 1] = before.to_string();
            names[at] = value.to_string();
        }
    }
    (names, of_row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Cell;

    fn groups(values: &[&str]) -> Groups {
        let cells = values.iter().map(|value| Cell::Text((*value).to_owned())).collect::<Vec<_>>();
        Groups::of(Some("c"), &Table::from_cells(&["c".to_owned()], &[cells]).unwrap()).unwrap()
    }

    #[test]
    fn numbers_go_by_size_and_before_text() {
        let found = groups(&["b", "10", "9", "1a", "9"]);
        assert_eq!(found.names, ["9", "10", "1a", "b"]);
        assert_eq!(found.of_row, [3, 1, 0, 2, 0]);
        assert_eq!(found.split(&[1, 2, 4]), [(0, vec![2, 4]), (1, vec![1])]);
        assert_eq!(found.label(1).as_deref(), Some("c 10"));
        assert_eq!(found.tint(1), Tint::Palette(1));
    }

    #[test]
    fn floats_are_grouped_by_value_and_named_as_long_as_it_takes() {
        let group = |values: &[f64]| {
            let cells = values.iter().map(|&value| Cell::Float(value)).collect::<Vec<_>>();
            Groups::of(Some("c"), &Table::from_cells(&["c".to_owned()], &[cells]).unwrap()).unwrap()
        };
        let found = group(&[0.1000002, 0.5, 0.1000001, f64::NAN, 0.1 + 0.2, 0.3, -0.0, 0.0, -f64::NAN]);
        assert_eq!(found.names, ["0", "0.1000001", "0.1000002", "0.3", "0.5", ""]);
        assert_eq!(found.of_row, [2, 4, 1, 5, 3, 3, 0, 0, 5]);
        assert_eq!(group(&[f64::INFINITY, 1.0, f64::NEG_INFINITY, f64::INFINITY]).of_row, [2, 1, 0, 2]);
        assert_eq!(group(&[1e-20, 2e-20, -1e-20]).of_row, [1, 2, 0]);
    }

    /// Once each group was split into as many parts as there are groups, empty ones too: 4·10¹⁰
    /// here.
    #[test]
    fn groups_of_groups_take_no_room_for_empty_ones() {
        let many: Vec<Cell> = (0..200_000).map(Cell::Int).collect();
        let table = Table::from_cells(&["c".to_owned()], &[many]).unwrap();
        let found = Groups::of(Some("c"), &table).unwrap();
        let rows: Vec<usize> = (0..200_000).collect();
        let parts = found.split(&rows);
        let again: Vec<_> = parts.iter().flat_map(|(_, rows)| found.split(rows)).collect();
        assert_eq!((parts.len(), again.len()), (200_000, 200_000));
        assert_eq!(again[17], (17, vec![17]));
    }

    #[test]
    fn many_groups_have_a_scale_and_no_names() {
        let names: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = groups(&names);
        assert!(found.are_many() && found.label(3).is_none());
        assert_eq!((found.tint(0), found.tint(39)), (Tint::Scale(0.0), Tint::Scale(1.0)));
        assert!(!groups(&names[..10]).are_many());
    }
}
