//! Running a plan on this machine.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tch::Device;

use super::observer::{Observer, Todo, Work};
use super::plan::{Plan, PlannedRun};
use super::provenance::Provenance;
use super::recorder::{OpenAttempts, Recorder};
use super::status::RunStatus;
use super::store::Store;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::table::Table;
use crate::torch::default_device;
use crate::train::engine::{self, ResumeSource, Settings, Task};
use crate::train::{Position, RunSpec, Status};

/// Time between two looks at runs that other processes train.
const GLANCE: Duration = Duration::from_millis(500);

/// How a plan is run.
#[derive(Clone)]
pub struct RunOptions {
    /// Stacks that train at the same time, on all devices together; none: one per core, or sixteen
    /// per GPU.
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
    pub(super) fn settings(&self) -> Settings {
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

impl Summary {
    fn of(statuses: &[RunStatus]) -> Self {
        let mut summary = Self { runs: statuses.len(), ..Self::default() };
        for status in statuses {
            match status {
                RunStatus::Published => summary.done += 1,
                RunStatus::Ended(ended) if ended.status == Status::Diverged => summary.diverged += 1,
                RunStatus::Ended(_) => summary.failed += 1,
                _ => {}
            }
        }
        summary
    }
}

/// Runs what is left of a plan in a folder: finished runs are skipped, those that were begun go on,
/// each run is published as it ends.
///
/// Runs end alone: one that fails or diverges is noted and the others go on. [`Error::Interrupted`]
/// when the user asks to stop; what was published stays, what was under way has a checkpoint.
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

/// Trains what is left of these runs of a sweep. Runs that other processes train are left to them
/// and waited for; if such a process ends before its run does, the run goes on here. The process
/// that finishes the last run of the whole sweep rebuilds `runs.parquet`.
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
        let mut todo: Vec<Todo> = Vec::new();
        let mut elsewhere = Vec::new();
        for (run, status) in runs.iter().zip(&run_statuses) {
            match status {
                RunStatus::Training { process, .. } => elsewhere.push(process),
                // What ended here is not tried twice, whatever another host's clock makes of it.
                _ if ended.contains(&run.id) => {}
                RunStatus::Begun { position, .. } => todo.push(Todo { run, position: *position }),
                open if open.is_open(options.retry_failed) => {
                    todo.push(Todo { run, position: Position::default() })
                }
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
            // All of them are trained elsewhere, which the statuses did not show yet.
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
        // All results are there; this file only tells of them, and an archive that nobody may write
        // has it.
        if trained || !store.has_runs() {
            observer.notify(&format!("runs.parquet was not written: {error}"));
        }
    }
    Ok(Summary::of(&run_statuses))
}

fn train_all(
    store: &Arc<Store>,
    todo: &[Todo],
    others: usize,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<Vec<String>> {
    store.prepare()?;
    let settings = options.settings();
    let tasks = todo
        .iter()
        .map(|Todo { run, position }| Task {
            spec: run.spec.clone(),
            strategy: run.strategy,
            position: *position,
        })
        .collect();
    observer.start(Work::of(todo, others));
    let runs = todo.iter().map(|todo| todo.run.clone()).collect();
    let recorder = Arc::new(Recorder::new(store, runs, options.retry_failed));
    let mut open = OpenAttempts::new(&recorder);
    let starts: Arc<dyn ResumeSource> = Arc::clone(&recorder) as Arc<dyn ResumeSource>;
    let result = engine::resume(tasks, starts, settings, &mut |event| open.handle(event, observer));
    observer.finish();
    match result {
        Ok(()) => Ok(open.ended),
        Err(Error::Interrupted) => open.interrupt().and(Err(Error::Interrupted)),
        // Where a full disk cannot take the note, the journals' age tells.
        Err(error) => open.interrupt().or(Ok(())).and(Err(error)),
    }
}

/// Opens the finished runs of a sweep's folder as an epochs table.
pub fn open(dir: &Path) -> Result<Table> {
    Store::open(dir)?.epochs()
}

/// Opens the finished runs of several sweeps' folders as one epochs table, whose column `sweep`
/// tells them apart. A run that several folders hold is taken from the first of them; the number
/// says how often that was so.
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
