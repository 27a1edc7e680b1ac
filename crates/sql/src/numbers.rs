//! Numbers that are right or an error: sums and products of integers that leave their type's range, roots of negative ones.

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

/// `+`, `-` or `*` between integers of one type. The engine's own go on at the other end of the range.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    op: Operator,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.op {
            Operator::Plus => "checked_add",
            Operator::Minus => "checked_subtract",
            _ => "checked_multiply",
        }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(names.join(&format!(" {} ", self.op)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = &arguments.args[..] else {
            return Err(DataFusionError::Internal("two arguments expected".to_owned()));
        };
        match self.op {
            Operator::Plus => apply(left, right, numeric::add),
            Operator::Minus => apply(left, right, numeric::sub),
            _ => apply(left, right, numeric::mul),
        }
    }
}

/// The sum, difference or product of two integers of one type.
pub(crate) fn checked(op: Operator, left: Expr, right: Expr) -> Expr {
    let signature = Signature::any(2, Volatility::Immutable);
    ScalarUDF::new_from_impl(Checked { op, signature }).call(vec![left, right])
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
