//! Replicas as libtorch's tensors, stacked in the channels: any model, any device, any precision.

use std::collections::HashMap;

use tch::{Device, Kind, Reduction, Tensor};

use super::backend::{Step, TrainingBackend};
use super::batches::{EpochBatches, EvaluationSet};
use super::evaluate::{CHUNK, cross_entropy, evaluate, logits};
use super::recorded::{By, Recorded, RecordedWork};
use super::spec::RunSpec;
use super::tally::{DeviceTally, PerExample, Tally};
use crate::cuda;
use crate::data::ImageStore;
use crate::error::Result;
use crate::model::{Model, Scores, State, Weights, arrange};
use crate::optim::{OptimizerState, Update};
use crate::torch::Precision;

pub(super) struct Tensors {
    store: ImageStore,
    model: Model,
    weights: Weights,
    optimizer: Box<dyn OptimizerState>,
    precision: Precision,
    batch: i64,
    device: Device,
    batches: Option<DeviceBatches>,
    /// Whether the optimizer's update can be recorded.
    recordable: bool,
    recorded: Recorded,
    /// Of the epoch's updates, kept on the device until it ends.
    tally: DeviceTally,
    /// Whether updates add to it.
    counting: bool,
    evaluation: Option<RecordedEvaluation>,
}

/// What an evaluation on a GPU reads, and what it adds up.
struct RecordedEvaluation {
    batches: DeviceBatches,
    tally: DeviceTally,
}

impl Tensors {
    /// Draws the weights of one replica per spec.
    pub(super) fn new(specs: &[RunSpec], model: Model, store: ImageStore, device: Device) -> Self {
        let first = &specs[0];
        let seeds: Vec<i64> = specs.iter().map(|spec| spec.seeds.init).collect();
        let weights = Weights::draw(&model.layout, &seeds, first.precision, device);
        let lr: Vec<f64> = specs.iter().map(|spec| spec.lr).collect();
        // One per parameter even where all are equal: a replica's rounding must not depend on its
        // neighbours'.
        let optimizer = first.optimizer.state(&weights.per_parameter(&lr), weights.flat());
        Self {
            store,
            model,
            weights,
            optimizer,
            precision: first.precision,
            batch: first.batch as i64,
            device,
            batches: None,
            recordable: first.optimizer.is_recordable(),
            recorded: Recorded::new(device),
            tally: DeviceTally::zeros(specs.len(), device),
            counting: false,
            evaluation: None,
        }
    }

    /// The gradient of the sum over replicas of each one's mean loss on a batch: every replica gets
    /// its own.
    fn gradient(&mut self) -> Option<Tensor> {
        let batches = self.batches.as_ref()?;
        let (images, labels) = batches.here(&self.store, &self.weights);
        let logits = logits(&self.model, &self.weights, &images, self.precision, true);
        let reduction = if self.counting { Reduction::None } else { Reduction::Sum };
        let losses = cross_entropy(&logits, &labels, reduction);
        let total = if self.counting { losses.sum(None::<Kind>) } else { losses.shallow_clone() };
        let gradient = self.weights.gradient(&(total / self.batch as f64));
        if self.counting {
            let replicas = self.weights.replicas();
            self.tally.add(&PerExample::new(&losses, &logits, &labels, replicas));
        }
        Some(gradient)
    }

    /// The update at the cursor, which moves to the next. `host` describes it; a recording has none
    /// and reads everything from the device.
    fn step(&mut self, host: Option<&Step>) {
        let Some(gradient) = self.gradient() else { return };
        let Some(batches) = &mut self.batches else { return };
        let factor_there = (host.is_none()).then(|| batches.factor());
        let (done, factor) = host.map_or((0, 1.0), |step| (step.done, step.factor));
        let noise = host.and_then(|step| step.noise.as_ref()).map(|noise| self.weights.interleave(noise));
        let optimizer = &mut self.optimizer;
        let update = Update { done, factor, factor_there, noise };
        self.weights.update(|theta| optimizer.step(theta, gradient, update));
        let _ = batches.cursor.g_add_scalar_(1);
    }

    /// Scores of every replica, a recorded chunk of examples after another.
    fn evaluate_chunks(
        &mut self,
        mut sets: Vec<EvaluationSet>,
        poll: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Scores>> {
        let (replicas, device) = (sets.len(), self.device);
        let length = sets.first().map_or(0, |set| set.examples.rows.len());
        let chunk = self
            .evaluation
            .as_ref()
            .map_or(CHUNK.min(length).max(1), |evaluation| evaluation.batches.batch as usize);
        let chunks = length.div_ceil(chunk);
        let epoch = EpochBatches::of_sets(&self.store, chunks * chunk, &mut sets, 0..length);
        let fresh = DeviceBatches::new(epoch, chunk as i64, replicas as i64, &self.weights);
        if !self.evaluation.as_mut().is_some_and(|evaluation| evaluation.batches.take(&fresh)) {
            self.recorded.renew(RecordedWork::Evaluation, true);
            let (batches, tally) = (fresh.on(device), DeviceTally::zeros(replicas, device));
            self.evaluation = Some(RecordedEvaluation { batches, tally });
        }
        let Some(RecordedEvaluation { batches, tally }) = &mut self.evaluation else {
            return Ok(Vec::new());
        };
        tally.clear();
        let (model, weights, store, precision) = (&self.model, &self.weights, &self.store, self.precision);
        for index in 0..chunks {
            poll()?;
            batches.go_to(index);
            batches.next = Some(index + 1);
            self.recorded.run(RecordedWork::Evaluation, |_| {
                let launch = || {
                    let (images, labels) = batches.here(store, weights);
                    let logits = logits(model, weights, &images, precision, false);
                    let losses = cross_entropy(&logits, &labels, Reduction::None);
                    tally.add(&PerExample::new(&losses, &logits, &labels, replicas as i64));
                    let _ = batches.cursor.g_add_scalar_(1);
                };
                cuda::rounding(device, precision, || tch::no_grad(launch));
            });
        }
        Ok(tally.read().into_iter().map(|tally| tally.scores(length as f64)).collect())
    }
}

impl TrainingBackend for Tensors {
    fn begin(&mut self, epoch: EpochBatches, tallies: Option<Vec<Tally>>) {
        let replicas = self.weights.replicas();
        let fresh = DeviceBatches::new(epoch, self.batch, replicas, &self.weights);
        // A recording reads this memory: it is kept where the new batches fit.
        if !self.batches.as_mut().is_some_and(|batches| batches.take(&fresh)) {
            for work in [RecordedWork::Update, RecordedWork::CountedUpdate] {
                self.recorded.renew(work, self.recordable);
            }
            self.batches = Some(fresh.on(self.device));
        }
        self.counting = tallies.is_some();
        if let Some(tallies) = tallies {
            self.tally.set(&tallies);
        }
    }

    fn update(&mut self, step: Step) {
        let Some(batches) = &mut self.batches else { return };
        batches.go_to(step.index);
        batches.next = Some(step.index + 1);
        self.weights.batches += 1;
        let work = if self.counting { RecordedWork::CountedUpdate } else { RecordedWork::Update };
        let mut recorded = std::mem::replace(&mut self.recorded, Recorded::new(self.device));
        recorded.run(work, |by| {
            let host = (by == By::Host).then_some(&step);
            cuda::rounding(self.device, self.precision, || self.step(host));
        });
        self.recorded = recorded;
    }

    fn gradients(&mut self, index: usize, into: &mut Vec<Vec<f64>>) {
        into.clear();
        let Some(batches) = &mut self.batches else { return };
        batches.go_to(index);
        let gradient = cuda::rounding(self.device, self.precision, || self.gradient());
        let Some(gradient) = gradient else { return };
        let one = |replica| {
            let state = self.weights.split(&gradient, replica);
            let numbers = |tensor: Tensor| Vec::<f64>::try_from(&tensor.reshape([-1]).to_kind(Kind::Double));
            state.into_iter().flat_map(|(_, tensor)| numbers(tensor).unwrap_or_default()).collect()
        };
        into.extend((0..self.weights.replicas()).map(one));
    }

    fn set_parameters(&mut self, values: &[Vec<f64>]) -> Result<()> {
        let values = self.weights.interleave(values);
        self.weights.update(|theta| theta.copy_(&values));
        Ok(())
    }

    fn tallies(&self) -> Option<Vec<Tally>> {
        self.counting.then(|| self.tally.read())
    }

    fn evaluate(
        &mut self,
        sets: Vec<EvaluationSet>,
        poll: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Scores>> {
        if cuda::can_record(self.device) {
            return self.evaluate_chunks(sets, poll);
        }
        evaluate(&self.model, &self.weights, &self.store, self.precision, sets, poll)
    }

    fn state(&self, replica: usize) -> State {
        self.weights.state(replica as i64)
    }

    fn set_state(&mut self, replica: usize, state: State) -> Result<()> {
        self.weights.set_state(replica as i64, state)
    }

    fn optimizer_state(&self, replica: usize) -> Vec<(String, State)> {
        let own =
            |(name, buffer): (&str, &Tensor)| (name.to_owned(), self.weights.split(buffer, replica as i64));
        self.optimizer.buffers().into_iter().map(own).collect()
    }

    fn set_optimizer_state(&mut self, replica: usize, buffers: Vec<(String, State)>) -> Result<()> {
        let mut states: HashMap<String, State> = buffers.into_iter().collect();
        for (name, buffer) in self.optimizer.buffers() {
            self.weights.join(buffer, replica as i64, states.remove(name).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// An epoch of batches on the device, and which of them is next.
struct DeviceBatches {
    /// The first byte of each view, its flip, its label (replica first), and the schedule's factor:
    /// an update per row.
    epoch: [Tensor; 4],
    /// The next update, on the device: all that a replayed step depends on.
    cursor: Tensor,
    /// The same on the host, if it is known.
    next: Option<usize>,
    batch: i64,
}

impl DeviceBatches {
    /// On the CPU.
    fn new(epoch: EpochBatches, batch: i64, replicas: i64, weights: &Weights) -> Self {
        let steps = epoch.labels.len() as i64 / (batch * replicas);
        let rows = |values: &[i64]| Tensor::from_slice(values).view([steps, -1]);
        // The loss reads replica first.
        let labels = Tensor::from_slice(&epoch.labels).view([steps, batch, replicas]).transpose(1, 2);
        let factors = match epoch.factors.as_slice() {
            [] => Tensor::ones([steps], (Kind::Double, Device::Cpu)),
            factors => Tensor::from_slice(factors),
        };
        let epoch = [
            rows(&epoch.starts),
            if epoch.flips.is_empty() {
                Tensor::zeros([steps, 0], (Kind::Int64, Device::Cpu))
            } else {
                rows(&epoch.flips)
            },
            labels.reshape([steps, -1]),
            factors.view([steps, 1]).to_kind(weights.flat().kind()),
        ];
        let cursor = Tensor::zeros([1], (Kind::Int64, Device::Cpu));
        Self { epoch, cursor, next: None, batch }
    }

    /// On a device.
    fn on(self, device: Device) -> Self {
        let epoch = self.epoch.map(|tensor| tensor.to_device(device));
        Self { epoch, cursor: self.cursor.to_device(device), ..self }
    }

    /// Copies other batches into its own memory, if they fit.
    fn take(&mut self, fresh: &Self) -> bool {
        let pairs = || self.epoch.iter().zip(&fresh.epoch);
        let rows = |tensor: &Tensor| tensor.size()[0];
        if !pairs().all(|(old, new)| rows(old) >= rows(new) && old.size()[1..] == new.size()[1..]) {
            return false;
        }
        pairs().for_each(|(old, new)| old.narrow(0, 0, rows(new)).copy_(new));
        self.next = None;
        true
    }

    /// Puts the cursor at an update, if it is not there.
    fn go_to(&mut self, index: usize) {
        if self.next.take() != Some(index) {
            let _ = self.cursor.fill_(index as i64);
        }
    }

    fn row(&self, column: usize) -> Tensor {
        self.epoch[column].index_select(0, &self.cursor).view([-1])
    }

    fn factor(&self) -> Tensor {
        self.row(3)
    }

    /// Images, batch x (replicas · channels) x height x width, and labels, replicas · batch, of the
    /// update at the cursor.
    fn here(&self, store: &ImageStore, weights: &Weights) -> (Tensor, Tensor) {
        let flips = if store.augments() { self.row(1) } else { self.epoch[1].shallow_clone() };
        let images = store.gather(&self.row(0), &flips);
        (arrange(&images, self.batch, weights), self.row(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Augmentation, Dataset, Source};
    use crate::rng::{Rng, Stream};
    use crate::train::batches::Examples;

    /// Scores by chunks, as a GPU's are recorded, are those of [`evaluate`]: whether a set fills
    /// its last chunk or not, and whether it is longer or shorter than the one before.
    #[test]
    fn chunks_score_as_a_pass_does() {
        let spec = crate::train::spec::example();
        let data = Dataset::load(Source::digits()).unwrap();
        let build = || spec.model.build(data.shape(), data.classes()).unwrap();
        let store = ImageStore::new(data.images(), Augmentation::CropFlip, Device::Cpu, Kind::Float);
        let specs = [spec.clone(), RunSpec { seeds: crate::train::Seeds::all(7), ..spec.clone() }];
        let mut tensors = Tensors::new(&specs, build(), store.share(), Device::Cpu);
        let of = |from: usize, n: usize| Examples {
            rows: data.rows()[from..from + n].to_vec(),
            labels: data.labels()[from..from + n].to_vec(),
        };
        for n in [30, 70, 60, 7] {
            let examples = [of(0, n), of(100, n)];
            let sets = || -> Vec<EvaluationSet> {
                let set = |(examples, seed)| {
                    let rng = Rng::new(seed, Stream::EvaluationAugment, 1);
                    EvaluationSet { examples, rng }
                };
                examples.iter().zip([1, 2]).map(set).collect()
            };
            let found = tensors.evaluate_chunks(sets(), &mut || Ok(())).unwrap();
            let wanted = tensors.evaluate(sets(), &mut || Ok(())).unwrap();
            for (found, wanted) in found.iter().zip(&wanted) {
                assert!((found.loss - wanted.loss).abs() < 1e-5 * wanted.loss, "{n}: {found:?}, {wanted:?}");
                assert!((found.loss_std - wanted.loss_std).abs() < 1e-4, "{n}: {found:?}, {wanted:?}");
                assert!((found.accuracy - wanted.accuracy).abs() < 1e-12, "{n}: {found:?}, {wanted:?}");
            }
        }
    }
}
