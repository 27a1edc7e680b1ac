//! A stack of replicas that train together, step by step.

use std::collections::HashMap;
use std::time::Instant;

use tch::{Device, Kind, Reduction, Tensor};

use super::evaluate::{Examples, evaluate};
use super::record::EpochRecord;
use super::snapshot::{Position, Snapshot};
use super::spec::{Order, RunSpec, TrainMetrics};
use crate::data::{Dataset, ImageStore};
use crate::error::{Error, Result};
use crate::model::{Model, Scores, State, Weights, load_state};
use crate::optim::{OptimizerState, Update};
use crate::rng::{Rng, Stream};

/// One replica's data: rows of the image store and labels, for training and test.
struct Replica {
    spec: RunSpec,
    train: Examples,
    test: Examples,
}

/// Replicas of one shape with their own weights, data, order and learning rate.
pub(super) struct Stack {
    replicas: Vec<Replica>,
    store: ImageStore,
    model: Model,
    weights: Weights,
    optimizer: Box<dyn OptimizerState>,
    device: Device,
    /// Replicas that are runs; another one is padding.
    runs: usize,
    /// Between which updates it stands.
    position: Position,
    /// Seconds that the unfinished epoch took so far.
    seconds: f64,
    /// The unfinished epoch's batches and running metrics.
    current: Option<Current>,
}

/// What an epoch under way needs.
struct Current {
    batches: Batches,
    sums: Sums,
}

/// What a stack does next, asked before every update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Go on.
    Go,
    /// Pause before the next update, for a checkpoint.
    Checkpoint,
    /// Pause as soon as possible: before the next update, or in the middle of an evaluation.
    Stop,
}

/// Why [`Stack::advance`] returned.
pub(super) enum Advance {
    /// It was asked to; the next call goes on.
    Paused,
    /// An epoch is complete: a record per replica, or none at an epoch without metrics.
    Epoch(Option<Vec<EpochRecord>>),
}

impl Stack {
    /// Draws data, and takes weights from `starts` (one per run or none, all at the same place) or draws them.
    /// `specs` are of one cohort, and `data` is their data set; the first `runs` of them are wanted, the others pad
    /// the stack.
    pub(super) fn new(
        specs: &[RunSpec],
        runs: usize,
        starts: Vec<Snapshot>,
        data: &Dataset,
        store: ImageStore,
        device: Device,
    ) -> Result<Self> {
        let first = specs.first().ok_or_else(|| Error::invalid("a stack of no runs"))?;
        let model = first.model.build(data.shape(), data.classes())?;
        let replicas = specs
            .iter()
            .map(|spec| {
                let (train, test) = data.divide(spec.sampling, spec.train, spec.test, spec.seeds.split)?;
                Ok(Replica { spec: spec.clone(), train: Examples::of(&train), test: Examples::of(&test) })
            })
            .collect::<Result<Vec<_>>>()?;
        let seeds: Vec<i64> = specs.iter().map(|spec| spec.seeds.init).collect();
        let mut weights = Weights::draw(&model.layout, &seeds, first.precision, device);
        let position = starts.first().map_or(Position::default(), |start| start.position);
        if starts.is_empty() {
            for (replica, spec) in specs.iter().enumerate() {
                if let Some(init) = &spec.init {
                    init.check()?;
                    weights
                        .set_state(replica as i64, load_state(init.path.as_ref())?)
                        .map_err(|error| Error::invalid(format!("{}: {error}", init.path)))?;
                }
            }
        }
        let lr: Vec<f64> = specs.iter().map(|spec| spec.lr).collect();
        // One per parameter even where all are equal: a replica's rounding must not depend on its neighbours'.
        let optimizer = first.optimizer.state(&weights.per_parameter(&lr), weights.flat());
        let mut stack = Self {
            replicas,
            store,
            model,
            weights,
            optimizer,
            device,
            runs,
            position,
            seconds: 0.0,
            current: None,
        };
        stack.resume(starts)?;
        Ok(stack)
    }

    /// Takes every replica's state from a snapshot.
    fn resume(&mut self, mut starts: Vec<Snapshot>) -> Result<()> {
        let Some(first) = starts.first() else { return Ok(()) };
        if starts.len() != self.runs || starts.iter().any(|start| start.position != first.position) {
            let found = starts.len();
            let message =
                format!("{found} checkpoints for a stack of {} runs, or at different places", self.runs);
            return Err(Error::invalid(message));
        }
        let spec = &self.replicas[0].spec;
        if first.position.epoch >= spec.epochs || first.position.step > spec.steps_per_epoch() {
            return Err(Error::invalid(format!("a checkpoint at {}, beyond the run's end", first.position)));
        }
        self.seconds = first.seconds;
        while starts.len() < self.replicas.len() {
            starts.push(starts[0].copy());
        }
        let mut sums = Vec::new();
        for (replica, start) in starts.into_iter().enumerate() {
            self.weights.set_state(replica as i64, start.weights)?;
            let mut memory: HashMap<String, State> = start.memory.into_iter().collect();
            for (name, buffer) in self.optimizer.buffers() {
                let own = memory.remove(name).unwrap_or_default();
                self.weights.join(buffer, replica as i64, own)?;
            }
            sums.extend(start.sums);
        }
        if self.position.step > 0 {
            let mut current = self.begin_epoch();
            current.sums.set(&sums)?;
            self.current = Some(current);
        }
        Ok(())
    }

    fn begin_epoch(&self) -> Current {
        let spec = &self.replicas[0].spec;
        let running = spec.train_metrics == TrainMetrics::Running && spec.evaluates(self.position.epoch + 1);
        Current { batches: self.batches(), sums: Sums::new(self.replicas.len(), running, self.device) }
    }

    /// Trains to the end of the epoch, or until `signal`, which learns how many images the next update trains on,
    /// says otherwise.
    pub(super) fn advance(&mut self, signal: &mut dyn FnMut(u64) -> Signal) -> Result<Advance> {
        let start = Instant::now();
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.begin_epoch(),
        };
        let spec = self.replicas[0].spec.clone();
        let first = u64::from(self.position.epoch) * spec.steps_per_epoch();
        while self.position.step < spec.steps_per_epoch() {
            if signal((spec.batch * self.runs) as u64) != Signal::Go {
                return Ok(self.pause(current, start));
            }
            self.update(&mut current, &spec, first + self.position.step);
            self.position.step += 1;
        }
        let epoch = self.position.epoch + 1;
        let mut scores = None;
        if spec.evaluates(epoch) {
            let mut poll = || match signal(0) {
                Signal::Stop => Err(Error::Interrupted),
                _ => Ok(()),
            };
            let evaluated = match current.sums.wanted() {
                true => Ok(current.sums.scores(spec.steps_per_epoch() * spec.batch as u64)),
                false => self.evaluate(false, &mut poll),
            };
            let evaluated = evaluated.and_then(|train| Ok((train, self.evaluate(true, &mut poll)?)));
            scores = match evaluated {
                Err(Error::Interrupted) => return Ok(self.pause(current, start)),
                scores => Some(scores?),
            };
        }
        let seconds = (self.seconds + start.elapsed().as_secs_f64()) / self.runs as f64;
        self.position = Position { epoch, step: 0 };
        self.seconds = 0.0;
        let Some((train, test)) = scores else { return Ok(Advance::Epoch(None)) };
        let steps = first + spec.steps_per_epoch();
        let factor = spec.schedule.factor(steps - 1, spec.steps());
        let record = |(replica, (train, test)): (&Replica, (Scores, Scores))| EpochRecord {
            epoch,
            steps,
            lr_now: replica.spec.lr * factor,
            train,
            test,
            seconds,
        };
        Ok(Advance::Epoch(Some(self.replicas.iter().zip(train.into_iter().zip(test)).map(record).collect())))
    }

    fn pause(&mut self, current: Current, start: Instant) -> Advance {
        self.seconds += start.elapsed().as_secs_f64();
        self.current = Some(current);
        Advance::Paused
    }

    /// One update of every replica; `done` were done before.
    fn update(&mut self, current: &mut Current, spec: &RunSpec, done: u64) {
        let running = current.sums.wanted();
        let factor = spec.schedule.factor(done, spec.steps());
        let (images, labels) = current.batches.step(self.position.step as i64, &self.store, spec);
        let logits = self.model.net.forward(&self.weights, &images, true);
        // The sum over replicas of each one's mean: every replica gets its own gradient.
        let logits = logits.to_kind(spec.precision.master()).flatten(0, 1);
        let losses = logits.cross_entropy_loss(&labels, None::<&Tensor>, reduction(running), -100, 0.0);
        let total = if running { losses.sum(None::<Kind>) } else { losses.shallow_clone() };
        let gradient = self.weights.gradient(&(total / spec.batch as f64));
        current.sums.add(&losses, &logits, &labels);
        let noise = self.noise(done, factor);
        let optimizer = &mut self.optimizer;
        self.weights.update(|theta| optimizer.step(theta, gradient, Update { done, factor, noise }));
        self.weights.batches += 1;
    }

    /// Between which updates the stack stands.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Everything that a replica needs to go on from here.
    pub(super) fn snapshot(&self, replica: i64) -> Snapshot {
        let memory = |(name, buffer): (&str, &Tensor)| (name.to_owned(), self.weights.split(buffer, replica));
        Snapshot {
            position: self.position,
            seconds: self.seconds,
            weights: self.weights.state(replica),
            memory: self.optimizer.buffers().into_iter().map(memory).collect(),
            sums: self.current.as_ref().and_then(|current| current.sums.of(replica)),
        }
    }

    /// The weights of every replica.
    pub(super) fn weights(&self) -> &Weights {
        &self.weights
    }

    fn evaluate(&self, test: bool, poll: &mut dyn FnMut() -> Result<()>) -> Result<Vec<Scores>> {
        let sets: Vec<(&Examples, Rng)> = self
            .replicas
            .iter()
            .map(|replica| {
                let index = (u64::from(self.position.epoch) + 1) * 2 + u64::from(test);
                let rng = Rng::new(replica.spec.seeds.augment, Stream::EvaluationAugment, index);
                (if test { &replica.test } else { &replica.train }, rng)
            })
            .collect();
        evaluate(&self.model, &self.weights, &self.store, self.replicas[0].spec.precision, sets, poll)
    }

    /// The epoch's order, crops, flips and labels of all replicas, on the device.
    fn batches(&self) -> Batches {
        let spec = &self.replicas[0].spec;
        let (replicas, batch) = (self.replicas.len(), spec.batch);
        let steps = spec.steps_per_epoch() as usize;
        let mut starts = vec![0i64; steps * batch * replicas];
        let mut flips = vec![0i64; if self.store.augments() { starts.len() } else { 0 }];
        let mut labels = vec![0i64; starts.len()];
        for (r, replica) in self.replicas.iter().enumerate() {
            let n = replica.spec.train as u32;
            let epoch = u64::from(self.position.epoch) + 1;
            let mut order = Rng::new(replica.spec.seeds.order, Stream::Order, epoch);
            let positions: Vec<u32> = match replica.spec.order {
                Order::Shuffled => order.permutation(n),
                Order::Sequential => (0..n).collect(),
                Order::Replacement => (0..n).map(|_| order.below(n)).collect(),
            };
            let mut augment = Rng::new(replica.spec.seeds.augment, Stream::Augment, epoch);
            for (index, &position) in positions.iter().take(steps * batch).enumerate() {
                let (step, b) = (index / batch, index % batch);
                let view = self.store.draw(&mut augment);
                let (start, flip) = self.store.start(replica.train.rows[position as usize], view);
                // Images lie batch first, replica second, so that replicas become channels; the loss
                // reads replica first.
                let image = (step * batch + b) * replicas + r;
                starts[image] = start;
                if let Some(place) = flips.get_mut(image) {
                    *place = flip;
                }
                labels[(step * replicas + r) * batch + b] =
                    i64::from(replica.train.labels[position as usize]);
            }
        }
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(self.device);
        Batches {
            starts: tensor(&starts),
            flips: tensor(&flips),
            labels: tensor(&labels),
            replicas: replicas as i64,
            batch: batch as i64,
        }
    }

    /// β √(λT) w for every parameter (Eq. 15), with the learning rate λ of now and the run's temperature T, or
    /// nothing where β is 0.
    fn noise(&self, done: u64, factor: f64) -> Option<Tensor> {
        let beta = self.replicas[0].spec.optimizer.noise();
        if beta == 0.0 {
            return None;
        }
        let parameters = self.model.layout.parameters() as usize;
        let draws: Vec<Vec<f64>> = self
            .replicas
            .iter()
            .map(|Replica { spec, .. }| {
                let scale = beta * (spec.lr * factor * spec.temperature()).sqrt();
                let mut values = vec![0.0; parameters];
                Rng::new(spec.seeds.noise, Stream::Noise, done).fill_normal(&mut values);
                values.iter_mut().for_each(|value| *value *= scale);
                values
            })
            .collect();
        Some(self.weights.interleave(&draws))
    }
}

fn reduction(running: bool) -> Reduction {
    if running { Reduction::None } else { Reduction::Sum }
}

/// An epoch of batches on the device.
struct Batches {
    starts: Tensor,
    flips: Tensor,
    labels: Tensor,
    replicas: i64,
    batch: i64,
}

impl Batches {
    /// Images, batch x (replicas · channels) x height x width, and labels, replicas · batch, of a step.
    fn step(&self, step: i64, store: &ImageStore, spec: &RunSpec) -> (Tensor, Tensor) {
        let length = self.replicas * self.batch;
        let cut = |tensor: &Tensor| tensor.narrow(0, step * length, length);
        let flips = if store.augments() { cut(&self.flips) } else { self.flips.shallow_clone() };
        let images = store.gather(&cut(&self.starts), &flips);
        let [_, channels, height, width] = images.size4().unwrap_or_default().into();
        let images = images.view([self.batch, self.replicas * channels, height, width]);
        (images.to_kind(spec.precision.compute()), cut(&self.labels))
    }
}

/// Running sums of the batches' losses and hits, kept on the device until the epoch ends.
struct Sums {
    replicas: i64,
    sums: Option<Tensor>,
}

impl Sums {
    fn new(replicas: usize, wanted: bool, device: Device) -> Self {
        let sums = wanted.then(|| Tensor::zeros([3, replicas as i64], (Kind::Double, device)));
        Self { replicas: replicas as i64, sums }
    }

    /// Whether training metrics come from the batches.
    fn wanted(&self) -> bool {
        self.sums.is_some()
    }

    /// One replica's sums.
    fn of(&self, replica: i64) -> Option<[f64; 3]> {
        self.sums.as_ref().map(|sums| [0, 1, 2].map(|row| sums.double_value(&[row, replica])))
    }

    /// Every replica's sums, as [`Sums::of`] gave them.
    fn set(&mut self, given: &[[f64; 3]]) -> Result<()> {
        let Some(sums) = &mut self.sums else { return Ok(()) };
        if given.len() as i64 != self.replicas {
            return Err(Error::invalid(
                "a checkpoint in the middle of an epoch lacks the epoch's running sums",
            ));
        }
        let rows: Vec<f64> = (0..3).flat_map(|row| given.iter().map(move |sums| sums[row])).collect();
        sums.copy_(&Tensor::from_slice(&rows).view([3, self.replicas]));
        Ok(())
    }

    fn add(&mut self, losses: &Tensor, logits: &Tensor, labels: &Tensor) {
        let Some(sums) = &mut self.sums else { return };
        tch::no_grad(|| {
            let losses = losses.detach().to_kind(Kind::Double).view([self.replicas, -1]);
            let hits =
                logits.argmax(-1, false).eq_tensor(labels).to_kind(Kind::Double).view([self.replicas, -1]);
            let sum = |values: &Tensor| values.sum_dim_intlist(&[1i64][..], false, Kind::Double);
            let step = Tensor::stack(&[sum(&losses), sum(&losses.square()), sum(&hits)], 0);
            let _ = sums.g_add_(&step);
        });
    }

    fn scores(&self, n: u64) -> Vec<Scores> {
        let Some(sums) = &self.sums else { return Vec::new() };
        (0..self.replicas)
            .map(|replica| {
                let value = |row: i64| sums.double_value(&[row, replica]) / n as f64;
                let loss = value(0);
                Scores { loss, accuracy: value(2), loss_std: (value(1) - loss * loss).max(0.0).sqrt() }
            })
            .collect()
    }
}
