//! Slurm: what is missing of a sweep as arrays of jobs.
//!
//! A submission is a list of tasks, each a few runs of one cohort, in `DIR/submissions/ID.json`, with the batch script
//! beside it. Task I of it is `kelvin worker DIR ID/I`. Arrays are cut at the site's MaxArraySize; a chunk is one job
//! named `kelvin-ID-FIRST`. Slurm is asked for what is queued, to show it and to send nothing twice; what is
//! finished is what is published, and a task that runs twice does no harm.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::plan::PlannedRun;
use super::store::{Standing, Store};
use crate::error::{Error, Result};
use crate::train::RunSpec;
use crate::train::cohort::{cohorts, stacks};

/// Seconds before the time limit at which a task is told to write checkpoints; Slurm may be a minute early.
const NOTICE: u32 = 90;

/// What a task asks of the cluster. What is none is left to the site's defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slurm {
    /// The partition.
    pub partition: Option<String>,
    /// GPUs of one task.
    pub gpus: Option<u32>,
    /// The time limit, as Slurm writes it: `4:00:00`, `2-00:00`.
    pub time: Option<String>,
    /// Cores of one task; default 1.
    pub cpus: Option<u32>,
    /// Memory of one task: `8G`.
    pub mem: Option<String>,
    /// Tasks that run at the same time, at most.
    pub array_limit: Option<u32>,
    /// Shell lines before the program starts: `module load cuda`.
    pub setup: Option<String>,
    /// Runs of one task; default: the stacks that its cores train at once.
    pub runs_per_task: Option<usize>,
}

/// What each option is, for help, completion and checking.
pub const SLURM_OPTIONS: [(&str, &str); 8] = [
    ("partition", "the partition; default: the site's"),
    ("gpus", "GPUs of one task; default none"),
    ("time", "the time limit, \"4:00:00\"; default: the site's"),
    ("cpus", "cores of one task; default 1"),
    ("mem", "memory of one task, \"8G\"; default: the site's"),
    ("array_limit", "tasks that run at the same time, at most; default: the site's"),
    ("setup", "shell lines before the program starts, such as \"module load cuda\""),
    ("runs_per_task", "runs of one task; default: as many as its cores train at once"),
];

/// `DIR/submissions/ID.json`.
#[derive(Serialize, Deserialize)]
struct Submission {
    options: Slurm,
    /// The runs of each task.
    tasks: Vec<Vec<String>>,
}

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// Slurm's ids of the arrays.
    pub jobs: Vec<String>,
    /// Tasks of them, all together.
    pub tasks: usize,
    /// Runs of them, all together.
    pub runs: usize,
    /// Runs that were left out because an earlier submission still has them.
    pub queued: usize,
}

impl Sent {
    /// What was sent, in a line.
    pub fn describe(&self, dir: &Path) -> String {
        let dir = dir.display();
        let queued = match self.queued {
            0 => String::new(),
            queued => format!("; {queued} runs are queued already"),
        };
        match self.runs {
            0 => format!("{dir}: nothing to send{queued}"),
            runs => format!(
                "{dir}: sent {runs} runs in {} tasks (job {}){queued}; `kelvin ls {dir}` follows them",
                self.tasks,
                self.jobs.join(", ")
            ),
        }
    }
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("submissions")
}

/// The options of a sweep's last submission, if it has any.
pub fn last_options(store: &Store) -> Result<Option<Slurm>> {
    let mut names = store.files.names(&folder(store.dir()))?;
    names.retain(|name| name.ends_with(".json"));
    names.sort();
    let Some(name) = names.last() else { return Ok(None) };
    Ok(Some(read(store, name.trim_end_matches(".json"))?.options))
}

fn read(store: &Store, id: &str) -> Result<Submission> {
    let path = folder(store.dir()).join(format!("{id}.json"));
    let bytes = store.files.read(&path)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::invalid(format!("{}: not a submission: {error}", path.display())))
}

/// The runs that `kelvin worker DIR TASK` trains: `ID/I` is task I of a submission, `K/N` is the K-th of N shares of
/// the whole plan, for any other scheduler.
pub fn task(store: &Store, task: &str) -> Result<Vec<PlannedRun>> {
    let wrong = || {
        Error::invalid(format!(
            "{task}: expected a task such as 3/16 (the third of 16 shares) or one of a submission (ID/0, as its script writes it)"
        ))
    };
    let (whose, index) = task.split_once('/').ok_or_else(wrong)?;
    let index: usize = index.parse().map_err(|_| wrong())?;
    let runs = &store.plan().runs;
    if let Ok(share) = whose.parse::<usize>() {
        if share == 0 || share > index {
            return Err(Error::invalid(format!(
                "{task}: expected a share from 1/{index} to {index}/{index}"
            )));
        }
        let specs: Vec<RunSpec> = runs.iter().map(|run| run.spec.clone()).collect();
        // Runs of one cohort lie together, so that a share can stack them.
        let order: Vec<usize> = cohorts(&specs).into_iter().flatten().collect();
        let cut = |share: usize| share * runs.len() / index;
        return Ok(order[cut(share - 1)..cut(share)].iter().map(|&run| runs[run].clone()).collect());
    }
    let submission = read(store, whose)?;
    let ids = submission.tasks.get(index).ok_or_else(|| {
        Error::invalid(format!(
            "{task}: this submission has tasks 0 to {}",
            submission.tasks.len().saturating_sub(1)
        ))
    })?;
    let known: HashMap<&str, &PlannedRun> = runs.iter().map(|run| (run.id.as_str(), run)).collect();
    ids.iter()
        .map(|id| {
            known.get(id.as_str()).map(|run| (*run).clone()).ok_or_else(|| {
                Error::invalid(format!(
                    "{task}: the run {id} is not in the plan of {}",
                    store.dir().display()
                ))
            })
        })
        .collect()
}

/// Sends what is missing and not queued yet, and returns at once. Tasks run the program that calls this.
pub fn submit(store: &Store, options: &Slurm) -> Result<Sent> {
    let kelvin = std::env::current_exe().map_err(|error| Error::io("the program itself", error))?;
    let limit = largest_array()?;
    let queue = queued(store)?;
    let open: Vec<&PlannedRun> = store
        .plan()
        .runs
        .iter()
        .zip(store.survey()?)
        .filter(|(_, standing)| standing.is_open(false) && !matches!(standing, Standing::Training { .. }))
        .map(|(run, _)| run)
        .collect();
    let missing: Vec<&PlannedRun> = open.iter().copied().filter(|run| !queue.contains_key(&run.id)).collect();
    let mut sent = Sent { runs: missing.len(), queued: open.len() - missing.len(), ..Sent::default() };
    if missing.is_empty() {
        return Ok(sent);
    }
    let tasks = tasks(&missing, options);
    sent.tasks = tasks.len();
    let now = chrono::Utc::now().format("t%Y%m%dT%H%M%S");
    let id = format!("{now}x{}", &uuid::Uuid::new_v4().simple().to_string()[..4]);
    // Jobs start in other folders and on other hosts.
    let dir = std::fs::canonicalize(store.dir()).map_err(|error| Error::io(store.dir(), error))?;
    let folder = folder(&dir);
    let logs = folder.join(&id);
    store.prepare()?;
    store.files.create_folders(&logs)?;
    let script = folder.join(format!("{id}.sh"));
    let staging = dir.join("staging");
    let submission = Submission { options: options.clone(), tasks };
    let text = serde_json::to_string(&submission).map_err(|error| Error::invalid(error.to_string()))?;
    store.files.publish(&staging, &script, batch_script(options, &kelvin, &dir, &id, &logs).as_bytes())?;
    store.files.publish(&staging, &folder.join(format!("{id}.json")), text.as_bytes())?;
    for first in (0..sent.tasks).step_by(limit) {
        let last = (first + limit).min(sent.tasks) - first - 1;
        let at_once = options.array_limit.map(|limit| format!("%{limit}")).unwrap_or_default();
        let mut sbatch = Command::new("sbatch");
        sbatch
            .arg("--parsable")
            .arg(format!("--array=0-{last}{at_once}"))
            .arg(format!("--job-name=kelvin-{id}-{first}"))
            .arg(format!("--output={}/{first}-%a.log", logs.display()))
            .arg(&script)
            .arg(first.to_string());
        let job = output(sbatch)?;
        // `--parsable` may add the cluster's name after a semicolon.
        sent.jobs.push(job.trim().split(';').next().unwrap_or_default().to_owned());
    }
    Ok(sent)
}

/// Runs of one cohort that a task trains, as many as its cores stack at once.
fn tasks(runs: &[&PlannedRun], options: &Slurm) -> Vec<Vec<String>> {
    let specs: Vec<RunSpec> = runs.iter().map(|run| run.spec.clone()).collect();
    let at_once = |choice: crate::train::Choice| match options.gpus {
        Some(gpus) if gpus > 0 => choice.stack * gpus as usize,
        _ => choice.stack * (options.cpus.unwrap_or(1) as usize / choice.threads).max(1),
    };
    let mut tasks = Vec::new();
    for cohort in cohorts(&specs) {
        let size = options.runs_per_task.unwrap_or_else(|| at_once(runs[cohort[0]].choice)).max(1);
        let mut rest = &cohort[..];
        for size in stacks(cohort.len(), size, 1) {
            let (own, others) = rest.split_at(size);
            rest = others;
            tasks.push(own.iter().map(|&run| runs[run].id.clone()).collect());
        }
    }
    tasks
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn batch_script(options: &Slurm, kelvin: &Path, dir: &Path, id: &str, logs: &Path) -> String {
    let mut lines = vec!["#!/bin/bash".to_owned()];
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.push(format!("#SBATCH --{name}={value}"));
        }
    };
    option("partition", options.partition.clone());
    option("gpus", options.gpus.map(|gpus| gpus.to_string()));
    option("time", options.time.clone());
    option("cpus-per-task", Some(options.cpus.unwrap_or(1).to_string()));
    option("mem", options.mem.clone());
    option("signal", Some(format!("B:USR1@{NOTICE}")));
    option("open-mode", Some("append".to_owned()));
    lines.push("#SBATCH --requeue".to_owned());
    lines.push(format!("# The tasks are in {id}.json, their logs in {}.", logs.display()));
    lines.extend(options.setup.clone());
    // exec: signals reach the program, and nothing of it outlives a requeue.
    lines.push(format!(
        "exec {} worker {} {id}/$(($1 + SLURM_ARRAY_TASK_ID))",
        quoted(&kelvin.to_string_lossy()),
        quoted(&dir.to_string_lossy())
    ));
    lines.join("\n") + "\n"
}

/// A task in Slurm's queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// Slurm's id, `1234_7`.
    pub job: String,
    /// Slurm's state, `PENDING`, `RUNNING`, …
    pub state: String,
    /// Why it does not run.
    pub reason: String,
}

/// The runs of a sweep that are in Slurm's queue. Empty where there is no Slurm.
pub fn queued(store: &Store) -> Result<HashMap<String, Queued>> {
    let mut runs = HashMap::new();
    let mut submissions: HashMap<String, Submission> = HashMap::new();
    if store.files.names(&folder(store.dir()))?.is_empty() {
        return Ok(runs);
    }
    let mut squeue = Command::new("squeue");
    squeue.args(["-h", "-r", "-o", "%i|%T|%r|%j"]);
    // Where Slurm does not answer, what is published tells enough.
    let Ok(text) = output(squeue) else { return Ok(runs) };
    for line in text.lines() {
        let [job, state, reason, name] = line.split('|').collect::<Vec<_>>()[..] else { continue };
        let Some((id, first)) = name.strip_prefix("kelvin-").and_then(|name| name.rsplit_once('-')) else {
            continue;
        };
        let index = job.split_once('_').and_then(|(_, index)| index.parse::<usize>().ok());
        let (Some(index), Ok(first)) = (index, first.parse::<usize>()) else { continue };
        if !submissions.contains_key(id) {
            // Other sweeps have submissions of their own.
            let Ok(submission) = read(store, id) else { continue };
            submissions.insert(id.to_owned(), submission);
        }
        for run in submissions[id].tasks.get(first + index).into_iter().flatten() {
            let queued = Queued { job: job.to_owned(), state: state.to_owned(), reason: reason.to_owned() };
            runs.insert(run.clone(), queued);
        }
    }
    Ok(runs)
}

/// The site's MaxArraySize: indices are below it.
fn largest_array() -> Result<usize> {
    const DEFAULT: usize = 1001;
    let mut scontrol = Command::new("scontrol");
    scontrol.args(["show", "config"]);
    let text = output(scontrol)?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("MaxArraySize"));
    let size = line.and_then(|rest| rest.trim_start_matches([' ', '=']).trim().parse().ok());
    Ok(size.unwrap_or(DEFAULT).max(1))
}

/// Puts this job back into the queue.
pub fn requeue() -> Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let job =
        match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID"), variable("SLURM_JOB_ID")) {
            (Some(array), Some(task), _) => format!("{array}_{task}"),
            (_, _, Some(job)) => job,
            _ => return Err(Error::invalid("this is not a job of Slurm")),
        };
    let mut scontrol = Command::new("scontrol");
    scontrol.arg("requeue").arg(job);
    output(scontrol).map(|_| ())
}

/// What a command prints; what it complains about is the error.
fn output(mut command: Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        Error::invalid(format!(
            "{name}: {error}; expected Slurm's commands on this host, as on a cluster's login node"
        ))
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::invalid(format!("{name}: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_script_quotes_paths_and_leaves_defaults_out() {
        let options = Slurm { gpus: Some(1), setup: Some("module load cuda".to_owned()), ..Slurm::default() };
        let script = batch_script(
            &options,
            Path::new("/opt/kelvin"),
            Path::new("/data/it's mine"),
            "t1",
            Path::new("/l"),
        );
        assert!(script.starts_with("#!/bin/bash\n#SBATCH --gpus=1\n#SBATCH --cpus-per-task=1\n"), "{script}");
        assert!(script.contains("--signal=B:USR1@90\n"), "{script}");
        assert!(!script.contains("partition"), "{script}");
        let last = "module load cuda\nexec '/opt/kelvin' worker '/data/it'\\''s mine' t1/$(($1 + SLURM_ARRAY_TASK_ID))\n";
        assert!(script.ends_with(last), "{script}");
    }
}
