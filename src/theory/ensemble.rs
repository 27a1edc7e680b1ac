//! Averages over data sets: ρ̄, ⟨·⟩, ⟨⟨·⟩⟩ and Cov_D of section 2.1, with standard errors.
//!
//! Each data set is a training set, its density (Eq. 18) on one grid for all, and a test set.
//! Products are summed at every θ, so that covariances over data sets are known at every θ; they
//! are summed in blocks of data sets, and an error is the jackknife's, which leaves out one block
//! at a time (Efron and Stein 1981).

use super::density::{Density, Grid, grid_for};
use super::dynamics::Dynamics;
use super::estimate::Estimate;
use super::law::{DataSetKey, ExampleSet, Law, Local, Population};
use crate::error::{Error, Result};
use crate::options::{DefaultValue, Given, Kind, Opt};

/// What is averaged, and how often.
#[derive(Clone, Debug)]
pub struct EnsembleOptions {
    /// T, α, β.
    pub dynamics: Dynamics,
    /// Data sets.
    pub datasets: usize,
    /// Examples in a test set; none: as many as in a training set.
    pub test: Option<usize>,
    /// What decides the draws.
    pub seed: i64,
}

/// The option `datasets`.
pub(super) const DATASETS: Opt = Opt::new(
    "datasets",
    Kind::Integer(EnsembleOptions::MIN_DATASETS as i64, EnsembleOptions::MAX_DATASETS as i64),
    DefaultValue::Integer(1000),
    "data sets that are averaged over",
);

/// The option `test`.
pub(super) const TEST: Opt = Opt::new(
    "test",
    Kind::Integer(1, 1_000_000),
    DefaultValue::Absent("as many as in a training set"),
    "examples in a test set",
);

impl EnsembleOptions {
    /// Fewer data sets say nothing of errors.
    pub const MIN_DATASETS: usize = 20;

    /// Data sets at most.
    pub const MAX_DATASETS: usize = 10_000_000;

    /// Reads [`DATASETS`], [`TEST`] where the call has it, and the seed.
    pub(super) fn read(dynamics: Dynamics, test: Option<usize>, given: &Given) -> Result<Self> {
        Ok(Self { dynamics, datasets: given.count("datasets")?, test, seed: given.integer("seed")? })
    }

    /// Checks the numbers; `n` examples are in a training set.
    pub(super) fn check(&self, n: usize) -> Result<()> {
        self.dynamics.check()?;
        if !(Self::MIN_DATASETS..=Self::MAX_DATASETS).contains(&self.datasets) {
            return Err(Error::invalid(format!(
                "datasets: expected {} to 10,000,000 data sets, found {}",
                Self::MIN_DATASETS,
                self.datasets
            )));
        }
        if let Some(test) = self.test.filter(|test| !(1..=1_000_000).contains(test)) {
            return Err(Error::invalid(format!(
                "test: expected 1 to 1,000,000 examples in a test set, found {test}"
            )));
        }
        let examples = self.datasets.saturating_mul(n);
        if examples > 200_000_000 {
            return Err(Error::invalid(format!(
                "datasets: {} data sets of {n} examples are more than memory is asked for; expected 200,000,000 examples at most",
                self.datasets
            )));
        }
        Ok(())
    }
}

/// Functions of θ and the data set whose products are averaged over data sets at every θ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// ρ(θ|x).
    Density,
    /// U_ℓ.
    Train,
    /// U_ℓ².
    TrainSquare,
    /// U_e.
    Test,
    /// Eq. 19, 0 at the reference point.
    V,
    /// Eq. 20, 0 at the reference point.
    A,
    /// ½T ln Z, which v lacks for Z = 1.
    Constant,
}

use Field::{A, Constant, Density as Rho, Test, Train, TrainSquare, V};

const FIELDS: [Field; 7] = [Rho, Train, TrainSquare, Test, V, A, Constant];

/// The pairs of which products are wanted.
const PAIRS: [(Field, Field); 15] = [
    (Rho, Rho),
    (Rho, Train),
    (Rho, TrainSquare),
    (Rho, Test),
    (Rho, V),
    (Rho, A),
    (Train, Train),
    (Train, V),
    (Train, A),
    (Train, Constant),
    (V, V),
    (V, A),
    (V, Constant),
    (A, A),
    (A, Constant),
];

/// Averages of one data set over its own density.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scalars {
    /// ⟨U_ℓ⟩ and ⟨U_ℓ²⟩.
    pub(super) train: f64,
    pub(super) train_square: f64,
    /// ⟨U_e⟩, of the test set.
    pub(super) test: f64,
    /// ⟨v⟩, ⟨a⟩ and ⟨vU_ℓ⟩, with v and a 0 at the reference point.
    pub(super) v: f64,
    pub(super) a: f64,
    pub(super) v_train: f64,
    /// ½T ln Z.
    pub(super) constant: f64,
    /// ∂_T ⟨U_ℓ⟩, by a difference.
    pub(super) train_slope: f64,
    /// The parts of ⟨U′ + αθ⟩ that push down and up, which are equal at rest (Eq. 34).
    pub(super) drift: [f64; 2],
    /// Both sides of Eqs. 35 to 37 at stationarity.
    pub(super) relations: [[f64; 2]; 3],
}

impl Scalars {
    fn of(density: &Density, grid: &Grid, dynamics: &Dynamics, tests: &[Local]) -> Self {
        let Dynamics { temperature, alpha, beta } = *dynamics;
        let mean = |f: &dyn Fn(usize) -> f64| density.mean(grid, (0..grid.points()).map(f));
        let local = |point: usize| density.local[point];
        let drift = |point: usize| local(point).gradient + alpha * grid.at(point);
        let noise = |point: usize| local(point).noise + beta * beta;
        let theta = mean(&|point| grid.at(point));
        let [train, v] = [mean(&|point| local(point).loss), mean(&|point| density.v[point])];
        // The same density at T(1 ± ε), by its ratio to this one.
        let at_other = |factor: f64| {
            let change = 2.0 / temperature * (1.0 / factor - 1.0);
            let ratio = |point: usize| density.density[point] * (-change * (density.v[point] - v)).exp();
            let z = grid.integral((0..grid.points()).map(ratio));
            grid.integral((0..grid.points()).map(|point| ratio(point) * local(point).loss)) / z
        };
        const EPSILON: f64 = 1e-4;
        let train_slope = (at_other(1.0 + EPSILON) - at_other(1.0 - EPSILON)) / (2.0 * EPSILON * temperature);
        Self {
            train,
            train_square: mean(&|point| local(point).loss.powi(2)),
            test: mean(&|point| tests[point].loss),
            v,
            a: mean(&|point| density.a[point]),
            v_train: mean(&|point| density.v[point] * local(point).loss),
            constant: 0.5 * temperature * density.log_z,
            train_slope,
            drift: [mean(&|point| drift(point).max(0.0)), mean(&|point| (-drift(point)).max(0.0))],
            relations: [
                [2.0 * mean(&|point| drift(point) * (grid.at(point) - theta)), temperature * mean(&noise)],
                [
                    mean(&|point| local(point).gradient * drift(point)),
                    0.5 * temperature * mean(&|point| local(point).curvature * noise(point)),
                ],
                [
                    mean(&|point| tests[point].gradient * drift(point)),
                    0.5 * temperature * mean(&|point| tests[point].curvature * noise(point)),
                ],
            ],
        }
    }
}

/// Sums over some data sets.
#[derive(Clone)]
struct Sums {
    datasets: usize,
    /// Of each field, at each θ.
    fields: Vec<Vec<f64>>,
    /// Of each pair's products, at each θ.
    pairs: Vec<Vec<f64>>,
    scalars: Vec<Scalars>,
}

impl Sums {
    fn none(points: usize) -> Self {
        let rows = |n| vec![vec![0.0; points]; n];
        Self { datasets: 0, fields: rows(FIELDS.len()), pairs: rows(PAIRS.len()), scalars: Vec::new() }
    }

    fn add(&mut self, values: &[Vec<f64>; FIELDS.len()], scalars: Scalars) {
        self.datasets += 1;
        self.scalars.push(scalars);
        for (sums, values) in self.fields.iter_mut().zip(values) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        for (sums, (one, other)) in self.pairs.iter_mut().zip(PAIRS) {
            let products = values[one as usize].iter().zip(&values[other as usize]);
            sums.iter_mut().zip(products).for_each(|(sum, (a, b))| *sum += a * b);
        }
    }
}

/// Data sets of a problem, averaged.
pub(super) struct Ensemble {
    pub(super) grid: Grid,
    pub(super) dynamics: Dynamics,
    /// Examples in a training set.
    pub(super) n: usize,
    /// What is known exactly, at each θ.
    pub(super) population: Vec<Population>,
    blocks: Vec<Sums>,
}

/// Blocks of the jackknife.
const BLOCKS: usize = 20;

impl Ensemble {
    /// Draws data sets and sums.
    pub(super) fn new<L: Law>(law: &L, n: usize, options: &EnsembleOptions) -> Result<Self> {
        options.check(n)?;
        let EnsembleOptions { dynamics, datasets, test, seed } = options.clone();
        let mut samples = Vec::with_capacity(datasets);
        for index in 0..datasets {
            crate::interrupt::check()?;
            samples.push(ExampleSet::draw(law, &DataSetKey::train(n, seed, index as u64)));
        }
        let test = test.unwrap_or(n);
        let test_set = |index: usize| ExampleSet::draw(law, &DataSetKey::test(test, seed, index as u64));
        Self::of(law, &samples, &test_set, dynamics)
    }

    /// Sums over training sets of one size, each with its test set.
    pub(super) fn of<L: Law>(
        law: &L,
        samples: &[ExampleSet],
        test_set: &(dyn Fn(usize) -> ExampleSet + Sync),
        dynamics: Dynamics,
    ) -> Result<Self> {
        // The grid must hold every density.
        let (grid, reference) = grid_for(law, samples, &dynamics)?;
        let block = |block: usize| -> Result<Sums> {
            let mut sums = Sums::none(grid.points());
            for index in (block..samples.len()).step_by(BLOCKS) {
                crate::interrupt::check()?;
                let density = Density::new::<L>(&samples[index], &dynamics, &grid, reference)?;
                let test = test_set(index);
                let tests = test.at_each::<L>(&grid)?;
                let scalars = Scalars::of(&density, &grid, &dynamics, &tests);
                let losses: Vec<f64> = density.local.iter().map(|local| local.loss).collect();
                let squares = losses.iter().map(|loss| loss * loss).collect();
                let tests = tests.iter().map(|local| local.loss).collect();
                let constant = vec![scalars.constant; grid.points()];
                let Density { density, v, a, .. } = density;
                sums.add(&[density, losses, squares, tests, v, a, constant], scalars);
            }
            Ok(sums)
        };
        let blocks = in_parallel(BLOCKS, &block)?;
        let population = grid.values().map(|theta| law.population(theta)).collect();
        let n = samples.first().map_or(0, |sample| sample.examples.len());
        Ok(Self { grid, dynamics, n, population, blocks })
    }

    /// The averages over all data sets.
    pub(super) fn all(&self) -> Averages<'_> {
        Averages::new(self, None)
    }

    /// Functions of the averages over all data sets, and over all but those of each block.
    pub(super) fn jackknife(&self, of: impl Fn(&Averages) -> Vec<f64>) -> (Vec<f64>, Vec<Vec<f64>>) {
        (of(&self.all()), (0..BLOCKS).map(|block| of(&Averages::new(self, Some(block)))).collect())
    }

    /// Functions of the averages with their standard errors.
    pub(super) fn estimates(&self, of: impl Fn(&Averages) -> Vec<f64>) -> Vec<Estimate> {
        let (all, without) = self.jackknife(of);
        let error = |k: usize| jackknife_error(&without.iter().map(|values| values[k]).collect::<Vec<_>>());
        all.iter().enumerate().map(|(k, &value)| Estimate { value, error: error(k) }).collect()
    }
}

/// The standard error of an estimate from those without each block.
pub(super) fn jackknife_error(without: &[f64]) -> f64 {
    let b = without.len() as f64;
    let mean = without.iter().sum::<f64>() / b;
    ((b - 1.0) / b * without.iter().map(|value| (value - mean).powi(2)).sum::<f64>()).sqrt()
}

/// Averages over data sets, all or all but one block.
pub(super) struct Averages<'a> {
    ensemble: &'a Ensemble,
    left_out: Option<usize>,
    datasets: f64,
    fields: Vec<Vec<f64>>,
    pairs: Vec<Vec<f64>>,
}

impl<'a> Averages<'a> {
    fn new(ensemble: &'a Ensemble, left_out: Option<usize>) -> Self {
        let mut sums = Sums::none(ensemble.grid.points());
        let add = |sums: &mut [Vec<f64>], others: &[Vec<f64>]| {
            for (sums, others) in sums.iter_mut().zip(others) {
                sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
            }
        };
        for (_, block) in ensemble.blocks.iter().enumerate().filter(|(index, _)| Some(*index) != left_out) {
            sums.datasets += block.datasets;
            add(&mut sums.fields, &block.fields);
            add(&mut sums.pairs, &block.pairs);
        }
        let datasets = sums.datasets as f64;
        let mean = |mut rows: Vec<Vec<f64>>| {
            rows.iter_mut().flatten().for_each(|sum| *sum /= datasets);
            rows
        };
        Self { ensemble, left_out, datasets, fields: mean(sums.fields), pairs: mean(sums.pairs) }
    }

    /// How many data sets.
    pub(super) fn datasets(&self) -> f64 {
        self.datasets
    }

    pub(super) fn ensemble(&self) -> &'a Ensemble {
        self.ensemble
    }

    /// The mean of a field over data sets, at every θ; of the density it is ρ̄.
    pub(super) fn mean(&self, field: Field) -> &[f64] {
        &self.fields[field as usize]
    }

    /// Cov_D of two fields at every θ, without bias.
    pub(super) fn covariance(&self, one: Field, other: Field) -> Vec<f64> {
        let pair = PAIRS.iter().position(|pair| *pair == (one, other) || *pair == (other, one));
        let Some(pair) = pair else { return vec![f64::NAN; self.ensemble.grid.points()] };
        let unbiased = self.datasets / (self.datasets - 1.0);
        let means = self.mean(one).iter().zip(self.mean(other));
        self.pairs[pair].iter().zip(means).map(|(product, (a, b))| unbiased * (product - a * b)).collect()
    }

    /// ⟨⟨f⟩⟩: the integral of ρ̄ f.
    pub(super) fn over_mean_density(&self, values: impl IntoIterator<Item = f64>) -> f64 {
        self.ensemble.grid.integral(self.mean(Rho).iter().zip(values).map(|(density, value)| density * value))
    }

    /// The mean over data sets of averages of one data set.
    pub(super) fn scalar(&self, of: impl Fn(&Scalars) -> f64) -> f64 {
        let blocks = self.ensemble.blocks.iter().enumerate();
        let blocks = blocks.filter(|(index, _)| Some(*index) != self.left_out);
        blocks.flat_map(|(_, block)| &block.scalars).map(of).sum::<f64>() / self.datasets
    }
}

/// The results of a function of 0..n, on all cores; the first error or an interrupt ends it.
pub(super) fn in_parallel<T: Send>(n: usize, work: &(dyn Fn(usize) -> Result<T> + Sync)) -> Result<Vec<T>> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, scope) = (AtomicUsize::new(0), crate::interrupt::scope());
    let worker = || {
        crate::interrupt::work_for(scope.clone());
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= n {
                return Ok(done);
            }
            match work(index) {
                Ok(value) => done.push((index, value)),
                Err(error) => {
                    next.store(n, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let parts = std::thread::scope(|threads| {
        let workers: Vec<_> =
            (0..cores.min(n)).map(|_| crate::threads::start(threads, worker)).collect::<Result<_>>()?;
        Result::Ok(workers.into_iter().map(|worker| worker.join()).collect::<Vec<_>>())
    })?;
    let mut results = Vec::new();
    for part in parts {
        results.extend(part.map_err(|_| Error::invalid("a thread of the computation panicked"))??);
    }
    results.sort_by_key(|(index, _): &(usize, T)| *index);
    Ok(results.into_iter().map(|(_, value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under another α and β than the density's own, the sides of Eqs. 34 to 37 differ by what
    /// those add: at rest, where both sides are equal, one of them could stand for the other.
    #[test]
    fn away_from_rest_the_relations_differ_by_what_is_added() {
        use crate::theory::Logistic;
        const ALPHA: f64 = 0.3;
        const BETA2: f64 = 0.2;
        let law = Logistic { slope: 1.0, n: 30 };
        let [train, test] =
            [DataSetKey::train(30, 3, 0), DataSetKey::test(30, 3, 0)].map(|set| ExampleSet::draw(&law, &set));
        let own = Dynamics { temperature: 0.3, alpha: 0.1, beta: 0.4 };
        let (grid, reference) = grid_for(&law, std::slice::from_ref(&train), &own).unwrap();
        let density = Density::new::<Logistic>(&train, &own, &grid, reference).unwrap();
        let tests: Vec<Local> = grid.values().map(|theta| test.at::<Logistic>(theta)).collect();
        let other = Dynamics { alpha: own.alpha + ALPHA, beta: (own.beta * own.beta + BETA2).sqrt(), ..own };
        let found = Scalars::of(&density, &grid, &other, &tests);
        let mean = |f: &dyn Fn(usize) -> f64| density.mean(&grid, (0..grid.points()).map(f));
        let theta = mean(&|k| grid.at(k));
        let variance = mean(&|k| (grid.at(k) - theta).powi(2));
        let half_t = 0.5 * own.temperature;
        let local = &density.local;
        let expected = [
            ALPHA * theta,
            2.0 * (ALPHA * variance - half_t * BETA2),
            ALPHA * mean(&|k| local[k].gradient * grid.at(k))
                - half_t * BETA2 * mean(&|k| local[k].curvature),
            ALPHA * mean(&|k| tests[k].gradient * grid.at(k))
                - half_t * BETA2 * mean(&|k| tests[k].curvature),
        ];
        let [first, second, third] = found.relations;
        for ([left, right], expected) in [found.drift, first, second, third].into_iter().zip(expected) {
            let difference = left - right;
            assert!((difference - expected).abs() < 1e-7, "{difference}, expected {expected}");
            assert!(expected.abs() > 1e-3, "{expected} decides nothing");
        }
    }

    /// Of a mean the jackknife's error is the usual one.
    #[test]
    fn the_jackknife_of_a_mean() {
        let values = [1.0, 4.0, 2.0, 7.0, 5.5];
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let without: Vec<f64> = values.iter().map(|value| (n * mean - value) / (n - 1.0)).collect();
        assert!((jackknife_error(&without) - (variance / n).sqrt()).abs() < 1e-12);
    }
}
