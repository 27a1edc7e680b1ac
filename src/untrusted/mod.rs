//! Parquet files from anywhere, also damaged and malicious ones.
//!
//! Parquet is a compressed format whose headers say how much comes: a file of a few bytes may
//! claim, or really unpack to, any amount. The reader of the `parquet` crate believes what headers
//! say when it allocates. So everything that it will allocate by is looked at before ([`footer`],
//! [`pages`], [`delta`]) and compared with what a file of this length may hold ([`mod@allowance`]);
//! what is unpacked is counted as it comes ([`Batches`]). Every reader of Parquet opens files here,
//! and checksums are checked here ([`seal`]).

mod allowance;
mod delta;
mod durations;
mod footer;
mod input;
mod pages;
pub(crate) mod seal;
mod thrift;

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

pub(crate) use self::allowance::allowance;
use self::allowance::{Checked, too_much};
use self::input::Input;
use crate::error::{Error, Result, guarded};

/// Bytes of one batch, at most, as far as the headers tell.
const BATCH: u64 = 64 << 20;

/// A Parquet file whose headers were found sound.
pub(crate) struct Opened {
    path: PathBuf,
    length: u64,
    builder: ParquetRecordBatchReaderBuilder<Input>,
    weights: pages::Weights,
    /// The columns, with durations.
    schema: SchemaRef,
}

/// Opens a file and checks its headers.
pub(crate) fn open(path: &Path) -> Result<Opened> {
    open_file(path, crate::door::open(path, u64::MAX)?.0)
}

/// Checks the headers of a file that is open; the path is for messages.
pub(crate) fn open_file(path: &Path, file: File) -> Result<Opened> {
    guarded(path, || {
        let input = input(path, file)?;
        let fail = |error: String| not_readable(path, &error);
        footer::check(&input).map_err(fail)?;
        // What Arrow's own schema adds in a file's notes (views, dictionaries, lists of fixed
        // length) are ways to say much in few bytes. The columns' types are Parquet's, which has
        // all but durations.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&input, options).map_err(|error| fail(error.to_string()))?;
        unpackable(metadata.metadata())
            .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
        let weights = pages::check(&input, metadata.metadata()).map_err(fail)?;
        let schema = durations::named(metadata.metadata(), metadata.schema());
        let length = input.length();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata);
        Ok(Opened { path: path.to_owned(), length, builder, weights, schema })
    })
}

/// A file whose bytes are those that were written, as far as it says what those were.
fn input(path: &Path, file: File) -> Result<Input> {
    let input = Input::of(path, file)?;
    seal::check(&input).map_err(|error| {
        crate::interrupt::check()
            .err()
            .unwrap_or_else(|| Error::invalid(format!("{}: {error}", path.display())))
    })?;
    Ok(input)
}

/// The metadata of an open file alone; the path is for messages.
pub(crate) fn metadata(path: &Path, file: File) -> Result<ParquetMetaData> {
    guarded(path, || {
        let input = input(path, file)?;
        footer::check(&input).map_err(|error| not_readable(path, &error))?;
        ParquetMetaDataReader::new()
            .parse_and_finish(&input)
            .map_err(|error| not_readable(path, &error.to_string()))
    })
}

/// Whether kelvin knows how the columns are packed.
fn unpackable(metadata: &ParquetMetaData) -> Checked<()> {
    for chunk in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let codec = match chunk.compression() {
            Compression::BROTLI(_) => "brotli",
            Compression::LZO => "LZO",
            _ => continue,
        };
        return Err(format!(
            "column `{}` is packed with {codec}, which kelvin does not read; write the file anew with zstd",
            chunk.column_path().string()
        ));
    }
    Ok(())
}

fn not_readable(path: &Path, error: &str) -> Error {
    // The crate's words for a page whose checksum does not fit.
    if error.contains("CRC checksum mismatch") {
        return Error::invalid(format!("{}: {}", path.display(), seal::DAMAGED));
    }
    Error::invalid(format!("{}: not a readable Parquet file: {error}", path.display()))
}

impl Opened {
    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows it claims to have.
    pub(crate) fn rows(&self) -> u64 {
        self.builder
            .metadata()
            .row_groups()
            .iter()
            .fold(0, |sum, group| sum.saturating_add(group.num_rows().max(0) as u64))
    }

    /// How long the file is.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads these columns in batches of so many rows or, where rows may be long, fewer.
    pub(crate) fn batches(self, columns: &[usize], rows: usize) -> Result<Batches> {
        let Self { path, length, builder, weights, schema } = self;
        let fits = BATCH / weights.row().max(1);
        // Buffers are as long as a batch, filled or not.
        let rows = (rows as u64).min(fits).max(1) as usize;
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
        let reader = guarded(&path, || {
            let builder = builder.with_projection(mask).with_batch_size(rows);
            builder.build().map_err(|error| not_readable(&path, &error.to_string()))
        })?;
        Ok(Batches { path, reader, left: allowance(length), length, schema })
    }
}

/// The rows of a file, part by part.
pub(crate) struct Batches {
    path: PathBuf,
    length: u64,
    reader: ParquetRecordBatchReader,
    /// The file's columns, with durations.
    schema: SchemaRef,
    /// Bytes that may still come.
    left: u64,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { path, reader, .. } = self;
        let batch = guarded(path, || {
            crate::interrupt::check()?;
            reader.next().transpose().map_err(|error| not_readable(path, &error.to_string()))
        });
        let batch = batch.transpose()?.and_then(|batch| {
            let bytes = batch.get_array_memory_size() as u64;
            self.left = self.left.checked_sub(bytes).ok_or_else(|| {
                not_readable(&self.path, &too_much("its rows", allowance(self.length) + 1, self.length))
            })?;
            durations::of(&batch, &self.schema).map_err(|error| not_readable(&self.path, &error))
        });
        Some(batch)
    }
}
