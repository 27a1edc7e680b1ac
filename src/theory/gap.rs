//! The gap measured, as a covariance (Eq. 6) and its bound (Eq. 7); the best temperature (Eq. 26).

use nalgebra::{DMatrix, DVector};

use super::density::{Density, grid_for};
use super::ensemble::{Ensemble, EnsembleOptions, Estimate, in_parallel, jackknife_error};
use super::equations::{self, Claim, Gauge, Side};
use super::linear_regression::LinearRegression;
use super::problem::{Dynamics, Law, Local, Problem, Sample, with_law};
use super::quadratic::{Moments, Quadratic};
use crate::error::{Error, Result};
use crate::rng::Stream;

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

/// Sums over data sets of what the equations need of a regression: ρ enters through its first two moments alone.
#[derive(Clone)]
struct Block {
    datasets: f64,
    /// Means over data sets come of these: E[θθ′], E[θ], H, c, E[y²].
    square: DMatrix<f64>,
    mean: DVector<f64>,
    h: DMatrix<f64>,
    c: DVector<f64>,
    y2: f64,
    train: f64,
    test: f64,
    /// ⟨Ū⟩, exact.
    population: f64,
    /// Both sides of Eq. 35, as traces.
    relation: [f64; 2],
}

impl Block {
    fn none(d: usize) -> Self {
        let (matrix, vector) = (DMatrix::zeros(d, d), DVector::zeros(d));
        Self {
            datasets: 0.0,
            square: matrix.clone(),
            mean: vector.clone(),
            h: matrix,
            c: vector,
            y2: 0.0,
            train: 0.0,
            test: 0.0,
            population: 0.0,
            relation: [0.0; 2],
        }
    }

    fn add(&mut self, other: &Self) {
        self.datasets += other.datasets;
        self.square += &other.square;
        self.mean += &other.mean;
        self.h += &other.h;
        self.c += &other.c;
        self.y2 += other.y2;
        self.train += other.train;
        self.test += other.test;
        self.population += other.population;
        for (sum, other) in self.relation.iter_mut().zip(other.relation) {
            *sum += other;
        }
    }
}

/// Number, words, left and right side.
type MomentRow = (&'static str, &'static str, f64, f64);

/// Test loss and both right sides of Eq. 26 at a temperature.
type Curves<'a> = &'a dyn Fn(usize) -> [f64; 3];

/// Eqs. 3, 4, 6 and 35 of a regression with several parameters.
fn by_moments(law: &LinearRegression, options: &EnsembleOptions) -> Result<Vec<Side>> {
    const BLOCKS: usize = 20;
    options.check(law.n)?;
    let EnsembleOptions { dynamics, datasets, test, seed } = options.clone();
    let Dynamics { temperature, alpha, beta } = dynamics;
    let d = law.dim;
    let block = |block: usize| -> Result<Block> {
        let mut sum = Block::none(d);
        for index in (block..datasets).step_by(BLOCKS) {
            crate::interrupt::check()?;
            let data = Quadratic::draw(law, law.n, seed, Stream::DataSet, index as u64);
            let tests = Quadratic::draw(law, test.unwrap_or(law.n), seed, Stream::TestSet, index as u64);
            let moments = data.diffusion(&dynamics).map_err(|error| match error {
                Error::Interrupted => Error::Interrupted,
                error => Error::invalid(format!("data set {} of {datasets}: {error}", index + 1)),
            })?;
            let Moments { mean, covariance } = &moments;
            let square = covariance + mean * mean.transpose();
            let population = 0.5
                * (law.noise.powi(2)
                    + (0..d)
                        .map(|k| {
                            let away = mean[k] - law.true_weight();
                            law.deviation(k).powi(2) * (covariance[(k, k)] + away * away)
                        })
                        .sum::<f64>());
            let dissipation = 2.0 * (data.h.component_mul(covariance).sum() + alpha * covariance.trace());
            let fluctuation = temperature * (data.mean_noise(&moments).trace() + beta * beta * d as f64);
            sum.add(&Block {
                datasets: 1.0,
                train: data.loss(&moments),
                test: tests.loss(&moments),
                population,
                relation: [dissipation, fluctuation],
                square,
                mean: mean.clone(),
                h: data.h,
                c: data.c,
                y2: data.y2,
            });
        }
        Ok(sum)
    };
    let blocks = in_parallel(BLOCKS, &block)?;
    let rows = |left_out: Option<usize>| -> Vec<MomentRow> {
        let mut all = Block::none(d);
        blocks.iter().enumerate().filter(|(k, _)| Some(*k) != left_out).for_each(|(_, block)| all.add(block));
        let n = all.datasets;
        let [train, test, population] = [all.train, all.test, all.population].map(|sum| sum / n);
        // ⟨⟨Ū⟩⟩ with Ū from the same training sets, of which each meets its own ρ once in n times.
        let apart = 0.5
            * (all.h.component_mul(&all.square).sum() / (n * n) - 2.0 * all.c.dot(&all.mean) / (n * n)
                + all.y2 / n);
        let covariance = n / (n - 1.0) * (train - apart);
        let relation = all.relation.map(|sum| sum / n);
        let [dissipation, fluctuation] = relation;
        vec![
            ("3", "train loss", train, covariance + population),
            ("4", "test loss", test, population),
            ("6", "gap as a covariance", test - train, -covariance),
            ("35", "fluctuation and dissipation, traces", dissipation, fluctuation),
        ]
    };
    let (all, without) = (rows(None), (0..BLOCKS).map(|block| rows(Some(block))).collect::<Vec<_>>());
    let estimate = |of: &dyn Fn(&[MomentRow]) -> f64| {
        let values: Vec<f64> = without.iter().map(|rows| of(rows)).collect();
        Estimate { value: of(&all), error: jackknife_error(&values) }
    };
    Ok((0..all.len())
        .map(|row| Side {
            equation: all[row].0,
            says: all[row].1,
            claim: Claim::Equal,
            left: estimate(&|rows| rows[row].2),
            right: estimate(&|rows| rows[row].3),
            difference: estimate(&|rows| rows[row].2 - rows[row].3),
            assumptions: String::new(),
        })
        .collect())
}

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
    let temperatures: Vec<f64> = (0..points).map(|k| from * (step * k as f64).exp()).collect();
    let (mut test_loss, mut right_side, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for &temperature in &temperatures {
        let options =
            EnsembleOptions { dynamics: Dynamics { temperature, ..options.dynamics }, ..options.clone() };
        let ensemble = Ensemble::new(law, n, &options)?;
        // Every curve of the jackknife has its own optimum.
        let (values, curves) =
            ensemble.jackknife(|averages| equations::optimal_temperature(averages).to_vec());
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

/// Where a function of temperatures that are equidistant in ln T is smallest: the vertex of the parabola through the smallest value
/// and its neighbours; none at the ends.
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

impl Problem {
    /// Eq. 18 on training set `index` of a seed: θ, U_ℓ, U′, D, v, a and ρ, a column each.
    ///
    /// # Errors
    ///
    /// As of [`Problem::gap`]; with more than one parameter.
    pub fn density(
        &self,
        dynamics: &Dynamics,
        seed: i64,
        index: u64,
    ) -> Result<Vec<(&'static str, Vec<f64>)>> {
        self.check()?;
        dynamics.check()?;
        with_law!(self, "lab::density", law => {
            density_of(law, &Sample::draw(law, self.n(), seed, Stream::DataSet, index), dynamics)
        })
    }
}

fn density_of<L: Law>(
    law: &L,
    sample: &Sample,
    dynamics: &Dynamics,
) -> Result<Vec<(&'static str, Vec<f64>)>> {
    let (grid, reference) = grid_for(law, std::slice::from_ref(sample), dynamics)?;
    let density = Density::new::<L>(sample, dynamics, &grid, reference)?;
    let local = |of: fn(&Local) -> f64| density.local.iter().map(of).collect();
    Ok(vec![
        ("theta", grid.values().collect()),
        ("train_loss", local(|one| one.loss)),
        ("gradient", local(|one| one.gradient)),
        ("noise", local(|one| one.noise)),
        ("v", density.v.clone()),
        ("a", density.a.clone()),
        ("density", density.density.clone()),
    ])
}

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
