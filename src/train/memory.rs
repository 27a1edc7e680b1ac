//! How much memory training takes, and whether the machine has it.
//!
//! On a CPU an allocation beyond the machine's memory succeeds, and the kernel kills the process
//! later. So a stack reserves what it needs before it starts. One that can never fit ends with an
//! error; one that does not fit now waits for others to end. A GPU refuses an allocation, which
//! fails the run, so stacks reserve there, too.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tch::{Device, Kind};

use super::evaluate::CHUNK;
use super::lanes;
use super::measure;
use super::spec::RunSpec;
use super::strategy::{Backend, Execution};
use crate::error::{Error, Result};
use crate::torch::Precision;

/// Bytes that training `runs` runs together needs at least: weights, gradients (in libtorch twice:
/// by tensor and flat) and momentum, and the activations that the backward pass wants.
pub(super) fn needed(
    spec: &RunSpec,
    shape: [usize; 3],
    classes: usize,
    execution: Execution,
    runs: usize,
) -> Result<u64> {
    let Execution { strategy, device } = execution;
    let model = spec.model.build(shape, classes)?;
    let replicas = strategy.replicas(runs, spec.precision, device);
    let measuring = measure::bytes(spec, &model, execution, replicas)?;
    if strategy.backend_on(device) == Backend::Lanes {
        return Ok(lanes::bytes(spec, &model, replicas, strategy)? + measuring);
    }
    let size = |kind: Kind| kind.elt_size_in_bytes() as u64;
    let (master, compute) = (size(spec.precision.master()), size(spec.precision.compute()));
    let buffers = 3 + spec.optimizer.buffers();
    let activations = model.net.activations() * compute;
    let trained = spec.batch as u64 * activations;
    let at_work = match (device, spec.precision) {
        (Device::Cpu, _) => trained,
        // What was seen on a GPU (docs/benchmarks/2026-11-27-gpu.md): gradients of activations and
        // the convolutions' workspaces come on top. An evaluation uses the same memory.
        (_, precision) => {
            let workspaces = if matches!(precision, Precision::Float32 | Precision::Float64) { 5 } else { 3 };
            (workspaces * trained).max(spec.train.max(spec.test).min(CHUNK) as u64 * activations)
        }
    };
    let per_replica = model.layout.parameters() as u64 * buffers * master + at_work;
    Ok(per_replica * replicas as u64 + measuring)
}

/// The memory of a device, shared out to stacks.
pub(super) struct Memory {
    total: Option<u64>,
    used: Mutex<u64>,
    freed: Condvar,
}

/// Memory of a stack; given back when dropped.
pub(super) struct Reservation<'a> {
    memory: &'a Memory,
    bytes: u64,
}

impl Memory {
    /// This many bytes. None: unknown, so every reservation is granted.
    pub(super) fn of(total: Option<u64>) -> Self {
        Self { total, used: Mutex::new(0), freed: Condvar::new() }
    }

    /// All that there is.
    pub(super) fn all(&self) -> u64 {
        self.total.unwrap_or(0)
    }

    /// Reserves bytes; waits while others hold too many. `cancelled` ends the wait.
    ///
    /// # Errors
    ///
    /// Where they are more than the device has, or the wait was cancelled.
    pub(super) fn reserve(&self, bytes: u64, cancelled: impl Fn() -> bool) -> Result<Reservation<'_>> {
        let Some(total) = self.total else { return Ok(Reservation { memory: self, bytes: 0 }) };
        if bytes > total {
            let gigabytes = |bytes: u64| bytes as f64 / 1e9;
            return Err(Error::invalid(format!(
                "it needs at least {:.1} GB of memory, {:.1} GB are there; make batch or width smaller",
                gigabytes(bytes),
                gigabytes(total)
            )));
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used + bytes > total {
            if cancelled() {
                return Err(Error::Interrupted);
            }
            let wait = self.freed.wait_timeout(used, Duration::from_millis(50));
            used = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        *used += bytes;
        Ok(Reservation { memory: self, bytes })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        *self.memory.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.memory.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_waits_for_others_and_never_for_more_than_there_is() {
        let memory = Memory::of(Some(100));
        assert!(memory.reserve(101, || false).is_err());
        let first = memory.reserve(60, || false).unwrap();
        assert!(matches!(memory.reserve(60, || true), Err(Error::Interrupted)));
        std::thread::scope(|scope| {
            let second = scope.spawn(|| memory.reserve(60, || false).is_ok());
            std::thread::sleep(Duration::from_millis(20));
            drop(first);
            assert!(second.join().unwrap());
        });
        assert_eq!(*memory.used.lock().unwrap(), 0);
    }

    /// Width 32 on 32x32 images, counted by hand: 2.2 MB of activations per image.
    #[test]
    fn needed_memory_is_counted() {
        let mut spec = super::super::spec::example();
        spec.model = crate::model::ModelSpec::resnet(32);
        spec.batch = 100;
        let strategy = crate::train::ExecutionStrategy::torch(2, 1);
        let execution = Execution { strategy, device: Device::Cpu };
        let bytes = needed(&spec, [3, 32, 32], 10, execution, 2).unwrap();
        let weights = 2 * 2_796_202 * 3 * 4;
        let per_image = (bytes - weights) as f64 / 200.0;
        assert!((2.1e6..2.4e6).contains(&per_image), "{per_image}");
    }
}
