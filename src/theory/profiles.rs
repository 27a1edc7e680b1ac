//! Averages over data sets at every θ, for tables and plots.

use super::Problem;
use super::dynamics::{ALPHA, BETA, Dynamics, TEMPERATURE};
use super::ensemble::Field::{Density as Rho, Train};
use super::ensemble::{DATASETS, Ensemble, EnsembleOptions, TEST};
use super::function::{LabFunction, LabValue, SEED, rows_of};
use super::potential::{GAUGE, Gauge, Potential, normalised, zip};
use super::problem::with_law;
use crate::error::Result;
use crate::table::Cell;

pub(super) const ENTRY: LabFunction = LabFunction {
    name: "lab::ensemble",
    returns: "Table",
    doc: "Averages over data sets, a row per θ: ρ̄ (`mean_density`), its log-normal approximation (Eq. 10), the \
          population loss, means and standard deviations over data sets, and Cov_D(ρ, U) (`covariance`), whose \
          integral is minus the gap. An array of temperatures is an axis.",
    example: r#"let table = lab::ensemble(lab::double_well(#{}), #{ temperature: 0.2, datasets: 200 });
plot(table).x("theta").y("mean_density").show()"#,
    options: &[TEMPERATURE.axis(), ALPHA, BETA, DATASETS, TEST, GAUGE, SEED],
    call: |problem, given| {
        let options = EnsembleOptions::read(Dynamics::read(given)?, given.given_count("test")?, given)?;
        let columns = problem.ensemble(&options, given.choice("gauge", &Gauge::ALL)?)?;
        Ok(LabValue::Table(rows_of(columns, Cell::number)))
    },
};

impl Problem {
    /// Averages over data sets at every θ, a column each.
    ///
    /// # Errors
    ///
    /// As of [`Problem::gap`]; with more than one parameter.
    pub fn ensemble(&self, options: &EnsembleOptions, gauge: Gauge) -> Result<Vec<(&'static str, Vec<f64>)>> {
        self.check()?;
        with_law!(self, "lab::ensemble", law => {
            Ok(columns(&Ensemble::new(law, self.n(), options)?, gauge))
        })
    }
}

/// What is known of θ on the ensemble, column by column.
pub(super) fn columns(ensemble: &Ensemble, gauge: Gauge) -> Vec<(&'static str, Vec<f64>)> {
    let averages = ensemble.all();
    let p = Potential::new(&averages, gauge);
    let roots = |values: Vec<f64>| values.into_iter().map(|value| value.max(0.0).sqrt()).collect::<Vec<_>>();
    let log_normal = normalised(&averages, &zip(&p.g2, &p.g, |g2, g| 0.5 * g2 - g));
    let log_normal = log_normal.unwrap_or_else(|| vec![f64::NAN; p.g.len()]);
    vec![
        ("theta", ensemble.grid.values().collect()),
        ("mean_density", averages.mean(Rho).to_vec()),
        ("log_normal_density", log_normal),
        ("sigma_density", roots(averages.covariance(Rho, Rho))),
        ("population_loss", ensemble.population.iter().map(|one| one.loss).collect()),
        ("sigma_loss", ensemble.population.iter().map(|one| one.loss_variance.max(0.0).sqrt()).collect()),
        ("mean_train_loss", averages.mean(Train).to_vec()),
        ("sigma_train_loss", roots(averages.covariance(Train, Train))),
        ("covariance", averages.covariance(Rho, Train)),
        ("mean_g", p.g),
        ("sigma_g", roots(p.g2)),
        ("mean_v", p.v),
        ("covariance_g_train_loss", p.gu),
    ]
}
