//! What runs cost by the measured table, and the strategy that is the fastest by it.
//!
//! `stacks.csv` holds images per second of one core for stacks of different sizes, as `cargo run
//! --release --example measure_stacks` writes it. A cohort takes the fastest strategy of the
//! measured case nearest to it. A table gives the same strategy every time, a measurement at each
//! start would not.

use std::cmp::Ordering;
use std::sync::LazyLock;

use super::cohort::stacks;
use super::lanes::capability;
use super::spec::{RunSpec, TrainMetrics};
use super::strategy::{Backend, ExecutionStrategy};
use crate::error::{Error, Result};
use crate::torch::Precision;

/// The measured table, as text.
pub const MEASURED: &str = include_str!("stacks.csv");

/// Stacks this near to the fastest one's speed count as equally fast.
const ENOUGH: f64 = 0.95;

/// Longest expected update in lanes, in seconds, unless libtorch's takes longer. An update cannot
/// be interrupted, and in lanes all replicas of a stack are updated together.
const LONGEST_UPDATE: f64 = 0.5;

/// Shortest expected update in lanes, in seconds, that several threads share. They start some sixty
/// times an update, which takes 5 ms.
const SHARED_UPDATE: f64 = 0.05;

/// Operations of an update in libtorch per thread, some 5 to 10 ms. With fewer, threads on busy
/// cores wait for each other longer than they compute.
const OPERATIONS_OF_A_THREAD: f64 = 2e8;

/// Threads that are worth their start for this many operations.
fn worth(operations: f64) -> usize {
    (operations / OPERATIONS_OF_A_THREAD).max(1.0) as usize
}

/// Multiplications and additions of an update: one each per weight and place where it is used,
/// forwards and twice that backwards.
fn operations(spec: &RunSpec, shape: [usize; 3]) -> Result<f64> {
    /// Of the last layer, which hardly counts where there is much to compute.
    const CLASSES: usize = 10;
    let (pixels, width) = ((shape[1] * shape[2]) as f64, spec.model.width() as f64);
    let weights = spec.model.build(shape, CLASSES)?.layout.tensors.clone();
    let used = weights.iter().filter(|tensor| tensor.is_product).map(|tensor| match tensor.shape[..] {
        // Where filters double, the places of each direction halve.
        [filters, _, _, _] => tensor.numel() as f64 * pixels * (width / filters as f64).powi(2),
        _ => tensor.numel() as f64,
    });
    Ok(6.0 * used.sum::<f64>() * spec.batch as f64)
}

/// One measured case.
#[derive(Clone, Debug)]
struct MeasuredCase {
    backend: Backend,
    model: String,
    width: f64,
    pixels: f64,
    batch: f64,
    stack: usize,
    images_per_second: f64,
}

impl MeasuredCase {
    /// Seconds that an update of a stack of `replicas` is expected to take.
    fn update(&self, spec: &RunSpec, shape: [usize; 3], replicas: usize) -> f64 {
        let images = replicas as f64 * spec.batch as f64;
        images * self.ratio(spec, shape) / self.images_per_second
    }

    /// Work per image of a run, in units of this case's. It grows with the pixels and, for
    /// convolutions, with the square of the width.
    fn ratio(&self, spec: &RunSpec, shape: [usize; 3]) -> f64 {
        let work = |width: f64, pixels: f64| width * width * pixels;
        let width = spec.model.width().max(1) as f64;
        work(width, (shape[1] * shape[2]) as f64) / work(self.width.max(1.0), self.pixels)
    }
}

static CASES: LazyLock<Result<Vec<MeasuredCase>>> = LazyLock::new(|| parse(MEASURED));

fn parse(text: &str) -> Result<Vec<MeasuredCase>> {
    let bad = |line: &str| Error::invalid(format!("stacks.csv: not a measured case: {line}"));
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("backend") && !line.is_empty())
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let [backend, model, width, side, batch, stack, speed] = fields[..] else {
                return Err(bad(line));
            };
            let backend = Backend::ALL.iter().find(|(name, _)| *name == backend).ok_or_else(|| bad(line))?.1;
            let number = |text: &str| text.parse::<f64>().map_err(|_| bad(line));
            Ok(MeasuredCase {
                backend,
                model: model.to_owned(),
                width: number(width)?,
                pixels: number(side)?.powi(2),
                batch: number(batch)?,
                stack: number(stack)? as usize,
                images_per_second: number(speed)?,
            })
        })
        .collect()
}

/// What a run is expected to cost, from the measured table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Time of one core for training and evaluation, on a machine as fast as the measured one.
    pub core_seconds: f64,
}

impl Cost {
    /// The cost of one run of a stack of this many.
    pub fn expected(
        spec: &RunSpec,
        shape: [usize; 3],
        strategy: ExecutionStrategy,
        replicas: usize,
    ) -> Result<Self> {
        let cases = CASES.as_ref().map_err(|error| Error::invalid(error.to_string()))?;
        let near = nearest(cases, strategy.backend, spec, shape);
        let Some(case) = near.iter().min_by_key(|case| case.stack.abs_diff(strategy.stack)) else {
            return Err(Error::invalid("stacks.csv holds no measured case"));
        };
        let full = match strategy.backend {
            Backend::Torch => 1.0,
            Backend::Lanes => strategy.full(spec) * (replicas as f64 / strategy.stack as f64).min(1.0),
        };
        let images = spec.images() as f64;
        let evaluations = f64::from(spec.epochs.div_ceil(spec.evaluate_every)) / f64::from(spec.epochs);
        let passes = images * (1.0 + evaluations * Self::evaluation_share(spec));
        Ok(Self { core_seconds: passes * case.ratio(spec, shape) / (full * case.images_per_second) })
    }

    /// What evaluating after an epoch costs, in units of that epoch's training. A forward pass is a
    /// third of a training step.
    pub fn evaluation_share(spec: &RunSpec) -> f64 {
        let evaluated = match spec.train_metrics {
            TrainMetrics::Evaluate => spec.train + spec.test,
            TrainMetrics::Running => spec.test,
        };
        evaluated as f64 / 3.0 / (spec.steps_per_epoch() * spec.batch as u64) as f64
    }
}

impl ExecutionStrategy {
    /// The fastest strategy for a cohort of `cohort` runs like this one, among `runs` runs, on
    /// `cores` cores.
    pub fn measured(
        spec: &RunSpec,
        shape: [usize; 3],
        cohort: usize,
        runs: usize,
        cores: usize,
    ) -> Result<Self> {
        let cases = CASES.as_ref().map_err(|error| Error::invalid(error.to_string()))?;
        let (stack, torch) = fastest(cases, spec, shape, cohort, cores);
        // Runs that leave cores idle share them within operations, as far as that pays.
        let idle = (cores / runs.max(1)).max(1);
        let threads = if stack == 1 { idle.min(worth(operations(spec, shape)?)) } else { 1 };
        let torch = torch / threads as f64;
        let images = capability::images(spec.precision, spec.batch, cohort, cores);
        let mut lanes = Self::lanes(spec.precision, images);
        if lanes_update(cases, spec, shape, lanes) >= SHARED_UPDATE {
            lanes.threads = idle.min(spec.batch.div_ceil(images));
        }
        if capability::is_supported(spec) && lanes_duration(cases, spec, shape, cohort, lanes, cores) < torch
        {
            return Ok(lanes);
        }
        Ok(Self::torch(stack, threads))
    }
}

/// How long a cohort takes, in images: `each` says how many images a core could have trained while
/// it trains one image of each replica of a stack of this size.
fn duration(cohort: usize, largest: usize, cores: usize, each: impl Fn(usize) -> f64) -> f64 {
    let sizes = stacks(cohort, largest, cores);
    let longest = sizes.iter().map(|&size| each(size)).fold(0.0, f64::max);
    sizes.len().div_ceil(cores.max(1)) as f64 * longest
}

/// Seconds that an update of a stack in lanes is expected to take in one thread. Infinite where
/// nothing was measured.
fn lanes_update(cases: &[MeasuredCase], spec: &RunSpec, shape: [usize; 3], lanes: ExecutionStrategy) -> f64 {
    let near = nearest(cases, Backend::Lanes, spec, shape);
    near.first().map_or(f64::INFINITY, |case| case.update(spec, shape, lanes.stack) / lanes.full(spec))
}

/// How long a cohort takes in lanes, in seconds per image of a run. Infinite where an update would
/// take too long.
fn lanes_duration(
    cases: &[MeasuredCase],
    spec: &RunSpec,
    shape: [usize; 3],
    cohort: usize,
    lanes: ExecutionStrategy,
    cores: usize,
) -> f64 {
    let near = nearest(cases, Backend::Lanes, spec, shape);
    let Some(case) = near.first() else { return f64::INFINITY };
    let torch = nearest(cases, Backend::Torch, spec, shape);
    let alone = torch.iter().find(|case| case.stack == 1).map_or(0.0, |case| case.update(spec, shape, 1));
    if lanes_update(cases, spec, shape, lanes) > alone.max(LONGEST_UPDATE) {
        return f64::INFINITY;
    }
    // The thread with the most packs is the last one.
    let packs = spec.batch.div_ceil(lanes.images);
    let threads = packs as f64 / packs.div_ceil(lanes.threads) as f64;
    let speed = case.images_per_second * lanes.full(spec) * threads;
    duration(cohort, lanes.stack, cores, |_| lanes.stack as f64 / speed)
}

/// The rows of the measured case nearest to a run.
fn nearest<'a>(
    cases: &'a [MeasuredCase],
    backend: Backend,
    spec: &RunSpec,
    shape: [usize; 3],
) -> Vec<&'a MeasuredCase> {
    let width = spec.model.width().max(1) as f64;
    let (pixels, batch) = ((shape[1] * shape[2]) as f64, spec.batch as f64);
    // The work of a layer per launch matters most; its split into width, pixels and batch less.
    let distance = |case: &MeasuredCase| {
        let ratio = |a: f64, b: f64| (a / b).log2().abs();
        ratio(case.width, width) * 2.0 + ratio(case.pixels, pixels) + ratio(case.batch, batch)
    };
    let name = spec.model.info().name;
    let same_model =
        |case: &&MeasuredCase| case.model == name || !cases.iter().any(|case| case.model == name);
    // Of cases that are equally near, the one with the smaller batch.
    let order = |a: &&MeasuredCase, b: &&MeasuredCase| {
        (distance(a), a.batch).partial_cmp(&(distance(b), b.batch)).unwrap_or(Ordering::Equal)
    };
    let own = || cases.iter().filter(|case| case.backend == backend);
    let Some(nearest) = own().filter(same_model).min_by(order) else { return Vec::new() };
    let same = |case: &&MeasuredCase| {
        (&case.model, case.width, case.pixels, case.batch)
            == (&nearest.model, nearest.width, nearest.pixels, nearest.batch)
    };
    own().filter(same).collect()
}

/// The best stack in libtorch, and how long the cohort takes, in seconds per image of a run.
fn fastest(
    cases: &[MeasuredCase],
    spec: &RunSpec,
    shape: [usize; 3],
    cohort: usize,
    cores: usize,
) -> (usize, f64) {
    let near = nearest(cases, Backend::Torch, spec, shape);
    let seconds = |replicas: usize| {
        let case = near.iter().min_by_key(|case| case.stack.abs_diff(replicas));
        case.map_or(f64::INFINITY, |case| replicas as f64 / case.images_per_second)
    };
    // In float64 stacks of different sizes round differently, so a resumed run would depend on its
    // neighbours.
    let possible = near.iter().filter(|case| case.stack == 1 || spec.precision != Precision::Float64);
    let each: Vec<(usize, f64)> = possible
        .map(|case| {
            let padded = |size: usize| if case.stack > 1 { size.max(2) } else { size };
            (case.stack, duration(cohort, case.stack, cores, |size| seconds(padded(size))))
        })
        .collect();
    let best = each.iter().map(|(_, duration)| *duration).fold(f64::INFINITY, f64::min);
    // The smallest of those that are as fast: small stacks are shared out more evenly.
    let enough = each.iter().filter(|(_, duration)| *duration * ENOUGH <= best);
    (enough.map(|(stack, _)| *stack).min().unwrap_or(1), best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(width: i64, batch: usize) -> RunSpec {
        let model = crate::model::ModelSpec::resnet(width);
        RunSpec { model, batch, ..crate::train::spec::example() }
    }

    #[test]
    fn a_cohort_takes_the_smallest_of_the_fastest_stacks_of_the_nearest_case() {
        let text = "torch,resnet,4,8,8,1,100\ntorch,resnet,4,8,8,4,390\ntorch,resnet,4,8,8,8,400\n\
                    torch,resnet,32,32,128,1,9\ntorch,resnet,32,32,128,2,8\nlanes,resnet,4,8,8,8,1600\n";
        let cases = parse(text).unwrap();
        let fastest = |spec, shape, cohort, cores| fastest(&cases, &spec, shape, cohort, cores);
        assert_eq!(fastest(spec(5, 16), [1, 8, 8], 16, 1).0, 4);
        assert_eq!(fastest(spec(32, 100), [3, 32, 32], 16, 1).0, 1);
        // A lone run, padded to two, is no faster stacked.
        assert_eq!(fastest(spec(5, 16), [1, 8, 8], 1, 1), (1, 1.0 / 100.0));
        let eight = ExecutionStrategy::lanes(Precision::Float32, 2);
        let lanes =
            |cohort, cores, batch| lanes_duration(&cases, &spec(4, batch), [1, 8, 8], cohort, eight, cores);
        // A stack of eight in 5 ms per image, whoever is in it.
        assert_eq!(
            [(1, 1), (8, 1), (9, 1), (9, 2)].map(|(n, cores)| lanes(n, cores, 8)),
            [0.005, 0.005, 0.01, 0.005]
        );
        // Half of the last vector is empty.
        assert_eq!(lanes(8, 1, 9), 0.005 * 10.0 / 9.0);
        // libtorch's update takes a second, the stack's half of that.
        assert_eq!(lanes(8, 1, 102), 0.005);
        let fast = parse("torch,resnet,4,8,8,1,1000\nlanes,resnet,4,8,8,8,1600\n").unwrap();
        let long = |batch| lanes_duration(&fast, &spec(4, batch), [1, 8, 8], 8, eight, 1);
        assert_eq!([98, 102].map(long), [0.005, f64::INFINITY]);
        assert!(parse("torch,resnet,4\n").is_err());
        assert!(parse("other,resnet,4,8,8,1,100\n").is_err());
    }

    /// Operations by hand: of a layer of 64 x 10 weights and 10 biases 6 · 650 per image; of the
    /// ResNet's first stage 9 · 4 · 4 weights at 64 pixels.
    #[test]
    fn a_lone_run_in_libtorch_shares_the_cores_where_its_updates_are_long() {
        use crate::model::ModelSpec;
        let run = |model: ModelSpec, batch: usize| RunSpec { model, batch, ..crate::train::spec::example() };
        assert_eq!(operations(&run(ModelSpec::linear(), 8), [1, 8, 8]).unwrap(), 8.0 * 6.0 * 650.0);
        let mlp = ModelSpec::mlp(vec![32]);
        assert_eq!(operations(&run(mlp, 1), [1, 8, 8]).unwrap(), 6.0 * (65.0 * 32.0 + 330.0));
        let width = 4.0f64;
        let stages = 64.0 * width * width * 9.0 * (4.0 + 3.0 * 3.5) + 64.0 * width * width * 3.0 * 0.5;
        let resnet = 64.0 * 9.0 * width + stages + 10.0 * (8.0 * width + 1.0);
        assert_eq!(operations(&spec(4, 1), [1, 8, 8]).unwrap(), 6.0 * resnet);

        let threads = |model: ModelSpec, side: usize, batch: usize, runs: usize| {
            ExecutionStrategy::measured(&run(model, batch), [1, side, side], runs, runs, 8).unwrap().threads
        };
        assert_eq!(threads(ModelSpec::linear(), 8, 8, 1), 1);
        assert_eq!(threads(ModelSpec::mlp(vec![64]), 8, 128, 1), 1);
        // The more there is to do, the more of the cores; all of them, but no core that another run
        // has.
        let wide = |width| ModelSpec::mlp(vec![width, width]);
        assert!((2..8).contains(&threads(wide(1024), 16, 128, 1)));
        assert_eq!(threads(wide(4096), 32, 128, 1), 8);
        let busy = threads(wide(4096), 32, 128, 4);
        assert!(busy <= 2, "{busy}");
    }

    #[test]
    fn the_measured_table_takes_lanes() {
        let digits =
            |spec: &RunSpec, cohort| ExecutionStrategy::measured(spec, [1, 8, 8], cohort, cohort, 2).unwrap();
        assert_eq!(digits(&spec(4, 8), 12), ExecutionStrategy::lanes(Precision::Float32, 2));
        let bf16 = RunSpec { precision: Precision::Bf16, ..spec(4, 8) };
        assert_eq!(digits(&bf16, 12), ExecutionStrategy::lanes(Precision::Bf16, 2));
        let wide = |runs| ExecutionStrategy::measured(&spec(32, 128), [3, 32, 32], runs, runs, 2).unwrap();
        assert_eq!(wide(2), ExecutionStrategy::lanes(Precision::Float32, 16));
        // A lone run shares the cores, unless its updates are short.
        assert_eq!(
            wide(1),
            ExecutionStrategy { threads: 2, ..ExecutionStrategy::lanes(Precision::Float32, 16) }
        );
        let small = ExecutionStrategy::measured(&spec(4, 128), [1, 8, 8], 1, 1, 2).unwrap();
        assert_eq!(small, ExecutionStrategy::lanes(Precision::Float32, 16));
    }
}
