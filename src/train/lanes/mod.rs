//! Replicas in the lanes of the processor's vectors: small ResNets on a CPU.
//!
//! Number i of a vector belongs to replica i, so a vector instruction does the same for 4, 8 or 16 replicas,
//! however few channels a layer has. [`vector`] is the vector, [`conv`], [`norm`], [`loss`] and [`update`] the
//! operations, [`network`] the ResNet, forward and backward. A replica's bits depend neither on the others in its
//! vector nor on how long the processor's vectors are (exp, ln and powers are the C library's).

mod conv;
mod loss;
mod network;
mod norm;
mod update;
mod vector;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use self::network::{Network, Places, Slab, Weights, Work};
use self::norm::Running;
use self::update::Optimizer;
use self::vector::{Plain, Scalar, Vector, lanes, lanes_mut};
use super::evaluate::Examples;
use super::replicas::{Epoch, Replicas, Step, Sums};
use super::spec::RunSpec;
use crate::data::ImageStore;
use crate::error::{Error, Result};
use crate::model::{self, Layout, Model, ModelSpec, Scores, State};
use crate::rng::Rng;
use crate::torch::Precision;

/// Runs the expression with `$vector` as the vector type for this many replicas: the shortest that holds them,
/// or the processor's longest.
macro_rules! with_vector {
    ($precision:expr, $replicas:expr, $vector:ident => $value:expr) => {{
        let (wide, replicas) = ($precision == Precision::Float64, $replicas);
        match Processor::get() {
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 if wide && replicas > 4 => {
                type $vector = vector::Avx512F64;
                $value
            }
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 if !wide && replicas > 8 => {
                type $vector = vector::Avx512F32;
                $value
            }
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 | Processor::Avx2 if wide => {
                type $vector = vector::Avx2F64;
                $value
            }
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 | Processor::Avx2 => {
                type $vector = vector::Avx2F32;
                $value
            }
            Processor::Other if wide => {
                type $vector = Plain<f64, 4>;
                $value
            }
            Processor::Other => {
                type $vector = Plain<f32, 8>;
                $value
            }
        }
    }};
}

/// What the processor can do.
#[derive(Clone, Copy)]
enum Processor {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Other,
}

impl Processor {
    fn get() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let long = is_x86_feature_detected!("avx512f");
            return if long { Self::Avx512 } else { Self::Avx2 };
        }
        Self::Other
    }
}

/// Replicas of the longest vector of any processor.
pub(super) fn most(precision: Precision) -> usize {
    if precision == Precision::Float64 { 8 } else { 16 }
}

/// Replicas of the longest vector of this processor.
pub(super) fn longest(precision: Precision) -> usize {
    with_vector!(precision, most(precision), V => V::LANES)
}

/// Whether lanes can train such a run, on a processor that multiplies and adds in one instruction.
pub(super) fn can(spec: &RunSpec) -> bool {
    let fused = !matches!(Processor::get(), Processor::Other) || cfg!(target_arch = "aarch64");
    fits(spec) && fused
}

fn fits(spec: &RunSpec) -> bool {
    matches!(spec.model, ModelSpec::Resnet { .. }) && spec.precision != Precision::Bf16
}

/// Replicas with drawn weights, one per spec, at most [`longest`] of one cohort.
pub(super) fn build(specs: &[RunSpec], model: &Model, store: ImageStore) -> Result<Box<dyn Replicas>> {
    let first = &specs[0];
    if !fits(first) || specs.len() > longest(first.precision) {
        return Err(Error::invalid(format!(
            "vector lanes train at most {} ResNets in float32, tf32 or float64; found {} of {} in {}",
            longest(first.precision),
            specs.len(),
            first.model.info().name,
            first.precision.name()
        )));
    }
    let network = network(model, first.batch)?;
    Ok(
        with_vector!(first.precision, specs.len(), V => Box::new(Lanes::<V>::new(specs, model, network, store))),
    )
}

/// Bytes that training this many replicas needs.
pub(super) fn bytes(spec: &RunSpec, model: &Model, replicas: usize) -> u64 {
    let parameters = model.layout.parameters() as u64;
    let noise = if spec.optimizer.noise() > 0.0 { 3 } else { 0 };
    let vectors = parameters * (1 + spec.optimizer.buffers() + noise)
        + network::vectors(model.shape, spec.model.width() as usize, spec.batch) as u64;
    with_vector!(spec.precision, replicas, V => vectors * size_of::<V>() as u64)
}

fn network(model: &Model, batch: usize) -> Result<Network> {
    Network::new(model.layout.as_ref(), model.shape, batch)
        .ok_or_else(|| Error::invalid(format!("vector lanes train no {}", model.spec.info().name)))
}

impl Places for Layout {
    fn place(&self, name: &str) -> Option<(Range<usize>, Vec<usize>)> {
        let mut start = 0;
        for tensor in &self.tensors {
            let end = start + tensor.numel() as usize;
            if tensor.name == name {
                return Some((start..end, tensor.shape.iter().map(|&size| size as usize).collect()));
            }
            start = end;
        }
        None
    }
}

/// Replicas in vectors of one type. Lanes beyond the replicas do what the first one does.
struct Lanes<V: Vector> {
    layout: Arc<Layout>,
    precision: Precision,
    network: Network,
    weights: Weights<V>,
    /// Training batches seen.
    batches: i64,
    optimizer: Optimizer<V>,
    work: Work<V>,
    images: Images<V>,
    slabs: Vec<Slab>,
    replicas: usize,
    epoch: Epoch,
    sums: Option<Vec<Sums>>,
    /// Of all parameters, where they are asked for.
    gradient: Vec<V>,
}

impl<V: Vector> Lanes<V> {
    fn new(specs: &[RunSpec], model: &Model, network: Network, store: ImageStore) -> Self {
        let (first, replicas) = (&specs[0], specs.len());
        let parameters = model.layout.parameters() as usize;
        let lr = (0..V::LANES).map(|lane| specs[own(lane, replicas)].lr).collect();
        let mut lanes = Self {
            layout: Arc::clone(&model.layout),
            precision: first.precision,
            weights: Weights {
                theta: vec![V::zero(); parameters],
                running: network.norms().into_iter().map(Running::new).collect(),
            },
            batches: 0,
            optimizer: Optimizer::new(&first.optimizer, lr, parameters),
            work: network.work(first.batch),
            images: Images::new(store),
            slabs: Slab::cut(first.batch),
            replicas,
            epoch: Epoch { starts: Vec::new(), flips: Vec::new(), labels: Vec::new(), factors: Vec::new() },
            sums: None,
            gradient: Vec::new(),
            network,
        };
        for (replica, spec) in specs.iter().enumerate() {
            let seeds = [spec.seeds.init];
            let drawn = model::Weights::draw(&model.layout, &seeds, first.precision, tch::Device::Cpu);
            lanes.set_weights(replica, &drawn);
        }
        lanes
    }

    /// One replica's weights as libtorch's.
    fn weights_of(&self, replica: usize) -> model::Weights {
        let running: Vec<[Vec<f64>; 2]> = self
            .weights
            .running
            .iter()
            .map(|running| [lane(&running.mean, replica), lane(&running.variance, replica)])
            .collect();
        let flat = lane(&self.weights.theta, replica);
        model::Weights::of_one(&self.layout, self.precision, &flat, &running, self.batches)
    }

    fn set_weights(&mut self, replica: usize, weights: &model::Weights) {
        let (flat, running) = weights.numbers();
        let own = own_lanes::<V>(replica, self.replicas);
        set_lanes(&mut self.weights.theta, &own, &flat);
        for (running, [mean, variance]) in self.weights.running.iter_mut().zip(&running) {
            set_lanes(&mut running.mean, &own, mean);
            set_lanes(&mut running.variance, &own, variance);
        }
        self.batches = weights.batches;
    }

    /// Forward on a batch of the epoch, in training mode, and the slopes of its loss.
    fn forward(&mut self, index: usize) {
        let Self { network, weights, work, images, epoch, replicas, .. } = self;
        let batch: usize = self.slabs.iter().map(|slab| slab.images).sum();
        let first = index * batch * *replicas;
        let of = |slab: &Slab| {
            let start = first + slab.start * *replicas;
            start..start + slab.images * *replicas
        };
        let numbers = images.numbers();
        for slab in &self.slabs {
            let flips = epoch.flips.get(of(slab)).unwrap_or(&[]);
            images.load(&epoch.starts[of(slab)], flips, *replicas, &mut work.images[slab.of(numbers)]);
        }
        network.forward(weights, work, &self.slabs, true);
        let classes = network.classes();
        for slab in &self.slabs {
            let slopes = &mut work.slopes[slab.of(classes)];
            let sums = &mut self.sums;
            loss::cross_entropy(
                &work.logits[slab.of(classes)],
                &epoch.labels[of(slab)],
                *replicas,
                Some((slopes, 1.0 / batch as f64)),
                &mut |replica, loss, hit| {
                    if let Some(sums) = sums {
                        let step = [loss, loss * loss, f64::from(u8::from(hit))];
                        sums[replica].iter_mut().zip(step).for_each(|(sum, value)| *sum += value);
                    }
                },
            );
        }
    }
}

impl<V: Vector> Replicas for Lanes<V> {
    fn begin(&mut self, epoch: Epoch, sums: Option<Vec<Sums>>) {
        (self.epoch, self.sums) = (epoch, sums);
    }

    fn update(&mut self, step: Step) {
        self.forward(step.index);
        let Self { network, weights, work, replicas, .. } = self;
        let mut own = self.optimizer.step(step.done, step.factor);
        own.noise = step.noise.map(|noise| {
            let mut vectors = vec![V::zero(); weights.theta.len()];
            for (replica, noise) in noise.iter().enumerate() {
                set_lanes(&mut vectors, &own_lanes::<V>(replica, *replicas), noise);
            }
            vectors
        });
        let optimizer = &mut self.optimizer;
        network.backward(&mut weights.theta, work, &self.slabs, &mut |theta, place, gradient| {
            optimizer.update(theta, place, gradient, &own);
        });
        self.batches += 1;
    }

    fn gradients(&mut self, index: usize, into: &mut Vec<Vec<f64>>) {
        self.forward(index);
        let Self { network, weights, work, replicas, gradient: all, .. } = self;
        all.resize(weights.theta.len(), V::zero());
        network.backward(&mut weights.theta, work, &self.slabs, &mut |_, place, gradient| {
            all[place].copy_from_slice(gradient);
        });
        into.resize(*replicas, Vec::new());
        into.iter_mut().for_each(|gradient| gradient.resize(all.len(), 0.0));
        // All replicas in one pass over the vectors.
        for (index, numbers) in lanes(all).chunks_exact(V::LANES).enumerate() {
            for (gradient, number) in into.iter_mut().zip(numbers) {
                gradient[index] = number.wide();
            }
        }
    }

    fn set_parameters(&mut self, values: &[Vec<f64>]) -> Result<()> {
        for (index, numbers) in lanes_mut(&mut self.weights.theta).chunks_exact_mut(V::LANES).enumerate() {
            for (lane, number) in numbers.iter_mut().enumerate() {
                *number = V::Scalar::of(values[own(lane, self.replicas)][index]);
            }
        }
        Ok(())
    }

    fn sums(&self) -> Option<Vec<Sums>> {
        self.sums.clone()
    }

    fn evaluate(
        &mut self,
        mut sets: Vec<(&Examples, Rng)>,
        poll: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Scores>> {
        let replicas = self.replicas;
        let length = sets.first().map_or(0, |(examples, _)| examples.rows.len());
        if length == 0 {
            return Err(Error::invalid("an empty data set has no loss; expected at least one example"));
        }
        let (numbers, classes) = (self.images.numbers(), self.network.classes());
        let mut losses = vec![Vec::with_capacity(length); replicas];
        let mut hits = vec![0usize; replicas];
        for start in (0..length).step_by(conv::SLAB) {
            poll()?;
            let slab = Slab { start: 0, images: conv::SLAB.min(length - start) };
            let mut views =
                Epoch { starts: Vec::new(), flips: Vec::new(), labels: Vec::new(), factors: Vec::new() };
            for image in start..start + slab.images {
                for (examples, rng) in &mut sets {
                    let view = self.images.store.draw(rng);
                    let (start, flip) = self.images.store.start(examples.rows[image], view);
                    views.starts.push(start);
                    views.flips.push(flip);
                    views.labels.push(i64::from(examples.labels[image]));
                }
            }
            let images = &mut self.work.images[slab.of(numbers)];
            self.images.load(&views.starts, &views.flips, replicas, images);
            self.network.forward(&mut self.weights, &mut self.work, &[slab], false);
            let logits = &self.work.logits[slab.of(classes)];
            loss::cross_entropy(logits, &views.labels, replicas, None, &mut |replica, loss, hit| {
                losses[replica].push(loss);
                hits[replica] += usize::from(hit);
            });
        }
        let n = length as f64;
        let scores = |(losses, hits): (&Vec<f64>, usize)| {
            let loss = losses.iter().sum::<f64>() / n;
            let variance = losses.iter().map(|value| (value - loss).powi(2)).sum::<f64>() / n;
            Scores { loss, accuracy: hits as f64 / n, loss_std: variance.sqrt() }
        };
        Ok(losses.iter().zip(hits).map(scores).collect())
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

    fn memory(&self, replica: usize) -> Vec<(String, State)> {
        let weights = self.weights_of(replica);
        let kind = self.precision.master();
        let own = |(name, buffer): &(&str, Vec<V>)| {
            let buffer = tch::Tensor::from_slice(&lane(buffer, replica)).to_kind(kind);
            ((*name).to_owned(), weights.split(&buffer, 0))
        };
        self.optimizer.buffers.iter().map(own).collect()
    }

    fn set_memory(&mut self, replica: usize, memory: Vec<(String, State)>) -> Result<()> {
        let weights = self.weights_of(replica);
        let mut memory: HashMap<String, State> = memory.into_iter().collect();
        for (name, own) in &mut self.optimizer.buffers {
            let buffer = weights.flat().zeros_like();
            weights.join(&buffer, 0, memory.remove(*name).unwrap_or_default())?;
            let numbers = Vec::<f64>::try_from(&buffer.to_kind(tch::Kind::Double))?;
            set_lanes(own, &own_lanes::<V>(replica, self.replicas), &numbers);
        }
        Ok(())
    }
}

/// The replica that a lane holds.
fn own(lane: usize, replicas: usize) -> usize {
    if lane < replicas { lane } else { 0 }
}

/// The lanes that hold a replica.
fn own_lanes<V: Vector>(replica: usize, replicas: usize) -> Vec<usize> {
    (0..V::LANES).filter(|&lane| own(lane, replicas) == replica).collect()
}

/// One lane's numbers.
fn lane<V: Vector>(vectors: &[V], lane: usize) -> Vec<f64> {
    lanes(vectors).iter().skip(lane).step_by(V::LANES).map(|value| value.wide()).collect()
}

/// Sets some lanes' numbers, all to the same.
fn set_lanes<V: Vector>(vectors: &mut [V], to: &[usize], values: &[f64]) {
    for (numbers, &value) in lanes_mut(vectors).chunks_exact_mut(V::LANES).zip(values) {
        to.iter().for_each(|&lane| numbers[lane] = V::Scalar::of(value));
    }
}

/// Images as bytes, and what each byte means.
struct Images<V: Vector> {
    store: ImageStore,
    offsets: [Vec<i64>; 2],
    /// The normalised value of each byte, per channel.
    values: Vec<[V::Scalar; 256]>,
}

impl<V: Vector> Images<V> {
    fn new(store: ImageStore) -> Self {
        // As libtorch rounds: the product, then the sum.
        let round = |value: f64| V::Scalar::of(value).wide();
        let meaning = |[scale, shift]: [f64; 2]| {
            std::array::from_fn(|byte| V::Scalar::of(round(byte as f64 * scale) + shift))
        };
        let values = store.scales().into_iter().map(meaning).collect();
        Self { offsets: store.offsets(), values, store }
    }

    /// Numbers of an image.
    fn numbers(&self) -> usize {
        self.offsets[0].len()
    }

    /// Fills a slab with views, given by image and replica.
    fn load(&self, starts: &[i64], flips: &[i64], replicas: usize, slab: &mut [V]) {
        let bytes = self.store.bytes();
        let images = starts.len() / replicas;
        let pixels = self.numbers() / self.values.len();
        let mut numbers = lanes_mut(slab).chunks_exact_mut(V::LANES);
        for position in 0..self.numbers() {
            let values = &self.values[position / pixels];
            for image in 0..images {
                let Some(numbers) = numbers.next() else { return };
                for (lane, number) in numbers.iter_mut().enumerate() {
                    let view = image * replicas + own(lane, replicas);
                    let flip = flips.get(view).is_some_and(|&flip| flip == 1);
                    let byte = bytes[(starts[view] + self.offsets[usize::from(flip)][position]) as usize];
                    *number = values[usize::from(byte)];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Augmentation, Dataset, Source};
    use crate::optim::{Adam, OptimizerSpec, Sgd};

    /// The weights of every replica after a few updates on the first digits.
    fn train<V: Vector>(specs: &[RunSpec]) -> Vec<Vec<f64>> {
        let first = &specs[0];
        let data = Dataset::load(Source::Digits).unwrap();
        let model = first.model.build(data.shape(), data.classes()).unwrap();
        let kind = first.precision.master();
        let store = ImageStore::new(data.images(), Augmentation::None, tch::Device::Cpu, kind);
        let network = network(&model, first.batch).unwrap();
        let mut lanes = Lanes::<V>::new(specs, &model, network, store);
        let (steps, n) = (3, 3 * first.batch * specs.len());
        let starts = (0..n as i64).map(|view| (view % 97) * 64).collect();
        let labels = (0..n as i64).map(|view| view % 10).collect();
        lanes.begin(Epoch { starts, flips: Vec::new(), labels, factors: Vec::new() }, None);
        for index in 0..steps {
            lanes.update(Step { index, done: index as u64, factor: 1.0, noise: None });
        }
        (0..specs.len()).map(|replica| lane(&lanes.weights.theta, replica)).collect()
    }

    /// What is reserved is what is taken, to a hundredth.
    #[test]
    fn memory_is_counted() {
        for (width, shape, batch) in [(4, [1, 8, 8], 1), (8, [1, 8, 8], 128), (3, [3, 32, 20], 20)] {
            let model = ModelSpec::Resnet { width }.build(shape, 10).unwrap();
            let taken = network(&model, batch).unwrap().work::<Plain<f32, 8>>(batch).vectors();
            let counted = network::vectors(shape, width as usize, batch);
            assert!((taken as f64 / counted as f64 - 1.0).abs() < 0.02, "{taken} {counted}");
        }
    }

    /// What the program does elsewhere is what it does on any other processor.
    #[test]
    fn every_vector_gives_the_same_bits() {
        let adam = OptimizerSpec::Adam(Adam::default());
        let momentum = OptimizerSpec::Sgd(Sgd { momentum: 0.9, ..Sgd::default() });
        for (optimizer, precision) in [(adam, Precision::Float64), (momentum, Precision::Float32)] {
            let specs: Vec<RunSpec> = (1..=3)
                .map(|seed| RunSpec {
                    model: ModelSpec::Resnet { width: 3 },
                    batch: 8,
                    lr: 0.01 * seed as f64,
                    seeds: crate::train::Seeds::all(seed),
                    optimizer: optimizer.clone(),
                    precision,
                    ..crate::train::spec::example()
                })
                .collect();
            let wide = precision == Precision::Float64;
            let plain = if wide { train::<Plain<f64, 4>>(&specs) } else { train::<Plain<f32, 8>>(&specs) };
            assert!(plain.iter().flatten().all(|value| value.is_finite()));
            #[cfg(target_arch = "x86_64")]
            {
                let processor = Processor::get();
                if matches!(processor, Processor::Avx2 | Processor::Avx512) {
                    let other = if wide {
                        train::<vector::Avx2F64>(&specs)
                    } else {
                        train::<vector::Avx2F32>(&specs)
                    };
                    assert!(plain == other, "AVX2 in {precision:?}");
                }
                if matches!(processor, Processor::Avx512) {
                    let other = if wide {
                        train::<vector::Avx512F64>(&specs)
                    } else {
                        train::<vector::Avx512F32>(&specs)
                    };
                    assert!(plain == other, "AVX-512 in {precision:?}");
                }
            }
        }
    }
}
