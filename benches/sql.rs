//! Operations on tables, as scripts write them. `cargo bench --bench sql`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kelvin::table::{Cell, Table};

const ROWS: usize = 100_000;

/// Like an epochs table: a few settings, many rows of each.
fn table() -> Table {
    let column = |value: &dyn Fn(usize) -> Cell| (0..ROWS).map(value).collect();
    let columns: [Vec<Cell>; 4] = [
        column(&|row| Cell::Float(0.01 * (1 + row % 7) as f64)),
        column(&|row| Cell::Int(16 << (row % 4))),
        column(&|row| Cell::Int((row % 40) as i64 + 1)),
        column(&|row| Cell::Float((row as f64).sin())),
    ];
    Table::from_cells(&["lr", "batch", "epoch", "gap"].map(str::to_owned), &columns).expect("a table")
}

fn sql(criterion: &mut Criterion) {
    let table = table();
    let mut group = criterion.benchmark_group("sql");
    group.sample_size(20).throughput(Throughput::Elements(ROWS as u64));
    let texts = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    group.bench_function("filter", |bencher| {
        bencher.iter(|| black_box(table.filter("epoch > 27 and lr < 0.05").expect("a filter")));
    });
    group.bench_function("derive", |bencher| {
        bencher.iter(|| black_box(table.derive("temperature", "lr / batch").expect("a column")));
    });
    let (keys, aggregates) = (texts(&["lr", "batch"]), texts(&["avg(gap) as gap", "stddev(gap) as s"]));
    group.bench_function("group", |bencher| {
        bencher.iter(|| black_box(table.group(&keys, &aggregates).expect("groups")));
    });
    let order = texts(&["gap desc"]);
    group.bench_function("sort", |bencher| {
        bencher.iter(|| black_box(table.sort(&order).expect("sorted rows")));
    });
    group.finish();
}

criterion_group!(benches, sql);
criterion_main!(benches);
