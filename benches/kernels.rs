//! What computes an update: vector lanes and libtorch's stacks, on one core. `cargo bench --bench
//! kernels`.
//!
//! An iteration is a training of a few updates, with drawing data and weights and one evaluation of
//! two images; throughput counts the images that were trained on.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kelvin::torch::Precision;
use kelvin::train::ExecutionStrategy;
use kelvin::train::engine::{Settings, Task, run};
use tch::Device;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "../examples/bench/cases.rs"]
#[allow(dead_code)]
mod cases;

use cases::Case;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Trains as many replicas as fill a stack of this strategy, in one worker.
fn train(case: Case, strategy: ExecutionStrategy) {
    let replicas = strategy.largest(case.precision, Device::Cpu) as i64;
    let tasks = (0..replicas).map(|seed| Task::new(case.spec(seed, 1, 2), strategy)).collect();
    let settings = Settings { workers: 1, ..Settings::on(Device::Cpu) };
    run(black_box(tasks), settings, &mut |_| Ok(())).expect("the runs train");
}

fn kernels(criterion: &mut Criterion) {
    kelvin::memory::keep_freed();
    let mut group = criterion.benchmark_group("updates");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    let bf16 = Case { precision: Precision::Bf16, ..Case::colour(128, 1) };
    let cases = [
        ("width 4, batch 8", Case::digits(4, 8, 1), ExecutionStrategy::lanes(Precision::Float32, 1)),
        ("width 8, batch 128", Case::digits(8, 128, 1), ExecutionStrategy::lanes(Precision::Float32, 4)),
        ("width 32, batch 128", Case::colour(128, 1), ExecutionStrategy::lanes(Precision::Float32, 16)),
        ("width 32, batch 128, bf16", bf16, ExecutionStrategy::lanes(Precision::Bf16, 16)),
        ("width 8, batch 128, libtorch", Case::digits(8, 128, 1), ExecutionStrategy::torch(4, 1)),
    ];
    for (name, case, strategy) in cases {
        let replicas = strategy.largest(case.precision, Device::Cpu);
        group.throughput(Throughput::Elements((replicas * case.steps() * case.batch) as u64));
        group.bench_function(name, |bencher| bencher.iter(|| train(case, strategy)));
    }
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
