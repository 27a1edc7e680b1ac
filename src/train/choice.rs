//! How a cohort is executed: stacked, or one run after another. Measured, not guessed.
//!
//! `stacks.csv` holds images per second of one core for stacks of different sizes, as
//! `cargo run --release --example measure_stacks` writes it. A cohort takes the fastest stack of the
//! measured case nearest to it. The choice decides rounding, so it is frozen with a sweep's plan: a
//! table gives the same choice every time, a measurement at each start would not.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::spec::RunSpec;
use crate::error::{Error, Result};

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

impl Choice {
    /// The fastest way for runs like this one, of which there are `runs`, on `cores` cores.
    pub fn measured(spec: &RunSpec, shape: [usize; 3], runs: usize, cores: usize) -> Result<Self> {
        let cases = CASES.as_ref().map_err(|error| Error::invalid(error.to_string()))?;
        let stack = fastest(cases, spec, shape);
        // Wide nets that leave cores idle share them within operations.
        let threads = if stack == 1 { (cores / runs.max(1)).max(1) } else { 1 };
        Ok(Self { stack, threads })
    }
}

fn fastest(cases: &[Case], spec: &RunSpec, shape: [usize; 3]) -> usize {
    let width = spec.model.width().max(1) as f64;
    let (pixels, batch) = ((shape[1] * shape[2]) as f64, spec.batch as f64);
    // What a layer has to do per launch decides; how it divides into width, pixels and batch less so.
    let distance = |case: &Case| {
        let ratio = |a: f64, b: f64| (a / b).log2().abs();
        ratio(case.width, width) * 2.0 + ratio(case.pixels, pixels) + ratio(case.batch, batch)
    };
    let name = spec.model.info().name;
    let same_model = |case: &&Case| case.model == name || !cases.iter().any(|case| case.model == name);
    let nearest = cases.iter().filter(same_model).map(distance).fold(f64::INFINITY, f64::min);
    cases
        .iter()
        .filter(same_model)
        .filter(|case| distance(case) <= nearest)
        .max_by(|a, b| a.images_per_second.total_cmp(&b.images_per_second))
        .map_or(1, |case| case.stack)
}
