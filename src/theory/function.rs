//! What scripts are told of a function of `lab`: name, meaning, example, options, and the call.

use std::borrow::Cow;

use super::Problem;
use super::estimate::Estimate;
use crate::error::Result;
use crate::options::{DefaultValue, Given, Kind, Opt};
use crate::table::Cell;

/// A function of a problem: `lab::gap(problem, #{temperature: 0.1})`.
#[derive(Clone, Copy)]
pub struct LabFunction {
    /// Its name: `lab::gap`.
    pub name: &'static str,
    /// The type that scripts get, as help names it.
    pub returns: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// A script that runs.
    pub example: &'static str,
    /// Its options. Those that may be axes are called with one value each time.
    pub options: &'static [Opt],
    /// Calls it.
    pub call: fn(&Problem, &Given) -> Result<LabValue>,
}

/// What a function of `lab` finds.
pub enum LabValue {
    /// Rows of a table.
    Table(Vec<LabRow>),
    /// Numbers, or a row for each parameter: a table only where an option is an axis.
    Numbers(Vec<LabRow>),
    /// Named values, and a table by the name `table`.
    WithTable(LabRow, Vec<LabRow>),
}

/// A row: names and values.
pub type LabRow = Vec<(Cow<'static, str>, Cell)>;

/// The option `seed`.
pub(super) const SEED: Opt =
    Opt::new("seed", Kind::INTEGER, DefaultValue::Integer(1), "what decides all draws");

/// A named number of a row.
pub(super) fn named(name: impl Into<Cow<'static, str>>, value: f64) -> (Cow<'static, str>, Cell) {
    (name.into(), Cell::number(value))
}

/// An estimate with its standard error.
pub(super) fn with_error(name: &'static str, Estimate { value, error }: Estimate) -> LabRow {
    vec![named(name, value), named(format!("{name}_error"), error)]
}

/// Rows of columns of one length.
pub(super) fn rows_of<N: Into<Cow<'static, str>> + Clone>(
    columns: Vec<(N, Vec<f64>)>,
    cell: fn(f64) -> Cell,
) -> Vec<LabRow> {
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    let row =
        |row: usize| columns.iter().map(|(name, values)| (name.clone().into(), cell(values[row]))).collect();
    (0..rows).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{FUNCTIONS, PROBLEMS};
    use super::*;
    use crate::options::Value;

    /// What is required, and what makes a call quick.
    const SMALL: [(&str, Value); 11] = [
        ("temperature", Value::Number(0.1)),
        ("from", Value::Number(0.1)),
        ("to", Value::Number(0.4)),
        ("points", Value::Integer(5)),
        ("lr", Value::Number(0.1)),
        ("low", Value::Number(-1.0)),
        ("high", Value::Number(1.0)),
        ("datasets", Value::Integer(20)),
        ("steps", Value::Integer(100)),
        ("chains", Value::Integer(4)),
        ("time", Value::Number(2.0)),
    ];

    /// Every problem has its defaults, and every function reads its options as its schema says.
    #[test]
    fn every_function_can_be_called_of_every_problem() {
        for problem in PROBLEMS {
            let given = Given::read(problem.law.name, problem.law.options, []).unwrap();
            let problem = (problem.read)(&given).unwrap();
            problem.check().unwrap();
            for function in FUNCTIONS {
                // Far from 1 all examples of a spurious minimum have one gradient.
                let options = SMALL.into_iter().chain([("beta", Value::Number(0.5))]);
                let known = |name: &str| function.options.iter().any(|opt| opt.name == name);
                // Of lab::diffusion these belong to one of the methods or to momentum.
                let unused =
                    |name: &str| function.name == "lab::diffusion" && ["points", "lr"].contains(&name);
                let options = options.filter(|(name, _)| known(name) && !unused(name));
                let options = options.map(|(name, value)| (name.to_owned(), value));
                let given = Given::read(function.name, function.options, options).unwrap();
                let found = (function.call)(&problem, &given);
                let rows = match found.unwrap_or_else(|error| panic!("{}: {error}", function.name)) {
                    LabValue::Table(rows) | LabValue::Numbers(rows) | LabValue::WithTable(_, rows) => rows,
                };
                assert!(!rows.is_empty() && !rows[0].is_empty(), "{}", function.name);
                assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{}", function.name);
            }
        }
    }

    #[test]
    fn a_problem_is_told_with_its_options_and_checked_by_its_schema() {
        let problem = |name: &str| PROBLEMS.iter().find(|problem| problem.law.name == name).unwrap();
        let made = |name: &str, options: Vec<(String, Value)>| {
            let problem = problem(name);
            Given::read(name, problem.law.options, options).and_then(|given| (problem.read)(&given))
        };
        let label = |name: &str| made(name, Vec::new()).unwrap().label();
        assert_eq!(label("lab::gaussian_mean"), "gaussian_mean(mean: 0, sigma: 1, n: 20)");
        assert_eq!(
            label("lab::linear_regression"),
            "linear_regression(n: 50, dim: 1, noise: 1, weight: 1, spread: 1)"
        );
        for (name, option, value) in [
            ("lab::gaussian_mean", "sigma", Value::Number(0.0)),
            ("lab::logistic", "n", Value::Integer(0)),
            ("lab::linear_regression", "dim", Value::Integer(17)),
            ("lab::double_well", "tilt", Value::Number(f64::INFINITY)),
        ] {
            let error = made(name, vec![(option.to_owned(), value)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{option}: expected ")), "{error}");
        }
        let none = Problem::Logistic(crate::theory::Logistic { n: 0, ..Default::default() });
        assert!(none.check().unwrap_err().to_string().starts_with("n: expected "));
    }
}
