//! Measures how replicas train fastest on this machine's CPU, in libtorch's stacks of which size or
//! in vector lanes, and prints the table that `src/train/stacks.csv` holds: `make stacks`. A file
//! of such a table as an argument is printed again, with what lanes do measured anew.
//!
//! Every worker trains stacks of one size at the same time, as in a sweep; the figure is images per
//! second of one core. Each case is measured three times, in turn with the others, and the best is
//! kept: what disturbs a measurement only ever slows it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::time::Instant;

use kelvin::data::{DataSpec, Sampling, SyntheticOptions};
use kelvin::model::ModelSpec;
use kelvin::optim::{OptimizerSpec, Schedule, Sgd};
use kelvin::torch::Precision;
use kelvin::train::engine::{Settings, Task, cores, run};
use kelvin::train::{ExecutionStrategy, Order, RunSpec, Seeds, TrainMetrics};

/// Seconds that a measurement should take.
const SECONDS: f64 = 0.3;

fn spec(model: &ModelSpec, side: usize, batch: usize, steps: usize, seed: i64) -> RunSpec {
    let n = batch * steps;
    let channels = if side == 8 { 1 } else { 3 };
    let options =
        SyntheticOptions { n: n + 2, classes: 10, shape: [channels, side, side], noise: 1.0, seed: 1 };
    RunSpec {
        data: DataSpec::new(options.into()),
        sampling: Sampling::Fixed,
        train: n,
        test: 2,
        augment: false,
        model: model.clone(),
        init: None,
        optimizer: OptimizerSpec::new(Sgd::default()),
        schedule: Schedule::CONSTANT,
        lr: 0.01,
        batch,
        order: Order::Shuffled,
        epochs: 1,
        seeds: Seeds::all(seed),
        precision: Precision::Float32,
        evaluate_every: 1,
        train_metrics: TrainMetrics::Running,
        measure: None,
    }
}

/// Images per second of one core.
fn measure(model: &ModelSpec, side: usize, batch: usize, strategy: ExecutionStrategy, steps: usize) -> f64 {
    let stack = strategy.largest(Precision::Float32, tch::Device::Cpu);
    let tasks: Vec<Task> = (0..stack * cores())
        .map(|seed| Task::new(spec(model, side, batch, steps, seed as i64), strategy))
        .collect();
    let images = tasks.len() * batch * steps;
    let start = Instant::now();
    run(tasks, Settings::on(tch::Device::Cpu), &mut |_| Ok(())).expect("the runs train");
    images as f64 / start.elapsed().as_secs_f64() / cores() as f64
}

fn main() {
    println!(
        "# Images per second of one core, best of three; {} cores at once. Written by `make stacks`.",
        cores()
    );
    println!("backend,model,width,side,batch,stack,images_per_second");
    let kept = std::env::args().nth(1).map(|path| std::fs::read_to_string(path).expect("a readable table"));
    for line in kept.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with("torch,")) {
        println!("{line}");
    }
    let mut cases = Vec::new();
    for (side, widths) in [(8, vec![2, 4, 8, 16, 32]), (32, vec![4, 8, 16, 32])] {
        for width in widths {
            for batch in if side == 8 { vec![8, 32, 128, 512] } else { vec![20, 128] } {
                cases.push((ModelSpec::resnet(width), side, batch));
            }
        }
    }
    for batch in [8, 128] {
        cases.push((ModelSpec::mlp(vec![64]), 8, batch));
        cases.push((ModelSpec::linear(), 8, batch));
    }
    for (model, side, batch) in cases {
        let mut choices: Vec<ExecutionStrategy> = Vec::new();
        if kept.is_none() {
            let fits = |stack: &usize| stack * batch * side * side <= 1 << 18;
            let stacks = [1, 2, 4, 6, 8, 12, 16, 24].into_iter().filter(fits);
            choices.extend(stacks.map(|stack| ExecutionStrategy::torch(stack, 1)));
        }
        if model.info().name == "resnet" {
            // Full lanes are about as fast with any number of images in a vector.
            choices.push(ExecutionStrategy::lanes(Precision::Float32, 4));
        }
        let stack = |strategy: ExecutionStrategy| strategy.largest(Precision::Float32, tch::Device::Cpu);
        let mut best = vec![0f64; choices.len()];
        for _ in 0..3 {
            for (&strategy, best) in choices.iter().zip(&mut best) {
                // The last speed decides how many steps fill the time.
                let steps = *best * SECONDS / (batch * stack(strategy)) as f64;
                // What takes much longer than that for two steps is known well enough after one
                // measurement.
                if *best > 0.0 && steps < 0.2 {
                    continue;
                }
                let steps = steps.ceil().clamp(2.0, 400.0) as usize;
                *best = best.max(measure(&model, side, batch, strategy, steps));
            }
        }
        for (&strategy, best) in choices.iter().zip(best) {
            let (backend, name, width) = (strategy.backend.name(), model.info().name, model.width());
            println!("{backend},{name},{width},{side},{batch},{},{best:.0}", stack(strategy));
        }
    }
}
