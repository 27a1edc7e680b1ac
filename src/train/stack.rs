//! A stack of replicas that train together, step by step.

use std::time::Instant;

use tch::Device;

use super::backend::{EpochBatches, Step, Sums, TrainingBackend, mean};
use super::evaluate::Examples;
use super::lanes;
use super::measure::Subject;
use super::quantities::Measured;
use super::record::EpochRecord;
use super::snapshot::{Position, Snapshot};
use super::spec::{Order, RunSpec, TrainMetrics};
use super::strategy::{Backend, ExecutionStrategy};
use super::tensors::Tensors;
use crate::data::{Dataset, ImageStore};
use crate::error::{Error, Result};
use crate::model::{Model, Scores, State, load_state};
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
    backend: Box<dyn TrainingBackend>,
    model: Model,
    strategy: ExecutionStrategy,
    device: Device,
    parameters: usize,
    /// Replicas that are runs; another one is padding.
    runs: usize,
    /// Between which updates it stands.
    position: Position,
    /// Seconds that the unfinished epoch took so far.
    seconds: f64,
    /// Whether the unfinished epoch's batches were drawn.
    begun: bool,
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
    /// `specs` are of one cohort, and `data` is their data set. [`ExecutionStrategy::replicas`] says how many replicas
    /// there are: those beyond the runs pad the stack.
    pub(super) fn new(
        mut specs: Vec<RunSpec>,
        strategy: ExecutionStrategy,
        starts: Vec<Snapshot>,
        data: &Dataset,
        store: ImageStore,
        device: Device,
    ) -> Result<Self> {
        let runs = specs.len();
        let first = specs.first().ok_or_else(|| Error::invalid("a stack of no runs"))?.clone();
        specs.resize(strategy.replicas(runs, first.precision, device), first.clone());
        let model = first.model.build(data.shape(), data.classes())?;
        let replicas = specs
            .iter()
            .map(|spec| {
                let (train, test) = data.divide(spec.sampling, spec.train, spec.test, spec.seeds.split)?;
                Ok(Replica { spec: spec.clone(), train: Examples::of(&train), test: Examples::of(&test) })
            })
            .collect::<Result<Vec<_>>>()?;
        let parameters = model.layout.parameters() as usize;
        let mut backend: Box<dyn TrainingBackend> = match strategy.backend_on(device) {
            Backend::Torch => {
                let model = first.model.build(data.shape(), data.classes())?;
                Box::new(Tensors::new(&specs, model, store.share(), device))
            }
            Backend::Lanes => lanes::build(&specs, &model, store.share(), strategy)?,
        };
        let position = starts.first().map_or(Position::default(), |start| start.position);
        if starts.is_empty() {
            for (replica, spec) in specs.iter().enumerate() {
                if let Some(init) = &spec.init {
                    init.check()?;
                    backend
                        .set_state(replica, load_state(init.path.as_ref(), parameters as i64)?)
                        .map_err(|error| Error::invalid(format!("{}: {error}", init.path)))?;
                }
            }
        }
        let mut stack = Self {
            replicas,
            store,
            backend,
            model,
            strategy,
            device,
            parameters,
            runs,
            position,
            seconds: 0.0,
            begun: false,
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
        self.seconds = starts.iter().map(|start| start.seconds).sum();
        while starts.len() < self.replicas.len() {
            starts.push(starts[0].copy());
        }
        let mut sums = Vec::new();
        for (replica, start) in starts.into_iter().enumerate() {
            self.backend.set_state(replica, start.weights)?;
            self.backend.set_optimizer_state(replica, start.optimizer_state)?;
            sums.extend(start.sums);
        }
        if self.position.step > 0 {
            if self.running() && sums.len() != self.replicas.len() {
                return Err(Error::invalid(
                    "a checkpoint in the middle of an epoch lacks the epoch's running sums",
                ));
            }
            self.begin_epoch(sums);
        }
        Ok(())
    }

    /// Whether the next epoch's training metrics come from its batches.
    fn running(&self) -> bool {
        let spec = &self.replicas[0].spec;
        spec.train_metrics == TrainMetrics::Running && spec.evaluates(self.position.epoch + 1)
    }

    fn begin_epoch(&mut self, sums: Vec<Sums>) {
        let epoch = self.batches();
        self.backend.begin(epoch, self.running().then_some(sums));
        self.begun = true;
    }

    /// Trains to the end of the epoch, or until `signal`, which learns how many images the next update trains on,
    /// says otherwise.
    pub(super) fn advance(&mut self, signal: &mut dyn FnMut(u64) -> Signal) -> Result<Advance> {
        let start = Instant::now();
        if !self.begun {
            self.begin_epoch(vec![Sums::default(); self.replicas.len()]);
        }
        let spec = self.replicas[0].spec.clone();
        let first = u64::from(self.position.epoch) * spec.steps_per_epoch();
        while self.position.step < spec.steps_per_epoch() {
            if signal((spec.batch * self.runs) as u64) != Signal::Go {
                return Ok(self.pause(start));
            }
            self.update(&spec, first + self.position.step);
            self.position.step += 1;
        }
        let epoch = self.position.epoch + 1;
        let mut scores = None;
        if spec.evaluates(epoch) {
            let mut poll = || match signal(0) {
                Signal::Stop => Err(Error::Interrupted),
                _ => Ok(()),
            };
            let evaluated = match self.backend.sums() {
                Some(sums) => {
                    let n = (spec.steps_per_epoch() * spec.batch as u64) as f64;
                    Ok(sums.into_iter().map(|sums| mean(sums, n)).collect())
                }
                None => self.evaluate(false, &mut poll),
            };
            let evaluated = evaluated.and_then(|train| Ok((train, self.evaluate(true, &mut poll)?)));
            let evaluated = evaluated.and_then(|scores| Ok((scores, self.measure(epoch, &mut poll)?)));
            scores = match evaluated {
                Err(Error::Interrupted) => return Ok(self.pause(start)),
                scores => Some(scores?),
            };
        }
        let seconds = (self.seconds + start.elapsed().as_secs_f64()) / self.runs as f64;
        self.position = Position { epoch, step: 0 };
        self.seconds = 0.0;
        self.begun = false;
        let Some(((train, test), measured)) = scores else { return Ok(Advance::Epoch(None)) };
        let steps = first + spec.steps_per_epoch();
        let factor = spec.schedule.factor(steps - 1, spec.steps());
        let mut measured = measured.into_iter();
        let record = |(replica, (train, test)): (&Replica, (Scores, Scores))| EpochRecord {
            epoch,
            steps,
            lr_now: replica.spec.lr * factor,
            train,
            test,
            measured: measured.next(),
            seconds,
        };
        Ok(Advance::Epoch(Some(self.replicas.iter().zip(train.into_iter().zip(test)).map(record).collect())))
    }

    fn pause(&mut self, start: Instant) -> Advance {
        self.seconds += start.elapsed().as_secs_f64();
        Advance::Paused
    }

    /// One update of every replica; `done` were done before.
    fn update(&mut self, spec: &RunSpec, done: u64) {
        let factor = spec.schedule.factor(done, spec.steps());
        let noise = self.noise(done, factor);
        self.backend.update(Step { index: self.position.step as usize, done, factor, noise });
    }

    /// Updates of an epoch.
    pub(super) fn steps_per_epoch(&self) -> u64 {
        self.replicas[0].spec.steps_per_epoch()
    }

    /// Between which updates the stack stands.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Everything that a replica needs to go on from here.
    pub(super) fn snapshot(&self, replica: usize) -> Snapshot {
        let sums = if self.begun { self.backend.sums() } else { None };
        Snapshot {
            position: self.position,
            seconds: self.seconds / self.runs as f64,
            weights: self.backend.state(replica),
            optimizer_state: self.backend.optimizer_state(replica),
            sums: sums.and_then(|sums| sums.get(replica).copied()),
        }
    }

    /// A replica's weights and statistics by their PyTorch names, on the CPU.
    pub(super) fn state(&self, replica: usize) -> State {
        self.backend.state(replica)
    }

    /// What is measured of every run at the end of an epoch; nothing where nothing is due.
    fn measure(&self, epoch: u32, poll: &mut dyn FnMut() -> Result<()>) -> Result<Vec<Measured>> {
        let spec = &self.replicas[0].spec;
        let Some(measure) = spec.measure.as_ref().filter(|_| spec.measures(epoch)) else {
            return Ok(Vec::new());
        };
        let mut subjects = Vec::with_capacity(self.runs);
        for (index, Replica { spec, train, test }) in self.replicas.iter().take(self.runs).enumerate() {
            subjects.push(Subject { spec, train, test, state: self.backend.state(index) });
        }
        let how = (self.strategy, self.device);
        super::measure::measure(subjects, &measure.groups, &self.model, &self.store, how, epoch.into(), poll)
    }

    fn evaluate(&mut self, test: bool, poll: &mut dyn FnMut() -> Result<()>) -> Result<Vec<Scores>> {
        let epoch = u64::from(self.position.epoch) + 1;
        let index = epoch * 2 + u64::from(test);
        let sets = self
            .replicas
            .iter()
            .map(|replica| {
                let rng = Rng::new(replica.spec.seeds.augment, Stream::EvaluationAugment, index);
                (if test { &replica.test } else { &replica.train }, rng)
            })
            .collect();
        self.backend.evaluate(sets, poll)
    }

    /// The next epoch's order, crops, flips and labels of all replicas.
    fn batches(&self) -> EpochBatches {
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
                let view = self.store.draw(&mut augment);
                let (start, flip) = self.store.start(replica.train.rows[position as usize], view);
                let image = index * replicas + r;
                starts[image] = start;
                if let Some(place) = flips.get_mut(image) {
                    *place = flip;
                }
                labels[image] = i64::from(replica.train.labels[position as usize]);
            }
        }
        let first = u64::from(self.position.epoch) * spec.steps_per_epoch();
        let factor = |step: usize| spec.schedule.factor(first + step as u64, spec.steps());
        EpochBatches { starts, flips, labels, factors: (0..steps).map(factor).collect() }
    }

    /// β √(λT) w for every parameter (Eq. 15), with the learning rate λ of now and the run's temperature T, or
    /// nothing where β is 0.
    fn noise(&self, done: u64, factor: f64) -> Option<Vec<Vec<f64>>> {
        let beta = self.replicas[0].spec.optimizer.noise();
        if beta == 0.0 {
            return None;
        }
        let draws: Vec<Vec<f64>> = self
            .replicas
            .iter()
            .map(|Replica { spec, .. }| {
                // The quotient of doubles, and not the table's temperature: a run's bits stay as
                // they always were.
                let temperature = spec.lr / spec.batch as f64;
                let scale = beta * (spec.lr * factor * temperature).sqrt();
                let mut values = vec![0.0; self.parameters];
                Rng::new(spec.seeds.noise, Stream::Noise, done).fill_normal(&mut values);
                values.iter_mut().for_each(|value| *value *= scale);
                values
            })
            .collect();
        Some(draws)
    }
}
