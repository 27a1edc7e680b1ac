//! Logistic regression with one weight: l(θ, x) = ln(1 + e^{−yθx}), x standard normal, y = ±1 with
//! P(y = 1) = 1 / (1 + e^{−wx}).
//!
//! Only m = yx matters, so that is the example; its density is 2φ(m) / (1 + e^{−wm}). The noise D
//! depends on θ. Where all m of a training set have one sign, the data are separable and only α > 0
//! keeps θ finite.

use std::f64::consts::TAU;

use super::law::{Example, Law, LawEntry, LossDerivatives, Population, Region, examples};
use crate::error::Result;
use crate::options::{DefaultValue, Given, Kind, Opt, Value};
use crate::rng::Rng;

/// The options.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    /// w, the true weight.
    pub slope: f64,
    /// Examples in a training set.
    pub n: usize,
}

impl Logistic {
    const DEFAULT: Self = Self { slope: 1.0, n: 50 };
}

impl Default for Logistic {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Law for Logistic {
    const ENTRY: LawEntry = LawEntry {
        name: "lab::logistic",
        doc: "Logistic regression with one weight, l = ln(1 + e^(−yθx)): the noise depends on θ.",
        example: "lab::check(lab::logistic(#{ n: 50 }), #{ temperature: 0.1, datasets: 200 })",
        options: &[
            Opt::new("slope", Kind::NUMBER, DefaultValue::Number(Self::DEFAULT.slope), "the true weight"),
            examples(Self::DEFAULT.n),
        ],
    };

    const COLUMNS: &'static [&'static str] = &["yx"];

    fn read(given: &Given) -> Result<Self> {
        Ok(Self { slope: given.number("slope")?, n: given.count("n")? })
    }

    fn values(&self) -> Vec<Value> {
        vec![Value::Number(self.slope), Value::Integer(self.n as i64)]
    }

    fn n(&self) -> usize {
        self.n
    }

    fn draw(&self, rng: &mut Rng) -> Example {
        let x = rng.normal_pair().0;
        let y = if rng.uniform() * (1.0 + (-self.slope * x).exp()) < 1.0 { 1.0 } else { -1.0 };
        [y * x, 0.0]
    }

    fn derivatives(theta: f64, [m, _]: Example) -> LossDerivatives {
        // e to a power ≤ 0, so that nothing overflows.
        let z = m * theta;
        let e = (-z.abs()).exp();
        let small = e / (1.0 + e);
        // P(wrong) = 1 / (1 + e^z).
        let wrong = if z > 0.0 { small } else { 1.0 - small };
        LossDerivatives {
            loss: e.ln_1p() + (-z).max(0.0),
            gradient: -m * wrong,
            curvature: m * m * wrong * (1.0 - wrong),
        }
    }

    fn gradient(theta: f64, [m, _]: Example) -> f64 {
        -m / (1.0 + (m * theta).exp())
    }

    fn population(&self, theta: f64) -> Population {
        // The trapezoidal rule converges faster than any power of the step here: the integrand and
        // all its derivatives vanish at the ends.
        const END: f64 = 10.0;
        const NODES: i32 = 200;
        let step = 2.0 * END / f64::from(NODES);
        let [mut loss, mut square, mut curvature] = [0.0; 3];
        for node in 0..=NODES {
            let m = f64::from(node).mul_add(step, -END);
            let weight = step * 2.0 * (-0.5 * m * m).exp() / TAU.sqrt() / (1.0 + (-self.slope * m).exp());
            let one = Self::derivatives(theta, [m, 0.0]);
            loss += weight * one.loss;
            square += weight * one.loss * one.loss;
            curvature += weight * one.curvature;
        }
        Population { loss, curvature, loss_variance: square - loss * loss }
    }

    fn region(&self) -> Region {
        Region { centre: self.slope, span: 1.0 + self.slope.abs() }
    }
}
