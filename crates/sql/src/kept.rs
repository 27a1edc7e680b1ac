//! Rows that a window function keeps. The engine counts the memory of sorts, joins and groups, and
//! not this one.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

/// Rows that are kept, up to so many bytes.
#[derive(Debug)]
struct Kept {
    input: Arc<dyn ExecutionPlan>,
    budget: usize,
}

/// A part of a plan that keeps no more rows than the budget holds.
pub(crate) fn bounded(part: Arc<dyn ExecutionPlan>, budget: usize) -> Result<Arc<dyn ExecutionPlan>> {
    if part.downcast_ref::<WindowAggExec>().is_none() {
        return Ok(part);
    }
    let inputs = part.children().into_iter();
    let kept = inputs
        .map(|input| Arc::new(Kept { input: Arc::clone(input), budget }) as Arc<dyn ExecutionPlan>)
        .collect::<Vec<_>>();
    replace_children_if_necessary(part, kept)
}

impl DisplayAs for Kept {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl ExecutionPlan for Kept {
    fn name(&self) -> &str {
        "Kept"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { input: children.swap_remove(0), budget: self.budget }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let (schema, budget) = (rows.schema(), self.budget);
        let mut bytes = 0;
        let counted = rows.map(move |batch| {
            let batch = batch?;
            // Of a part of a longer column its own bytes count. Also of rows without columns
            // something is kept: what is computed for each.
            let own =
                batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0));
            bytes += own.sum::<usize>() + batch.num_rows() * size_of::<u64>();
            match bytes > budget {
                true => Err(DataFusionError::ResourcesExhausted("rows of a window".to_owned())),
                false => Ok(batch),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counted)))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Failure, query};

    #[test]
    fn a_window_over_too_many_rows_is_refused() {
        let sql = |rows: u64| {
            format!(
                "select max(c) as n from (select count(*) over () as c from generate_series(1, {rows}) where value > 0)"
            )
        };
        let run = |rows| query(Vec::new(), &sql(rows), 16 << 20, &|| false);
        assert!(matches!(run(100_000_000_000), Err(Failure::TooLarge)));
        assert!(run(10_000).is_ok());
    }
}
