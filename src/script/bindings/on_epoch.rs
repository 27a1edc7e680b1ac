//! `on_epoch`: a script's function that is called as a sweep's epochs come.

use rhai::{Dynamic, EvalAltResult, FnPtr, Map, NativeCallContext};

use crate::error::{Error, Result};
use crate::script::convert::describe;
use crate::sweep::{Observer, Process, Work};
use crate::train::{EpochRecord, QUANTITIES, Status};

/// Shows training as another observer does, and calls the function with each epoch's row.
pub(super) struct OnEpoch<'a> {
    shown: Box<dyn Observer>,
    context: &'a NativeCallContext<'a>,
    function: FnPtr,
    failed: Option<Box<EvalAltResult>>,
}

/// The function of an option.
pub(super) fn function(value: &Dynamic) -> Result<FnPtr> {
    value.clone().try_cast::<FnPtr>().ok_or_else(|| {
        let found = describe(value);
        let example = "|row| print(`${row.run_id} ${row.epoch}: ${row.test_loss}`)";
        Error::invalid(format!("on_epoch: expected a function of a row, {example}, found {found}"))
    })
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

/// What the function is given: a run's measurements, named as in the epochs table.
fn row(run: &str, record: &EpochRecord) -> Map {
    let numbers = [
        ("lr_now", record.lr_now),
        ("train_loss", record.train.loss),
        ("train_accuracy", record.train.accuracy),
        ("train_loss_std", record.train.loss_std),
        ("test_loss", record.test.loss),
        ("test_accuracy", record.test.accuracy),
        ("test_loss_std", record.test.loss_std),
        ("gap", record.test.loss - record.train.loss),
        ("seconds", record.seconds),
    ];
    let mut row: Map = numbers.into_iter().map(|(name, value)| (name.into(), Dynamic::from(value))).collect();
    for (name, ..) in QUANTITIES.iter().filter(|_| record.measured.is_some()) {
        let value = record.measured.as_ref().map_or(f64::NAN, |measured| measured.get(name));
        row.insert((*name).into(), if value.is_nan() { Dynamic::UNIT } else { value.into() });
    }
    row.insert("run_id".into(), run.into());
    row.insert("epoch".into(), Dynamic::from(i64::from(record.epoch)));
    row.insert("steps".into(), Dynamic::from(record.steps as i64));
    row
}

impl Observer for OnEpoch<'_> {
    fn start(&mut self, work: Work) {
        self.shown.start(work);
    }

    fn epoch(&mut self, run: &str, record: &EpochRecord) -> Result<()> {
        self.shown.epoch(run, record)?;
        if self.failed.is_some() {
            return Ok(());
        }
        let called = self.function.call_within_context::<Dynamic>(self.context, (row(run, record),));
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

    fn say(&mut self, text: &str) {
        self.shown.say(text);
    }

    fn finish(&mut self) {
        self.shown.finish();
    }
}
