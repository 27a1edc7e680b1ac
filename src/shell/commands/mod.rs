//! Commands on a sweep's folder: what is in it, and training what is missing from it.

mod ls;
mod show;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::script::print;
use crate::sweep::slurm::{self, Slurm};
use crate::sweep::{RunOptions, Store, compact};
use crate::torch::devices_named;

#[derive(clap::Subcommand)]
pub(super) enum SweepCommand {
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
    /// SIGUSR1 writes checkpoints and stops; under Slurm the task is put back into the queue,
    /// elsewhere the exit code is 75.
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
pub(super) fn run(command: &SweepCommand) -> Result<u8> {
    match command {
        SweepCommand::Ls { dir, all } => ls::list(dir, *all)?,
        SweepCommand::Show { dir, run: None } => show::sweep(&Store::open(dir)?),
        SweepCommand::Show { dir, run: Some(run) } => show::run(&Store::open(dir)?, run)?,
        SweepCommand::Compact { dir } => {
            let made = compact(dir)?;
            print(&format!("{}: {} rows of {} runs", made.path.display(), made.rows, made.runs));
        }
        SweepCommand::Worker { dir, task, jobs, checkpoint_every, retry_failed, device } => {
            let checkpoint_every = Duration::try_from_secs_f64(*checkpoint_every).map_err(|_| {
                Error::invalid(format!("--checkpoint-every: expected seconds ≥ 0, found {checkpoint_every}"))
            })?;
            let options = RunOptions {
                jobs: *jobs,
                devices: Some(devices_named(device)?),
                checkpoint_every,
                retry_failed: *retry_failed,
                ..RunOptions::default()
            };
            return worker::work(dir, task, options);
        }
        SweepCommand::Submit { dir, retry_failed, allow_shell, options } => {
            submit(dir, *retry_failed, *allow_shell, options)?;
        }
    }
    Ok(0)
}

fn submit(dir: &Path, retry_failed: bool, allow_shell: bool, options: &SubmitOptions) -> Result<()> {
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
    print(&slurm::submit(&store, &options, retry_failed)?.describe(dir));
    Ok(())
}
