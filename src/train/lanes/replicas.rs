//! Replicas in vectors of one type, as a stack drives them.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::backend::{Step, TrainingBackend};
use super::super::batches::{EpochBatches, EvaluationSet};
use super::super::spec::RunSpec;
use super::super::strategy::ExecutionStrategy;
use super::super::tally::{Tally, scores_of};
use super::images::ImageLoader;
use super::lane_map::{LaneMap, every, set_every};
use super::loss;
use super::network::{Buffers, LaneNetwork, Parameters};
use super::norm::Running;
use super::slab::Batch;
use super::update::LaneOptimizer;
use super::vector::{Numbers, Scalar, Vector, lanes, lanes_mut};
use crate::data::ImageStore;
use crate::error::{Error, Result};
use crate::model::{self, Layout, Model, Scores, State};
use crate::torch::Precision;

/// Replicas in vectors of one type.
pub(super) struct Lanes<V: Vector> {
    layout: Arc<Layout>,
    precision: Precision,
    network: LaneNetwork,
    pub(super) parameters: Parameters<V>,
    /// Training batches seen.
    batches: i64,
    optimizer: LaneOptimizer<V>,
    buffers: Buffers<V>,
    images: ImageLoader<V>,
    batch: Batch,
    threads: usize,
    map: LaneMap,
    epoch: EpochBatches,
    tallies: Option<Vec<Tally>>,
    /// Of all parameters, where they are asked for.
    gradient: Vec<V::Scalar>,
}

impl<V: Vector> Lanes<V> {
    pub(super) fn new(
        specs: &[RunSpec],
        model: &Model,
        network: LaneNetwork,
        store: ImageStore,
        strategy: ExecutionStrategy,
    ) -> Result<Self> {
        let (first, replicas) = (&specs[0], specs.len());
        let ExecutionStrategy { images, threads, .. } = strategy;
        let map = LaneMap { replicas, places: V::LANES / images };
        let places = map.places;
        let parameters = model.layout.parameters() as usize;
        let lr = (0..places).map(|place| specs[map.replica_at(place)].lr).collect();
        let mut lanes = Self {
            layout: Arc::clone(&model.layout),
            precision: first.precision,
            parameters: Parameters {
                theta: Numbers::zeros(parameters * places)?,
                replicas: places,
                running: network.norms().into_iter().map(Running::new).collect(),
            },
            batches: 0,
            optimizer: LaneOptimizer::new(&first.optimizer, lr, parameters)?,
            buffers: network.buffers(first.batch.div_ceil(images), places, threads)?,
            images: ImageLoader::new(store),
            batch: Batch::new(first.batch, images, threads),
            threads,
            map,
            epoch: EpochBatches::default(),
            tallies: None,
            gradient: Vec::new(),
            network,
        };
        for (replica, spec) in specs.iter().enumerate() {
            let seeds = [spec.seeds.init];
            let drawn = model::Weights::draw(&model.layout, &seeds, first.precision, tch::Device::Cpu);
            lanes.set_weights(replica, &drawn);
        }
        Ok(lanes)
    }

    /// Images in a vector.
    fn pack(&self) -> usize {
        V::LANES / self.map.places
    }

    /// One replica's weights as libtorch's.
    fn weights_of(&self, replica: usize) -> model::Weights {
        let running: Vec<[Vec<f64>; 2]> = self
            .parameters
            .running
            .iter()
            .map(|running| {
                [&running.mean, &running.variance].map(|vectors| every(lanes(vectors), replica, V::LANES))
            })
            .collect();
        let flat = every(&self.parameters.theta, replica, self.map.places);
        model::Weights::of_one(&self.layout, self.precision, &flat, &running, self.batches)
    }

    fn set_weights(&mut self, replica: usize, weights: &model::Weights) {
        let (flat, running) = weights.numbers();
        let (own, places) = (self.map.places_of(replica), self.map.places);
        set_every(&mut self.parameters.theta, &own, places, &flat);
        // Statistics are in all lanes of a replica.
        let lanes: Vec<usize> = (0..V::LANES / places)
            .flat_map(|image| own.iter().map(move |place| image * places + place))
            .collect();
        for (running, [mean, variance]) in self.parameters.running.iter_mut().zip(&running) {
            set_every(lanes_mut(&mut running.mean), &lanes, V::LANES, mean);
            set_every(lanes_mut(&mut running.variance), &lanes, V::LANES, variance);
        }
        self.batches = weights.batches;
    }

    /// Forward on a batch of the epoch, in training mode, and the d_logits of its loss.
    fn forward(&mut self, index: usize) {
        let Self { network, parameters, buffers, images, epoch, map, batch, tallies, .. } = self;
        let views = index * batch.images * map.replicas..(index + 1) * batch.images * map.replicas;
        let flips = epoch.flips.get(views.clone()).unwrap_or(&[]);
        let room = &mut buffers.images[..batch.packs * images.numbers()];
        images.load(&epoch.starts[views.clone()], flips, *map, room);
        network.forward(parameters, buffers, *batch, true);
        let classes = network.classes();
        loss::cross_entropy(
            &buffers.logits,
            &epoch.labels[views],
            *map,
            classes,
            Some((&mut buffers.d_logits, 1.0 / batch.images as f64)),
            &mut |replica, loss, correct| {
                if let Some(tallies) = tallies {
                    tallies[replica].add(loss, correct);
                }
            },
        );
    }
}

impl<V: Vector> TrainingBackend for Lanes<V> {
    fn begin(&mut self, epoch: EpochBatches, tallies: Option<Vec<Tally>>) {
        (self.epoch, self.tallies) = (epoch, tallies);
    }

    fn update(&mut self, step: Step) {
        self.forward(step.index);
        let Self { network, parameters, buffers, map, .. } = self;
        let mut own = self.optimizer.step(step.done, step.factor);
        own.noise = step.noise.map(|noise| {
            let mut numbers = vec![V::Scalar::default(); parameters.theta.len()];
            for (replica, noise) in noise.iter().enumerate() {
                set_every(&mut numbers, &map.places_of(replica), map.places, noise);
            }
            numbers
        });
        let optimizer = &mut self.optimizer;
        network.backward(parameters, buffers, self.batch, &mut |theta, place, gradient| {
            optimizer.update(theta, place, gradient, &own);
        });
        self.batches += 1;
    }

    fn gradients(&mut self, index: usize, into: &mut Vec<Vec<f64>>) {
        self.forward(index);
        let LaneMap { replicas, places } = self.map;
        let Self { network, parameters, buffers, gradient: all, .. } = self;
        all.resize(parameters.theta.len(), V::Scalar::default());
        network.backward(parameters, buffers, self.batch, &mut |_, place, gradient| {
            all[place.start * places..place.end * places].copy_from_slice(gradient);
        });
        into.resize(replicas, Vec::new());
        into.iter_mut().for_each(|gradient| gradient.resize(all.len() / places, 0.0));
        // All replicas in one pass over the numbers.
        for (index, numbers) in all.chunks_exact(places).enumerate() {
            for (gradient, number) in into.iter_mut().zip(numbers) {
                gradient[index] = number.wide();
            }
        }
    }

    fn set_parameters(&mut self, values: &[Vec<f64>]) -> Result<()> {
        let map = self.map;
        for (index, numbers) in self.parameters.theta.chunks_exact_mut(map.places).enumerate() {
            for (place, number) in numbers.iter_mut().enumerate() {
                *number = V::Scalar::of(values[map.replica_at(place)][index]);
            }
        }
        Ok(())
    }

    fn tallies(&self) -> Option<Vec<Tally>> {
        self.tallies.clone()
    }

    fn evaluate(
        &mut self,
        mut sets: Vec<EvaluationSet>,
        poll: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Scores>> {
        let length = sets.first().map_or(0, |set| set.examples.rows.len());
        if length == 0 {
            return Err(Error::invalid("an empty data set has no loss; expected at least one example"));
        }
        let (numbers, classes) = (self.images.numbers(), self.network.classes());
        let (pack, map) = (self.pack(), self.map);
        let mut losses = vec![Vec::with_capacity(length); map.replicas];
        let mut correct = vec![0usize; map.replicas];
        // As many as in training, so that kernels are transformed as rarely.
        let most = self.buffers.logits.len() / classes * pack;
        for start in (0..length).step_by(most) {
            poll()?;
            let images = most.min(length - start);
            let batch = Batch::new(images, pack, self.threads);
            let views = EpochBatches::of_sets(&self.images.store, images, &mut sets, start..start + images);
            let room = &mut self.buffers.images[..batch.packs * numbers];
            self.images.load(&views.starts, &views.flips, map, room);
            self.network.forward(&mut self.parameters, &mut self.buffers, batch, false);
            let each = &mut |replica: usize, loss, is_correct| {
                losses[replica].push(loss);
                correct[replica] += usize::from(is_correct);
            };
            loss::cross_entropy(&self.buffers.logits, &views.labels, map, classes, None, each);
        }
        Ok(losses.iter().zip(correct).map(|(losses, correct)| scores_of(losses, correct)).collect())
    }

    fn state(&self, replica: usize) -> State {
        self.weights_of(replica).state(0)
    }

    fn set_state(&mut self, replica: usize, state: State) -> Result<()> {
        let mut weights = self.weights_of(replica);
        weights.set_state(0, state)?;
        self.set_weights(replica, &weights);
        Ok(())
    }

    fn optimizer_state(&self, replica: usize) -> Vec<(String, State)> {
        let weights = self.weights_of(replica);
        let kind = self.precision.master();
        let own = |(name, buffer): &(&str, Numbers<V>)| {
            let buffer = tch::Tensor::from_slice(&every(buffer, replica, self.map.places)).to_kind(kind);
            ((*name).to_owned(), weights.split(&buffer, 0))
        };
        self.optimizer.buffers.iter().map(own).collect()
    }

    fn set_optimizer_state(&mut self, replica: usize, optimizer_state: Vec<(String, State)>) -> Result<()> {
        let weights = self.weights_of(replica);
        let map = self.map;
        let own_places = map.places_of(replica);
        let mut optimizer_state: HashMap<String, State> = optimizer_state.into_iter().collect();
        for (name, own) in &mut self.optimizer.buffers {
            let buffer = weights.flat().zeros_like();
            weights.join(&buffer, 0, optimizer_state.remove(*name).unwrap_or_default())?;
            let numbers = Vec::<f64>::try_from(&buffer.to_kind(tch::Kind::Double))?;
            set_every(own, &own_places, map.places, &numbers);
        }
        Ok(())
    }
}
