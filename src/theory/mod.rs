//! The paper's theory on problems that can be solved: section 2 and Appendices A to D, checked by
//! computation.
//!
//! A problem ([`Problem`]) is a loss and a law of the examples ([`law`]), one file each. On a
//! training set it has a stationary density ([`density`], Eq. 18); over data sets these are
//! averaged ([`ensemble`]) and every equation becomes two sides ([`equations`]). [`chains`],
//! [`langevin`] and [`fokker_planck`] simulate SGD, its diffusions and their density; [`quadratic`]
//! knows the exact moments where the loss is quadratic. [`FUNCTIONS`] lists what scripts can call.

mod chains;
mod check;
mod density;
mod diffusion;
mod double_well;
mod dynamics;
mod ensemble;
mod equations;
mod estimate;
mod fokker_planck;
mod function;
mod gap;
mod gaussian_mean;
mod histogram;
mod langevin;
mod law;
mod linear_regression;
mod logistic;
mod moments;
mod optimum;
mod potential;
mod problem;
mod profiles;
mod quadratic;
#[cfg(test)]
mod reference;
mod relaxation;
mod sgd;
mod sides;
mod spurious_minimum;
#[cfg(test)]
mod tests;

pub use chains::ChainOptions;
pub use double_well::DoubleWell;
pub use dynamics::Dynamics;
pub use ensemble::EnsembleOptions;
pub use estimate::Estimate;
pub use fokker_planck::{FokkerPlanck, FokkerPlanckOptions};
pub use function::{LabFunction, LabRow, LabValue};
pub use gap::Gap;
pub use gaussian_mean::GaussianMean;
pub use langevin::LangevinOptions;
pub use law::{Example, LawEntry};
pub use linear_regression::LinearRegression;
pub use logistic::Logistic;
pub use optimum::Optimum;
pub use potential::Gauge;
pub use problem::{DataSet, ProblemEntry};
pub use relaxation::Moment;
pub use sgd::Stationary;
pub use sides::{Claim, EquationCheck};
pub use spurious_minimum::SpuriousMinimum;

problem::problems! {
    GaussianMean: "l = ½(θ − x)².",
    LinearRegression: "l = ½(y − x·θ)².",
    DoubleWell: "l = ¼(θ² − 1)² + xθ.",
    Logistic: "l = ln(1 + e^{−yθx}).",
    SpuriousMinimum: "l = ½θ² + x e^{−(θ − 1)²/2w²}.",
}

/// The functions of a problem that scripts call. Each has a file of its own.
pub const FUNCTIONS: &[LabFunction] = &[
    problem::ENTRY,
    density::ENTRY,
    profiles::ENTRY,
    gap::ENTRY,
    check::ENTRY,
    optimum::ENTRY,
    sgd::ENTRY,
    histogram::ENTRY,
    relaxation::ENTRY,
    diffusion::ENTRY,
];
