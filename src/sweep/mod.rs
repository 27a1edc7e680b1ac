//! Sweeps: a plan of runs, where it is stored, and its execution on this machine.

mod local;
mod observer;
mod plan;
mod provenance;
pub mod rows;
mod store;

pub use local::{RunOptions, Summary, open, run, train};
pub use observer::{Observer, Silent, Work};
pub use plan::{Plan, PlannedRun};
pub use provenance::{Ended, Provenance, Script};
pub use store::Store;
