//! Numbers that are right or an error: sums and products of integers that leave their type's range,
//! roots of negative ones.

use std::any::Any;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Float64Array};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, create_udf,
};
use datafusion::physical_expr_common::datum::apply;
use datafusion::prelude::Expr;

/// A chain of `+`, `-` and `*` between integers of one type, from left to right: an error where it
/// leaves the type's range. The engine's own go on at the other end. A chain is one function,
/// because the engine asks for the type of functions within functions again and again.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    /// One fewer than there are arguments.
    ops: Vec<Operator>,
    kind: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        "checked"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let mut name = args[0].schema_name().to_string();
        for (op, arg) in self.ops.iter().zip(&args[1..]) {
            write!(name, " {op} {}", arg.schema_name())?;
        }
        Ok(name)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut arguments = arguments.args.into_iter();
        let first = arguments.next();
        let first = first.ok_or_else(|| DataFusionError::Internal("no arguments".to_owned()))?;
        self.ops.iter().zip(arguments).try_fold(first, |left, (op, right)| match op {
            Operator::Plus => apply(&left, &right, numeric::add),
            Operator::Minus => apply(&left, &right, numeric::sub),
            _ => apply(&left, &right, numeric::mul),
        })
    }
}

/// Whether an operator between values of this type has to be checked.
pub(crate) fn is_checked(op: Operator, kind: &DataType) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply)
        && matches!(kind, DataType::Int64 | DataType::UInt64)
}

/// The sum, difference or product of two integers of one type.
pub(crate) fn checked(op: Operator, left: Expr, right: Expr, kind: DataType) -> Expr {
    let (mut ops, mut args) = match left {
        Expr::ScalarFunction(call) => {
            match (call.func.inner().as_ref() as &dyn Any).downcast_ref::<Checked>() {
                Some(chain) => (chain.ops.clone(), call.args),
                None => (Vec::new(), vec![Expr::ScalarFunction(call)]),
            }
        }
        left => (Vec::new(), vec![left]),
    };
    ops.push(op);
    args.push(right);
    let signature = Signature::any(args.len(), Volatility::Immutable);
    ScalarUDF::new_from_impl(Checked { ops, kind, signature }).call(args)
}

/// The square root, NaN of what is below 0, as the logarithm is.
pub(crate) fn sqrt() -> ScalarUDF {
    let root = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let roots: Float64Array = arrays[0].as_primitive::<Float64Type>().unary(f64::sqrt);
        Ok(ColumnarValue::Array(Arc::new(roots)))
    };
    create_udf("sqrt", vec![DataType::Float64], DataType::Float64, Volatility::Immutable, Arc::new(root))
}
