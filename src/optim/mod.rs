//! Optimizers and learning-rate schedules. One file per optimizer, one entry in [`OPTIMIZERS`].

mod schedule;
mod sgd;

pub use schedule::Schedule;
pub use sgd::{Form, Sgd, SgdState};

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// An optimizer as plain data: part of a run's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum OptimizerSpec {
    /// Stochastic gradient descent.
    Sgd(Sgd),
}

/// What help, completion and checking know of an optimizer.
pub struct OptimizerInfo {
    /// The name in scripts.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub doc: &'static str,
    /// Where it comes from.
    pub origin: &'static str,
    /// Its options: name and meaning with the default.
    pub options: &'static [(&'static str, &'static str)],
}

/// Every optimizer.
pub const OPTIMIZERS: &[OptimizerInfo] = &[OptimizerInfo {
    name: "sgd",
    doc: "stochastic gradient descent: plain, with momentum, Nesterov",
    origin: "Eqs. 15, 16 and 45 of the paper; Sutskever et al. 2013",
    options: &[
        ("momentum", "μ, from 0 to below 1; default 0"),
        ("form", "\"pytorch\" (Eq. 16) or \"sutskever\" (Eq. 45); default \"pytorch\""),
        ("nesterov", "the gradient where momentum leads to; default false"),
        ("weight_decay", "α of Eq. 15, on every parameter; default 5e-4"),
        ("noise", "β of Eq. 15, isotropic noise of standard deviation β √(λT) per step; default 0"),
    ],
}];

impl OptimizerSpec {
    /// The entry of this optimizer in [`OPTIMIZERS`].
    pub fn info(&self) -> &'static OptimizerInfo {
        match self {
            Self::Sgd(_) => &OPTIMIZERS[0],
        }
    }

    /// Checks the options.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Sgd(sgd) => sgd.check(),
        }
    }
}
