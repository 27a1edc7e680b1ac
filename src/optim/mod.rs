//! Optimizers and learning-rate schedules. One file per optimizer, one entry in [`OPTIMIZERS`].

mod adam;
mod schedule;
mod sgd;

pub use adam::{Adam, AdamState};
pub use schedule::Schedule;
pub use sgd::{Form, Sgd, SgdState};

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Result;

/// An optimizer as plain data: part of a run's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum OptimizerSpec {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam.
    Adam(Adam),
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
pub const OPTIMIZERS: &[OptimizerInfo] = &[
    OptimizerInfo {
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
    },
    OptimizerInfo {
        name: "adam",
        doc: "Adam, or AdamW where weights decay decoupled",
        origin: "Kingma and Ba 2015; Loshchilov and Hutter 2019",
        options: &[
            ("beta1", "decay of the mean gradient, from 0 to below 1; default 0.9"),
            ("beta2", "decay of the mean squared gradient, from 0 to below 1; default 0.999"),
            ("eps", "ε, added to the root of the mean square; default 1e-8"),
            ("weight_decay", "α, on every parameter; default 5e-4, as for sgd"),
            ("decoupled", "whether weights decay apart from the gradient (AdamW); default false"),
        ],
    },
];

/// One update, as an optimizer sees it.
pub struct Update {
    /// Updates that were done before.
    pub done: u64,
    /// The schedule's factor of the learning rate.
    pub factor: f64,
    /// The same on the weights' device, where a recorded update reads it; then SGD takes this one.
    pub factor_there: Option<Tensor>,
    /// β √(λT) w per parameter, if there is noise.
    pub noise: Option<Tensor>,
}

/// What an optimizer remembers between updates, for stacked replicas.
pub trait OptimizerState: Send {
    /// One update of the weights; `gradient` is consumed.
    fn step(&mut self, theta: &mut Tensor, gradient: Tensor, update: Update);

    /// What is remembered, by name, each ordered as the weights: what a checkpoint keeps.
    fn buffers(&self) -> Vec<(&'static str, &Tensor)>;
}

impl OptimizerSpec {
    /// The entry of this optimizer in [`OPTIMIZERS`].
    pub fn info(&self) -> &'static OptimizerInfo {
        match self {
            Self::Sgd(_) => &OPTIMIZERS[0],
            Self::Adam(_) => &OPTIMIZERS[1],
        }
    }

    /// Checks the options.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Sgd(sgd) => sgd.check(),
            Self::Adam(adam) => adam.check(),
        }
    }

    /// The optimizer at rest. `lr` is the initial learning rate, one number or one per element of the weights
    /// `theta`.
    pub fn state(&self, lr: &Tensor, theta: &Tensor) -> Box<dyn OptimizerState> {
        match self {
            Self::Sgd(sgd) => Box::new(SgdState::new(sgd, lr, theta)),
            Self::Adam(adam) => Box::new(AdamState::new(adam, lr, theta)),
        }
    }

    /// Buffers of the size of the weights that it keeps.
    pub fn buffers(&self) -> u64 {
        match self {
            Self::Sgd(sgd) => u64::from(sgd.momentum > 0.0),
            Self::Adam(_) => 2,
        }
    }

    /// Whether an update needs nothing of the host but what [`Update`] has as tensors: then it can be recorded and replayed.
    pub fn is_recordable(&self) -> bool {
        matches!(self, Self::Sgd(sgd) if sgd.noise == 0.0)
    }

    /// The name in tables.
    pub fn label(&self) -> String {
        match self {
            Self::Sgd(sgd) => sgd.label(),
            Self::Adam(adam) => adam.label(),
        }
    }

    /// μ, or Adam's β₁.
    pub fn momentum(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.momentum,
            Self::Adam(adam) => adam.beta1,
        }
    }

    /// α.
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.weight_decay,
            Self::Adam(adam) => adam.weight_decay,
        }
    }

    /// β of Eq. 15.
    pub fn noise(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.noise,
            Self::Adam(_) => 0.0,
        }
    }
}
