//! What a sweep would do if it were run now, and what that would cost.

use std::path::Path;
use std::time::{Duration, Instant};

use super::plan::{Plan, PlannedRun};
use super::rows;
use super::status::RunStatus;
use super::store::Store;
use crate::data::Dataset;
use crate::error::Result;
use crate::table::Table;
use crate::torch::default_device;
use crate::train::cohort::cohorts;
use crate::train::{Expected, RunSpec, expected};

/// Time for trials of all kinds of runs together.
const BUDGET: Duration = Duration::from_secs(1);

/// Time for the trial of one kind, at least.
const SHORTEST: Duration = Duration::from_millis(20);

/// A row per run of the plan: parameters, status, cost ([`rows::plan`]). With a folder, where the
/// runs stand in it; without, all are to do. Beside it, why the plan could not be run there as it
/// is, if so.
pub fn preview_plan(plan: &Plan, dir: Option<&Path>) -> Result<(Table, Option<String>)> {
    let mut refused = None;
    let mut statuses = vec![RunStatus::ToDo; plan.runs.len()];
    let mut id = plan.id();
    if let Some(dir) = dir.filter(|dir| dir.join("sweep.json").exists()) {
        let store = Store::open(dir)?;
        id = store.id().to_owned();
        refused = store.refuses(plan, false).map(|error| error.to_string());
        let known: std::collections::HashMap<&str, RunStatus> =
            store.plan().runs.iter().map(|run| run.id.as_str()).zip(store.run_statuses()?).collect();
        for (run, status) in plan.runs.iter().zip(&mut statuses) {
            *status = known.get(run.id.as_str()).cloned().unwrap_or(RunStatus::ToDo);
        }
    }
    let costs = costs(&plan.runs, &statuses)?;
    let dir = dir.map(|dir| dir.display().to_string()).unwrap_or_default();
    Ok((rows::plan(&id, &dir, &plan.runs, &statuses, &costs)?, refused))
}

/// What each run that is not finished costs: one trial per kind of runs, as far as time allows;
/// other kinds by the measured table, at the pace of those that were tried.
fn costs(runs: &[PlannedRun], statuses: &[RunStatus]) -> Result<Vec<Option<Expected>>> {
    let open: Vec<usize> = (0..runs.len()).filter(|&index| statuses[index].is_open(false)).collect();
    let specs: Vec<RunSpec> = open.iter().map(|&index| runs[index].spec.clone()).collect();
    let kinds = cohorts(&specs)?;
    let mut costs = vec![None; runs.len()];
    let mut paces: Vec<f64> = Vec::new();
    let started = Instant::now();
    let each = (BUDGET / kinds.len().max(1) as u32).max(SHORTEST);
    for kind in kinds {
        let run = &runs[open[kind[0]]];
        let cost = if started.elapsed() < BUDGET {
            let cost = expected(&run.spec, run.strategy, kind.len(), each, default_device())?;
            paces.push(cost.pace);
            cost
        } else {
            paces.sort_by(f64::total_cmp);
            let data = Dataset::open(&run.spec.data)?;
            Expected::from_table(
                &run.spec,
                &data,
                run.strategy,
                kind.len(),
                paces[paces.len() / 2],
                default_device(),
            )?
        };
        for position in kind {
            costs[open[position]] = Some(cost);
        }
    }
    Ok(costs)
}
