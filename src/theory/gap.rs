//! The gap measured, as a covariance (Eq. 6) and its bound (Eq. 7).

use super::Problem;
use super::dynamics::{ALPHA, BETA, Dynamics, TEMPERATURE};
use super::ensemble::{DATASETS, EnsembleOptions, TEST};
use super::estimate::Estimate;
use super::function::{LabFunction, LabRow, LabValue, SEED, named, with_error};
use super::potential::Gauge;
use crate::error::{Error, Result};
use crate::table::Cell;

pub(super) const ENTRY: LabFunction = LabFunction {
    name: "lab::gap",
    returns: "any",
    doc: "The gap of a problem, averaged over data sets: `gap` measured, `covariance` = −∫Cov(ρ, U)dθ (Eq. 6), their \
          `difference`, the `bound` of Eq. 7, `train_loss` and `test_loss`, each with its standard error. Arrays of \
          temperature, alpha, beta and datasets are axes: then it is a table. All settings share their data sets, so \
          their errors go together.",
    example: r#"let gaps = lab::gap(lab::logistic(#{ n: 50 }), #{ temperature: [0.05, 0.2, 0.8], datasets: 200 });
print(gaps);
plot(gaps).x("temperature").y("gap").log_x().show()"#,
    options: &[TEMPERATURE.axis(), ALPHA.axis(), BETA.axis(), DATASETS.axis(), TEST, SEED],
    call: |problem, given| {
        let options = EnsembleOptions::read(Dynamics::read(given)?, given.given_count("test")?, given)?;
        Ok(LabValue::Numbers(vec![problem.gap(&options)?.row()]))
    },
};

/// The gap of a problem at one temperature.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Test loss minus train loss, averaged over data sets.
    pub gap: Estimate,
    /// −∫Cov(ρ, U_ℓ)dθ (Eq. 6).
    pub covariance: Estimate,
    /// Their difference; its error is smaller than those of both, which share training sets.
    pub difference: Estimate,
    /// Eq. 7; none with more than one parameter.
    pub bound: Option<Estimate>,
    /// ⟨U_ℓ⟩ and ⟨U_e⟩, averaged over data sets.
    pub train_loss: Estimate,
    /// The test loss.
    pub test_loss: Estimate,
    /// Data sets.
    pub datasets: usize,
}

impl Gap {
    /// What is compared comes first: a table that is too wide hides what is in the middle.
    fn row(&self) -> LabRow {
        let none = Estimate { value: f64::NAN, error: f64::NAN };
        let bound = self.bound.unwrap_or(none);
        let compared = [("gap", self.gap), ("covariance", self.covariance), ("bound", bound)];
        let mut row: LabRow = compared.iter().map(|(name, estimate)| named(*name, estimate.value)).collect();
        row.extend(compared.iter().map(|(name, estimate)| named(format!("{name}_error"), estimate.error)));
        row.extend(with_error("difference", self.difference));
        row.extend(with_error("train_loss", self.train_loss));
        row.extend(with_error("test_loss", self.test_loss));
        row.push(("datasets".into(), Cell::Int(self.datasets as i64)));
        row
    }
}

impl Problem {
    /// The gap at one temperature.
    ///
    /// # Errors
    ///
    /// Where Eq. 18 cannot be normalised (the message says why), or a number is out of range.
    pub fn gap(&self, options: &EnsembleOptions) -> Result<Gap> {
        let sides = self.check_equations(options, Gauge::Normalised)?;
        let find = |equation: &str| {
            let missing = || Error::invalid(format!("Eq. {equation} was not computed"));
            sides.iter().find(|side| side.equation == equation).ok_or_else(missing)
        };
        let six = find("6")?;
        Ok(Gap {
            gap: six.left,
            covariance: six.right,
            difference: six.difference,
            bound: find("7").ok().map(|seven| seven.right),
            train_loss: find("3")?.left,
            test_loss: find("4")?.left,
            datasets: options.datasets,
        })
    }
}
