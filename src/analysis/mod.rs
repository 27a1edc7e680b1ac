//! From tables to estimates: the steady state of each run, the fit of Eq. 1, the paper's
//! predictions as verdicts, whether runs of equal temperature lie together, where their spread
//! comes from, and averages as precise as wanted.

mod alternatives;
mod average;
mod bootstrap;
mod collapse;
mod curve;
mod drift;
mod epochs;
mod eq1;
mod fit;
mod fit_by;
mod format;
mod function;
mod groups;
mod isotonic;
mod kendall;
mod lack_of_fit;
mod noncentral;
mod optimum;
mod prediction;
mod predictions;
mod runs;
#[cfg(test)]
mod simulated;
mod spikes;
mod stationarity;
mod statistics;
mod steady;
mod variable_projection;
mod variance;

pub use alternatives::{Alternative, alternatives};
pub use average::{AVERAGE_OPTIONS, Average, Goal, average_over};
pub use bootstrap::Bootstrap;
pub use collapse::{Collapse, collapse};
pub use curve::{CURVE_OPTIONS, CurveFit, Formula, curve_fit};
pub use epochs::paper_epochs;
#[cfg(feature = "script")]
pub(crate) use fit::SPREADLESS;
pub use fit::{GapFit, fit_gap, fit_gap_bootstrap};
pub use fit_by::{FitOptions, GroupFit, fit_by, fit_columns};
pub use function::{Analysis, TableFunction};
pub use prediction::{Prediction, PredictionOptions, Verdict};
pub use predictions::predictions;
pub use runs::last_quarter;
pub use stationarity::stationarity;
pub use steady::{STEADY_OPTIONS, Statistic, SteadyOptions, steady};
pub use variance::{VarianceShare, variance};

/// The functions of a table that scripts call, in the order of help. Each has a file of its own.
pub const FUNCTIONS: &[TableFunction] = &[
    steady::ENTRY,
    fit_by::ENTRY,
    predictions::ENTRY,
    collapse::ENTRY,
    variance::ENTRY,
    alternatives::ENTRY,
    stationarity::ENTRY,
];
