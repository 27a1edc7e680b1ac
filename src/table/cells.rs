//! Single values of a table.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, NullArray, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, Result};

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text; values of other types come as their text.
    Text(String),
}

impl Cell {
    /// A float; no value where it is not a number.
    pub fn number(value: f64) -> Self {
        if value.is_nan() { Self::Null } else { Self::Float(value) }
    }

    /// The value of a column at a row, which must exist.
    pub fn of(column: &ArrayRef, row: usize) -> Self {
        Self::all(&column.slice(row, 1)).pop().unwrap_or(Self::Null)
    }

    /// The values of a column.
    pub fn all(column: &ArrayRef) -> Vec<Self> {
        let kind = column.data_type();
        let cells = |value: &dyn Fn(usize) -> Self| {
            let cell = |row| if column.is_null(row) { Self::Null } else { value(row) };
            (0..column.len()).map(cell).collect()
        };
        if *kind == DataType::Null {
            return vec![Self::Null; column.len()];
        }
        if *kind == DataType::Boolean {
            return cells(&|row| Self::Bool(column.as_boolean().value(row)));
        }
        if *kind == DataType::Utf8 {
            return cells(&|row| Self::Text(column.as_string::<i32>().value(row).to_owned()));
        }
        // Of the integers only uint64 has values that do not fit; these come as floats.
        if kind.is_integer()
            && let Ok(integers) = cast(column, &DataType::Int64)
            && integers.null_count() == column.null_count()
        {
            let integers = integers.as_primitive::<Int64Type>();
            return cells(&|row| Self::Int(integers.value(row)));
        }
        if kind.is_numeric()
            && let Ok(floats) = cast(column, &DataType::Float64)
        {
            let floats = floats.as_primitive::<Float64Type>();
            return cells(&|row| Self::Float(floats.value(row)));
        }
        let options = FormatOptions::default().with_null("null");
        match ArrayFormatter::try_new(column, &options) {
            Ok(texts) => cells(&|row| Self::Text(texts.value(row).to_string())),
            Err(error) => cells(&|_| Self::Text(error.to_string())),
        }
    }
}

/// A column of cells.
pub(super) fn array(name: &str, cells: &[Cell]) -> Result<ArrayRef> {
    let has = |fits: fn(&Cell) -> bool| cells.iter().any(fits);
    let kinds = [
        has(|cell| matches!(cell, Cell::Bool(_))),
        has(|cell| matches!(cell, Cell::Int(_) | Cell::Float(_))),
        has(|cell| matches!(cell, Cell::Text(_))),
    ];
    if kinds.iter().filter(|&&kind| kind).count() > 1 {
        return Err(Error::invalid(format!(
            "column `{name}` mixes numbers, text and truth values; expected one of them in every row"
        )));
    }
    let is_float = has(|cell| matches!(cell, Cell::Float(_)));
    Ok(match kinds {
        [true, ..] => Arc::new(BooleanArray::from_iter(cells.iter().map(|cell| match cell {
            Cell::Bool(value) => Some(*value),
            _ => None,
        }))),
        [_, true, _] if is_float => Arc::new(Float64Array::from_iter(cells.iter().map(|cell| match cell {
            Cell::Float(value) => Some(*value),
            Cell::Int(value) => Some(*value as f64),
            _ => None,
        }))),
        [_, true, _] => Arc::new(Int64Array::from_iter(cells.iter().map(|cell| match cell {
            Cell::Int(value) => Some(*value),
            _ => None,
        }))),
        [_, _, false] => Arc::new(NullArray::new(cells.len())),
        _ => Arc::new(StringArray::from_iter(cells.iter().map(|cell| match cell {
            Cell::Text(value) => Some(value),
            _ => None,
        }))),
    })
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{}", number(*value)),
            Self::Text(value) => write!(f, "{value}"),
        }
    }
}

/// A float as people read it: six significant digits, an exponent only where it is shorter.
pub fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let exponent = value.abs().log10().floor() as i32;
    if (-4..9).contains(&exponent) {
        let text = format!("{value:.*}", (5 - exponent).max(0) as usize);
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        text.to_owned()
    } else {
        let text = format!("{value:.5e}");
        match text.split_once('e') {
            Some((digits, power)) => {
                let digits = if digits.contains('.') {
                    digits.trim_end_matches('0').trim_end_matches('.')
                } else {
                    digits
                };
                format!("{digits}e{power}")
            }
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_short_and_exact_enough() {
        for (value, text) in [
            (0.025, "0.025"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.333333"),
            (2e-5, "2e-5"),
            (0.0015625, "0.0015625"),
            (1500.0, "1500"),
            (123456789.0, "123456789"),
            (1.5e12, "1.5e12"),
            (-0.00012345678, "-0.000123457"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
