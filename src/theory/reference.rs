//! Every row of `lab::check` against both sides and errors that SciPy computed by other means on
//! the same data sets (`tests/reference/make_theory.py`).

use std::collections::BTreeMap;

use super::ensemble::{Ensemble, jackknife_error};
use super::equations::sides;
use super::law::{Example, ExampleSet, Law};
use super::optimum::optimal_temperature;
use super::potential::Gauge;
use super::profiles::columns;
use super::{DoubleWell, Dynamics, LinearRegression, Logistic, SpuriousMinimum};

#[derive(serde::Deserialize)]
struct Case {
    problem: String,
    temperature: f64,
    alpha: f64,
    beta: f64,
    /// Data sets, each example one or two numbers.
    train: Vec<Vec<f64>>,
    test: Vec<Vec<f64>>,
    /// By gauge and row: left, right, the errors of both and of their difference; the share up to
    /// which they are known.
    checks: BTreeMap<String, BTreeMap<String, [Option<f64>; 6]>>,
    /// The test loss; T of Eq. 26 with and without σ_{v,a}.
    optimum: [f64; 3],
    /// What `lab::ensemble` says at the centre.
    columns: BTreeMap<String, f64>,
}

fn sample(values: &[f64], numbers: usize) -> ExampleSet {
    let example = |values: &[f64]| -> Example { [values[0], values.get(1).copied().unwrap_or_default()] };
    ExampleSet { examples: values.chunks(numbers).map(example).collect() }
}

/// Compares a case; returns the rows that were compared in full.
fn compare<L: Law>(law: &L, numbers: usize, case: &Case) -> Vec<String> {
    let dynamics = Dynamics { temperature: case.temperature, alpha: case.alpha, beta: case.beta };
    let train: Vec<ExampleSet> = case.train.iter().map(|values| sample(values, numbers)).collect();
    let ensemble = Ensemble::of(law, &train, &|index| sample(&case.test[index], numbers), dynamics).unwrap();
    let mut whole = Vec::new();
    for (name, gauge) in Gauge::ALL {
        let sides = sides(law, &ensemble, gauge);
        let rows = &case.checks[name];
        assert_eq!(sides.len(), rows.len(), "rows");
        for side in &sides {
            let row = format!("{}: {}", side.equation, side.says);
            let known = &rows[&row];
            let found =
                [side.left.value, side.right.value, side.left.error, side.right.error, side.difference.error];
            // Integrands that jump or have a kink (σ_g is |θ − c| about the reference point) are as
            // good as the grid, tails as good as the range.
            let rough = matches!(side.equation, "34" | "54")
                || gauge == Gauge::Reference && matches!(side.equation, "11" | "24" | "24′");
            let share = if rough { 5e-3 } else { 1e-6 + 100.0 * known[5].unwrap() };
            let scale = found[0].abs();
            for (k, (found, known)) in found.iter().zip(known).enumerate() {
                let Some(known) = known else { continue };
                assert!(
                    (found - known).abs() <= share * known.abs() + 1e-10 * scale,
                    "{}, {name}, Eq. {row}, number {k}: {found}, SciPy has {known}",
                    case.problem
                );
            }
            if known[0].is_some() && known[1].is_some() {
                whole.push(format!("{row} {name}"));
            }
        }
    }
    let (all, without) = ensemble.jackknife(|averages| optimal_temperature(averages).to_vec());
    for (k, known) in case.optimum.iter().enumerate() {
        assert!((all[k] - known).abs() <= 1e-6 * known.abs(), "Eq. 26: {} and {known}", all[k]);
    }
    let columns = columns(&ensemble, Gauge::Normalised);
    let column = |name: &str| &columns.iter().find(|(found, _)| *found == name).unwrap().1;
    let centre = column("theta").iter().position(|theta| *theta == law.region().centre).unwrap();
    for (name, known) in &case.columns {
        let found = column(name)[centre];
        assert!(
            (found - known).abs() <= 1e-6 * known.abs() + 1e-9,
            "{}, {name}: {found}, SciPy has {known}",
            case.problem
        );
    }
    // That of the test loss is a row's, too.
    let error = jackknife_error(&without.iter().map(|values| values[0]).collect::<Vec<_>>());
    let known = case.checks["normalised"]["4: test loss"][3].unwrap();
    assert!((error - known).abs() < 1e-6 * known);
    whole
}

#[test]
fn every_equation_has_the_sides_and_errors_that_scipy_found() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/reference/theory.json")).unwrap();
    let mut whole = Vec::new();
    for case in &cases {
        whole.extend(match case.problem.as_str() {
            "linear_regression" => compare(&LinearRegression::default(), 2, case),
            "double_well" => compare(&DoubleWell::default(), 1, case),
            "logistic" => compare(&Logistic::default(), 1, case),
            "spurious_minimum" => compare(&SpuriousMinimum::default(), 2, case),
            other => panic!("{other}"),
        });
    }
    whole.sort();
    whole.dedup();
    // Each row of both gauges, in one case at least.
    assert_eq!(whole.len(), 2 * cases[0].checks["normalised"].len(), "{whole:?}");
}
