//! All finished runs of a sweep in one sorted Parquet file, for readers that prefer one large file
//! to many small ones. It lies beside `metrics/`, never in it, and takes nothing away: the files of
//! the runs stay.

use std::path::{Path, PathBuf};

use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use arrow::error::ArrowError;

use super::rows::in_files;
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

/// Writes the finished runs of a sweep's folder to `DIR/compact/sweep=ID/epochs.parquet`, over what
/// is there.
pub fn compact(dir: &Path) -> Result<Compacted> {
    let store = Store::open(dir)?;
    let table = store.epochs()?;
    if table.is_empty() {
        return Err(Error::invalid(format!("{}: no run is finished yet", dir.display())));
    }
    let bad = |error: ArrowError| Error::invalid(error.to_string());
    let columns = ORDER
        .iter()
        .map(|name| Ok(SortColumn { values: table.column(name)?.clone(), options: None }))
        .collect::<Result<Vec<_>>>()?;
    let order = lexsort_to_indices(&columns, None).map_err(bad)?;
    let sorted = take_record_batch(table.batch(), &order).map_err(bad)?;
    let mut bytes = Vec::new();
    in_files(&Table::new(sorted))?.encode_parquet(&mut bytes, &[])?;
    let folder = dir.join("compact").join(format!("sweep={}", store.id()));
    store.prepare()?;
    store.files.create_folders(&folder)?;
    let path = folder.join("epochs.parquet");
    store.files.replace(&dir.join("staging"), &path, &bytes)?;
    let runs = table.strings("run_id")?.into_iter().collect::<std::collections::HashSet<_>>().len();
    Ok(Compacted { path, runs, rows: table.len() })
}
