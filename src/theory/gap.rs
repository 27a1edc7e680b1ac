//! The gap measured, as a covariance (Eq. 6) and its bound (Eq. 7), and what else is asked of an ensemble.

use super::ensemble::{Ensemble, EnsembleOptions, Estimate};
use super::equations::{self, Gauge, Side};
use super::moments::by_moments;
use super::problem::{Problem, with_law};
use crate::error::{Error, Result};

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

    /// Both sides of every equation at one temperature. With more than one parameter: of those that need no density.
    ///
    /// # Errors
    ///
    /// As of [`Problem::gap`].
    pub fn check_equations(&self, options: &EnsembleOptions, gauge: Gauge) -> Result<Vec<Side>> {
        self.check()?;
        match self {
            Self::LinearRegression(law) if law.dim > 1 => by_moments(law, options),
            _ => with_law!(self, "lab::check", law => {
                Ok(equations::sides(law, &Ensemble::new(law, self.n(), options)?, gauge))
            }),
        }
    }

    /// Averages over data sets at every θ, a column each.
    ///
    /// # Errors
    ///
    /// As of [`Problem::gap`]; with more than one parameter.
    pub fn ensemble(&self, options: &EnsembleOptions, gauge: Gauge) -> Result<Vec<(&'static str, Vec<f64>)>> {
        self.check()?;
        with_law!(self, "lab::ensemble", law => {
            Ok(equations::columns(&Ensemble::new(law, self.n(), options)?, gauge))
        })
    }
}
