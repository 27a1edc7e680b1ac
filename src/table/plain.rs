//! One type for one meaning: other programs encode a column in many ways, and tables know one of each.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema};

use super::arrow;
use crate::error::Result;

/// The type that tables use for a column of this one: text for dictionaries (categories, enumerations) and every
/// other encoding of text, UTC for times with a zone.
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

/// A batch for the SQL engine, whose comparisons go by bits: there is one zero and one NaN, which is
/// equal to itself and greater than every number, as in DuckDB. A column without a type is one of numbers.
pub(super) fn comparable_batch(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Float64 => Ok(one_zero::<Float64Type>(column, |x| x.to_bits() == 1 << 63, f64::NAN)),
            DataType::Float32 => Ok(one_zero::<Float32Type>(column, |x| x.to_bits() == 1 << 31, f32::NAN)),
            DataType::Null => cast(column, &DataType::Float64),
            _ => Ok(Arc::clone(column)),
        })
        .collect::<std::result::Result<_, _>>()
        .map_err(arrow)?;
    let fields = batch.schema_ref().fields().iter().zip(&columns);
    let fields =
        fields.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
    with_rows(fields.collect(), columns, batch.num_rows())
}

/// The column, copied only where it holds a negative zero or NaN.
fn one_zero<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    is_negative_zero: impl Fn(T::Native) -> bool,
    nan: T::Native,
) -> ArrayRef
where
    T::Native: Copy + PartialEq + Default,
{
    // Only NaN differs from itself.
    #[allow(clippy::eq_op)]
    let is_nan = |x: T::Native| x != x;
    let floats = column.as_primitive::<T>();
    if !floats.values().iter().any(|&x| is_nan(x) || is_negative_zero(x)) {
        return Arc::clone(column);
    }
    let one = |x| match x {
        x if is_nan(x) => nan,
        x if is_negative_zero(x) => T::Native::default(),
        x => x,
    };
    let changed: PrimitiveArray<T> = floats.unary(one);
    Arc::new(changed)
}

/// A batch that knows its rows even without columns.
pub(super) fn with_rows(fields: Vec<Field>, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = ::arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(arrow)
}
