//! What runs cost, measured by training a little of them.

use std::time::{Duration, Instant};

use tch::Device;

use super::batches::image_store;
use super::costs::Cost;
use super::memory;
use super::spec::RunSpec;
use super::stack::{Advance, Signal, Stack};
use super::strategy::{Execution, ExecutionStrategy};
use crate::cuda;
use crate::data::Dataset;
use crate::error::Result;

/// What a run costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Time of one core (of one GPU) for the whole run, evaluation included, in seconds, as one of
    /// a stack.
    pub core_seconds: f64,
    /// Memory of its stack while it trains, at least, in bytes.
    pub memory: u64,
    /// Its speed on this machine, in units of the measured table's.
    pub pace: f64,
}

impl Expected {
    /// By the measured table, on a machine of this pace.
    pub fn from_table(
        spec: &RunSpec,
        data: &Dataset,
        strategy: ExecutionStrategy,
        replicas: usize,
        pace: f64,
        device: Device,
    ) -> Result<Self> {
        let replicas = replicas.clamp(1, strategy.largest(spec.precision, device));
        let memory =
            memory::needed(spec, data.shape(), data.classes(), Execution { strategy, device }, replicas)?;
        let core_seconds = Cost::expected(spec, data.shape(), strategy, replicas)?.core_seconds / pace;
        Ok(Self { core_seconds, memory, pace })
    }
}

/// Trains one epoch of a stack of `replicas` runs like this one, or as much of it as `budget`
/// allows, and says what such a run costs.
pub fn expected(
    spec: &RunSpec,
    strategy: ExecutionStrategy,
    replicas: usize,
    budget: Duration,
    device: Device,
) -> Result<Expected> {
    let data = Dataset::open(&spec.data)?;
    let replicas = replicas.clamp(1, strategy.largest(spec.precision, device));
    let memory =
        memory::needed(spec, data.shape(), data.classes(), Execution { strategy, device }, replicas)?;
    let table = Cost::expected(spec, data.shape(), strategy, replicas)?;
    crate::torch::initialize();
    // A thread of its own, because the number of torch threads is the thread's.
    let seconds = std::thread::scope(|scope| {
        let timed = crate::threads::start(scope, || -> Result<f64> {
            tch::get_num_threads();
            tch::set_num_threads(strategy.threads as i32);
            cuda::own_stream(device)?;
            let store = image_store(spec, &data, device);
            let specs = vec![spec.clone(); replicas];
            let mut stack = Stack::new(specs, strategy, Vec::new(), &data, store, device)?;
            time(&mut stack, spec, budget, device)
                .map(|seconds| seconds / replicas as f64 * strategy.threads as f64)
        })?;
        timed.join().unwrap_or(Ok(f64::NAN))
    })?;
    // Where nothing could be timed the table has to do.
    let seconds = if seconds.is_finite() { seconds } else { table.core_seconds };
    Ok(Expected { core_seconds: seconds, memory, pace: table.core_seconds / seconds })
}

/// Seconds of the whole run of a stack.
fn time(stack: &mut Stack, spec: &RunSpec, budget: Duration, device: Device) -> Result<f64> {
    // The first updates find everything cold, or are recorded.
    let warm_up = if cuda::can_record(device) { 5 } else { 2 };
    let begin = Instant::now();
    let (mut updates, mut warm, mut last) = (0u64, begin, begin);
    let advance = stack.advance(&mut |images| {
        last = Instant::now();
        if images > 0 {
            updates += 1;
            if updates == warm_up + 1 {
                warm = last;
            }
        }
        let enough = updates > warm_up + 1 && begin.elapsed() >= budget;
        if enough || crate::interrupt::raised() { Signal::Stop } else { Signal::Go }
    })?;
    crate::interrupt::check()?;
    let epochs = f64::from(spec.epochs);
    if let Advance::Epoch(records) = advance {
        let evaluated = f64::from(spec.epochs.div_ceil(spec.evaluate_every));
        // An epoch without metrics took training time alone: a third of a pass per evaluated image
        // comes on top.
        let share = match records {
            Some(_) => 1.0,
            None => 1.0 + evaluated / epochs * Cost::evaluation_share(spec),
        };
        return Ok(begin.elapsed().as_secs_f64() * epochs * share);
    }
    let timed = updates.saturating_sub(warm_up + 1).max(1) as f64;
    let update = last.duration_since(warm).as_secs_f64() / timed;
    let evaluated = f64::from(spec.epochs.div_ceil(spec.evaluate_every));
    Ok(update * spec.steps() as f64 * (1.0 + evaluated / epochs * Cost::evaluation_share(spec)))
}
