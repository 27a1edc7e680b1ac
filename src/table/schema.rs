//! Types of columns: their names, as tables show them, and which hold the values of two.

use arrow::datatypes::{DataType, TimeUnit};

/// A short name of a column type.
pub fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "bool".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytes".to_owned()
        }
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Timestamp(_, Some(_)) => "time (UTC)".to_owned(),
        DataType::Timestamp(_, None) => "time".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time of day".to_owned(),
        DataType::Duration(_) | DataType::Interval(_) => "duration".to_owned(),
        DataType::Null => "null".to_owned(),
        DataType::Struct(_) => "struct".to_owned(),
        DataType::Map(..) => "map".to_owned(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("list of {}", type_name(item.data_type()))
        }
        kind if kind.is_decimal() => "decimal".to_owned(),
        // int64, uint8, float32, …
        kind => kind.to_string().to_lowercase(),
    }
}

/// The type that holds the values of both: integers of different width and sign as integers, other
/// numbers of different types as `float64`, times in the finer unit. None where there is no such
/// type: text and numbers, for instance.
pub fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{
        Date32, Date64, Duration, Float64, Int64, LargeUtf8, Null, Time32, Time64, Timestamp, Utf8,
    };
    Some(match (a, b) {
        (a, b) if a == b => a.clone(),
        (Null, kind) | (kind, Null) => kind.clone(),
        (a, b) if a.is_integer() && b.is_integer() => {
            let wider = if a.primitive_width() >= b.primitive_width() { a } else { b };
            if a.is_signed_integer() == b.is_signed_integer() { wider.clone() } else { Int64 }
        }
        (a, b) if a.is_numeric() && b.is_numeric() => Float64,
        (Utf8, LargeUtf8) | (LargeUtf8, Utf8) => LargeUtf8,
        (Timestamp(a, zone), Timestamp(b, other)) if zone == other => Timestamp(finer(*a, *b), zone.clone()),
        (Date32 | Date64, Timestamp(unit, None)) | (Timestamp(unit, None), Date32 | Date64) => {
            Timestamp(*unit, None)
        }
        (Date32, Date64) | (Date64, Date32) => Date32,
        (Duration(a), Duration(b)) => Duration(finer(*a, *b)),
        (Time32(_) | Time64(_), Time32(_) | Time64(_)) => Time64(TimeUnit::Nanosecond),
        _ => return None,
    })
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    a.max(b)
}

/// Whether values of both types can be equal: numbers, texts, times, and so on among themselves.
pub(super) fn comparable(a: &DataType, b: &DataType) -> bool {
    common(a, b).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_types_have_a_common_one_or_none() {
        use DataType::{
            Boolean, Decimal128, Float32, Float64, Int8, Int32, Int64, Null, UInt8, UInt16, UInt64, Utf8,
        };
        for (a, b, wanted) in [
            (Int8, Int32, Some(Int32)),
            (UInt8, UInt16, Some(UInt16)),
            (UInt64, Int32, Some(Int64)),
            (Int64, Float32, Some(Float64)),
            (Float32, Float64, Some(Float64)),
            (Decimal128(10, 2), Int64, Some(Float64)),
            (Null, Utf8, Some(Utf8)),
            (Utf8, Int64, None),
            (Boolean, Int64, None),
        ] {
            assert_eq!(common(&a, &b), wanted, "{a} and {b}");
            assert_eq!(common(&b, &a), wanted, "{b} and {a}");
        }
        let micro = DataType::Timestamp(TimeUnit::Microsecond, None);
        let nano = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert_eq!(common(&micro, &nano), Some(nano));
        assert_eq!(type_name(&DataType::new_list(Float32, true)), "list of float32");
        assert_eq!(type_name(&UInt8), "uint8");
    }
}
