//! The stationary moments of SGD on one training set, beside those that theory expects.

use super::Problem;
use super::chains::{
    BATCH, BURN, CHAINS, ChainMoments, ChainOptions, LANES, LR, MOMENTUM, START, STEPS, Tally, moments, walk,
};
use super::dynamics::{ALPHA, BETA};
use super::ensemble::in_parallel;
use super::estimate::Estimate;
use super::function::{LabFunction, LabRow, LabValue, SEED, named, with_error};
use super::law::{DataSetKey, ExampleSet, Law};
use super::problem::with_law;
use super::quadratic::Quadratic;
use crate::decimal;
use crate::error::{Error, Result};
use crate::rng::{Rng, Stream};
use crate::table::Cell;

pub(super) const ENTRY: LabFunction = LabFunction {
    name: "lab::sgd",
    returns: "any",
    doc: "SGD itself (Eqs. 15 and 16) on one training set, many chains at once: `mean` and `variance` of θ with \
          standard errors from the chains, `expected_variance` (exact where the loss is quadratic, else Eq. 18's) and \
          `diffusion_variance`. With several parameters arrays. `r_hat` above 1.1: the chains have not mixed (too few \
          steps, or two minima). With momentum the diffusion needs λ ≪ (1 − μ)². Arrays of lr, batch, alpha, beta and \
          momentum are axes: then it is a table.",
    example: "lab::sgd(lab::gaussian_mean(#{}), #{ lr: [0.01, 0.1, 0.5], batch: 1, alpha: 0.1 })",
    options: &[
        LR.axis(),
        BATCH.axis(),
        ALPHA.axis(),
        BETA.axis(),
        MOMENTUM.axis(),
        STEPS,
        BURN,
        CHAINS,
        START,
        SEED,
    ],
    call: |problem, given| {
        let options = ChainOptions::read(given)?;
        let temperature = decimal::ratio(options.lr, options.batch as u64);
        let mut rows = problem.sgd(&options)?.rows();
        rows.iter_mut().for_each(|row| row.push(named("temperature", temperature)));
        Ok(LabValue::Numbers(rows))
    },
};

/// Mean and variance of θ, measured and expected, for each parameter.
#[derive(Clone, Debug)]
pub struct Stationary {
    /// The mean of each parameter.
    pub mean: Vec<Estimate>,
    /// Its variance.
    pub variance: Vec<Estimate>,
    /// Gelman and Rubin's R̂ (1992): how much wider the chains together are than each of them. Near
    /// 1 where they have mixed.
    pub r_hat: Vec<f64>,
    /// The exact mean and variance of the algorithm, where they are known.
    pub exact: Option<(Vec<f64>, Vec<f64>)>,
    /// Those of its diffusion: Eq. 18, or the Lyapunov equation.
    pub diffusion: Option<(Vec<f64>, Vec<f64>)>,
}

impl Stationary {
    /// Of each parameter's chains; what is expected is not known yet.
    pub(super) fn of(parameters: &[ChainMoments]) -> Self {
        Self {
            mean: parameters.iter().map(|one| one.mean).collect(),
            variance: parameters.iter().map(|one| one.variance).collect(),
            r_hat: parameters.iter().map(|one| one.r_hat).collect(),
            exact: None,
            diffusion: None,
        }
    }

    /// A row per parameter: what was found and what is expected.
    pub(super) fn rows(&self) -> Vec<LabRow> {
        let of = |known: &Option<(Vec<f64>, Vec<f64>)>, parameter: usize| {
            known.as_ref().map_or([f64::NAN; 2], |(mean, variance)| [mean[parameter], variance[parameter]])
        };
        let row = |parameter: usize| {
            let mut row = vec![("parameter".into(), Cell::Int(parameter as i64 + 1))];
            row.extend(with_error("mean", self.mean[parameter]));
            row.extend(with_error("variance", self.variance[parameter]));
            row.push(named("r_hat", self.r_hat[parameter]));
            // Exact where that is known, else of the diffusion.
            let (exact, diffusion) = (of(&self.exact, parameter), of(&self.diffusion, parameter));
            let [mean, variance] = if self.exact.is_some() { exact } else { diffusion };
            row.push(named("expected_mean", mean));
            row.push(named("expected_variance", variance));
            row.push(named("diffusion_variance", diffusion[1]));
            row
        };
        (0..self.mean.len()).map(row).collect()
    }
}

impl Problem {
    /// The stationary moments of SGD on training set 0 of the seed, with what is expected.
    ///
    /// # Errors
    ///
    /// Where a number is out of range, the chains diverge, or Eq. 18 cannot be normalised.
    pub fn sgd(&self, options: &ChainOptions) -> Result<Stationary> {
        self.check()?;
        options.check()?;
        let data = self.quadratic(options.seed);
        let found = match &data {
            Some(data) if self.dim() > 1 => stationary_of_regression(data, options),
            _ => with_law!(self, "lab::sgd", law => stationary(law, self.n(), options)),
        }?;
        let exact = data.as_ref().map(|data| data.discrete(&options.discrete())).transpose()?;
        let exact = exact.map(|moments| moments.diagonal());
        let diffusion = if options.momentum > 0.0 {
            None
        } else {
            self.diffusion_moments(&options.discrete().dynamics(), options.seed).ok()
        };
        Ok(Stationary { exact, diffusion, ..found })
    }
}

/// The stationary moments of the chains on training set 0 of the seed.
pub(super) fn stationary<L: Law>(law: &L, n: usize, options: &ChainOptions) -> Result<Stationary> {
    options.check()?;
    let sample = ExampleSet::draw(law, &DataSetKey::train(n, options.seed, 0));
    let start = options.start.unwrap_or(law.region().centre);
    let burn = options.burn();
    let groups = options.chains.div_ceil(LANES);
    let group = |group: usize| -> Result<[Tally; LANES]> {
        let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
        walk::<L>(&sample.examples, options, start, group as u64, |step, theta| {
            if step > burn {
                for lane in 0..LANES {
                    let away = theta[lane] - start;
                    sums[lane] += away;
                    squares[lane] += away * away;
                }
            }
        })?;
        let count = (options.steps - burn) as f64;
        Ok(std::array::from_fn(|lane| Tally { count, sum: sums[lane], square: squares[lane] }))
    };
    let mut tallies: Vec<Tally> = in_parallel(groups, &group)?.into_iter().flatten().collect();
    tallies.truncate(options.chains);
    Ok(Stationary::of(&[moments(&tallies, start)?]))
}

/// The same for a regression with several parameters.
pub(super) fn stationary_of_regression(data: &Quadratic, options: &ChainOptions) -> Result<Stationary> {
    options.check()?;
    let ChainOptions { lr, batch, alpha, beta, momentum, steps, seed, .. } = *options;
    let (n, d, burn) = (data.x.nrows(), data.x.ncols(), options.burn());
    // Rows one after the other.
    let rows: Vec<f64> = data.x.transpose().as_slice().to_vec();
    let start = options.start.unwrap_or(0.0);
    let isotropic = beta * (lr * lr / batch as f64).sqrt();
    let chain = |chain: usize| -> Result<Vec<Tally>> {
        let mut rng = Rng::new(seed, Stream::Chain, chain as u64);
        let mut noise = Rng::new(seed, Stream::Noise, chain as u64);
        let (mut theta, mut v) = (vec![start; d], vec![0.0; d]);
        let (mut gradient, mut normals) = (vec![0.0; d], vec![0.0; d]);
        let mut tallies = vec![Tally::default(); d];
        for step in 1..=steps {
            if step.wrapping_mul(batch) % 4096 < batch {
                crate::interrupt::check()?;
            }
            gradient.iter_mut().zip(&theta).for_each(|(g, theta)| *g = alpha * theta);
            for _ in 0..batch {
                let row = rng.below(n as u32) as usize;
                let x = &rows[row * d..(row + 1) * d];
                let residual = x.iter().zip(&theta).map(|(x, theta)| x * theta).sum::<f64>() - data.y[row];
                gradient.iter_mut().zip(x).for_each(|(g, x)| *g += residual * x / batch as f64);
            }
            for k in 0..d {
                v[k] = momentum * v[k] + gradient[k];
                theta[k] -= lr * v[k];
            }
            if isotropic > 0.0 {
                noise.fill_normal(&mut normals);
                theta.iter_mut().zip(&normals).for_each(|(theta, normal)| *theta += isotropic * normal);
            }
            if step > burn {
                tallies.iter_mut().zip(&theta).for_each(|(tally, theta)| tally.add(theta - start));
            }
        }
        if theta.iter().any(|theta| !theta.is_finite()) {
            return Err(Error::invalid(format!("SGD diverged at lr {lr}; write a lower learning rate")));
        }
        Ok(tallies)
    };
    let chains = in_parallel(options.chains, &chain)?;
    let of = |k: usize| moments(&chains.iter().map(|tallies| tallies[k]).collect::<Vec<_>>(), start);
    Ok(Stationary::of(&(0..d).map(of).collect::<Result<Vec<_>>>()?))
}
