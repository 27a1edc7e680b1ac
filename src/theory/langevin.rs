//! The diffusions of SGD, by Euler and Maruyama's steps, in the time t′ = λt of Appendix B.
//!
//! - Eq. 17: dθ = −(U′ + αθ) dt′ + √(T(D + β²)) dW
//! - Eq. 44 (momentum of Eq. 16): dθ = −(μv + U′ + αθ) dt′ ∓ √(TD) dW, dv = ((μ − 1)v + U′ + αθ)
//!   dt′/λ + √(D/Bλ) dW
//! - Eq. 46 (momentum of Eq. 45): dθ = (μv/λ − U′ − αθ) dt′ + √(TD) dW, dv = ((μ − 1)v/λ − U′ − αθ)
//!   dt′ + √(TD) dW
//!
//! Both lines of a momentum share one dW. Eq. 44 has a plus where SGD has a minus (`printed`).
//! The scheme's stationary law is off by an error of the first order in the step.

use super::Problem;
use super::chains::{MAX_CHAINS, Tally, moments};
use super::ensemble::in_parallel;
use super::law::{DataSetKey, ExampleSet, Law, Local};
use super::problem::with_law;
use super::quadratic::Discrete;
use super::sgd::Stationary;
use crate::error::{Error, Result};
use crate::optim::Form;
use crate::rng::{Rng, Stream};

/// What is simulated.
#[derive(Clone, Debug)]
pub struct LangevinOptions {
    /// λ, of which momentum alone knows apart from T.
    pub lr: f64,
    /// T.
    pub temperature: f64,
    /// α.
    pub alpha: f64,
    /// β; with momentum, where the paper has none, 0.
    pub beta: f64,
    /// μ; 0 is Eq. 17.
    pub momentum: f64,
    /// Eq. 44 or 46.
    pub form: Form,
    /// Eq. 44 with the sign that is printed.
    pub printed: bool,
    /// The step of t′.
    pub step: f64,
    /// How long, in t′; a fifth passes before the statistics begin.
    pub time: f64,
    /// Chains.
    pub chains: usize,
    /// Where they start; none: near the minimum of Ū.
    pub start: Option<f64>,
    /// What decides the training set and the noise.
    pub seed: i64,
}

impl LangevinOptions {
    fn check(&self) -> Result<()> {
        for (name, value) in
            [("lr", self.lr), ("temperature", self.temperature), ("step", self.step), ("time", self.time)]
        {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::invalid(format!("{name}: expected a number > 0, found {value}")));
            }
        }
        if self.time / self.step < 10.0 {
            return Err(Error::invalid(format!(
                "step: expected at most a tenth of the time {}, found {}",
                self.time, self.step
            )));
        }
        if self.start.is_some_and(|start| !start.is_finite()) {
            return Err(Error::invalid("start: expected a finite number"));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::invalid(format!("momentum: expected 0 to below 1, found {}", self.momentum)));
        }
        if self.momentum > 0.0 && self.beta != 0.0 {
            return Err(Error::invalid(
                "beta: Eqs. 43 to 46 have no isotropic noise; write beta: 0 with a momentum",
            ));
        }
        if !(1..=MAX_CHAINS).contains(&self.chains) {
            return Err(Error::invalid(format!(
                "chains: expected 1 to {MAX_CHAINS} chains, found {}",
                self.chains
            )));
        }
        self.discrete().dynamics().check()
    }

    /// SGD whose diffusion it is.
    fn discrete(&self) -> Discrete {
        let Self { lr, temperature, alpha, beta, momentum, form, .. } = *self;
        Discrete { lr, batch: lr / temperature, alpha, beta, momentum, form }
    }
}

impl Problem {
    /// The stationary moments of the diffusion on training set 0 of the seed.
    ///
    /// # Errors
    ///
    /// Where a number is out of range or the scheme diverges; with more than one parameter.
    pub fn langevin(&self, options: &LangevinOptions) -> Result<Stationary> {
        self.check()?;
        options.check()?;
        let found = with_law!(self, "lab::diffusion", law => simulate(law, self.n(), options))?;
        let sgd = options.discrete();
        let diffusion = match self.quadratic(options.seed) {
            _ if options.momentum == 0.0 => self.diffusion_moments(&sgd.dynamics(), options.seed).ok(),
            Some(data) => {
                data.momentum_diffusion(&sgd, options.printed).ok().map(|moments| moments.diagonal())
            }
            None => None,
        };
        Ok(Stationary { diffusion, ..found })
    }
}

fn simulate<L: Law>(law: &L, n: usize, options: &LangevinOptions) -> Result<Stationary> {
    let LangevinOptions { lr, temperature, alpha, beta, momentum, form, printed, step, time, seed, .. } =
        *options;
    let sample = ExampleSet::draw(law, &DataSetKey::train(n, seed, 0));
    let start = options.start.unwrap_or(law.region().centre);
    let steps = (time / step).round() as usize;
    let burn = steps / 5;
    let root = step.sqrt();
    let chain = |chain: usize| -> Result<Tally> {
        let mut rng = Rng::new(seed, Stream::Noise, chain as u64);
        let (mut theta, mut v) = (start, 0.0);
        let mut tally = Tally::default();
        let mut other = None;
        for done in 1..=steps {
            // A step looks at every example.
            if done.wrapping_mul(n) % 4096 < n {
                crate::interrupt::check()?;
            }
            let normal = other.take().unwrap_or_else(|| {
                let (one, next) = rng.normal_pair();
                other = Some(next);
                one
            });
            let Local { gradient, noise, .. } = sample.at::<L>(theta);
            let drift = gradient + alpha * theta;
            let kick = (temperature * (noise + beta * beta)).sqrt() * root * normal;
            let (on_theta, on_v) = match (momentum == 0.0, form) {
                (true, _) => (-drift * step + kick, 0.0),
                (false, Form::Pytorch) => (
                    -(momentum * v + drift) * step + if printed { kick } else { -kick },
                    (((momentum - 1.0) * v + drift) * step + kick) / lr,
                ),
                (false, Form::Sutskever) => (
                    (momentum / lr * v - drift) * step + kick,
                    ((momentum - 1.0) / lr * v - drift) * step + kick,
                ),
            };
            theta += on_theta;
            v += on_v;
            if done > burn {
                tally.add(theta - start);
            }
        }
        if !theta.is_finite() {
            return Err(Error::invalid(format!("the scheme diverged at step {step}; write a smaller step")));
        }
        Ok(tally)
    };
    let tallies = in_parallel(options.chains, &chain)?;
    Ok(Stationary::of(&[moments(&tallies, start)?]))
}
