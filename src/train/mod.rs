//! Training: from run specifications to metrics, epoch by epoch.
//!
//! Runs of one shape form a cohort ([`cohort`]); a cohort is cut into stacks of replicas that train
//! together ([`stack`]), as libtorch's tensors ([`tensors`]) or in vector lanes ([`lanes`]); stacks run on worker
//! threads ([`engine`]). Nothing above this folder knows how
//! a run was executed.

mod backend;
pub mod cohort;
pub mod engine;
mod evaluate;
mod lanes;
mod losses;
mod measure;
mod memory;
pub mod options;
mod record;
mod recorded;
mod snapshot;
mod spec;
mod stack;
mod strategy;
mod tensors;
mod timing;

pub use engine::{Event, Outcome};
pub use evaluate::scores;
pub use losses::losses;
pub use measure::{Group, Measure, Measured, QUANTITIES, measure_network};
pub use record::{EpochRecord, Status};
pub use snapshot::{Position, Snapshot, weights_digest};
#[cfg(test)]
pub(crate) use spec::example;
pub use spec::{InitFile, Order, RunSpec, Seeds, TrainMetrics};
pub use strategy::{Backend, Cost, ExecutionStrategy, MEASURED};
pub use timing::{Expected, expected};
