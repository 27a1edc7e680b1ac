//! A sweep in the background, on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::local::{RunOptions, Summary};
use super::observer::{Observer, Work};
use super::plan::{Plan, PlannedRun};
use super::process::Process;
use super::provenance::Provenance;
use super::store::Store;
use crate::error::{Error, Result};
use crate::interrupt::{self, Background, Scope};
use crate::train::{EpochRecord, Status};

/// Time between two looks at the waiting thread's interrupt flag.
const GLANCE: Duration = Duration::from_millis(50);

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It trains.
    Training,
    /// It was asked to stop and writes its checkpoints.
    Stopping,
    /// Nothing is left to train; some runs may have diverged or failed.
    Ended,
    /// It was stopped; the same sweep goes on from its checkpoints.
    Stopped,
    /// It broke.
    Failed,
}

impl Stage {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more comes.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Ended | Self::Stopped | Self::Failed)
    }
}

/// What a job has done so far.
#[derive(Clone, Debug)]
pub struct Progress {
    /// How far it is.
    pub stage: Stage,
    /// Runs of the plan.
    pub runs: usize,
    /// Those that ended, earlier calls' included.
    pub ended: usize,
    /// Epochs with metrics so far.
    pub epochs: u64,
    /// All epochs with metrics that this job has to train.
    pub epochs_to_do: u64,
    /// Images trained on.
    pub images: u64,
    /// When it began.
    pub began: Instant,
    /// The time from its beginning until now, or until it was over.
    pub time: Duration,
    /// How its runs ended, once it has.
    pub summary: Option<Summary>,
    /// Why it broke.
    pub error: Option<String>,
}

impl Progress {
    /// Images per second so far.
    pub fn speed(&self) -> f64 {
        self.images as f64 / self.time.as_secs_f64().max(1e-3)
    }

    /// The time that is left if epochs go on as they did.
    pub fn left(&self) -> Option<Duration> {
        let share = self.epochs as f64 / self.epochs_to_do.max(1) as f64;
        (share > 0.0).then(|| self.time.mul_f64((1.0 - share).max(0.0) / share))
    }
}

/// A sweep that runs in the background.
pub struct Job {
    dir: PathBuf,
    scope: Scope,
    shared: Arc<Shared>,
}

struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.lock();
        if !progress.stage.is_over() {
            progress.time = progress.began.elapsed();
        }
        change(&mut progress);
        self.changed.notify_all();
    }
}

/// Says something on behalf of a job, on its thread.
pub type Say = Box<dyn FnMut(&str) + Send>;

impl Job {
    /// Freezes the plan in a folder and begins to train what is left of it, as [`super::run`] does.
    /// What is worth a line is given to `say`; `over` is called just before it is over.
    ///
    /// # Errors
    ///
    /// Those of freezing the plan. Later ones are in [`Progress::error`].
    pub fn start(
        plan: &Plan,
        dir: &Path,
        provenance: &Provenance,
        options: &RunOptions,
        say: Say,
        over: impl FnOnce(&Progress) + Send + 'static,
    ) -> Result<Self> {
        let store = Store::create(options.files.clone(), dir, plan, provenance, options.extend)?;
        let began = Instant::now();
        let progress = Progress {
            stage: Stage::Training,
            runs: store.plan().runs.len(),
            ended: 0,
            epochs: 0,
            epochs_to_do: 0,
            images: 0,
            began,
            time: Duration::ZERO,
            summary: None,
            error: None,
        };
        let shared = Arc::new(Shared { progress: Mutex::new(progress), changed: Condvar::new() });
        let scope = Scope::default();
        let job = Self { dir: dir.to_owned(), scope: scope.clone(), shared: Arc::clone(&shared) };
        let (plan, dir, provenance, options) =
            (plan.clone(), dir.to_owned(), provenance.clone(), options.clone());
        let work = move || {
            let _background = Background::enter(scope);
            let mut reporter = Reporter { shared: Arc::clone(&shared), say };
            let run = || super::local::run(&plan, &dir, &provenance, &options, &mut reporter);
            let result = catch_unwind(AssertUnwindSafe(run))
                .unwrap_or_else(|_| Err(Error::invalid("the job's thread died; what it trained is on disk")));
            shared.change(|_| {});
            let mut last = shared.lock().clone();
            match result {
                Ok(summary) => {
                    last.stage = Stage::Ended;
                    last.ended = summary.runs;
                    last.summary = Some(summary);
                }
                Err(Error::Interrupted) => last.stage = Stage::Stopped,
                Err(error) => {
                    last.stage = Stage::Failed;
                    last.error = Some(error.to_string());
                }
            }
            // A waiting thread may end the program: the last words come first.
            over(&last);
            shared.change(|progress| *progress = last);
        };
        std::thread::Builder::new()
            .name("kelvin-job".to_owned())
            .spawn(work)
            .map_err(|error| crate::threads::refused(&error))?;
        Ok(job)
    }

    /// The folder of its sweep.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How far it is now.
    pub fn progress(&self) -> Progress {
        self.shared.change(|_| {});
        self.shared.lock().clone()
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.shared.lock().stage.is_over()
    }

    /// Whether it was asked to stop and is not over yet.
    pub fn is_stopping(&self) -> bool {
        self.shared.lock().stage == Stage::Stopping
    }

    /// Asks it to finish its step and write its checkpoints.
    pub fn stop(&self) {
        self.scope.raise();
        self.shared.change(|progress| {
            if progress.stage == Stage::Training {
                progress.stage = Stage::Stopping;
            }
        });
    }

    /// Waits until it is over.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] when the waiting thread is asked to stop; the job goes on.
    pub fn wait(&self) -> Result<Progress> {
        self.wait_for(|progress| progress.stage.is_over())
    }

    /// Waits until something holds of its progress, which is looked at whenever it changes.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`], as of [`Job::wait`].
    pub fn wait_for(&self, holds: impl Fn(&Progress) -> bool) -> Result<Progress> {
        let mut progress = self.shared.lock();
        while !holds(&progress) {
            interrupt::check()?;
            let waited = self.shared.changed.wait_timeout(progress, GLANCE);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(progress.clone())
    }
}

/// Keeps the progress of a job.
struct Reporter {
    shared: Arc<Shared>,
    say: Say,
}

impl Observer for Reporter {
    fn start(&mut self, work: Work) {
        self.shared.change(|progress| {
            progress.ended = work.skipped;
            progress.epochs_to_do = progress.epochs + work.epochs;
        });
    }

    fn epoch(&mut self, _sweep: &str, _run: &PlannedRun, _record: &EpochRecord) -> Result<()> {
        self.shared.change(|progress| progress.epochs += 1);
        Ok(())
    }

    fn ended(&mut self, run: &str, status: Status, error: Option<&str>) {
        self.shared.change(|progress| progress.ended += 1);
        if let Some(error) = error {
            (self.say)(&format!("{run} {}: {error}", status.name()));
        }
    }

    fn tick(&mut self, images: u64) {
        self.shared.change(|progress| progress.images = images);
    }

    fn waiting(&mut self, runs: usize, process: &Process) {
        (self.say)(&format!(
            "waiting for {runs} runs that other processes train (one is process {} on {})",
            process.pid, process.host
        ));
    }

    fn notify(&mut self, text: &str) {
        (self.say)(text);
    }
}
