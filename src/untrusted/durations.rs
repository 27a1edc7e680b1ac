//! Durations: Parquet has no type for them. Arrow's writers store integers, and the unit in the
//! schema of their own that they add to a file's notes. Nothing else is taken from there.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, parquet_to_arrow_schema};
use parquet::file::metadata::{KeyValue, ParquetMetaData};

use super::Checked;

/// Columns as Parquet types them, where the notes name a duration as such.
pub(super) fn named(metadata: &ParquetMetaData, columns: &SchemaRef) -> SchemaRef {
    let about = metadata.file_metadata();
    let is_noted = |notes: &Vec<KeyValue>| notes.iter().any(|note| note.key == ARROW_SCHEMA_META_KEY);
    if !about.key_value_metadata().is_some_and(is_noted) {
        return Arc::clone(columns);
    }
    // Notes that cannot be read name nothing.
    let Ok(noted) = parquet_to_arrow_schema(about.schema_descr(), about.key_value_metadata()) else {
        return Arc::clone(columns);
    };
    if noted.fields().len() != columns.fields().len() {
        return Arc::clone(columns);
    }
    let fields = columns.fields().iter().zip(noted.fields()).map(|(column, noted)| {
        match (column.data_type(), noted.data_type()) {
            (DataType::Int64, DataType::Duration(_)) => {
                Arc::new(column.as_ref().clone().with_data_type(noted.data_type().clone()))
            }
            _ => Arc::clone(column),
        }
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), columns.metadata().clone()))
}

/// Some of a file's columns, the durations among them as such.
pub(super) fn of(batch: &RecordBatch, named: &Schema) -> Checked<RecordBatch> {
    let is_duration = |kind: &DataType| matches!(kind, DataType::Duration(_));
    if !named.fields().iter().any(|field| is_duration(field.data_type())) {
        return Ok(batch.clone());
    }
    let own = batch.schema();
    let fields: Vec<_> = own
        .fields()
        .iter()
        .map(|field| {
            let known = named.fields().iter().find(|known| known.name() == field.name());
            Arc::clone(known.filter(|known| is_duration(known.data_type())).unwrap_or(field))
        })
        .collect();
    let columns = batch.columns().iter().zip(&fields).map(|(column, field)| cast(column, field.data_type()));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let schema = Arc::new(Schema::new_with_metadata(fields, own.metadata().clone()));
    RecordBatch::try_new_with_options(schema, columns, &row_count(batch)).map_err(|error| error.to_string())
}

/// A batch without columns has rows, too.
fn row_count(batch: &RecordBatch) -> arrow::array::RecordBatchOptions {
    arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()))
}
