//! `kelvin ls`: where the runs of a sweep stand.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::script::{print, tell, width};
use crate::sweep::slurm::{self, Queued};
use crate::sweep::{PlannedRun, RunStatus, Store};
use crate::table::{Cell, Table};

/// `12 done, 3 training, 1 failed`.
fn counts(statuses: &[RunStatus]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for status in statuses {
        *counts.entry(status.name()).or_default() += 1;
    }
    let order = ["done", "training", "begun", "interrupted", "to do", "diverged", "failed"];
    let counted = order.iter().filter_map(|name| counts.get(name).map(|count| format!("{count} {name}")));
    counted.collect::<Vec<_>>().join(", ")
}

/// `; in Slurm: 3 pending, 2 running`.
fn in_slurm(queue: &HashMap<String, Queued>) -> String {
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for queued in queue.values() {
        *states.entry(queued.state.to_lowercase()).or_default() += 1;
    }
    let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if states.is_empty() { String::new() } else { format!("; in Slurm: {}", states.join(", ")) }
}

/// The sweeps' folders within a folder that is none itself, sorted.
fn sweeps_in(dir: &Path) -> Vec<PathBuf> {
    let is_sweep = |dir: &PathBuf| dir.join("sweep.json").exists();
    if is_sweep(&dir.to_owned()) {
        return Vec::new();
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut sweeps: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_sweep).collect();
    sweeps.sort();
    sweeps
}

/// Lists a sweep's runs, of those that are done only where `all` are wanted; or the sweeps in a
/// folder.
pub(super) fn list(dir: &Path, all: bool) -> Result<()> {
    let sweeps = sweeps_in(dir);
    if !sweeps.is_empty() {
        for dir in sweeps {
            let store = Store::open(&dir)?;
            let statuses = store.run_statuses()?;
            let (id, runs) = (store.id(), statuses.len());
            print(&format!("{}: sweep {id} of {runs} runs: {}", dir.display(), counts(&statuses)));
        }
        return Ok(());
    }
    let store = Store::open(dir)?;
    let statuses = store.run_statuses()?;
    let queue = slurm::queued(&store).unwrap_or_else(|error| {
        tell(&format!("what Slurm has in its queue is not known: {error}"));
        HashMap::new()
    });
    print(&format!(
        "{}: sweep {} of {} runs: {}{}",
        dir.display(),
        store.id(),
        statuses.len(),
        counts(&statuses),
        in_slurm(&queue)
    ));
    let mut runs: Vec<_> = store.plan().runs.iter().zip(&statuses).collect();
    runs.retain(|(_, status)| all || !matches!(status, RunStatus::Published));
    // What wants looking at comes first.
    let order = ["failed", "diverged", "training", "interrupted", "begun", "to do", "done"];
    runs.sort_by_key(|(_, status)| order.iter().position(|name| *name == status.name()));
    if runs.is_empty() {
        return Ok(());
    }
    let names = ["run_id", "status", "epoch", "epochs", "lr", "batch", "seed", "where", "error"];
    let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
    for (run, status) in runs {
        let cells = row(run, status, queue.get(&run.id));
        columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
    }
    let table = Table::from_cells(&names.map(str::to_owned), &columns)?;
    print(&table.render(width()));
    Ok(())
}

/// A run's row of the list.
fn row(run: &PlannedRun, status: &RunStatus, queued: Option<&Queued>) -> [Cell; 9] {
    let (epoch, place, error) = match status {
        RunStatus::Published => (Some(run.spec.epochs), None, None),
        RunStatus::Ended(ended) => (None, Some(ended.host.clone()), ended.error.clone()),
        RunStatus::Training { process, epoch } => {
            (Some(*epoch), Some(format!("process {} on {}", process.pid, process.host)), None)
        }
        RunStatus::Begun { position, .. } => (Some(position.epoch), None, None),
        RunStatus::ToDo => (Some(0), None, None),
    };
    let in_queue = queued.map(|queued| {
        // Slurm keeps the last reason for not running beyond its time.
        let reason = match queued.state.as_str() {
            "PENDING" => format!(" ({})", queued.reason),
            _ => String::new(),
        };
        format!("job {} {}{reason}", queued.job, queued.state.to_lowercase())
    });
    let text = |text: Option<String>| text.map_or(Cell::Null, Cell::Text);
    [
        Cell::Text(run.id.clone()),
        Cell::Text(status.name().to_owned()),
        epoch.map_or(Cell::Null, |epoch| Cell::Int(i64::from(epoch))),
        Cell::Int(i64::from(run.spec.epochs)),
        Cell::Float(run.spec.lr),
        Cell::Int(run.spec.batch as i64),
        run.spec.seeds.common().map_or(Cell::Null, Cell::Int),
        text(in_queue.or(place)),
        text(error),
    ]
}
