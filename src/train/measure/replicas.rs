//! Replicas in float64 whose gradients are asked for at any θ.

use std::sync::Arc;

use tch::{Kind, Tensor};

use super::super::backend::TrainingBackend;
use super::super::batches::{Draw, EpochBatches, Examples};
use super::super::lanes;
use super::super::spec::RunSpec;
use super::super::strategy::{Backend, Execution};
use super::super::tensors::Tensors;
use crate::data::ImageStore;
use crate::error::{Error, Result};
use crate::model::{Layout, Model, State};
use crate::rng::{Rng, Stream};
use crate::torch::Precision;

/// A network to measure, with its data.
pub(in super::super) struct Subject<'a> {
    pub(in super::super) spec: &'a RunSpec,
    pub(in super::super) train: &'a Examples,
    pub(in super::super) test: &'a Examples,
    pub(in super::super) state: State,
}

/// Replicas in float64 whose gradients are asked for at any θ.
pub(super) struct Instrument<'a> {
    backend: Box<dyn TrainingBackend>,
    pub(super) subjects: Vec<Subject<'a>>,
    store: &'a ImageStore,
    /// θ of each replica.
    pub(super) theta: Vec<Vec<f64>>,
    pub(super) epoch: u64,
    /// Draws of batches so far.
    pub(super) drawn: u64,
    /// Memory for vectors: new memory costs more than what is computed in it.
    pub(super) spare: Vec<Vectors>,
    poll: &'a mut dyn FnMut() -> Result<()>,
}

/// A vector of all parameters per replica.
pub(super) type Vectors = Vec<Vec<f64>>;

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl<'a> Instrument<'a> {
    pub(super) fn new(
        subjects: Vec<Subject<'a>>,
        model: &Model,
        store: &'a ImageStore,
        execution: Execution,
        epoch: u64,
        poll: &'a mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let specs: Vec<RunSpec> = subjects
            .iter()
            .map(|subject| RunSpec { precision: Precision::Float64, ..subject.spec.clone() })
            .collect();
        let layout = Arc::clone(&model.layout);
        let mut backend: Box<dyn TrainingBackend> = match execution.strategy.backend {
            Backend::Lanes => lanes::build(&specs, model, store.share(), execution.strategy)?,
            Backend::Torch => {
                let [first, ..] = specs.as_slice() else { return Err(Error::invalid("nothing to measure")) };
                let model = first.model.build(model.shape, model.classes)?;
                Box::new(Tensors::new(&specs, model, store.share(), execution.device))
            }
        };
        let mut theta = Vec::with_capacity(subjects.len());
        for (replica, subject) in subjects.iter().enumerate() {
            let state = subject.state.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
            backend.set_state(replica, state.collect())?;
            theta.push(flat(&layout, &subject.state)?);
        }
        Ok(Self { backend, subjects, store, theta, epoch, drawn: 0, spare: Vec::new(), poll })
    }

    pub(super) fn replicas(&self) -> usize {
        self.subjects.len()
    }

    /// Loads `count` batches of training or test examples for every replica: disjoint as long as
    /// there are enough.
    pub(super) fn load(&mut self, test: bool, count: usize) {
        let batch = self.subjects[0].spec.batch;
        let length = count * batch;
        // Independent of what trains: other streams, and the epoch with the draws so far as index.
        let index = (self.epoch << 16) + self.drawn;
        let rng = |subject: &Subject| Rng::new(subject.spec.seeds.order, Stream::Measure, index);
        let mut rngs: Vec<Rng> = self.subjects.iter().map(rng).collect();
        let mut draws = Vec::with_capacity(self.replicas());
        for (subject, rng) in self.subjects.iter().zip(&mut rngs) {
            let examples = if test { subject.test } else { subject.train };
            let n = examples.rows.len();
            let mut positions: Vec<u32> = Vec::with_capacity(length + n);
            while positions.len() < length {
                let mut more = rng.permutation(n as u32);
                more.truncate(if 2 * batch > n { batch } else { n });
                positions.extend(more);
            }
            let positions = positions.into_iter().map(|position| position as usize);
            draws.push(Draw { examples, positions, rng });
        }
        let batches = EpochBatches::assemble(self.store, length, draws);
        self.drawn += 1;
        self.backend.begin(batches, None);
    }

    /// The gradient of one of the loaded batches, of every replica, in memory that was given back,
    /// if there is some.
    pub(super) fn gradient(&mut self, index: usize) -> Result<Vectors> {
        (self.poll)()?;
        let mut gradients = self.spare.pop().unwrap_or_default();
        self.backend.gradients(index, &mut gradients);
        Ok(gradients)
    }

    /// Puts every replica at θ + step · direction.
    pub(super) fn go(&mut self, direction: &Vectors, steps: &[f64]) -> Result<()> {
        let there = |((theta, direction), step): ((&Vec<f64>, &Vec<f64>), &f64)| {
            theta.iter().zip(direction).map(|(theta, d)| theta + step * d).collect()
        };
        let there: Vectors = self.theta.iter().zip(direction).zip(steps).map(there).collect();
        self.backend.set_parameters(&there)
    }

    pub(super) fn back(&mut self) -> Result<()> {
        self.backend.set_parameters(&self.theta)
    }

    /// The mean gradient of the loaded batches of these indices, of every replica.
    pub(super) fn mean_gradient(&mut self, batches: &[usize]) -> Result<Vectors> {
        let [first, others @ ..] = batches else { return Err(Error::invalid("no batches to measure on")) };
        let mut sum = self.gradient(*first)?;
        for &batch in others {
            let gradients = self.gradient(batch)?;
            for (sum, gradient) in sum.iter_mut().zip(&gradients) {
                sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
            self.spare.push(gradients);
        }
        let share = 1.0 / batches.len() as f64;
        sum.iter_mut().flatten().for_each(|sum| *sum *= share);
        Ok(sum)
    }

    /// Gradients that a group may take: a thirtieth of the updates from one measurement to the next
    /// each, so that the time (a gradient in float64 takes two to three times as long as an update)
    /// is less than a fifth where there are a thousand updates. As many as there is use for where
    /// nothing trains.
    pub(super) fn allowed(&self) -> usize {
        let spec = self.subjects[0].spec;
        let every = spec.measure.as_ref().map_or(u64::MAX / 2, |measure| measure.every.into());
        usize::try_from(every.saturating_mul(spec.steps_per_epoch()) / 30).unwrap_or(usize::MAX)
    }
}

/// A state's parameters in the layout's order.
fn flat(layout: &Layout, state: &State) -> Result<Vec<f64>> {
    let mut values = Vec::with_capacity(layout.parameters() as usize);
    for tensor in &layout.tensors {
        let missing = || Error::invalid(format!("expected a tensor `{}`, found none", tensor.name));
        let (_, found) = state.iter().find(|(name, _)| *name == tensor.name).ok_or_else(missing)?;
        let found: Tensor = found.detach().reshape([-1]).to_kind(Kind::Double);
        values.extend(Vec::<f64>::try_from(&found)?);
    }
    Ok(values)
}
