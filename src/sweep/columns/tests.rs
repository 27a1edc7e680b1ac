//! Every option that distinguishes two runs distinguishes their rows.

use serde_json::Value;

use super::Role;
use crate::data::{DataOp, DataSpec, Sampling, Source, SyntheticOptions};
use crate::model::{MODELS, ModelSpec};
use crate::optim::{Adam, Form, OptimizerSpec, Schedule, Sgd};
use crate::sweep::fields::leaves;
use crate::sweep::{Ended, PlannedRun, Provenance, rows};
use crate::table::Cell;
use crate::torch::Precision;
use crate::train::{
    Backend, ExecutionStrategy, Group, InitFile, Measure, Order, RunSpec, Seeds, Status, TrainMetrics,
    example,
};

/// Two runs that differ in one field of their specifications.
pub(crate) struct Pair {
    /// Its path in the specification's JSON.
    pub(crate) field: String,
    pub(crate) runs: [PlannedRun; 2],
}

/// Specifications in which every field is there: a new option is filled in here, and never with
/// `None`.
fn full() -> Vec<RunSpec> {
    let hash = "0123456789abcdef".repeat(4);
    let synthetic = SyntheticOptions { n: 100, classes: 3, shape: [1, 8, 8], noise: 0.5, seed: 1 };
    let operations = vec![
        DataOp::Take { n: 90 },
        DataOp::Subset { n: 80, seed: 1, before: 1 },
        DataOp::LabelNoise { p: 0.2, seed: 1, before: 1, changed: Some(0.25) },
        DataOp::Part { sampling: Sampling::Split, train: 50, test: 20, seed: 1, is_test: true, before: 1 },
    ];
    let one = RunSpec {
        data: DataSpec { source: Source::from(synthetic), digest: Some(hash.clone()), operations },
        sampling: Sampling::Split,
        train: 40,
        test: 10,
        augment: true,
        model: ModelSpec::resnet(8),
        init: Some(InitFile { path: "net.safetensors".to_owned(), sha256: hash }),
        optimizer: OptimizerSpec::new(Sgd {
            momentum: 0.9,
            form: Form::Sutskever,
            nesterov: true,
            weight_decay: 5e-4,
            noise: 0.1,
        }),
        schedule: Schedule::COSINE,
        lr: 0.1,
        batch: 10,
        order: Order::Shuffled,
        epochs: 20,
        seeds: Seeds { split: 1, init: 2, order: 3, augment: 4, noise: 5 },
        precision: Precision::Float32,
        evaluate_every: 2,
        train_metrics: TrainMetrics::Running,
        measure: Some(Measure { groups: vec![Group::Gradient, Group::Hessian], every: 10 }),
    };
    let images = Source::images("images/*.parquet", Some("image"), Some("label"));
    vec![
        RunSpec {
            data: DataSpec { source: images, ..one.data.clone() },
            model: ModelSpec::mlp(vec![64, 16]),
            optimizer: OptimizerSpec::new(Adam::default()),
            ..one.clone()
        },
        RunSpec { optimizer: OptimizerSpec::new(Sgd::default()), ..one.clone() },
        one,
    ]
}

/// Other values for a field; those that no specification has are not read.
fn others(value: &Value) -> Vec<Value> {
    fn named<T>(all: &[(&'static str, T)]) -> Vec<&'static str> {
        all.iter().map(|(name, _)| *name).collect()
    }
    let variants = || {
        [
            named(&Order::ALL),
            named(&Sampling::ALL),
            named(&Schedule::all()),
            named(&Form::ALL),
            named(&Precision::ALL),
            named(&TrainMetrics::ALL),
            MODELS.iter().map(|model| model.name).collect(),
            vec!["digits", "sgd", "adam"],
        ]
        .concat()
    };
    match value {
        Value::Bool(value) => vec![Value::from(!value)],
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => vec![Value::from(number + 1)],
            (None, number) => vec![Value::from(number.unwrap() / 2.0 + 0.001)],
        },
        Value::String(text) if text.len() == 64 => vec![Value::from("f".repeat(64))],
        Value::String(text) => {
            let names = variants().into_iter().map(Value::from);
            names.chain([Value::from(format!("{text}x"))]).collect()
        }
        Value::Array(items) => {
            let shorter = Value::from(items[1..].to_vec());
            let changed = others(&items[0]).into_iter().map(|other| {
                let mut items = items.clone();
                items[0] = other;
                Value::from(items)
            });
            [shorter].into_iter().chain(changed).collect()
        }
        Value::Null | Value::Object(_) => panic!("a full specification has no {value}"),
    }
}

fn planned(spec: RunSpec) -> PlannedRun {
    let strategy = ExecutionStrategy { stack: 1, threads: 1, backend: Backend::Torch, images: 1 };
    PlannedRun { id: spec.id(), strategy, parameters: 1, examples: Some(100), spec }
}

/// Two runs for each field of a specification, found by walking its JSON, and for each pair of
/// variants.
pub(crate) fn pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for spec in full() {
        let json = serde_json::to_value(&spec).unwrap();
        leaves(&json, true, &mut |field, value| {
            let changed = others(value).into_iter().find_map(|other| {
                let mut json = json.clone();
                *json.pointer_mut(&format!("/{}", field.replace('.', "/"))).unwrap() = other;
                serde_json::from_value::<RunSpec>(json).ok().filter(|other| *other != spec)
            });
            match changed {
                // Where a file lies is not what a run is.
                Some(other) if other.id() == spec.id() => assert!(field.ends_with(".path"), "{field}"),
                Some(other) => {
                    let runs = [spec.clone(), other].map(planned);
                    pairs.push(Pair { field: field.to_owned(), runs });
                }
                // Another variant has other fields.
                None => assert!(field.ends_with(".name"), "{field}: no other value is known"),
            }
        });
    }
    let mut variants = |field: &str, one: RunSpec, other: RunSpec| {
        pairs.push(Pair { field: field.to_owned(), runs: [one, other].map(planned) });
    };
    let with = |optimizer| RunSpec { optimizer, ..example() };
    let [sgd, adam] = [OptimizerSpec::new(Sgd::default()), OptimizerSpec::new(Adam::default())];
    variants("optimizer.name", with(sgd), with(adam));
    let weights = InitFile { path: String::new(), sha256: "0".repeat(64) };
    variants("init", RunSpec { init: Some(weights), ..example() }, example());
    let measure = Measure { groups: vec![Group::Gradient], every: 10 };
    variants("measure", RunSpec { measure: Some(measure), ..example() }, example());
    pairs
}

#[test]
fn every_option_that_distinguishes_runs_distinguishes_their_rows() {
    let now = std::time::UNIX_EPOCH;
    let (from, ended) = (Provenance::here(), Ended::here(Status::Done, None, now, now, "cpu"));
    let told: Vec<&str> = super::names(&[Role::Setting, Role::Parameter, Role::Seed]).collect();
    let pairs = pairs();
    assert!(pairs.len() > 80, "{}", pairs.len());
    for Pair { field, runs } in pairs {
        let table = rows::runs("s1", &runs.each_ref().map(|run| (run, &from, ended.clone()))).unwrap();
        let differs = |name: &&str| {
            let column = table.column(name).unwrap();
            Cell::of(column, 0) != Cell::of(column, 1)
        };
        assert!(told.iter().any(differs), "{field}: the rows are the same");
    }
}

#[test]
fn options_without_a_column_are_told_by_the_fields_words() {
    let texts = |spec: &RunSpec| {
        let run = planned(spec.clone());
        let table = rows::epochs("s1", &run, &[]).unwrap();
        assert!(table.is_empty());
        ["data_options", "options"].map(|name| {
            let column = super::find(name).unwrap();
            Cell::of(&column.array(&[super::RunRow::new("s1", &run)]), 0).to_string()
        })
    };
    let [with_files, _, one] = &full()[..] else { panic!() };
    let [data, options] = texts(one);
    assert!(data.starts_with("digest=0123456789abcdef, operations.1.subset.before=1, "), "{data}");
    assert!(data.ends_with("classes=3, n=100, noise=0.5, seed=1, shape=[1,8,8]"), "{data}");
    assert_eq!(
        options,
        "init.sha256=0123456789abcdef, measure.every=10, measure.groups=[\"gradient\",\"hessian\"], \
         optimizer.form=sutskever"
    );
    assert!(texts(with_files)[0].ends_with("image=image, label=label"), "{}", texts(with_files)[0]);
    assert_eq!(texts(&example()), ["", ""]);
}
