//! A run as plain data: everything that decides its result, and nothing else.

use serde::{Deserialize, Serialize};

use super::quantities::Measure;
use crate::data::{DataSpec, MOST_EXAMPLES, Sampling};
use crate::decimal;
use crate::door;
use crate::error::{Error, Result};
use crate::hash::{is_sha256, sha256};
use crate::model::{ModelSpec, stored};
use crate::optim::{OptimizerSpec, Schedule};
use crate::torch::Precision;

/// The order in which an epoch visits the training examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A new permutation every epoch.
    Shuffled,
    /// As they lie.
    Sequential,
    /// Every example drawn uniformly, as Eq. 15 of the paper assumes.
    Replacement,
}

impl Order {
    /// Every order with its name in scripts and tables.
    pub const ALL: [(&'static str, Self); 3] =
        [("shuffled", Self::Shuffled), ("sequential", Self::Sequential), ("replacement", Self::Replacement)];

    /// The name in scripts and tables.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, value)| *value == self).map_or("", |(name, _)| name)
    }
}

/// Where the training metrics of an epoch come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainMetrics {
    /// The whole training set, after the epoch, as the test set.
    Evaluate,
    /// The batches of the epoch, each before its update.
    Running,
}

impl TrainMetrics {
    /// Every way with its name in scripts.
    pub const ALL: [(&'static str, Self); 2] = [("evaluate", Self::Evaluate), ("running", Self::Running)];

    /// The name in scripts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evaluate => "evaluate",
            Self::Running => "running",
        }
    }
}

/// The independent streams of random numbers of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeds {
    /// Which examples train and which test.
    pub split: i64,
    /// Initial weights.
    pub init: i64,
    /// The order of the examples.
    pub order: i64,
    /// Crops and flips.
    pub augment: i64,
    /// The noise β.
    pub noise: i64,
}

impl Seeds {
    /// The names of the streams.
    pub const NAMES: [&'static str; 5] = ["split", "init", "order", "augment", "noise"];

    /// One seed for every stream.
    pub fn all(seed: i64) -> Self {
        Self { split: seed, init: seed, order: seed, augment: seed, noise: seed }
    }

    /// The seed of a stream by its name.
    pub fn stream_mut(&mut self, name: &str) -> Option<&mut i64> {
        match name {
            "split" => Some(&mut self.split),
            "init" => Some(&mut self.init),
            "order" => Some(&mut self.order),
            "augment" => Some(&mut self.augment),
            "noise" => Some(&mut self.noise),
            _ => None,
        }
    }

    /// The one seed of all streams, if they have one.
    pub fn common(&self) -> Option<i64> {
        (*self == Self::all(self.split)).then_some(self.split)
    }
}

/// Initial weights from a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InitFile {
    /// The safetensors file.
    pub path: String,
    /// SHA-256 of its content, in hex: a run is what the file holds, not where it lies.
    pub sha256: String,
}

impl InitFile {
    /// Describes a file that exists now.
    pub fn of(path: &str) -> Result<Self> {
        // What has no fitting header is not read to its end.
        stored::Stored::open(path.as_ref(), u64::MAX)?;
        Ok(Self { path: path.to_owned(), sha256: door::sha256(path.as_ref())? })
    }

    /// Whether the file still holds what it held.
    pub fn check(&self) -> Result<()> {
        if Self::of(&self.path)?.sha256 == self.sha256 {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{}: its content has changed since the plan was made; restore the file or make another plan",
            self.path
        )))
    }
}

/// Everything that decides a run's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The data set.
    pub data: DataSpec,
    /// How training and test set are drawn from it.
    pub sampling: Sampling,
    /// Training examples.
    pub train: usize,
    /// Test examples.
    pub test: usize,
    /// Whether images are cropped and flipped as is usual for the data set.
    pub augment: bool,
    /// The network.
    pub model: ModelSpec,
    /// Initial weights from a file instead of drawn ones.
    pub init: Option<InitFile>,
    /// The optimizer.
    pub optimizer: OptimizerSpec,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// The initial learning rate λ.
    pub lr: f64,
    /// Examples per update, B.
    pub batch: usize,
    /// The order of the examples.
    pub order: Order,
    /// Passes over the training set.
    pub epochs: u32,
    /// The seeds.
    pub seeds: Seeds,
    /// The number format.
    pub precision: Precision,
    /// Metrics are computed at every epoch divisible by this, and at the last.
    pub evaluate_every: u32,
    /// Where the training metrics come from.
    pub train_metrics: TrainMetrics,
    /// What is measured besides the losses. Left out where nothing is, so that runs of plans made
    /// before it existed keep their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
}

impl RunSpec {
    /// T = λ / B, with the initial learning rate as it is written: equal temperatures are the same
    /// number.
    pub fn temperature(&self) -> f64 {
        decimal::ratio(self.lr, self.batch as u64)
    }

    /// Updates per epoch: the last incomplete batch is dropped.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.train / self.batch) as u64
    }

    /// Updates of the whole run.
    pub fn steps(&self) -> u64 {
        self.steps_per_epoch() * u64::from(self.epochs)
    }

    /// Images trained on, all epochs together.
    pub fn images(&self) -> u64 {
        self.steps() * self.batch as u64
    }

    /// Whether an epoch ends with metrics.
    pub fn evaluates(&self, epoch: u32) -> bool {
        epoch.is_multiple_of(self.evaluate_every) || epoch == self.epochs
    }

    /// Whether an epoch ends with a measurement.
    pub fn measures(&self, epoch: u32) -> bool {
        let due = |measure: &Measure| epoch.is_multiple_of(measure.every) || epoch == self.epochs;
        self.measure.as_ref().is_some_and(due)
    }

    /// The canonical JSON of what decides the result: keys sorted, files by their content's hash
    /// and not by their path.
    pub fn canonical(&self) -> String {
        self.canonical_json().to_string()
    }

    /// The same as a value.
    pub(crate) fn canonical_json(&self) -> serde_json::Value {
        let mut spec = self.clone();
        if spec.data.digest.is_some()
            && let Some(path) = spec.data.source.path_mut()
        {
            path.clear();
        }
        if let Some(init) = &mut spec.init {
            init.path.clear();
        }
        // serde_json's maps are sorted by key, and its floats round-trip.
        serde_json::to_value(spec).unwrap_or_default()
    }

    /// The run's id: a letter and 16 hex digits of the canonical JSON's SHA-256.
    pub fn id(&self) -> String {
        format!("r{}", &sha256(self.canonical())[..16])
    }

    /// Checks everything that can be checked without training; `len`, `shape` are the data set's.
    pub fn check(&self, len: usize, shape: [usize; 3]) -> Result<()> {
        self.sampling.check(len, self.train, self.test)?;
        self.check_values()?;
        let smallest = self.model.smallest_batch(shape);
        expect(self.batch >= smallest, || {
            format!(
                "batch is {}, expected at least {smallest}: {} shrinks {}x{} images to one pixel, where batch norm needs two examples",
                self.batch,
                self.model.info().name,
                shape[1],
                shape[2]
            )
        })
    }

    /// Checks everything that can be checked without the data set.
    pub(crate) fn check_values(&self) -> Result<()> {
        expect(self.lr > 0.0 && self.lr.is_finite(), || {
            format!("lr is {}, expected a finite number above 0", self.lr)
        })?;
        for (name, size) in [("train", self.train), ("test", self.test)] {
            expect((1..=MOST_EXAMPLES).contains(&size), || {
                format!("{name} is {size}, expected 1 to {MOST_EXAMPLES} examples")
            })?;
        }
        for (name, count) in [
            ("batch", self.batch),
            ("epochs", self.epochs as usize),
            ("evaluate_every", self.evaluate_every as usize),
        ] {
            expect(count >= 1, || format!("{name} is 0, expected at least 1"))?;
        }
        expect(self.batch <= self.train, || {
            format!(
                "batch is {}, larger than the training set of {} examples; write a smaller one, or a larger `train`",
                self.batch, self.train
            )
        })?;
        if let Some(measure) = &self.measure {
            expect(measure.every >= 1 && measure.every.is_multiple_of(self.evaluate_every), || {
                format!(
                    "measure: every is {}, expected a multiple of evaluate_every, {}: what is measured stands in an epoch's row",
                    measure.every, self.evaluate_every
                )
            })?;
            expect(measure.groups.is_sorted_by(|a, b| a < b) && !measure.groups.is_empty(), || {
                format!("measure: groups are {:?}, expected some, sorted, each once", measure.groups)
            })?;
        }
        if let Some(init) = &self.init {
            is_sha256("init.sha256", &init.sha256)?;
        }
        self.data.check_values()?;
        self.optimizer.check()?;
        self.model.check()
    }
}

fn expect(holds: bool, message: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid(message())) }
}

/// A small run on the digits, for tests.
#[cfg(test)]
pub(crate) fn example() -> RunSpec {
    RunSpec {
        data: DataSpec::new(crate::data::Source::digits()),
        sampling: Sampling::Split,
        train: 100,
        test: 50,
        augment: false,
        model: ModelSpec::linear(),
        init: None,
        optimizer: OptimizerSpec::new(crate::optim::Sgd::default()),
        schedule: Schedule::CONSTANT,
        lr: 0.1,
        batch: 10,
        order: Order::Shuffled,
        epochs: 1,
        seeds: Seeds::all(1),
        precision: Precision::Float32,
        evaluate_every: 1,
        train_metrics: TrainMetrics::Evaluate,
        measure: None,
    }
}
