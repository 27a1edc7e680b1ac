//! Where kelvin's expressions differ from the engine's.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::functions::math::power;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// `/` divides integers as floats and `//` as integers, towards 0, as in DuckDB; `^` is a power;
/// integers that leave their range are an error.
#[derive(Debug)]
pub(crate) struct Rules;

impl ExprPlanner for Rules {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let kinds = (expr.left.get_type(schema), expr.right.get_type(schema));
        let (Ok(left), Ok(right)) = kinds else { return Ok(PlannerResult::Original(expr)) };
        let integers = left.is_integer() && right.is_integer();
        let divide = |left: Expr, right: Expr| {
            let expr = BinaryExpr { left: Box::new(left), op: Operator::Divide, right: Box::new(right) };
            Ok(PlannerResult::Planned(Expr::BinaryExpr(expr)))
        };
        let wrong = |message: &str| Err(DataFusionError::Plan(message.to_owned()));
        match expr.op {
            BinaryOperator::Divide if integers => divide(cast(expr.left, DataType::Float64), expr.right),
            BinaryOperator::DuckIntegerDivide if integers => divide(expr.left, expr.right),
            BinaryOperator::DuckIntegerDivide => {
                wrong("`//` divides integers; for other numbers write floor(a / b)")
            }
            BinaryOperator::BitwiseXor => {
                let float = |side: Expr, kind: &DataType| match kind.is_numeric() {
                    true => cast(side, DataType::Float64),
                    false => side,
                };
                let sides = vec![float(expr.left, &left), float(expr.right, &right)];
                Ok(PlannerResult::Planned(power().call(sides)))
            }
            BinaryOperator::StringConcat
                if [&left, &right].contains(&&DataType::Boolean)
                    || !(left.is_string() || right.is_string()) =>
            {
                wrong("`||` puts texts together; between conditions write `or`")
            }
            BinaryOperator::Plus if integers => Ok(arithmetic(Operator::Plus, expr, &left, &right)),
            BinaryOperator::Minus if integers => Ok(arithmetic(Operator::Minus, expr, &left, &right)),
            BinaryOperator::Multiply if integers => Ok(arithmetic(Operator::Multiply, expr, &left, &right)),
            _ => Ok(PlannerResult::Original(expr)),
        }
    }
}

/// Arithmetic of integers, in 64 bits: narrow ones leave their range soon. That it does not leave
/// this one, is checked when it is computed.
fn arithmetic(
    op: Operator,
    expr: RawBinaryExpr,
    left: &DataType,
    right: &DataType,
) -> PlannerResult<RawBinaryExpr> {
    match BinaryTypeCoercer::new(left, &op, right).get_input_types() {
        Ok((common, other)) if common == other && common.is_integer() => {
            let wide = if common == DataType::UInt64 { common } else { DataType::Int64 };
            let left = Box::new(as_type(expr.left, left, &wide));
            let right = Box::new(as_type(expr.right, right, &wide));
            PlannerResult::Planned(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        // Of uint64 and int64 the engine makes decimals.
        _ => PlannerResult::Original(expr),
    }
}

fn as_type(expr: Expr, kind: &DataType, wanted: &DataType) -> Expr {
    if kind == wanted { expr } else { cast(expr, wanted.clone()) }
}

#[cfg(test)]
mod tests {
    use crate::{Failure, query};

    #[test]
    fn bars_put_texts_together_and_nothing_else() {
        for condition in ["1 > 0 || 2 = 1", "true || false", "true || 1 > 0"] {
            match query(Vec::new(), &format!("select {condition}"), 1 << 20, &|| false) {
                Err(Failure::Message(message)) => assert!(message.contains("write `or`"), "{message}"),
                other => panic!("{condition}: {other:?}"),
            }
        }
        assert!(query(Vec::new(), "select 'a' || 1 || 'b' as x", 1 << 20, &|| false).is_ok());
    }
}
