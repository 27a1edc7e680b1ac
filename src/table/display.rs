//! A table as text: names, types, aligned values, the first and last rows.

use super::{Cell, Table, schema};

/// Rows shown when a table is printed.
const ROWS: usize = 20;

impl Table {
    /// Lays the table out in at most `width` characters: columns that do not fit are named below.
    pub fn render(&self, width: usize) -> String {
        let fields = self.batch.schema_ref().fields();
        let rows: Vec<usize> = if self.len() <= ROWS {
            (0..self.len()).collect()
        } else {
            (0..ROWS / 2).chain(self.len() - ROWS / 2..self.len()).collect()
        };
        let mut lines = vec![String::new(); rows.len() + 2];
        let mut left_out = Vec::new();
        for (field, column) in fields.iter().zip(self.batch.columns()) {
            let mut texts = vec![field.name().clone(), schema::type_name(field.data_type()).to_owned()];
            texts.extend(rows.iter().map(|&row| match Cell::of(column, row) {
                Cell::Null => "null".to_owned(),
                cell => clip(&cell.to_string()),
            }));
            let size = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
            if !left_out.is_empty() || lines[0].chars().count() + size + 2 > width.max(size + 2) {
                left_out.push(field.name().as_str());
                continue;
            }
            let right = field.data_type().is_numeric();
            for (line, text) in lines.iter_mut().zip(&texts) {
                *line += &if right { format!("{text:>size$}  ") } else { format!("{text:<size$}  ") };
            }
        }
        if self.len() > ROWS {
            lines.insert(2 + ROWS / 2, "⋮".to_owned());
        }
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut text: String = lines.iter().map(|line| format!("{}\n", line.trim_end())).collect();
        text += &format!("{}, {}", count(self.len(), "row"), count(fields.len(), "column"));
        if !left_out.is_empty() {
            text += &format!(", not shown: {}", left_out.join(", "));
        }
        text
    }
}

/// Long text is cut.
fn clip(text: &str) -> String {
    if text.chars().count() <= 40 {
        return text.to_owned();
    }
    text.chars().take(39).chain(['…']).collect()
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(120))
    }
}
