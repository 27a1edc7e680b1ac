//! Slurm's commands on this host: its queue, its limits, and the job that this process is.

use std::process::Command;

use crate::error::{Error, Result};

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

/// A task of a submission in Slurm's queue, of any sweep.
pub(super) struct Listed {
    /// The submission's id.
    pub(super) submission: String,
    /// The task's position in it.
    pub(super) task: usize,
    pub(super) queued: Queued,
}

/// What Slurm's queue holds of submissions: jobs named `kelvin-ID-FIRST`.
pub(super) fn queue() -> Result<Vec<Listed>> {
    let mut squeue = Command::new("squeue");
    squeue.args(["-h", "-r", "-o", "%i|%T|%r|%j"]);
    Ok(output(squeue)?.lines().filter_map(listed).collect())
}

/// A line of `squeue`: job, state, reason, name.
fn listed(line: &str) -> Option<Listed> {
    let [job, state, reason, name] = line.split('|').collect::<Vec<_>>()[..] else { return None };
    let (submission, first) = name.strip_prefix("kelvin-")?.rsplit_once('-')?;
    let index: usize = job.split_once('_')?.1.parse().ok()?;
    Some(Listed {
        submission: submission.to_owned(),
        task: first.parse::<usize>().ok()?.checked_add(index)?,
        queued: Queued { job: job.to_owned(), state: state.to_owned(), reason: reason.to_owned() },
    })
}

/// The site's MaxArraySize: indices are below it.
pub(super) fn largest_array() -> Result<usize> {
    const DEFAULT: usize = 1001;
    let mut scontrol = Command::new("scontrol");
    scontrol.args(["show", "config"]);
    let text = output(scontrol)?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("MaxArraySize"));
    let size = line.and_then(|rest| rest.trim_start_matches([' ', '=']).trim().parse().ok());
    Ok(size.unwrap_or(DEFAULT).max(1))
}

/// The job of Slurm that this process is.
pub struct SlurmJob {
    /// Its id, `1234_7` for a task of an array.
    pub id: String,
    /// How often it was started before.
    pub restarts: u32,
}

impl SlurmJob {
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
pub(super) fn output(mut command: Command) -> Result<String> {
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
    fn a_line_of_the_queue_names_a_task() {
        let line = "1234_7|PENDING|Priority|kelvin-t20261123T143005x12f4-1000";
        let Listed { submission, task, queued } = listed(line).unwrap();
        assert_eq!((submission.as_str(), task), ("t20261123T143005x12f4", 1007));
        let expected = Queued { job: "1234_7".into(), state: "PENDING".into(), reason: "Priority".into() };
        assert_eq!(queued, expected);
        for other in
            ["", "1234|PENDING|None|kelvin-t1-0", "1234_7|PENDING|None|other-t1-0", "1_x|R|None|kelvin-t1-0"]
        {
            assert!(listed(other).is_none(), "{other}");
        }
    }
}
