//! What computes the updates of a [`Stack`](super::stack::Stack) of replicas.
//!
//! There are two backends: libtorch's tensors ([`super::tensors`]) train any model on any device,
//! vector lanes ([`super::lanes`]) train ResNets on a CPU.

use super::batches::{EpochBatches, EvaluationSet};
use super::tally::Tally;
use crate::error::Result;
use crate::model::{Scores, State};

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

/// Replicas of one shape with their own weights, batches and learning rates.
pub(super) trait TrainingBackend {
    /// Takes the batches of the next updates. Where `tallies` holds each replica's tally of the
    /// epoch so far, the updates' examples are added to it.
    fn begin(&mut self, epoch: EpochBatches, tallies: Option<Vec<Tally>>);

    /// One update of every replica.
    fn update(&mut self, step: Step);

    /// Writes into `into` the gradient of each replica's mean loss on batch `index` of those that
    /// [`TrainingBackend::begin`] took. In training mode, as for an update; in the order of the
    /// layout's parameters.
    fn gradients(&mut self, index: usize, into: &mut Vec<Vec<f64>>);

    /// Sets every replica's parameters, in that order; statistics of batch norms stay.
    fn set_parameters(&mut self, values: &[Vec<f64>]) -> Result<()>;

    /// Each replica's tally, where it was wanted.
    fn tallies(&self) -> Option<Vec<Tally>>;

    /// Scores of every replica on its own examples, in evaluation mode. All sets have the same
    /// length. `poll` is called often, and its error ends the evaluation.
    fn evaluate(
        &mut self,
        sets: Vec<EvaluationSet>,
        poll: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Scores>>;

    /// A replica's weights and statistics by their PyTorch names, on the CPU.
    fn state(&self, replica: usize) -> State;

    /// Sets what [`TrainingBackend::state`] gives.
    fn set_state(&mut self, replica: usize, state: State) -> Result<()>;

    /// What the optimizer remembers of a replica, by the name of each buffer.
    fn optimizer_state(&self, replica: usize) -> Vec<(String, State)>;

    /// Sets what [`TrainingBackend::optimizer_state`] gives.
    fn set_optimizer_state(&mut self, replica: usize, buffers: Vec<(String, State)>) -> Result<()>;
}
