//! Values as the prompt and `kelvin -e` show them.

use std::cell::Cell as Counter;

use rhai::{Array, Dynamic, Engine, Map, Scope};
use serde_json::Value;

use super::bindings::PlotHandle;
use super::handles::TrainedRun;
use super::output::print;
use super::pager::page;
use super::screen::width;
use super::sink::{Shown, drawn};
use crate::analysis::GapFit;
use crate::data::Dataset;
use crate::plot::Figure;
use crate::table::{Cell, Table};

/// How values are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: a line of JSON each.
    Json,
}

impl Format {
    /// Shows a value on standard output.
    pub fn show(self, engine: &Engine, value: Dynamic) {
        match self {
            Self::Text => page(&show(engine, value)),
            Self::Json => print(&json(engine, &value).to_string()),
        }
    }
}

/// Elements of an array that are shown.
const MOST: usize = 100;

/// Levels of a value that are shown.
const DEEPEST: usize = 30;

/// Parts of a value that are shown, however it is nested.
const PARTS: usize = 2000;

/// A value as text: maps and long arrays with a line for each part.
pub fn show(engine: &Engine, value: Dynamic) -> String {
    if let Some(map) = value.read_lock::<Map>() {
        return show_map(engine, &map, 0, &Counter::new(PARTS));
    }
    if let Some(array) = value.read_lock::<Array>() {
        return show_array(engine, &array, 0, &Counter::new(PARTS));
    }
    one_line(engine, value, "to_string")
}

/// What a value's own function says of it.
fn one_line(engine: &Engine, value: Dynamic, function: &str) -> String {
    let fallback = value.to_string();
    let mut scope = Scope::new();
    scope.push_dynamic("value", value);
    engine.eval_with_scope::<String>(&mut scope, &format!("value.{function}()")).unwrap_or(fallback)
}

/// A value within another: texts in quotes.
fn part(engine: &Engine, value: &Dynamic, depth: usize, left: &Counter<usize>) -> String {
    if left.get() == 0 || crate::interrupt::raised() {
        return "…".to_owned();
    }
    left.set(left.get() - 1);
    if depth > DEEPEST && (value.is_map() || value.is_array()) {
        return if value.is_map() { "#{…}" } else { "[…]" }.to_owned();
    }
    if let Some(map) = value.read_lock::<Map>() {
        return show_map(engine, &map, depth, left);
    }
    if let Some(array) = value.read_lock::<Array>() {
        return show_array(engine, &array, depth, left);
    }
    if value.is_unit() {
        return "()".to_owned();
    }
    one_line(engine, value.clone(), "to_debug")
}

fn show_map(engine: &Engine, map: &Map, depth: usize, left: &Counter<usize>) -> String {
    let parts: Vec<String> = map
        .iter()
        .take_while(|_| left.get() > 0)
        .map(|(key, value)| format!("{key}: {}", part(engine, value, depth + 1, left)))
        .collect();
    bracketed("#{", parts, "}", depth, 0)
}

fn show_array(engine: &Engine, array: &Array, depth: usize, left: &Counter<usize>) -> String {
    let parts: Vec<String> =
        array.iter().take(MOST).map(|value| part(engine, value, depth + 1, left)).collect();
    bracketed("[", parts, "]", depth, array.len().saturating_sub(MOST))
}

/// Parts in one line, or in a line each where that is too long.
fn bracketed(open: &str, mut parts: Vec<String>, close: &str, depth: usize, more: usize) -> String {
    if more > 0 {
        parts.push(format!("… {more} more"));
    }
    let space = if open == "#{" && !parts.is_empty() { " " } else { "" };
    let line = format!("{open}{space}{}{space}{close}", parts.join(", "));
    if !line.contains('\n') && line.chars().count() + 2 * depth <= width().min(100) {
        return line;
    }
    let indent = "  ".repeat(depth + 1);
    let widest = parts.iter().map(|part| part.chars().count()).max().unwrap_or(0);
    let in_columns = open == "[" && widest <= 20 && !parts.iter().any(|part| part.contains('\n'));
    let row = if in_columns { (width().min(100).saturating_sub(2) / (widest + 2)).max(1) } else { 1 };
    let line = |parts: &[String]| -> String {
        let parts: Vec<String> = match in_columns {
            true => parts.iter().map(|part| format!("{part:>widest$}")).collect(),
            false => parts.to_vec(),
        };
        format!("{indent}{},\n", parts.join(", "))
    };
    let lines: String = parts.chunks(row).map(line).collect();
    format!("{open}\n{lines}{}{close}", "  ".repeat(depth))
}

/// A value as JSON: tables are arrays of objects; what JSON has no numbers for is null.
pub fn json(engine: &Engine, value: &Dynamic) -> Value {
    let number = |value: f64| serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number);
    if value.is_unit() {
        return Value::Null;
    }
    if let Ok(value) = value.as_bool() {
        return Value::Bool(value);
    }
    if let Ok(value) = value.as_int() {
        return value.into();
    }
    if let Ok(value) = value.as_float() {
        return number(value);
    }
    if let Some(map) = value.read_lock::<Map>() {
        return map
            .iter()
            .map(|(key, value)| (key.to_string(), json(engine, value)))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    if let Some(array) = value.read_lock::<Array>() {
        return array.iter().map(|value| json(engine, value)).collect();
    }
    if let Some(table) = value.read_lock::<Table>() {
        return rows(&table);
    }
    if let Some(data) = value.read_lock::<Dataset>() {
        return serde_json::json!({
            "name": data.spec().name(), "images": data.len(), "shape": data.shape(), "classes": data.classes(),
        });
    }
    if let Some(run) = value.read_lock::<TrainedRun>() {
        return serde_json::json!({ "spec": run.spec, "epochs": rows(&run.epochs) });
    }
    if let Some(fit) = value.read_lock::<GapFit>() {
        let fields = [
            ("a", fit.a),
            ("b", fit.b),
            ("c", fit.c),
            ("a_error", fit.a_error),
            ("b_error", fit.b_error),
            ("c_error", fit.c_error),
            ("r2", fit.r2),
            ("n", fit.n as f64),
        ];
        return fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), number(value)))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    Value::String(one_line(engine, value.clone(), "to_string"))
}

/// A value in all forms in which it can be shown.
pub fn shown(engine: &Engine, value: Dynamic) -> Shown {
    let html = value.read_lock::<Table>().map(|table| table.html());
    let draws = value.is::<PlotHandle>() || value.is::<Figure>();
    let taken = draws.then(|| {
        let mut scope = Scope::new();
        scope.push_dynamic("value", value.clone());
        // A plot that cannot be drawn says why when it is asked to; here its line is all there is.
        drawn(|| drop(engine.eval_with_scope::<()>(&mut scope, "value.show()")))
    });
    let svg = taken.flatten().and_then(|shown| shown.svg);
    Shown { text: show(engine, value), html, svg, png: None }
}

fn rows(table: &Table) -> Value {
    let cell = |cell: Cell| match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => value.into(),
        Cell::Int(value) => value.into(),
        Cell::Float(value) => serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number),
        Cell::Text(value) => value.into(),
    };
    let names = table.columns();
    let columns: Vec<_> = names.iter().filter_map(|name| table.column(name).ok()).collect();
    (0..table.len())
        .map(|row| {
            let object = names
                .iter()
                .zip(&columns)
                .map(|(name, column)| ((*name).to_owned(), cell(Cell::of(column, row))));
            Value::Object(object.collect())
        })
        .collect()
}
