//! Keeps what the runs of a sweep leave behind while they train: their attempts, and what is
//! published.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tch::Device;

use super::attempt::Attempt;
use super::observer::Observer;
use super::plan::PlannedRun;
use super::process::HEARTBEAT;
use super::provenance::Ended;
use super::status::RunStatus;
use super::store::Store;
use crate::error::{Error, Result};
use crate::torch::device_name;
use crate::train::engine::{Event, ResumeSource, Start};
use crate::train::{Outcome, Status};

/// Keeps what runs leave behind. Workers ask it where runs start; the thread that started them
/// tells it what happens.
pub(super) struct Recorder {
    store: Arc<Store>,
    runs: Vec<PlannedRun>,
    retry_failed: bool,
    /// Attempts that workers began and that the other thread has not heard of yet, the oldest
    /// first.
    begun: Mutex<HashMap<usize, VecDeque<Attempt>>>,
}

impl Recorder {
    pub(super) fn new(store: &Arc<Store>, runs: Vec<PlannedRun>, retry_failed: bool) -> Self {
        Self { store: Arc::clone(store), runs, retry_failed, begun: Mutex::default() }
    }

    /// An error in the folder of an attempt, unless its run was published meanwhile. The process
    /// that published it removed its attempts, with files that were being written here.
    fn unless_published(&self, run: usize, error: Error) -> Result<()> {
        if self.store.is_published(&self.runs[run].id) { Ok(()) } else { Err(error) }
    }
}

impl ResumeSource for Recorder {
    fn start(&self, run: usize, device: Device) -> Result<Start> {
        let id = &self.runs[run].id;
        let status = self.store.status(id)?;
        let elsewhere = match &status {
            // A stack that was cut in two: until the new attempt has begun, the old one is still
            // open.
            RunStatus::Training { process, .. } => *process != super::process::Process::this(),
            status => !status.is_open(self.retry_failed),
        };
        if elsewhere {
            return Ok(Start::Leave);
        }
        let (attempt, snapshot) = match self.store.begin(id, &device_name(device)) {
            Ok(begun) => begun,
            Err(error) => return self.unless_published(run, error).map(|()| Start::Leave),
        };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.entry(run).or_default().push_back(attempt);
        Ok(snapshot.map_or(Start::Fresh, |snapshot| Start::From(Box::new(snapshot))))
    }
}

/// Attempts under way, on the thread that started them.
pub(super) struct OpenAttempts<'a> {
    recorder: &'a Recorder,
    /// Runs that ended.
    pub(super) ended: Vec<String>,
    attempts: HashMap<usize, Attempt>,
    /// When this process last gave a sign of life, by a clock that goes on while the machine
    /// sleeps.
    alive: SystemTime,
}

impl<'a> OpenAttempts<'a> {
    pub(super) fn new(recorder: &'a Recorder) -> Self {
        Self { recorder, ended: Vec::new(), attempts: HashMap::new(), alive: SystemTime::now() }
    }

    pub(super) fn handle(&mut self, event: Event, observer: &mut dyn Observer) -> Result<()> {
        let id = |run: usize| self.recorder.runs[run].id.as_str();
        match event {
            Event::Began { run, .. } => {
                // Reports of an attempt before it have all come, those of one after it have not.
                if let Some(attempt) = self.about_to_begin(run)
                    && let Some(before) = self.attempts.insert(run, attempt)
                {
                    interrupt(before).or_else(|error| self.recorder.unless_published(run, error))?;
                }
            }
            Event::Epoch { run, record } => {
                if let Some(attempt) = self.attempts.get_mut(&run) {
                    attempt.epoch(&record)?;
                }
                observer.epoch(self.recorder.store.id(), &self.recorder.runs[run], &record)?;
            }
            Event::Checkpoint { runs } => {
                // All files first: the lines that commit them then follow each other closely.
                for (run, snapshot) in &runs {
                    // Asked twice to stop, nobody waits for a slow disk.
                    if crate::interrupt::urgent() {
                        return Ok(());
                    }
                    self.try_on(*run, |attempt| attempt.checkpoint(snapshot))?;
                }
                for (run, _) in &runs {
                    self.try_on(*run, Attempt::flush)?;
                }
            }
            Event::Ended { run, outcome } => {
                let (status, error) = (outcome.status, outcome.error.clone());
                self.end(run, outcome)?;
                observer.ended(id(run), status, error.as_deref());
            }
            Event::Left { .. } => {}
            Event::Flush => {
                for attempt in self.attempts.values_mut() {
                    attempt.flush()?;
                }
            }
            Event::Tick { images } => {
                if self.alive.elapsed().map_or(true, |since| since >= HEARTBEAT) {
                    self.alive = SystemTime::now();
                    self.attempts.values().for_each(Attempt::touch);
                }
                observer.tick(images);
            }
            Event::Stopping => observer.stopping(true),
        }
        Ok(())
    }

    /// Does something with a run's attempt. Where that fails because another process published the
    /// run, the attempt is over.
    fn try_on(&mut self, run: usize, work: impl FnOnce(&mut Attempt) -> Result<()>) -> Result<()> {
        let Some(attempt) = self.attempts.get_mut(&run) else { return Ok(()) };
        work(attempt).or_else(|error| {
            // As far as it can be said there.
            let _ = self.attempts.remove(&run).map(interrupt);
            self.recorder.unless_published(run, error)
        })
    }

    fn about_to_begin(&self, run: usize) -> Option<Attempt> {
        let mut begun = self.recorder.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.get_mut(&run)?.pop_front()
    }

    fn end(&mut self, run: usize, outcome: Outcome) -> Result<()> {
        let id = &self.recorder.runs[run].id;
        self.ended.push(id.clone());
        let attempt = match self.attempts.remove(&run) {
            Some(attempt) => attempt,
            // Another process published it.
            None if self.recorder.store.is_published(id) => return Ok(()),
            // It failed before an attempt began, and only an attempt can say so.
            None => self.recorder.store.begin_anew(id, &device_name(outcome.device))?,
        };
        let Outcome { status, error, started, ended, digest, .. } = outcome;
        let ended =
            Ended { weights_sha256: digest, ..Ended::here(status, error, started, ended, attempt.device()) };
        if status == Status::Done
            && let Err(error) =
                self.recorder.store.publish(&self.recorder.runs[run], attempt.epochs(), &ended)
        {
            let _ = interrupt(attempt);
            return Err(error);
        }
        attempt.end(ended)?;
        if status == Status::Diverged {
            self.recorder.store.remove_checkpoints(id);
        }
        Ok(())
    }

    /// Notes of every run under way that it was interrupted, as far as it can; the first error.
    pub(super) fn interrupt(self) -> Result<()> {
        let mut begun = self.recorder.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = begun.drain().flat_map(|(_, attempts)| attempts);
        self.attempts.into_values().chain(begun).map(interrupt).fold(Ok(()), Result::and)
    }
}

/// Notes of an attempt that it was interrupted.
fn interrupt(attempt: Attempt) -> Result<()> {
    let (started, now) = (attempt.started(), SystemTime::now());
    let ended = Ended::here(Status::Interrupted, None, started, now, attempt.device());
    attempt.end(ended)
}
