//! A minimum that only training sets have: l(θ, x) = ½θ² + x e^{−(θ − 1)²/2w²} with x normal.
//!
//! Where x has the mean 0 the population's loss is ½θ² with its one minimum at 0. A training set
//! whose mean x̄ is low enough has a second and lower minimum near 1, where gradients are noisy.
//! SGD goes there at low temperatures, which costs about ½, and is driven out at higher ones, where
//! its variance about 0 costs ever more: the gap falls with T, the train loss rises, and the test
//! loss is smallest at a temperature in between. Far from 1 all examples have one gradient, so β >
//! 0 is needed.

use super::law::{Example, Law, LawEntry, LossDerivatives, Population, Region, examples};
use crate::error::Result;
use crate::options::{Bounds, DefaultValue, Given, Kind, Opt, Value};
use crate::rng::Rng;

/// The options.
#[derive(Clone, Debug, PartialEq)]
pub struct SpuriousMinimum {
    /// w, the width of the minimum.
    pub width: f64,
    /// The mean of x: the height of a bump that the population has there.
    pub mean: f64,
    /// Its standard deviation.
    pub sigma: f64,
    /// Examples in a training set.
    pub n: usize,
}

impl SpuriousMinimum {
    const DEFAULT: Self = Self { width: 0.3, mean: 0.0, sigma: 3.0, n: 10 };
}

impl Default for SpuriousMinimum {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The example is (x, w).
impl Law for SpuriousMinimum {
    const ENTRY: LawEntry = LawEntry {
        name: "lab::spurious_minimum",
        doc: "A minimum that only training sets have, l = ½θ² + x e^(−(θ − 1)²/2w²): noise drives SGD out of it, so \
              that the gap falls with T and the test loss has a best temperature. Needs beta > 0.",
        example: "lab::optimum(lab::spurious_minimum(#{}), #{ from: 0.02, to: 1, points: 9, datasets: 200, beta: 0.5 })",
        options: &[
            Opt::new(
                "width",
                Kind::Number(Bounds::POSITIVE),
                DefaultValue::Number(Self::DEFAULT.width),
                "the width of the minimum at 1",
            ),
            Opt::new("mean", Kind::NUMBER, DefaultValue::Number(Self::DEFAULT.mean), "the mean of x"),
            Opt::new(
                "sigma",
                Kind::Number(Bounds::POSITIVE),
                DefaultValue::Number(Self::DEFAULT.sigma),
                "its standard deviation",
            ),
            examples(Self::DEFAULT.n),
        ],
    };

    fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            width: given.number("width")?,
            mean: given.number("mean")?,
            sigma: given.number("sigma")?,
            n: given.count("n")?,
        })
    }

    fn values(&self) -> Vec<Value> {
        vec![
            Value::Number(self.width),
            Value::Number(self.mean),
            Value::Number(self.sigma),
            Value::Integer(self.n as i64),
        ]
    }

    fn n(&self) -> usize {
        self.n
    }

    fn draw(&self, rng: &mut Rng) -> Example {
        [self.mean + self.sigma * rng.normal_pair().0, self.width]
    }

    fn derivatives(theta: f64, [x, width]: Example) -> LossDerivatives {
        let z = (theta - 1.0) / width;
        let bump = x * (-0.5 * z * z).exp();
        LossDerivatives {
            loss: 0.5 * theta * theta + bump,
            gradient: theta - bump * z / width,
            curvature: 1.0 + bump * (z * z - 1.0) / (width * width),
        }
    }

    fn gradient(theta: f64, [x, width]: Example) -> f64 {
        let z = (theta - 1.0) / width;
        theta - x * (-0.5 * z * z).exp() * z / width
    }

    fn population(&self, theta: f64) -> Population {
        let LossDerivatives { loss, curvature, .. } = Self::derivatives(theta, [self.mean, self.width]);
        let z = (theta - 1.0) / self.width;
        Population { loss, curvature, loss_variance: (self.sigma * (-0.5 * z * z).exp()).powi(2) }
    }

    fn region(&self) -> Region {
        Region { centre: 0.0, span: 1.0 + self.width }
    }
}
