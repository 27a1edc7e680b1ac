//! Replicas as libtorch's tensors, stacked in the channels: any model, any device, any precision.

use std::collections::HashMap;

use tch::{Device, Kind, Reduction, Tensor};

use super::cuda::{self, Graph};
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
    /// Whether the optimizer's update can be recorded.
    recordable: bool,
    recording: Recording,
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
            recordable: first.optimizer.is_recordable(),
            recording: Recording::Off,
            sums: None,
        }
    }

    /// The gradient of the sum over replicas of each one's mean loss on a batch: every replica gets its own.
    fn gradient(&mut self) -> Option<Tensor> {
        let batches = self.batches.as_ref()?;
        let running = self.sums.is_some();
        let (images, labels) = batches.here(&self.store);
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

    /// The update at the cursor, which goes on to the next. `host` is what the host says of it; what is recorded reads all from
    /// the device.
    fn step(&mut self, host: Option<Step>) {
        let Some(gradient) = self.gradient() else { return };
        let Some(batches) = &mut self.batches else { return };
        let factor_there = (host.is_none()).then(|| batches.factor());
        let (done, factor, noise) = host.map_or((0, 1.0, None), |step| (step.done, step.factor, step.noise));
        let noise = noise.map(|noise| self.weights.interleave(&noise));
        let optimizer = &mut self.optimizer;
        let update = Update { done, factor, factor_there, noise };
        self.weights.update(|theta| optimizer.step(theta, gradient, update));
        let _ = batches.cursor.g_add_scalar_(1);
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
        let steps = epoch.labels.len() as i64 / (self.batch * replicas);
        let rows = |values: &[i64]| Tensor::from_slice(values).view([steps, -1]);
        // The loss reads replica first.
        let labels = Tensor::from_slice(&epoch.labels).view([steps, self.batch, replicas]).transpose(1, 2);
        let factors = match epoch.factors.as_slice() {
            [] => Tensor::ones([steps], (Kind::Double, Device::Cpu)),
            factors => Tensor::from_slice(factors),
        };
        let fresh = [
            rows(&epoch.starts),
            if epoch.flips.is_empty() { Tensor::from_slice(&[0i64; 0]) } else { rows(&epoch.flips) },
            labels.reshape([steps, -1]),
            factors.to_kind(self.weights.flat().kind()),
        ];
        match &mut self.batches {
            // What was recorded reads these places.
            Some(batches) if batches.epoch.iter().zip(&fresh).all(|(old, new)| old.size() == new.size()) => {
                batches.epoch.iter_mut().zip(&fresh).for_each(|(old, new)| old.copy_(new));
                batches.next = None;
            }
            _ => {
                self.recording = Recording::begin(device, self.recordable);
                self.batches = Some(Batches {
                    epoch: fresh.map(|tensor| tensor.to_device(device)),
                    cursor: Tensor::zeros([1], (Kind::Int64, device)),
                    next: None,
                    replicas,
                    batch: self.batch,
                });
            }
        }
        let sums = sums.map(|sums| {
            let rows: Vec<f64> = (0..3).flat_map(|row| sums.iter().map(move |sums| sums[row])).collect();
            Tensor::from_slice(&rows).view([3, replicas])
        });
        match (&mut self.sums, sums) {
            (Some(own), Some(sums)) => own.copy_(&sums),
            (own, sums) => *own = sums.map(|sums| sums.to_device(device)),
        }
    }

    fn update(&mut self, step: Step) {
        let Some(batches) = &mut self.batches else { return };
        batches.go_to(step.index);
        batches.next = Some(step.index + 1);
        self.weights.batches += 1;
        match &mut self.recording {
            // A step with sums and one without are different ones.
            Recording::Ready { graph, with_sums } if *with_sums == self.sums.is_some() => {
                if let Err(error) = graph.replay() {
                    // As libtorch's own errors come.
                    panic!("{error}");
                }
                return;
            }
            Recording::Waiting(0) => {
                let with_sums = self.sums.is_some();
                match Graph::record(|| self.step(None)) {
                    Ok(graph) => {
                        if let Err(error) = graph.replay() {
                            panic!("{error}");
                        }
                        self.recording = Recording::Ready { graph, with_sums };
                        return;
                    }
                    Err(error) => {
                        eprintln!("kelvin: no CUDA graph ({error}); training goes on without");
                        self.recording = Recording::Off;
                    }
                }
            }
            Recording::Waiting(updates) => *updates -= 1,
            Recording::Ready { .. } | Recording::Off => {}
        }
        self.step(Some(step));
    }

    fn gradients(&mut self, index: usize, into: &mut Vec<Vec<f64>>) {
        into.clear();
        let Some(batches) = &mut self.batches else { return };
        batches.go_to(index);
        let Some(gradient) = self.gradient() else { return };
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

/// How far the recording of a step is.
enum Recording {
    /// A launch per operation.
    Off,
    /// So many updates are to come before, as on any other stream: libtorch prepares some things at their first use.
    Waiting(u32),
    /// Recorded, with the epoch's sums or without.
    Ready { graph: Graph, with_sums: bool },
}

impl Recording {
    fn begin(device: Device, recordable: bool) -> Self {
        if recordable && cuda::available(device) { Self::Waiting(3) } else { Self::Off }
    }
}

/// An epoch of batches on the device, and which of them is next.
struct Batches {
    /// The first byte of each view, its flip, its label (replica first), and the schedule's factor: an update per row.
    epoch: [Tensor; 4],
    /// The update that is next, on the device: whoever replays a recorded step says nothing else.
    cursor: Tensor,
    /// The same on the host, if it is known.
    next: Option<usize>,
    replicas: i64,
    batch: i64,
}

impl Batches {
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

    /// Images, batch x (replicas · channels) x height x width, and labels, replicas · batch, of the update at the cursor.
    fn here(&self, store: &ImageStore) -> (Tensor, Tensor) {
        let flips = if store.augments() { self.row(1) } else { self.epoch[1].shallow_clone() };
        let images = store.gather(&self.row(0), &flips);
        (arrange(&images, self.batch, self.replicas), self.row(2))
    }
}
