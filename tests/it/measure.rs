//! What is measured along a trajectory, against explicit Hessians and gradients of every example
//! (PyTorch, float64).

use std::collections::HashMap;

use kelvin::data::{DataSpec, Sampling, Source};
use kelvin::model::ModelSpec;
use kelvin::optim::{OptimizerSpec, Schedule, Sgd};
use kelvin::torch::Precision;
use kelvin::train::engine::{Settings, Task, run};
use kelvin::train::{
    Event, ExecutionStrategy, Group, InitFile, Measure, Measured, Order, QUANTITIES, RunSpec, Seeds,
    TrainMetrics,
};
use serde::Deserialize;
use tch::Device;

use crate::support::{Lab, checkout};

#[derive(Deserialize)]
struct Stored {
    train: usize,
    test: usize,
    mlp: HashMap<String, f64>,
    resnet: HashMap<String, f64>,
}

fn stored() -> Stored {
    let path = checkout().join("tests/reference/measure.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A run that stays where its file puts it, and measures after every epoch.
fn spec(stored: &Stored, model: ModelSpec, init: &str, batch: usize, epochs: u32) -> RunSpec {
    let init = checkout().join("tests/reference").join(init);
    RunSpec {
        data: DataSpec::new(Source::digits()),
        sampling: Sampling::Fixed,
        train: stored.train,
        test: stored.test,
        augment: false,
        model,
        init: Some(InitFile::of(init.to_str().unwrap()).unwrap()),
        optimizer: OptimizerSpec::new(Sgd { weight_decay: 0.0, ..Sgd::default() }),
        schedule: Schedule::CONSTANT,
        lr: 1e-14,
        batch,
        order: Order::Sequential,
        epochs,
        seeds: Seeds::all(1),
        precision: Precision::Float64,
        evaluate_every: 1,
        train_metrics: TrainMetrics::Evaluate,
        measure: Some(Measure { groups: vec![Group::Gradient, Group::Hessian, Group::Spectrum], every: 1 }),
    }
}

fn measured(spec: RunSpec, choice: ExecutionStrategy) -> Vec<Measured> {
    let mut found = Vec::new();
    run(vec![Task::new(spec, choice)], Settings::on(Device::Cpu), &mut |event| {
        match event {
            Event::Epoch { record, .. } => found.push(record.measured.unwrap()),
            Event::Ended { outcome, .. } => assert_eq!(outcome.error, None),
            _ => {}
        }
        Ok(())
    })
    .unwrap();
    found
}

/// Mean and standard error over measurements with independent batches.
fn mean(all: &[Measured], name: &str) -> (f64, f64) {
    let n = all.len() as f64;
    let mean = all.iter().map(|one| one.get(name)).sum::<f64>() / n;
    let variance = all.iter().map(|one| (one.get(name) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[test]
fn means_over_batches_are_the_explicit_ones() {
    let stored = stored();
    let spec = spec(&stored, ModelSpec::mlp(vec![4]), "mlp4.safetensors", 5, 600);
    let all = measured(spec, ExecutionStrategy::torch(1, 1));
    assert_eq!(all.len(), 600);
    let names = [
        "grad_norm2",
        "theta_norm2",
        "theta_grad",
        "noise_trace",
        "test_grad_dot",
        "theta_test_grad",
        "hessian_trace",
        "hessian_noise",
        "test_hessian_noise",
    ];
    for name in names {
        let ((found, error), expected) = (mean(&all, name), stored.mlp[name]);
        // The gradient has nearly vanished: its square is small beside its noise.
        let scale = if name == "grad_norm2" { stored.mlp["noise_trace"] / 20.0 } else { expected.abs() };
        assert!(error <= 0.06 * scale, "{name}: {found} ± {error} decides nothing");
        let tolerance = 4.0 * error + 1e-7 * expected.abs();
        assert!((found - expected).abs() <= tolerance, "{name}: {found} ± {error}, explicitly {expected}");
    }
    // The stated errors are those of single measurements.
    for name in ["noise_trace", "hessian_trace", "hessian_noise"] {
        let single = mean(&all, name).1 * 600f64.sqrt();
        let stated = mean(&all, &format!("{name}_error")).0;
        assert!((0.5..2.5).contains(&(stated / single)), "{name}: stated {stated}, found {single}");
    }
}

/// With one batch that is the whole training set nothing is random but the probes; batch norm is in
/// training mode.
#[test]
fn of_whole_batches_hessians_are_exact_in_tensors_and_in_lanes() {
    let stored = stored();
    for (model, init, expected) in [
        (ModelSpec::mlp(vec![4]), "mlp4.safetensors", &stored.mlp),
        (ModelSpec::resnet(2), "init_width2.safetensors", &stored.resnet),
    ] {
        let lanes = [1, 8].map(|images| ExecutionStrategy::lanes(Precision::Float64, images));
        let can = model.info().name == "resnet";
        let lanes: Vec<ExecutionStrategy> = if can { lanes.to_vec() } else { Vec::new() };
        for choice in [ExecutionStrategy::torch(1, 1)].into_iter().chain(lanes.iter().copied()) {
            let all = measured(spec(&stored, model.clone(), init, stored.train, 1), choice);
            for (name, precision) in [
                ("grad_norm2", 1e-9),
                ("theta_grad", 1e-9),
                ("hessian_1", 2e-3),
                ("hessian_2", 0.05),
                ("hessian_3", 0.15),
            ] {
                let (found, expected) = (all[0].get(name), expected[name]);
                assert!(
                    (found - expected).abs() <= precision * expected.abs(),
                    "{name} of {init}, {choice:?}: {found}, explicitly {expected}"
                );
            }
            // One batch says nothing of the noise of batches.
            assert!(all[0].get("noise_trace").is_nan() && all[0].get("hessian_noise").is_nan());
        }
        // Two random probes at each measurement; the faster way, where there is one.
        let mut probes = spec(&stored, model, init, stored.train, 150);
        probes.measure = Some(Measure { groups: vec![Group::Hessian], every: 1 });
        let all = measured(probes, lanes.last().copied().unwrap_or(ExecutionStrategy::torch(1, 1)));
        let ((trace, error), expected) = (mean(&all, "hessian_trace"), expected["hessian_trace"]);
        assert!(error < 0.2 * expected.abs(), "{trace} ± {error}");
        assert!(
            (trace - expected).abs() < 4.0 * error,
            "Tr H of {init}: {trace} ± {error}, explicitly {expected}"
        );
    }
}

#[test]
fn tensors_and_lanes_measure_the_same() {
    let stored = stored();
    let spec =
        |choice| measured(spec(&stored, ModelSpec::resnet(2), "init_width2.safetensors", 8, 2), choice);
    let tensors = spec(ExecutionStrategy::torch(1, 1));
    let lanes = [1, 4].map(|images| spec(ExecutionStrategy::lanes(Precision::Float64, images)));
    for (a, b) in lanes.iter().flat_map(|lanes| tensors.iter().zip(lanes)) {
        for (name, ..) in QUANTITIES {
            let (a, b) = (a.get(name), b.get(name));
            assert!(
                (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-5 * a.abs().max(1e-6),
                "{name}: {a} in tensors, {b} in lanes"
            );
        }
    }
}

/// Columns where they are asked for, nulls at the other epochs, the same after a resume and in
/// every reader's file.
#[test]
fn a_sweep_that_measures_has_the_columns_and_one_that_does_not_has_not() {
    let lab = Lab::new();
    let script = r#"
        let options = #{
            data: digits().take(300), model: resnet(#{ width: 2 }), lr: [0.02, 0.05], batch: 25, epochs: 5, seed: 1..=2,
            optimizer: sgd(#{ weight_decay: 0.01 }), order: "replacement",
        };
        let plain = sweep(options).run("plain");
        options.measure = #{ what: ["hessian", "gradient"], every: 2 };
        let plan = sweep(options);
        let runs = plan.run("measured");
        print(`columns ${plain.columns.contains("noise_trace")} ${runs.columns.contains("noise_trace")}`);
        print(`epochs ${runs.filter("noise_trace is not null").column("epoch")}`);
        print(`spectrum ${runs.filter("hessian_1 is not null").len}`);
        print(`same losses ${plain.column("train_loss") == runs.column("train_loss")}`);
        print(`again ${results("measured").column("hessian_trace") == runs.column("hessian_trace")}`);
        print(`file ${parquet("measured/metrics/*/*.parquet").filter("hessian_trace is not null").len}`);
        let steady = runs.steady(#{ last: 5 });
        print(`steady ${steady.column("noise_trace")[0] > 0}`);
        let network = train(options + #{ lr: 0.02, seed: 1 }).network;
        print(`now ${network.measure(digits().take(300), #{ batch: 25 }).noise_trace > 0}`);
    "#;
    let run = lab.script(script);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for line in [
        "columns false true",
        "epochs [2, 4, 5, 2, 4, 5, 2, 4, 5, 2, 4, 5]",
        "spectrum 0",
        "same losses true",
        "again true",
        "file 12",
        "steady true",
        "now true",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
}

#[test]
fn stationarity_tells_a_run_at_rest_from_one_that_moves() {
    let lab = Lab::new();
    let script = r#"
        let options = #{
            data: digits().take(400), model: linear(), lr: 0.1, batch: 5, epochs: 60, order: "replacement", precision: "float64",
            optimizer: sgd(#{ weight_decay: 0.2 }), measure: #{ what: ["gradient", "hessian"], every: 1 },
        };
        let rest = stationarity(sweep(options).run("rest"));
        options.epochs = 24;
        options.lr = 0.0002;
        let moving = stationarity(sweep(options).run("moving"), #{ last: 1 });
        let verdict = |table, equation| table.filter(`equation = '${equation}'`).column("verdict")[0];
        for equation in ["33", "34", "35", "35, SGD itself", "36", "37"] {
            print(`${equation}: ${verdict.call(rest, equation)}, ${verdict.call(moving, equation)}`);
        }
        print(rest);
        print(moving);
    "#;
    let run = lab.script(script);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for line in [
        "33: undecided, equal",
        "34: undecided, moving",
        "35, SGD itself: at rest, undecided",
        "36: undecided, moving",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
    for (options, message) in [
        ("\"noise\"", "measure: expected \"gradient\", \"hessian\", \"spectrum\", found \"noise\""),
        ("#{ every: 3 }", "`what` is missing"),
        ("#{ what: \"gradient\", every: 3 }", "expected a multiple of evaluate_every, 2"),
    ] {
        let script = format!(
            "sweep(#{{ data: digits(), model: linear(), lr: 0.1, batch: 5, epochs: 6, evaluate_every: 2, measure: {options} }})"
        );
        let run = lab.script(&script);
        assert!(run.stderr.contains(message), "{message}: {}", run.stderr);
    }
}
