//! SGD itself (Eqs. 15 and 16), on one training set, many chains at once.
//!
//! A step draws its batch with replacement, as Eq. 15 says. Chains go side by side in groups of [`LANES`], so that their arithmetic
//! fills the processor's vectors; a group has its own generator, keyed by (seed, group), and groups go to all cores. An
//! example's index is the high half of n times 32 random bits, which is uniform up to n / 2³².

use super::density;
use super::ensemble::{Estimate, in_parallel};
use super::problem::{Dynamics, Example, Law, Problem, Sample, with_law};
use super::quadratic::{Discrete, Quadratic};
use crate::error::{Error, Result};
use crate::optim::Form;
use crate::rng::{Rng, Stream};

/// Chains of a group.
pub(super) const LANES: usize = 16;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct ChainOptions {
    /// λ.
    pub lr: f64,
    /// B.
    pub batch: usize,
    /// α.
    pub alpha: f64,
    /// β.
    pub beta: f64,
    /// μ of Eq. 16; with a constant λ Eq. 45 gives the same θ.
    pub momentum: f64,
    /// Updates of each chain, those before the statistics begin among them.
    pub steps: usize,
    /// Updates before the statistics begin; none: a fifth.
    pub burn: Option<usize>,
    /// Chains.
    pub chains: usize,
    /// Where they start; none: near the minimum of Ū.
    pub start: Option<f64>,
    /// What decides the training set and the batches.
    pub seed: i64,
}

impl ChainOptions {
    pub(super) fn discrete(&self) -> Discrete {
        let Self { lr, batch, alpha, beta, momentum, .. } = *self;
        Discrete { lr, batch: batch as f64, alpha, beta, momentum, form: Form::Pytorch }
    }

    fn burn(&self) -> usize {
        self.burn.unwrap_or(self.steps / 5)
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return Err(Error::invalid(format!("lr: expected a number > 0, found {}", self.lr)));
        }
        for (name, value, most) in [
            ("batch", self.batch, 1 << 20),
            ("steps", self.steps, 1_000_000_000_000_000),
            ("chains", self.chains, 1 << 24),
        ] {
            if value == 0 || value > most {
                return Err(Error::invalid(format!(
                    "{name}: expected an integer from 1 to {most}, found {value}"
                )));
            }
        }
        if self.burn() >= self.steps {
            return Err(Error::invalid(format!(
                "burn: expected fewer than the {} steps, found {}",
                self.steps,
                self.burn()
            )));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::invalid(format!("momentum: expected 0 to below 1, found {}", self.momentum)));
        }
        if self.start.is_some_and(|start| !start.is_finite()) {
            return Err(Error::invalid("start: expected a finite number"));
        }
        self.discrete().dynamics().check()
    }
}

/// Mean and variance of θ, measured and expected, for each parameter.
#[derive(Clone, Debug)]
pub struct Stationary {
    /// The mean of each parameter.
    pub mean: Vec<Estimate>,
    /// Its variance.
    pub variance: Vec<Estimate>,
    /// Gelman and Rubin's R̂ (1992): how much wider the chains together are than each of them. Near 1 where they have mixed.
    pub r_hat: Vec<f64>,
    /// The exact mean and variance of the algorithm, where they are known.
    pub exact: Option<(Vec<f64>, Vec<f64>)>,
    /// Those of its diffusion: Eq. 18, or the Lyapunov equation.
    pub diffusion: Option<(Vec<f64>, Vec<f64>)>,
}

/// Sums of one chain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    count: f64,
    sum: f64,
    square: f64,
}

/// Mean and variance from chains, whose scatter gives the errors. `shift` was taken off every θ.
pub(super) fn moments(tallies: &[Tally], shift: f64) -> Result<(Estimate, Estimate, f64)> {
    let chains = tallies.len() as f64;
    let spread = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / chains;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (chains - 1.0);
        Estimate { value: mean, error: (variance / chains).sqrt() }
    };
    let means: Vec<f64> = tallies.iter().map(|tally| tally.sum / tally.count).collect();
    let mean = spread(&means);
    // About the mean of all chains; that mean's own variance is added back.
    let about: Vec<f64> = tallies
        .iter()
        .map(|tally| (tally.square - 2.0 * mean.value * tally.sum) / tally.count + mean.value.powi(2))
        .collect();
    let mut variance = spread(&about);
    if mean.error.is_finite() {
        variance.value += mean.error.powi(2);
    }
    if !(mean.value.is_finite() && variance.value.is_finite()) {
        return Err(Error::invalid(
            "the chains diverged: their moments are not finite; write a smaller step, or a nearer start",
        ));
    }
    let within = tallies.iter().map(|tally| tally.square / tally.count - (tally.sum / tally.count).powi(2));
    let within = within.sum::<f64>() / chains;
    let between = mean.error * mean.error * chains;
    let r_hat = ((within + between) / within).sqrt();
    Ok((Estimate { value: mean.value + shift, ..mean }, variance, r_hat))
}

impl Tally {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.square += value * value;
    }
}

/// Runs a group of chains; `observe` sees every θ after every update, numbered from 1.
pub(super) fn walk<L: Law>(
    examples: &[Example],
    options: &ChainOptions,
    start: f64,
    group: u64,
    mut observe: impl FnMut(usize, &[f64; LANES]),
) -> Result<()> {
    /// Bytes of random numbers drawn at once: they stay in the first cache.
    const DRAWN: usize = 16 * 1024;
    let ChainOptions { lr, batch, alpha, beta, momentum, steps, seed, .. } = *options;
    let mut rng = Rng::new(seed, Stream::Chain, group);
    let mut noise = Rng::new(seed, Stream::Noise, group);
    let width = 4 * LANES;
    let mut bytes = vec![0; (DRAWN / width).max(1) * width];
    let mut at = bytes.len();
    let (n, scale) = (examples.len() as u64, 1.0 / batch as f64);
    let isotropic = beta * (lr * lr * scale).sqrt();
    let (mut theta, mut v) = ([start; LANES], [0.0; LANES]);
    let mut normals = [0.0; LANES];
    for step in 1..=steps {
        let mut gradient = [0.0; LANES];
        for _ in 0..batch {
            if at == bytes.len() {
                crate::interrupt::check()?;
                rng.fill_bytes(&mut bytes);
                at = 0;
            }
            let words = &bytes[at..at + width];
            at += width;
            for (lane, word) in words.chunks_exact(4).enumerate() {
                let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                let index = (u64::from(word) * n) >> 32;
                gradient[lane] += L::gradient(theta[lane], examples[index as usize]);
            }
        }
        for lane in 0..LANES {
            v[lane] = momentum * v[lane] + (scale * gradient[lane] + alpha * theta[lane]);
            theta[lane] -= lr * v[lane];
        }
        if isotropic > 0.0 {
            noise.fill_normal(&mut normals);
            theta.iter_mut().zip(normals).for_each(|(theta, normal)| *theta += isotropic * normal);
        }
        observe(step, &theta);
    }
    if theta.iter().any(|theta| !theta.is_finite()) {
        return Err(Error::invalid(format!("SGD diverged at lr {lr}; write a lower learning rate")));
    }
    Ok(())
}

/// The stationary moments of the chains on training set 0 of the seed.
pub(super) fn stationary<L: Law>(law: &L, n: usize, options: &ChainOptions) -> Result<Stationary> {
    options.check()?;
    let sample = Sample::draw(law, n, options.seed, Stream::DataSet, 0);
    let start = options.start.unwrap_or(law.region().0);
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
    let (mean, variance, r_hat) = moments(&tallies, start)?;
    Ok(Stationary {
        mean: vec![mean],
        variance: vec![variance],
        r_hat: vec![r_hat],
        exact: None,
        diffusion: None,
    })
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
    let mut found = Stationary {
        mean: Vec::new(),
        variance: Vec::new(),
        r_hat: Vec::new(),
        exact: None,
        diffusion: None,
    };
    for k in 0..d {
        let (mean, variance, r_hat) = of(k)?;
        found.mean.push(mean);
        found.variance.push(variance);
        found.r_hat.push(r_hat);
    }
    Ok(found)
}

/// One time of a relaxation.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Updates done.
    pub steps: usize,
    /// The mean of θ over chains.
    pub mean: Estimate,
    /// Its variance over chains.
    pub variance: Estimate,
}

impl Problem {
    /// Mean and variance of θ over chains at `times` equidistant updates, all chains starting at one place
    /// (Appendix B: runs of one T agree at one n·λ, with momentum they do not).
    ///
    /// # Errors
    ///
    /// Where a number is out of range, or the chains diverge; with more than one parameter.
    pub fn relaxation(&self, options: &ChainOptions, times: usize) -> Result<Vec<Moment>> {
        self.check()?;
        options.check()?;
        if times.saturating_mul(options.chains) > 100_000_000 {
            return Err(Error::invalid(format!(
                "times: {times} times of {} chains are more than memory is asked for; expected 100,000,000 numbers at most",
                options.chains
            )));
        }
        if times == 0 || times > options.steps {
            return Err(Error::invalid(format!(
                "times: expected 1 to {} (the number of steps), found {times}",
                options.steps
            )));
        }
        with_law!(self, "lab::relaxation", law => relaxation(law, self.n(), options, times))
    }
}

fn relaxation<L: Law>(law: &L, n: usize, options: &ChainOptions, times: usize) -> Result<Vec<Moment>> {
    let sample = Sample::draw(law, n, options.seed, Stream::DataSet, 0);
    let start = options.start.unwrap_or(law.region().0);
    // Times that are no whole number of updates are rounded.
    let at = |time: usize| ((time + 1) as f64 * options.steps as f64 / times as f64).round() as usize;
    let group = |group: usize| -> Result<Vec<[f64; LANES]>> {
        let mut seen = Vec::with_capacity(times);
        walk::<L>(&sample.examples, options, start, group as u64, |step, theta| {
            if seen.len() < times && step == at(seen.len()) {
                seen.push(*theta);
            }
        })?;
        Ok(seen)
    };
    let groups = in_parallel(options.chains.div_ceil(LANES), &group)?;
    Ok((0..times)
        .map(|time| {
            let values: Vec<f64> = groups.iter().flat_map(|seen| seen[time]).take(options.chains).collect();
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let moment =
                |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / count;
            let variance = moment(2) * count / (count - 1.0);
            Moment {
                steps: at(time),
                mean: Estimate { value: mean, error: (variance / count).sqrt() },
                // Var[s²] = (μ₄ − σ⁴) / n.
                variance: Estimate {
                    value: variance,
                    error: ((moment(4) - moment(2).powi(2)).max(0.0) / count).sqrt(),
                },
            }
        })
        .collect())
}

impl Problem {
    /// How often θ was in each of equally wide bins, as a density: the bins' middles, the density of the chains, and that of
    /// Eq. 18 (NaN where it cannot be normalised).
    ///
    /// # Errors
    ///
    /// As of [`Problem::relaxation`].
    pub fn histogram(
        &self,
        options: &ChainOptions,
        low: f64,
        high: f64,
        bins: usize,
    ) -> Result<[Vec<f64>; 3]> {
        self.check()?;
        options.check()?;
        if !(high > low && high.is_finite() && low.is_finite() && (1..=100_000).contains(&bins)) {
            return Err(Error::invalid(format!(
                "histogram: expected a range low < high and 1 to 100,000 bins, found {low} to {high} and {bins}"
            )));
        }
        let width = (high - low) / bins as f64;
        let found =
            with_law!(self, "lab::histogram", law => histogram(law, self.n(), options, low, high, bins))?;
        let dynamics = options.discrete().dynamics();
        let expected = match self.density(&dynamics, options.seed, 0) {
            // Of momentum the paper knows no density.
            _ if options.momentum > 0.0 => vec![f64::NAN; bins],
            Err(_) => vec![f64::NAN; bins],
            Ok(columns) => {
                let column = |name: &str| {
                    columns
                        .iter()
                        .find(|(found, _)| *found == name)
                        .map_or(&[][..], |(_, values)| values.as_slice())
                };
                let (theta, density) = (column("theta"), column("density"));
                let last = theta.len() - 1;
                // The mass below a θ: trapezoids, the last one cut.
                let trapezoid = |i: usize, to: f64| {
                    let share = (to - theta[i]) / (theta[i + 1] - theta[i]);
                    let there = density[i] + share * (density[i + 1] - density[i]);
                    0.5 * (to - theta[i]) * (density[i] + there)
                };
                let mut below = vec![0.0; theta.len()];
                for i in 0..last {
                    below[i + 1] = below[i] + trapezoid(i, theta[i + 1]);
                }
                let mass = |at: f64| {
                    let at = at.clamp(theta[0], theta[last]);
                    let i = theta.partition_point(|value| *value <= at).clamp(1, last) - 1;
                    below[i] + trapezoid(i, at)
                };
                let of = |bin: usize| {
                    let from = low + width * bin as f64;
                    (mass(from + width) - mass(from)) / width
                };
                (0..bins).map(of).collect()
            }
        };
        let middles = (0..bins).map(|bin| low + width * (bin as f64 + 0.5)).collect();
        Ok([middles, found, expected])
    }
}

fn histogram<L: Law>(
    law: &L,
    n: usize,
    options: &ChainOptions,
    low: f64,
    high: f64,
    bins: usize,
) -> Result<Vec<f64>> {
    let sample = Sample::draw(law, n, options.seed, Stream::DataSet, 0);
    let start = options.start.unwrap_or(law.region().0);
    let (burn, width) = (options.burn(), (high - low) / bins as f64);
    /// Groups are counted together in as many parts.
    const PARTS: usize = 32;
    let groups = options.chains.div_ceil(LANES);
    let part = |part: usize| -> Result<Vec<u64>> {
        let mut counts = vec![0; bins];
        for group in (part..groups).step_by(PARTS) {
            let lanes = LANES.min(options.chains - group * LANES);
            walk::<L>(&sample.examples, options, start, group as u64, |step, theta| {
                if step > burn {
                    for theta in &theta[..lanes] {
                        let bin = (theta - low) / width;
                        if bin >= 0.0 && bin < bins as f64 {
                            counts[bin as usize] += 1;
                        }
                    }
                }
            })?;
        }
        Ok(counts)
    };
    let parts = in_parallel(PARTS.min(groups), &part)?;
    let total = (options.chains * (options.steps - burn)) as f64;
    let density = |bin: usize| parts.iter().map(|counts| counts[bin]).sum::<u64>() as f64 / (total * width);
    Ok((0..bins).map(density).collect())
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
        let found = match (self, &data) {
            (Self::LinearRegression(law), Some(data)) if law.dim > 1 => {
                stationary_of_regression(data, options)
            }
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

    /// Training set 0 of a seed, where the loss is quadratic.
    pub(super) fn quadratic(&self, seed: i64) -> Option<Quadratic> {
        match self {
            Self::GaussianMean(law) => {
                Some(Quadratic::of_mean(&Sample::draw(law, law.n, seed, Stream::DataSet, 0).examples))
            }
            Self::LinearRegression(law) => Some(Quadratic::draw(law, law.n, seed, Stream::DataSet, 0)),
            _ => None,
        }
    }

    /// Mean and variance of each parameter under the stationary law of Eq. 17 on training set 0 of a seed.
    pub(super) fn diffusion_moments(&self, dynamics: &Dynamics, seed: i64) -> Result<(Vec<f64>, Vec<f64>)> {
        if let Some(data) = self.quadratic(seed) {
            return Ok(data.diffusion(dynamics)?.diagonal());
        }
        let (mean, variance) = with_law!(self, "lab::diffusion", law => {
            density::moments(law, &Sample::draw(law, self.n(), seed, Stream::DataSet, 0), dynamics)
        })?;
        Ok((vec![mean], vec![variance]))
    }
}
