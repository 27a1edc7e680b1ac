//! Adam (Kingma and Ba 2015) and, decoupled, AdamW (Loshchilov and Hutter 2019), as PyTorch computes them.
//!
//! With gradient g, weights θ, learning rate λ and weight decay α, at the t-th update (t from 1):
//!
//! - g ← g + α θ, or, decoupled, θ ← (1 − λα) θ
//! - m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²
//! - θ ← θ − λ / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{OptimizerState, Update};
use crate::error::{Error, Result};

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

impl Adam {
    /// Checks the options.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::invalid(format!("adam: {name} is {value}, expected 0 to below 1")));
            }
        }
        if !(self.eps > 0.0 && self.eps.is_finite()) {
            return Err(Error::invalid(format!("adam: eps is {}, expected a number > 0", self.eps)));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            let found = self.weight_decay;
            return Err(Error::invalid(format!("adam: weight_decay is {found}, expected a number ≥ 0")));
        }
        Ok(())
    }

    /// The name in tables: `adam`, `adamw`.
    pub fn label(&self) -> String {
        if self.decoupled { "adamw" } else { "adam" }.to_owned()
    }
}

/// What Adam remembers between steps, for stacked replicas.
pub struct AdamState {
    options: Adam,
    /// −λ, with the initial learning rates.
    descent: Tensor,
    mean: Tensor,
    square: Tensor,
}

impl AdamState {
    /// At rest. `lr` is the initial learning rate, one number or one per element of the weights `theta`.
    pub fn new(options: &Adam, lr: &Tensor, theta: &Tensor) -> Self {
        Self { options: options.clone(), descent: -lr, mean: theta.zeros_like(), square: theta.zeros_like() }
    }
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
