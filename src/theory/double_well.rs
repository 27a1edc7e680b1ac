//! Two minima: l(θ, x) = ¼(θ² − 1)² + xθ with x normal about the tilt.
//!
//! The gradient θ³ − θ + x has the same noise D = s² everywhere. The tilt makes one of the minima near ±1 the better one, and
//! a training set whose mean has the other sign takes the wrong one for it.

use super::problem::{Example, Law, Population, Slopes};
use crate::rng::Rng;

/// The options.
#[derive(Clone, Debug, PartialEq)]
pub struct DoubleWell {
    /// The mean of x.
    pub tilt: f64,
    /// Its standard deviation.
    pub sigma: f64,
    /// Examples in a training set.
    pub n: usize,
}

impl Default for DoubleWell {
    fn default() -> Self {
        Self { tilt: 0.1, sigma: 1.0, n: 50 }
    }
}

impl Law for DoubleWell {
    fn draw(&self, rng: &mut Rng) -> Example {
        [self.tilt + self.sigma * rng.normal_pair().0, 0.0]
    }

    fn slopes(theta: f64, [x, _]: Example) -> Slopes {
        let square = theta * theta;
        Slopes {
            loss: 0.25 * (square - 1.0) * (square - 1.0) + x * theta,
            gradient: (square - 1.0) * theta + x,
            curvature: 3.0 * square - 1.0,
        }
    }

    fn gradient(theta: f64, [x, _]: Example) -> f64 {
        (theta * theta - 1.0) * theta + x
    }

    fn population(&self, theta: f64) -> Population {
        let Slopes { loss, curvature, .. } = Self::slopes(theta, [self.tilt, 0.0]);
        Population { loss, curvature, loss_variance: (self.sigma * theta).powi(2) }
    }

    fn region(&self) -> (f64, f64) {
        (0.0, 1.0)
    }
}
