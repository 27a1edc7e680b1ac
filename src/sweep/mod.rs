//! Sweeps: a plan of runs, where it is stored, and its execution on this machine or a cluster.

mod attempt;
mod compact;
mod frozen;
mod job;
mod journal;
mod local;
mod observer;
pub mod options;
mod plan;
mod preview;
mod process;
mod provenance;
pub mod rows;
pub mod slurm;
mod store;

pub use crate::files::{Call, Fault, Files, Hook};
pub use attempt::Past;
pub use compact::{Compacted, compact};
pub use job::{Job, Progress, Stage};
pub use journal::{Checkpoint, Record, parse as parse_journal};
pub use local::{RunOptions, Summary, Trained, open, open_all, run, train, train_rest};
pub use observer::{Observer, Silent, Work};
pub use plan::{Plan, PlannedRun};
pub use preview::preview_plan;
pub use process::Process;
pub use provenance::{Ended, Provenance, Script, time_text};
pub use store::{RunStatus, Store};

use crate::error::{Error, Result};

/// Does something with every item on all cores; results come in the order of the items.
fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let size = items.len().div_ceil(crate::train::engine::cores()).max(1);
    let one = &|items: &[T]| items.iter().map(&work).collect::<Result<Vec<R>>>();
    let own = crate::interrupt::scope();
    let parts = std::thread::scope(|scope| {
        let work = |items| {
            let own = own.clone();
            crate::threads::start(scope, move || {
                crate::interrupt::work_for(own);
                one(items)
            })
        };
        let threads: Vec<_> = items.chunks(size).map(work).collect::<Result<_>>()?;
        let panicked = |_| Err(Error::invalid("a thread that read files died"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect::<Result<Vec<_>>>()
    })?;
    Ok(parts.into_iter().flatten().collect())
}
