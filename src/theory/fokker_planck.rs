//! The Fokker-Planck equation of plain SGD in one dimension (Eq. 47), in the time t′ = λt, by
//! finite volumes.
//!
//! ∂ρ/∂t′ = ∂{(U′ + αθ)ρ + ½T ∂((D + β²)ρ)}. The current between two cells is Scharfetter and
//! Gummel's (1969), which is exact where drift and diffusion are constant between the cells'
//! middles; none leaves the grid, so the mass is kept. Steps of time are Crank and Nicolson's,
//! after four half steps of Euler's backward rule that damp what a sharp start brings in (Rannacher
//! 1984).

use super::Problem;
use super::density::{Density, Grid, grid_for};
use super::dynamics::Dynamics;
use super::law::{DataSetKey, ExampleSet, Law};
use super::problem::with_law;
use crate::error::{Error, Result};

/// What is solved.
#[derive(Clone, Debug)]
pub struct FokkerPlanckOptions {
    /// T, α, β.
    pub dynamics: Dynamics,
    /// Where ρ starts, a normal law of this mean,
    pub start: f64,
    /// and this standard deviation.
    pub width: f64,
    /// How long, in t′ = λt.
    pub time: f64,
    /// Steps of time.
    pub steps: usize,
    /// Cells.
    pub points: usize,
    /// What decides the training set.
    pub seed: i64,
}

/// ρ at the end.
#[derive(Clone, Debug)]
pub struct FokkerPlanck {
    /// The middles of the cells.
    pub theta: Vec<f64>,
    /// ρ at the start.
    pub start: Vec<f64>,
    /// ρ at the end.
    pub density: Vec<f64>,
    /// Eq. 18.
    pub stationary: Vec<f64>,
    /// By how much the mass was off 1 at the worst step.
    pub mass_error: f64,
}

impl Problem {
    /// Solves the equation on training set 0 of the seed.
    ///
    /// # Errors
    ///
    /// Where a number is out of range or Eq. 18 cannot be normalised; with more than one parameter.
    pub fn fokker_planck(&self, options: &FokkerPlanckOptions) -> Result<FokkerPlanck> {
        self.check()?;
        options.dynamics.check()?;
        for (name, value) in [("width", options.width), ("time", options.time)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::invalid(format!("{name}: expected a number > 0, found {value}")));
            }
        }
        if !options.start.is_finite() {
            return Err(Error::invalid("start: expected a finite number"));
        }
        for (name, value, least) in [("steps", options.steps, 4), ("points", options.points, 10)] {
            if !(least..=1_000_000).contains(&value) {
                return Err(Error::invalid(format!("{name}: expected {least} to 1,000,000, found {value}")));
            }
        }
        with_law!(self, "lab::diffusion", law => solve(law, self.n(), options))
    }
}

/// x / (eˣ − 1).
fn bernoulli(x: f64) -> f64 {
    if x.abs() < 1e-5 { 1.0 - 0.5 * x + x * x / 12.0 } else { x / x.exp_m1() }
}

/// Rates at which the mass of a cell goes over to the next one, and back.
struct Rates {
    out: Vec<f64>,
    back: Vec<f64>,
}

impl Rates {
    /// ρ's change in a unit of time. What leaves a cell enters its neighbour: the sum is zero to
    /// the last digit.
    fn change(&self, rho: &[f64]) -> Vec<f64> {
        let current = |i: usize| self.out[i] * rho[i] - self.back[i] * rho[i + 1];
        let mut change = vec![0.0; rho.len()];
        for i in 0..rho.len() - 1 {
            let current = current(i);
            change[i] -= current;
            change[i + 1] += current;
        }
        change
    }

    /// A step of Euler's backward rule: solves ρ' = ρ + h change(ρ') by elimination (the matrix is
    /// diagonally dominant in its columns), and moves the mass by the currents of the solution, so
    /// that none is lost by rounding.
    fn backward(&self, h: f64, rho: &[f64]) -> Vec<f64> {
        let n = rho.len();
        let leaves = |i: usize| {
            (if i + 1 < n { self.out[i] } else { 0.0 }) + if i > 0 { self.back[i - 1] } else { 0.0 }
        };
        let (mut upper, mut x) = (vec![0.0; n], rho.to_vec());
        let mut pivot = 1.0 + h * leaves(0);
        x[0] /= pivot;
        for i in 1..n {
            upper[i - 1] = -h * self.back[i - 1] / pivot;
            let below = -h * self.out[i - 1];
            pivot = 1.0 + h * leaves(i) - below * upper[i - 1];
            x[i] = (x[i] - below * x[i - 1]) / pivot;
        }
        for i in (0..n - 1).rev() {
            x[i] -= upper[i] * x[i + 1];
        }
        let change = self.change(&x);
        rho.iter().zip(change).map(|(rho, change)| rho + h * change).collect()
    }

    /// A step of Euler's forward rule.
    fn forward(&self, h: f64, rho: &[f64]) -> Vec<f64> {
        rho.iter().zip(self.change(rho)).map(|(rho, change)| rho + h * change).collect()
    }
}

fn solve<L: Law>(law: &L, n: usize, options: &FokkerPlanckOptions) -> Result<FokkerPlanck> {
    let FokkerPlanckOptions { dynamics, start, width, time, steps, points, seed } = options.clone();
    let Dynamics { temperature, alpha, beta } = dynamics;
    let sample = ExampleSet::draw(law, &DataSetKey::train(n, seed, 0));
    let (grid, _) = grid_for(law, std::slice::from_ref(&sample), &dynamics)?;
    let (first, last) = (grid.at(0), grid.at(grid.points() - 1));
    // Wide enough for the start and for Eq. 18.
    let (low, high) = (first.min(start - 8.0 * width), last.max(start + 8.0 * width));
    let h = (high - low) / points as f64;
    if width < h {
        return Err(Error::invalid(format!(
            "width: expected at least a cell, {h:.3e}, found {width}; write more points or a wider start"
        )));
    }
    let theta: Vec<f64> = (0..points).map(|i| low + h * (i as f64 + 0.5)).collect();
    let mut rates = Rates { out: vec![0.0; points - 1], back: vec![0.0; points - 1] };
    for i in 0..points - 1 {
        crate::interrupt::check()?;
        let middle = low + h * (i + 1) as f64;
        let local = sample.at::<L>(middle);
        let noise = local.noise + beta * beta;
        let half_t = 0.5 * temperature;
        // Advection velocity of ρ, with the part of the diffusion that is drift.
        let drift = local.gradient + alpha * middle + half_t * local.noise_slope;
        let x = h * drift / (half_t * noise);
        let rate = half_t * noise / (h * h);
        (rates.out[i], rates.back[i]) = (rate * bernoulli(x), rate * bernoulli(-x));
    }
    let normal = |values: Vec<f64>| {
        let mass = h * values.iter().sum::<f64>();
        values.into_iter().map(|value| value / mass).collect::<Vec<_>>()
    };
    let first = normal(theta.iter().map(|theta| (-0.5 * ((theta - start) / width).powi(2)).exp()).collect());
    let mut rho = first.clone();
    let mut mass_error: f64 = 0.0;
    let dt = time / steps as f64;
    for step in 0..steps {
        crate::interrupt::check()?;
        rho = if step < 2 {
            rates.backward(0.5 * dt, &rates.backward(0.5 * dt, &rho))
        } else {
            rates.backward(0.5 * dt, &rates.forward(0.5 * dt, &rho))
        };
        let mass = h * rho.iter().sum::<f64>();
        if (mass - 1.0).abs() > mass_error.abs() {
            mass_error = mass - 1.0;
        }
    }
    // Eq. 18 itself, on the cells' middles.
    let middles = Grid::uniform(theta[0], h, points);
    let stationary =
        Density::new::<L>(&sample, &dynamics, &middles, middles.nearest(law.region().centre))?.density;
    Ok(FokkerPlanck { theta, start: first, density: rho, stationary, mass_error })
}
