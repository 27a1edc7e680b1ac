//! All finished runs of a sweep in one sorted Parquet file, for readers that prefer one large file to many
//! small ones. It lies beside `metrics/`, never in it, and takes nothing away: the files of the runs stay.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};

use super::plan::PlannedRun;
use super::rows::{joined, measured_schema, measuring};
use super::store::Store;
use crate::error::{Error, Result};
use crate::table::Table;

/// The order of the rows.
const ORDER: [&str; 6] = ["temperature", "lr", "batch", "seed_split", "run_id", "epoch"];

/// What a compaction made.
#[derive(Clone, Debug)]
pub struct Compacted {
    /// The file.
    pub path: PathBuf,
    /// The runs in it.
    pub runs: usize,
    /// The rows in it.
    pub rows: usize,
}

/// The epochs of these finished runs, in this order.
pub(super) fn read(store: &Store, runs: &[&PlannedRun]) -> Result<Table> {
    /// Files whose rows are put together at once: the many small columns of all files would take several times the
    /// memory of their rows, and new memory is what takes longest.
    const GROUP: usize = 64;
    let schema = measured_schema(measuring(runs));
    let read = |runs: &&[&PlannedRun]| {
        let measured = |run: &&PlannedRun| {
            crate::interrupt::check()?;
            store.measured(run)
        };
        let measured = runs.iter().map(measured).collect::<Result<Vec<_>>>()?;
        let lengths: Vec<usize> = measured.iter().map(RecordBatch::num_rows).collect();
        Ok((lengths, Table::concat(&schema, measured)?.batch().clone()))
    };
    let groups: Vec<&[&PlannedRun]> = runs.chunks(GROUP).collect();
    let (lengths, measured): (Vec<_>, Vec<_>) = super::parallel(&groups, read)?.into_iter().unzip();
    joined(store.id(), runs, &lengths.concat(), measured)
}

/// Writes the finished runs of a sweep's folder to `DIR/compact/sweep=ID/epochs.parquet`, over what is there.
pub fn compact(dir: &Path) -> Result<Compacted> {
    let store = Store::open(dir)?;
    let table = store.epochs()?;
    if table.is_empty() {
        return Err(Error::invalid(format!("{}: no run is finished yet", dir.display())));
    }
    let bad = |error: arrow::error::ArrowError| Error::invalid(error.to_string());
    let columns = ORDER
        .iter()
        .map(|name| Ok(SortColumn { values: table.column(name)?.clone(), options: None }))
        .collect::<Result<Vec<_>>>()?;
    let order = lexsort_to_indices(&columns, None).map_err(bad)?;
    let sorted = take_record_batch(table.batch(), &order).map_err(bad)?;
    // As in the files of the runs, the folder's name gives the sweep.
    let keep: Vec<usize> = (0..sorted.num_columns())
        .filter(|&index| sorted.schema_ref().field(index).name() != "sweep")
        .collect();
    let mut bytes = Vec::new();
    Table::new(sorted.project(&keep).map_err(bad)?).encode_parquet(&mut bytes, &[])?;
    let folder = dir.join("compact").join(format!("sweep={}", store.id()));
    store.prepare()?;
    store.files.create_folders(&folder)?;
    let path = folder.join("epochs.parquet");
    store.files.replace(&dir.join("staging"), &path, &bytes)?;
    let runs = table.strings("run_id")?.into_iter().collect::<std::collections::HashSet<_>>().len();
    Ok(Compacted { path, runs, rows: table.len() })
}
