//! What is measured along a trajectory besides losses: gradients, their noise, curvature.
//!
//! Everything is of the function that SGD descends, and in float64. With batch norm that is not the loss of the trained network in
//! evaluation mode: an update normalises by its own batch, so U_ℓ here is the mean over batches of B examples of the batch's loss
//! *in training mode*, ∂U_ℓ the mean of their gradients, and D = B · Cov(g_B). Without batch norm these are the paper's U_ℓ and D
//! (Eq. 17). The stationarity relations (Eqs. 33 to 37) hold for the process that runs, so they need these.
//!
//! - Batches are disjoint parts of a permutation. Of two of them ½|g − g′|² has the mean Tr D / B · n / (n − 1), and g·g′ has
//!   |∂U_ℓ|² − Tr D / (n − 1). Where a training set has no two batches, they are independent: ½|g − g′|² has the mean
//!   Tr D / B · (n − B) / (n − 1), and a batch that is the whole set says nothing of D.
//! - H v is a central difference of gradients along v in float64, so small that rounding (1e-6) is its error.
//! - Tr(HD) = B ⟨½(g − g′)′ H (g − g′)⟩ with H of a third batch; Tr H is Hutchinson's mean of z′Hz (1990); the largest
//!   eigenvalues are Lanczos', of the Hessian of a few fixed batches.

use std::sync::Arc;

use nalgebra::DMatrix;
use tch::{Device, Kind, Tensor};

use super::backend::{EpochBatches, TrainingBackend};
use super::evaluate::Examples;
use super::lanes;
use super::quantities::{Group, Measured};
use super::spec::{Order, RunSpec, Seeds, TrainMetrics};
use super::strategy::{Backend, ExecutionStrategy};
use super::tensors::Tensors;
use crate::data::{Augmentation, Dataset, ImageStore, Sampling};
use crate::error::{Error, Result};
use crate::model::{Layout, Model, Network, State};
use crate::optim::{OptimizerSpec, Schedule, Sgd};
use crate::rng::{Rng, Stream};
use crate::torch::Precision;

/// A network to measure, with its data.
pub(super) struct Subject<'a> {
    pub(super) spec: &'a RunSpec,
    pub(super) train: &'a Examples,
    pub(super) test: &'a Examples,
    pub(super) state: State,
}

/// Measures networks of one shape; `epoch` keys the random batches. `poll` is called between gradients, and its
/// error ends the measurement.
pub(super) fn measure(
    subjects: Vec<Subject>,
    groups: &[Group],
    model: &Model,
    store: &ImageStore,
    (strategy, device): (ExecutionStrategy, Device),
    epoch: u64,
    poll: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Measured>> {
    let together = twins(strategy, device).largest(Precision::Float64, device);
    let mut all = Vec::with_capacity(subjects.len());
    let mut subjects = subjects.into_iter().peekable();
    while subjects.peek().is_some() {
        let part: Vec<Subject> = subjects.by_ref().take(together).collect();
        let mut instrument =
            Instrument::new(part, model, store, (twins(strategy, device), device), epoch, poll)?;
        all.extend(instrument.measure(groups)?);
    }
    Ok(all)
}

/// Measures a network on a training and a test set, with batches of `batch` examples; `alpha` is the weight decay.
pub fn measure_network(
    network: &Network,
    [train, test]: [&Dataset; 2],
    batch: usize,
    alpha: f64,
    groups: &[Group],
    seed: i64,
) -> Result<Measured> {
    let model = network.model();
    for data in [train, test] {
        if data.shape() != model.shape
            || data.classes() > model.classes
            || data.spec().source != train.spec().source
        {
            return Err(Error::invalid(format!(
                "measure: the network is for {:?} images (channels, height, width) of {} classes; expected training and test set of one \
                 data set like that, found {:?} of {}",
                model.shape,
                model.classes,
                data.shape(),
                data.classes()
            )));
        }
    }
    let spec = RunSpec {
        data: train.spec().clone(),
        sampling: Sampling::Fixed,
        train: train.len(),
        test: test.len(),
        augment: false,
        model: model.spec.clone(),
        init: None,
        optimizer: OptimizerSpec::Sgd(Sgd { weight_decay: alpha, ..Sgd::default() }),
        schedule: Schedule::Constant,
        lr: 1.0,
        batch,
        order: Order::Replacement,
        epochs: 1,
        seeds: Seeds::all(seed),
        precision: Precision::Float64,
        evaluate_every: 1,
        train_metrics: TrainMetrics::Evaluate,
        measure: None,
    };
    let smallest = model.spec.smallest_batch(model.shape);
    if batch < smallest.max(1) || batch > train.len() {
        return Err(Error::invalid(format!(
            "batch is {batch}, expected {} to {}, the training examples",
            smallest.max(1),
            train.len()
        )));
    }
    let device = network.weights().flat().device();
    let store = ImageStore::new(train.images(), Augmentation::None, device, Kind::Double);
    let [own, other] = [train, test].map(Examples::of);
    let subject = Subject { spec: &spec, train: &own, test: &other, state: network.weights().state(0) };
    let how = (ExecutionStrategy::torch(1, 1), device);
    let found = measure(vec![subject], groups, model, &store, how, 0, &mut crate::interrupt::check)?;
    found.into_iter().next().ok_or_else(|| Error::invalid("nothing was measured"))
}

/// Replicas in float64 whose gradients are asked for at any θ.
struct Instrument<'a> {
    backend: Box<dyn TrainingBackend>,
    subjects: Vec<Subject<'a>>,
    store: &'a ImageStore,
    /// θ of each replica.
    theta: Vec<Vec<f64>>,
    epoch: u64,
    /// Draws of batches so far.
    drawn: u64,
    /// Memory for vectors: new memory costs more than what is computed in it.
    spare: Vec<Vectors>,
    poll: &'a mut dyn FnMut() -> Result<()>,
}

/// A vector of all parameters per replica.
type Vectors = Vec<Vec<f64>>;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Mean and standard error of those values that are numbers, if those are more than half.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let wanted = values.len();
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if 2 * values.len() <= wanted {
        return (f64::NAN, f64::NAN);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

impl<'a> Instrument<'a> {
    fn new(
        subjects: Vec<Subject<'a>>,
        model: &Model,
        store: &'a ImageStore,
        (strategy, device): (ExecutionStrategy, Device),
        epoch: u64,
        poll: &'a mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let specs: Vec<RunSpec> = subjects
            .iter()
            .map(|subject| RunSpec { precision: Precision::Float64, ..subject.spec.clone() })
            .collect();
        let layout = Arc::clone(&model.layout);
        let mut backend: Box<dyn TrainingBackend> = match strategy.backend {
            Backend::Lanes => lanes::build(&specs, model, store.share(), strategy)?,
            Backend::Torch => {
                let [first, ..] = specs.as_slice() else { return Err(Error::invalid("nothing to measure")) };
                let model = first.model.build(model.shape, model.classes)?;
                Box::new(Tensors::new(&specs, model, store.share(), device))
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

    fn replicas(&self) -> usize {
        self.subjects.len()
    }

    /// Loads `count` batches of training or test examples for every replica: disjoint as long as there are enough.
    fn load(&mut self, test: bool, count: usize) {
        let (replicas, batch) = (self.replicas(), self.subjects[0].spec.batch);
        let length = count * batch;
        let mut epoch = EpochBatches {
            starts: vec![0; length * replicas],
            flips: vec![0; if self.store.augments() { length * replicas } else { 0 }],
            labels: vec![0; length * replicas],
            factors: Vec::new(),
        };
        for (r, subject) in self.subjects.iter().enumerate() {
            let examples = if test { subject.test } else { subject.train };
            // Independent of what trains: other streams, and the epoch with the draws so far as index.
            let mut rng =
                Rng::new(subject.spec.seeds.order, Stream::Measure, (self.epoch << 16) + self.drawn);
            let n = examples.rows.len() as u32;
            let mut positions: Vec<u32> = Vec::with_capacity(length + n as usize);
            while positions.len() < length {
                let mut more = rng.permutation(n);
                more.truncate(if 2 * batch > n as usize { batch } else { n as usize });
                positions.extend(more);
            }
            for (index, &position) in positions.iter().take(length).enumerate() {
                let view = self.store.draw(&mut rng);
                let (start, flip) = self.store.start(examples.rows[position as usize], view);
                let image = index * replicas + r;
                epoch.starts[image] = start;
                if let Some(place) = epoch.flips.get_mut(image) {
                    *place = flip;
                }
                epoch.labels[image] = i64::from(examples.labels[position as usize]);
            }
        }
        self.drawn += 1;
        self.backend.begin(epoch, None);
    }

    /// The gradient of one of the loaded batches, of every replica, in memory that was given back, if there is some.
    fn gradient(&mut self, index: usize) -> Result<Vectors> {
        (self.poll)()?;
        let mut gradients = self.spare.pop().unwrap_or_default();
        self.backend.gradients(index, &mut gradients);
        Ok(gradients)
    }

    /// Puts every replica at θ + step · direction.
    fn go(&mut self, direction: &Vectors, steps: &[f64]) -> Result<()> {
        let there = |((theta, direction), step): ((&Vec<f64>, &Vec<f64>), &f64)| {
            theta.iter().zip(direction).map(|(theta, d)| theta + step * d).collect()
        };
        let there: Vectors = self.theta.iter().zip(direction).zip(steps).map(there).collect();
        self.backend.set_parameters(&there)
    }

    fn back(&mut self) -> Result<()> {
        self.backend.set_parameters(&self.theta)
    }

    /// The mean gradient of the loaded batches of these indices, of every replica.
    fn mean_gradient(&mut self, batches: &[usize]) -> Result<Vectors> {
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

    /// H times a direction per replica, H that of the mean over the loaded batches of these indices, whose gradient is `here`.
    ///
    /// H is what automatic differentiation calls so: where a ReLU's kink lies between the two ends of the difference, the gradient jumps,
    /// their mean is not the gradient between them, and the step is made smaller. NaN where that does not help.
    fn hessian_times(&mut self, direction: &Vectors, batches: &[usize], here: &Vectors) -> Result<Vectors> {
        const TRIES: usize = 5;
        let mut steps: Vec<f64> = self
            .theta
            .iter()
            .zip(direction)
            .map(|(theta, direction)| {
                let length = dot(direction, direction).sqrt();
                if length > 0.0 { 1e-8 * (1.0 + dot(theta, theta).sqrt()) / length } else { 0.0 }
            })
            .collect();
        let mut products: Vec<Option<Vec<f64>>> = vec![None; self.replicas()];
        for _ in 0..TRIES {
            self.go(direction, &steps)?;
            let after = self.mean_gradient(batches)?;
            let backwards: Vec<f64> = steps.iter().map(|step| -step).collect();
            self.go(direction, &backwards)?;
            let before = self.mean_gradient(batches)?;
            for r in 0..self.replicas() {
                if products[r].is_some() {
                    continue;
                }
                let (mut change, mut bend) = (0.0, 0.0);
                for ((a, b), h) in after[r].iter().zip(&before[r]).zip(&here[r]) {
                    change += (a - b).powi(2);
                    bend += (a + b - 2.0 * h).powi(2);
                }
                // What rounding alone makes of a gradient.
                let rounding = 1e-26 * dot(&here[r], &here[r]);
                if bend <= 1e-6 * change + rounding {
                    let factor = if steps[r] > 0.0 { 0.5 / steps[r] } else { 0.0 };
                    products[r] =
                        Some(after[r].iter().zip(&before[r]).map(|(a, b)| factor * (a - b)).collect());
                } else {
                    steps[r] *= 0.2;
                }
            }
            self.spare.extend([after, before]);
            if products.iter().all(Option::is_some) {
                break;
            }
        }
        self.back()?;
        let or_none = |(product, direction): (Option<Vec<f64>>, &Vec<f64>)| {
            product.unwrap_or_else(|| vec![f64::NAN; direction.len()])
        };
        Ok(products.into_iter().zip(direction).map(or_none).collect())
    }

    fn measure(&mut self, groups: &[Group]) -> Result<Vec<Measured>> {
        let mut found = vec![Measured::default(); self.replicas()];
        for group in groups {
            match group {
                Group::Gradient => self.gradients(&mut found)?,
                Group::Hessian => self.curvature(&mut found)?,
                Group::Spectrum => self.spectrum(&mut found)?,
            }
        }
        Ok(found)
    }

    /// Gradients that a group may take: a thirtieth of the updates from one measurement to the next each, so that the time (a gradient in
    /// float64 takes two to three times as long as an update) is less than a fifth where there are a thousand updates. As many as there is use for where nothing trains.
    fn allowed(&self) -> usize {
        let spec = self.subjects[0].spec;
        let every = spec.measure.as_ref().map_or(u64::MAX / 2, |measure| measure.every.into());
        usize::try_from(every.saturating_mul(spec.steps_per_epoch()) / 30).unwrap_or(usize::MAX)
    }

    /// Pairs of disjoint batches of the training set, at least one.
    fn pairs(&self, wanted: usize) -> usize {
        let spec = self.subjects[0].spec;
        (spec.train / spec.batch / 2).clamp(1, wanted)
    }

    /// What ½|g − g′|² of two batches is multiplied by to give Tr D, and the share of Tr D by which g·g′ falls short
    /// of |∂U|².
    fn noise_scale(&self) -> (f64, f64) {
        let spec = self.subjects[0].spec;
        let (n, batch) = (spec.train as f64, spec.batch as f64);
        match 2 * spec.batch > spec.train {
            false => (batch * (n - 1.0) / n, 1.0 / (n - 1.0)),
            true if spec.batch == spec.train => (f64::NAN, 0.0),
            true => (batch * (n - 1.0) / (n - batch), 0.0),
        }
    }

    fn gradients(&mut self, found: &mut [Measured]) -> Result<()> {
        let most = if self.subjects[0].spec.measure.is_some() { 16 } else { 256 };
        let wanted = (self.allowed() / 3).clamp(4, most);
        let (replicas, pairs, (scale, short)) = (self.replicas(), self.pairs(wanted), self.noise_scale());
        let spec = self.subjects[0].spec;
        let tests = (spec.test / spec.batch).clamp(1, wanted);
        let zeros = || self.theta.iter().map(|theta| vec![0.0; theta.len()]).collect::<Vectors>();
        let (mut sums, mut test_sums) = (zeros(), zeros());
        // |g|² of the batches, and ½|g − g′|² of the pairs.
        let (mut squares, mut halves) = (vec![0.0; replicas], vec![Vec::new(); replicas]);
        self.load(false, 2 * pairs);
        for pair in 0..pairs {
            let (one, other) = (self.gradient(2 * pair)?, self.gradient(2 * pair + 1)?);
            for r in 0..replicas {
                squares[r] += dot(&one[r], &one[r]) + dot(&other[r], &other[r]);
                let half: f64 = one[r].iter().zip(&other[r]).map(|(a, b)| 0.5 * (a - b).powi(2)).sum();
                halves[r].push(scale * half);
                let both = one[r].iter().zip(&other[r]);
                sums[r].iter_mut().zip(both).for_each(|(sum, (a, b))| *sum += a + b);
            }
            self.spare.extend([one, other]);
        }
        self.load(true, tests);
        for test in 0..tests {
            let gradients = self.gradient(test)?;
            for (sum, gradient) in test_sums.iter_mut().zip(&gradients) {
                sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
            self.spare.push(gradients);
        }
        let (m, tests) = (2.0 * pairs as f64, tests as f64);
        for (r, found) in found.iter_mut().enumerate() {
            let (theta, sum, spec) = (&self.theta[r], &sums[r], self.subjects[r].spec);
            let mut rng = Rng::new(spec.seeds.init, Stream::Measure, u64::MAX);
            let unit = 1.0 / (theta.len() as f64).sqrt();
            let alpha = spec.optimizer.weight_decay();
            let along = theta.iter().zip(sum).map(|(theta, sum)| {
                let sign = if rng.below(2) == 0 { unit } else { -unit };
                sign * (sum / m + alpha * theta)
            });
            found.set("drift_along", along.sum());
            // Products of different batches alone: none of them has the noise twice.
            let products = (dot(sum, sum) - squares[r]) / (m * (m - 1.0));
            // All pairs of batches, not only neighbours: less noise, but no simple error.
            let noise = scale * (squares[r] - dot(sum, sum) / m) / (m - 1.0);
            found.set("grad_norm2", if short > 0.0 { products + short * noise } else { products });
            found.set("theta_norm2", dot(theta, theta));
            found.set("theta_grad", dot(theta, sum) / m);
            found.set("test_grad_dot", dot(sum, &test_sums[r]) / (m * tests));
            found.set("theta_test_grad", dot(theta, &test_sums[r]) / tests);
            found.set("noise_trace", noise);
            found.set("noise_trace_error", mean_and_error(&halves[r]).1);
        }
        Ok(())
    }

    fn curvature(&mut self, found: &mut [Measured]) -> Result<()> {
        let probes = (self.allowed() / 11).clamp(2, 8);
        let (replicas, pairs, (scale, _)) = (self.replicas(), self.pairs(probes), self.noise_scale());
        // Of the test set Tr H is wanted where β is not 0 (Eq. 37), or where nothing trains.
        let spec = self.subjects[0].spec;
        let sets: &[bool] =
            if spec.optimizer.noise() > 0.0 || spec.measure.is_none() { &[false, true] } else { &[false] };
        let mut products = vec![[Vec::new(), Vec::new()]; replicas];
        self.load(false, 2 * pairs);
        let mut differences = Vec::with_capacity(pairs);
        for pair in 0..pairs {
            let (one, other) = (self.gradient(2 * pair)?, self.gradient(2 * pair + 1)?);
            let difference =
                |(one, other): (&Vec<f64>, &Vec<f64>)| one.iter().zip(other).map(|(a, b)| a - b).collect();
            differences.push(one.iter().zip(&other).map(difference).collect::<Vectors>());
        }
        for test in [false, true] {
            self.load(test, pairs);
            for (pair, difference) in differences.iter().enumerate() {
                let here = self.gradient(pair)?;
                let along = self.hessian_times(difference, &[pair], &here)?;
                self.spare.push(here);
                for r in 0..replicas {
                    products[r][usize::from(test)].push(0.5 * scale * dot(&difference[r], &along[r]));
                }
            }
        }
        let mut traces = vec![[Vec::new(), Vec::new()]; replicas];
        for &test in sets {
            self.load(test, probes);
            for probe in 0..probes {
                let index = (self.epoch << 16) + self.drawn * 64 + probe as u64;
                let signs = |r: usize| {
                    let mut rng = Rng::new(self.subjects[r].spec.seeds.init, Stream::Measure, !index);
                    self.theta[r].iter().map(|_| if rng.below(2) == 0 { 1.0 } else { -1.0 }).collect()
                };
                let direction: Vectors = (0..replicas).map(signs).collect();
                let here = self.gradient(probe)?;
                let along = self.hessian_times(&direction, &[probe], &here)?;
                self.spare.push(here);
                for r in 0..replicas {
                    traces[r][usize::from(test)].push(dot(&direction[r], &along[r]));
                }
            }
        }
        for (r, found) in found.iter_mut().enumerate() {
            let (train, error) = mean_and_error(&products[r][0]);
            found.set("hessian_noise", train);
            found.set("hessian_noise_error", error);
            found.set("test_hessian_noise", mean_and_error(&products[r][1]).0);
            let (trace, error) = mean_and_error(&traces[r][0]);
            found.set("hessian_trace", trace);
            found.set("hessian_trace_error", error);
            found.set("test_hessian_trace", mean_and_error(&traces[r][1]).0);
        }
        Ok(())
    }

    /// Lanczos (1950) with every new direction made orthogonal to all before.
    fn spectrum(&mut self, found: &mut [Measured]) -> Result<()> {
        const BATCHES: usize = 4;
        const STEPS: usize = 12;
        let replicas = self.replicas();
        self.load(false, BATCHES);
        let batches: Vec<usize> = (0..BATCHES).collect();
        let here = self.mean_gradient(&batches)?;
        let first = |r: usize| {
            let mut rng = Rng::new(self.subjects[r].spec.seeds.init, Stream::Measure, !(self.epoch << 16));
            let mut start = vec![0.0; self.theta[r].len()];
            rng.fill_normal(&mut start);
            let length = dot(&start, &start).sqrt();
            start.iter_mut().for_each(|value| *value /= length);
            start
        };
        let mut basis: Vec<Vectors> = vec![(0..replicas).map(first).collect()];
        let mut matrices = vec![DMatrix::<f64>::zeros(STEPS, STEPS); replicas];
        for step in 0..STEPS {
            let direction = basis[step].clone();
            let mut next = self.hessian_times(&direction, &batches, &here)?;
            for r in 0..replicas {
                matrices[r][(step, step)] = dot(&direction[r], &next[r]);
                // Twice, because once leaves rounding behind.
                for _ in 0..2 {
                    for before in &basis {
                        let along = dot(&before[r], &next[r]);
                        next[r].iter_mut().zip(&before[r]).for_each(|(value, b)| *value -= along * b);
                    }
                }
                let length = dot(&next[r], &next[r]).sqrt();
                if step + 1 < STEPS {
                    matrices[r][(step, step + 1)] = length;
                    matrices[r][(step + 1, step)] = length;
                }
                // Nothing left: the directions span all that H does to the first one.
                let factor = if length > 1e-12 { 1.0 / length } else { 0.0 };
                next[r].iter_mut().for_each(|value| *value *= factor);
            }
            basis.push(next);
        }
        for (found, matrix) in found.iter_mut().zip(matrices) {
            let mut values: Vec<f64> = if matrix.iter().all(|value| value.is_finite()) {
                matrix.symmetric_eigenvalues().iter().copied().collect()
            } else {
                vec![f64::NAN; 3]
            };
            values.sort_by(|a, b| b.total_cmp(a));
            for (name, value) in ["hessian_1", "hessian_2", "hessian_3"].into_iter().zip(values) {
                found.set(name, value);
            }
        }
        Ok(())
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

/// How the float64 twins of a stack's replicas are executed.
fn twins(strategy: ExecutionStrategy, device: Device) -> ExecutionStrategy {
    match strategy.backend_on(device) {
        Backend::Lanes => {
            let most = ExecutionStrategy::lanes(Precision::Float64, 1).stack;
            ExecutionStrategy::lanes(Precision::Float64, strategy.images.min(most))
        }
        Backend::Torch => ExecutionStrategy::torch(1, 1),
    }
}

/// Bytes that measuring needs besides training: float64 replicas, and vectors of all parameters.
pub(super) fn bytes(
    spec: &RunSpec,
    model: &Model,
    strategy: ExecutionStrategy,
    replicas: usize,
    device: Device,
) -> Result<u64> {
    let Some(measure) = &spec.measure else { return Ok(0) };
    let vectors = if measure.groups.contains(&Group::Spectrum) { 16 } else { 12 };
    let twin = RunSpec { precision: Precision::Float64, ..spec.clone() };
    let parameters = model.layout.parameters() as u64;
    let twins = twins(strategy, device);
    if twins.backend == Backend::Lanes {
        let together = replicas.min(twins.stack);
        let training = lanes::bytes(&twin, model, together, twins)?;
        return Ok(training + 8 * vectors * parameters * together as u64);
    }
    Ok(8 * (vectors + 4) * parameters + 8 * spec.batch as u64 * spec.model.activations(model.shape))
}
