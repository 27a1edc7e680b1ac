//! What training leaves behind: a record per epoch, a status per run.

use serde::{Deserialize, Serialize};

use super::quantities::Measured;
use crate::model::Scores;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All epochs were trained.
    Done,
    /// A loss became infinite or not a number.
    Diverged,
    /// It could not be trained; the error says why.
    Failed,
    /// The user stopped it.
    Interrupted,
}

impl Status {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// One run's metrics after one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Updates so far.
    pub steps: u64,
    /// The learning rate of the epoch's last update.
    pub lr_now: f64,
    /// On the training set.
    pub train: Scores,
    /// On the test set.
    pub test: Scores,
    /// What was measured besides, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Wall time of the epoch, evaluation included, divided by the replicas that shared it.
    pub seconds: f64,
}

/// The record of a first epoch, for tests.
#[cfg(test)]
pub(crate) fn example_record() -> EpochRecord {
    let scores = Scores { loss: 1.0, accuracy: 0.5, loss_std: 0.1 };
    EpochRecord {
        epoch: 1,
        steps: 10,
        lr_now: 0.1,
        train: scores,
        test: scores,
        measured: None,
        seconds: 1.0,
    }
}
