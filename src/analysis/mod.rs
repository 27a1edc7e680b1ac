//! From tables to estimates: the steady state of each run, the fit of Eq. 1, the paper's predictions as verdicts,
//! whether runs of equal temperature lie together, and where their spread comes from.

mod collapse;
mod curve;
mod epochs;
mod fit;
mod groups;
mod predictions;
mod steady;
mod variance;

pub use collapse::{Collapse, collapse};
pub use curve::{CurveFit, Formula, curve_fit};
pub use epochs::paper_epochs;
pub use fit::{GapFit, fit_gap};
pub use groups::Verdict;
pub use predictions::{Prediction, predictions};
pub use steady::{Statistic, SteadyOptions, steady};
pub use variance::{Share, variance};
