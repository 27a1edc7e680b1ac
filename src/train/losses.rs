//! The losses of a run's first updates, for comparisons with other programs.

use tch::Device;

use super::batches::image_store;
use super::spec::{RunSpec, TrainMetrics};
use super::stack::{Advance, Signal, Stack};
use super::strategy::ExecutionStrategy;
use crate::cuda;
use crate::data::Dataset;
use crate::error::{Error, Result};

/// The mean loss of each of the first `steps` batches, each before its update.
pub fn losses(spec: &RunSpec, strategy: ExecutionStrategy, steps: usize, device: Device) -> Result<Vec<f64>> {
    crate::torch::initialize();
    cuda::on_own_stream(device, || follow(spec, strategy, steps, device))
}

fn follow(spec: &RunSpec, strategy: ExecutionStrategy, steps: usize, device: Device) -> Result<Vec<f64>> {
    let spec = RunSpec { train_metrics: TrainMetrics::Running, evaluate_every: 1, ..spec.clone() };
    let data = Dataset::open(&spec.data)?;
    let store = image_store(&spec, &data, device);
    let (batch, epochs) = (spec.batch as f64, spec.epochs);
    let mut stack = Stack::new(vec![spec], strategy, Vec::new(), &data, store, device)?;
    let (mut losses, mut before) = (Vec::with_capacity(steps), 0.0);
    while losses.len() < steps {
        if stack.position().epoch == epochs {
            return Err(Error::invalid(format!("the run has only {} of {steps} updates", losses.len())));
        }
        crate::interrupt::check()?;
        let mut updated = false;
        let advance = stack.advance(&mut |images| {
            // Evaluations ask without images.
            if images > 0 && updated {
                return Signal::Checkpoint;
            }
            updated |= images > 0;
            Signal::Go
        })?;
        let sum = match advance {
            Advance::Paused => stack.snapshot(0).tally.map_or(f64::NAN, |tally| tally.loss),
            Advance::Epoch(records) => {
                let mean = records.and_then(|records| records.first().map(|record| record.train.loss));
                mean.unwrap_or(f64::NAN) * batch * stack.steps_per_epoch() as f64
            }
        };
        if updated {
            losses.push((sum - before) / batch);
        }
        before = if stack.position().step == 0 { 0.0 } else { sum };
    }
    Ok(losses)
}
