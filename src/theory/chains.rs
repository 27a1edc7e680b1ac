//! Chains of SGD itself (Eqs. 15 and 16) on one training set, many at once.
//!
//! A step draws its batch with replacement, as Eq. 15 says. Chains go side by side in groups of
//! [`LANES`], so that their arithmetic fills the processor's vectors; a group has its own
//! generator, keyed by (seed, group), and groups go to all cores. An example's index is the high
//! half of n times 32 random bits, which is uniform up to n / 2³².

use super::estimate::Estimate;
use super::law::{Example, Law};
use super::quadratic::Discrete;
use crate::error::{Error, Result};
use crate::optim::Form;
use crate::options::{Bounds, DefaultValue, Given, Kind, Opt};
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

/// Examples of a batch, updates of a chain and chains at most.
const MAX_BATCH: usize = 1 << 20;
const MAX_STEPS: usize = 1_000_000_000_000_000;
pub(super) const MAX_CHAINS: usize = 1 << 24;

/// The option `lr`.
pub(super) const LR: Opt =
    Opt::new("lr", Kind::Number(Bounds::POSITIVE), DefaultValue::Required, "λ, such as 0.1; T is lr / batch");

/// The option `batch`.
pub(super) const BATCH: Opt = Opt::new(
    "batch",
    Kind::Integer(1, MAX_BATCH as i64),
    DefaultValue::Integer(1),
    "B, drawn with replacement",
);

/// The option `momentum`.
pub(super) const MOMENTUM: Opt =
    Opt::new("momentum", Kind::Number(Bounds::BELOW_ONE), DefaultValue::Number(0.0), "μ of Eq. 16");

/// The option `steps`.
pub(super) const STEPS: Opt = Opt::new(
    "steps",
    Kind::Integer(1, MAX_STEPS as i64),
    DefaultValue::Integer(10_000),
    "updates of each chain",
);

/// The option `burn`.
pub(super) const BURN: Opt =
    Opt::new("burn", Kind::COUNT, DefaultValue::Absent("a fifth"), "updates before the statistics begin");

/// The option `chains`.
pub(super) const CHAINS: Opt =
    Opt::new("chains", Kind::Integer(1, MAX_CHAINS as i64), DefaultValue::Integer(64), "independent chains");

/// The option `start`.
pub(super) const START: Opt = Opt::new(
    "start",
    Kind::NUMBER,
    DefaultValue::Absent("the problem's centre: the true parameter, or 0 between the two minima"),
    "where they start",
);

impl ChainOptions {
    /// Reads the options above.
    pub(super) fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            lr: given.number("lr")?,
            batch: given.count("batch")?,
            alpha: given.number("alpha")?,
            beta: given.number("beta")?,
            momentum: given.number("momentum")?,
            steps: given.count("steps")?,
            burn: given.given_count("burn")?,
            chains: given.count("chains")?,
            start: given.given_number("start")?,
            seed: given.integer("seed")?,
        })
    }

    pub(super) fn discrete(&self) -> Discrete {
        let Self { lr, batch, alpha, beta, momentum, .. } = *self;
        Discrete { lr, batch: batch as f64, alpha, beta, momentum, form: Form::Pytorch }
    }

    pub(super) fn burn(&self) -> usize {
        self.burn.unwrap_or(self.steps / 5)
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return Err(Error::invalid(format!("lr: expected a number > 0, found {}", self.lr)));
        }
        for (name, value, most) in [
            ("batch", self.batch, MAX_BATCH),
            ("steps", self.steps, MAX_STEPS),
            ("chains", self.chains, MAX_CHAINS),
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

/// Sums of one chain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) square: f64,
}

/// What chains say of one parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainMoments {
    pub(super) mean: Estimate,
    pub(super) variance: Estimate,
    /// Gelman and Rubin's R̂.
    pub(super) r_hat: f64,
}

/// Mean and variance from chains, whose scatter gives the errors. `shift` was taken off every θ.
pub(super) fn moments(tallies: &[Tally], shift: f64) -> Result<ChainMoments> {
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
    Ok(ChainMoments { mean: Estimate { value: mean.value + shift, ..mean }, variance, r_hat })
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
