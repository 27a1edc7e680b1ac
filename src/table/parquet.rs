//! Tables in files: Parquet in and out, CSV and JSON out.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowWriterOptions, PageKey, PageStore, PageStoreArgs, PageStoreFactory, compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result as Encoded};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::operations::quote;
use super::plain::{plain_batch, with_rows};
use super::{Cell, Table, arrow, folders};
use crate::error::{Error, Result};
use crate::files::Writer;
use crate::untrusted;
use crate::untrusted::seal::{self, Sealing};

/// Tables of fewer cells are small.
const SMALL: usize = 1 << 18;

/// Rows of a row group, at most.
const GROUP: usize = 1 << 20;

/// Rows that are decoded at once, at most.
const LONGEST_BATCH: u64 = 1 << 16;

impl Table {
    /// Reads one Parquet file. Folders named `key=value` above it become columns, as other readers
    /// understand them.
    pub fn read_parquet(path: &Path) -> Result<Self> {
        Self::read_all(&[path.to_owned()])
    }

    /// Reads these columns, as far as they are there, of one open Parquet file, and nothing of the
    /// folders above it. The path is for messages.
    pub(crate) fn read_columns(path: &Path, file: File, wanted: &Schema) -> Result<Self> {
        let is_wanted = |name: &str| wanted.index_of(name).is_ok();
        crate::error::guarded(path, || read_opened(untrusted::open_file(path, file)?, is_wanted))
    }

    /// Reads Parquet files: a file, a folder (with the folders in it), or a glob. Columns go by
    /// name: what a file lacks is null there, numbers of different types become ones that hold
    /// both. What is in a folder and is no data, as Spark's `_SUCCESS`, is left out.
    pub fn read_parquet_files(path: &str) -> Result<Self> {
        Self::read_all(&folders::files(path)?)
    }

    fn read_all(files: &[PathBuf]) -> Result<Self> {
        let mut tables = Vec::new();
        // Many files together may not unpack to more than one of their length.
        let (mut length, mut bytes) = (0u64, 0u64);
        for file in files {
            crate::interrupt::check()?;
            let table = crate::error::guarded(file, || read_file(file, |_| true))?;
            folders::check_compact(file, &table)?;
            length += std::fs::metadata(file).map_err(|error| Error::io(file, error))?.len();
            bytes += table.batch.get_array_memory_size() as u64;
            if bytes > untrusted::allowance(length) {
                return Err(Error::invalid(format!(
                    "{}: with the files before it, {} MB of rows in {length} bytes; so many bytes may unpack to {} MB",
                    file.display(),
                    bytes / 1_000_000,
                    untrusted::allowance(length) / 1_000_000
                )));
            }
            tables.push(table);
        }
        let keys: Vec<Vec<(String, Option<String>)>> = files.iter().map(|file| folders::keys(file)).collect();
        // A key's type is that of its values in all files.
        let type_of = |key: &str| {
            let of_key = keys.iter().flatten().filter(|(name, _)| name == key);
            folders::type_of(key, of_key.filter_map(|(_, value)| value.as_deref()))
        };
        for (table, keys) in tables.iter_mut().zip(&keys) {
            for (key, value) in keys {
                // A column of the file itself comes before a folder's name.
                if table.batch.column_by_name(key).is_none() {
                    let values = folders::constant(value.as_deref(), &type_of(key), table.len());
                    *table = table.with_column(key, values)?;
                }
            }
        }
        if let [table] = &tables[..] {
            return Ok(table.clone());
        }
        let named: Vec<_> = files.iter().map(|file| file.to_string_lossy()).zip(&tables).collect();
        Self::unite(&named)
    }

    /// Writes a file of the kind that its ending names: `.parquet`, `.csv` or `.json` (an array of
    /// objects). It appears whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        let encode = match ending.as_str() {
            "parquet" => |table: &Self, file: &mut Writer| table.encode_parquet(file, &[]),
            "csv" => Self::encode_csv,
            "json" => Self::encode_json,
            _ => {
                return Err(Error::invalid(format!(
                    "{}: expected a file name that ends in .parquet, .csv or .json",
                    path.display()
                )));
            }
        };
        if ending != "json" {
            self.check_case(path)?;
        }
        if self.batch.num_columns() == 0 {
            return Err(Error::invalid(format!(
                "{}: expected a table with at least one column, found none; there is no such file",
                path.display()
            )));
        }
        crate::files::write(path, |file| encode(self, file))
    }

    /// Refuses names that differ by case only: to DuckDB and others they are one name.
    fn check_case(&self, path: &Path) -> Result<()> {
        let mut known: HashMap<String, &str> = HashMap::new();
        for name in self.columns() {
            let other = *known.entry(name.to_lowercase()).or_insert(name);
            if other != name {
                return Err(Error::invalid(format!(
                    "{}: the names `{other}` and `{name}` differ by case only, and many readers take one for the \
                     other; rename one: .select([\"{} as other\", …])",
                    path.display(),
                    quote(name).replace('"', "\\\"")
                )));
            }
        }
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
            // The pages of a small file are read together: nobody looks for one.
            .set_statistics_enabled(if small { EnabledStatistics::Chunk } else { EnabledStatistics::Page })
            .set_created_by(format!("kelvin {}", env!("CARGO_PKG_VERSION")))
            .build();
        // Arrow's own schema comes along only where it says more.
        let is_told = self.batch.schema_ref().fields().iter().all(|field| is_of_parquet(field.data_type()));
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(is_told);
        let fail = |error: ParquetError| Error::invalid(format!("writing Parquet: {error}"));
        self.seal_parquet(file, options).map_err(fail)
    }

    /// Writes row groups whose pages have checksums, and the seal. The crate writes neither, so its
    /// pages are taken as they come from the encoder.
    fn seal_parquet(&self, file: impl Write + Send, options: ArrowWriterOptions) -> Encoded<()> {
        let taken = Arc::new(Taken::default());
        let options = options.with_page_store_factory(Arc::clone(&taken) as _);
        let writer = ArrowWriter::try_new_with_options(Sealing::new(file), self.batch.schema(), options)?;
        let (mut file, factory) = writer.into_serialized_writer()?;
        for (index, start) in (0..self.len()).step_by(GROUP).enumerate() {
            let rows = self.batch.slice(start, GROUP.min(self.len() - start));
            let writers = factory.create_column_writers(index)?;
            let columns = taken.columns();
            let mut leaves = Vec::with_capacity(writers.len());
            for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
                leaves.extend(compute_leaves(field, column)?);
            }
            let mut group = file.next_row_group()?;
            for ((mut writer, leaf), column) in writers.into_iter().zip(leaves).zip(columns) {
                writer.write(&leaf)?;
                let mut close = writer.close()?.close().clone();
                let pages = seal::with_sums(&column.pages())
                    .ok_or_else(|| ParquetError::General("a page without a header".to_owned()))?;
                close.metadata = seal::moved(close.metadata, &pages)?;
                close.bytes_written = pages.bytes.len() as u64;
                if let Some(index) = &mut close.offset_index {
                    let mut offset = pages.dictionary as i64;
                    for (location, &length) in index.page_locations.iter_mut().zip(&pages.lengths) {
                        (location.offset, location.compressed_page_size) = (offset, length as i32);
                        offset += length as i64;
                    }
                }
                group.append_column(&pages.bytes, close)?;
            }
            group.close()?;
        }
        file.flush()?;
        file.inner_mut().begin_end();
        Ok(file.into_inner()?.finish()?)
    }

    /// A note in an open Parquet file's metadata, if it has one of this name. The path is for
    /// messages.
    pub(crate) fn parquet_note(path: &Path, file: File, key: &str) -> Result<Option<String>> {
        let metadata = untrusted::metadata(path, file)?;
        let notes = metadata.file_metadata().key_value_metadata();
        let note = notes.and_then(|notes| notes.iter().find(|note| note.key == key));
        Ok(note.and_then(|note| note.value.clone()))
    }

    fn encode_csv(&self, file: &mut Writer) -> Result<()> {
        let flat = self.flat()?;
        let options = FormatOptions::default();
        let columns = flat.batch.columns().iter().map(|column| {
            let format = ArrayFormatter::try_new(column, &options).map_err(arrow)?;
            Ok((column, format, matches!(column.data_type(), DataType::Utf8)))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let fail = |error| Error::io("the CSV file", error);
        let names: Vec<String> = flat.columns().into_iter().map(csv_text).collect();
        writeln!(file, "{}", names.join(",")).map_err(fail)?;
        for row in 0..flat.len() {
            if row % 4096 == 0 {
                crate::interrupt::check()?;
            }
            for (at, (column, format, is_text)) in columns.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                // The formatter's text of a null is empty.
                let value = format.value(row).try_to_string().map_err(arrow)?;
                // An empty text is `""`, a null nothing.
                let value = if *is_text && column.is_valid(row) { csv_text(&value) } else { value };
                write!(file, "{comma}{value}").map_err(fail)?;
            }
            writeln!(file).map_err(fail)?;
        }
        Ok(())
    }

    /// With the columns that CSV cannot hold, lists for instance, as text.
    fn flat(&self) -> Result<Self> {
        let fields = self.batch.schema_ref().fields();
        let columns = fields.iter().zip(self.batch.columns()).map(|(field, column)| {
            let text = field.data_type().is_nested().then(|| {
                let cells = Cell::all(column).into_iter();
                cells.map(|cell| if cell == Cell::Null { None } else { Some(cell.to_string()) }).collect()
            });
            let column =
                text.map_or_else(|| Arc::clone(column), |text: StringArray| Arc::new(text) as ArrayRef);
            (Field::new(field.name(), column.data_type().clone(), true), column)
        });
        let (fields, columns) = columns.unzip();
        Ok(Self { batch: with_rows(fields, columns, self.len())? })
    }

    fn encode_json(&self, file: &mut Writer) -> Result<()> {
        // A null is written, too: every object has every column.
        let mut writer = ::arrow::json::WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, ::arrow::json::writer::JsonArray>(&mut *file);
        writer.write(&self.batch).map_err(arrow)?;
        writer.finish().map_err(arrow)?;
        drop(writer);
        file.write_all(b"\n").map_err(|error| Error::io("the JSON file", error))
    }
}

/// The pages of the columns of a row group, as they come from the encoder.
#[derive(Debug, Default)]
struct Taken(Mutex<Vec<ColumnBytes>>);

/// Those of one column.
#[derive(Clone, Debug, Default)]
struct ColumnBytes(Arc<Mutex<Vec<Bytes>>>);

impl Taken {
    /// The columns since the last call.
    fn columns(&self) -> Vec<ColumnBytes> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ColumnBytes {
    /// Headers and contents; the encoder puts one after the other.
    fn pages(&self) -> Vec<(Bytes, Bytes)> {
        let parts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        parts.chunks_exact(2).map(|page| (page[0].clone(), page[1].clone())).collect()
    }
}

impl PageStoreFactory for Taken {
    fn create(&self, _: &PageStoreArgs<'_>) -> Encoded<Box<dyn PageStore>> {
        let column = ColumnBytes::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(column.clone());
        Ok(Box::new(column))
    }
}

impl PageStore for ColumnBytes {
    fn put(&mut self, value: Bytes) -> Encoded<PageKey> {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.push(value);
        Ok(PageKey::new(parts.len() as u64 - 1))
    }

    fn take(&mut self, _: PageKey) -> Encoded<Bytes> {
        Err(ParquetError::General("pages are taken as a whole".to_owned()))
    }
}

fn read_file(path: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Table> {
    read_opened(untrusted::open(path)?, is_wanted)
}

fn read_opened(file: untrusted::Opened, is_wanted: impl Fn(&str) -> bool) -> Result<Table> {
    let fields = file.schema().fields().iter();
    let wanted: Vec<usize> =
        fields.enumerate().filter(|(_, field)| is_wanted(field.name())).map(|(index, _)| index).collect();
    let schema = file.schema().project(&wanted).map_err(arrow)?;
    let rows = file.rows().clamp(1, LONGEST_BATCH) as usize;
    // Plain types first: dictionaries of several batches need not fit one. The schema of the file's
    // metadata (pandas' index, for instance) is not the table's.
    let plain = file.batches(&wanted, rows)?.map(|batch| plain_batch(&batch?)).collect::<Result<Vec<_>>>()?;
    let schema = match plain.first() {
        Some(batch) => batch.schema(),
        None => plain_batch(&RecordBatch::new_empty(Arc::new(schema)))?.schema(),
    };
    Table::concat(&distinct(&schema), plain)
}

/// A name for every column: the second `x` is called `x_1`, as in DuckDB.
fn distinct(schema: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::new();
    for field in schema.fields() {
        let is_taken = |name: &str, fields: &[Field]| fields.iter().any(|field| field.name() == name);
        let mut name = field.name().clone();
        let mut number = 0;
        while is_taken(&name, &fields) || (number > 0 && schema.index_of(&name).is_ok()) {
            number += 1;
            name = format!("{}_{number}", field.name());
        }
        fields.push(field.as_ref().clone().with_name(name));
    }
    Arc::new(Schema::new(fields))
}

/// A text as CSV holds it.
fn csv_text(text: &str) -> String {
    match text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Whether Parquet has this type: not so durations, and times in seconds, for instance.
fn is_of_parquet(kind: &DataType) -> bool {
    use DataType::{Boolean, Date32, Float32, Float64, Int32, Int64, Timestamp, Utf8};
    match kind {
        Timestamp(unit, _) => *unit != TimeUnit::Second,
        kind => matches!(kind, Boolean | Int32 | Int64 | Float32 | Float64 | Utf8 | Date32),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn names_that_differ_by_case_only_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let table = |names: [&str; 3]| {
            let cells = vec![vec![super::Cell::Int(1)]; 3];
            Table::from_cells(&names.map(str::to_owned), &cells).unwrap()
        };
        for (names, pair) in [(["gap", "lr", "Gap"], ["gap", "Gap"]), (["a b", "Ä", "ä"], ["Ä", "ä"])] {
            for ending in ["parquet", "csv"] {
                let path = folder.path().join(format!("t.{ending}"));
                let error = table(names).write(&path).unwrap_err().to_string();
                let told = format!("`{}` and `{}` differ by case only", pair[0], pair[1]);
                assert!(error.contains(&told), "{error}");
                assert!(!path.exists());
            }
            // Keys of JSON are told apart by everybody.
            table(names).write(&folder.path().join("t.json")).unwrap();
        }
        table(["gap", "lr", "gaps"]).write(&folder.path().join("t.parquet")).unwrap();
    }

    /// As pandas does not write them, and pyarrow does.
    #[test]
    fn columns_of_one_name_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("twice.parquet");
        let names = ["x", "x_1", "x", "y", "x"];
        let columns = (0..5).map(|n| Arc::new(Int64Array::from(vec![n])) as ArrayRef).collect();
        let fields = names.map(|name| Field::new(name, DataType::Int64, true)).to_vec();
        Table::new(with_rows(fields, columns, 1).unwrap()).write(&path).unwrap();
        let table = Table::read_parquet(&path).unwrap();
        assert_eq!(table.columns(), ["x", "x_1", "x_2", "y", "x_3"]);
        let values: Vec<f64> =
            table.columns().into_iter().map(|name| table.floats(name).unwrap()[0]).collect();
        assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(table.filter("x_3 = 4").unwrap().len(), 1);
    }
}
