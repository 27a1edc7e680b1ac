//! `on_epoch`: a script's function that is called as a sweep's epochs come.

use rhai::{Dynamic, EvalAltResult, FnPtr, NativeCallContext};

use crate::error::{Error, Result};
use crate::sweep::{Observer, PlannedRun, Process, Work};
use crate::train::{EpochRecord, Status};

/// Shows training as another observer does, and calls the function with each row of the epochs
/// table as it comes.
pub(super) struct OnEpoch<'a> {
    shown: Box<dyn Observer>,
    context: &'a NativeCallContext<'a>,
    function: FnPtr,
    failed: Option<Box<EvalAltResult>>,
}

impl<'a> OnEpoch<'a> {
    pub(super) fn new(shown: Box<dyn Observer>, context: &'a NativeCallContext<'a>, function: FnPtr) -> Self {
        Self { shown, context, function, failed: None }
    }

    /// The error of the function that stopped the training.
    pub(super) fn failed(self) -> Option<Box<EvalAltResult>> {
        self.failed
    }
}

impl Observer for OnEpoch<'_> {
    fn start(&mut self, work: Work) {
        self.shown.start(work);
    }

    fn epoch(&mut self, sweep: &str, run: &PlannedRun, record: &EpochRecord) -> Result<()> {
        self.shown.epoch(sweep, run, record)?;
        if self.failed.is_some() {
            return Ok(());
        }
        let epoch = crate::sweep::rows::epochs(sweep, run, std::slice::from_ref(record))?;
        let row = super::tables::row_of(&epoch, 0)?;
        let called = self.function.call_within_context::<Dynamic>(self.context, (row,));
        called.map(|_| ()).map_err(|error| {
            // The user's interrupt is no failure of the function that it ended.
            if !matches!(error.unwrap_inner(), EvalAltResult::ErrorTerminated(..)) {
                self.failed = Some(error);
            }
            Error::Interrupted
        })
    }

    fn ended(&mut self, run: &str, status: Status, error: Option<&str>) {
        self.shown.ended(run, status, error);
    }

    fn tick(&mut self, images: u64) {
        self.shown.tick(images);
    }

    fn stopping(&mut self, checkpoints: bool) {
        self.shown.stopping(checkpoints);
    }

    fn waiting(&mut self, runs: usize, process: &Process) {
        self.shown.waiting(runs, process);
    }

    fn notify(&mut self, text: &str) {
        self.shown.notify(text);
    }

    fn finish(&mut self) {
        self.shown.finish();
    }
}
