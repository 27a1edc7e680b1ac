//! Every equation of the paper on a problem, with both sides.

use super::Problem;
use super::dynamics::{ALPHA, BETA, Dynamics, TEMPERATURE};
use super::ensemble::{DATASETS, Ensemble, EnsembleOptions, TEST};
use super::equations::sides;
use super::function::{LabFunction, LabRow, LabValue, SEED, named};
use super::moments::by_moments;
use super::potential::{GAUGE, Gauge};
use super::problem::with_law;
use super::sides::EquationCheck;
use crate::error::Result;
use crate::table::Cell;

pub(super) const ENTRY: LabFunction = LabFunction {
    name: "lab::check",
    returns: "Table",
    doc: "Every equation of the paper's section 2 and of its Appendices A, C and D on a problem: `left` and `right` \
          side, their `difference` and its standard error, a `verdict`, and where its `assumptions` fail. Identities \
          are *equal* within five standard errors or *differ*, bounds *hold* or *fail*, approximations *agree within \
          their error* (two standard errors), are *off by x %* or *fail*; what is infinite or has no finite error is \
          *not defined* or *not decided*. Rows with a prime have a slip of the paper mended (docs/theory.md). Arrays \
          of temperature, alpha and beta are axes. With several parameters: Eqs. 3, 4, 6 and 35.",
    example: r#"let rows = lab::check(lab::gaussian_mean(#{}), #{ temperature: 0.1, datasets: 200 });
rows.select(["equation", "says", "left", "right", "verdict"])"#,
    options: &[TEMPERATURE.axis(), ALPHA.axis(), BETA.axis(), DATASETS, TEST, GAUGE, SEED],
    call: |problem, given| {
        let options = EnsembleOptions::read(Dynamics::read(given)?, given.given_count("test")?, given)?;
        let sides = problem.check_equations(&options, given.choice("gauge", &Gauge::ALL)?)?;
        Ok(LabValue::Table(sides.iter().map(row).collect()))
    },
};

fn row(side: &EquationCheck) -> LabRow {
    vec![
        ("equation".into(), Cell::Text(side.equation.to_owned())),
        named("left", side.left.value),
        named("right", side.right.value),
        named("standard_error", side.difference.error),
        ("verdict".into(), Cell::Text(side.verdict())),
        ("says".into(), Cell::Text(side.says.to_owned())),
        named("difference", side.difference.value),
        ("assumptions".into(), Cell::Text(side.assumptions.clone())),
    ]
}

impl Problem {
    /// Both sides of every equation at one temperature. With more than one parameter: of those that
    /// need no density.
    ///
    /// # Errors
    ///
    /// As of [`Problem::gap`].
    pub fn check_equations(&self, options: &EnsembleOptions, gauge: Gauge) -> Result<Vec<EquationCheck>> {
        self.check()?;
        match self.several_parameters() {
            Some(law) => by_moments(law, options),
            None => with_law!(self, "lab::check", law => {
                Ok(sides(law, &Ensemble::new(law, self.n(), options)?, gauge))
            }),
        }
    }
}
