//! Where a run stands in its sweep's folder.

use std::time::SystemTime;

use super::plan::PlannedRun;
use super::process::Process;
use super::provenance::Ended;
use crate::train::{Position, Status};

/// Where a run stands.
#[derive(Clone, Debug)]
pub enum RunStatus {
    /// Its metrics are published.
    Published,
    /// It diverged or failed.
    Ended(Ended),
    /// Another process, or another part of this one, trains it.
    Training {
        /// Who.
        process: Process,
        /// Its last epoch with metrics.
        epoch: u32,
    },
    /// It began and can go on from a checkpoint, or from its beginning where it has none.
    Begun {
        /// Where it goes on from.
        position: Position,
        /// How the last attempt ended, if it says so.
        ended: Option<Ended>,
        /// The process that began it last.
        process: Process,
        /// When it began.
        started: SystemTime,
    },
    /// Nobody began it.
    ToDo,
}

impl RunStatus {
    /// The status in tables: a run's own, or `training`, `begun`, `to do`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Published => Status::Done.name(),
            Self::Ended(ended) => ended.status.name(),
            Self::Training { .. } => "training",
            Self::Begun { ended: Some(ended), .. } if ended.status == Status::Interrupted => {
                ended.status.name()
            }
            Self::Begun { .. } => "begun",
            Self::ToDo => "to do",
        }
    }

    /// Whether a sweep that is run again trains it.
    pub fn is_open(&self, retry_failed: bool) -> bool {
        match self {
            Self::Published => false,
            Self::Ended(ended) => retry_failed && ended.status == Status::Failed,
            Self::Training { .. } | Self::Begun { .. } | Self::ToDo => true,
        }
    }

    /// Whether and why a sweep that is run again would train it, in a sentence.
    pub fn why(&self, run: &PlannedRun) -> String {
        let epochs = run.spec.epochs;
        match self {
            Self::Published => "is skipped: its metrics are published".to_owned(),
            Self::Ended(ended) => {
                let error = ended.error.as_deref().unwrap_or("no error is known");
                match ended.status {
                    Status::Failed => {
                        format!(
                            "is skipped: it failed ({error}); run(dir, #{{retry: \"failed\"}}) tries it again"
                        )
                    }
                    status => format!("is skipped: it {} ({error}) and would again", status.name()),
                }
            }
            Self::Training { process, epoch } => format!(
                "is left to process {} on {}, which trains it and has done {epoch} of {epochs} epochs; it goes on here if that process ends",
                process.pid, process.host
            ),
            Self::Begun { position, ended, process, .. } => {
                let how = match ended {
                    Some(ended) if ended.status == Status::Done => {
                        "was done, but its metrics are gone".to_owned()
                    }
                    Some(_) => "was interrupted".to_owned(),
                    None => {
                        format!("was begun by process {} on {}, which is gone", process.pid, process.host)
                    }
                };
                let from = match *position == Position::default() {
                    true => "starts again: it has no checkpoint".to_owned(),
                    false => format!("goes on from {position} of {epochs} epochs"),
                };
                format!("{from}; it {how}")
            }
            Self::ToDo => "trains from its beginning: nobody began it".to_owned(),
        }
    }
}
