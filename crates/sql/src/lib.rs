//! SQL over Arrow record batches, through DataFusion.
//!
//! The engine is compiled in this crate and nowhere else: it is generic, asynchronous and slow to
//! compile, so its users see one plain function.
#![deny(missing_docs)]

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;

/// A named table: its schema and its record batches.
pub struct Input<'a> {
    /// The name that queries use.
    pub name: &'a str,
    /// The schema of every batch.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// Runs one SQL query over tables in memory.
///
/// Returns the schema and batches of the answer; `Err` holds the engine's message, for instance
/// about a column that does not exist.
pub fn query(inputs: Vec<Input<'_>>, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    runtime.block_on(run(inputs, sql))
}

async fn run(inputs: Vec<Input<'_>>, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
    // One partition: rows keep their order, and results do not depend on the number of cores.
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    let context = SessionContext::new_with_config(config);
    for input in inputs {
        let table = MemTable::try_new(input.schema, vec![input.batches]).map_err(message)?;
        context.register_table(input.name, Arc::new(table)).map_err(message)?;
    }
    let options = datafusion::execution::context::SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let frame = context.sql_with_options(sql, options).await.map_err(message)?;
    let schema = Arc::clone(frame.schema().inner());
    let batches = frame.collect().await.map_err(message)?;
    // The plan's schema and the batches' may differ in nullability: the batches tell.
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok((schema, batches))
}

/// DataFusion's message without its Rust type names and back traces.
fn message(error: datafusion::error::DataFusionError) -> String {
    error.strip_backtrace()
}
