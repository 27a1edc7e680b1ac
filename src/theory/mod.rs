//! The paper's theory on problems that can be solved: section 2 and Appendices A to D, checked by computation.
//!
//! A problem ([`Problem`]) is a loss and a law of the examples, one file each. On a training set it has a stationary density
//! ([`density`], Eq. 18); over data sets these are averaged ([`ensemble`]) and every equation becomes two sides
//! ([`equations`]). [`chains`], [`langevin`] and [`fokker_planck`] simulate SGD, its diffusions and their density; [`quadratic`]
//! knows the exact moments where the loss is quadratic.

mod chains;
mod density;
mod double_well;
mod ensemble;
mod equations;
mod fokker_planck;
mod gap;
mod gaussian_mean;
mod langevin;
mod linear_regression;
mod logistic;
mod moments;
mod optimum;
mod problem;
mod quadratic;
#[cfg(test)]
mod reference;
mod spurious_minimum;
#[cfg(test)]
mod tests;

pub use chains::{ChainOptions, Moment, Stationary};
pub use double_well::DoubleWell;
pub use ensemble::{EnsembleOptions, Estimate};
pub use equations::{Claim, Gauge, Side};
pub use fokker_planck::{FokkerPlanck, FokkerPlanckOptions};
pub use gap::Gap;
pub use gaussian_mean::GaussianMean;
pub use langevin::LangevinOptions;
pub use linear_regression::LinearRegression;
pub use logistic::Logistic;
pub use optimum::Optimum;
pub use problem::{DataSet, Dynamics, Example, Problem};
pub use spurious_minimum::SpuriousMinimum;
