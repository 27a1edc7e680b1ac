//! Training against PyTorch: stored losses of `tests/reference/make_sgd.py`, in float64.

use std::collections::HashMap;
use std::path::PathBuf;

use kelvin::data::{DataSpec, Sampling, Source};
use kelvin::model::{ModelSpec, Network};
use kelvin::optim::{Adam, Form, OptimizerSpec, Schedule, Sgd};
use kelvin::torch::Precision;
use kelvin::train::engine::{Event, Settings, Task, run};
use kelvin::train::{EpochRecord, ExecutionStrategy, InitFile, Order, RunSpec, Seeds, TrainMetrics};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

#[derive(Deserialize)]
struct Stored {
    width: i64,
    train_examples: usize,
    test_examples: usize,
    batch: usize,
    lr: f64,
    init: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    variant: String,
    #[serde(flatten)]
    rule: Rule,
    weight_decay: f64,
    schedule: String,
    batch_losses: Vec<f64>,
    epochs: Vec<Metrics>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rule {
    Sgd { rule: String, momentum: f64, nesterov: bool },
    Adam { decoupled: bool, beta1: f64, beta2: f64, eps: f64 },
}

fn optimizer(case: &Case) -> OptimizerSpec {
    let weight_decay = case.weight_decay;
    match case.rule {
        Rule::Sgd { ref rule, momentum, nesterov } => {
            let form = if rule == "pytorch" { Form::Pytorch } else { Form::Sutskever };
            OptimizerSpec::new(Sgd { momentum, form, nesterov, weight_decay, noise: 0.0 })
        }
        Rule::Adam { decoupled, beta1, beta2, eps } => {
            OptimizerSpec::new(Adam { beta1, beta2, eps, weight_decay, decoupled })
        }
    }
}

#[derive(Deserialize)]
struct Metrics {
    train_loss: f64,
    train_accuracy: f64,
    test_loss: f64,
    test_accuracy: f64,
    train_loss_std: f64,
    test_loss_std: f64,
}

fn reference(name: &str) -> PathBuf {
    crate::support::checkout().join("tests/reference").join(name)
}

fn stored<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(reference(name)).unwrap()).unwrap()
}

fn spec(stored: &Stored, case: &Case) -> RunSpec {
    RunSpec {
        data: DataSpec::new(Source::digits()),
        sampling: Sampling::Fixed,
        train: stored.train_examples,
        test: stored.test_examples,
        augment: false,
        model: ModelSpec::resnet(stored.width),
        init: Some(InitFile::of(reference(&stored.init).to_str().unwrap()).unwrap()),
        optimizer: optimizer(case),
        schedule: if case.schedule == "cosine" { Schedule::COSINE } else { Schedule::CONSTANT },
        lr: stored.lr,
        batch: stored.batch,
        order: Order::Sequential,
        epochs: case.epochs.len() as u32,
        seeds: Seeds::all(1),
        precision: Precision::Float64,
        evaluate_every: 1,
        train_metrics: TrainMetrics::Evaluate,
        measure: None,
    }
}

/// libtorch alone and stacked, and vector lanes with one image in a vector, with two and with as
/// many as there are lanes.
fn strategies() -> [ExecutionStrategy; 5] {
    let [one, two, all] = [1, 2, 8].map(|images| ExecutionStrategy::lanes(Precision::Float64, images));
    [ExecutionStrategy::torch(1, 1), ExecutionStrategy::torch(2, 1), one, two, all]
}

fn train(spec: RunSpec, strategy: ExecutionStrategy) -> Vec<EpochRecord> {
    let task = Task::new(spec, strategy);
    let mut records = Vec::new();
    run(vec![task], Settings::on(Device::Cpu), &mut |event| {
        match event {
            Event::Epoch { record, .. } => records.push(record),
            Event::Ended { outcome, .. } => assert_eq!(outcome.error, None),
            _ => {}
        }
        Ok(())
    })
    .unwrap();
    records
}

fn close(what: &str, found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-8 * expected.abs().max(1.0),
        "{what}: {found}, PyTorch {expected}"
    );
}

/// Every variant of SGD and every schedule, computed in every way: the losses after each of three
/// epochs.
#[test]
fn losses_equal_pytorchs() {
    compare(&stored("sgd.json"), 11);
}

/// Adam and AdamW, with both schedules.
#[test]
fn adams_losses_equal_pytorchs() {
    compare(&stored("adam.json"), 4);
}

fn compare(stored: &Stored, cases: usize) {
    assert_eq!(stored.cases.len(), cases);
    for case in &stored.cases {
        for strategy in strategies() {
            let (variant, schedule, decay) = (&case.variant, &case.schedule, case.weight_decay);
            let name = format!("{variant} {schedule} α {decay}, {strategy:?}");
            let records = train(spec(stored, case), strategy);
            assert_eq!(records.len(), case.epochs.len());
            for (record, expected) in records.iter().zip(&case.epochs) {
                let name = format!("{name}, epoch {}", record.epoch);
                close(&format!("{name}: train loss"), record.train.loss, expected.train_loss);
                close(&format!("{name}: test loss"), record.test.loss, expected.test_loss);
                close(&format!("{name}: train accuracy"), record.train.accuracy, expected.train_accuracy);
                close(&format!("{name}: test accuracy"), record.test.accuracy, expected.test_accuracy);
                close(&format!("{name}: train loss std"), record.train.loss_std, expected.train_loss_std);
                close(&format!("{name}: test loss std"), record.test.loss_std, expected.test_loss_std);
            }
        }
    }
}

/// The running training loss is the mean of PyTorch's batch losses.
#[test]
fn running_losses_equal_pytorchs() {
    let stored: Stored = stored("sgd.json");
    let case = &stored.cases[0];
    let steps = stored.train_examples / stored.batch;
    for strategy in strategies() {
        let running = RunSpec { train_metrics: TrainMetrics::Running, ..spec(&stored, case) };
        let records = train(running, strategy);
        for (record, losses) in records.iter().zip(case.batch_losses.chunks(steps)) {
            let expected = losses.iter().sum::<f64>() / steps as f64;
            close(&format!("running loss, {strategy:?}"), record.train.loss, expected);
        }
    }
}

#[derive(Deserialize)]
struct Colour {
    width: i64,
    size: i64,
    images: i64,
    init: String,
    eval_logits: Vec<Vec<f64>>,
    train_loss: f64,
    gradient_norms: HashMap<String, f64>,
}

/// x[n, c, i, j] = sin(0.1 (n+1)(i+1) + 0.7 c) cos(0.05 (j+1)(n+2)), as the stored outputs were
/// made.
fn colour_images(n: i64, size: i64) -> Tensor {
    let mut values = Vec::new();
    for n in 0..n {
        for c in 0..3 {
            for i in 0..size {
                for j in 0..size {
                    let row = (0.1 * ((n + 1) * (i + 1)) as f64 + 0.7 * f64::from(c)).sin();
                    values.push(row * (0.05 * ((j + 1) * (n + 2)) as f64).cos());
                }
            }
        }
    }
    Tensor::from_slice(&values).view([n, 3, size, size])
}

/// The network on colour images: logits, loss and the gradient of every tensor.
#[test]
fn the_network_and_its_gradients_equal_pytorchs() {
    let stored: Colour = stored("colour.json");
    let size = stored.size as usize;
    let model = ModelSpec::resnet(stored.width).build([3, size, size], 10).unwrap();
    let mut network = Network::draw(model, 0, Precision::Float64, Device::Cpu);
    network.load(&reference(&stored.init)).unwrap();
    let images = colour_images(stored.images, stored.size);
    let logits = network.logits(&images);
    for (row, expected) in stored.eval_logits.iter().enumerate() {
        for (column, &expected) in expected.iter().enumerate() {
            close("logit", logits.double_value(&[row as i64, column as i64]), expected);
        }
    }
    let labels = Tensor::from_slice(&(0..stored.images).map(|n| n % 10).collect::<Vec<_>>());
    let (loss, gradients) = network.loss_and_gradients(&images, &labels);
    close("loss", loss, stored.train_loss);
    assert_eq!(gradients.len(), stored.gradient_norms.len());
    for (name, gradient) in gradients {
        close(&name, gradient.norm().double_value(&[]), stored.gradient_norms[&name]);
    }
}

/// Weights written by kelvin come back bit for bit, and float32 files load into float64 networks.
#[test]
fn weights_survive_a_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let draw = |seed, precision| {
        let model = ModelSpec::resnet(2).build([1, 8, 8], 10).unwrap();
        Network::draw(model, seed, precision, Device::Cpu)
    };
    let written = draw(3, Precision::Float32);
    written.save(&path).unwrap();
    let mut read = draw(4, Precision::Float64);
    assert_ne!(read.weights().flat().to_kind(Kind::Float), *written.weights().flat());
    read.load(&path).unwrap();
    assert_eq!(read.weights().flat().to_kind(Kind::Float), *written.weights().flat());

    let mut wider =
        Network::draw(ModelSpec::resnet(3).build([1, 8, 8], 10).unwrap(), 1, Precision::Float32, Device::Cpu);
    let error = wider.load(&path).unwrap_err().to_string();
    assert!(error.contains("expected shape") && error.contains("w.safetensors"), "{error}");
}

/// The initial weights have PyTorch's distribution: uniform with the bound 1/√fan_in, norms 1 and
/// 0.
#[test]
fn initial_weights_have_pytorchs_ranges() {
    let model = ModelSpec::resnet(16).build([3, 32, 32], 10).unwrap();
    let network = Network::draw(model, 5, Precision::Float64, Device::Cpu);
    for (name, tensor) in network.weights().state(0) {
        if name.contains("bn") {
            continue;
        }
        let fan_in = match (tensor.dim(), name.as_str()) {
            (4, _) => tensor.size()[1] * tensor.size()[2] * tensor.size()[3],
            (2, _) => tensor.size()[1],
            _ => 128,
        };
        let bound = 1.0 / (fan_in as f64).sqrt();
        let n = tensor.numel() as f64;
        let largest = tensor.abs().max().double_value(&[]);
        // The largest of n uniform numbers misses the bound by about bound/n.
        assert!(largest <= bound && largest > bound * (1.0 - 20.0 / n).max(0.2), "{name}: {largest} {bound}");
        let std = tensor.std(false).double_value(&[]);
        assert!((std / (bound / 3f64.sqrt()) - 1.0).abs() < 4.0 / n.sqrt(), "{name}");
    }
}
