//! A table as text: names, types, aligned values, the first and last rows and columns.

use arrow::array::{Array, ArrayRef};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::datatypes::{DataType, Field};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Cell, Table, schema};
use crate::visible::push_visible;

/// Rows shown when a table is printed.
pub(super) const ROWS: usize = 20;

/// Columns that are looked at when a table is printed.
const WIDEST: usize = 400;

/// Longer texts are cut, in columns of the terminal.
const LONGEST: usize = 40;

/// Between two columns.
const SPACE: &str = "  ";

/// Stands for columns that are not shown.
const MORE: &str = "…";

/// Columns that go first where not all have room, the least telling ones before.
const SECONDARY: [fn(&str) -> bool; 4] = [
    |name| name.ends_with("_std"),
    |name| name.starts_with("seed_") || name == "steps" || name == "lr_now",
    |name| ["seconds", "sweep", "epochs_used", "epochs_cut"].contains(&name),
    |name| name == "run_id",
];

impl Table {
    /// The one row, with a line per column.
    fn record(&self, width: usize, of_columns: usize) -> String {
        let names = self.columns();
        let size = names.iter().map(|name| name.width()).max().unwrap_or(0);
        let cells = self.batch.columns().iter().map(|column| match Cell::of(column, 0) {
            Cell::Null => "null".to_owned(),
            cell => cell.to_string(),
        });
        let line = |(name, cell): (&str, String)| {
            let space = " ".repeat(size - name.width());
            clip(&format!("{name}{space}{SPACE}{cell}"), width.max(1)) + "\n"
        };
        let text: String = names.iter().copied().zip(cells).map(line).collect();
        format!("{text}1 row, {}", count(of_columns, "column"))
    }

    /// Lays the table out in at most `width` characters. Where the columns do not fit, those with
    /// one value in all rows are named below with it instead; then standard deviations, times and
    /// ids, then those in the middle, without. One row that does not fit has a line per column.
    pub fn render(&self, width: usize) -> String {
        let (outer, between) = self.outer_columns();
        let text = outer.shown_as(width, self.batch.num_columns());
        if between.is_empty() { text } else { format!("{text}\n{between}") }
    }

    /// The first and last columns, and what to say of those between them, where there are very
    /// many.
    pub(super) fn outer_columns(&self) -> (Self, String) {
        let columns = self.batch.num_columns();
        if columns <= WIDEST {
            return (self.clone(), String::new());
        }
        let outer: Vec<usize> = (0..WIDEST / 2).chain(columns - WIDEST / 2..columns).collect();
        let outer = self.batch.project(&outer).map_or_else(|_| self.clone(), Self::new);
        let between = count(columns - WIDEST, "column");
        (outer, format!("{between} in the middle not looked at: .columns names all"))
    }

    /// [`Self::render`] of a table that may be part of one with more columns.
    fn shown_as(&self, width: usize, of_columns: usize) -> String {
        let rows: Vec<usize> = if self.len() <= ROWS {
            (0..self.len()).collect()
        } else {
            (0..ROWS / 2).chain(self.len() - ROWS / 2..self.len()).collect()
        };
        let fields = self.batch.schema_ref().fields();
        let laid_out = |longest: usize| -> Vec<Vec<String>> {
            fields
                .iter()
                .zip(self.batch.columns())
                .map(|(field, column)| lines(field, column, &rows, longest))
                .collect()
        };
        let sizes =
            |columns: &[Vec<String>]| columns.iter().map(|column| column[0].width()).collect::<Vec<_>>();
        let mut longest = LONGEST.min(width.max(1));
        let mut columns = laid_out(longest);
        // Long texts are whole where there is room for them.
        let whole = laid_out(width.max(1));
        if fits(&sizes(&whole), width) {
            (columns, longest) = (whole, width.max(1));
        }
        let mut names: Vec<String> = fields.iter().map(|field| clip(field.name(), longest)).collect();
        let mut constant = Vec::new();
        if !fits(&sizes(&columns), width) && self.len() > 1 {
            let looks_constant = |texts: &[String]| texts[2..].iter().all(|text| *text == texts[2]);
            let is_constant: Vec<bool> = columns
                .iter()
                .zip(self.batch.columns())
                .map(|(texts, column)| looks_constant(texts) && is_constant(column))
                .collect();
            // Rows that are all equal have nothing else to show.
            if is_constant.contains(&false) {
                for index in (0..columns.len()).rev().filter(|&index| is_constant[index]) {
                    let column = columns.remove(index);
                    constant.push(format!("{} {}", names.remove(index), column[2].trim()));
                }
                constant.reverse();
            }
        }
        // What says least goes first.
        let mut aside = Vec::new();
        for says_little in SECONDARY {
            let found: Vec<usize> =
                (1..names.len()).rev().filter(|&index| says_little(&names[index])).collect();
            for index in found {
                if !fits(&sizes(&columns), width) {
                    columns.remove(index);
                    aside.push(names.remove(index));
                }
            }
        }
        if self.len() == 1 && !columns.is_empty() && !fits(&sizes(&columns), width) {
            return self.record(width, of_columns);
        }
        let (first, last) = shown(&sizes(&columns), width);
        let hidden = first..columns.len() - last;
        let mut text = String::new();
        for line in 0..rows.len() + 2 {
            let mut parts: Vec<&str> = columns[..first].iter().map(|column| column[line].as_str()).collect();
            if !hidden.is_empty() {
                parts.push(MORE);
            }
            parts.extend(columns[hidden.end..].iter().map(|column| column[line].as_str()));
            if self.len() > ROWS && line == 2 + ROWS / 2 {
                text += "⋮\n";
            }
            text += parts.join(SPACE).trim_end();
            text += "\n";
        }
        text += &format!("{}, {}", count(self.len(), "row"), count(of_columns, "column"));
        aside.extend_from_slice(&names[hidden]);
        if !aside.is_empty() {
            let head = format!(", {} not shown: ", aside.len());
            text += &wrap(&head, &aside, text_width(&text), width);
        }
        if !constant.is_empty() {
            text += "\n";
            text += &wrap("the same in all rows: ", &constant, 0, width);
        }
        text
    }
}

/// Whether a column has one value in all rows. Those of lists and the like count as having several.
fn is_constant(column: &ArrayRef) -> bool {
    let rest = column.len().saturating_sub(1);
    not_distinct(&column.slice(0, rest), &column.slice(1, rest)).is_ok_and(|same| same.true_count() == rest)
}

/// A column's name, type and values, padded to one width.
fn lines(field: &Field, column: &ArrayRef, rows: &[usize], longest: usize) -> Vec<String> {
    let kind = field.data_type();
    let mut texts = vec![field.name().clone(), schema::type_name(kind)];
    texts.extend(rows.iter().map(|&row| match kind {
        _ if column.is_null(row) => "null".to_owned(),
        // Whole files may be in there.
        DataType::Binary => match arrow::array::cast::AsArray::as_binary::<i32>(column).value(row).len() {
            1 => "1 byte".to_owned(),
            n => format!("{n} bytes"),
        },
        _ => match Cell::of(column, row) {
            Cell::Null => "null".to_owned(),
            cell => cell.to_string(),
        },
    }));
    let texts: Vec<String> = texts.iter().map(|text| clip(text, longest)).collect();
    let size = texts.iter().map(|text| text.width()).max().unwrap_or(0);
    let pad = |text: &String| {
        let space = " ".repeat(size - text.width());
        if kind.is_numeric() { format!("{space}{text}") } else { format!("{text}{space}") }
    };
    texts.iter().map(pad).collect()
}

/// Whether columns of these sizes stand side by side.
fn fits(sizes: &[usize], width: usize) -> bool {
    let space = SPACE.width();
    sizes.iter().map(|size| size + space).sum::<usize>() <= width + space
}

/// How many columns of these sizes are shown at the left and at the right: by turns as many as fit.
fn shown(sizes: &[usize], width: usize) -> (usize, usize) {
    if fits(sizes, width) {
        return (sizes.len(), 0);
    }
    let space = SPACE.width();
    // One column is shown whatever its size.
    let (mut first, mut last) = (usize::from(!sizes.is_empty()), 0);
    let mut used = sizes.first().map_or(0, |size| size + space) + MORE.width();
    while first + last < sizes.len() {
        let from_right = last < first;
        let next = if from_right { sizes[sizes.len() - 1 - last] } else { sizes[first] };
        if used + next + space > width {
            break;
        }
        used += next + space;
        if from_right { last += 1 } else { first += 1 }
    }
    (first, last)
}

/// `1,234 rows`.
pub(super) fn count(n: usize, what: &str) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {what}{}", if n == 1 { "" } else { "s" })
}

/// A list after its head, in lines of this width; the first one has `used` characters already.
fn wrap(head: &str, names: &[String], used: usize, width: usize) -> String {
    let mut text = head.to_owned();
    let mut line = used + head.width();
    for (index, name) in names.iter().enumerate() {
        let part = if index + 1 < names.len() { format!("{name}, ") } else { name.clone() };
        if line + part.trim_end().width() > width && index > 0 {
            text.truncate(text.trim_end().len());
            text += "\n    ";
            line = 4;
        }
        line += part.width();
        text += &part;
    }
    text
}

/// The width of a text's last line.
fn text_width(text: &str) -> usize {
    text.rsplit('\n').next().unwrap_or_default().width()
}

/// A text in one line that a terminal shows as it is; what is longer is cut.
fn clip(text: &str, longest: usize) -> String {
    let mut out = String::new();
    let mut size = 0;
    // What is longer than this is cut in any case.
    for c in text.chars().take(4 * longest + 1) {
        let before = out.len();
        match c {
            '\n' => out += "\\n",
            '\t' => out += "\\t",
            c => push_visible(&mut out, c),
        }
        size += out[before..].chars().filter_map(UnicodeWidthChar::width).sum::<usize>();
    }
    if size <= longest {
        return out;
    }
    let mut cut = String::new();
    let mut size = 0;
    for c in out.chars() {
        size += c.width().unwrap_or(0);
        if size >= longest {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(120))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, Vec<Cell>)]) -> Table {
        let (names, cells): (Vec<String>, Vec<Vec<Cell>>) =
            columns.iter().map(|(name, cells)| ((*name).to_owned(), cells.clone())).unzip();
        Table::from_cells(&names, &cells).unwrap()
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn values_are_aligned_whatever_they_are() {
        let shown = table(&[
            ("名", vec![text("日本語"), text("a\tb\u{1b}[31m"), Cell::Null]),
            ("x", vec![Cell::Float(0.5), Cell::Float(-1.0 / 3.0), Cell::Float(f64::NAN)]),
            ("n", vec![Cell::Null, Cell::Null, Cell::Null]),
        ])
        .render(80);
        let wanted = "名                    x  n
text            float64  null
日本語              0.5  null
a\\tb\\x1b[31m  -0.333333  null
null                NaN  null
3 rows, 3 columns";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn long_texts_are_cut_and_many_rows_leave_out_the_middle() {
        let long = table(&[("t", vec![text(&"ü".repeat(100)); 2000])]).render(80);
        let lines: Vec<&str> = long.lines().collect();
        assert_eq!(lines.len(), 2 + 20 + 1 + 1);
        assert_eq!((lines[2], lines[12]), (format!("{}…", "ü".repeat(79)).as_str(), "⋮"));
        assert_eq!(lines[23], "2,000 rows, 1 column");
        assert!(
            table(&[("日".repeat(30).as_str(), vec![Cell::Int(1)])])
                .render(20)
                .lines()
                .all(|l| l.width() <= 20)
        );
    }

    #[test]
    fn a_very_wide_table_is_shown_from_both_ends() {
        let names: Vec<String> = (0..100_000).map(|n| format!("column{n}_std")).collect();
        for rows in [1, 2] {
            let wide = Table::from_cells(&names, &vec![vec![Cell::Int(1); rows]; names.len()]).unwrap();
            let shown = wide.render(60);
            assert!(shown.starts_with("column0_std"), "{shown}");
            assert!(shown.contains("100,000 columns"), "{shown}");
            assert!(
                shown.ends_with("99,600 columns in the middle not looked at: .columns names all"),
                "{shown}"
            );
            assert!(shown.len() < 20_000);
        }
    }

    #[test]
    fn wide_tables_leave_out_the_middle_and_name_it() {
        let names: Vec<String> = (0..12).map(|n| format!("column{n}")).collect();
        let one = Table::from_cells(&names, &vec![vec![Cell::Int(1)]; 12]).unwrap();
        let record = one.render(60);
        assert!(
            record.starts_with("column0   1\ncolumn1   1\n") && record.ends_with("1 row, 12 columns"),
            "{record}"
        );
        let wide = Table::from_cells(&names, &vec![vec![Cell::Int(1), Cell::Int(2)]; 12]).unwrap();
        let shown = wide.render(60);
        let wanted = "column0  column1  column2  …  column9  column10  column11
  int64    int64    int64  …    int64     int64     int64
      1        1        1  …        1         1         1
      2        2        2  …        2         2         2
2 rows, 12 columns, 6 not shown: column3, column4, column5,
    column6, column7, column8";
        assert_eq!(shown, wanted);
        let two = table(&[
            ("lr", vec![Cell::Float(0.1); 2]),
            ("model", vec![text("resnet"); 2]),
            ("seed", vec![Cell::Int(1), Cell::Int(2)]),
            ("none", vec![Cell::Null; 2]),
            ("mixed", vec![Cell::Null, Cell::Int(3)]),
        ]);
        let wanted = " seed  mixed
int64  int64
    1   null
    2      3
2 rows, 5 columns
the same in all rows: lr 0.1,
    model resnet, none null";
        assert_eq!(two.render(34), wanted);
        assert!(two.render(80).contains("  model   ") && !two.render(80).contains("same"));
        assert!(wide.render(120).contains("2 rows, 12 columns") && !wide.render(120).contains("not shown"));
        assert!(wide.render(3).starts_with("co…  …\n"), "{}", wide.render(3));
        assert_eq!(Table::from_cells(&[], &[]).unwrap().render(80), "\n\n0 rows, 0 columns");
    }
}
