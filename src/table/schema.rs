//! Names of column types, as tables show them.

use arrow::datatypes::{DataType, TimeUnit};

/// A short name of a column type.
pub fn type_name(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "bool",
        DataType::Float64 => "float64",
        DataType::Float32 => "float32",
        DataType::Int64 => "int64",
        DataType::Int32 => "int32",
        DataType::UInt64 => "uint64",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Timestamp(TimeUnit::Microsecond, _) => "time",
        DataType::List(_) | DataType::LargeList(_) => "list",
        DataType::Struct(_) => "struct",
        DataType::Null => "null",
        kind if kind.is_integer() => "integer",
        kind if kind.is_temporal() => "time",
        _ => "other",
    }
}
