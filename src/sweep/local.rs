//! Running a plan on this machine.

use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use tch::Device;

use super::observer::{Observer, Work};
use super::plan::{Plan, PlannedRun};
use super::provenance::{Ended, Provenance};
use super::rows;
use super::store::Store;
use crate::error::{Error, Result};
use crate::model::Network;
use crate::table::Table;
use crate::torch::{default_device, device_name};
use crate::train::engine::{self, Event, Settings, Task};
use crate::train::{EpochRecord, RunSpec, Status};

/// How a plan is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Stacks that train at the same time; none: one per core, or per GPU.
    pub jobs: Option<usize>,
    /// Where; none: the first GPU, else the CPU.
    pub device: Option<Device>,
    /// Whether runs that failed before are tried again.
    pub retry_failed: bool,
}

impl RunOptions {
    fn settings(&self) -> Settings {
        let mut settings = Settings::on(self.device.unwrap_or_else(default_device));
        if let Some(jobs) = self.jobs {
            settings.workers = jobs.max(1);
        }
        settings
    }
}

/// How the runs of a plan ended, those of earlier calls included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs in the plan.
    pub runs: usize,
    /// Runs trained to their end.
    pub done: usize,
    /// Runs whose loss became infinite or not a number.
    pub diverged: usize,
    /// Runs that could not be trained.
    pub failed: usize,
}

/// Runs what is left of a plan in a folder: finished runs are skipped, each run is published as it ends.
///
/// Runs end alone: one that fails or diverges is noted and the others go on. [`Error::Interrupted`] when
/// the user asks to stop; what was published stays.
pub fn run(
    plan: &Plan,
    dir: &Path,
    provenance: &Provenance,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let store = Store::create(dir, plan, provenance)?;
    // How a run is executed is frozen; where its files lie is this plan's to say.
    let todo: Vec<PlannedRun> = store
        .plan()
        .runs
        .iter()
        .filter(|run| match store.ended(run).map(|ended| ended.status) {
            None | Some(Status::Interrupted) => true,
            Some(Status::Failed) => options.retry_failed,
            Some(Status::Done | Status::Diverged) => false,
        })
        .map(|frozen| {
            let own = plan.runs.iter().find(|run| run.id == frozen.id).unwrap_or(frozen);
            PlannedRun { spec: own.spec.clone(), ..frozen.clone() }
        })
        .collect();
    let trained = train_all(&store, &todo, options.settings(), observer);
    let noted = if todo.is_empty() { Ok(()) } else { store.write_runs() };
    // Why the training ended comes first.
    trained.and(noted)?;
    let mut summary = Summary { runs: store.plan().runs.len(), ..Summary::default() };
    for run in &store.plan().runs {
        match store.ended(run).map(|ended| ended.status) {
            Some(Status::Diverged) => summary.diverged += 1,
            Some(Status::Failed) => summary.failed += 1,
            Some(Status::Done) => summary.done += 1,
            Some(Status::Interrupted) | None => {}
        }
    }
    Ok(summary)
}

fn train_all(
    store: &Store,
    todo: &[PlannedRun],
    settings: Settings,
    observer: &mut dyn Observer,
) -> Result<()> {
    let tasks: Vec<Task> =
        todo.iter().map(|run| Task { spec: run.spec.clone(), choice: run.choice }).collect();
    observer.start(work(todo, store.plan().runs.len() - todo.len()));
    if tasks.is_empty() {
        return Ok(());
    }
    store.prepare()?;
    let device = device_name(settings.device);
    let mut records: Vec<Vec<EpochRecord>> = vec![Vec::new(); todo.len()];
    let mut begun: HashMap<usize, SystemTime> = HashMap::new();
    let result = engine::run(tasks, settings, &mut |event| {
        match event {
            Event::Began { run } => {
                begun.insert(run, SystemTime::now());
            }
            Event::Epoch { run, record } => {
                observer.epoch(&todo[run].id, &record);
                records[run].push(record);
            }
            Event::Ended { run, outcome } => {
                begun.remove(&run);
                let planned = &todo[run];
                if outcome.status == Status::Done {
                    store.publish(planned, &records[run])?;
                }
                let error = outcome.error.clone();
                let ended =
                    Ended::here(outcome.status, outcome.error, outcome.started, outcome.ended, &device);
                store.note_ended(planned, &ended)?;
                observer.ended(&planned.id, outcome.status, error.as_deref());
            }
            Event::Tick { images } => observer.tick(images),
        }
        Ok(())
    });
    observer.finish();
    if matches!(result, Err(Error::Interrupted)) {
        for (run, started) in begun {
            let ended = Ended::here(Status::Interrupted, None, started, SystemTime::now(), &device);
            store.note_ended(&todo[run], &ended)?;
        }
    }
    result
}

fn work(todo: &[PlannedRun], skipped: usize) -> Work {
    let epochs = todo.iter().map(|run| u64::from(run.spec.epochs.div_ceil(run.spec.evaluate_every))).sum();
    Work { runs: todo.len(), skipped, epochs }
}

/// Opens the finished runs of a sweep's folder as an epochs table.
pub fn open(dir: &Path) -> Result<Table> {
    Store::open(dir)?.epochs()
}

/// Trains one run in memory: its epochs table and its network.
pub fn train(spec: &RunSpec, options: &RunOptions, observer: &mut dyn Observer) -> Result<(Table, Network)> {
    let plan = Plan::new(vec![spec.clone()])?;
    let run = &plan.runs[0];
    let settings = Settings { keep_weights: true, ..options.settings() };
    let mut records = Vec::new();
    let mut outcome = None;
    observer.start(work(&plan.runs, 0));
    let result = engine::run(vec![Task { spec: spec.clone(), choice: run.choice }], settings, &mut |event| {
        match event {
            Event::Epoch { record, .. } => {
                observer.epoch(&run.id, &record);
                records.push(record);
            }
            Event::Ended { outcome: ended, .. } => {
                observer.ended(&run.id, ended.status, ended.error.as_deref());
                outcome = Some(ended);
            }
            Event::Tick { images } => observer.tick(images),
            Event::Began { .. } => {}
        }
        Ok(())
    });
    observer.finish();
    result?;
    let outcome = outcome.ok_or_else(|| Error::invalid("the run did not end"))?;
    let Some(state) = outcome.weights else {
        let reason = outcome.error.unwrap_or_default();
        return Err(Error::invalid(format!("the run {}: {reason}", outcome.status.name())));
    };
    let data = crate::data::Dataset::open(&spec.data)?;
    let model = spec.model.build(data.shape(), data.classes())?;
    let network = Network::from_state(model, state, spec.precision, settings.device)?;
    Ok((rows::epochs("", run, &records)?, network))
}
