//! Replicas that train in step, wherever their numbers lie: what a [`Stack`](super::stack::Stack) drives.
//!
//! There are two kinds: libtorch's tensors ([`super::tensors`]) train any model on any device, vector lanes
//! ([`super::lanes`]) train ResNets on a CPU.

use super::evaluate::Examples;
use crate::error::Result;
use crate::model::{Scores, State};
use crate::rng::Rng;

/// The views and labels of an epoch, ordered by step, image of the batch, replica.
pub(super) struct EpochBatches {
    /// The first byte of each view in the image store.
    pub(super) starts: Vec<i64>,
    /// 1 where a view is flipped; empty where none ever is.
    pub(super) flips: Vec<i64>,
    /// The classes.
    pub(super) labels: Vec<i64>,
    /// The schedule's factor of the learning rate for each of its updates; empty where nothing is updated.
    pub(super) factors: Vec<f64>,
}

/// One update of every replica.
pub(super) struct Step {
    /// Its place in the epoch.
    pub(super) index: usize,
    /// Updates done before, in all epochs.
    pub(super) done: u64,
    /// The schedule's factor of the learning rate.
    pub(super) factor: f64,
    /// β √(λT) w for each parameter of each replica, if there is noise.
    pub(super) noise: Option<Vec<Vec<f64>>>,
}

/// Sums over a replica's examples of loss, squared loss and correct.
pub(super) type Sums = [f64; 3];

/// Scores from sums over n examples.
pub(super) fn mean([loss, square, correct]: Sums, n: f64) -> Scores {
    let loss = loss / n;
    Scores { loss, accuracy: correct / n, loss_std: (square / n - loss * loss).max(0.0).sqrt() }
}

/// Replicas of one shape with their own weights, batches and learning rates.
pub(super) trait TrainingBackend {
    /// Takes the batches of the next updates. Where `sums` holds each replica's sums over the epoch so far, losses
    /// and correct of the updates are added to them.
    fn begin(&mut self, epoch: EpochBatches, sums: Option<Vec<Sums>>);

    /// One update of every replica.
    fn update(&mut self, step: Step);

    /// The gradient of each replica's mean loss on batch `index` of those that [`TrainingBackend::begin`] took, in training mode
    /// as an update would take it, by the order of the layout's parameters, in place of what `into` holds.
    fn gradients(&mut self, index: usize, into: &mut Vec<Vec<f64>>);

    /// Sets every replica's parameters, in that order; statistics of batch norms stay.
    fn set_parameters(&mut self, values: &[Vec<f64>]) -> Result<()>;

    /// Each replica's sums, where they were wanted.
    fn sums(&self) -> Option<Vec<Sums>>;

    /// Scores of every replica on its own examples, in evaluation mode. All sets have the same length; the
    /// generators draw their views. `poll` is called often, and its error ends the evaluation.
    fn evaluate(
        &mut self,
        sets: Vec<(&Examples, Rng)>,
        poll: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Scores>>;

    /// A replica's weights and statistics by their PyTorch names, on the CPU.
    fn state(&self, replica: usize) -> State;

    /// Sets what [`TrainingBackend::state`] gives.
    fn set_state(&mut self, replica: usize, state: State) -> Result<()>;

    /// What the optimizer remembers of a replica, by the name of each buffer.
    fn optimizer_state(&self, replica: usize) -> Vec<(String, State)>;

    /// Sets what [`TrainingBackend::memory`] gives.
    fn set_optimizer_state(&mut self, replica: usize, memory: Vec<(String, State)>) -> Result<()>;
}
