//! The distinct values of a column, and how each of them looks.

use std::collections::HashMap;

use super::figure::Tint;
use super::palette::MOST;
use crate::error::Result;
use crate::table::Table;

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
        let mut parts = vec![Vec::new(); self.names.len()];
        for &row in rows {
            parts[self.of_row[row]].push(row);
        }
        parts.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()).collect()
    }
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
    fn many_groups_have_a_scale_and_no_names() {
        let names: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = groups(&names);
        assert!(found.are_many() && found.label(3).is_none());
        assert_eq!((found.tint(0), found.tint(39)), (Tint::Scale(0.0), Tint::Scale(1.0)));
        assert!(!groups(&names[..10]).are_many());
    }
}
