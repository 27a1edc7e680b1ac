//! One NaN and one zero. The engine compares, sorts and groups floats by their bits, so every value
//! has the bits that mean what DuckDB means: NaN equals itself and is greater than every number, -0
//! is 0.
//!
//! Columns are brought into this form when they come in. [`Canonical`] brings the value of every
//! expression into it that can make another NaN (0 / 0 has a sign) or -0; expressions that choose
//! among values (`case`, `coalesce`) cannot.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch, make_array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{BinaryExpr, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, Projection, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::numbers;

/// The bits that stand for a value.
trait One: Copy {
    fn one(self) -> Self;
    fn is_one(self) -> bool;
}

macro_rules! one {
    ($($float:ty),*) => {
        $(impl One for $float {
            fn one(self) -> Self {
                // -0 + 0 is 0.
                if self.is_nan() { <$float>::NAN } else { self + 0.0 }
            }

            fn is_one(self) -> bool {
                self.to_bits() == self.one().to_bits()
            }
        })*
    };
}

one!(f64, f32);

/// The array with one NaN and one zero; a copy only where it has others.
fn canonical(array: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    fn floats<T: ArrowPrimitiveType>(array: &ArrayRef) -> ArrayRef
    where
        T::Native: One,
    {
        /// Values that are looked at together: without a branch, in vector lanes.
        const TOGETHER: usize = 1024;
        let floats = array.as_primitive::<T>();
        let fine = |values: &[T::Native]| values.iter().fold(true, |fine, value| fine & value.is_one());
        if floats.values().chunks(TOGETHER).all(fine) {
            return Arc::clone(array);
        }
        let changed: PrimitiveArray<T> = floats.unary(One::one);
        Arc::new(changed)
    }
    Ok(match array.data_type() {
        DataType::Float64 => floats::<Float64Type>(array),
        DataType::Float32 => floats::<Float32Type>(array),
        DataType::Float16 => cast(&canonical(&cast(array, &DataType::Float32)?)?, &DataType::Float16)?,
        kind if holds_floats(kind) => {
            let data = array.to_data();
            let parts = data.child_data().iter();
            let parts = parts.map(|part| Ok(canonical(&make_array(part.clone()))?.to_data()));
            let parts = parts.collect::<std::result::Result<_, ArrowError>>()?;
            make_array(data.into_builder().child_data(parts).build()?)
        }
        _ => Arc::clone(array),
    })
}

/// Whether values of a type are floats or have floats in them.
fn holds_floats(kind: &DataType) -> bool {
    match kind {
        DataType::Struct(fields) => fields.iter().any(|field| holds_floats(field.data_type())),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => holds_floats(field.data_type()),
        kind => kind.is_floating(),
    }
}

/// A batch whose columns have one NaN and one zero.
pub(crate) fn canonical_batch(batch: RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    if !batch.schema_ref().fields().iter().any(|field| holds_floats(field.data_type())) {
        return Ok(batch);
    }
    let (schema, columns, rows) = batch.into_parts();
    let columns = columns.iter().map(canonical).collect::<std::result::Result<_, _>>()?;
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

/// Its argument with one NaN and one zero. It is called as its argument is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Canonical {
    signature: Signature,
}

impl ScalarUDFImpl for Canonical {
    fn name(&self) -> &str {
        "canonical"
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

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::clone(&arguments.arg_fields[0]))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(match &arguments.args[0] {
            ColumnarValue::Array(array) => ColumnarValue::Array(canonical(array)?),
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(canonical_value(value)?),
        })
    }
}

fn canonical_value(value: &ScalarValue) -> Result<ScalarValue> {
    ScalarValue::try_from_array(&canonical(&value.to_array()?)?, 0)
}

/// The expression, brought into the one form.
fn wrapped(expr: Expr) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::new_from_impl(Canonical { signature }).call(vec![expr])
}

/// Functions and aggregates whose value is one of their arguments', which have the one form.
const CHOOSING: [&str; 17] = [
    "canonical",
    "coalesce",
    "ifnull",
    "nvl",
    "nvl2",
    "nullif",
    "greatest",
    "least",
    "get_field",
    "min",
    "max",
    "first_value",
    "last_value",
    "nth_value",
    "any_value",
    "lag",
    "lead",
];

/// Brings expressions into the one form, and lets integers that leave their range be an error
/// ([`numbers::checked`]). Comes after types were made to agree: both sides of an operator have one
/// type.
#[derive(Debug)]
pub(crate) struct ExactNumbers;

impl AnalyzerRule for ExactNumbers {
    fn name(&self) -> &str {
        "exact_numbers"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(of_plan)?.data)
    }
}

fn of_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let plan = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|expr| of_expression(expr, &schema))?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    })?;
    plan.transform_data(|plan| {
        let computed = match &plan {
            LogicalPlan::Aggregate(aggregate) => &aggregate.aggr_expr,
            LogicalPlan::Window(window) => &window.window_expr,
            _ => return Ok(Transformed::no(plan)),
        };
        canonical_outputs(computed.len(), computed.iter().map(chooses).collect(), plan)
    })
}

/// Whether an aggregate or window function gives one of its arguments' values.
fn chooses(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => chooses(&alias.expr),
        Expr::AggregateFunction(function) => CHOOSING.contains(&function.func.name()),
        Expr::WindowFunction(function) => CHOOSING.contains(&function.fun.name()),
        _ => false,
    }
}

/// A plan whose last columns are aggregates, each with whether it chooses, with a projection above
/// it that brings the others into the one form: an aggregate cannot be wrapped where it stands.
fn canonical_outputs(
    computed: usize,
    choosing: Vec<bool>,
    plan: LogicalPlan,
) -> Result<Transformed<LogicalPlan>> {
    let given = plan.schema().fields().len() - computed;
    let makes = |at: usize, kind: &DataType| at >= given && !choosing[at - given] && holds_floats(kind);
    let fields = plan.schema().fields().iter().enumerate();
    if !fields.into_iter().any(|(at, field)| makes(at, field.data_type())) {
        return Ok(Transformed::no(plan));
    }
    let columns = plan.schema().iter().enumerate().map(|(at, (qualifier, field))| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match makes(at, field.data_type()) {
            true => wrapped(column).alias_qualified(qualifier.cloned(), field.name()),
            false => column,
        }
    });
    let columns = columns.collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?)))
}

/// An expression whose parts have the one form, in it.
fn of_expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Literal(value, metadata) if holds_floats(&value.data_type()) => {
            Ok(Transformed::yes(Expr::Literal(canonical_value(&value)?, metadata)))
        }
        Expr::Negative(inner) if holds_floats(&inner.get_type(schema)?) => {
            Ok(Transformed::yes(wrapped(Expr::Negative(Box::new(bare(*inner))))))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_arithmetic(op) => {
            // That of a long sum's right side is found at once.
            let kind = right.get_type(schema)?;
            if numbers::is_checked(op, &kind) && kind == left.get_type(schema)? {
                return Ok(Transformed::yes(numbers::checked(op, *left, *right, kind)));
            }
            if !holds_floats(&kind) {
                return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
            }
            // The signs of zeros and NaN in the parts change only such signs, but for a divisor's:
            // 1 / -0.
            let right = if op == Operator::Divide { right } else { Box::new(bare(*right)) };
            let left = Box::new(bare(*left));
            Ok(Transformed::yes(wrapped(Expr::BinaryExpr(BinaryExpr { left, op, right }))))
        }
        // An integer has neither -0 nor NaN.
        Expr::Cast(Cast { expr: ref inner, ref field })
        | Expr::TryCast(TryCast { expr: ref inner, ref field })
            if holds_floats(field.data_type()) && !inner.get_type(schema)?.is_integer() =>
        {
            Ok(Transformed::yes(wrapped(expr)))
        }
        Expr::ScalarFunction(ref function)
            if !CHOOSING.contains(&function.func.name()) && holds_floats(&expr.get_type(schema)?) =>
        {
            Ok(Transformed::yes(wrapped(expr)))
        }
        expr => Ok(Transformed::no(expr)),
    }
}

fn is_arithmetic(op: Operator) -> bool {
    use Operator::{Divide, Minus, Modulo, Multiply, Plus};
    matches!(op, Plus | Minus | Multiply | Divide | Modulo)
}

/// The expression without its wrapping.
fn bare(expr: Expr) -> Expr {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, mut args }) if func.name() == "canonical" => {
            args.swap_remove(0)
        }
        expr => expr,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Float32Array, Float64Array, Int64Array, ListArray, StructArray};
    use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

    use super::*;
    use crate::{Failure, Input, query};

    fn input(batch: RecordBatch) -> Vec<Input> {
        vec![Input { name: "t".to_owned(), schema: batch.schema(), batches: vec![batch] }]
    }

    /// The rows that make_floats.py gives DuckDB.
    fn table() -> Vec<Input> {
        let a =
            [Some(0.0), Some(1.0), Some(-1.0), Some(3.0), Some(0.0), Some(0.0), Some(1.0), None, Some(2.0)];
        let b = [0.0, 2.0, 0.0, 1.0, -1.0, 1.0, 0.0, 1.0, 1.0];
        let columns: [(&str, ArrayRef); 3] = [
            ("k", Arc::new(Int64Array::from(vec![1, 1, 1, 2, 2, 2, 3, 3, 3]))),
            ("a", Arc::new(Float64Array::from(a.to_vec()))),
            ("b", Arc::new(Float64Array::from(b.to_vec()))),
        ];
        input(RecordBatch::try_from_iter_with_nullable(columns.map(|(name, c)| (name, c, true))).unwrap())
    }

    fn rows(inputs: Vec<Input>, sql: &str) -> Result<Vec<String>, Failure> {
        let (_, batches) = query(inputs, sql, 1 << 30, &|| false)?;
        let mut rows = Vec::new();
        for batch in &batches {
            let options = FormatOptions::default().with_null("null");
            let columns = batch.columns().iter();
            let columns: Vec<_> =
                columns.map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
            rows.extend((0..batch.num_rows()).map(|row| {
                let values: Vec<String> =
                    columns.iter().map(|column| column.value(row).to_string()).collect();
                values.join(" ")
            }));
        }
        Ok(rows)
    }

    #[test]
    fn every_part_of_sql_agrees_with_duckdb_about_nan_and_zero() {
        let answers = include_str!("../../../tests/reference/floats.txt");
        let mut wrong = Vec::new();
        for line in answers.lines() {
            let (query, wanted) = line.split_once(" => ").unwrap();
            let found =
                rows(table(), query).map(|rows| rows.join("; ")).map_err(|error| format!("{error:?}"));
            if found.as_deref() != Ok(wanted) {
                wrong.push(format!("{query}\n  found  {found:?}\n  wanted {wanted}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(answers.lines().count() > 50);
    }

    #[test]
    fn computed_values_have_the_bits_of_the_one_nan_and_zero() {
        for expression in [
            "a / b",
            "-(a / b)",
            "a % b",
            "-a",
            "a * -1",
            "0 * b - a",
            "sqrt(a - 5)",
            "ln(-a)",
            "round(a * -0.1)",
            "abs(a / b)",
            "power(a / b, 3)",
            "cast(cast(a * -1e-300 as float) as double)",
            "cast('-0.0' as double)",
            "cast('-nan' as double)",
            "cast(arrow_cast(a / b, 'Float16') as double)",
            "case when k > 1 then a / b else -a end",
            "coalesce(-(a / b), 0.0)",
            "sum(a / b) over (partition by k)",
            "avg(-a) over (partition by k)",
            "lag(-a) over (order by k, b, a)",
            "(select max(-u.a) from t u where u.k = t.k)",
            "(select sum(u.a / u.b) from t u where u.k = t.k)",
            "-0.0",
        ] {
            let query = format!("select {expression} as x from t");
            let (_, batches) = crate::query(table(), &query, 1 << 30, &|| false)
                .unwrap_or_else(|error| panic!("{expression}: {error:?}"));
            for batch in &batches {
                for value in batch.column(0).as_primitive::<Float64Type>().iter().flatten() {
                    assert!(value.is_one(), "{expression}: {value} {:x}", value.to_bits());
                }
            }
        }
    }

    #[test]
    fn columns_come_in_with_one_nan_and_zero_also_in_lists() {
        let list = |values: Vec<f64>| Some(values.into_iter().map(Some).collect::<Vec<_>>());
        let lists = vec![list(vec![-0.0, -f64::NAN]), list(vec![0.0, f64::NAN])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists));
        let narrow: ArrayRef = Arc::new(Float32Array::from(vec![-f32::NAN, -0.0]));
        let parts: ArrayRef = Arc::new(StructArray::from(vec![(
            Arc::new(datafusion::arrow::datatypes::Field::new("x", DataType::Float64, true)),
            Arc::new(Float64Array::from(vec![-0.0, 0.0])) as ArrayRef,
        )]));
        // Of a longer array, so that what is within begins elsewhere.
        let batch = RecordBatch::try_from_iter([("l", lists), ("f", narrow), ("s", parts)]).unwrap();
        let twice = datafusion::arrow::compute::concat_batches(&batch.schema(), [&batch, &batch]).unwrap();
        let count = |sql: &str| rows(input(twice.slice(1, 2)), sql).unwrap();
        assert_eq!(count("select count(distinct l), count(distinct s) from t"), ["1 1"]);
        assert_eq!(
            count("select x, count(*) from (select unnest(l) as x from t) group by x order by x"),
            ["0.0 2", "NaN 2"]
        );
        assert_eq!(count("select max(f), min(f) from t"), ["NaN 0.0"]);
        assert_eq!(count("select get_field(s, 'x') as x, max(f) from t group by 1"), ["0.0 NaN"]);
    }

    #[test]
    fn names_of_computed_columns_stay() {
        let names = |sql: &str| {
            let (schema, _) = query(table(), sql, 1 << 30, &|| false).unwrap();
            schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            names("select a / b, -a, avg(a) over (), k + 1 from t"),
            ["a / b", "-a", "avg(a) OVER ()", "k + 1"]
        );
        assert_eq!(
            names("select k + 1, avg(a / b) from t group by k + 1 having avg(a / b) > 0"),
            ["k + 1", "avg(a / b)"]
        );
    }
}
