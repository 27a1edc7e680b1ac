//! A sweep's folder: opening it and asking what is left. `cargo bench --bench store`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kelvin::data::{DataSpec, Source};
use kelvin::model::ModelSpec;
use kelvin::sweep::{Plan, Provenance, RunOptions, Silent, Store};
use kelvin::table::Table;
use kelvin::train::RunSpec;

#[path = "../examples/bench/cases.rs"]
#[allow(dead_code)]
mod cases;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const RUNS: i64 = 200;
const EPOCHS: u32 = 20;

fn plan() -> Plan {
    let specs = (0..RUNS).map(|seed| RunSpec {
        data: DataSpec::new(Source::digits()),
        model: ModelSpec::linear(),
        train: 64,
        evaluate_every: 1,
        ..cases::Case::digits(4, 32, 1).spec(seed, EPOCHS, 32)
    });
    Plan::new(specs.collect()).expect("a plan")
}

fn store(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("sweep");
    kelvin::sweep::run(&plan(), &dir, &Provenance::here(), &RunOptions::default(), &mut Silent)
        .expect("the runs train");
    let mut group = criterion.benchmark_group("store");
    group.sample_size(20).throughput(Throughput::Elements(RUNS as u64));
    group.bench_function("open the epochs of 200 runs", |bencher| {
        bencher.iter(|| black_box(kelvin::sweep::open(&dir).expect("a table")));
    });
    group.bench_function("what is left of 200 runs", |bencher| {
        bencher.iter(|| {
            let store = Store::open(&dir).expect("a folder");
            black_box(store.run_statuses().expect("a status each"))
        });
    });
    let (table, file) = (kelvin::sweep::open(&dir).expect("a table"), folder.path().join("all.parquet"));
    group.bench_function("write their rows", |bencher| {
        bencher.iter(|| table.write(&file).expect("a file"));
    });
    group.bench_function("read them again", |bencher| {
        bencher.iter(|| black_box(Table::read_parquet(&file).expect("a table")));
    });
    group.finish();
}

criterion_group!(benches, store);
criterion_main!(benches);
