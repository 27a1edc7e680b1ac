//! Replicas in the lanes of the processor's vectors: ResNets on a CPU.
//!
//! A vector holds the same number of several replicas, at several images of each one's batch where there are fewer
//! replicas than lanes, so a vector instruction does useful work in every lane however few channels a layer has.
//! [`vector`] is the vector, [`conv`], [`norm`], [`loss`] and [`update`] the operations, [`network`] the ResNet, forward
//! and backward. A replica's bits depend on how many images a vector holds and on how many threads share its batch, which a
//! plan decides ([`ExecutionStrategy`]), and neither on the other replicas nor on how long the processor's vectors are (exp, ln and
//! powers are the C library's; in bfloat16 a few processors take numbers below 1.2e-38 for zero).

mod bf16;
mod conv;
mod direct;
mod loss;
mod network;
mod norm;
mod share;
mod slab;
mod update;
mod vector;
mod winograd;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use self::bf16::Bf16;
use self::network::{Network, Places, Weights, Work};
use self::norm::Running;
use self::slab::Batch;
use self::update::LaneOptimizer;
use self::vector::{Numbers, Pair, Plain, Scalar, Vector, lanes, lanes_mut};
use super::backend::{EpochBatches, Step, Sums, TrainingBackend};
use super::evaluate::Examples;
use super::spec::RunSpec;
use super::strategy::ExecutionStrategy;
use crate::data::ImageStore;
use crate::error::{Error, Result};
use crate::model::{self, Layout, Model, ModelSpec, Scores, State};
use crate::rng::Rng;
use crate::torch::Precision;

/// Runs the expression with `$vector` as the vector type for this many lanes: the shortest that has them, or the
/// longest.
macro_rules! with_vector {
    ($precision:expr, $lanes:expr, $vector:ident => $value:expr) => {{
        macro_rules! with {
            ($type:ty) => {{
                type $vector = $type;
                $value
            }};
        }
        let long = $lanes > max_lanes($precision) / 2;
        match (Processor::get(), $precision, long) {
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { bf16: true }, Precision::Bf16, _) => with!(Bf16<vector::Avx512F32>),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { .. } | Processor::Avx2, Precision::Bf16, _) => {
                with!(Bf16<Pair<vector::Avx2F32>>)
            }
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { .. }, Precision::Float64, true) => with!(vector::Avx512F64),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { .. }, _, true) => with!(vector::Avx512F32),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx2, Precision::Float64, true) => with!(Pair<vector::Avx2F64>),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx2, _, true) => with!(Pair<vector::Avx2F32>),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { .. } | Processor::Avx2, Precision::Float64, false) => with!(vector::Avx2F64),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { .. } | Processor::Avx2, _, false) => with!(vector::Avx2F32),
            (Processor::Other, Precision::Bf16, _) => with!(Bf16<Pair<Plain<f32, 8>>>),
            (Processor::Other, Precision::Float64, true) => with!(Pair<Plain<f64, 4>>),
            (Processor::Other, _, true) => with!(Pair<Plain<f32, 8>>),
            (Processor::Other, Precision::Float64, false) => with!(Plain<f64, 4>),
            (Processor::Other, _, false) => with!(Plain<f32, 8>),
        }
    }};
}

/// What the processor can do.
#[derive(Clone, Copy)]
enum Processor {
    #[cfg(target_arch = "x86_64")]
    Avx512 {
        /// Whether it multiplies bfloat16 numbers.
        bf16: bool,
    },
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Other,
}

impl Processor {
    fn get() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            if !is_x86_feature_detected!("avx512f") {
                return Self::Avx2;
            }
            let bf16 = is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw");
            return Self::Avx512 { bf16 };
        }
        Self::Other
    }
}

/// Lanes of the longest vector, on any processor.
pub(super) fn max_lanes(precision: Precision) -> usize {
    if precision == Precision::Float64 { 8 } else { 16 }
}

/// How many images of a batch a vector should hold for `cohort` runs on `cores` cores: so many that they take the
/// fewest vectors.
pub(super) fn images(precision: Precision, batch: usize, cohort: usize, cores: usize) -> usize {
    let possible = (0..).map(|power| 1 << power).take_while(|&images| images <= max_lanes(precision));
    // Packs of an update that the busiest core computes, and what an update costs besides, which is about one more.
    // Of equally few those with more replicas, which share updates.
    let vectors = |&images: &usize| {
        let stacks = super::cohort::stacks(cohort, max_lanes(precision) / images, cores).len();
        stacks.div_ceil(cores.max(1)) * (batch.div_ceil(images) + 1)
    };
    possible.min_by_key(vectors).unwrap_or(1)
}

/// Whether lanes can train such a run, on a processor that multiplies and adds in one instruction.
pub(super) fn is_supported(spec: &RunSpec) -> bool {
    let fused = !matches!(Processor::get(), Processor::Other) || cfg!(target_arch = "aarch64");
    is_resnet(spec) && fused
}

/// Whether lanes know a run's model.
pub(super) fn is_resnet(spec: &RunSpec) -> bool {
    matches!(spec.model, ModelSpec::Resnet { .. })
}

/// Replicas with drawn weights, one per spec, all of one cohort.
pub(super) fn build(
    specs: &[RunSpec],
    model: &Model,
    store: ImageStore,
    strategy: ExecutionStrategy,
) -> Result<Box<dyn TrainingBackend>> {
    let (first, images) = (&specs[0], strategy.images);
    let largest = max_lanes(first.precision) / images;
    if !is_resnet(first) || specs.len() > largest {
        return Err(Error::invalid(format!(
            "vector lanes train at most {largest} ResNets; found {} of {} in {}",
            specs.len(),
            first.model.info().name,
            first.precision.name()
        )));
    }
    let network = network(model)?;
    let lanes = lanes_of(first.precision, specs.len(), images);
    Ok(
        with_vector!(first.precision, lanes, V => Box::new(Lanes::<V>::new(specs, model, network, store, strategy)?)),
    )
}

/// Lanes of the vectors that hold this many replicas and images.
fn lanes_of(precision: Precision, replicas: usize, images: usize) -> usize {
    let most = max_lanes(precision);
    // Products of bfloat16 numbers have no short vectors.
    let shortest = if precision == Precision::Bf16 { most } else { most / 2 };
    (replicas.next_power_of_two() * images).max(shortest)
}

/// Bytes that training this many replicas needs.
pub(super) fn bytes(
    spec: &RunSpec,
    model: &Model,
    replicas: usize,
    strategy: ExecutionStrategy,
) -> Result<u64> {
    let images = strategy.images;
    let parameters = model.layout.parameters() as u64;
    let lanes = lanes_of(spec.precision, replicas, images) as u64;
    let noise = if spec.optimizer.noise() > 0.0 { 3 } else { 0 };
    let numbers = parameters * (1 + spec.optimizer.buffers() + noise) * (lanes / images as u64);
    let network = network(model)?;
    let work = with_vector!(spec.precision, lanes as usize, V => {
        network.bytes::<V>(spec.batch.div_ceil(images), V::LANES / images, strategy.threads)
    });
    let size = if spec.precision == Precision::Float64 { 8 } else { 4 };
    Ok(numbers * size + work as u64)
}

fn network(model: &Model) -> Result<Network> {
    Network::new(model.layout.as_ref(), model.shape)
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

/// Replicas in vectors of one type. Places in a vector beyond the replicas do what the first one does.
struct Lanes<V: Vector> {
    layout: Arc<Layout>,
    precision: Precision,
    network: Network,
    weights: Weights<V>,
    /// Training batches seen.
    batches: i64,
    optimizer: LaneOptimizer<V>,
    work: Work<V>,
    images: Images<V>,
    batch: Batch,
    threads: usize,
    replicas: usize,
    epoch: EpochBatches,
    sums: Option<Vec<Sums>>,
    /// Of all parameters, where they are asked for.
    gradient: Vec<V::Scalar>,
}

impl<V: Vector> Lanes<V> {
    fn new(
        specs: &[RunSpec],
        model: &Model,
        network: Network,
        store: ImageStore,
        strategy: ExecutionStrategy,
    ) -> Result<Self> {
        let (first, replicas) = (&specs[0], specs.len());
        let ExecutionStrategy { images, threads, .. } = strategy;
        let places = V::LANES / images;
        let parameters = model.layout.parameters() as usize;
        let lr = (0..places).map(|place| specs[own(place, replicas)].lr).collect();
        let mut lanes = Self {
            layout: Arc::clone(&model.layout),
            precision: first.precision,
            weights: Weights {
                theta: Numbers::zeros(parameters * places)?,
                replicas: places,
                running: network.norms().into_iter().map(Running::new).collect(),
            },
            batches: 0,
            optimizer: LaneOptimizer::new(&first.optimizer, lr, parameters)?,
            work: network.work(first.batch.div_ceil(images), places, threads)?,
            images: Images::new(store),
            batch: Batch::new(first.batch, images, threads),
            threads,
            replicas,
            epoch: EpochBatches {
                starts: Vec::new(),
                flips: Vec::new(),
                labels: Vec::new(),
                factors: Vec::new(),
            },
            sums: None,
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

    /// Replicas for which a vector has places.
    fn places(&self) -> usize {
        self.weights.replicas
    }

    /// Images in a vector.
    fn pack(&self) -> usize {
        V::LANES / self.places()
    }

    /// One replica's weights as libtorch's.
    fn weights_of(&self, replica: usize) -> model::Weights {
        let running: Vec<[Vec<f64>; 2]> = self
            .weights
            .running
            .iter()
            .map(|running| {
                [&running.mean, &running.variance].map(|vectors| every(lanes(vectors), replica, V::LANES))
            })
            .collect();
        let flat = every(&self.weights.theta, replica, self.places());
        model::Weights::of_one(&self.layout, self.precision, &flat, &running, self.batches)
    }

    fn set_weights(&mut self, replica: usize, weights: &model::Weights) {
        let (flat, running) = weights.numbers();
        let places = self.places();
        let own = own_places(replica, self.replicas, places);
        set_every(&mut self.weights.theta, &own, places, &flat);
        // Statistics are in all lanes of a replica.
        let lanes: Vec<usize> = (0..V::LANES / places)
            .flat_map(|image| own.iter().map(move |place| image * places + place))
            .collect();
        for (running, [mean, variance]) in self.weights.running.iter_mut().zip(&running) {
            set_every(lanes_mut(&mut running.mean), &lanes, V::LANES, mean);
            set_every(lanes_mut(&mut running.variance), &lanes, V::LANES, variance);
        }
        self.batches = weights.batches;
    }

    /// Forward on a batch of the epoch, in training mode, and the d_logits of its loss.
    fn forward(&mut self, index: usize) {
        let Self { network, weights, work, images, epoch, replicas, batch, sums, .. } = self;
        let views = index * batch.images * *replicas..(index + 1) * batch.images * *replicas;
        let places = [*replicas, weights.replicas];
        let flips = epoch.flips.get(views.clone()).unwrap_or(&[]);
        let room = &mut work.images[..batch.packs * images.numbers()];
        images.load(&epoch.starts[views.clone()], flips, places, room);
        network.forward(weights, work, *batch, true);
        let classes = network.classes();
        loss::cross_entropy(
            &work.logits,
            &epoch.labels[views],
            places,
            classes,
            Some((&mut work.d_logits, 1.0 / batch.images as f64)),
            &mut |replica, loss, hit| {
                if let Some(sums) = sums {
                    let step = [loss, loss * loss, f64::from(u8::from(hit))];
                    sums[replica].iter_mut().zip(step).for_each(|(sum, value)| *sum += value);
                }
            },
        );
    }
}

impl<V: Vector> TrainingBackend for Lanes<V> {
    fn begin(&mut self, epoch: EpochBatches, sums: Option<Vec<Sums>>) {
        (self.epoch, self.sums) = (epoch, sums);
    }

    fn update(&mut self, step: Step) {
        self.forward(step.index);
        let places = self.places();
        let Self { network, weights, work, replicas, .. } = self;
        let mut own = self.optimizer.step(step.done, step.factor);
        own.noise = step.noise.map(|noise| {
            let mut numbers = vec![V::Scalar::default(); weights.theta.len()];
            for (replica, noise) in noise.iter().enumerate() {
                set_every(&mut numbers, &own_places(replica, *replicas, places), places, noise);
            }
            numbers
        });
        let optimizer = &mut self.optimizer;
        network.backward(weights, work, self.batch, &mut |theta, place, gradient| {
            optimizer.update(theta, place, gradient, &own);
        });
        self.batches += 1;
    }

    fn gradients(&mut self, index: usize, into: &mut Vec<Vec<f64>>) {
        self.forward(index);
        let places = self.places();
        let Self { network, weights, work, replicas, gradient: all, .. } = self;
        all.resize(weights.theta.len(), V::Scalar::default());
        network.backward(weights, work, self.batch, &mut |_, place, gradient| {
            all[place.start * places..place.end * places].copy_from_slice(gradient);
        });
        into.resize(*replicas, Vec::new());
        into.iter_mut().for_each(|gradient| gradient.resize(all.len() / places, 0.0));
        // All replicas in one pass over the numbers.
        for (index, numbers) in all.chunks_exact(places).enumerate() {
            for (gradient, number) in into.iter_mut().zip(numbers) {
                gradient[index] = number.wide();
            }
        }
    }

    fn set_parameters(&mut self, values: &[Vec<f64>]) -> Result<()> {
        let places = self.places();
        for (index, numbers) in self.weights.theta.chunks_exact_mut(places).enumerate() {
            for (place, number) in numbers.iter_mut().enumerate() {
                *number = V::Scalar::of(values[own(place, self.replicas)][index]);
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
        let (pack, places) = (self.pack(), [replicas, self.places()]);
        let mut losses = vec![Vec::with_capacity(length); replicas];
        let mut correct = vec![0usize; replicas];
        // As many as in training, so that kernels are transformed as rarely.
        let most = self.work.logits.len() / classes * pack;
        for start in (0..length).step_by(most) {
            poll()?;
            let images = most.min(length - start);
            let batch = Batch::new(images, pack, self.threads);
            let mut views = EpochBatches {
                starts: Vec::new(),
                flips: Vec::new(),
                labels: Vec::new(),
                factors: Vec::new(),
            };
            for image in start..start + images {
                for (examples, rng) in &mut sets {
                    let view = self.images.store.draw(rng);
                    let (start, flip) = self.images.store.start(examples.rows[image], view);
                    views.starts.push(start);
                    views.flips.push(flip);
                    views.labels.push(i64::from(examples.labels[image]));
                }
            }
            let room = &mut self.work.images[..batch.packs * numbers];
            self.images.load(&views.starts, &views.flips, places, room);
            self.network.forward(&mut self.weights, &mut self.work, batch, false);
            let each = &mut |replica: usize, loss, hit| {
                losses[replica].push(loss);
                correct[replica] += usize::from(hit);
            };
            loss::cross_entropy(&self.work.logits, &views.labels, places, classes, None, each);
        }
        let n = length as f64;
        let scores = |(losses, correct): (&Vec<f64>, usize)| {
            let loss = losses.iter().sum::<f64>() / n;
            let variance = losses.iter().map(|value| (value - loss).powi(2)).sum::<f64>() / n;
            Scores { loss, accuracy: correct as f64 / n, loss_std: variance.sqrt() }
        };
        Ok(losses.iter().zip(correct).map(scores).collect())
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
            let buffer = tch::Tensor::from_slice(&every(buffer, replica, self.places())).to_kind(kind);
            ((*name).to_owned(), weights.split(&buffer, 0))
        };
        self.optimizer.buffers.iter().map(own).collect()
    }

    fn set_optimizer_state(&mut self, replica: usize, optimizer_state: Vec<(String, State)>) -> Result<()> {
        let weights = self.weights_of(replica);
        let in_all = self.places();
        let places = own_places(replica, self.replicas, in_all);
        let mut optimizer_state: HashMap<String, State> = optimizer_state.into_iter().collect();
        for (name, own) in &mut self.optimizer.buffers {
            let buffer = weights.flat().zeros_like();
            weights.join(&buffer, 0, optimizer_state.remove(*name).unwrap_or_default())?;
            let numbers = Vec::<f64>::try_from(&buffer.to_kind(tch::Kind::Double))?;
            set_every(own, &places, in_all, &numbers);
        }
        Ok(())
    }
}

/// The replica at a place of a vector.
fn own(place: usize, replicas: usize) -> usize {
    if place < replicas { place } else { 0 }
}

/// The places, of `places`, that a replica has.
fn own_places(replica: usize, replicas: usize, places: usize) -> Vec<usize> {
    (0..places).filter(|&place| own(place, replicas) == replica).collect()
}

/// What is at one place of every `places` numbers.
fn every<S: Scalar>(numbers: &[S], place: usize, places: usize) -> Vec<f64> {
    numbers.iter().skip(place).step_by(places).map(|value| value.wide()).collect()
}

/// Sets some places of every `places` numbers, all to the same.
fn set_every<S: Scalar>(numbers: &mut [S], to: &[usize], places: usize, values: &[f64]) {
    for (numbers, &value) in numbers.chunks_exact_mut(places).zip(values) {
        to.iter().for_each(|&place| numbers[place] = S::of(value));
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

    /// Fills packs with views, given by image and replica; a vector has `places` for replicas. Images that the last pack
    /// lacks are the first ones again.
    fn load(&self, starts: &[i64], flips: &[i64], [replicas, places]: [usize; 2], packs: &mut [V]) {
        let bytes = self.store.bytes();
        let pixels = self.numbers() / self.values.len();
        for (pack, numbers) in packs.chunks_exact_mut(self.numbers()).enumerate() {
            let numbers = lanes_mut(numbers);
            for lane in 0..V::LANES {
                let image = (pack * V::LANES + lane) / places;
                let view = (image * replicas + own(lane % places, replicas)) % starts.len();
                let flip = flips.get(view).is_some_and(|&flip| flip == 1);
                let start = starts[view];
                for (position, &offset) in self.offsets[usize::from(flip)].iter().enumerate() {
                    let byte = usize::from(bytes[(start + offset) as usize]);
                    numbers[position * V::LANES + lane] = self.values[position / pixels][byte];
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
    use crate::train::strategy::Backend;

    /// The weights of every replica after a few updates on the first digits.
    fn train<V: Vector>(specs: &[RunSpec], images: usize) -> Vec<Vec<f64>> {
        let first = &specs[0];
        let strategy =
            ExecutionStrategy { threads: images.min(2), ..ExecutionStrategy::lanes(first.precision, images) };
        let data = Dataset::load(Source::digits()).unwrap();
        let model = first.model.build(data.shape(), data.classes()).unwrap();
        let kind = first.precision.master();
        let store = ImageStore::new(data.images(), Augmentation::None, tch::Device::Cpu, kind);
        let network = network(&model).unwrap();
        let mut lanes = Lanes::<V>::new(specs, &model, network, store, strategy).unwrap();
        let (steps, n) = (3, 3 * first.batch * specs.len());
        let starts = (0..n as i64).map(|view| (view % 97) * 64).collect();
        let labels = (0..n as i64).map(|view| view % 10).collect();
        lanes.begin(EpochBatches { starts, flips: Vec::new(), labels, factors: Vec::new() }, None);
        for index in 0..steps {
            lanes.update(Step { index, done: index as u64, factor: 1.0, noise: None });
        }
        (0..specs.len()).map(|replica| every(&lanes.weights.theta, replica, lanes.places())).collect()
    }

    /// What is reserved is what is taken.
    #[test]
    fn memory_is_counted() {
        for (width, shape, batch) in
            [(4, [1, 8, 8], 1), (8, [1, 8, 8], 128), (3, [3, 32, 20], 20), (16, [1, 9, 8], 5)]
        {
            let model = ModelSpec::Resnet { width }.build(shape, 10).unwrap();
            let network = network(&model).unwrap();
            for (replicas, threads) in [(1, 1), (8, 1), (1, 3)] {
                let taken = network.work::<Plain<f32, 8>>(batch, replicas, threads).unwrap().bytes();
                assert_eq!(taken, network.bytes::<Plain<f32, 8>>(batch, replicas, threads));
                type Half = Bf16<Pair<Plain<f32, 8>>>;
                let taken = network.work::<Half>(batch, replicas, threads).unwrap().bytes();
                assert_eq!(taken, network.bytes::<Half>(batch, replicas, threads));
            }
        }
    }

    /// What the program does elsewhere is what it does on any other processor, and in vectors of any length.
    #[test]
    fn every_vector_gives_the_same_bits() {
        let adam = OptimizerSpec::new(Adam::default());
        let momentum = OptimizerSpec::new(Sgd { momentum: 0.9, ..Sgd::default() });
        let mut seen: Vec<Vec<Vec<f64>>> = Vec::new();
        for (optimizer, precision) in
            [(adam, Precision::Float64), (momentum.clone(), Precision::Float32), (momentum, Precision::Bf16)]
        {
            for images in [1, 2, 4, 8, 16] {
                if images > max_lanes(precision) {
                    continue;
                }
                // Convolutions tap by tap, and by tiles.
                let width = if matches!(images, 1 | 4) { 3 } else { 12 };
                // Five packs, the last one perhaps not full.
                let specs: Vec<RunSpec> = (1..=3.min(max_lanes(precision) / images))
                    .map(|seed| RunSpec {
                        model: ModelSpec::Resnet { width },
                        batch: 5 * images - images / 3,
                        lr: 0.01 * seed as f64,
                        seeds: crate::train::Seeds::all(seed as i64),
                        optimizer: optimizer.clone(),
                        precision,
                        ..crate::train::spec::example()
                    })
                    .collect();
                let (specs, most) = (&specs[..], max_lanes(precision));
                let short = specs.len().next_power_of_two() * images <= most / 2;
                let processor = Processor::get();
                let mut others: Vec<(&str, Vec<Vec<f64>>)> = Vec::new();
                let mut other = |there: bool, name, train: &dyn Fn() -> Vec<Vec<f64>>| {
                    if there {
                        others.push((name, train()));
                    }
                };
                #[cfg(target_arch = "x86_64")]
                let (avx2, avx512, bf16) = (
                    !matches!(processor, Processor::Other),
                    matches!(processor, Processor::Avx512 { .. }),
                    matches!(processor, Processor::Avx512 { bf16: true }),
                );
                let long = match precision {
                    Precision::Float64 => {
                        other(short, "short", &|| train::<Plain<f64, 4>>(specs, images));
                        #[cfg(target_arch = "x86_64")]
                        {
                            other(avx2, "AVX2", &|| train::<Pair<vector::Avx2F64>>(specs, images));
                            other(avx2 && short, "short AVX2", &|| train::<vector::Avx2F64>(specs, images));
                            other(avx512, "AVX-512", &|| train::<vector::Avx512F64>(specs, images));
                        }
                        train::<Pair<Plain<f64, 4>>>(specs, images)
                    }
                    Precision::Bf16 => {
                        #[cfg(target_arch = "x86_64")]
                        {
                            other(avx2, "AVX2", &|| train::<Bf16<Pair<vector::Avx2F32>>>(specs, images));
                            other(bf16, "AVX-512", &|| train::<Bf16<vector::Avx512F32>>(specs, images));
                        }
                        train::<Bf16<Pair<Plain<f32, 8>>>>(specs, images)
                    }
                    _ => {
                        other(short, "short", &|| train::<Plain<f32, 8>>(specs, images));
                        #[cfg(target_arch = "x86_64")]
                        {
                            other(avx2, "AVX2", &|| train::<Pair<vector::Avx2F32>>(specs, images));
                            other(avx2 && short, "short AVX2", &|| train::<vector::Avx2F32>(specs, images));
                            other(avx512, "AVX-512", &|| train::<vector::Avx512F32>(specs, images));
                        }
                        train::<Pair<Plain<f32, 8>>>(specs, images)
                    }
                };
                assert!(long.iter().flatten().all(|value| value.is_finite()));
                for (name, other) in others {
                    assert!(long == other, "{name} in {precision:?}, {images} images in a vector");
                }
                seen.push(long);
            }
        }
        assert_eq!(seen.len(), 14);
    }

    /// Losses, gradients, updates and scores are libtorch's, with last packs that are not full.
    #[test]
    fn lanes_compute_what_libtorch_does() {
        let data = Dataset::load(Source::digits()).unwrap();
        let store = ImageStore::new(data.images(), Augmentation::None, tch::Device::Cpu, tch::Kind::Double);
        let momentum = OptimizerSpec::new(Sgd { momentum: 0.9, weight_decay: 0.1, ..Sgd::default() });
        // Convolutions tap by tap, and by tiles; in more than one thread, too.
        for (images, width, batch, threads) in
            [(1, 3, 8, 1), (4, 3, 8, 2), (4, 3, 7, 1), (1, 16, 8, 3), (4, 16, 18, 1), (4, 16, 18, 2)]
        {
            let specs: Vec<RunSpec> = (1..=2)
                .map(|seed| RunSpec {
                    model: ModelSpec::Resnet { width },
                    batch,
                    lr: 0.01 * seed as f64,
                    seeds: crate::train::Seeds::all(seed),
                    optimizer: momentum.clone(),
                    precision: Precision::Float64,
                    ..crate::train::spec::example()
                })
                .collect();
            let model = || specs[0].model.build(data.shape(), data.classes()).unwrap();
            let mut both: [Box<dyn TrainingBackend>; 2] = [
                build(
                    &specs,
                    &model(),
                    store.share(),
                    ExecutionStrategy { threads, ..ExecutionStrategy::lanes(Precision::Float64, images) },
                )
                .unwrap(),
                Box::new(crate::train::tensors::Tensors::new(
                    &specs,
                    model(),
                    store.share(),
                    tch::Device::Cpu,
                )),
            ];
            let mut gradients = [Vec::new(), Vec::new()];
            for (replicas, gradients) in both.iter_mut().zip(&mut gradients) {
                let (steps, n) = (3, 3 * batch as i64 * 2);
                let starts = (0..n).map(|view| (view % 97) * 64).collect();
                let labels = (0..n).map(|view| view % 10).collect();
                let factors = vec![1.0; steps];
                let epoch = EpochBatches { starts, flips: Vec::new(), labels, factors };
                replicas.begin(epoch, Some(vec![[0.0; 3]; 2]));
                for index in 0..steps - 1 {
                    replicas.update(Step { index, done: index as u64, factor: 1.0, noise: None });
                }
                replicas.gradients(steps - 1, gradients);
            }
            let close = |a: f64, b: f64| (a - b).abs() < 1e-10 * (1.0 + b.abs());
            for (a, b) in gradients[0].iter().zip(&gradients[1]) {
                assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(*a, *b)), "gradients");
            }
            let [some, others] = both.each_mut().map(|replicas| replicas.sums().unwrap());
            assert!(some.iter().flatten().zip(others.iter().flatten()).all(|(a, b)| close(*a, *b)), "sums");
            let examples =
                Examples { rows: data.rows()[..37].to_vec(), labels: data.labels()[..37].to_vec() };
            let [some, others] = both.each_mut().map(|replicas| {
                let sets =
                    (0..2).map(|seed| (&examples, Rng::new(seed, crate::rng::Stream::Augment, 0))).collect();
                replicas.evaluate(sets, &mut || Ok(())).unwrap()
            });
            for (a, b) in some.iter().zip(&others) {
                assert!(close(a.loss, b.loss) && close(a.loss_std, b.loss_std) && a.accuracy == b.accuracy);
            }
        }
    }

    /// Rounding to bfloat16 takes gradients as far from those in float64 as it does in libtorch.
    #[test]
    fn bfloat16_is_as_exact_as_libtorchs() {
        let data = Dataset::load(Source::digits()).unwrap();
        // Convolutions tap by tap, and by tiles.
        for (images, width, batch) in [(1, 3, 8), (4, 16, 18), (16, 16, 33)] {
            let gradient = |seed: i64, precision: Precision, backend: Backend| {
                let spec = RunSpec {
                    model: ModelSpec::Resnet { width },
                    batch,
                    precision,
                    seeds: crate::train::Seeds::all(seed),
                    ..crate::train::spec::example()
                };
                let model = spec.model.build(data.shape(), data.classes()).unwrap();
                let (cpu, kind) = (tch::Device::Cpu, precision.master());
                let store = ImageStore::new(data.images(), Augmentation::None, cpu, kind);
                let mut replicas: Box<dyn TrainingBackend> = match backend {
                    Backend::Lanes => {
                        build(&[spec], &model, store, ExecutionStrategy::lanes(precision, images)).unwrap()
                    }
                    Backend::Torch => {
                        Box::new(crate::train::tensors::Tensors::new(&[spec], model, store, cpu))
                    }
                };
                let starts = (0..batch as i64).map(|view| view * 64).collect();
                let labels = (0..batch as i64).map(|view| view * view % 10).collect();
                replicas.begin(EpochBatches { starts, flips: Vec::new(), labels, factors: vec![1.0] }, None);
                let mut gradients = Vec::new();
                replicas.gradients(0, &mut gradients);
                gradients.swap_remove(0)
            };
            // Mean squares over draws of weights.
            let square = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
            const DRAWS: i64 = 24;
            let mut errors = [0.0; 3];
            for seed in 1..=DRAWS {
                let exact = gradient(seed, Precision::Float64, Backend::Torch);
                let ways = [
                    (Precision::Float32, Backend::Lanes),
                    (Precision::Bf16, Backend::Lanes),
                    (Precision::Bf16, Backend::Torch),
                ];
                for ((precision, backend), error) in ways.into_iter().zip(&mut errors) {
                    let own = gradient(seed, precision, backend);
                    *error += square(&mut own.iter().zip(&exact).map(|(a, b)| a - b))
                        / square(&mut exact.iter().copied())
                        / DRAWS as f64;
                }
            }
            let [float, lanes, torch] = errors.map(f64::sqrt);
            eprintln!("width {width}: float32 {float:.1e}, bfloat16 {lanes:.2e}, libtorch's {torch:.2e}");
            assert!(float < 1e-4 && float < lanes && lanes < 1.1 * torch, "{float} {lanes} {torch}");
        }
    }

    #[test]
    fn vectors_hold_as_many_images_as_leave_no_lane_empty() {
        let float = |batch, cohort, cores| images(Precision::Float32, batch, cohort, cores);
        assert_eq!(float(128, 12, 2), 8);
        assert_eq!(float(8, 12, 2), 2);
        assert_eq!(float(128, 48, 2), 2);
        assert_eq!(float(8, 32, 2), 1);
        assert_eq!(float(128, 1, 2), 16);
        assert_eq!(float(20, 1, 2), 16);
        assert_eq!(float(7, 1, 2), 8);
        assert_eq!(float(1, 1, 2), 1);
        assert_eq!(images(Precision::Float64, 128, 1, 1), 8);
    }
}
