//! The best temperature: where the test loss is smallest, and where Eq. 26 holds.

use super::Problem;
use super::dynamics::{ALPHA, BETA, Dynamics};
use super::ensemble::{Averages, DATASETS, Ensemble, EnsembleOptions, jackknife_error};
use super::estimate::Estimate;
use super::function::{LabFunction, LabRow, LabValue, SEED, rows_of};
use super::law::Law;
use super::potential::{Gauge, Potential, zip};
use super::problem::with_law;
use crate::error::{Error, Result};
use crate::options::{Bounds, DefaultValue, Kind, Opt};
use crate::table::Cell;

pub(super) const ENTRY: LabFunction = LabFunction {
    name: "lab::optimum",
    returns: "map",
    doc: "The best temperature: where the test loss is smallest (`measured`), where Eq. 26 holds (`predicted`), and \
          where it does without σ_va (`approximate`), with standard errors, () where it is not within the range; \
          `says` tells it in words, `table` has the test loss at each temperature.",
    example: "lab::optimum(lab::double_well(#{ tilt: 0.1 }), #{ from: 0.02, to: 2, points: 9, datasets: 200 })",
    options: &[
        Opt::new("from", Kind::Number(Bounds::POSITIVE), DefaultValue::Required, "the lowest temperature"),
        Opt::new("to", Kind::Number(Bounds::POSITIVE), DefaultValue::Required, "the highest one"),
        Opt::new(
            "points",
            Kind::Integer(5, 1000),
            DefaultValue::Integer(25),
            "temperatures between them, equidistant in ln T",
        ),
        ALPHA,
        BETA,
        DATASETS,
        SEED,
    ],
    call: |problem, given| {
        let (from, to) = (given.number("from")?, given.number("to")?);
        let options = EnsembleOptions::read(Dynamics::at(from, given)?, None, given)?;
        let found = problem.optimum(&options, from, to, given.count("points")?)?;
        Ok(LabValue::WithTable(found.fields(), found.rows()))
    },
};

/// The best temperature measured and predicted.
#[derive(Clone, Debug)]
pub struct Optimum {
    /// The temperatures tried, ascending.
    pub temperatures: Vec<f64>,
    /// The test loss ⟨⟨Ū⟩⟩ at each.
    pub test_loss: Vec<Estimate>,
    /// The right side of Eq. 26 at each, with and without σ_{v,a}.
    pub right_side: Vec<[f64; 2]>,
    /// Where the test loss is smallest; none where that is an end of the range.
    pub measured: Option<Estimate>,
    /// Where Eq. 26 holds; none where it does so nowhere in the range.
    pub predicted: Option<Estimate>,
    /// Where it does without σ_{v,a}.
    pub approximate: Option<Estimate>,
}

impl Optimum {
    /// What was found, in words.
    pub fn says(&self) -> String {
        let (first, last) = (self.temperatures.first().copied(), self.temperatures.last().copied());
        let losses: Vec<f64> = self.test_loss.iter().map(|loss| loss.value).collect();
        let lowest = losses.first() < losses.last();
        let short = |estimate: &Estimate| format!("T = {:.3} ± {:.3}", estimate.value, estimate.error);
        let measured = match &self.measured {
            Some(estimate) => format!("the test loss is smallest at {}", short(estimate)),
            None => format!(
                "the test loss is smallest at an end of the range, T = {}",
                if lowest { first } else { last }.unwrap_or(f64::NAN)
            ),
        };
        let predicted = match &self.predicted {
            Some(estimate) => format!("Eq. 26 holds at {}", short(estimate)),
            None => "Eq. 26 holds nowhere in the range".to_owned(),
        };
        let contradiction = if self.measured.is_none() && self.predicted.is_some() {
            ", which is no optimum: ρ̄ is not the log-normal one that it assumes"
        } else {
            ""
        };
        format!("{measured}; {predicted}{contradiction}")
    }

    fn fields(&self) -> LabRow {
        let mut fields = vec![("says".into(), Cell::Text(self.says()))];
        for (name, estimate) in
            [("measured", self.measured), ("predicted", self.predicted), ("approximate", self.approximate)]
        {
            let cell =
                |of: fn(Estimate) -> f64| estimate.map_or(Cell::Null, |estimate| Cell::Float(of(estimate)));
            fields.push((name.into(), cell(|estimate| estimate.value)));
            fields.push((format!("{name}_error").into(), cell(|estimate| estimate.error)));
        }
        fields
    }

    fn rows(&self) -> Vec<LabRow> {
        let columns = vec![
            ("temperature", self.temperatures.clone()),
            ("test_loss", self.test_loss.iter().map(|one| one.value).collect()),
            ("test_loss_error", self.test_loss.iter().map(|one| one.error).collect()),
            ("right_side", self.right_side.iter().map(|sides| sides[0]).collect()),
            ("right_side_approximate", self.right_side.iter().map(|sides| sides[1]).collect()),
        ];
        rows_of(columns, Cell::Float)
    }
}

impl Problem {
    /// The temperature of the smallest test loss between two, and Eq. 26's.
    ///
    /// # Errors
    ///
    /// As of [`Problem::gap`]; with more than one parameter.
    pub fn optimum(&self, options: &EnsembleOptions, from: f64, to: f64, points: usize) -> Result<Optimum> {
        self.check()?;
        if !(from > 0.0 && to > from && to.is_finite()) {
            return Err(Error::invalid(format!(
                "from, to: expected temperatures with 0 < from < to, found {from} and {to}"
            )));
        }
        if !(5..=1000).contains(&points) {
            return Err(Error::invalid(format!("points: expected 5 to 1,000 temperatures, found {points}")));
        }
        with_law!(self, "lab::optimum", law => optimum(law, self.n(), options, from, to, points))
    }
}

fn optimum<L: Law>(
    law: &L,
    n: usize,
    options: &EnsembleOptions,
    from: f64,
    to: f64,
    points: usize,
) -> Result<Optimum> {
    let step = (to / from).ln() / (points - 1) as f64;
    let mut temperatures: Vec<f64> = (0..points).map(|k| from * (step * k as f64).exp()).collect();
    // As it was written, and not nearly so.
    temperatures[points - 1] = to;
    let (mut test_loss, mut right_side, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for &temperature in &temperatures {
        let options =
            EnsembleOptions { dynamics: Dynamics { temperature, ..options.dynamics }, ..options.clone() };
        let ensemble = Ensemble::new(law, n, &options)?;
        // Every curve of the jackknife has its own optimum.
        let (values, curves) = ensemble.jackknife(|averages| optimal_temperature(averages).to_vec());
        let losses: Vec<f64> = curves.iter().map(|values| values[0]).collect();
        test_loss.push(Estimate { value: values[0], error: jackknife_error(&losses) });
        right_side.push([values[1], values[2]]);
        without.push(curves);
    }
    let estimate = |of: &dyn Fn(Curves) -> Option<f64>| -> Option<Estimate> {
        let value = of(&|k| [test_loss[k].value, right_side[k][0], right_side[k][1]])?;
        let blocks = without[0].len();
        let others: Vec<f64> = (0..blocks)
            .map(|block| of(&|k| [0, 1, 2].map(|column| without[k][block][column])).unwrap_or(f64::NAN))
            .collect();
        Some(Estimate { value, error: jackknife_error(&others) })
    };
    let crossing = |column: usize| {
        let temperatures = &temperatures;
        move |at: &dyn Fn(usize) -> [f64; 3]| root(temperatures, &|k| at(k)[column])
    };
    let smallest = |at: &dyn Fn(usize) -> [f64; 3]| minimum(&temperatures, &|k| at(k)[0]);
    let (measured, predicted, approximate) =
        (estimate(&smallest), estimate(&crossing(1)), estimate(&crossing(2)));
    Ok(Optimum { measured, predicted, approximate, temperatures, test_loss, right_side })
}

/// T of Eq. 26 at the ensemble's own T, with and without σ_{v,a}; ⟨⟨Ū⟩⟩ comes first.
pub(super) fn optimal_temperature(averages: &Averages) -> [f64; 3] {
    let ensemble = averages.ensemble();
    let q = Potential::new(averages, Gauge::Reference);
    let loss: Vec<f64> = ensemble.population.iter().map(|one| one.loss).collect();
    let over = |values: &[f64]| averages.over_mean_density(values.iter().copied());
    let covariance =
        |values: &[f64]| over(&zip(&loss, values, |u, value| u * value)) - over(&loss) * over(values);
    let top = 2.0 * covariance(&q.v2);
    let exact = covariance(&zip(&q.v, &q.va, |v, va| v - va));
    [over(&loss), top / exact, top / covariance(&q.v)]
}

/// Where a function of temperatures that are equidistant in ln T is smallest: the vertex of the
/// parabola through the smallest value and its neighbours; none at the ends.
fn minimum(temperatures: &[f64], f: &dyn Fn(usize) -> f64) -> Option<f64> {
    let k = (0..temperatures.len()).min_by(|&a, &b| f(a).total_cmp(&f(b)))?;
    (k > 0 && k + 1 < temperatures.len()).then(|| {
        let (left, middle, right) = (f(k - 1), f(k), f(k + 1));
        let shift = 0.5 * (left - right) / (left - 2.0 * middle + right);
        temperatures[k] * (temperatures[k + 1] / temperatures[k]).powf(shift)
    })
}

/// The lowest temperature that is equal to a function of it, which was larger before.
fn root(temperatures: &[f64], side: &dyn Fn(usize) -> f64) -> Option<f64> {
    let f = |k: usize| (side(k) / temperatures[k]).ln();
    (0..temperatures.len() - 1).find(|&k| f(k) > 0.0 && f(k + 1) <= 0.0).map(|k| {
        let share = f(k) / (f(k) - f(k + 1));
        temperatures[k] * (temperatures[k + 1] / temperatures[k]).powf(share)
    })
}

/// Test loss and both right sides of Eq. 26 at a temperature.
type Curves<'a> = &'a dyn Fn(usize) -> [f64; 3];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minima_and_roots_between_temperatures() {
        let t: Vec<f64> = (0..9).map(|k| 0.1 * 1.5f64.powi(k)).collect();
        let at = |best: f64| minimum(&t, &|k| (t[k] / best).ln().powi(2) - 3.0);
        for best in [0.4, 0.5, 0.77] {
            assert!((at(best).unwrap() / best - 1.0).abs() < 1e-12);
        }
        assert!(at(0.01).is_none() && at(100.0).is_none());
        let found = root(&t, &|k| 0.3 * (0.3 / t[k]).powi(2)).unwrap();
        assert!((found / 0.3 - 1.0).abs() < 1e-12, "{found}");
        assert!(root(&t, &|k| 2.0 * t[k]).is_none() && root(&t, &|_| -1.0).is_none());
    }
}
