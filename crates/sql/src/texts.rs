//! Functions that make long texts of short ones. The engine makes them, whatever their length; here
//! their length is bounded before they are made.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::length::length;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::config::ConfigOptions;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

/// Bytes that a function may make at once, of all rows that it is given together (8192 at most).
const MOST: u64 = 256 << 20;

/// How long a function's result can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// `repeat(text, times)`
    Times,
    /// `lpad(text, characters, filling)`
    Padding,
    /// `replace(text, of, with)`: at most `with` before each byte and at the end.
    Replacing,
    /// The arguments together, each as often as it may come.
    Together,
}

/// The functions that are bounded.
const GROWING: [(&str, Growth); 7] = [
    ("repeat", Growth::Times),
    ("lpad", Growth::Padding),
    ("rpad", Growth::Padding),
    ("replace", Growth::Replacing),
    ("regexp_replace", Growth::Replacing),
    ("concat", Growth::Together),
    ("concat_ws", Growth::Together),
];

/// Puts the bounded functions into the place of the engine's.
pub(crate) fn bound(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for (name, growth) in GROWING {
        let engine = registry.udf(name)?;
        registry.register_udf(Arc::new(ScalarUDF::new_from_impl(Bounded { engine, growth })))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    engine: Arc<ScalarUDF>,
    growth: Growth,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.engine.coerce_types(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.engine.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.engine.return_field_from_args(arguments)
    }

    fn invoke_with_args(&self, mut arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sizes = arguments.args.iter().map(Sizes::of).collect::<Result<Vec<_>>>()?;
        let at = |index: usize, row: usize| sizes.get(index).map_or(0, |sizes| sizes.at(row));
        let of_row = |row: usize| match self.growth {
            Growth::Times => at(0, row).saturating_mul(at(1, row)),
            Growth::Padding => {
                let widest = if sizes.len() > 2 { at(2, row).clamp(1, 4) } else { 1 };
                at(0, row).saturating_add(at(1, row).saturating_mul(widest))
            }
            Growth::Replacing => (at(0, row) + 1).saturating_mul(at(2, row) + 1),
            // The first one may be what is put between the others.
            Growth::Together => {
                let all = (0..sizes.len()).map(|index| at(index, row)).sum::<u64>();
                all.saturating_add(at(0, row).saturating_mul(sizes.len() as u64))
            }
        };
        let rows = if sizes.iter().all(Sizes::is_one) { 1 } else { arguments.number_rows };
        let bytes = (0..rows).fold(0u64, |sum, row| sum.saturating_add(of_row(row)));
        if bytes > MOST {
            return Err(DataFusionError::Execution(format!(
                "{} would make texts of up to {:.1} GB at once; expected at most {:.2} GB",
                self.name(),
                bytes as f64 / 1e9,
                MOST as f64 / 1e9
            )));
        }
        if let (Growth::Padding, ColumnarValue::Array(lengths)) = (self.growth, &arguments.args[1]) {
            // The engine fails at a column of negative lengths; one alone is 0 to it.
            let lengths = cast(lengths, &DataType::Int64)?;
            let lengths: Int64Array = lengths.as_primitive::<Int64Type>().unary(|length| length.max(0));
            arguments.args[1] = ColumnarValue::Array(Arc::new(lengths));
        }
        self.engine.invoke_with_args(arguments)
    }
}

/// Bytes of the text that `string_agg` puts between others, at most: it comes as often as there are
/// rows.
const LONGEST_SEPARATOR: u64 = 1 << 16;

/// The text between the texts of `string_agg`, which is an error where it is long. It is called as
/// it is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Separator {
    signature: Signature,
}

impl ScalarUDFImpl for Separator {
    fn name(&self) -> &str {
        "separator"
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        Ok(arguments[0].schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, mut arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = arguments.args.swap_remove(0);
        let sizes = Sizes::of(&text)?;
        let rows = if sizes.is_one() { 1 } else { arguments.number_rows };
        match (0..rows).map(|row| sizes.at(row)).max() {
            Some(bytes) if bytes > LONGEST_SEPARATOR => Err(DataFusionError::Execution(format!(
                "string_agg: expected at most {LONGEST_SEPARATOR} bytes between the texts, found {bytes}"
            ))),
            _ => Ok(text),
        }
    }
}

/// Bounds the text between the texts of `string_agg`.
#[derive(Debug)]
pub(crate) struct Separators;

impl AnalyzerRule for Separators {
    fn name(&self) -> &str {
        "separators"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let bound = |mut expr: Expr| {
            let arguments = match &mut expr {
                Expr::AggregateFunction(call) if call.func.name() == "string_agg" => &mut call.params.args,
                Expr::WindowFunction(call) if call.fun.name() == "string_agg" => &mut call.params.args,
                _ => return Ok(Transformed::no(expr)),
            };
            if let Some(text) = arguments.get_mut(1) {
                let signature = Signature::any(1, Volatility::Immutable);
                let separator = ScalarUDF::new_from_impl(Separator { signature });
                *text = separator.call(vec![std::mem::take(text)]);
            }
            Ok(Transformed::yes(expr))
        };
        let bound = |plan: LogicalPlan| plan.map_expressions(|expr| expr.transform_up(bound));
        Ok(plan.transform_up_with_subqueries(bound)?.data)
    }
}

/// For each row, the length of a text in bytes, or the value of an integer.
enum Sizes {
    One(u64),
    Each(ArrayRef),
}

impl Sizes {
    fn of(argument: &ColumnarValue) -> Result<Self> {
        let (array, is_one) = match argument {
            ColumnarValue::Array(array) => (Arc::clone(array), false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        };
        let numbers = match array.data_type() {
            kind if kind.is_integer() => array,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => length(&array)?,
            kind if kind.is_null() => cast(&array, &DataType::Int64)?,
            // Other types are not long as a text.
            _ => return Ok(Self::One(64)),
        };
        let each = Self::Each(cast(&numbers, &DataType::Int64)?);
        Ok(if is_one { Self::One(each.at(0)) } else { each })
    }

    fn is_one(&self) -> bool {
        matches!(self, Self::One(_))
    }

    fn at(&self, row: usize) -> u64 {
        match self {
            Self::One(size) => *size,
            Self::Each(sizes) => {
                let sizes = sizes.as_primitive::<Int64Type>();
                if sizes.is_null(row) { 0 } else { u64::try_from(sizes.value(row)).unwrap_or(0) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Failure, query};

    #[test]
    fn texts_that_would_be_too_long_are_not_made() {
        for expression in [
            "repeat('x', 2000000000)",
            "repeat(repeat('x', 100000), 100000)",
            "lpad('x', 2000000000)",
            "rpad('x', 2000000000, 'ü')",
            "replace(repeat('x', 100000), 'x', repeat('y', 100000))",
            "regexp_replace(repeat('x', 100000), '', repeat('y', 100000), 'g')",
            "concat(repeat('x', 200000000), repeat('x', 200000000))",
            "concat_ws(repeat('x', 90000000), 'a', 'b', 'c')",
            "length(repeat('x', v * 100000))",
        ] {
            let sql =
                format!("select {expression} as x from (select value as v from generate_series(1, 8000))");
            match query(Vec::new(), &sql, 4 << 30, &|| false) {
                Err(Failure::Message(message)) => {
                    assert!(message.contains("would make texts of up to"), "{expression}: {message}");
                }
                other => panic!("{expression}: {:?}", other.map(|(schema, _)| schema)),
            }
        }
    }

    #[test]
    fn short_texts_are_made_as_before() {
        let sql = "select repeat('ab', 2) as a, repeat('x', -1) as b, lpad('x', 3) as c, rpad('x', 3, 'ü') as d, \
                   replace('aXa', 'X', 'yy') as e, concat('a', 1, null) as f, concat_ws('-', 'a', 'b') as g, \
                   repeat(null, 3) as h, regexp_replace('abc', 'b(.)', '<\\1>') as i, lpad('x', -5) as j";
        let (_, batches) = query(Vec::new(), sql, 1 << 30, &|| false).unwrap();
        let row = datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        for text in ["abab", "  x", "xüü", "ayya", "a1", "a-b", "a<c>"] {
            assert!(row.contains(text), "{text}: {row}");
        }
    }

    #[test]
    fn a_negative_length_is_none() {
        let sql = "select lpad('abc', n) as a, rpad('abc', n, 'ü') as b, lpad('abc', n, 'xy') as c from \
                   (select 4 - 5 * value as n from generate_series(0, 1))";
        let (_, batches) = query(Vec::new(), sql, 1 << 30, &|| false).unwrap();
        let rows = datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        for line in ["|  abc | abcü | xabc |", "|      |      |      |"] {
            assert!(rows.contains(line), "{rows}");
        }
    }
}
