//! What a run can measure besides losses, and what one epoch's measurement found.

use serde::{Deserialize, Serialize};

/// Quantities that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Gradients and their noise: 8 to 32 gradients of a batch, and up to 16 of test batches.
    Gradient,
    /// Tr H and Tr(HD): 2 to 8 pairs and as many probes, 11 gradients of a batch for each.
    Hessian,
    /// The largest eigenvalues of the Hessian of four batches: 12 steps, 100 gradients of a batch.
    Spectrum,
}

impl Group {
    /// Every group with its name in scripts.
    pub const ALL: [(&'static str, Self); 3] =
        [("gradient", Self::Gradient), ("hessian", Self::Hessian), ("spectrum", Self::Spectrum)];
}

/// What a run measures, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Sorted, each once.
    pub groups: Vec<Group>,
    /// At every epoch divisible by this, and at the last.
    pub every: u32,
}

impl Measure {
    /// Epochs from one measurement to the next, where nothing else is said.
    pub const EVERY: u32 = 10;
}

/// A measured quantity: its column, its group, its meaning.
pub const QUANTITIES: [(&str, Group, &str); 17] = [
    ("grad_norm2", Group::Gradient, "|∂U_ℓ|², without the noise of the batches"),
    ("theta_norm2", Group::Gradient, "|θ|²"),
    ("theta_grad", Group::Gradient, "θ·∂U_ℓ"),
    (
        "drift_along",
        Group::Gradient,
        "r·(∂U_ℓ + αθ) along a random unit vector r, the same at all epochs (Eq. 34)",
    ),
    ("noise_trace", Group::Gradient, "Tr D, D = B · covariance of the batches' gradients"),
    ("noise_trace_error", Group::Gradient, "its standard error"),
    ("test_grad_dot", Group::Gradient, "∂U_e·∂U_ℓ"),
    ("theta_test_grad", Group::Gradient, "θ·∂U_e"),
    ("hessian_trace", Group::Hessian, "Tr H, H = ∂²U_ℓ"),
    ("hessian_trace_error", Group::Hessian, "its standard error"),
    ("hessian_noise", Group::Hessian, "Tr(HD)"),
    ("hessian_noise_error", Group::Hessian, "its standard error"),
    ("test_hessian_noise", Group::Hessian, "Tr(H_e D), H_e = ∂²U_e"),
    ("test_hessian_trace", Group::Hessian, "Tr H_e; in a sweep only with noise β"),
    ("hessian_1", Group::Spectrum, "the largest eigenvalue of H"),
    ("hessian_2", Group::Spectrum, "the second"),
    ("hessian_3", Group::Spectrum, "the third"),
];

/// The quantities of one epoch in the order of [`QUANTITIES`]; none where a group was not wanted,
/// or a number is not finite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Measured(Vec<Option<f64>>);

impl Measured {
    /// A quantity by its column; NaN where it was not measured.
    pub fn get(&self, name: &str) -> f64 {
        let place = QUANTITIES.iter().position(|(known, ..)| *known == name);
        place.and_then(|place| self.0.get(place).copied().flatten()).unwrap_or(f64::NAN)
    }

    pub(super) fn set(&mut self, name: &str, value: f64) {
        self.0.resize(QUANTITIES.len(), None);
        if let Some(place) = QUANTITIES.iter().position(|(known, ..)| *known == name) {
            self.0[place] = value.is_finite().then_some(value);
        }
    }
}
