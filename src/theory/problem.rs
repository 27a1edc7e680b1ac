//! Problems that can be solved: a loss, a law of the examples, and what follows from both.

use super::density::Grid;
use super::double_well::DoubleWell;
use super::gaussian_mean::GaussianMean;
use super::linear_regression::LinearRegression;
use super::logistic::Logistic;
use super::quadratic::Quadratic;
use super::spurious_minimum::SpuriousMinimum;
use crate::error::{Error, Result};
use crate::rng::{Rng, Stream};

/// An example: one or two numbers, of which the problem says what they are.
pub type Example = [f64; 2];

/// Loss of one example with its first two derivatives by θ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slopes {
    pub(super) loss: f64,
    pub(super) gradient: f64,
    pub(super) curvature: f64,
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

/// A problem with one parameter θ: everything that a problem's own file says.
pub(super) trait Law: Clone + Send + Sync {
    /// Draws an example.
    fn draw(&self, rng: &mut Rng) -> Example;

    /// Loss, gradient and curvature of one example.
    fn slopes(theta: f64, example: Example) -> Slopes;

    /// The gradient alone, for simulations.
    fn gradient(theta: f64, example: Example) -> f64;

    /// What is known exactly.
    fn population(&self, theta: f64) -> Population;

    /// A θ near the minimum of Ū, and a distance over which things change.
    fn region(&self) -> (f64, f64);
}

/// A training or test set of n examples of a problem with one parameter.
#[derive(Clone, Debug)]
pub(super) struct Sample {
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

impl Sample {
    /// Data set `index` of a seed; `stream` says whether it is to train or to test on.
    pub(super) fn draw<L: Law>(law: &L, n: usize, seed: i64, stream: Stream, index: u64) -> Self {
        let mut rng = Rng::new(seed, stream, index);
        Self { examples: (0..n).map(|_| law.draw(&mut rng)).collect() }
    }

    /// The same at each point of a grid.
    pub(super) fn at_each<L: Law>(&self, grid: &Grid) -> Result<Vec<Local>> {
        let at = |theta: f64| {
            crate::interrupt::check()?;
            Ok(self.at::<L>(theta))
        };
        grid.values().map(at).collect()
    }

    /// Loss, its derivatives and the noise at θ.
    pub(super) fn at<L: Law>(&self, theta: f64) -> Local {
        let n = self.examples.len() as f64;
        // Sums of deviations from one example: sums of squares would lose the digits of a small D.
        let first = self.examples.first().map_or([0.0; 2], |example| {
            let first = L::slopes(theta, *example);
            [first.gradient, first.curvature]
        });
        let [mut loss, mut gradient, mut curvature, mut square, mut product] = [0.0; 5];
        for example in &self.examples {
            let one = L::slopes(theta, *example);
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

/// Which data set of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSet {
    /// That which is trained on.
    Train,
    /// That which is tested on.
    Test,
}

impl DataSet {
    /// Every choice with its name in scripts.
    pub const ALL: [(&'static str, Self); 2] = [("train", Self::Train), ("test", Self::Test)];
}

/// A problem of `lab`.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// l = ½(θ − x)².
    GaussianMean(GaussianMean),
    /// l = ½(y − x·θ)².
    LinearRegression(LinearRegression),
    /// l = ¼(θ² − 1)² + xθ.
    DoubleWell(DoubleWell),
    /// l = ln(1 + e^{−yθx}).
    Logistic(Logistic),
    /// l = ½θ² + x e^{−(θ − 1)²/2w²}.
    SpuriousMinimum(SpuriousMinimum),
}

/// Runs the expression with `$law` as the problem's own type; a regression of more than one parameter is an
/// error that says why `$what` needs one.
macro_rules! with_law {
    ($problem:expr, $what:expr, $law:ident => $value:expr) => {
        match $problem {
            $crate::theory::Problem::GaussianMean($law) => $value,
            $crate::theory::Problem::DoubleWell($law) => $value,
            $crate::theory::Problem::Logistic($law) => $value,
            $crate::theory::Problem::SpuriousMinimum($law) => $value,
            $crate::theory::Problem::LinearRegression($law) if $law.dim == 1 => $value,
            $crate::theory::Problem::LinearRegression(regression) => Err($crate::error::Error::invalid(format!(
                "{}: needs a problem with one parameter, found dim {}: write dim: 1 (with more, Eq. 18 has no closed form; lab::gap, \
                 lab::check and lab::sgd take them)",
                $what, regression.dim
            ))),
        }
    };
}
pub(super) use with_law;

impl Problem {
    /// How many examples a training set has.
    pub fn n(&self) -> usize {
        match self {
            Self::GaussianMean(problem) => problem.n,
            Self::LinearRegression(problem) => problem.n,
            Self::DoubleWell(problem) => problem.n,
            Self::Logistic(problem) => problem.n,
            Self::SpuriousMinimum(problem) => problem.n,
        }
    }

    /// How many parameters θ has.
    pub fn dim(&self) -> usize {
        match self {
            Self::LinearRegression(problem) => problem.dim,
            _ => 1,
        }
    }

    /// A θ near the minimum of the population loss.
    pub fn centre(&self) -> f64 {
        match self {
            Self::GaussianMean(problem) => problem.region().0,
            Self::LinearRegression(problem) => problem.region().0,
            Self::DoubleWell(problem) => problem.region().0,
            Self::Logistic(problem) => problem.region().0,
            Self::SpuriousMinimum(problem) => problem.region().0,
        }
    }

    /// Training set `index` of a seed, or the test set that goes with it (as long as a training set): a column for each number of an
    /// example.
    ///
    /// # Errors
    ///
    /// As of [`Problem::check`].
    pub fn data(&self, seed: i64, index: u64, set: DataSet) -> Result<Vec<(String, Vec<f64>)>> {
        self.check()?;
        let stream = match set {
            DataSet::Train => Stream::DataSet,
            DataSet::Test => Stream::TestSet,
        };
        if let Self::LinearRegression(law) = self
            && law.dim > 1
        {
            let data = Quadratic::draw(law, law.n, seed, stream, index);
            let x = (0..law.dim).map(|k| (format!("x{}", k + 1), data.x.column(k).iter().copied().collect()));
            return Ok(x.chain([("y".to_owned(), data.y.iter().copied().collect())]).collect());
        }
        let names = match self {
            Self::LinearRegression(_) => ["x", "y"].as_slice(),
            // Of x and y only their product matters.
            Self::Logistic(_) => &["yx"],
            _ => &["x"],
        };
        let sample =
            with_law!(self, "lab::data", law => Ok(Sample::draw(law, self.n(), seed, stream, index)))?;
        let column = |k: usize| sample.examples.iter().map(|example| example[k]).collect();
        Ok(names.iter().enumerate().map(|(k, name)| ((*name).to_owned(), column(k))).collect())
    }

    /// The name with its options, as a script writes it.
    pub fn label(&self) -> String {
        match self {
            Self::GaussianMean(GaussianMean { mean, sigma, n }) => {
                format!("gaussian_mean(mean: {mean}, sigma: {sigma}, n: {n})")
            }
            Self::LinearRegression(LinearRegression { n, dim, noise, weight, spread }) => {
                format!(
                    "linear_regression(n: {n}, dim: {dim}, noise: {noise}, weight: {weight}, spread: {spread})"
                )
            }
            Self::DoubleWell(DoubleWell { tilt, sigma, n }) => {
                format!("double_well(tilt: {tilt}, sigma: {sigma}, n: {n})")
            }
            Self::Logistic(Logistic { slope, n }) => format!("logistic(slope: {slope}, n: {n})"),
            Self::SpuriousMinimum(SpuriousMinimum { width, mean, sigma, n }) => {
                format!("spurious_minimum(width: {width}, mean: {mean}, sigma: {sigma}, n: {n})")
            }
        }
    }

    /// Checks the options.
    ///
    /// # Errors
    ///
    /// Where a number is not finite, a spread is negative or a data set is empty.
    pub fn check(&self) -> Result<()> {
        if self.n() == 0 || self.n() > 1_000_000 {
            return Err(Error::invalid(format!("n: expected 1 to 1,000,000 examples, found {}", self.n())));
        }
        let finite = |name: &str, value: f64| match value.is_finite() {
            true => Ok(()),
            false => Err(Error::invalid(format!("{name}: expected a finite number, found {value}"))),
        };
        let positive = |name: &str, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(Error::invalid(format!("{name}: expected a number > 0, found {value}"))),
        };
        match self {
            Self::GaussianMean(problem) => {
                finite("mean", problem.mean)?;
                positive("sigma", problem.sigma)
            }
            Self::DoubleWell(problem) => {
                finite("tilt", problem.tilt)?;
                positive("sigma", problem.sigma)
            }
            Self::Logistic(problem) => finite("slope", problem.slope),
            Self::SpuriousMinimum(problem) => {
                finite("mean", problem.mean)?;
                positive("width", problem.width)?;
                positive("sigma", problem.sigma)
            }
            Self::LinearRegression(problem) => {
                if !(1..=LinearRegression::MOST).contains(&problem.dim) {
                    return Err(Error::invalid(format!(
                        "dim: expected 1 to {} parameters, found {}: the equation for the covariance is solved as dim² linear equations",
                        LinearRegression::MOST,
                        problem.dim
                    )));
                }
                finite("weight", problem.weight)?;
                positive("noise", problem.noise)?;
                positive("spread", problem.spread)
            }
        }
    }
}

/// T, α and β of Eq. 15: what shapes the stationary distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dynamics {
    /// T = λ / B.
    pub temperature: f64,
    /// α, the weight decay.
    pub alpha: f64,
    /// β, the isotropic noise.
    pub beta: f64,
}

impl Dynamics {
    /// Checks the numbers.
    ///
    /// # Errors
    ///
    /// Where T is not positive, or α or β is negative.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let why =
                if self.temperature == 0.0 { ": at T = 0 Eq. 18 is a point and not a density" } else { "" };
            return Err(Error::invalid(format!(
                "temperature: expected a number > 0, found {}{why}",
                self.temperature
            )));
        }
        for (name, value) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::invalid(format!("{name}: expected a number ≥ 0, found {value}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known exactly of the law of the examples, against 200,000 of them; gradients and curvatures against differences.
    fn check<L: Law>(law: &L) {
        const N: usize = 200_000;
        let sample = Sample::draw(law, N, 5, Stream::DataSet, 0);
        for theta in [-0.4, 0.3, 1.7] {
            let known = law.population(theta);
            let moments = |f: &dyn Fn(f64, Example) -> f64| {
                let values: Vec<f64> = sample.examples.iter().map(|example| f(theta, *example)).collect();
                let mean = values.iter().sum::<f64>() / N as f64;
                let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / N as f64;
                let fourth = values.iter().map(|value| (value - mean).powi(4)).sum::<f64>() / N as f64;
                (mean, variance, ((fourth - variance * variance) / N as f64).sqrt())
            };
            let (loss, variance, error) = moments(&|theta, example| L::slopes(theta, example).loss);
            assert!((loss - known.loss).abs() < 4.0 * (variance / N as f64).sqrt(), "{loss} {known:?}");
            assert!((variance - known.loss_variance).abs() < 4.0 * error, "{variance} ± {error} {known:?}");
            assert!(error < 0.03 * variance);
            let (curvature, spread, _) = moments(&|theta, example| L::slopes(theta, example).curvature);
            assert!(
                (curvature - known.curvature).abs() <= 4.0 * (spread / N as f64).sqrt() + 1e-9,
                "{known:?}"
            );
            for &example in &sample.examples[..20] {
                let h = 1e-5;
                let [before, here, after] = [-h, 0.0, h].map(|step| L::slopes(theta + step, example));
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
