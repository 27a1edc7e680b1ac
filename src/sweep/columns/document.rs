//! What is written of the columns, made from the list: the topic `columns` of help, and
//! `docs/columns.md`. `KELVIN_WRITE_DOCS=1 cargo test --lib columns_are_documented` writes both
//! anew.

use std::path::Path;

use super::{Column, Role, of_epochs, of_plan, of_runs, of_steady};

/// Columns of a line of help, at most.
const WIDTH: usize = 120;

const HEAD: &str = "\
# Columns

Every column of kelvin's tables, as `help(\"columns\")` lists them. This file is made from the list in
`src/sweep/columns/list.rs`. Columns keep their order and new ones come last. Files of versions before
\"since\" lack a column; `results(dir)` takes it from the plan, or gives null.

A column's role says what analyses make of it. *Settings* decide a run's temperature and time. Runs that
differ in a *parameter* are never compared as if they were equal. Runs that differ in a *seed* alone are
replicas. *Progress* has no steady state.
";

/// A table, or a part of one, and its columns.
struct Section {
    title: &'static str,
    text: &'static str,
    columns: Vec<&'static Column>,
}

fn sections() -> Vec<Section> {
    let section = |title, text, columns: Vec<&'static Column>| Section { title, text, columns };
    let is_planned = |column: &&'static Column| column.role.is_planned();
    let of_epochs = |wanted: fn(&Column) -> bool| of_epochs(true).filter(|column| wanted(column)).collect();
    vec![
        section(
            "Parameters",
            "The epochs table (run, results, train().epochs) has a row per run and epoch. Every parameter \
             is in every row, and whatever distinguishes two runs is told by one of them:",
            of_epochs(|column| column.role.is_planned()),
        ),
        section(
            "Metrics",
            "Every row has these of its epoch; accuracies are fractions:",
            of_epochs(|column| !column.role.is_planned() && column.role != Role::Measure),
        ),
        section(
            "Measured quantities",
            "With measure: [\"gradient\", \"hessian\", \"spectrum\"] it has these at every tenth epoch and \
             at the last, of the function that SGD descends (batch norm in training mode, batches of B; \
             null elsewhere):",
            of_epochs(|column| column.role == Role::Measure),
        ),
        section(
            "Steady state",
            "steady() has a row per run: the parameters, the metrics' medians, and",
            of_steady().collect(),
        ),
        section(
            "Plan",
            ".plan(dir) has a row per run of the plan: the parameters, and",
            of_plan().filter(|column| !is_planned(column)).collect(),
        ),
        section(
            "Runs",
            "runs.parquet has a row per run that began, as of when the last call of run(dir) ended: the \
             parameters, and",
            of_runs().filter(|column| !is_planned(column)).collect(),
        ),
    ]
}

/// A text after a beginning, in lines of [`WIDTH`] that go on below the text.
fn wrapped(beginning: &str, text: &str) -> String {
    let indent = beginning.chars().count();
    let (mut lines, mut length) = (beginning.to_owned(), indent);
    for word in text.split(' ') {
        let room = word.chars().count() + 1;
        if length + room > WIDTH {
            lines += &format!("\n{:indent$}", "");
            length = indent;
        } else if length > indent {
            lines.push(' ');
        }
        lines += word;
        length += room;
    }
    lines + "\n"
}

fn topic() -> String {
    let sections = sections();
    let names = sections.iter().flat_map(|section| &section.columns);
    let width = names.map(|column| column.name.len()).max().unwrap_or(0);
    let line = |column: &&Column| {
        let unit = if column.unit.is_empty() { String::new() } else { format!(", in {}", column.unit) };
        wrapped(&format!("    {:width$}  ", column.name), &format!("{}{unit}", column.doc))
    };
    let section = |section: &Section| {
        format!("{}\n{}", wrapped("", section.text), section.columns.iter().map(line).collect::<String>())
    };
    sections.iter().map(section).collect::<Vec<_>>().join("\n")
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for Section { title, text, columns } in sections() {
        page += &format!("\n## {title}\n\n{}", markdown(text));
        page += "\n\n| column | role | unit | meaning | since |\n|---|---|---|---|---|\n";
        for Column { name, role, unit, doc, since, .. } in columns {
            page += &format!("| `{name}` | {} | {unit} | {} | {since} |\n", role.name(), markdown(doc));
        }
    }
    page
}

/// A text of help, in which a bar is no end of a cell.
fn markdown(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn columns_are_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, wanted) in [("src/script/manual/columns.md", topic()), ("docs/columns.md", page())] {
        let path = root.join(file);
        if std::env::var_os("KELVIN_WRITE_DOCS").is_some() {
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == wanted, "{file} is not what the list makes; write it with KELVIN_WRITE_DOCS=1");
    }
}

#[test]
fn a_table_has_a_column_once() {
    let tables: [Vec<&Column>; 3] =
        [of_epochs(true).chain(of_steady()).collect(), of_plan().collect(), of_runs().collect()];
    for columns in tables {
        let mut names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        names.sort_unstable();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None);
        assert!(columns.iter().all(|column| !column.doc.is_empty()));
    }
}
