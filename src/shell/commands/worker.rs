//! `kelvin worker`: trains a share of what is missing from a sweep, as a scheduler's task.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::script::tell;
use crate::shell::exit::FAILED;
use crate::shell::progress;
use crate::sweep::slurm::{self, SlurmJob};
use crate::sweep::{PlannedRun, Process, RunOptions, RunStatus, Store, time_text, train_rest};

/// Exit code of a task that its scheduler should start again: EX_TEMPFAIL of sysexits.h.
const AGAIN: u8 = 75;

/// Restarts after which a task that got no further is not queued any more. Before, a signal may
/// just have come early.
const IDLE_RESTARTS: u32 = 3;

/// Trains a task's runs; what it returns is the exit code.
pub(super) fn work(dir: &Path, task: &str, options: RunOptions) -> Result<u8> {
    /// Longer than any step; a scheduler waits about as long between asking and ending.
    const PATIENCE: Duration = Duration::from_secs(25);
    crate::interrupt::stop_on_usr1();
    let store = Arc::new(Store::open(dir)?);
    let runs = slurm::task(&store, task)?;
    // A share for another scheduler may run within a job of Slurm that somebody else made.
    let job = SlurmJob::this().filter(|_| slurm::was_submitted(task));
    tell(&started(task, runs.len(), job.as_ref()));
    // What Slurm gave, where the machine may show more; stacks of several threads share it.
    let threads = runs.iter().map(|run| run.strategy.threads).max().unwrap_or(1);
    let given = std::env::var("SLURM_CPUS_PER_TASK").ok().and_then(|cpus| cpus.parse::<usize>().ok());
    let on_gpu = options.devices.as_ref().is_some_and(|devices| devices[0] != tch::Device::Cpu);
    let jobs = options.jobs.or_else(|| given.filter(|_| !on_gpu).map(|cpus| (cpus / threads).max(1)));
    let options = RunOptions { jobs, patience: PATIENCE, ..options };
    let mut observer = progress::observers(false)();
    let before = progress_so_far(&store, &runs)?;
    match train_rest(&store, runs.clone(), &options, observer.as_mut()) {
        Ok(summary) if summary.done == summary.runs => {
            tell(&format!("{} of {} runs done", summary.done, summary.runs));
            Ok(0)
        }
        Ok(summary) => {
            tell(&format!(
                "{} of {} runs done, {} diverged, {} failed",
                summary.done, summary.runs, summary.diverged, summary.failed
            ));
            Ok(FAILED)
        }
        Err(Error::Interrupted) if crate::interrupt::out_of_time() => {
            let is_stuck = || Ok(progress_so_far(&store, &runs)? == before);
            go_on_later(job, is_stuck)
        }
        Err(error) => Err(error),
    }
}

/// Puts the task back into its queue; `is_stuck` is whether no step was done since it was started.
fn go_on_later(job: Option<SlurmJob>, is_stuck: impl Fn() -> Result<bool>) -> Result<u8> {
    let Some(job) = job else {
        tell("time is up; the same task goes on from its checkpoints");
        return Ok(AGAIN);
    };
    if job.restarts >= IDLE_RESTARTS && is_stuck()? {
        return Err(Error::invalid(
            "time is up before any step was done, again: not queued any more; `kelvin submit --time …` sends it \
             with more time",
        ));
    }
    // Said first: the task may be ended before its request returns.
    tell("time is up; to be queued again, to go on from the checkpoints");
    job.requeue().map_err(|error| {
        Error::invalid(format!("the checkpoints are written, but {error}; `kelvin submit` sends it again"))
    })?;
    Ok(0)
}

/// The first line of a task's log, where each start adds one.
fn started(task: &str, runs: usize, job: Option<&SlurmJob>) -> String {
    let process = Process::this();
    let job = match job {
        Some(SlurmJob { id, restarts: 0 }) => format!(", job {id}"),
        Some(SlurmJob { id, restarts }) => format!(", job {id}, restart {restarts}"),
        None => String::new(),
    };
    let time = time_text(std::time::SystemTime::now());
    format!("{time}: task {task} of {runs} runs on {}{job}, process {}", process.host, process.pid)
}

/// Something that changes when any of these runs gets further.
fn progress_so_far(store: &Store, runs: &[PlannedRun]) -> Result<Vec<(u32, u64)>> {
    runs.iter()
        .map(|run| {
            Ok(match store.status(&run.id)? {
                RunStatus::Published | RunStatus::Ended(_) => (u32::MAX, 0),
                RunStatus::Begun { position, .. } => (position.epoch, position.step),
                RunStatus::Training { epoch, .. } => (epoch, 0),
                RunStatus::ToDo => (0, 0),
            })
        })
        .collect()
}
