//! The mean of a normal law: l(θ, x) = ½(θ − x)² with x normal.
//!
//! Everything has a closed form. The gradient θ − x has the same noise D = s² everywhere (s² the
//! population variance of the training set), so Eq. 18 is normal with mean x̄ / (1 + α) and
//! variance T(s² + β²) / (2(1 + α)), and with α = 0 the gap is σ² / n at every T and β.

use super::law::{
    DataSetKey, Example, ExampleSet, Law, LawEntry, LossDerivatives, Population, Region, examples,
};
use super::quadratic::Quadratic;
use crate::error::Result;
use crate::options::{Bounds, DefaultValue, Given, Kind, Opt, Value};
use crate::rng::Rng;

/// The options.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianMean {
    /// The mean of x.
    pub mean: f64,
    /// Its standard deviation.
    pub sigma: f64,
    /// Examples in a training set.
    pub n: usize,
}

impl GaussianMean {
    const DEFAULT: Self = Self { mean: 0.0, sigma: 1.0, n: 20 };
}

impl Default for GaussianMean {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Law for GaussianMean {
    const ENTRY: LawEntry = LawEntry {
        name: "lab::gaussian_mean",
        doc: "The mean of a normal law, l = ½(θ − x)²: everything has a closed form, and the gap is σ²/n at every T \
              and β where α = 0.",
        example: "lab::gap(lab::gaussian_mean(#{ mean: 0, sigma: 1, n: 20 }), #{ temperature: 0.1 })",
        options: &[
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
        Ok(Self { mean: given.number("mean")?, sigma: given.number("sigma")?, n: given.count("n")? })
    }

    fn values(&self) -> Vec<Value> {
        vec![Value::Number(self.mean), Value::Number(self.sigma), Value::Integer(self.n as i64)]
    }

    fn n(&self) -> usize {
        self.n
    }

    fn quadratic(&self, set: &DataSetKey) -> Option<Quadratic> {
        let examples = ExampleSet::draw(self, set).examples;
        Some(Quadratic::of_mean(&examples.iter().map(|example| example[0]).collect::<Vec<_>>()))
    }

    fn draw(&self, rng: &mut Rng) -> Example {
        [self.mean + self.sigma * rng.normal_pair().0, 0.0]
    }

    fn derivatives(theta: f64, [x, _]: Example) -> LossDerivatives {
        let d = theta - x;
        LossDerivatives { loss: 0.5 * d * d, gradient: d, curvature: 1.0 }
    }

    fn gradient(theta: f64, [x, _]: Example) -> f64 {
        theta - x
    }

    fn population(&self, theta: f64) -> Population {
        let (d2, s2) = ((theta - self.mean).powi(2), self.sigma.powi(2));
        // Var[½(d − σz)²] = d²σ² + ½σ⁴.
        Population { loss: 0.5 * (d2 + s2), curvature: 1.0, loss_variance: s2 * d2 + 0.5 * s2 * s2 }
    }

    fn region(&self) -> Region {
        Region { centre: self.mean, span: self.sigma }
    }
}
