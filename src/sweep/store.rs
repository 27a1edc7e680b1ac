//! A sweep's folder.
//!
//! ```text
//! DIR/sweep.json                      the plan, frozen, with its provenance
//! DIR/state/RUN/ended.json            how a run ended
//! DIR/staging/                        files being written
//! DIR/metrics/sweep=ID/RUN.parquet    finished runs only
//! DIR/runs.parquet                    a row per run that ended; rebuilt, never the truth
//! ```
//!
//! Files are written aside and appear whole. Nothing that is not a finished Parquet file ever lies
//! under `metrics/`: other readers glob that folder. The files there leave out the column `sweep`, which
//! the folder's name gives to every reader that knows hive partitions; some of them refuse files that
//! hold it too.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::{Plan, PlannedRun};
use super::provenance::{Ended, Provenance};
use super::rows;
use crate::error::{Error, Result};
use crate::table::Table;
use crate::train::{EpochRecord, Status};

/// The layout of the folder; another number means another layout.
const SCHEMA_VERSION: u32 = 1;

/// `sweep.json`.
#[derive(Serialize, Deserialize)]
struct Frozen {
    schema: u32,
    sweep: String,
    provenance: Provenance,
    runs: Vec<PlannedRun>,
}

/// A sweep's folder, open.
pub struct Store {
    dir: PathBuf,
    id: String,
    plan: Plan,
    provenance: Provenance,
}

impl Store {
    /// Opens a sweep's folder.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("sweep.json");
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::invalid(format!(
                "{}: expected a folder with a sweep (sweep.json), found none; make one with sweep(#{{…}}).run(dir)",
                dir.display()
            )),
            _ => Error::io(&path, error),
        })?;
        let frozen: Frozen = serde_json::from_str(&text).map_err(|error| {
            Error::invalid(format!("{}: not a plan of this version of kelvin: {error}", path.display()))
        })?;
        if frozen.schema != SCHEMA_VERSION {
            return Err(Error::invalid(format!(
                "{}: schema {}, expected {SCHEMA_VERSION}; use the version of kelvin that wrote it ({})",
                path.display(),
                frozen.schema,
                frozen.provenance.kelvin
            )));
        }
        if let Some(run) = frozen.runs.iter().find(|run| run.id != run.spec.id()) {
            return Err(Error::invalid(format!(
                "{}: the run {} was changed after the plan was made (its specification now has the id {}); restore the file",
                path.display(),
                run.id,
                run.spec.id()
            )));
        }
        Ok(Self {
            dir: dir.to_owned(),
            id: frozen.sweep,
            plan: Plan { runs: frozen.runs },
            provenance: frozen.provenance,
        })
    }

    /// Opens a sweep's folder, or makes one for this plan. Another sweep's folder is an error.
    pub fn create(dir: &Path, plan: &Plan, provenance: &Provenance) -> Result<Self> {
        if !dir.join("sweep.json").exists() {
            let refused = |error| {
                Error::invalid(format!(
                    "{}: expected a folder for results that can be written, but: {error}; name another folder",
                    dir.display()
                ))
            };
            fs::create_dir_all(dir).map_err(refused)?;
            let frozen = Frozen {
                schema: SCHEMA_VERSION,
                sweep: plan.id(),
                provenance: provenance.clone(),
                runs: plan.runs.clone(),
            };
            let text =
                serde_json::to_string_pretty(&frozen).map_err(|error| Error::invalid(error.to_string()))?;
            let staging = dir.join("staging");
            fs::create_dir_all(&staging).map_err(refused)?;
            let aside = write_aside(&staging, |file| {
                file.write_all(text.as_bytes()).map_err(|error| Error::io(dir, error))
            })?;
            link(aside, &dir.join("sweep.json"))?;
        }
        let store = Self::open(dir)?;
        if let Some(difference) = plan.difference(&store.plan) {
            return Err(Error::invalid(format!(
                "{}: holds another sweep: {difference}. Run this one in another folder",
                dir.display()
            )));
        }
        Ok(store)
    }

    /// The sweep's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The frozen plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where the plan comes from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Where a finished run's Parquet file lies.
    pub fn metrics_file(&self, run: &str) -> PathBuf {
        self.metrics().join(format!("{run}.parquet"))
    }

    fn metrics(&self) -> PathBuf {
        self.dir.join("metrics").join(format!("sweep={}", self.id))
    }

    fn state(&self, run: &str) -> PathBuf {
        self.dir.join("state").join(run)
    }

    /// How a run ended; none where it has not.
    pub fn ended(&self, run: &PlannedRun) -> Option<Ended> {
        let published = fs::metadata(self.metrics_file(&run.id)).and_then(|about| about.modified()).ok();
        let noted = fs::read_to_string(self.state(&run.id).join("ended.json")).ok();
        let noted: Option<Ended> = noted.and_then(|text| serde_json::from_str(&text).ok());
        // Done is what was published, whatever else is said.
        match (published, noted) {
            (None, noted) => noted.filter(|ended| ended.status != Status::Done),
            (Some(_), Some(noted)) if noted.status == Status::Done => Some(noted),
            (Some(time), _) => Some(Ended::here(Status::Done, None, time, time, "")),
        }
    }

    /// Makes the folders that publishing needs; whoever cannot write there learns it before training.
    pub fn prepare(&self) -> Result<()> {
        for folder in [self.dir.join("staging"), self.metrics()] {
            fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
        }
        write_aside(&self.dir.join("staging"), |_| Ok(())).map(|_| ())
    }

    /// Publishes a finished run: its metrics appear whole, once.
    pub fn publish(&self, run: &PlannedRun, records: &[EpochRecord]) -> Result<()> {
        let table = rows::epochs(&self.id, run, records)?;
        let keep: Vec<usize> =
            (0..table.columns().len()).filter(|&index| table.columns()[index] != "sweep").collect();
        let batch = table.batch().project(&keep).map_err(|error| Error::invalid(error.to_string()))?;
        let aside = write_aside(&self.dir.join("staging"), |file| Table::new(batch).encode_parquet(file))?;
        link(aside, &self.metrics_file(&run.id))
    }

    /// Notes how a run ended.
    pub fn note_ended(&self, run: &PlannedRun, ended: &Ended) -> Result<()> {
        let folder = self.state(&run.id);
        fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
        let text = serde_json::to_string(ended).map_err(|error| Error::invalid(error.to_string()))?;
        let path = folder.join("ended.json");
        let aside = write_aside(&folder, |file| {
            file.write_all(text.as_bytes()).map_err(|error| Error::io(&path, error))
        })?;
        aside.persist(&path).map_err(|error| Error::io(&path, error.error))?;
        sync_folder(&folder)
    }

    /// The epochs table of every finished run, in the order of the plan.
    pub fn epochs(&self) -> Result<Table> {
        let schema = rows::epochs_schema();
        let mut batches = Vec::new();
        for run in &self.plan.runs {
            let path = self.metrics_file(&run.id);
            if !path.exists() {
                continue;
            }
            crate::interrupt::check()?;
            let table = Table::read_parquet(&path)?;
            let columns: Vec<usize> = schema
                .fields()
                .iter()
                .map(|field| {
                    table.column(field.name()).map(|_| table.batch().schema_ref().index_of(field.name()))
                })
                .collect::<Result<Vec<_>>>()?
                .into_iter()
                .flatten()
                .collect();
            batches.push(
                table
                    .batch()
                    .project(&columns)
                    .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?,
            );
        }
        let batches = batches
            .into_iter()
            .map(|batch| batch.with_schema(schema.clone()))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|error| Error::invalid(error.to_string()))?;
        Table::concat(&schema, &batches)
    }

    /// The runs table of every run that has ended.
    pub fn runs(&self) -> Result<Table> {
        let ended: Vec<(&PlannedRun, Ended)> =
            self.plan.runs.iter().filter_map(|run| self.ended(run).map(|ended| (run, ended))).collect();
        rows::runs(&self.id, &ended)
    }

    /// Rebuilds `runs.parquet`.
    pub fn write_runs(&self) -> Result<()> {
        self.runs()?.write(&self.dir.join("runs.parquet"))
    }
}

/// Writes a new file in a folder and makes it durable.
fn write_aside(
    folder: &Path,
    write: impl FnOnce(&mut File) -> Result<()>,
) -> Result<tempfile::NamedTempFile> {
    let mut aside = tempfile::NamedTempFile::new_in(folder).map_err(|error| Error::io(folder, error))?;
    write(aside.as_file_mut())?;
    crate::table::make_readable(aside.as_file(), folder)?;
    aside.as_file().sync_all().map_err(|error| Error::io(folder, error))?;
    Ok(aside)
}

/// Gives a written file its final name unless that is taken: whoever is first wins.
fn link(aside: tempfile::NamedTempFile, path: &Path) -> Result<()> {
    match fs::hard_link(aside.path(), path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io(path, error)),
    }
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|error| Error::io(folder, error))
}
