//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

/// How the learning rate changes while training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// λ.
    Constant,
    /// λ cos(π/2 · t/t_f), t the updates already done, t_f all of them (section 2.3 of the paper).
    Cosine,
}

impl Schedule {
    /// Every schedule with its name in scripts and tables.
    pub const ALL: [(&'static str, Self); 2] = [("constant", Self::Constant), ("cosine", Self::Cosine)];

    /// The name in scripts and tables.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, value)| *value == self).map_or("", |(name, _)| name)
    }

    /// The learning rate of the step after `done` of `total` updates, in units of the initial one.
    pub fn factor(self, done: u64, total: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => (std::f64::consts::FRAC_PI_2 * done as f64 / total.max(1) as f64).cos(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_falls_from_one_to_zero() {
        let factor = |done| Schedule::Cosine.factor(done, 90);
        assert_eq!(factor(0), 1.0);
        assert!((factor(30) - 0.75f64.sqrt()).abs() < 1e-15);
        assert!((factor(60) - 0.5).abs() < 1e-15);
        assert!(factor(89) > 0.0);
    }
}
