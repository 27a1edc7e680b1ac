//! A table as HTML, for notebooks: names, types, the first and last rows.

use std::fmt::Write;

use super::display::{ROWS, count};
use super::{Cell, Table, schema};

impl Table {
    /// The table as an HTML element: names and types in its head, the first and last rows, how many
    /// there are.
    pub fn html(&self) -> String {
        let (outer, between) = self.outer_columns();
        let fields = outer.batch.schema_ref().fields();
        let mut text = String::from("<table><thead><tr>");
        for field in fields {
            let _ = write!(text, "<th>{}</th>", escaped(field.name()));
        }
        text += "</tr><tr>";
        for field in fields {
            let _ =
                write!(text, "<td><small>{}</small></td>", escaped(&schema::type_name(field.data_type())));
        }
        text += "</tr></thead><tbody>\n";
        let short = self.len() <= ROWS;
        let (head, tail) =
            if short { (0..self.len(), 0..0) } else { (0..ROWS / 2, self.len() - ROWS / 2..self.len()) };
        outer.rows_html(&mut text, head);
        if !short {
            let _ = writeln!(text, "<tr>{}</tr>", "<td>⋮</td>".repeat(fields.len()));
        }
        outer.rows_html(&mut text, tail);
        let _ = write!(
            text,
            "</tbody></table><p>{}, {}{}{}</p>",
            count(self.len(), "row"),
            count(self.batch.num_columns(), "column"),
            if between.is_empty() { "" } else { "; " },
            escaped(&between)
        );
        text
    }

    fn rows_html(&self, text: &mut String, rows: std::ops::Range<usize>) {
        for row in rows {
            *text += "<tr>";
            for column in self.batch.columns() {
                let align = if column.data_type().is_numeric() { " style=\"text-align:right\"" } else { "" };
                let cell = match Cell::of(column, row) {
                    Cell::Null => "<i>null</i>".to_owned(),
                    cell => escaped(&cell.to_string()),
                };
                let _ = write!(text, "<td{align}>{cell}</td>");
            }
            *text += "</tr>\n";
        }
    }
}

/// Text as XML and HTML write it, also between quotes.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_tables_show_their_ends() {
        let names = ["<n>", "text"].map(str::to_owned);
        let numbers = (0..30).map(Cell::Int).collect();
        let mut texts = vec![Cell::Text("a<b".to_owned()); 29];
        texts.push(Cell::Null);
        let html = Table::from_cells(&names, &[numbers, texts]).unwrap().html();
        assert!(html.contains("<th>&lt;n&gt;</th>") && html.contains("<td>a&lt;b</td>"), "{html}");
        assert!(html.contains("<td style=\"text-align:right\">29</td><td><i>null</i></td>"), "{html}");
        assert_eq!(html.matches("<tr>").count(), 2 + 20 + 1);
        assert!(html.ends_with("<p>30 rows, 2 columns</p>"), "{html}");
    }
}
