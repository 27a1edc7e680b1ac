//! The module `lab`: the paper's theory on problems that can be solved.

use std::borrow::Cow;
use std::rc::Rc;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FuncRegistration, Map};

use super::entries::{comment, of_rhai};
use crate::error::{Error, Result};
use crate::interrupt::{check, check_at, leave_behind};
use crate::options::Opt;
use crate::script::axes::Axes;
use crate::script::convert::{Scripted, at, given, known_keys, number};
use crate::table::{Cell, Table};
use crate::theory::{FUNCTIONS, LabFunction, LabRow, LabValue, PROBLEMS, Problem};

/// A problem in scripts.
pub(super) type ProblemHandle = Rc<Problem>;

/// Names the types as scripts see them, and gives scripts the module.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<ProblemHandle>("Problem");
    let mut module = Module::new();
    add_problems(&mut module);
    add_functions(&mut module);
    engine.register_static_module("lab", module.into());
    engine.register_global_module(rhai::exported_module!(properties).into());
}

/// The name within the module.
fn own(name: &str) -> &str {
    name.trim_start_matches("lab::")
}

/// The constructor of every kind of problem.
fn add_problems(module: &mut Module) {
    for problem in PROBLEMS {
        let law = problem.law;
        FuncRegistration::new(own(law.name))
            .with_comments([comment(law.doc, law.example, true)])
            .with_params_info(["options: Map", "Problem"])
            .set_into_module(
                module,
                move |context: NativeCallContext, options: Map| -> Scripted<ProblemHandle> {
                    let problem =
                        given(law.name, law.options, &options).and_then(|given| (problem.read)(&given));
                    problem.map(Rc::new).map_err(|error| at(&context, error))
                },
            );
    }
}

/// Every function of a problem.
fn add_functions(module: &mut Module) {
    for function in FUNCTIONS {
        FuncRegistration::new(own(function.name))
            .with_comments([comment(function.doc, function.example, true)])
            .with_params_info(["problem: Problem", "options: Map", of_rhai(function.returns)])
            .set_into_module(
                module,
                move |context: NativeCallContext,
                      problem: ProblemHandle,
                      options: Map|
                      -> Scripted<Dynamic> {
                    called(function, &problem, &options).map_err(|error| at(&context, error))
                },
            );
    }
}

/// Rows of a table that a call may make: each cell is kept apart until the table is made.
const MAX_ROWS: usize = 1_000_000;

/// One of the settings that the axes make.
#[derive(Clone)]
struct Setting {
    options: Map,
    /// The values of the axes.
    shown: LabRow,
}

/// The settings of a call, and whether an option is an axis.
fn settings(call: &'static str, schema: &'static [Opt], options: &Map) -> Result<(Vec<Setting>, bool)> {
    known_keys(call, options, schema.iter().map(|opt| opt.name))?;
    let mut product = Axes::new(call, "settings");
    let mut fixed = Map::new();
    let mut shown: Vec<&str> = Vec::new();
    for (key, value) in options {
        if !schema.iter().any(|opt| opt.name == key.as_str() && opt.axis) {
            fixed.insert(key.clone(), value.clone());
            continue;
        }
        let values = product.add(key, value)?;
        if values.len() > 1 || !value.is_int() && !value.is_float() && !value.is_string() {
            shown.push(key.as_str());
        }
    }
    let start = Setting { options: fixed, shown: LabRow::new() };
    let settings = product.product(start, |setting, key, value| {
        setting.options.insert(key.into(), value.clone());
        if shown.contains(&key) {
            let value = Cell::Float(number(key, value).unwrap_or(f64::NAN));
            setting.shown.push((Cow::Owned(key.to_owned()), value));
        }
        Ok(())
    })?;
    Ok((settings, !shown.is_empty()))
}

/// Calls a function for every combination of the axes' values, which stand in front of its rows. An
/// interrupt leaves it behind.
fn called(function: &'static LabFunction, problem: &Problem, options: &Map) -> Result<Dynamic> {
    let (settings, has_axis) = settings(function.name, function.options, options)?;
    let count = settings.len();
    let (mut all, mut is_table) = (Vec::new(), has_axis);
    for Setting { options, shown } in settings {
        check()?;
        let given = given(function.name, function.options, &options)?;
        let problem = problem.clone();
        let rows = match leave_behind(function.name, move || (function.call)(&problem, &given))? {
            LabValue::Numbers(rows) => rows,
            LabValue::Table(rows) => {
                is_table = true;
                rows
            }
            LabValue::WithTable(fields, table) => return with_table(&fields, &table),
        };
        if rows.len().saturating_mul(count) > MAX_ROWS {
            return Err(Error::invalid(format!(
                "{}: {count} settings of {} rows each: expected at most {MAX_ROWS} rows; shorten an axis",
                function.name,
                rows.len()
            )));
        }
        for (number, row) in rows.into_iter().enumerate() {
            check_at(number)?;
            all.push(shown.iter().cloned().chain(row).collect());
        }
    }
    if is_table { table_of(&all).map(Dynamic::from) } else { Ok(map_of(&all)) }
}

fn table_of(rows: &[LabRow]) -> Result<Table> {
    let names: Vec<String> =
        rows.first().map(|row| row.iter().map(|(name, _)| name.to_string()).collect()).unwrap_or_default();
    let columns: Vec<Vec<Cell>> =
        (0..names.len()).map(|column| rows.iter().map(|row| row[column].1.clone()).collect()).collect();
    Table::from_cells(&names, &columns)
}

fn dynamic(cell: &Cell) -> Dynamic {
    match cell {
        Cell::Null => Dynamic::UNIT,
        Cell::Bool(value) => (*value).into(),
        Cell::Int(value) => (*value).into(),
        Cell::Float(value) => (*value).into(),
        Cell::Text(value) => value.clone().into(),
    }
}

/// A map of numbers for one row, of arrays for several (one per parameter).
fn map_of(rows: &[LabRow]) -> Dynamic {
    let mut map = Map::new();
    for (column, (name, _)) in rows.first().into_iter().flatten().enumerate() {
        let values: Array = rows.iter().map(|row| dynamic(&row[column].1)).collect();
        let value = if let [value] = values.as_slice() { value.clone() } else { values.into() };
        map.insert(name.as_ref().into(), value);
    }
    map.remove("parameter");
    map.into()
}

fn with_table(fields: &LabRow, table: &[LabRow]) -> Result<Dynamic> {
    let fields = fields.iter().map(|(name, cell)| (name.as_ref().into(), dynamic(cell)));
    let mut map: Map = fields.collect();
    map.insert("table".into(), Dynamic::from(table_of(table)?));
    Ok(map.into())
}

/// Properties and texts of a problem.
#[export_module]
mod properties {
    /// Examples in a training set.
    #[rhai_fn(get = "n", pure)]
    pub fn n(problem: &mut ProblemHandle) -> i64 {
        problem.n() as i64
    }

    /// Parameters.
    #[rhai_fn(get = "dim", pure)]
    pub fn dim(problem: &mut ProblemHandle) -> i64 {
        problem.dim() as i64
    }

    /// A problem in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn problem_to_string(problem: &mut ProblemHandle) -> String {
        problem.label()
    }
}
