//! A sweep's folder.
//!
//! ```text
//! DIR/sweep.json                           the plan, frozen, with its provenance
//! DIR/sweep.2.json …                       runs that `extend: true` added to it
//! DIR/state/RUN/attempt-UUID/              an attempt at a run, by one writer
//!   journal.jsonl                          a line per epoch, checkpoint and end (journal.rs)
//!   ckpt-E.safetensors                     after epoch E (ckpt-E-S: and S steps); the last two
//! DIR/staging/                             files being written
//! DIR/metrics/sweep=ID/RUN.parquet         finished runs only
//! DIR/runs.parquet                         a row per run that began; rebuilt, never the truth
//! DIR/compact/sweep=ID/epochs.parquet      what `kelvin compact` makes of the finished runs
//! DIR/submissions/                         what was sent to a cluster, and its logs
//! ```
//!
//! There is no lock. Files are written aside and appear whole, under names that nobody takes from
//! another. A run that two processes train is published by the first. Only finished Parquet files
//! lie under `metrics/`, because other readers glob that folder. They leave out the column `sweep`:
//! its folder's name gives it to every reader that knows hive partitions, and some of these refuse
//! files that hold it too.
//!
//! This file is the folder and its plan; `results.rs` publishes and reads finished runs.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::attempt::{Attempt, Beginning, Past, remove_checkpoints};
use super::frozen::{self, Frozen};
use super::plan::{Plan, PlannedRun};
use super::provenance::Provenance;
use super::status::RunStatus;
use crate::error::{Error, Result};
use crate::files::{Files, is_aside};
use crate::train::{Position, Snapshot, Status};

/// A row per run, for other programs.
pub(super) const RUNS: &str = "runs.parquet";

/// A sweep's folder, open.
pub struct Store {
    dir: PathBuf,
    id: String,
    plan: Plan,
    provenance: Vec<Provenance>,
    /// Which provenance each run of the plan has.
    origin: Vec<usize>,
    /// Where in the plan each run is.
    places: HashMap<String, usize>,
    pub(super) files: Files,
}

impl Store {
    /// Opens a sweep's folder.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(Files::default(), dir)
    }

    /// Opens a sweep's folder through these files.
    pub fn open_with(files: Files, dir: &Path) -> Result<Self> {
        frozen::there(dir)?;
        let files = files.below(dir)?;
        let frozen = frozen::read_all(&files, dir)?;
        frozen::check(&frozen, None)?;
        Ok(Self::of(files, dir, frozen))
    }

    fn of(files: Files, dir: &Path, frozen: Vec<(PathBuf, Frozen)>) -> Self {
        let mut store = Self {
            dir: dir.to_owned(),
            id: String::new(),
            plan: Plan { runs: Vec::new() },
            provenance: Vec::new(),
            origin: Vec::new(),
            places: HashMap::new(),
            files,
        };
        for (_, frozen) in frozen {
            store.id = frozen.sweep;
            for run in frozen.runs {
                if !store.places.contains_key(&run.id) {
                    store.places.insert(run.id.clone(), store.plan.runs.len());
                    store.plan.runs.push(run);
                }
            }
            store.origin.resize(store.plan.runs.len(), store.provenance.len());
            store.provenance.push(frozen.provenance);
        }
        store
    }

    /// Opens a sweep's folder, or makes one for this plan. A folder with another plan is an error
    /// that says what differs, unless `extend` is set and this plan only adds runs, or lacks some.
    pub fn create(
        files: Files,
        dir: &Path,
        plan: &Plan,
        provenance: &Provenance,
        extend: bool,
    ) -> Result<Self> {
        let refused = |error: Error| {
            Error::invalid(format!(
                "{}: expected a folder for results that can be written, but: {error}; name another folder",
                dir.display()
            ))
        };
        files.create_folders(dir).map_err(refused)?;
        let files = files.below(dir)?;
        loop {
            if !files.has(&dir.join(frozen::FIRST)) {
                free(&files, dir, &plan.id())?;
                files.create_folders(&dir.join("staging")).map_err(refused)?;
                let frozen = Frozen::new(plan.id(), provenance, plan.runs.clone())?;
                files.publish(&dir.join("staging"), &dir.join(frozen::FIRST), frozen.text()?.as_bytes())?;
            }
            let frozen = frozen::read_all(&files, dir)?;
            frozen::check(&frozen, Some(plan))?;
            let count = frozen.len();
            let store = Self::of(files.clone(), dir, frozen);
            if let Some(error) = store.refuses(plan, extend) {
                return Err(error);
            }
            let (new, _) = plan.difference(&store.plan);
            if new.is_empty() {
                return Ok(store);
            }
            let frozen = Frozen::new(store.id.clone(), provenance, new.into_iter().cloned().collect())?;
            // Where another process was faster, look again.
            files.publish(&dir.join("staging"), &frozen::path(dir, count + 1), frozen.text()?.as_bytes())?;
        }
    }

    /// Why this plan cannot be run in the folder: it holds another one, or one that this is only a
    /// part of.
    pub fn refuses(&self, plan: &Plan, extend: bool) -> Option<Error> {
        let (new, missing) = plan.difference(&self.plan);
        let (held, same) = (self.plan.runs.len(), plan.runs.len() - new.len());
        let options = plan.differing_options(&self.plan).join("; ");
        let (new, missing) = (new.len(), missing.len());
        let text = match (new, missing) {
            (0, 0) => return None,
            // What is joined with the folder's plan may be a part of it.
            (_, 0) | (0, _) if extend => return None,
            (_, 0) => format!(
                "holds {held} of these {} runs ({options}). run(dir, #{{extend: true}}) adds the others",
                held + new
            ),
            (0, _) => format!(
                "holds {held} runs, of which this plan has only {same} ({options}). Add what is missing, read what is there with results(dir), or join both with run(dir, #{{extend: true}})"
            ),
            _ => format!(
                "holds another sweep: {same} of this plan's runs, {missing} that it lacks, and not {new} that it has ({options}). Run this plan in another folder"
            ),
        };
        Some(Error::invalid(format!("{}: {text}; nothing was started", self.dir.display())))
    }

    /// The sweep's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The frozen plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where the plan comes from, and then each extension of it.
    pub fn provenance(&self) -> &[Provenance] {
        &self.provenance
    }

    /// Where each run of the plan comes from.
    pub(super) fn origins(&self) -> impl Iterator<Item = &Provenance> {
        self.origin.iter().map(|&origin| &self.provenance[origin])
    }

    /// The run with this id, or with the only id that begins so.
    pub fn find(&self, id: &str) -> Result<&PlannedRun> {
        // With or without the letter that ids begin with.
        let begins = |run: &&PlannedRun| run.id.starts_with(id) || run.id[1..].starts_with(id);
        let mut found = self.plan.runs.iter().filter(begins);
        match (found.next(), found.next()) {
            (Some(run), None) => Ok(run),
            (Some(run), Some(_)) if run.id == id => Ok(run),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "{}: several runs begin with {id}; write more of it",
                self.dir.display()
            ))),
            (None, _) => Err(Error::invalid(format!(
                "{}: no run {id}; the column run_id of results(\"{}\") names them",
                self.dir.display(),
                self.dir.display()
            ))),
        }
    }

    /// Where a finished run's Parquet file lies.
    pub fn metrics_file(&self, run: &str) -> PathBuf {
        self.metrics().join(format!("{run}.parquet"))
    }

    /// Whether a run's metrics are published.
    pub(super) fn is_published(&self, run: &str) -> bool {
        self.files.has(&self.metrics_file(run))
    }

    pub(super) fn metrics(&self) -> PathBuf {
        self.dir.join("metrics").join(format!("sweep={}", self.id))
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.dir.join("staging")
    }

    /// A run's folder of attempts.
    pub fn state(&self, run: &str) -> PathBuf {
        self.dir.join("state").join(run)
    }

    /// Every attempt at a run, the oldest first.
    pub fn attempts(&self, run: &str) -> Result<Vec<Past>> {
        let Some(run) = self.places.get(run).map(|&place| &self.plan.runs[place]) else {
            return Err(Error::invalid(format!("{}: no run {run}", self.dir.display())));
        };
        Past::all(&self.files, run, &self.state(&run.id))
    }

    /// Where an attempt can go on from.
    pub fn resumable(&self, attempt: &Past) -> Position {
        attempt.resumable(&self.files)
    }

    /// The file system's time, because clocks of hosts differ. Where it agrees with this host's
    /// clock, the latter, which is finer.
    fn now(&self) -> SystemTime {
        const AGREE: std::time::Duration = std::time::Duration::from_millis(100);
        let theirs = self.files.time_in(&self.staging());
        let own = SystemTime::now();
        match theirs {
            Ok(theirs) if own.duration_since(theirs).is_ok_and(|ahead| ahead < AGREE) => own,
            Ok(theirs) => theirs,
            Err(_) => own,
        }
    }

    /// Where a run stands.
    pub fn status(&self, run: &str) -> Result<RunStatus> {
        if self.is_published(run) {
            return Ok(RunStatus::Published);
        }
        self.unpublished(run, self.now())
    }

    fn unpublished(&self, run: &str, now: SystemTime) -> Result<RunStatus> {
        let attempts = self.attempts(run)?;
        let Some(last) = attempts.last() else { return Ok(RunStatus::ToDo) };
        // On a network file system the listing of a folder may be stale; a file asked for by name
        // is not.
        let done = |past: &Past| past.ended.as_ref().is_some_and(|ended| ended.status == Status::Done);
        if attempts.iter().any(done) && self.is_published(run) {
            return Ok(RunStatus::Published);
        }
        // Divergence is a result, whatever other attempts did.
        let diverged =
            |past: &&Past| past.ended.as_ref().is_some_and(|ended| ended.status == Status::Diverged);
        if let Some(ended) = attempts.iter().find(diverged).and_then(|past| past.ended.clone()) {
            return Ok(RunStatus::Ended(ended));
        }
        if let Some(past) = attempts.iter().find(|past| past.is_written(&self.files, now)) {
            let epoch = past.epochs.last().map_or(0, |record| record.epoch);
            return Ok(RunStatus::Training { process: past.process.clone(), epoch });
        }
        if let Some(ended) = last.ended.as_ref().filter(|ended| ended.status == Status::Failed) {
            return Ok(RunStatus::Ended(ended.clone()));
        }
        Ok(RunStatus::Begun {
            // Attempts on other devices or by another libtorch are not gone on from (`attempt.rs`).
            position: attempts
                .iter()
                .filter(|past| past.made_by == last.made_by)
                .map(|past| self.resumable(past))
                .max()
                .unwrap_or_default(),
            ended: last.ended.clone(),
            process: last.process.clone(),
            started: attempts[0].started,
        })
    }

    /// Where every run of the plan stands.
    pub fn run_statuses(&self) -> Result<Vec<RunStatus>> {
        self.statuses_of(&self.plan.runs)
    }

    /// Where each of these runs stands.
    pub fn statuses_of(&self, runs: &[PlannedRun]) -> Result<Vec<RunStatus>> {
        let published: HashSet<String> = self.files.names(&self.metrics())?.into_iter().collect();
        let begun: HashSet<String> = self.files.names(&self.dir.join("state"))?.into_iter().collect();
        let now = self.now();
        let status = |run: &PlannedRun| {
            if published.contains(&format!("{}.parquet", run.id)) {
                Ok(RunStatus::Published)
            } else if begun.contains(&run.id) {
                self.unpublished(&run.id, now)
            } else {
                Ok(RunStatus::ToDo)
            }
        };
        runs.iter().map(status).collect()
    }

    /// Makes the folders that publishing needs, and removes old files that crashes left in staging.
    ///
    /// # Errors
    ///
    /// They cannot be written: better known before training than after.
    pub fn prepare(&self) -> Result<()> {
        const FORGOTTEN: std::time::Duration = std::time::Duration::from_secs(86_400);
        for folder in [self.staging(), self.dir.join("state"), self.dir.join("metrics"), self.metrics()] {
            if self.files.create_folders(&folder)? {
                // Its name must outlive what will be in it.
                folder.parent().map_or(Ok(()), |parent| self.files.sync_folder(parent))?;
            }
        }
        let now = self.now();
        // Files with other names are not kelvin's.
        for name in self.files.names(&self.staging())?.into_iter().filter(|name| is_aside(name)) {
            let path = self.staging().join(name);
            let touched = self.files.modified(&path).unwrap_or(now);
            if now.duration_since(touched).unwrap_or_default() > FORGOTTEN {
                // Another process may have removed it.
                let _ = self.files.remove(&path);
            }
        }
        self.files.time_in(&self.staging()).map(|_| ())
    }

    /// Begins an attempt at a run, on a device of this kind.
    pub fn begin(&self, run: &str, device: &str) -> Result<(Attempt, Option<Snapshot>)> {
        Attempt::begin(&self.files, run, &self.state(run), self.attempts(run)?, &self.beginning(device))
    }

    fn beginning(&self, device: &str) -> Beginning {
        let kind = device.split(':').next().unwrap_or_default();
        let made_by = format!("{kind} {}", crate::torch::LIBTORCH_VERSION);
        Beginning { made_by, device: device.to_owned(), now: self.now() }
    }

    /// Begins an attempt at a run without regard to earlier ones.
    pub fn begin_anew(&self, run: &str, device: &str) -> Result<Attempt> {
        Attempt::begin_anew(&self.files, run, &self.state(run), &self.beginning(device))
    }

    /// Removes the checkpoints of a run that will not go on.
    pub fn remove_checkpoints(&self, run: &str) {
        remove_checkpoints(&self.files, &self.attempts(run).unwrap_or_default(), self.now());
    }
}

/// Checks that a new plan's folder is free.
///
/// # Errors
///
/// It holds results or extensions of a sweep whose plan is gone: other programs would read a
/// mixture of two sweeps. Or it holds a file of the runs table's name, which would be replaced.
fn free(files: &Files, dir: &Path, id: &str) -> Result<()> {
    let own = format!("sweep={id}");
    let results = files.names(&dir.join("metrics"))?;
    let other = results.iter().find(|name| **name != own).cloned();
    let extension = frozen::path(dir, 2);
    let found = other.or_else(|| files.has(&extension).then(|| extension.display().to_string()));
    if let Some(found) = found {
        return Err(Error::invalid(format!(
            "{}: sweep.json is gone, but {found} is there; restore the file, or run this plan in another folder",
            dir.display()
        )));
    }
    let table = dir.join(RUNS);
    if results.is_empty() && files.has(&table) {
        return Err(Error::invalid(format!(
            "{}: expected no file of this name, which the sweep's own table would replace; move it, or run this plan in another folder",
            table.display()
        )));
    }
    Ok(())
}
