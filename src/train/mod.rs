//! Training: from run specifications to metrics, epoch by epoch.
//!
//! Runs of one shape form a cohort ([`cohort`]); a cohort is cut into stacks of replicas that train
//! together ([`stack`]), as libtorch's tensors ([`tensors`]) or in vector lanes ([`lanes`]); stacks
//! run on worker threads ([`engine`]). Nothing above this folder knows how a run was executed.

mod backend;
mod batches;
pub mod cohort;
mod costs;
pub mod engine;
mod evaluate;
mod lanes;
mod losses;
mod measure;
mod memory;
pub mod options;
mod quantities;
mod record;
mod recorded;
mod snapshot;
mod spec;
mod stack;
mod strategy;
mod tally;
mod tensors;
mod timing;

pub use costs::{Cost, MEASURED};
pub use engine::{Event, Outcome};
pub use evaluate::scores;
pub use losses::losses;
pub use measure::measure_network;
pub use quantities::{Group, Measure, Measured, QUANTITIES};
#[cfg(test)]
pub(crate) use record::example_record;
pub use record::{EpochRecord, Status};
pub use snapshot::{Position, Snapshot, weights_digest};
#[cfg(test)]
pub(crate) use spec::example;
pub use spec::{InitFile, Order, RunSpec, Seeds, TrainMetrics};
pub use strategy::{Backend, ExecutionStrategy};
pub use tally::Tally;
pub use timing::{Expected, expected};
