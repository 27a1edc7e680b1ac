//! Adam (Kingma and Ba 2015) and, decoupled, AdamW (Loshchilov and Hutter 2019), as PyTorch
//! computes them.
//!
//! With gradient g, weights θ, learning rate λ and weight decay α, at the t-th update (t from 1):
//!
//! - g ← g + α θ, or, decoupled, θ ← (1 − λα) θ
//! - m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²
//! - θ ← θ − λ / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Optimizer, OptimizerEntry, OptimizerState, PlainUpdate, Update, stored};
use crate::options::{Bounds, DefaultValue, Kind, Opt};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "adam",
    doc: "Adam, or AdamW where weights decay decoupled",
    origin: "Kingma and Ba 2015; Loshchilov and Hutter 2019",
    options: &[
        Opt::new(
            "beta1",
            Kind::Number(Bounds::BELOW_ONE),
            DefaultValue::Number(0.9),
            "decay of the mean gradient",
        ),
        Opt::new(
            "beta2",
            Kind::Number(Bounds::BELOW_ONE),
            DefaultValue::Number(0.999),
            "decay of the mean squared gradient",
        ),
        Opt::new(
            "eps",
            Kind::Number(Bounds::POSITIVE),
            DefaultValue::Number(1e-8),
            "ε, added to the root of the mean square",
        ),
        Opt::new(
            "weight_decay",
            Kind::Number(Bounds::FROM_ZERO),
            DefaultValue::Number(5e-4),
            "α, on every parameter, as for sgd",
        ),
        Opt::new(
            "decoupled",
            Kind::Flag,
            DefaultValue::Flag(false),
            "whether weights decay apart from the gradient (AdamW)",
        ),
    ],
    example: "let data = digits().take(200);\n\
              train(#{ data: data, model: linear(), optimizer: adam(), lr: 0.01, batch: 20, epochs: 3 })",
    stored: stored::<Adam>,
};

/// The options of Adam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// β₁, from 0 to below 1.
    pub beta1: f64,
    /// β₂, from 0 to below 1.
    pub beta2: f64,
    /// ε, above 0.
    pub eps: f64,
    /// α, on every parameter.
    pub weight_decay: f64,
    /// Whether weights decay apart from the gradient (AdamW).
    pub decoupled: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 5e-4, decoupled: false }
    }
}

impl Optimizer for Adam {
    fn entry(&self) -> &'static OptimizerEntry {
        &ENTRY
    }

    /// `adam`, `adamw`.
    fn label(&self) -> String {
        if self.decoupled { "adamw" } else { "adam" }.to_owned()
    }

    /// β₁.
    fn momentum(&self) -> f64 {
        self.beta1
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn buffer_names(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn state(&self, lr: &Tensor, theta: &Tensor) -> Box<dyn OptimizerState> {
        let options = self.clone();
        Box::new(AdamState { options, descent: -lr, mean: theta.zeros_like(), square: theta.zeros_like() })
    }

    fn formula(&self, theta: f64, gradient: f64, buffers: &mut [f64], update: &PlainUpdate) -> f64 {
        let Self { beta1, beta2, eps, weight_decay, decoupled } = *self;
        let [m, v] = buffers else { return theta };
        let t = update.done as f64 + 1.0;
        let (theta, g) = match decoupled {
            true => ((1.0 - update.lr * weight_decay) * theta, gradient),
            false => (theta, gradient + weight_decay * theta),
        };
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        let spread = v.sqrt() / (1.0 - beta2.powf(t)).sqrt() + eps;
        theta - update.lr / (1.0 - beta1.powf(t)) * *m / spread
    }
}

/// What Adam remembers between steps, for stacked replicas.
struct AdamState {
    options: Adam,
    /// −λ, with the initial learning rates.
    descent: Tensor,
    mean: Tensor,
    square: Tensor,
}

impl OptimizerState for AdamState {
    fn step(&mut self, theta: &mut Tensor, mut gradient: Tensor, update: Update) {
        let Adam { beta1, beta2, eps, weight_decay, decoupled } = self.options;
        let t = update.done as f64 + 1.0;
        if weight_decay != 0.0 {
            let _ = if decoupled {
                let kept = &self.descent * (update.factor * weight_decay) + 1.0;
                theta.g_mul_(&kept)
            } else {
                gradient.g_add_(&(&*theta * weight_decay))
            };
        }
        let _ = self.mean.g_mul_scalar_(beta1).g_add_(&(&gradient * (1.0 - beta1)));
        let _ = self.square.g_mul_scalar_(beta2).g_add_(&(gradient.square() * (1.0 - beta2)));
        let spread = self.square.sqrt() / (1.0 - beta2.powf(t)).sqrt() + eps;
        let step = &self.descent * (update.factor / (1.0 - beta1.powf(t)));
        let _ = theta.g_add_(&(step * &self.mean / spread));
    }

    fn buffers(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("exp_avg", &self.mean), ("exp_avg_sq", &self.square)]
    }
}
