//! Two minima: l(θ, x) = ¼(θ² − 1)² + xθ with x normal about the tilt.
//!
//! The gradient θ³ − θ + x has the same noise D = s² everywhere. The tilt makes one of the minima
//! near ±1 the better one, and a training set whose mean has the other sign takes the wrong one for
//! it.

use super::law::{Example, Law, LawEntry, LossDerivatives, Population, Region, examples};
use crate::error::Result;
use crate::options::{Bounds, DefaultValue, Given, Kind, Opt, Value};
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

impl DoubleWell {
    const DEFAULT: Self = Self { tilt: 0.1, sigma: 1.0, n: 50 };
}

impl Default for DoubleWell {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Law for DoubleWell {
    const ENTRY: LawEntry = LawEntry {
        name: "lab::double_well",
        doc: "Two minima, l = ¼(θ² − 1)² + xθ: the noise is the same everywhere, the better minimum depends on the \
              training set.",
        example: r#"let problem = lab::double_well(#{ tilt: 0.1, sigma: 1, n: 50 });
plot(lab::density(problem, #{ temperature: 0.2 })).x("theta").y("density").show()"#,
        options: &[
            Opt::new("tilt", Kind::NUMBER, DefaultValue::Number(Self::DEFAULT.tilt), "the mean of x"),
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
        Ok(Self { tilt: given.number("tilt")?, sigma: given.number("sigma")?, n: given.count("n")? })
    }

    fn values(&self) -> Vec<Value> {
        vec![Value::Number(self.tilt), Value::Number(self.sigma), Value::Integer(self.n as i64)]
    }

    fn n(&self) -> usize {
        self.n
    }

    fn draw(&self, rng: &mut Rng) -> Example {
        [self.tilt + self.sigma * rng.normal_pair().0, 0.0]
    }

    fn derivatives(theta: f64, [x, _]: Example) -> LossDerivatives {
        let square = theta * theta;
        LossDerivatives {
            loss: 0.25 * (square - 1.0) * (square - 1.0) + x * theta,
            gradient: (square - 1.0) * theta + x,
            curvature: 3.0 * square - 1.0,
        }
    }

    fn gradient(theta: f64, [x, _]: Example) -> f64 {
        (theta * theta - 1.0) * theta + x
    }

    fn population(&self, theta: f64) -> Population {
        let LossDerivatives { loss, curvature, .. } = Self::derivatives(theta, [self.tilt, 0.0]);
        Population { loss, curvature, loss_variance: (self.sigma * theta).powi(2) }
    }

    fn region(&self) -> Region {
        Region { centre: 0.0, span: 1.0 }
    }
}
