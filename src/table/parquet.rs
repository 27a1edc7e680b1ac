//! Tables in files: Parquet in and out, CSV and JSON out.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::{Table, arrow};
use crate::error::{Error, Result};
use crate::untrusted;

/// Tables of fewer cells are small.
const SMALL: usize = 1 << 18;

/// Rows that are decoded at once, at most.
const LONGEST_BATCH: u64 = 1 << 16;

impl Table {
    /// Reads one Parquet file. Folders named `key=value` above it become columns, as other readers
    /// understand them.
    pub fn read_parquet(path: &Path) -> Result<Self> {
        let file = untrusted::open(path)?;
        // The schema of the file's metadata (pandas' index, for instance) is not the table's.
        let schema = Arc::new(Schema::new(file.schema().fields().clone()));
        let rows = file.rows().clamp(1, LONGEST_BATCH) as usize;
        let batches = file
            .batches(None, rows)?
            .map(|batch| batch?.with_schema(Arc::clone(&schema)).map_err(arrow))
            .collect::<Result<Vec<_>>>()?;
        with_folders(Self::concat(&schema, &batches)?, path)
    }

    /// Reads Parquet files: a file, a folder (with the folders in it), or a glob. All files must have the
    /// same columns.
    pub fn read_parquet_files(path: &str) -> Result<Self> {
        // Brackets in the name of something that exists are not a pattern.
        let literal = glob::Pattern::escape(path);
        let pattern = match Path::new(path) {
            folder if folder.is_dir() => format!("{literal}/**/*.parquet"),
            file if file.exists() => literal,
            _ => path.to_owned(),
        };
        let mut files: Vec<PathBuf> = glob::glob(&pattern)
            .map_err(|error| Error::invalid(format!("{path}: not a path or glob: {error}")))?
            .flatten()
            .collect();
        files.sort();
        let first = files.first().ok_or_else(|| {
            Error::invalid(format!("{path}: expected a Parquet file, a folder of them or a glob, found none"))
        })?;
        let first = Self::read_parquet(first)?;
        let schema = first.batch.schema();
        let mut batches = vec![first.batch];
        for file in &files[1..] {
            crate::interrupt::check()?;
            let batch = Self::read_parquet(file)?.batch;
            if batch.schema_ref().fields() != schema.fields() {
                return Err(Error::invalid(format!(
                    "{}: its columns are [{}], those of {} are [{}]; read them one by one",
                    file.display(),
                    names(batch.schema_ref()),
                    files[0].display(),
                    names(&schema)
                )));
            }
            batches.push(batch);
        }
        Self::concat(&schema, &batches)
    }

    /// Writes a file of the kind that its ending names: `.parquet`, `.csv` or `.json` (an array of
    /// objects). It appears whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        let encode = match ending.as_str() {
            "parquet" => |table: &Self, file: &mut File| table.encode_parquet(file, &[]),
            "csv" => Self::encode_csv,
            "json" => Self::encode_json,
            _ => {
                return Err(Error::invalid(format!(
                    "{}: expected a file name that ends in .parquet, .csv or .json",
                    path.display()
                )));
            }
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let mut aside = tempfile::NamedTempFile::new_in(folder).map_err(|error| Error::io(folder, error))?;
        encode(self, aside.as_file_mut())?;
        aside.as_file().sync_all().map_err(|error| Error::io(path, error))?;
        make_readable(aside.as_file(), path)?;
        aside.persist(path).map_err(|error| Error::io(path, error.error))?;
        Ok(())
    }

    /// Writes Parquet: one row group per million rows. Notes are texts in the file's metadata.
    pub(crate) fn encode_parquet(&self, file: impl Write + Send, notes: &[(&str, String)]) -> Result<()> {
        // Of a small file's pages, making zstd's workspaces takes longer than reading them.
        let small = self.len() * self.batch.num_columns() < SMALL;
        let compression = if small { Compression::SNAPPY } else { Compression::ZSTD(ZstdLevel::default()) };
        let note = |(key, text): &(&str, String)| KeyValue::new((*key).to_owned(), text.clone());
        let notes = (!notes.is_empty()).then(|| notes.iter().map(note).collect());
        let properties = WriterProperties::builder()
            .set_key_value_metadata(notes)
            .set_compression(compression)
            .set_created_by(format!("kelvin {}", env!("CARGO_PKG_VERSION")))
            .build();
        let fail = |error: parquet::errors::ParquetError| Error::invalid(format!("writing Parquet: {error}"));
        let mut writer = ArrowWriter::try_new(file, self.batch.schema(), Some(properties)).map_err(fail)?;
        writer.write(&self.batch).map_err(fail)?;
        writer.close().map_err(fail)?;
        Ok(())
    }

    /// A note in a Parquet file's metadata, if it has one of this name.
    pub(crate) fn parquet_note(path: &Path, key: &str) -> Result<Option<String>> {
        let metadata = untrusted::metadata(path)?;
        let notes = metadata.file_metadata().key_value_metadata();
        let note = notes.and_then(|notes| notes.iter().find(|note| note.key == key));
        Ok(note.and_then(|note| note.value.clone()))
    }

    fn encode_csv(&self, file: &mut File) -> Result<()> {
        ::arrow::csv::Writer::new(file).write(&self.batch).map_err(arrow)
    }

    fn encode_json(&self, file: &mut File) -> Result<()> {
        let mut writer = ::arrow::json::ArrayWriter::new(&mut *file);
        writer.write(&self.batch).map_err(arrow)?;
        writer.finish().map_err(arrow)?;
        drop(writer);
        file.write_all(b"\n").map_err(|error| Error::io("the JSON file", error))
    }
}

/// Temporary files are private; results are as readable as any new file.
fn make_readable(file: &File, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o644);
    file.set_permissions(permissions).map_err(|error| Error::io(path, error))
}

/// Adds a text column for every folder `key=value` above a file, unless the file has it.
fn with_folders(mut table: Table, path: &Path) -> Result<Table> {
    // The nearest folder of a key is the one that counts.
    for folder in path.ancestors().skip(1).filter_map(Path::file_name) {
        let folder = folder.to_string_lossy();
        let Some((key, value)) = folder.split_once('=') else { continue };
        if !key.is_empty() && table.batch.column_by_name(key).is_none() {
            let values: ArrayRef = Arc::new(StringArray::from_iter_values((0..table.len()).map(|_| value)));
            table = table.with_column(key, values)?;
        }
    }
    Ok(table)
}

fn names(schema: &Schema) -> String {
    schema.fields().iter().map(|field: &Arc<Field>| field.name().as_str()).collect::<Vec<_>>().join(", ")
}
