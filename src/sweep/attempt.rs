//! Attempts at a run: a folder each, with a journal and the last two checkpoints, written by one
//! process.
//!
//! A checkpoint is durable before the journal's line that names its hash; that line is the commit.
//! A new attempt starts from the best pair of line and file over all attempts before it, and takes
//! copies of both, so that nothing depends on another attempt's folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::journal::{Checkpoint, Lines, Record, parse};
use super::plan::PlannedRun;
use super::process::{Process, Writing, touch};
use super::provenance::Ended;
use crate::error::{Error, Result};
use crate::files::{Files, is_aside};
use crate::hash::sha256;
use crate::model::MOST_PARAMETERS;
use crate::train::{EpochRecord, Position, Snapshot, Status};

const JOURNAL: &str = "journal.jsonl";

/// Time from one line that nothing depends on to the disk, at most.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Checkpoints of an attempt that are kept.
const KEPT: usize = 2;

/// An attempt as its journal tells it.
#[derive(Clone, Debug)]
pub struct Past {
    /// Its folder.
    pub folder: PathBuf,
    /// Who writes or wrote it.
    pub process: Process,
    /// When it began, by the file system's clock.
    pub started: SystemTime,
    /// What kind of device trains, and by which libtorch.
    pub made_by: String,
    /// Where it began.
    pub position: Position,
    /// Its epochs, those of the attempts that it goes on from included.
    pub epochs: Vec<EpochRecord>,
    /// Its checkpoints, oldest first.
    pub checkpoints: Vec<Checkpoint>,
    /// How it ended, if it says so.
    pub ended: Option<Ended>,
}

impl Past {
    /// Every attempt at a run, the oldest first. Folders without a readable beginning of a journal
    /// are passed over.
    pub fn all(files: &Files, run: &PlannedRun, folder: &Path) -> Result<Vec<Self>> {
        let mut attempts = Vec::new();
        for name in files.names(folder)? {
            attempts.extend(Self::read(files, run, &folder.join(name))?);
        }
        attempts.sort_by_key(|attempt| attempt.started);
        Ok(attempts)
    }

    /// None where there is no journal, or none of this run. One that cannot be read is an error: to
    /// pass it over would be to train its epochs again. What no training of this run can have
    /// written ends the part that counts, as damage does.
    fn read(files: &Files, run: &PlannedRun, folder: &Path) -> Result<Option<Self>> {
        let Some(bytes) = files.read_if_there(&folder.join(JOURNAL), LONGEST_JOURNAL)? else {
            return Ok(None);
        };
        let mut records = parse(&bytes).into_iter();
        let mut past = match records.next() {
            Some(Record::Attempt { run: own, process, started, made_by, position })
                if own == run.id && is_within(run, position) =>
            {
                Self {
                    folder: folder.to_owned(),
                    process,
                    started,
                    made_by,
                    position,
                    epochs: Vec::new(),
                    checkpoints: Vec::new(),
                    ended: None,
                }
            }
            _ => return Ok(None),
        };
        let mut epochs = (1..=run.spec.epochs).filter(|&epoch| run.spec.evaluates(epoch)).peekable();
        for record in records {
            match record {
                Record::Epoch(record) if epochs.next() == Some(record.epoch) => past.epochs.push(record),
                Record::Checkpoint(checkpoint)
                    if is_within(run, checkpoint.position)
                        && epochs.peek().is_some_and(|&next| next > checkpoint.position.epoch)
                        && checkpoint.file == file_name(checkpoint.position) =>
                {
                    past.checkpoints.push(checkpoint);
                }
                Record::Epoch(_) | Record::Checkpoint(_) => break,
                Record::Ended(ended) => past.ended = Some(ended),
                Record::Attempt { .. } => return Ok(None),
            }
        }
        Ok(Some(past))
    }

    /// Whether somebody writes it. `now` is the file system's time.
    pub(super) fn is_written(&self, files: &Files, now: SystemTime) -> bool {
        let journal = self.folder.join(JOURNAL);
        let touched = || files.modified(&journal).ok();
        self.ended.is_none() && self.process.writes(&journal, touched, now)
    }

    /// Where it can go on from: the last checkpoint whose file is there.
    pub(super) fn resumable(&self, files: &Files) -> Position {
        let there = |checkpoint: &&Checkpoint| files.has(&self.folder.join(&checkpoint.file));
        let last = self.checkpoints.iter().rev().find(there);
        last.map_or(Position::default(), |checkpoint| checkpoint.position)
    }
}

/// Bytes of a journal, at most: a hundred thousand epochs with a few kB each.
const LONGEST_JOURNAL: u64 = 512 << 20;

/// Bytes of a checkpoint, at most: weights and two buffers of the largest network in eight bytes
/// each, and what is told of them.
const LONGEST_CHECKPOINT: u64 = 3 * 8 * MOST_PARAMETERS as u64 + (64 << 20);

/// A checkpoint that a run can go on from.
struct Resumable {
    /// The epochs before it.
    epochs: Vec<EpochRecord>,
    /// Its file.
    bytes: Vec<u8>,
    /// What is in it.
    snapshot: Snapshot,
}

/// The best of all checkpoints that were made as this process would and whose file is as its
/// journal says.
fn best(files: &Files, run: &str, made_by: &str, attempts: &[Past]) -> Result<Option<Resumable>> {
    let mut candidates: Vec<(&Past, &Checkpoint)> = attempts
        .iter()
        .filter(|attempt| attempt.made_by == made_by)
        .flat_map(|attempt| attempt.checkpoints.iter().map(move |checkpoint| (attempt, checkpoint)))
        .collect();
    candidates.sort_by_key(|(_, checkpoint)| std::cmp::Reverse(checkpoint.position));
    for (attempt, checkpoint) in candidates {
        let file = attempt.folder.join(&checkpoint.file);
        let bytes = match files.read_if_there(&file, LONGEST_CHECKPOINT) {
            Ok(Some(bytes)) => bytes,
            // Only the last ones are still there, and one that is too long is none.
            Ok(None) | Err(Error::Invalid(_)) => continue,
            Err(error) => return Err(error),
        };
        if sha256(&bytes) != checkpoint.sha256 {
            continue;
        }
        let Ok(snapshot) = Snapshot::decode(&bytes, run) else { continue };
        if snapshot.position == checkpoint.position {
            let before = |record: &&EpochRecord| record.epoch <= checkpoint.position.epoch;
            let epochs = attempt.epochs.iter().filter(before).cloned().collect();
            return Ok(Some(Resumable { epochs, bytes, snapshot }));
        }
    }
    Ok(None)
}

/// Who begins an attempt, and when by the file system's clock.
#[derive(Clone)]
pub struct Beginning {
    /// What kind of device trains, and by which libtorch.
    pub made_by: String,
    /// The device by name.
    pub device: String,
    /// When.
    pub now: SystemTime,
}

/// An attempt that this process writes.
pub struct Attempt {
    files: Files,
    run: String,
    folder: PathBuf,
    path: PathBuf,
    journal: File,
    lines: Lines,
    epochs: Vec<EpochRecord>,
    /// The names of its checkpoints, oldest first.
    kept: Vec<String>,
    /// Whether all that was written is durable, whether it should be soon, and when it last was.
    durable: bool,
    urgent: bool,
    synced: Instant,
    /// Whether the names above the journal are durable.
    anchored: bool,
    /// When it began, by this process's clock.
    started: SystemTime,
    device: String,
    /// Checkpoints of attempts before it, of no use once it has its own.
    outlived: Vec<PathBuf>,
    _writing: Writing,
}

impl Attempt {
    /// Begins an attempt at a run from the best checkpoint of those before; `folder` is the run's.
    pub fn begin(
        files: &Files,
        run: &str,
        folder: &Path,
        before: Vec<Past>,
        beginning: &Beginning,
    ) -> Result<(Self, Option<Snapshot>)> {
        let found = best(files, run, &beginning.made_by, &before)?;
        let outlived = before
            .iter()
            .filter(|attempt| {
                attempt.made_by == beginning.made_by && !attempt.is_written(files, beginning.now)
            })
            .flat_map(|attempt| {
                attempt.checkpoints.iter().map(|checkpoint| attempt.folder.join(&checkpoint.file))
            })
            .collect();
        let Some(Resumable { epochs, bytes, snapshot }) = found else {
            let mut attempt = Self::begin_anew(files, run, folder, beginning)?;
            attempt.outlived = outlived;
            return Ok((attempt, None));
        };
        let mut attempt = Self::open(files, run, folder, snapshot.position, beginning)?;
        attempt.outlived = outlived;
        for record in epochs {
            attempt.epoch(&record)?;
        }
        attempt.keep(snapshot.position, &bytes)?;
        attempt.flush()?;
        Ok((attempt, Some(snapshot)))
    }

    /// Begins an attempt at a run from its beginning.
    pub fn begin_anew(files: &Files, run: &str, folder: &Path, beginning: &Beginning) -> Result<Self> {
        let mut attempt = Self::open(files, run, folder, Position::default(), beginning)?;
        // Nothing is lost with it yet, so it need not be durable.
        let lines = attempt.lines.take();
        attempt.files.write(&mut attempt.journal, &attempt.path, &lines)?;
        Ok(attempt)
    }

    /// Makes an attempt's folder; the journal's first line is still to be written.
    fn open(
        files: &Files,
        run: &str,
        folder: &Path,
        position: Position,
        beginning: &Beginning,
    ) -> Result<Self> {
        let folder = folder.join(format!("attempt-{}", uuid::Uuid::new_v4().simple()));
        files.create_folders(&folder)?;
        let path = folder.join(JOURNAL);
        let writing = Writing::new(&path);
        let mut attempt = Self {
            files: files.clone(),
            run: run.to_owned(),
            journal: files.create(&path)?,
            folder,
            path,
            lines: Lines::default(),
            epochs: Vec::new(),
            kept: Vec::new(),
            durable: true,
            urgent: false,
            synced: Instant::now(),
            anchored: false,
            started: SystemTime::now(),
            device: beginning.device.clone(),
            outlived: Vec::new(),
            _writing: writing,
        };
        attempt.lines.add(&Record::Attempt {
            run: run.to_owned(),
            process: Process::this(),
            started: beginning.now,
            made_by: beginning.made_by.clone(),
            position,
        })?;
        Ok(attempt)
    }

    /// When it began, by this process's clock.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// The name of the device that trains.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The epochs so far, those of attempts before included.
    pub fn epochs(&self) -> &[EpochRecord] {
        &self.epochs
    }

    /// Notes an epoch; the next [`Attempt::flush`] makes it durable.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.epochs.push(record.clone());
        self.lines.add(&Record::Epoch(record.clone()))
    }

    /// Writes a checkpoint; the next [`Attempt::flush`] commits it.
    pub fn checkpoint(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.keep(snapshot.position, &snapshot.encode(&self.run)?)
    }

    fn keep(&mut self, position: Position, bytes: &[u8]) -> Result<()> {
        let file = file_name(position);
        self.files.replace(&self.folder, &self.folder.join(&file), bytes)?;
        self.lines.add(&Record::Checkpoint(Checkpoint {
            position,
            file: file.clone(),
            sha256: sha256(bytes),
        }))?;
        self.urgent = true;
        self.kept.retain(|name| *name != file);
        self.kept.push(file);
        Ok(())
    }

    /// Writes what was noted, in one piece, and makes it durable if something depends on it: a
    /// checkpoint, or an end. Epochs since the last checkpoint train again in any case, so they
    /// wait for the next second.
    pub fn flush(&mut self) -> Result<()> {
        let lines = self.lines.take();
        if !lines.is_empty() {
            self.files.write(&mut self.journal, &self.path, &lines)?;
            self.durable = false;
        }
        if self.durable || !(self.urgent || self.synced.elapsed() >= SYNC_EVERY) {
            return Ok(());
        }
        self.files.sync(&self.journal, &self.path)?;
        (self.durable, self.urgent, self.synced) = (true, false, Instant::now());
        if !self.anchored {
            // DIR/state/RUN/ATTEMPT: each name is durable in the folder above it.
            for folder in self.folder.ancestors().take(3) {
                self.files.sync_folder(folder)?;
            }
            self.anchored = true;
        }
        while self.kept.len() > KEPT {
            // It was replaced by two others; one that is left only takes up space.
            let _ = self.files.remove(&self.folder.join(self.kept.remove(0)));
        }
        if self.kept.len() == KEPT {
            for file in self.outlived.drain(..) {
                let _ = self.files.remove(&file);
            }
        }
        Ok(())
    }

    /// Notes how the attempt ended, and closes it.
    pub fn end(mut self, ended: Ended) -> Result<()> {
        // Of a run that is done its published file tells; one that was interrupted goes on whatever
        // is said of it.
        self.urgent |= matches!(ended.status, Status::Diverged | Status::Failed);
        self.lines.add(&Record::Ended(ended))?;
        self.flush()
    }

    /// Says that this process still writes it.
    pub fn touch(&self) {
        touch(&self.journal);
    }
}

/// Removes the checkpoints of a run that needs none any more, as far as it can. What living
/// processes are just writing is left to them, and what bears none of kelvin's names to whoever put
/// it there.
pub fn remove_checkpoints(files: &Files, attempts: &[Past], now: SystemTime) {
    for attempt in attempts {
        let written = attempt.is_written(files, now);
        for name in files.names(&attempt.folder).unwrap_or_default() {
            if is_checkpoint(&name) || (is_aside(&name) && !written) {
                let _ = files.remove(&attempt.folder.join(name));
            }
        }
    }
}

/// The name of a checkpoint's file.
fn file_name(position: Position) -> String {
    match position.step {
        0 => format!("ckpt-{}.safetensors", position.epoch),
        step => format!("ckpt-{}-{step}.safetensors", position.epoch),
    }
}

/// Whether a name is one that [`file_name`] makes.
fn is_checkpoint(name: &str) -> bool {
    let place = name.strip_prefix("ckpt-").and_then(|name| name.strip_suffix(".safetensors"));
    let position = place.and_then(|place| {
        let (epoch, step) = place.split_once('-').unwrap_or((place, "0"));
        Some(Position { epoch: epoch.parse().ok()?, step: step.parse().ok()? })
    });
    position.is_some_and(|position| file_name(position) == name)
}

/// Whether a run can stand there.
fn is_within(run: &PlannedRun, position: Position) -> bool {
    position.epoch < run.spec.epochs && position.step <= run.spec.steps_per_epoch()
}
