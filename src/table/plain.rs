//! One type for one meaning: other programs encode a column in many ways, and tables know one of
//! each.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};

use crate::error::{Error, Result};

/// Arrow's errors say which column or type; they need no more.
pub(super) fn arrow(error: arrow::error::ArrowError) -> Error {
    Error::invalid(error.to_string())
}

/// The type that tables use for a column of this one: text for dictionaries (categories,
/// enumerations) and every other encoding of text, UTC for times with a zone.
fn plain(kind: &DataType) -> DataType {
    use DataType::{
        Binary, BinaryView, Decimal32, Decimal64, Decimal128, Dictionary, Float16, Float32, LargeBinary,
        LargeUtf8, RunEndEncoded, Timestamp, Utf8, Utf8View,
    };
    match kind {
        Dictionary(_, values) => plain(values),
        RunEndEncoded(_, values) => plain(values.data_type()),
        LargeUtf8 | Utf8View => Utf8,
        LargeBinary | BinaryView => Binary,
        Float16 => Float32,
        Decimal32(precision, scale) | Decimal64(precision, scale) => Decimal128(*precision, *scale),
        // The values are in UTC whatever the zone's name, which only says how to show them.
        Timestamp(unit, Some(_)) => Timestamp(*unit, Some("+00:00".into())),
        kind => kind.clone(),
    }
}

/// A batch with columns of plain types, each of which may hold nulls.
pub(super) fn plain_batch(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema_ref();
    let is_plain = |field: &Arc<Field>| {
        field.is_nullable() && field.metadata().is_empty() && plain(field.data_type()) == *field.data_type()
    };
    if schema.metadata().is_empty() && schema.fields().iter().all(is_plain) {
        return Ok(batch.clone());
    }
    let convert = |(field, column): (&Arc<Field>, &ArrayRef)| {
        let kind = plain(field.data_type());
        let column = if kind == *field.data_type() { Arc::clone(column) } else { cast(column, &kind)? };
        Ok((Field::new(field.name(), kind, true), column))
    };
    let columns = schema.fields().iter().zip(batch.columns()).map(convert);
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) =
        columns.collect::<std::result::Result<Vec<_>, _>>().map_err(arrow)?.into_iter().unzip();
    with_rows(fields, columns, batch.num_rows())
}

/// A batch for the SQL engine: a column without a type is one of numbers.
pub(super) fn typed_batch(batch: &RecordBatch) -> Result<RecordBatch> {
    let is_typed = |field: &Arc<Field>| *field.data_type() != DataType::Null;
    if batch.schema_ref().fields().iter().all(is_typed) {
        return Ok(batch.clone());
    }
    let typed = |(field, column): (&Arc<Field>, &ArrayRef)| {
        let kind = if is_typed(field) { field.data_type().clone() } else { DataType::Float64 };
        let column = if is_typed(field) { Arc::clone(column) } else { cast(column, &kind)? };
        Ok((field.as_ref().clone().with_data_type(kind), column))
    };
    let columns = batch.schema_ref().fields().iter().zip(batch.columns()).map(typed);
    let (fields, columns) =
        columns.collect::<std::result::Result<Vec<_>, _>>().map_err(arrow)?.into_iter().unzip();
    with_rows(fields, columns, batch.num_rows())
}

/// A batch that knows its rows even without columns.
pub(super) fn with_rows(fields: Vec<Field>, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = ::arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(arrow)
}
