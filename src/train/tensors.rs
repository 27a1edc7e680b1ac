//! Replicas as libtorch's tensors, stacked in the channels: any model, any device, any precision.

use std::collections::HashMap;

use tch::{Device, Kind, Reduction, Tensor};

use super::evaluate::{Examples, evaluate};
use super::replicas::{Epoch, Replicas, Step, Sums};
use super::spec::RunSpec;
use crate::data::ImageStore;
use crate::error::Result;
use crate::model::{Model, Scores, State, Weights, arrange};
use crate::optim::{OptimizerState, Update};
use crate::rng::Rng;
use crate::torch::Precision;

pub(super) struct Tensors {
    store: ImageStore,
    model: Model,
    weights: Weights,
    optimizer: Box<dyn OptimizerState>,
    precision: Precision,
    batch: i64,
    device: Device,
    batches: Option<Batches>,
    /// Three rows, of loss, squared loss and hits, kept on the device until the epoch ends.
    sums: Option<Tensor>,
}

impl Tensors {
    /// Draws the weights of one replica per spec.
    pub(super) fn new(specs: &[RunSpec], model: Model, store: ImageStore, device: Device) -> Self {
        let first = &specs[0];
        let seeds: Vec<i64> = specs.iter().map(|spec| spec.seeds.init).collect();
        let weights = Weights::draw(&model.layout, &seeds, first.precision, device);
        let lr: Vec<f64> = specs.iter().map(|spec| spec.lr).collect();
        // One per parameter even where all are equal: a replica's rounding must not depend on its neighbours'.
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
            sums: None,
        }
    }

    /// The gradient of the sum over replicas of each one's mean loss on a batch: every replica gets its own.
    fn gradient(&mut self, index: usize) -> Option<Tensor> {
        let batches = self.batches.as_ref()?;
        let running = self.sums.is_some();
        let (images, labels) = batches.step(index as i64, &self.store);
        let images = images.to_kind(self.precision.compute());
        let logits = self.model.net.forward(&self.weights, &images, true);
        let logits = logits.to_kind(self.precision.master()).flatten(0, 1);
        let reduction = if running { Reduction::None } else { Reduction::Sum };
        let losses = logits.cross_entropy_loss(&labels, None::<&Tensor>, reduction, -100, 0.0);
        let total = if running { losses.sum(None::<Kind>) } else { losses.shallow_clone() };
        let gradient = self.weights.gradient(&(total / self.batch as f64));
        self.add_to_sums(&losses, &logits, &labels);
        Some(gradient)
    }

    fn add_to_sums(&mut self, losses: &Tensor, logits: &Tensor, labels: &Tensor) {
        let replicas = self.weights.replicas();
        let Some(sums) = &mut self.sums else { return };
        tch::no_grad(|| {
            let losses = losses.detach().to_kind(Kind::Double).view([replicas, -1]);
            let hits = logits.argmax(-1, false).eq_tensor(labels).to_kind(Kind::Double).view([replicas, -1]);
            let sum = |values: &Tensor| values.sum_dim_intlist(&[1i64][..], false, Kind::Double);
            let step = Tensor::stack(&[sum(&losses), sum(&losses.square()), sum(&hits)], 0);
            let _ = sums.g_add_(&step);
        });
    }
}

impl Replicas for Tensors {
    fn begin(&mut self, epoch: Epoch, sums: Option<Vec<Sums>>) {
        let (replicas, device) = (self.weights.replicas(), self.device);
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        self.batches = Some(Batches {
            starts: tensor(&epoch.starts),
            flips: tensor(&epoch.flips),
            // The loss reads replica first.
            labels: tensor(&epoch.labels).view([-1, self.batch, replicas]).transpose(1, 2).contiguous(),
            replicas,
            batch: self.batch,
        });
        self.sums = sums.map(|sums| {
            let rows: Vec<f64> = (0..3).flat_map(|row| sums.iter().map(move |sums| sums[row])).collect();
            Tensor::from_slice(&rows).view([3, replicas]).to_device(device)
        });
    }

    fn update(&mut self, step: Step) {
        let Some(gradient) = self.gradient(step.index) else { return };
        let noise = step.noise.map(|noise| self.weights.interleave(&noise));
        let optimizer = &mut self.optimizer;
        let update = Update { done: step.done, factor: step.factor, noise };
        self.weights.update(|theta| optimizer.step(theta, gradient, update));
        self.weights.batches += 1;
    }

    fn gradients(&mut self, index: usize, into: &mut Vec<Vec<f64>>) {
        into.clear();
        let Some(gradient) = self.gradient(index) else { return };
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

    fn sums(&self) -> Option<Vec<Sums>> {
        let sums = self.sums.as_ref()?;
        let of = |replica| [0, 1, 2].map(|row| sums.double_value(&[row, replica]));
        Some((0..self.weights.replicas()).map(of).collect())
    }

    fn evaluate(
        &mut self,
        sets: Vec<(&Examples, Rng)>,
        poll: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Scores>> {
        evaluate(&self.model, &self.weights, &self.store, self.precision, sets, poll)
    }

    fn state(&self, replica: usize) -> State {
        self.weights.state(replica as i64)
    }

    fn set_state(&mut self, replica: usize, state: State) -> Result<()> {
        self.weights.set_state(replica as i64, state)
    }

    fn memory(&self, replica: usize) -> Vec<(String, State)> {
        let own =
            |(name, buffer): (&str, &Tensor)| (name.to_owned(), self.weights.split(buffer, replica as i64));
        self.optimizer.buffers().into_iter().map(own).collect()
    }

    fn set_memory(&mut self, replica: usize, memory: Vec<(String, State)>) -> Result<()> {
        let mut memory: HashMap<String, State> = memory.into_iter().collect();
        for (name, buffer) in self.optimizer.buffers() {
            self.weights.join(buffer, replica as i64, memory.remove(name).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// An epoch of batches on the device.
struct Batches {
    starts: Tensor,
    flips: Tensor,
    /// Step, replica, image.
    labels: Tensor,
    replicas: i64,
    batch: i64,
}

impl Batches {
    /// Images, batch x (replicas · channels) x height x width, and labels, replicas · batch, of a step.
    fn step(&self, step: i64, store: &ImageStore) -> (Tensor, Tensor) {
        let length = self.replicas * self.batch;
        let cut = |tensor: &Tensor| tensor.narrow(0, step * length, length);
        let flips = if store.augments() { cut(&self.flips) } else { self.flips.shallow_clone() };
        let images = store.gather(&cut(&self.starts), &flips);
        (arrange(&images, self.batch, self.replicas), self.labels.get(step).view([-1]))
    }
}
