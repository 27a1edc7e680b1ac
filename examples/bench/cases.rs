//! What is compared: runs of one shape, the same for both sides.

use std::path::{Path, PathBuf};

use kelvin::data::{DataSpec, Dataset, Sampling, Source, SyntheticOptions};
use kelvin::model::{ModelSpec, Network};
use kelvin::optim::{OptimizerSpec, Schedule, Sgd};
use kelvin::sweep::Plan;
use kelvin::torch::Precision;
use kelvin::train::{ExecutionStrategy, InitFile, Order, RunSpec, Seeds, TrainMetrics};
use tch::{Device, Kind, Tensor};

use super::Outcome;

pub const LR: f64 = 0.05;

/// Runs of one shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// 3 x 32 x 32 images instead of the digits.
    pub colour: bool,
    pub width: i64,
    pub batch: usize,
    pub runs: usize,
    pub precision: Precision,
}

impl Case {
    pub fn digits(width: i64, batch: usize, runs: usize) -> Self {
        Self { colour: false, width, batch, runs, precision: Precision::Float32 }
    }

    pub fn colour(batch: usize, runs: usize) -> Self {
        Self { colour: true, width: 32, batch, runs, precision: Precision::Float32 }
    }

    pub fn side(self) -> usize {
        if self.colour { 32 } else { 8 }
    }

    /// `digits, width 4, batch 8`.
    pub fn shape(self) -> String {
        let data = if self.colour { "32x32 colour" } else { "digits" };
        format!("{data}, width {}, batch {}", self.width, self.batch)
    }

    /// Updates of an epoch.
    pub fn steps(self) -> usize {
        if self.colour { 400usize.div_ceil(self.batch).max(1) } else { 1795 / self.batch }
    }

    fn data(self) -> DataSpec {
        if !self.colour {
            return DataSpec::new(Source::digits());
        }
        let n = self.steps() * self.batch + 2;
        let options = SyntheticOptions { n, classes: 10, shape: [3, 32, 32], noise: 1.0, seed: 1 };
        DataSpec::new(options.into())
    }

    /// One run: `test` images are evaluated after the last epoch.
    pub fn spec(self, seed: i64, epochs: u32, test: usize) -> RunSpec {
        RunSpec {
            data: self.data(),
            sampling: Sampling::Fixed,
            train: self.steps() * self.batch,
            test,
            augment: false,
            model: ModelSpec::resnet(self.width),
            init: None,
            optimizer: OptimizerSpec::new(Sgd::default()),
            schedule: Schedule::CONSTANT,
            lr: LR,
            batch: self.batch,
            order: Order::Shuffled,
            epochs,
            seeds: Seeds::all(seed),
            precision: self.precision,
            evaluate_every: epochs,
            train_metrics: TrainMetrics::Running,
            measure: None,
        }
    }

    /// How the program would execute the case.
    pub fn strategy(self) -> Outcome<ExecutionStrategy> {
        let specs = (0..self.runs as i64).map(|seed| self.spec(seed, 1, 2)).collect();
        Ok(Plan::new(specs)?.runs[0].strategy)
    }

    /// Training images (as float32, normalised) with labels, and first weights, for PyTorch; the
    /// weights for kelvin, too.
    pub fn export(self, folder: &Path) -> Outcome<Files> {
        let name = |what: &str, ending: &str| {
            let Self { colour, width, batch, precision, .. } = self;
            folder.join(format!("{what}-{colour}-{width}-{batch}-{}.{ending}", precision.name()))
        };
        let files =
            Files { data: name("data", "npz"), init: name("init", "npz"), own: name("init", "safetensors") };
        if files.data.exists() {
            return Ok(files);
        }
        let data = Dataset::open(&self.data())?;
        let images = data.images();
        let [channels, height, width] = data.shape().map(|size| size as i64);
        let per_channel = |values: &[f64]| Tensor::from_slice(values).view([1, channels, 1, 1]);
        let bytes =
            Tensor::from_slice(&images.bytes).view([-1, channels, height, width]).to_kind(Kind::Double);
        let pixels = (bytes / images.full_scale - per_channel(&images.mean)) / per_channel(&images.std);
        let train = (self.steps() * self.batch) as i64;
        let labels: Vec<i64> = data.labels().iter().take(train as usize).map(|&label| label.into()).collect();
        let (pixels, labels) = (pixels.narrow(0, 0, train), Tensor::from_slice(&labels));
        Tensor::write_npz(&[("images", &pixels), ("labels", &labels)], &files.data)?;
        let model = ModelSpec::resnet(self.width).build(data.shape(), data.classes())?;
        let network = Network::draw(model, 1, self.precision, Device::Cpu);
        let state = network.weights().state(0);
        let state: Vec<(&str, &Tensor)> =
            state.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        Tensor::write_npz(&state, &files.init)?;
        network.save(&files.own)?;
        Ok(files)
    }

    /// The run whose losses PyTorch can follow: its weights from the file, batches as the images
    /// lie.
    pub fn in_order(self, files: &Files, steps: usize) -> Outcome<RunSpec> {
        let epochs = steps.div_ceil(self.steps()).max(1) as u32;
        let path = files.own.to_str().ok_or("a path that is not UTF-8")?;
        let spec = RunSpec { init: Some(InitFile::of(path)?), ..self.spec(1, epochs, 2) };
        Ok(RunSpec { order: Order::Sequential, ..spec })
    }

    /// Operations to train on one image, in GFLOP: multiplications and additions of the
    /// convolutions and the linear layer that no padding makes zero, forward and for both gradients
    /// (the images' own is not wanted).
    pub fn work(self) -> f64 {
        let links = |side: usize, kernel: usize, stride: usize| {
            let after = side.div_ceil(stride);
            let seen = |at: usize| {
                (0..kernel).filter(|tap| (at * stride + tap).wrapping_sub(kernel / 2) < side).count()
            };
            (0..after).map(seen).sum::<usize>().pow(2) as f64
        };
        let width = self.width as f64;
        let channels = if self.colour { 3.0 } else { 1.0 };
        let mut side = self.side();
        let mut sum = 2.0 * links(side, 3, 1) * channels * width;
        let mut from = width;
        for (stage, stride) in [(0, 1), (1, 2), (2, 2), (3, 2)] {
            let to = width * f64::from(1 << stage);
            for block in 0..2 {
                let stride = if block == 0 { stride } else { 1 };
                let after = side.div_ceil(stride);
                sum += 3.0 * (links(side, 3, stride) * from * to + links(after, 3, 1) * to * to);
                if from != to {
                    sum += 3.0 * links(side, 1, stride) * from * to;
                }
                (side, from) = (after, to);
            }
        }
        2.0 * (sum + 3.0 * from * 10.0) / 1e9
    }
}

/// What [`Case::export`] writes.
pub struct Files {
    pub data: PathBuf,
    pub init: PathBuf,
    own: PathBuf,
}
