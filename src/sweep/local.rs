//! Running a plan on this machine.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tch::Device;

use super::attempt::Attempt;
use super::observer::{Observer, Work};
use super::plan::{Plan, PlannedRun};
use super::process::HEARTBEAT;
use super::provenance::{Ended, Provenance};
use super::rows;
use super::status::RunStatus;
use super::store::Store;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::model::Network;
use crate::table::Table;
use crate::torch::{default_device, device_name};
use crate::train::engine::{self, Event, ResumeSource, Settings, Start, Task};
use crate::train::{Outcome, Position, RunSpec, Status};

/// How often processes that train what is left here are looked after.
const GLANCE: Duration = Duration::from_millis(500);

/// How a plan is run.
#[derive(Clone)]
pub struct RunOptions {
    /// Stacks that train at the same time, on all devices together; none: one per core, or sixteen per GPU.
    pub jobs: Option<usize>,
    /// Where; none: the first GPU, else the CPU.
    pub devices: Option<Vec<Device>>,
    /// Whether runs that failed before are tried again.
    pub retry_failed: bool,
    /// Whether runs may be added to a plan that is frozen.
    pub extend: bool,
    /// Time from one checkpoint of a run to the next; zero: every epoch.
    pub checkpoint_every: Duration,
    /// How long an interrupted training may take to finish its step and its checkpoints.
    pub patience: Duration,
    /// The file system.
    pub files: Files,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            jobs: None,
            devices: None,
            retry_failed: false,
            extend: false,
            checkpoint_every: Duration::from_secs(60),
            patience: Duration::from_secs(10),
            files: Files::default(),
        }
    }
}

impl RunOptions {
    fn settings(&self) -> Settings {
        let settings = Settings::on_all(self.devices.clone().unwrap_or_else(|| vec![default_device()]));
        Settings {
            workers: self.jobs.map_or(settings.workers, |jobs| jobs.max(1)),
            checkpoint_every: Some(self.checkpoint_every),
            patience: self.patience,
            ..settings
        }
    }
}

/// How the runs of a plan ended, those of earlier calls included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs in the plan, or in the share of it that was asked for.
    pub runs: usize,
    /// Runs trained to their end.
    pub done: usize,
    /// Runs whose loss became infinite or not a number.
    pub diverged: usize,
    /// Runs that could not be trained.
    pub failed: usize,
}

/// Runs what is left of a plan in a folder: finished runs are skipped, those that were begun go on, each run is
/// published as it ends.
///
/// Runs end alone: one that fails or diverges is noted and the others go on. [`Error::Interrupted`] when
/// the user asks to stop; what was published stays, what was under way has a checkpoint.
pub fn run(
    plan: &Plan,
    dir: &Path,
    provenance: &Provenance,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let store = Store::create(options.files.clone(), dir, plan, provenance, options.extend)?;
    // How a run is executed is frozen; where its files lie is this plan's to say.
    let own: HashMap<&str, &RunSpec> = plan.runs.iter().map(|run| (run.id.as_str(), &run.spec)).collect();
    let runs = store
        .plan()
        .runs
        .iter()
        .map(|frozen| {
            let spec = own.get(frozen.id.as_str()).copied().unwrap_or(&frozen.spec);
            PlannedRun { spec: spec.clone(), ..frozen.clone() }
        })
        .collect();
    let store = Arc::new(store);
    let trained = train_rest(&store, runs, options, observer);
    if trained.is_err() && !crate::interrupt::urgent() {
        // Why the training ended comes first.
        let _ = store.write_runs();
    }
    trained
}

/// Trains what is left of these runs of a sweep. Runs that other processes train are left to them and waited
/// for; if such a process ends before its run does, the run goes on here. Whoever leaves nothing of the whole
/// sweep to do rebuilds `runs.parquet`.
pub fn train_rest(
    store: &Arc<Store>,
    runs: Vec<PlannedRun>,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let mut ended: HashSet<String> = HashSet::new();
    let (mut told, mut trained) = (false, false);
    let run_statuses = loop {
        let run_statuses = store.statuses_of(&runs)?;
        let mut todo: Vec<(&PlannedRun, Position)> = Vec::new();
        let mut elsewhere = Vec::new();
        for (run, status) in runs.iter().zip(&run_statuses) {
            match status {
                RunStatus::Training { process, .. } => elsewhere.push(process),
                // What ended here is not tried twice, whatever another host's clock makes of it.
                _ if ended.contains(&run.id) => {}
                RunStatus::Begun { position, .. } => todo.push((run, *position)),
                open if open.is_open(options.retry_failed) => todo.push((run, Position::default())),
                _ => {}
            }
        }
        if todo.is_empty() {
            let Some(&process) = elsewhere.first() else { break run_statuses };
            if !told {
                observer.waiting(elsewhere.len(), process);
                told = true;
            }
            crate::interrupt::check()?;
            std::thread::sleep(GLANCE);
            continue;
        }
        let others = runs.len() - todo.len();
        trained = true;
        let now = train_all(store, &todo, others, options, observer)?;
        if now.is_empty() {
            // All of them are trained elsewhere, which the run_statuses did not see yet.
            std::thread::sleep(GLANCE);
        }
        ended.extend(now);
    };
    if !trained {
        observer.start(Work { runs: 0, skipped: runs.len(), resumed: 0, epochs: 0 });
    }
    if store.run_statuses()?.iter().all(|status| !status.is_open(false))
        && let Err(error) = store.write_runs()
    {
        // All results are there; this file only tells of them, and an archive that nobody may write has it.
        if trained || !store.has_runs() {
            observer.notify(&format!("runs.parquet was not written: {error}"));
        }
    }
    let mut summary = Summary { runs: runs.len(), ..Summary::default() };
    for status in run_statuses {
        match status {
            RunStatus::Published => summary.done += 1,
            RunStatus::Ended(ended) if ended.status == Status::Diverged => summary.diverged += 1,
            RunStatus::Ended(_) => summary.failed += 1,
            _ => {}
        }
    }
    Ok(summary)
}

/// Keeps what runs leave behind. Workers ask it where runs start; the thread that started them tells it what
/// happens.
struct Recorder {
    store: Arc<Store>,
    runs: Vec<PlannedRun>,
    retry_failed: bool,
    /// Attempts that workers began and that the other thread has not heard of yet, the oldest first.
    begun: Mutex<HashMap<usize, VecDeque<Attempt>>>,
}

impl Recorder {
    /// An error in the folder of an attempt, unless its run was published meanwhile: whoever did that removed what
    /// the run needs no more, files that were being written here included.
    fn unless_published(&self, run: usize, error: Error) -> Result<()> {
        if self.store.is_published(&self.runs[run].id) { Ok(()) } else { Err(error) }
    }
}

impl ResumeSource for Recorder {
    fn start(&self, run: usize, device: Device) -> Result<Start> {
        let id = &self.runs[run].id;
        let status = self.store.status(id)?;
        let elsewhere = match &status {
            // A stack that was cut in two: until the new attempt has begun, the old one is still open.
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
struct OpenAttempts<'a> {
    recorder: &'a Recorder,
    /// Runs that ended.
    ended: Vec<String>,
    attempts: HashMap<usize, Attempt>,
    /// When this process last gave a sign of life, by a clock that goes on while the machine sleeps.
    alive: SystemTime,
}

impl OpenAttempts<'_> {
    fn handle(&mut self, event: Event, observer: &mut dyn Observer) -> Result<()> {
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

    /// Does something with a run's attempt. Where that fails because another process published the run, the attempt
    /// is over.
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
    fn interrupt(self) -> Result<()> {
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

fn train_all(
    store: &Arc<Store>,
    todo: &[(&PlannedRun, Position)],
    others: usize,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<Vec<String>> {
    store.prepare()?;
    let settings = options.settings();
    let tasks = todo
        .iter()
        .map(|(run, position)| Task { spec: run.spec.clone(), strategy: run.strategy, position: *position })
        .collect();
    observer.start(work(todo, others));
    let recorder = Arc::new(Recorder {
        store: Arc::clone(store),
        runs: todo.iter().map(|(run, _)| (*run).clone()).collect(),
        retry_failed: options.retry_failed,
        begun: Mutex::default(),
    });
    let mut open = OpenAttempts {
        recorder: &recorder,
        ended: Vec::new(),
        attempts: HashMap::new(),
        alive: SystemTime::now(),
    };
    let starts: Arc<dyn ResumeSource> = Arc::clone(&recorder) as Arc<dyn ResumeSource>;
    let result = engine::resume(tasks, starts, settings, &mut |event| open.handle(event, observer));
    observer.finish();
    match result {
        Ok(()) => Ok(open.ended),
        Err(Error::Interrupted) => open.interrupt().and(Err(Error::Interrupted)),
        // What cannot be noted, on a full disk, the journals' age will tell.
        Err(error) => open.interrupt().or(Ok(())).and(Err(error)),
    }
}

fn work(todo: &[(&PlannedRun, Position)], skipped: usize) -> Work {
    let epochs = |run: &PlannedRun, position: &Position| {
        let every = u64::from(run.spec.evaluate_every);
        u64::from(run.spec.epochs).div_ceil(every) - u64::from(position.epoch) / every
    };
    Work {
        runs: todo.len(),
        skipped,
        resumed: todo.iter().filter(|(_, position)| *position != Position::default()).count(),
        epochs: todo.iter().map(|(run, position)| epochs(run, position)).sum(),
    }
}

/// Opens the finished runs of a sweep's folder as an epochs table.
pub fn open(dir: &Path) -> Result<Table> {
    Store::open(dir)?.epochs()
}

/// Opens the finished runs of several sweeps' folders as one epochs table, whose column `sweep` tells them apart. A
/// run that several folders hold is taken from the first of them; the number says how often that was so.
pub fn open_all(dirs: &[PathBuf]) -> Result<(Table, usize)> {
    let mut seen: HashSet<String> = HashSet::new();
    let mut repeated = 0;
    let mut tables = Vec::new();
    for dir in dirs {
        let store = Store::open(dir)?;
        let (new, old): (Vec<_>, Vec<_>) =
            store.finished()?.into_iter().partition(|run| seen.insert(run.id.clone()));
        repeated += old.len();
        tables.push((dir.to_string_lossy(), store.epochs_of(&new)?));
    }
    let parts: Vec<_> = tables.iter().map(|(dir, table)| (dir, table)).collect();
    Ok((Table::unite(&parts)?, repeated))
}

/// What one run that was trained in memory leaves.
pub struct Trained {
    /// Its epochs so far.
    pub epochs: Table,
    /// The network as its last update left it; none where that update was left behind, or where the
    /// run has no numbers.
    pub network: Option<Network>,
    /// How it ended.
    pub status: Status,
    /// Why it did not come to its end.
    pub stopped: Option<Error>,
}

/// Trains one run in memory. What it has when it is interrupted, or diverges, is not lost.
///
/// # Errors
///
/// Where it could not begin.
pub fn train(spec: &RunSpec, options: &RunOptions, observer: &mut dyn Observer) -> Result<Trained> {
    let plan = Plan::new(vec![spec.clone()])?;
    let run = &plan.runs[0];
    // The only checkpoint is that of a run that is stopped; nothing waits for it to be written.
    let settings = Settings {
        keep_weights: true,
        checkpoint_every: Some(Duration::MAX),
        patience: Settings::on(tch::Device::Cpu).patience,
        ..options.settings()
    };
    let device = settings.device();
    let mut records = Vec::new();
    let mut state = None;
    let mut outcome = None;
    observer.start(work(&[(run, Position::default())], 0));
    let task = Task::new(spec.clone(), run.strategy);
    let result = engine::run(vec![task], settings, &mut |event| {
        match event {
            Event::Epoch { record, .. } => {
                records.push(record);
                if let Some(record) = records.last() {
                    observer.epoch("", run, record)?;
                }
            }
            Event::Checkpoint { runs } => state = runs.into_iter().next().map(|(_, own)| own.weights),
            Event::Ended { outcome: ended, .. } => {
                observer.ended(&run.id, ended.status, ended.error.as_deref());
                outcome = Some(ended);
            }
            Event::Tick { images } => observer.tick(images),
            Event::Stopping => observer.stopping(false),
            Event::Began { .. } | Event::Left { .. } | Event::Flush => {}
        }
        Ok(())
    });
    observer.finish();
    let (status, stopped) = match (outcome, result) {
        (Some(Outcome { weights: weights @ Some(_), status, .. }), Ok(())) => {
            state = weights;
            (status, None)
        }
        (Some(Outcome { status, error, .. }), Ok(())) => {
            let reason = error.unwrap_or_default();
            (status, Some(Error::invalid(format!("the run {}: {reason}", status.name()))))
        }
        (_, Err(Error::Interrupted)) => (Status::Interrupted, Some(Error::Interrupted)),
        (_, Err(error)) => return Err(error),
        (None, Ok(())) => return Err(Error::invalid("the run did not end")),
    };
    let network = match state {
        Some(state) => {
            let data = crate::data::Dataset::open(&spec.data)?;
            let model = spec.model.build(data.shape(), data.classes())?;
            Some(Network::from_state(model, state, spec.precision, device)?)
        }
        None => None,
    };
    Ok(Trained { epochs: rows::epochs("", run, &records)?, network, status, stopped })
}
