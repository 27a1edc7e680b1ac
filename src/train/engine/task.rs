//! What is to be trained, and how.

use std::time::Duration;

use tch::Device;

use super::super::snapshot::{Position, Snapshot};
use super::super::spec::RunSpec;
use super::super::strategy::ExecutionStrategy;
use crate::cuda;
use crate::error::Result;

/// Runs that train at once on a GPU, each on its stream. Eight reach what sixteen do on ResNets of
/// width 32; smaller ones gain (`docs/benchmarks/2026-11-27-gpu.md`).
const STREAMS: usize = 16;

/// A run to train.
#[derive(Clone, Debug)]
pub struct Task {
    /// What to train.
    pub spec: RunSpec,
    /// How.
    pub strategy: ExecutionStrategy,
    /// Where it is thought to start: runs of one stack start at the same place.
    pub position: Position,
}

impl Task {
    /// A run from its beginning.
    pub fn new(spec: RunSpec, strategy: ExecutionStrategy) -> Self {
        Self { spec, strategy, position: Position::default() }
    }
}

/// How to train.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Stacks that train at the same time.
    pub workers: usize,
    /// Where: workers are dealt out to these in turn. At least one; the CPU alone, or GPUs.
    pub devices: Vec<Device>,
    /// Whether outcomes carry the final weights.
    pub keep_weights: bool,
    /// Time from one checkpoint of a run to the next; zero: every epoch. None: no checkpoints.
    pub checkpoint_every: Option<Duration>,
    /// Time for an interrupted training to finish its step and a checkpoint; then its threads are
    /// abandoned.
    pub patience: Duration,
}

impl Settings {
    /// One worker per core on this device, without checkpoints. On a GPU as many as there may be
    /// recorded steps on streams at once, or one.
    pub fn on(device: Device) -> Self {
        Self::on_all(vec![device])
    }

    /// The same on each of these.
    pub fn on_all(devices: Vec<Device>) -> Self {
        let workers = |&device: &Device| match device {
            Device::Cpu => cores(),
            device if cuda::available(device) => STREAMS,
            _ => 1,
        };
        let workers = devices.iter().map(workers).sum();
        let patience = Duration::from_millis(500);
        Self { workers, devices, keep_weights: false, checkpoint_every: None, patience }
    }

    /// The first device; the others are like it.
    pub fn device(&self) -> Device {
        self.devices.first().copied().unwrap_or(Device::Cpu)
    }
}

/// The cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Where a run starts.
pub enum Start {
    /// At its beginning.
    Fresh,
    /// From here.
    From(Box<Snapshot>),
    /// Not here: it has ended meanwhile, or trains elsewhere.
    Leave,
}

/// Says where runs start, when their turn comes. Called on worker threads.
pub trait ResumeSource: Send + Sync {
    /// Where the task at this position starts, which will train on this device. An error stops the
    /// training of all.
    fn start(&self, run: usize, device: Device) -> Result<Start>;
}

/// Every run starts at its beginning.
pub(super) struct FreshStart;

impl ResumeSource for FreshStart {
    fn start(&self, _run: usize, _device: Device) -> Result<Start> {
        Ok(Start::Fresh)
    }
}
