//! The law of a problem's examples and the loss, and what a data set says at one θ.

use super::quadratic::Quadratic;
use crate::error::Result;
use crate::options::{DefaultValue, Given, Kind, Opt, Value};
use crate::rng::{Rng, Stream};

/// An example: one or two numbers, of which the problem says what they are.
pub type Example = [f64; 2];

/// Loss of one example with its first two derivatives by θ.
#[derive(Clone, Copy, Debug)]
pub(super) struct LossDerivatives {
    pub(super) loss: f64,
    pub(super) gradient: f64,
    pub(super) curvature: f64,
}

/// Where the losses of a problem change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// A θ near the minimum of Ū.
    pub(super) centre: f64,
    /// A distance over which things change.
    pub(super) span: f64,
}

/// What is known exactly of the law of the examples, at one θ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Population {
    /// Ū(θ) = E[l(θ, x)], the test loss without a test set.
    pub(super) loss: f64,
    /// ∂²Ū.
    pub(super) curvature: f64,
    /// σ_l² (Eq. 7): the variance of l(θ, x) over the law of the examples.
    pub(super) loss_variance: f64,
}

/// What scripts are told of a problem.
#[derive(Clone, Copy, Debug)]
pub struct LawEntry {
    /// Its constructor: `lab::gaussian_mean`.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// A script that runs.
    pub example: &'static str,
    /// Its options.
    pub options: &'static [Opt],
}

/// The option `n`; problems have different defaults.
pub(super) const fn examples(default: usize) -> Opt {
    const KIND: Kind = Kind::Integer(1, 1_000_000);
    Opt::new("n", KIND, DefaultValue::Integer(default as i64), "examples in a training set")
}

/// A problem with one parameter θ: everything that a problem's own file says.
pub(super) trait Law: Clone + Send + Sync {
    /// What scripts are told of it.
    const ENTRY: LawEntry;

    /// What the numbers of an example are called.
    const COLUMNS: &'static [&'static str] = &["x"];

    /// Reads its options.
    fn read(given: &Given) -> Result<Self>;

    /// Their values, in the order of the schema.
    fn values(&self) -> Vec<Value>;

    /// How many examples a training set has.
    fn n(&self) -> usize;

    /// How many parameters θ has. What follows is of one.
    fn dim(&self) -> usize {
        1
    }

    /// A data set whose loss is quadratic; none of another loss.
    fn quadratic(&self, _set: &DataSetKey) -> Option<Quadratic> {
        None
    }

    /// Draws an example.
    fn draw(&self, rng: &mut Rng) -> Example;

    /// Loss, gradient and curvature of one example.
    fn derivatives(theta: f64, example: Example) -> LossDerivatives;

    /// The gradient alone, for simulations.
    fn gradient(theta: f64, example: Example) -> f64;

    /// What is known exactly.
    fn population(&self, theta: f64) -> Population;

    /// Where things happen.
    fn region(&self) -> Region;
}

/// Which data set: all that its examples depend on besides the problem.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataSetKey {
    /// Examples.
    pub(super) n: usize,
    pub(super) seed: i64,
    /// Whether it is to train or to test on.
    pub(super) stream: Stream,
    /// Its number among those of the seed.
    pub(super) index: u64,
}

impl DataSetKey {
    /// A training set.
    pub(super) fn train(n: usize, seed: i64, index: u64) -> Self {
        Self { n, seed, stream: Stream::DataSet, index }
    }

    /// A test set.
    pub(super) fn test(n: usize, seed: i64, index: u64) -> Self {
        Self { n, seed, stream: Stream::TestSet, index }
    }

    /// The generator of its examples.
    pub(super) fn rng(&self) -> Rng {
        Rng::new(self.seed, self.stream, self.index)
    }
}

/// A training or test set of a problem with one parameter.
#[derive(Clone, Debug)]
pub(super) struct ExampleSet {
    /// The examples.
    pub(super) examples: Vec<Example>,
}

/// What a training set says at one θ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    /// U_ℓ(θ), the mean loss.
    pub(super) loss: f64,
    /// ∂U_ℓ.
    pub(super) gradient: f64,
    /// ∂²U_ℓ.
    pub(super) curvature: f64,
    /// D(θ): the population variance of the examples' gradients (under Eq. 17).
    pub(super) noise: f64,
    /// ∂D.
    pub(super) noise_slope: f64,
}

impl ExampleSet {
    /// Draws a data set.
    pub(super) fn draw<L: Law>(law: &L, set: &DataSetKey) -> Self {
        let mut rng = set.rng();
        Self { examples: (0..set.n).map(|_| law.draw(&mut rng)).collect() }
    }

    /// Loss, its derivatives and the noise at θ.
    pub(super) fn at<L: Law>(&self, theta: f64) -> Local {
        let n = self.examples.len() as f64;
        // Sums of deviations from one example: sums of squares would lose the digits of a small D.
        let first = self.examples.first().map_or([0.0; 2], |example| {
            let first = L::derivatives(theta, *example);
            [first.gradient, first.curvature]
        });
        let [mut loss, mut gradient, mut curvature, mut square, mut product] = [0.0; 5];
        for example in &self.examples {
            let one = L::derivatives(theta, *example);
            let (g, c) = (one.gradient - first[0], one.curvature - first[1]);
            loss += one.loss;
            gradient += g;
            curvature += c;
            square += g * g;
            product += g * c;
        }
        let [loss, g, c, square, product] = [loss, gradient, curvature, square, product].map(|sum| sum / n);
        Local {
            loss,
            gradient: first[0] + g,
            curvature: first[1] + c,
            noise: (square - g * g).max(0.0),
            noise_slope: 2.0 * (product - g * c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::{DoubleWell, GaussianMean, LinearRegression, Logistic, SpuriousMinimum};

    /// What is known exactly of the law of the examples, against 200,000 of them; gradients and
    /// curvatures against differences.
    fn check<L: Law>(law: &L) {
        const N: usize = 200_000;
        let sample = ExampleSet::draw(law, &DataSetKey::train(N, 5, 0));
        for theta in [-0.4, 0.3, 1.7] {
            let known = law.population(theta);
            let moments = |f: &dyn Fn(f64, Example) -> f64| {
                let values: Vec<f64> = sample.examples.iter().map(|example| f(theta, *example)).collect();
                let mean = values.iter().sum::<f64>() / N as f64;
                let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / N as f64;
                let fourth = values.iter().map(|value| (value - mean).powi(4)).sum::<f64>() / N as f64;
                (mean, variance, ((fourth - variance * variance) / N as f64).sqrt())
            };
            let (loss, variance, error) = moments(&|theta, example| L::derivatives(theta, example).loss);
            assert!((loss - known.loss).abs() < 4.0 * (variance / N as f64).sqrt(), "{loss} {known:?}");
            assert!((variance - known.loss_variance).abs() < 4.0 * error, "{variance} ± {error} {known:?}");
            assert!(error < 0.03 * variance);
            let (curvature, spread, _) = moments(&|theta, example| L::derivatives(theta, example).curvature);
            assert!(
                (curvature - known.curvature).abs() <= 4.0 * (spread / N as f64).sqrt() + 1e-9,
                "{known:?}"
            );
            for &example in &sample.examples[..20] {
                let h = 1e-5;
                let [before, here, after] = [-h, 0.0, h].map(|step| L::derivatives(theta + step, example));
                let gradient = (after.loss - before.loss) / (2.0 * h);
                assert!((gradient - here.gradient).abs() < 1e-8 * (1.0 + gradient.abs()));
                assert!((here.gradient - L::gradient(theta, example)).abs() < 1e-12 * (1.0 + gradient.abs()));
                let curvature = (after.gradient - before.gradient) / (2.0 * h);
                assert!((curvature - here.curvature).abs() < 1e-7 * (1.0 + curvature.abs()));
            }
        }
    }

    #[test]
    fn every_law_is_what_it_says() {
        check(&GaussianMean { mean: 0.5, sigma: 2.0, n: 1 });
        check(&DoubleWell { tilt: 0.2, sigma: 1.5, n: 1 });
        check(&Logistic { slope: 1.5, n: 1 });
        check(&SpuriousMinimum { width: 0.8, mean: -0.5, sigma: 1.5, n: 1 });
        check(&LinearRegression { dim: 1, noise: 0.7, weight: 0.8, ..LinearRegression::default() });
    }
}
