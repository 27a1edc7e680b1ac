//! Linear regression: l(θ, (x, y)) = ½(y − x·θ)², x normal with independent features, y = w·x +
//! noise.
//!
//! The noise D(θ) is a quadratic function of θ. With one parameter Eq. 18 can be integrated; with
//! more, the integrand of Eq. 19 is no gradient, but the stationary moments still obey closed
//! linear equations ([`super::quadratic`]).

use nalgebra::{DMatrix, DVector};

use super::law::{DataSetKey, Example, Law, LawEntry, LossDerivatives, Population, Region, examples};
use super::quadratic::Quadratic;
use crate::error::Result;
use crate::options::{Bounds, DefaultValue, Given, Kind, Opt, Value};
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
    /// The standard deviation of the last feature; the first one's is 1, those between are a
    /// geometric sequence.
    pub spread: f64,
}

impl LinearRegression {
    const DEFAULT: Self = Self { n: 50, dim: 1, noise: 1.0, weight: 1.0, spread: 1.0 };
}

impl Default for LinearRegression {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl LinearRegression {
    /// Parameters at most: the equation for the covariance is solved as dim² linear equations.
    const MAX_DIM: i64 = 16;

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

    /// Draws a data set, of however many parameters.
    pub(super) fn data_set(&self, set: &DataSetKey) -> Quadratic {
        let mut rng = set.rng();
        let examples: Vec<(Vec<f64>, f64)> = (0..set.n).map(|_| self.draw_all(&mut rng)).collect();
        let x = DMatrix::from_fn(set.n, self.dim, |row, column| examples[row].0[column]);
        Quadratic::new(x, DVector::from_fn(set.n, |row, _| examples[row].1))
    }
}

/// With one parameter: the example is (x, y).
impl Law for LinearRegression {
    const ENTRY: LawEntry = LawEntry {
        name: "lab::linear_regression",
        doc: "Linear regression, l = ½(y − x·θ)², with noise D that is quadratic in θ; the stationary moments solve \
              linear equations.",
        example: r#"let problem = lab::linear_regression(#{ n: 50, dim: 3, noise: 1 });
lab::sgd(problem, #{ lr: 0.05, batch: 2 })"#,
        options: &[
            examples(Self::DEFAULT.n),
            Opt::new(
                "dim",
                Kind::Integer(1, Self::MAX_DIM),
                DefaultValue::Integer(Self::DEFAULT.dim as i64),
                "parameters; with more than one lab::gap, lab::check and lab::sgd alone",
            ),
            Opt::new(
                "noise",
                Kind::Number(Bounds::POSITIVE),
                DefaultValue::Number(Self::DEFAULT.noise),
                "the standard deviation of y about w·x",
            ),
            Opt::new(
                "weight",
                Kind::NUMBER,
                DefaultValue::Number(Self::DEFAULT.weight),
                "|w|, spread over all features",
            ),
            Opt::new(
                "spread",
                Kind::Number(Bounds::POSITIVE),
                DefaultValue::Number(Self::DEFAULT.spread),
                "the standard deviation of the last feature, where the first one's is 1",
            ),
        ],
    };

    const COLUMNS: &'static [&'static str] = &["x", "y"];

    fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            n: given.count("n")?,
            dim: given.count("dim")?,
            noise: given.number("noise")?,
            weight: given.number("weight")?,
            spread: given.number("spread")?,
        })
    }

    fn values(&self) -> Vec<Value> {
        vec![
            Value::Integer(self.n as i64),
            Value::Integer(self.dim as i64),
            Value::Number(self.noise),
            Value::Number(self.weight),
            Value::Number(self.spread),
        ]
    }

    fn n(&self) -> usize {
        self.n
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn quadratic(&self, set: &DataSetKey) -> Option<Quadratic> {
        Some(self.data_set(set))
    }

    fn draw(&self, rng: &mut Rng) -> Example {
        let (x, y) = self.draw_all(rng);
        [x[0], y]
    }

    fn derivatives(theta: f64, [x, y]: Example) -> LossDerivatives {
        let r = x * theta - y;
        LossDerivatives { loss: 0.5 * r * r, gradient: x * r, curvature: x * x }
    }

    fn gradient(theta: f64, [x, y]: Example) -> f64 {
        x * (x * theta - y)
    }

    fn population(&self, theta: f64) -> Population {
        // y − xθ is normal with this variance, and Var[½r²] = ½ Var[r]².
        let variance = self.noise.powi(2) + (theta - self.true_weight()).powi(2);
        Population { loss: 0.5 * variance, curvature: 1.0, loss_variance: 0.5 * variance * variance }
    }

    fn region(&self) -> Region {
        Region { centre: self.true_weight(), span: self.noise }
    }
}
