//! Linear regression: l(θ, (x, y)) = ½(y − x·θ)², x normal with independent features, y = w·x + noise.
//!
//! The noise D(θ) is a quadratic function of θ. With one parameter Eq. 18 can be integrated; with more, the integrand of
//! Eq. 19 is no gradient, but the stationary moments still obey closed linear equations ([`super::quadratic`]).

use super::problem::{Example, Law, Population, Slopes};
use crate::rng::Rng;

/// The options.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearRegression {
    /// Examples in a training set.
    pub n: usize,
    /// Parameters.
    pub dim: usize,
    /// The standard deviation of y about w·x.
    pub noise: f64,
    /// |w|; all features have the same true weight.
    pub weight: f64,
    /// The standard deviation of the last feature; the first one's is 1, those between are a geometric sequence.
    pub spread: f64,
}

impl Default for LinearRegression {
    fn default() -> Self {
        Self { n: 50, dim: 1, noise: 1.0, weight: 1.0, spread: 1.0 }
    }
}

impl LinearRegression {
    /// Parameters at most.
    pub const MOST: usize = 16;

    /// The true weight of each feature.
    pub(super) fn true_weight(&self) -> f64 {
        self.weight / (self.dim as f64).sqrt()
    }

    /// The standard deviation of a feature.
    pub(super) fn deviation(&self, feature: usize) -> f64 {
        self.spread.powf(feature as f64 / (self.dim.max(2) - 1) as f64)
    }

    /// Draws the features and y.
    pub(super) fn draw_all(&self, rng: &mut Rng) -> (Vec<f64>, f64) {
        let mut values = vec![0.0; self.dim + 1];
        rng.fill_normal(&mut values);
        let error = values.pop().unwrap_or_default();
        values.iter_mut().enumerate().for_each(|(feature, x)| *x *= self.deviation(feature));
        let y = self.noise * error + self.true_weight() * values.iter().sum::<f64>();
        (values, y)
    }
}

/// With one parameter: the example is (x, y).
impl Law for LinearRegression {
    fn draw(&self, rng: &mut Rng) -> Example {
        let (x, y) = self.draw_all(rng);
        [x[0], y]
    }

    fn slopes(theta: f64, [x, y]: Example) -> Slopes {
        let r = x * theta - y;
        Slopes { loss: 0.5 * r * r, gradient: x * r, curvature: x * x }
    }

    fn gradient(theta: f64, [x, y]: Example) -> f64 {
        x * (x * theta - y)
    }

    fn population(&self, theta: f64) -> Population {
        // y − xθ is normal with this variance, and Var[½r²] = ½ Var[r]².
        let variance = self.noise.powi(2) + (theta - self.true_weight()).powi(2);
        Population { loss: 0.5 * variance, curvature: 1.0, loss_variance: 0.5 * variance * variance }
    }

    fn region(&self) -> (f64, f64) {
        (self.true_weight(), self.noise)
    }
}
