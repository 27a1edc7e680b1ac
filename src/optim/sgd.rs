//! Stochastic gradient descent on one flat buffer, each replica with its own learning rate.
//!
//! With gradient g, weights θ, learning rate λ, weight decay α and momentum μ:
//!
//! - plain (Eq. 15): θ ← θ − λ (g + α θ)
//! - PyTorch's momentum (Eq. 16): v ← μ v + g + α θ, θ ← θ − λ v;
//!   Nesterov: θ ← θ − λ (g + α θ + μ v)
//! - Sutskever's momentum (Eq. 45): v ← μ v − λ (g + α θ), θ ← θ + v;
//!   Nesterov: θ ← θ + μ v − λ (g + α θ)
//!
//! and with β, in every form, θ ← θ + β √(λT) w with standard normal w and T = λ₀ / batch, λ₀ the
//! initial learning rate.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Optimizer, OptimizerEntry, OptimizerState, PlainUpdate, Update, stored};
use crate::error::{Error, Result};
use crate::options::{Bounds, DefaultValue, Kind, Opt};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "sgd",
    doc: "stochastic gradient descent: plain, with momentum, Nesterov",
    origin: "Eqs. 15, 16 and 45 of the paper; Sutskever et al. 2013",
    options: &[
        Opt::new("momentum", Kind::Number(Bounds::BELOW_ONE), DefaultValue::Number(0.0), "μ"),
        Opt::new(
            "form",
            Kind::Choice(&[("pytorch", "Eq. 16"), ("sutskever", "Eq. 45")]),
            DefaultValue::Text("pytorch"),
            "",
        ),
        Opt::new("nesterov", Kind::Flag, DefaultValue::Flag(false), "the gradient where momentum leads to"),
        Opt::new(
            "weight_decay",
            Kind::Number(Bounds::FROM_ZERO),
            DefaultValue::Number(5e-4),
            "α of Eq. 15, on every parameter",
        ),
        Opt::new(
            "noise",
            Kind::Number(Bounds::FROM_ZERO),
            DefaultValue::Number(0.0),
            "β of Eq. 15, isotropic noise of standard deviation β √(λT) per step",
        ),
    ],
    example: "print(sgd());\nsgd(#{ momentum: 0.9, weight_decay: 1e-4 })",
    stored: stored::<Sgd>,
};

/// The two ways to write momentum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The learning rate multiplies the momentum (Eq. 16).
    Pytorch,
    /// The learning rate multiplies the gradient (Eq. 45).
    Sutskever,
}

impl Form {
    /// Every form with its name in scripts.
    pub const ALL: [(&'static str, Self); 2] = [("pytorch", Self::Pytorch), ("sutskever", Self::Sutskever)];
}

/// The options of stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sgd {
    /// μ, from 0 to below 1.
    pub momentum: f64,
    /// How momentum is written.
    pub form: Form,
    /// Nesterov's momentum.
    pub nesterov: bool,
    /// α of Eq. 15, on every parameter.
    pub weight_decay: f64,
    /// β of Eq. 15.
    pub noise: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { momentum: 0.0, form: Form::Pytorch, nesterov: false, weight_decay: 5e-4, noise: 0.0 }
    }
}

impl Optimizer for Sgd {
    fn entry(&self) -> &'static OptimizerEntry {
        &ENTRY
    }

    fn check_together(&self) -> Result<()> {
        if self.nesterov && self.momentum == 0.0 {
            return Err(Error::invalid(
                "sgd: nesterov needs a momentum above 0; write sgd(#{momentum: 0.9, nesterov: true})",
            ));
        }
        Ok(())
    }

    /// `sgd`, `sgd_momentum`, `sgd_sutskever`, with `_nesterov`.
    fn label(&self) -> String {
        let form = match (self.momentum, self.form) {
            (0.0, _) => "sgd",
            (_, Form::Pytorch) => "sgd_momentum",
            (_, Form::Sutskever) => "sgd_sutskever",
        };
        format!("{form}{}", if self.nesterov { "_nesterov" } else { "" })
    }

    fn momentum(&self) -> f64 {
        self.momentum
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn noise(&self) -> f64 {
        self.noise
    }

    fn buffer_names(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 { &["momentum"] } else { &[] }
    }

    /// The host draws the noise.
    fn is_recordable(&self) -> bool {
        self.noise == 0.0
    }

    fn state(&self, lr: &Tensor, theta: &Tensor) -> Box<dyn OptimizerState> {
        Box::new(SgdState::new(self, lr, theta))
    }

    fn formula(&self, theta: f64, gradient: f64, buffers: &mut [f64], update: &PlainUpdate) -> f64 {
        let PlainUpdate { lr, noise, .. } = *update;
        let (mu, gradient) = (self.momentum, gradient + self.weight_decay * theta);
        let new = match (buffers, self.form) {
            ([v], Form::Pytorch) => {
                *v = mu * *v + gradient;
                theta - lr * if self.nesterov { gradient + mu * *v } else { *v }
            }
            ([v], Form::Sutskever) => {
                *v = mu * *v - lr * gradient;
                theta + if self.nesterov { mu * *v - lr * gradient } else { *v }
            }
            _ => theta - lr * gradient,
        };
        new + noise
    }
}

/// What stochastic gradient descent remembers between steps, for stacked replicas.
struct SgdState {
    options: Sgd,
    /// −λ, with the initial learning rates.
    descent: Tensor,
    weight_decay: Tensor,
    velocity: Option<Tensor>,
}

impl SgdState {
    /// At rest. `lr` is the initial learning rate, one number or one per element of the weights
    /// `theta`.
    fn new(options: &Sgd, lr: &Tensor, theta: &Tensor) -> Self {
        let weight_decay = Tensor::from_slice(&[options.weight_decay]);
        Self {
            options: options.clone(),
            descent: -lr,
            weight_decay: weight_decay.to_kind(theta.kind()).to_device(theta.device()),
            velocity: (options.momentum > 0.0).then(|| theta.zeros_like()),
        }
    }
}

impl OptimizerState for SgdState {
    fn step(&mut self, theta: &mut Tensor, mut gradient: Tensor, update: Update) {
        let Update { factor, factor_there, noise, .. } = update;
        let Sgd { momentum, form, nesterov, weight_decay, .. } = self.options;
        let scaled = match factor_there {
            Some(factor) => Some(&self.descent * factor),
            None => (factor != 1.0).then(|| &self.descent * factor),
        };
        let descent = scaled.as_ref().unwrap_or(&self.descent);
        if weight_decay != 0.0 {
            let _ = gradient.addcmul_(theta, &self.weight_decay);
        }
        let _ = match (&mut self.velocity, form) {
            (None, _) => theta.addcmul_(descent, &gradient),
            (Some(velocity), Form::Pytorch) => {
                let _ = velocity.g_mul_scalar_(momentum).g_add_(&gradient);
                if nesterov {
                    let ahead = gradient + &*velocity * momentum;
                    theta.addcmul_(descent, &ahead)
                } else {
                    theta.addcmul_(descent, velocity)
                }
            }
            (Some(velocity), Form::Sutskever) => {
                let _ = velocity.g_mul_scalar_(momentum).addcmul_(descent, &gradient);
                if nesterov {
                    let _ = theta.g_add_(&(&*velocity * momentum));
                    theta.addcmul_(descent, &gradient)
                } else {
                    theta.g_add_(velocity)
                }
            }
        };
        if let Some(noise) = noise {
            let _ = theta.g_add_(&noise);
        }
    }

    fn buffers(&self) -> Vec<(&'static str, &Tensor)> {
        self.velocity.iter().map(|velocity| ("momentum", velocity)).collect()
    }
}
