//! The results in a sweep's folder: finished runs are published here and read back as tables.

use std::collections::HashSet;

use arrow::array::RecordBatch;

use super::plan::PlannedRun;
use super::provenance::{Ended, Provenance};
use super::rows;
use super::status::RunStatus;
use super::store::{RUNS, Store};
use crate::error::{Error, Result};
use crate::table::Table;
use crate::train::{EpochRecord, Status};

/// The key in a Parquet file's metadata under which a run says how it ended.
const ENDED: &str = "kelvin.ended";

/// Files whose rows are put together at once: the many small columns of all files would take
/// several times the memory of their rows, and new memory is what takes longest.
const TOGETHER: usize = 64;

impl Store {
    /// Publishes a finished run: its metrics appear whole, once.
    pub fn publish(&self, run: &PlannedRun, records: &[EpochRecord], ended: &Ended) -> Result<()> {
        let wanted = (1..=run.spec.epochs).filter(|&epoch| run.spec.evaluates(epoch));
        if !records.iter().map(|record| record.epoch).eq(wanted) {
            let found = records.len();
            let message =
                format!("{}: the {found} epochs with metrics are not those of the whole run", run.id);
            return Err(Error::invalid(message));
        }
        let table = rows::in_files(&rows::epochs(self.id(), run, records)?)?;
        let ended = serde_json::to_string(ended).map_err(|error| Error::invalid(error.to_string()))?;
        let mut bytes = Vec::new();
        table.encode_parquet(&mut bytes, &[(ENDED, ended)])?;
        self.files.publish(&self.staging(), &self.metrics_file(&run.id), &bytes)?;
        self.remove_checkpoints(&run.id);
        Ok(())
    }

    /// How a published run ended: what its file says.
    fn published(&self, run: &str) -> Result<Ended> {
        let path = self.metrics_file(run);
        let said = Table::parquet_note(&path, self.files.open(&path)?, ENDED)?
            .and_then(|text| serde_json::from_str(&text).ok());
        match said {
            Some(ended) => Ok(ended),
            None => {
                let time = self.files.modified(&path)?;
                Ok(Ended::here(Status::Done, None, time, time, ""))
            }
        }
    }

    /// The epochs table of every finished run, in the order of the plan.
    pub fn epochs(&self) -> Result<Table> {
        self.epochs_of(&self.finished()?)
    }

    /// The epochs table of these finished runs, in this order.
    pub(super) fn epochs_of(&self, runs: &[&PlannedRun]) -> Result<Table> {
        let measuring = rows::measuring(runs);
        let schema = rows::measured_schema(measuring);
        let read = |runs: &&[&PlannedRun]| {
            let measured = |run: &&PlannedRun| {
                crate::interrupt::check()?;
                self.measured(run, measuring)
            };
            let measured = runs.iter().map(measured).collect::<Result<Vec<_>>>()?;
            let lengths: Vec<usize> = measured.iter().map(RecordBatch::num_rows).collect();
            Ok((lengths, Table::concat(&schema, measured)?.batch().clone()))
        };
        let groups: Vec<&[&PlannedRun]> = runs.chunks(TOGETHER).collect();
        let (lengths, measured): (Vec<_>, Vec<_>) = super::parallel(&groups, read)?.into_iter().unzip();
        rows::joined(self.id(), runs, &lengths.concat(), measured)
    }

    /// The finished runs, in the order of the plan.
    pub fn finished(&self) -> Result<Vec<&PlannedRun>> {
        let published: HashSet<String> = self.files.names(&self.metrics())?.into_iter().collect();
        let is_published = |run: &&PlannedRun| published.contains(&format!("{}.parquet", run.id));
        Ok(self.plan().runs.iter().filter(is_published).collect())
    }

    /// What was measured in one finished run.
    fn measured(&self, run: &PlannedRun, measuring: bool) -> Result<RecordBatch> {
        let path = self.metrics_file(&run.id);
        let file = self.files.open(&path)?;
        rows::measured_of(run, Table::read_columns(&path, file, &rows::file_schema(run))?, measuring)
            .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))
    }

    /// How a run ended or, where it has not, that it was interrupted; none where it never began.
    pub fn ended(&self, run: &str, status: &RunStatus) -> Result<Option<Ended>> {
        Ok(match status {
            RunStatus::Published => Some(self.published(run)?),
            RunStatus::Ended(ended) => Some(ended.clone()),
            RunStatus::Begun { ended: Some(ended), .. } if ended.status == Status::Interrupted => {
                Some(ended.clone())
            }
            RunStatus::Begun { process, started, .. } => {
                let gone = Ended::here(Status::Interrupted, None, *started, *started, "");
                Some(Ended { host: process.host.clone(), ..gone })
            }
            RunStatus::Training { .. } | RunStatus::ToDo => None,
        })
    }

    /// The runs table of every run that began and is not training now.
    pub fn runs(&self) -> Result<Table> {
        let run_statuses = self.run_statuses()?;
        let runs: Vec<(&PlannedRun, RunStatus)> = self.plan().runs.iter().zip(run_statuses).collect();
        let ended = super::parallel(&runs, |(run, status)| self.ended(&run.id, status))?;
        let rows = runs.iter().zip(self.origins()).zip(ended);
        let rows: Vec<(&PlannedRun, &Provenance, Ended)> =
            rows.filter_map(|(((run, _), origin), ended)| Some((*run, origin, ended?))).collect();
        rows::runs(self.id(), &rows)
    }

    /// Whether `runs.parquet` is there.
    pub(super) fn has_runs(&self) -> bool {
        self.files.has(&self.dir().join(RUNS))
    }

    /// Rebuilds `runs.parquet`.
    pub fn write_runs(&self) -> Result<()> {
        let mut bytes = Vec::new();
        self.runs()?.encode_parquet(&mut bytes, &[])?;
        self.files.replace(&self.staging(), &self.dir().join(RUNS), &bytes)
    }
}
