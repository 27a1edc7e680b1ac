//! A job under way: its runs are trained as stacks, saved and reported.

use std::time::{Duration, Instant, SystemTime};

use super::super::memory;
use super::super::record::{EpochRecord, Status};
use super::super::snapshot::{Position, Snapshot, weights_digest};
use super::super::spec::RunSpec;
use super::super::stack::{Advance, Signal, Stack};
use super::super::strategy::Execution;
use super::crew::{Crew, ReportSender, Stop};
use super::event::{Event, Outcome};
use super::queue::{DeviceSlot, StackJob, group_by};
use super::task::Start;
use crate::cuda;

/// A job under way.
pub(super) struct ActiveJob<'a> {
    pub(super) crew: &'a Crew,
    pub(super) reporter: &'a ReportSender,
    pub(super) job: StackJob,
    pub(super) slot: &'a DeviceSlot,
    started: SystemTime,
    /// Its runs that have not ended.
    pub(super) open: Vec<usize>,
}

/// A run whose turn has come, and where it goes on, if not at its beginning.
struct Begun {
    run: usize,
    snapshot: Option<Snapshot>,
}

impl Begun {
    fn position(&self) -> Position {
        self.snapshot.as_ref().map_or(Position::default(), |snapshot| snapshot.position)
    }
}

impl<'a> ActiveJob<'a> {
    pub(super) fn new(
        crew: &'a Crew,
        reporter: &'a ReportSender,
        job: StackJob,
        slot: &'a DeviceSlot,
    ) -> Self {
        let open = job.runs.clone();
        Self { crew, reporter, job, slot, started: SystemTime::now(), open }
    }

    /// How a run of it ends now.
    pub(super) fn outcome(&self, status: Status, error: Option<String>) -> Outcome {
        Outcome {
            status,
            error,
            started: self.started,
            ended: SystemTime::now(),
            digest: None,
            weights: None,
            device: self.slot.device,
        }
    }

    /// One of its runs has ended.
    pub(super) fn end(&mut self, run: usize, outcome: Outcome) -> Result<(), Stop> {
        self.open.retain(|&other| other != run);
        self.reporter.tell(Event::Ended { run, outcome })
    }

    /// Trains its runs to their end, on another device where this one can never hold them.
    pub(super) fn train(&mut self) -> Result<(), Stop> {
        let crew = self.crew;
        // What all of them need comes first: where it is missing, nothing has begun.
        let first = &crew.tasks[self.job.runs[0]].spec;
        let data = crew.data.dataset(first)?;
        // A plan that was received from elsewhere was checked without its data.
        first.check(data.len(), data.shape())?;
        let strategy = self.job.strategy;
        let execution = Execution { strategy, device: self.slot.device };
        let runs = self.job.runs.len();
        let needed = memory::needed(first, data.shape(), data.classes(), execution, runs)?;
        self.slot = crew.queue.pick_device(self.slot, needed);
        let DeviceSlot { device, memory } = self.slot;
        cuda::own_stream(*device)?;
        let store = crew.data.store(first, &data, *device)?;
        let needed = if self.job.alone { memory.all().max(needed) } else { needed };
        let _reserved = memory.reserve(needed, || crew.is_cancelled())?;
        // Nearly always one group: the jobs were cut by where runs were thought to start.
        let place = |begun: &Begun| begun.snapshot.as_ref().map(|snapshot| snapshot.position);
        for group in group_by(self.begin()?, place) {
            let (runs, snapshots): (Vec<usize>, Vec<Option<Snapshot>>) =
                group.into_iter().map(|begun| (begun.run, begun.snapshot)).unzip();
            let specs: Vec<RunSpec> = runs.iter().map(|&run| crew.tasks[run].spec.clone()).collect();
            // The first look at the number sets it to the process's own, so look before setting
            // this thread's.
            tch::get_num_threads();
            tch::set_num_threads(strategy.threads as i32);
            let snapshots = snapshots.into_iter().flatten().collect();
            let stack = Stack::new(specs, strategy, snapshots, &data, store.share(), *device)?;
            StackTraining::new(self, runs, stack, first.epochs).train()?;
        }
        Ok(())
    }

    /// Asks where its runs start, and tells which of them begin.
    fn begin(&mut self) -> Result<Vec<Begun>, Stop> {
        let mut all = Vec::new();
        for &run in &self.job.runs {
            if self.crew.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            let snapshot = match self.crew.starts.start(run, self.slot.device).map_err(Stop::Broken)? {
                Start::Fresh => None,
                Start::From(snapshot) => Some(*snapshot),
                Start::Leave => {
                    self.open.retain(|&other| other != run);
                    self.reporter.tell(Event::Left { run })?;
                    continue;
                }
            };
            let begun = Begun { run, snapshot };
            self.reporter.tell(Event::Began { run, position: begun.position() })?;
            all.push(begun);
        }
        Ok(all)
    }
}

/// Runs of a job that train as one stack.
struct StackTraining<'j, 'a> {
    job: &'j mut ActiveJob<'a>,
    runs: Vec<usize>,
    stack: Stack,
    epochs: u32,
    saved: LastCheckpoint,
}

/// The last checkpoint of a stack, and when the next one is due.
struct LastCheckpoint {
    /// Time from one to the next; zero: every epoch. None: there are none.
    every: Option<Duration>,
    at: Instant,
    /// Requests that were answered.
    requests: u64,
    /// At least one update lies between two checkpoints. So training makes progress however short
    /// `every` is, and no checkpoint replaces another of the same name.
    position: Position,
}

impl LastCheckpoint {
    fn is_due(&self) -> bool {
        self.every.is_some_and(|every| {
            crate::interrupt::checkpoints() != self.requests
                || (!every.is_zero() && self.at.elapsed() >= every)
        })
    }

    fn is_due_every_epoch(&self) -> bool {
        self.every.is_some_and(|every| every.is_zero())
    }
}

impl<'j, 'a> StackTraining<'j, 'a> {
    fn new(job: &'j mut ActiveJob<'a>, runs: Vec<usize>, stack: Stack, epochs: u32) -> Self {
        let saved = LastCheckpoint {
            every: job.crew.settings.checkpoint_every,
            at: Instant::now(),
            requests: crate::interrupt::checkpoints(),
            position: stack.position(),
        };
        Self { job, runs, stack, epochs, saved }
    }

    /// Trains them to their end.
    fn train(mut self) -> Result<(), Stop> {
        while self.stack.position().epoch < self.epochs {
            let advance = self.advance()?;
            if let Advance::Epoch(Some(records)) = &advance {
                self.report(records)?;
            }
            if !self.runs.iter().any(|run| self.job.open.contains(run)) {
                return Ok(());
            }
            let paused = matches!(advance, Advance::Paused);
            let stop = self.job.crew.is_cancelled();
            if self.stack.position().epoch == self.epochs {
                break;
            }
            if stop || paused || self.saved.is_due_every_epoch() || self.saved.is_due() {
                self.checkpoint()?;
            }
            if stop {
                return Err(Stop::Cancelled);
            }
        }
        self.finish()
    }

    /// Trains to the end of the epoch, or until a checkpoint is due or training is cancelled.
    fn advance(&mut self) -> crate::error::Result<Advance> {
        let (crew, saved) = (self.job.crew, &self.saved);
        let mut moved = saved.position != self.stack.position();
        self.stack.advance(&mut |images| {
            if crew.is_cancelled() {
                return Signal::Stop;
            }
            if moved && saved.is_due() {
                return Signal::Checkpoint;
            }
            moved |= images > 0;
            crew.count(images);
            Signal::Go
        })
    }

    /// Tells of an epoch; runs without a finite loss end.
    fn report(&mut self, records: &[EpochRecord]) -> Result<(), Stop> {
        for (&run, record) in self.runs.iter().zip(records) {
            if !self.job.open.contains(&run) {
                continue;
            }
            if record.train.loss.is_finite() && record.test.loss.is_finite() {
                self.job.reporter.tell(Event::Epoch { run, record: record.clone() })?;
                continue;
            }
            let error = format!(
                "the loss is {} on the training set and {} on the test set after epoch {}",
                record.train.loss, record.test.loss, record.epoch
            );
            self.job.end(run, self.job.outcome(Status::Diverged, Some(error)))?;
        }
        Ok(())
    }

    /// Saves the runs that are open, unless there are no checkpoints or this place has one.
    fn checkpoint(&mut self) -> Result<(), Stop> {
        let position = self.stack.position();
        if self.saved.every.is_none() || position == self.saved.position {
            return Ok(());
        }
        // Read first: a request that comes while this one is written wants another.
        let requests = crate::interrupt::checkpoints();
        let open = self.runs.iter().enumerate().filter(|(_, run)| self.job.open.contains(run));
        let runs = open.map(|(replica, &run)| (run, self.stack.snapshot(replica))).collect();
        self.job.reporter.tell(Event::Checkpoint { runs })?;
        self.saved = LastCheckpoint { at: Instant::now(), requests, position, ..self.saved };
        Ok(())
    }

    /// Ends the runs that are open.
    fn finish(self) -> Result<(), Stop> {
        for (replica, &run) in self.runs.iter().enumerate() {
            if self.job.open.contains(&run) {
                let weights = self.stack.state(replica);
                let digest = Some(weights_digest(&weights)?);
                let weights = self.job.crew.settings.keep_weights.then_some(weights);
                let outcome = Outcome { digest, weights, ..self.job.outcome(Status::Done, None) };
                self.job.end(run, outcome)?;
            }
        }
        Ok(())
    }
}
