//! Averages over data sets of a regression with several parameters, whose density is known by its
//! moments alone.

use nalgebra::{DMatrix, DVector};

use super::dynamics::Dynamics;
use super::ensemble::{EnsembleOptions, in_parallel, jackknife_error};
use super::estimate::Estimate;
use super::law::DataSetKey;
use super::linear_regression::LinearRegression;
use super::quadratic::Moments;
use super::sides::{Claim, EquationCheck};
use crate::error::{Error, Result};

/// Sums over data sets of what the equations need of a regression: ρ enters through its first two
/// moments alone.
#[derive(Clone)]
struct MomentSums {
    datasets: f64,
    /// Means over data sets come of these: `E[θθ′]`, `E[θ]`, H, c, `E[y²]`.
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

impl MomentSums {
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

/// Eqs. 3, 4, 6 and 35 of a regression with several parameters.
pub(super) fn by_moments(law: &LinearRegression, options: &EnsembleOptions) -> Result<Vec<EquationCheck>> {
    const BLOCKS: usize = 20;
    options.check(law.n)?;
    let EnsembleOptions { dynamics, datasets, test, seed } = options.clone();
    let Dynamics { temperature, alpha, beta } = dynamics;
    let d = law.dim;
    let block = |block: usize| -> Result<MomentSums> {
        let mut sum = MomentSums::none(d);
        for index in (block..datasets).step_by(BLOCKS) {
            crate::interrupt::check()?;
            let data = law.data_set(&DataSetKey::train(law.n, seed, index as u64));
            let tests = law.data_set(&DataSetKey::test(test.unwrap_or(law.n), seed, index as u64));
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
            sum.add(&MomentSums {
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
        let mut all = MomentSums::none(d);
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
        .map(|row| EquationCheck {
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
