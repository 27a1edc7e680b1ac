//! What happens while training.

use std::time::SystemTime;

use tch::Device;

use super::super::record::{EpochRecord, Status};
use super::super::snapshot::{Position, Snapshot};
use crate::model::State;

/// What happens while training. `run` is a position in the tasks.
pub enum Event {
    /// A run begins, or begins again after its stack was cut in two.
    Began {
        /// The run.
        run: usize,
        /// Where it starts.
        position: Position,
    },
    /// An epoch with metrics ended.
    Epoch {
        /// The run.
        run: usize,
        /// Its metrics.
        record: EpochRecord,
    },
    /// The runs of a stack can go on from here.
    Checkpoint {
        /// Each run with its state.
        runs: Vec<(usize, Snapshot)>,
    },
    /// A run ended.
    Ended {
        /// The run.
        run: usize,
        /// How.
        outcome: Outcome,
    },
    /// A run was not trained, because [`Start::Leave`](super::Start::Leave) said so.
    Left {
        /// The run.
        run: usize,
    },
    /// All events so far were given; comes after each handful of others.
    Flush,
    /// Nothing; comes a few times a second, for progress displays.
    Tick {
        /// Images trained on so far, all runs together.
        images: u64,
    },
    /// Training was asked to stop and finishes its step.
    Stopping,
}

/// How a run ended.
pub struct Outcome {
    /// Done, diverged or failed.
    pub status: Status,
    /// Why it did not end as done.
    pub error: Option<String>,
    /// When its stack began.
    pub started: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// SHA-256 of the final weights of a run that is done
    /// ([`weights_digest`](crate::train::weights_digest)).
    pub digest: Option<String>,
    /// The final weights by their PyTorch names, if they were to be kept.
    pub weights: Option<State>,
    /// What trained it.
    pub device: Device,
}
