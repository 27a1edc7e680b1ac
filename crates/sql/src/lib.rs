//! SQL over Arrow record batches, through DataFusion.
//!
//! The engine is compiled in this crate and nowhere else: it is generic, asynchronous and slow to
//! compile, so its users see a few plain functions. It follows Postgres; where users of pandas and
//! DuckDB expect something else, kelvin follows DuckDB: `/` between integers is a float, `^` a
//! power, what leaves the range of integers an error, nulls sort last, NaN is equal to itself and
//! greater than every number, a column without a name of its own is called as it is written
//! ([`rules`], [`floats`], [`grammar`]).
#![deny(missing_docs)]
// A test that panics has failed.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod dialect;
mod extremes;
mod floats;
mod grammar;
mod kept;
mod message;
mod numbers;
mod rules;
mod sum;
mod texts;

pub use grammar::{Selected, expression, order, selection};

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, TableReference};
use datafusion::datasource::MemTable;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use futures::StreamExt;

/// A named table: its schema and its record batches.
pub struct Input {
    /// The name that queries use.
    pub name: String,
    /// The schema of every batch.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// Why a query gave no answer.
#[derive(Debug)]
pub enum Failure {
    /// It was told to stop.
    Stopped,
    /// It needs more memory than it may.
    TooLarge,
    /// The engine's message, for instance about a column that does not exist.
    Message(String),
}

/// Runs one SQL query over tables in memory, until `stop` says so; the answer, and what is kept on
/// the way to it, may take `budget` bytes.
///
/// Returns the schema and batches of the answer.
pub fn query(
    inputs: Vec<Input>,
    sql: &str,
    budget: usize,
    stop: &dyn Fn() -> bool,
) -> Result<(SchemaRef, Vec<RecordBatch>), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Failure::Message(error.to_string()))?;
    runtime.block_on(async {
        let mut work = pin!(run(inputs, sql, budget));
        // The engine yields every now and then.
        poll_fn(|context| match stop() {
            true => Poll::Ready(Err(Failure::Stopped)),
            false => work.as_mut().poll(context),
        })
        .await
    })
}

async fn run(inputs: Vec<Input>, sql: &str, budget: usize) -> Result<(SchemaRef, Vec<RecordBatch>), Failure> {
    let failed = |error: DataFusionError| match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => Failure::TooLarge,
        _ => Failure::Message(message::of(error)),
    };
    // One partition: rows keep their order, and results do not depend on the number of cores.
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_str("datafusion.sql_parser.default_null_ordering", "nulls_last");
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(budget, 1.0).build_arc().map_err(failed)?;
    let mut context = SessionContext::new_with_config_rt(config, runtime);
    context.register_expr_planner(Arc::new(rules::Rules)).map_err(failed)?;
    context.add_analyzer_rule(Arc::new(floats::ExactNumbers));
    context.add_analyzer_rule(Arc::new(texts::Separators));
    context.register_udf(numbers::sqrt());
    texts::bound(&mut context).map_err(failed)?;
    for aggregate in extremes::extremes().into_iter().chain([sum::sum()]) {
        context.register_udaf(aggregate);
    }
    for input in inputs {
        let batches = input.batches.into_iter().map(floats::canonical_batch).collect::<Result<_, _>>();
        let batches = batches.map_err(|error| failed(error.into()))?;
        let table = MemTable::try_new(input.schema, vec![batches]).map_err(failed)?;
        // As it is: not folded, and a dot in it is no schema's.
        let name = TableReference::bare(input.name);
        context.register_table(name, Arc::new(table)).map_err(failed)?;
    }
    let statement = Statement::Statement(Box::new(grammar::query(sql).map_err(Failure::Message)?));
    let plan = context.state().statement_to_plan(statement).await.map_err(failed)?;
    if !is_small(&plan).map_err(failed)? {
        return Err(Failure::Message(too_many_steps()));
    }
    let allowed = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    allowed.verify_plan(&plan).map_err(failed)?;
    let frame = context.execute_logical_plan(plan).await.map_err(failed)?;
    let schema = Arc::clone(frame.schema().inner());
    let task = Arc::new(frame.task_ctx());
    let plan = frame.create_physical_plan().await.map_err(failed)?;
    // Every part of it yields now and then, so that it can be stopped.
    let yielding = |part| {
        let part = Arc::new(CooperativeExec::new(kept::bounded(part, budget)?));
        Ok(Transformed::yes(part as Arc<dyn ExecutionPlan>))
    };
    let plan = plan.transform_up(yielding).map_err(failed)?.data;
    let mut answer = execute_stream(plan, task).map_err(failed)?;
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = answer.next().await {
        let batch = batch.map_err(failed)?;
        bytes += batch.get_array_memory_size();
        if bytes > budget {
            return Err(Failure::TooLarge);
        }
        batches.push(batch);
    }
    // The plan's schema and the batches' may differ in nullability: the batches tell.
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok((schema, batches))
}

/// Steps of a query, at most: tables, joins, selections. The engine goes over all of them many
/// times.
const MOST_STEPS: usize = 4000;

/// What is said of a query with more.
fn too_many_steps() -> String {
    format!(
        "the query has more than {MOST_STEPS} steps, where each use of a query in `with` counts anew; compute a part \
         of it as a table before"
    )
}

fn is_small(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    let mut steps = 0;
    plan.apply_with_subqueries(|_| {
        steps += 1;
        Ok(if steps > MOST_STEPS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(steps <= MOST_STEPS)
}
