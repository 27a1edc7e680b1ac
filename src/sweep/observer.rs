//! What a progress display is told.

use super::plan::PlannedRun;
use super::process::Process;
use crate::error::Result;
use crate::train::{EpochRecord, Position, Status};

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Runs that train now.
    pub runs: usize,
    /// Runs of the plan that had ended before.
    pub skipped: usize,
    /// Runs that go on from a checkpoint.
    pub resumed: usize,
    /// Epochs with metrics of the runs that train now, all together, that are still to do.
    pub epochs: u64,
}

/// A run to train, and where it is thought to start.
pub(super) struct Todo<'a> {
    pub(super) run: &'a PlannedRun,
    pub(super) position: Position,
}

impl Work {
    /// These runs are to do, others were skipped.
    pub(super) fn of(todo: &[Todo], skipped: usize) -> Self {
        let epochs = |Todo { run, position }: &Todo| {
            let every = u64::from(run.spec.evaluate_every);
            u64::from(run.spec.epochs).div_ceil(every) - u64::from(position.epoch) / every
        };
        Self {
            runs: todo.len(),
            skipped,
            resumed: todo.iter().filter(|todo| todo.position != Position::default()).count(),
            epochs: todo.iter().map(epochs).sum(),
        }
    }
}

/// Someone who watches a sweep. Called on the thread that started it.
pub trait Observer {
    /// Training begins.
    fn start(&mut self, work: Work) {
        let _ = work;
    }

    /// A run of this sweep completed an epoch with metrics.
    /// [`Error::Interrupted`](crate::error::Error::Interrupted) stops the training of all as the
    /// user's would, after a checkpoint.
    fn epoch(&mut self, sweep: &str, run: &PlannedRun, record: &EpochRecord) -> Result<()> {
        let _ = (sweep, run, record);
        Ok(())
    }

    /// A run ended.
    fn ended(&mut self, run: &str, status: Status, error: Option<&str>) {
        let _ = (run, status, error);
    }

    /// Called a few times a second with the images trained on so far.
    fn tick(&mut self, images: u64) {
        let _ = images;
    }

    /// Training was asked to stop and finishes its step, and its checkpoints if it has any.
    fn stopping(&mut self, checkpoints: bool) {
        let _ = checkpoints;
    }

    /// What is left trains in other processes, of which this is one; waiting for them.
    fn waiting(&mut self, runs: usize, process: &Process) {
        let _ = (runs, process);
    }

    /// Something worth a line.
    fn notify(&mut self, text: &str) {
        let _ = text;
    }

    /// Training ended, by itself or not.
    fn finish(&mut self) {}
}

/// Watches nothing.
pub struct Silent;

impl Observer for Silent {}
