//! Commands on a sweep's folder: what is in it, and training what is missing from it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::progress;
use super::{FAILED, print, tell};
use crate::error::{Error, Result};
use crate::script::width;
use crate::sweep::slurm::{self, Queued, Slurm, SlurmJob};
use crate::sweep::{Past, Provenance, RunOptions, RunStatus, Store, compact, rows, time_text, train_rest};
use crate::table::{Cell, Table};
use crate::torch::devices_named;

/// Exit code of a task that its scheduler should start again: EX_TEMPFAIL of sysexits.h.
const AGAIN: u8 = 75;

/// Restarts after which a task that got no further is not queued any more. Before, a signal may just have come
/// early.
const IDLE_RESTARTS: u32 = 3;

/// Epochs that `show` prints.
const EPOCHS: usize = 10;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// What is in a sweep's folder: how many runs are done, and where each of the others stands
    Ls {
        /// The folder, or one of several sweeps' folders
        dir: PathBuf,
        /// List finished runs, too
        #[arg(short, long)]
        all: bool,
    },
    /// Where a sweep comes from, or everything about one run of it
    Show {
        /// The folder
        dir: PathBuf,
        /// The run's id, or its beginning
        run: Option<String>,
    },
    /// Write all finished runs to one sorted Parquet file, DIR/compact/sweep=ID/epochs.parquet
    Compact {
        /// The folder
        dir: PathBuf,
    },
    /// Train a share of what is missing: the one command that a scheduler's task runs
    ///
    /// SIGUSR1 writes checkpoints and stops; under Slurm the task is put back into the queue, elsewhere the exit code is 75.
    Worker {
        /// The folder
        dir: PathBuf,
        /// K/N: the K-th of N shares, from 1; ID/I: a task that `kelvin submit` made
        task: String,
        /// Stacks that train at the same time; default: one per core that the task has
        #[arg(long)]
        jobs: Option<usize>,
        /// Seconds from one checkpoint to the next
        #[arg(long, default_value_t = 60.0)]
        checkpoint_every: f64,
        /// Try runs again that failed before
        #[arg(long)]
        retry_failed: bool,
        /// Where to train: auto, cpu, cuda, cuda:1, cuda:0,1
        #[arg(long, default_value = "auto")]
        device: String,
    },
    /// Send what is missing and not queued yet to Slurm
    Submit {
        /// The folder
        dir: PathBuf,
        /// Send runs again that failed before
        #[arg(long)]
        retry_failed: bool,
        /// Run the shell lines of the folder's last submission again, whoever wrote them
        #[arg(long)]
        allow_shell: bool,
        #[command(flatten)]
        options: SubmitOptions,
    },
}

/// What a task asks for; what is left out is as in the folder's last submission.
#[derive(clap::Args)]
pub(super) struct SubmitOptions {
    /// The partition
    #[arg(long)]
    partition: Option<String>,
    /// GPUs of one task
    #[arg(long)]
    gpus: Option<u32>,
    /// The time limit: 4:00:00
    #[arg(long)]
    time: Option<String>,
    /// Cores of one task
    #[arg(long)]
    cpus: Option<u32>,
    /// Memory of one task: 8G
    #[arg(long)]
    mem: Option<String>,
    /// Tasks that run at the same time, at most
    #[arg(long)]
    array_limit: Option<u32>,
    /// Shell lines before the program starts; '' for none
    #[arg(long)]
    setup: Option<String>,
    /// Runs of one task
    #[arg(long)]
    runs_per_task: Option<usize>,
    /// Seconds from one checkpoint to the next
    #[arg(long)]
    checkpoint_every: Option<f64>,
}

impl SubmitOptions {
    /// These options over others.
    fn over(&self, last: Slurm) -> Slurm {
        let own = self;
        Slurm {
            partition: own.partition.clone().or(last.partition),
            gpus: own.gpus.or(last.gpus),
            time: own.time.clone().or(last.time),
            cpus: own.cpus.or(last.cpus),
            mem: own.mem.clone().or(last.mem),
            array_limit: own.array_limit.or(last.array_limit),
            setup: own.setup.clone().or(last.setup).filter(|lines| !lines.is_empty()),
            runs_per_task: own.runs_per_task.or(last.runs_per_task),
            checkpoint_every: own.checkpoint_every.or(last.checkpoint_every),
        }
    }
}

/// Runs a command; what it returns is the exit code.
pub(super) fn run(command: &Command) -> Result<u8> {
    match command {
        Command::Ls { dir, all } => ls(dir, *all)?,
        Command::Show { dir, run: None } => show(&Store::open(dir)?),
        Command::Show { dir, run: Some(run) } => show_run(&Store::open(dir)?, run)?,
        Command::Compact { dir } => {
            let made = compact(dir)?;
            print(&format!("{}: {} rows of {} runs", made.path.display(), made.rows, made.runs));
        }
        Command::Worker { dir, task, jobs, checkpoint_every, retry_failed, device } => {
            let checkpoint_every = Duration::try_from_secs_f64(*checkpoint_every).map_err(|_| {
                Error::invalid(format!("--checkpoint-every: expected seconds ≥ 0, found {checkpoint_every}"))
            })?;
            return worker(
                dir,
                task,
                RunOptions {
                    jobs: *jobs,
                    devices: Some(devices_named(device)?),
                    checkpoint_every,
                    retry_failed: *retry_failed,
                    ..RunOptions::default()
                },
            );
        }
        Command::Submit { dir, retry_failed, allow_shell, options } => {
            let store = Store::open(dir)?;
            let last = slurm::last_options(&store)?.unwrap_or_default();
            // What is typed here is the user's own. What lies in the folder may be anybody's.
            if let (Some(lines), None, false) = (&last.setup, &options.setup, allow_shell) {
                return Err(Error::invalid(format!(
                    "{}: its last submission ran the shell lines {lines:?}; --allow-shell runs them again, --setup '…' others, \
                     --setup '' none",
                    dir.display()
                )));
            }
            let options = options.over(last);
            print(&slurm::submit(&store, &options, *retry_failed)?.describe(dir));
        }
    }
    Ok(0)
}

/// `12 done, 3 training, 1 failed`.
fn counts(statuses: &[RunStatus]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for status in statuses {
        *counts.entry(status.name()).or_default() += 1;
    }
    let order = ["done", "training", "begun", "interrupted", "to do", "diverged", "failed"];
    let counted = order.iter().filter_map(|name| counts.get(name).map(|count| format!("{count} {name}")));
    counted.collect::<Vec<_>>().join(", ")
}

/// `; in Slurm: 3 pending, 2 running`.
fn in_slurm(queue: &HashMap<String, Queued>) -> String {
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for queued in queue.values() {
        *states.entry(queued.state.to_lowercase()).or_default() += 1;
    }
    let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if states.is_empty() { String::new() } else { format!("; in Slurm: {}", states.join(", ")) }
}

/// The sweeps' folders within a folder that is none itself, sorted.
fn sweeps_in(dir: &Path) -> Vec<PathBuf> {
    let is_sweep = |dir: &PathBuf| dir.join("sweep.json").exists();
    if is_sweep(&dir.to_owned()) {
        return Vec::new();
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut sweeps: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_sweep).collect();
    sweeps.sort();
    sweeps
}

fn ls(dir: &Path, all: bool) -> Result<()> {
    let sweeps = sweeps_in(dir);
    if !sweeps.is_empty() {
        for dir in sweeps {
            let store = Store::open(&dir)?;
            let statuses = store.run_statuses()?;
            let (id, runs) = (store.id(), statuses.len());
            print(&format!("{}: sweep {id} of {runs} runs: {}", dir.display(), counts(&statuses)));
        }
        return Ok(());
    }
    let store = Store::open(dir)?;
    let statuses = store.run_statuses()?;
    let queue = slurm::queued(&store).unwrap_or_else(|error| {
        tell(&format!("what Slurm has in its queue is not known: {error}"));
        HashMap::new()
    });
    print(&format!(
        "{}: sweep {} of {} runs: {}{}",
        dir.display(),
        store.id(),
        statuses.len(),
        counts(&statuses),
        in_slurm(&queue)
    ));
    let names = ["run_id", "status", "epoch", "epochs", "lr", "batch", "seed", "where", "error"];
    let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
    let mut runs: Vec<_> = store.plan().runs.iter().zip(&statuses).collect();
    // What wants looking at comes first.
    let order = ["failed", "diverged", "training", "interrupted", "begun", "to do", "done"];
    runs.sort_by_key(|(_, status)| order.iter().position(|name| *name == status.name()));
    for (run, status) in runs {
        let queued = queue.get(&run.id);
        if matches!(status, RunStatus::Published) && !all {
            continue;
        }
        let (epoch, place, error) = match status {
            RunStatus::Published => (Some(run.spec.epochs), None, None),
            RunStatus::Ended(ended) => (None, Some(ended.host.clone()), ended.error.clone()),
            RunStatus::Training { process, epoch } => {
                (Some(*epoch), Some(format!("process {} on {}", process.pid, process.host)), None)
            }
            RunStatus::Begun { position, .. } => (Some(position.epoch), None, None),
            RunStatus::ToDo => (Some(0), None, None),
        };
        let place = match queued {
            Some(queued) => {
                // Slurm keeps the last reason for not running beyond its time.
                let reason = match queued.state.as_str() {
                    "PENDING" => format!(" ({})", queued.reason),
                    _ => String::new(),
                };
                Some(format!("job {} {}{reason}", queued.job, queued.state.to_lowercase()))
            }
            None => place,
        };
        let text = |text: Option<String>| text.map_or(Cell::Null, Cell::Text);
        let cells = [
            Cell::Text(run.id.clone()),
            Cell::Text(status.name().to_owned()),
            epoch.map_or(Cell::Null, |epoch| Cell::Int(i64::from(epoch))),
            Cell::Int(i64::from(run.spec.epochs)),
            Cell::Float(run.spec.lr),
            Cell::Int(run.spec.batch as i64),
            run.spec.seeds.common().map_or(Cell::Null, Cell::Int),
            text(place),
            text(error),
        ];
        for (column, cell) in columns.iter_mut().zip(cells) {
            column.push(cell);
        }
    }
    if !columns[0].is_empty() {
        let table = Table::from_cells(&names.map(str::to_owned), &columns)?;
        print(&table.render(width()));
    }
    Ok(())
}

fn show_provenance(what: &str, provenance: &Provenance) {
    print(&format!("  {what}   {} on {}", time_text(provenance.created), provenance.host));
    let commit = if provenance.commit.is_empty() { "no commit" } else { &provenance.commit };
    print(&format!("  kelvin     {} ({commit}), libtorch {}", provenance.kelvin, provenance.libtorch));
    for (name, value) in &provenance.arguments {
        print(&format!("  argument   {name}={value}"));
    }
    for module in &provenance.modules {
        print(&format!("  module     {} (sha256 {})", module.path, module.sha256));
    }
    if let Some(script) = &provenance.script {
        print(&format!("  script     {} (sha256 {})\n", script.path, script.sha256));
        print(script.text.trim_end());
    }
}

fn show(store: &Store) {
    let dir = store.dir().display();
    print(&format!("{dir}: sweep {} of {} runs", store.id(), store.plan().runs.len()));
    for (index, provenance) in store.provenance().iter().enumerate() {
        let what = if index == 0 { "frozen  " } else { "extended" };
        show_provenance(what, provenance);
    }
    let mut data: Vec<String> = Vec::new();
    for run in &store.plan().runs {
        let digest = run.spec.data.digest.as_deref().unwrap_or("embedded");
        let line = format!("  data       {} (sha256 {digest})", run.spec.data.name());
        if !data.contains(&line) {
            data.push(line);
        }
    }
    print(&format!("\n{}", data.join("\n")));
}

fn show_run(store: &Store, id: &str) -> Result<()> {
    let run = store.find(id)?;
    let status = store.status(&run.id)?;
    print(&format!("{} {}: if the sweep is run again, it {}", run.id, status.name(), status.why(run)));
    let spec = serde_json::to_string_pretty(&run.spec).map_err(|error| Error::invalid(error.to_string()))?;
    print(&format!("\nspecification {spec}"));
    print(&format!(
        "{} parameters; trained in stacks of at most {} runs ({}); threads of a stack: {}",
        run.parameters,
        run.strategy.largest(run.spec.precision, tch::Device::Cpu),
        run.strategy.describe(),
        run.strategy.threads
    ));
    let attempts = store.attempts(&run.id)?;
    for attempt in &attempts {
        print(&describe(store, attempt));
    }
    // Where nothing was noted there is nothing to tell but what `begun` says above.
    if let Some(ended) = store.ended(&run.id, &status)?.filter(|ended| !ended.device.is_empty()) {
        print(&format!(
            "\n{} on {} ({}), kelvin {} ({}), libtorch {}, {} to {}",
            ended.status.name(),
            ended.host,
            ended.device,
            ended.kelvin,
            ended.commit,
            ended.libtorch,
            time_text(ended.started),
            time_text(ended.ended)
        ));
        if let Some(weights) = ended.weights_sha256 {
            print(&format!("final weights sha256 {weights}"));
        }
        if let Some(error) = ended.error {
            print(&format!("error: {error}"));
        }
    }
    let longest = attempts.iter().max_by_key(|attempt| attempt.epochs.len());
    if let Some(attempt) = longest.filter(|attempt| !attempt.epochs.is_empty()) {
        let last = &attempt.epochs[attempt.epochs.len().saturating_sub(EPOCHS)..];
        let columns = ["epoch", "lr_now", "train_loss", "test_loss", "test_accuracy", "gap", "seconds"];
        let table = rows::epochs(store.id(), run, last)?;
        print(&format!("\nlast epochs\n{}", table.select(&columns.map(str::to_owned))?.render(width())));
    }
    Ok(())
}

fn describe(store: &Store, attempt: &Past) -> String {
    let end = match &attempt.ended {
        Some(ended) => format!("{} at {}", ended.status.name(), time_text(ended.ended)),
        None => "no end noted".to_owned(),
    };
    format!(
        "\nattempt {}: process {} on {}, from {} at {}; {} epochs so far, last checkpoint at {}; {end}",
        attempt.folder.file_name().unwrap_or_default().to_string_lossy().trim_start_matches("attempt-"),
        attempt.process.pid,
        attempt.process.host,
        attempt.position,
        time_text(attempt.started),
        attempt.epochs.len(),
        store.resumable(attempt),
    )
}

fn worker(dir: &Path, task: &str, options: RunOptions) -> Result<u8> {
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
            let Some(job) = job else {
                tell("time is up; the same task goes on from its checkpoints");
                return Ok(AGAIN);
            };
            if job.restarts >= IDLE_RESTARTS && progress_so_far(&store, &runs)? == before {
                return Err(Error::invalid(
                    "time is up before any step was done, again: not queued any more; `kelvin submit --time …` sends it \
                     with more time",
                ));
            }
            // Said first: the task may be ended before its request returns.
            tell("time is up; to be queued again, to go on from the checkpoints");
            job.requeue().map_err(|error| {
                Error::invalid(format!(
                    "the checkpoints are written, but {error}; `kelvin submit` sends it again"
                ))
            })?;
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

/// The first line of a task's log, where each start adds one.
fn started(task: &str, runs: usize, job: Option<&SlurmJob>) -> String {
    let process = crate::sweep::Process::this();
    let job = match job {
        Some(SlurmJob { id, restarts: 0 }) => format!(", job {id}"),
        Some(SlurmJob { id, restarts }) => format!(", job {id}, restart {restarts}"),
        None => String::new(),
    };
    let time = time_text(std::time::SystemTime::now());
    format!("{time}: task {task} of {runs} runs on {}{job}, process {}", process.host, process.pid)
}

/// Something that changes when any of these runs gets further.
fn progress_so_far(store: &Store, runs: &[crate::sweep::PlannedRun]) -> Result<Vec<(u32, u64)>> {
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
