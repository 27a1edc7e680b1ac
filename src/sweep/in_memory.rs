//! Training one run in memory.

use std::time::Duration;

use tch::Device;

use super::local::RunOptions;
use super::observer::{Observer, Todo, Work};
use super::plan::Plan;
use super::rows;
use crate::error::{Error, Result};
use crate::model::Network;
use crate::table::Table;
use crate::train::engine::{self, Event, Settings, Task};
use crate::train::{Outcome, Position, RunSpec, Status};

/// What one run that was trained in memory leaves.
pub struct Trained {
    /// Its epochs so far.
    pub epochs: Table,
    /// The network as its last update left it; none where that update was left behind, or where the
    /// run has no numbers.
    pub network: Option<Network>,
    /// How it ended.
    pub status: Status,
    /// Why it did not come to its end.
    pub stopped: Option<Error>,
}

/// Trains one run in memory. What it has when it is interrupted, or diverges, is not lost.
///
/// # Errors
///
/// Where it could not begin.
pub fn train(spec: &RunSpec, options: &RunOptions, observer: &mut dyn Observer) -> Result<Trained> {
    let plan = Plan::new(vec![spec.clone()])?;
    let run = &plan.runs[0];
    // The only checkpoint is that of a run that is stopped; nothing waits for it to be written.
    let settings = Settings {
        keep_weights: true,
        checkpoint_every: Some(Duration::MAX),
        patience: Settings::on(Device::Cpu).patience,
        ..options.settings()
    };
    let device = settings.device();
    let mut records = Vec::new();
    let mut state = None;
    let mut outcome = None;
    observer.start(Work::of(&[Todo { run, position: Position::default() }], 0));
    let task = Task::new(spec.clone(), run.strategy);
    let result = engine::run(vec![task], settings, &mut |event| {
        match event {
            Event::Epoch { record, .. } => {
                records.push(record);
                if let Some(record) = records.last() {
                    observer.epoch("", run, record)?;
                }
            }
            Event::Checkpoint { runs } => state = runs.into_iter().next().map(|(_, own)| own.weights),
            Event::Ended { outcome: ended, .. } => {
                observer.ended(&run.id, ended.status, ended.error.as_deref());
                outcome = Some(ended);
            }
            Event::Tick { images } => observer.tick(images),
            Event::Stopping => observer.stopping(false),
            Event::Began { .. } | Event::Left { .. } | Event::Flush => {}
        }
        Ok(())
    });
    observer.finish();
    let (status, stopped) = match (outcome, result) {
        (Some(Outcome { weights: weights @ Some(_), status, .. }), Ok(())) => {
            state = weights;
            (status, None)
        }
        (Some(Outcome { status, error, .. }), Ok(())) => {
            let reason = error.unwrap_or_default();
            (status, Some(Error::invalid(format!("the run {}: {reason}", status.name()))))
        }
        (_, Err(Error::Interrupted)) => (Status::Interrupted, Some(Error::Interrupted)),
        (_, Err(error)) => return Err(error),
        (None, Ok(())) => return Err(Error::invalid("the run did not end")),
    };
    let network = match state {
        Some(state) => {
            let data = crate::data::Dataset::open(&spec.data)?;
            let model = spec.model.build(data.shape(), data.classes())?;
            Some(Network::from_state(model, state, spec.precision, device)?)
        }
        None => None,
    };
    Ok(Trained { epochs: rows::epochs("", run, &records)?, network, status, stopped })
}
