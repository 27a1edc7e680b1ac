//! Where kelvin's expressions differ from the engine's.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// `/` divides integers as floats and `//` as integers, as in Python and DuckDB; `&&` is `and`.
#[derive(Debug)]
pub(crate) struct Rules;

impl ExprPlanner for Rules {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let integers = |expr: &RawBinaryExpr| {
            let is_integer = |side: &Expr| side.get_type(schema).is_ok_and(|kind| kind.is_integer());
            is_integer(&expr.left) && is_integer(&expr.right)
        };
        let binary = |left: Expr, op: Operator, right: Expr| {
            let expr = BinaryExpr { left: Box::new(left), op, right: Box::new(right) };
            Ok(PlannerResult::Planned(Expr::BinaryExpr(expr)))
        };
        match expr.op {
            BinaryOperator::Divide if integers(&expr) => {
                binary(cast(expr.left, DataType::Float64), Operator::Divide, expr.right)
            }
            BinaryOperator::DuckIntegerDivide if integers(&expr) => {
                binary(expr.left, Operator::Divide, expr.right)
            }
            BinaryOperator::DuckIntegerDivide => Err(DataFusionError::Plan(
                "`//` divides integers; for other numbers write floor(a / b)".to_owned(),
            )),
            BinaryOperator::PGOverlap => binary(expr.left, Operator::And, expr.right),
            _ => Ok(PlannerResult::Original(expr)),
        }
    }
}
