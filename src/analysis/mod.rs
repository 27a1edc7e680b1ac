//! From tables to estimates: the steady state of each run, the fit of Eq. 1.

mod epochs;
mod fit;
mod steady;

pub use epochs::paper_epochs;
pub use fit::{GapFit, fit_gap};
pub use steady::{Statistic, SteadyOptions, steady};
