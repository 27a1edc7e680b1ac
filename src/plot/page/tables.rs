//! Tables on a page.

use std::fmt::Write;

use super::text::{figcaption, html};
use crate::table::{Cell, Table};

/// Rows of a table that a page shows.
const MOST_ROWS: usize = 1000;

/// A table with its caption, in a box that scrolls by itself.
pub(super) fn html_of(table: &Table, caption: &str, id: &str) -> String {
    let fields = table.batch().schema_ref().fields();
    let class = |number: usize| if fields[number].data_type().is_numeric() { " class=\"n\"" } else { "" };
    let mut text = format!(
        "<figure class=\"data\">{}<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}\">\
         <table aria-labelledby=\"{id}\"><thead><tr>",
        figcaption(caption, id)
    );
    for (number, field) in fields.iter().enumerate() {
        let name = html(field.name());
        let _ =
            write!(text, "<th scope=\"col\"{}><button type=\"button\">{name}</button></th>", class(number));
    }
    text += "</tr></thead>\n<tbody>\n";
    for row in 0..table.len().min(MOST_ROWS) {
        text += "<tr>";
        for (number, column) in table.batch().columns().iter().enumerate() {
            let cell = match Cell::of(column, row) {
                Cell::Null => "–".to_owned(),
                cell => html(&cell.to_string()),
            };
            let _ = write!(text, "<td{}>{cell}</td>", class(number));
        }
        text += "</tr>\n";
    }
    text += "</tbody></table></div>";
    if table.len() > MOST_ROWS {
        let _ = write!(text, "<p class=\"more\">… and {} more rows</p>", table.len() - MOST_ROWS);
    }
    text + "</figure>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_long_tables_end() {
        let names = ["name", "loss"].map(str::to_owned);
        let text = (0..1003).map(|row| Cell::Text(format!("<{row}>"))).collect();
        let mut losses = vec![Cell::Float(2e-5); 1002];
        losses.insert(1, Cell::Null);
        let html = html_of(&Table::from_cells(&names, &[text, losses]).unwrap(), "losses", "p3");
        assert!(html.contains("<tr><td>&lt;0&gt;</td><td class=\"n\">2e-5</td></tr>"), "{}", &html[..600]);
        assert!(html.contains("<td>&lt;1&gt;</td><td class=\"n\">–</td>"));
        assert_eq!(html.matches("<tr>").count(), 1001);
        assert!(html.contains("… and 3 more rows"));
        assert!(html.contains("<figcaption id=\"p3\">losses</figcaption>"));
    }
}
