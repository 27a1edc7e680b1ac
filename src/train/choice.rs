//! How a cohort is executed: stacked, or one run after another. Measured, not guessed.
//!
//! `stacks.csv` holds images per second of one core for stacks of different sizes, as
//! `cargo run --release --example measure_stacks` writes it. A cohort takes the fastest stack of the
//! measured case nearest to it. The choice decides rounding, so it is frozen with a sweep's plan: a
//! table gives the same choice every time, a measurement at each start would not.

use std::cmp::Ordering;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::spec::RunSpec;
use crate::error::{Error, Result};
use crate::torch::Precision;

/// The measured table, as text.
pub const MEASURED: &str = include_str!("stacks.csv");

/// How the runs of a cohort are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Replicas of one stack, at most. 1: one run after another, without grouped operations; more: a lone
    /// replica is padded to two, because stacks of two or more round alike.
    pub stack: usize,
    /// Torch threads of one stack.
    pub threads: usize,
}

/// Stacks this near to the fastest one's speed count as equally fast.
const ENOUGH: f64 = 0.95;

/// One measured case.
#[derive(Clone, Debug)]
struct Case {
    model: String,
    width: f64,
    pixels: f64,
    batch: f64,
    stack: usize,
    images_per_second: f64,
}

static CASES: LazyLock<Result<Vec<Case>>> = LazyLock::new(|| parse(MEASURED));

fn parse(text: &str) -> Result<Vec<Case>> {
    let bad = |line: &str| Error::invalid(format!("stacks.csv: not a measured case: {line}"));
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("model") && !line.is_empty())
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let [model, width, side, batch, stack, speed] = fields[..] else { return Err(bad(line)) };
            let number = |text: &str| text.parse::<f64>().map_err(|_| bad(line));
            Ok(Case {
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
    /// The cost of one run of a stack.
    pub fn expected(spec: &RunSpec, shape: [usize; 3], choice: Choice) -> Result<Self> {
        let cases = CASES.as_ref().map_err(|error| Error::invalid(error.to_string()))?;
        let near = nearest(cases, spec, shape);
        let Some(case) = near.iter().min_by_key(|case| case.stack.abs_diff(choice.stack)) else {
            return Err(Error::invalid("stacks.csv holds no measured case"));
        };
        // Work per image grows with the pixels and, for convolutions, with the square of the width.
        let work = |width: f64, pixels: f64| width * width * pixels;
        let width = spec.model.width().max(1) as f64;
        let ratio = work(width, (shape[1] * shape[2]) as f64) / work(case.width.max(1.0), case.pixels);
        let images = spec.images() as f64;
        let evaluations = f64::from(spec.epochs.div_ceil(spec.evaluate_every)) / f64::from(spec.epochs);
        let passes = images * (1.0 + evaluations * Self::evaluation_share(spec));
        Ok(Self { core_seconds: passes * ratio / case.images_per_second })
    }

    /// What evaluating after an epoch costs, in units of that epoch's training. A forward pass is a third of a
    /// training step.
    pub fn evaluation_share(spec: &RunSpec) -> f64 {
        let evaluated = match spec.train_metrics {
            super::spec::TrainMetrics::Evaluate => spec.train + spec.test,
            super::spec::TrainMetrics::Running => spec.test,
        };
        evaluated as f64 / 3.0 / (spec.steps_per_epoch() * spec.batch as u64) as f64
    }
}

impl Choice {
    /// The fastest way for runs like this one, of which there are `runs`, on `cores` cores.
    pub fn measured(spec: &RunSpec, shape: [usize; 3], runs: usize, cores: usize) -> Result<Self> {
        let cases = CASES.as_ref().map_err(|error| Error::invalid(error.to_string()))?;
        // In float64 stacks of different sizes round differently, so a resumed run would depend on its neighbours.
        let stack = if spec.precision == Precision::Float64 { 1 } else { fastest(cases, spec, shape) };
        // Wide nets that leave cores idle share them within operations.
        let threads = if stack == 1 { (cores / runs.max(1)).max(1) } else { 1 };
        Ok(Self { stack, threads })
    }
}

/// The rows of the measured case nearest to a run.
fn nearest<'a>(cases: &'a [Case], spec: &RunSpec, shape: [usize; 3]) -> Vec<&'a Case> {
    let width = spec.model.width().max(1) as f64;
    let (pixels, batch) = ((shape[1] * shape[2]) as f64, spec.batch as f64);
    // What a layer has to do per launch decides; how it divides into width, pixels and batch less so.
    let distance = |case: &Case| {
        let ratio = |a: f64, b: f64| (a / b).log2().abs();
        ratio(case.width, width) * 2.0 + ratio(case.pixels, pixels) + ratio(case.batch, batch)
    };
    let name = spec.model.info().name;
    let same_model = |case: &&Case| case.model == name || !cases.iter().any(|case| case.model == name);
    // Of cases that are equally near, the one with the smaller batch.
    let order = |a: &&Case, b: &&Case| {
        (distance(a), a.batch).partial_cmp(&(distance(b), b.batch)).unwrap_or(Ordering::Equal)
    };
    let Some(nearest) = cases.iter().filter(same_model).min_by(order) else { return Vec::new() };
    let same = |case: &&Case| {
        (&case.model, case.width, case.pixels, case.batch)
            == (&nearest.model, nearest.width, nearest.pixels, nearest.batch)
    };
    cases.iter().filter(same).collect()
}

fn fastest(cases: &[Case], spec: &RunSpec, shape: [usize; 3]) -> usize {
    let near = nearest(cases, spec, shape);
    let best = near.iter().map(|case| case.images_per_second).fold(0.0, f64::max);
    // The smallest of those that are as fast: small stacks are shared out more evenly.
    near.iter()
        .filter(|case| case.images_per_second >= ENOUGH * best)
        .map(|case| case.stack)
        .min()
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cohort_takes_the_smallest_of_the_fastest_stacks_of_the_nearest_case() {
        let text = "resnet,4,8,8,1,100\nresnet,4,8,8,4,390\nresnet,4,8,8,8,400\nresnet,32,32,128,1,9\nresnet,32,32,128,2,8\n";
        let cases = parse(text).unwrap();
        let spec = |width, batch| {
            let mut spec = crate::train::spec::example();
            spec.model = crate::model::ModelSpec::Resnet { width };
            spec.batch = batch;
            spec
        };
        assert_eq!(fastest(&cases, &spec(5, 16), [1, 8, 8]), 4);
        assert_eq!(fastest(&cases, &spec(32, 100), [3, 32, 32]), 1);
        assert!(parse("resnet,4\n").is_err());
    }

    #[test]
    fn the_measured_table_stacks_small_nets_and_not_wide_ones() {
        let spec = |width, batch| RunSpec {
            model: crate::model::ModelSpec::Resnet { width },
            batch,
            ..crate::train::spec::example()
        };
        assert!(Choice::measured(&spec(4, 8), [1, 8, 8], 12, 2).unwrap().stack >= 6);
        assert_eq!(
            Choice::measured(&spec(32, 128), [3, 32, 32], 1, 2).unwrap(),
            Choice { stack: 1, threads: 2 }
        );
    }
}
