//! Chains that all start at one place, in the time t′ = λ · updates (Appendix B).

use super::Problem;
use super::chains::{CHAINS, ChainOptions, LANES, LR, MOMENTUM, START, walk};
use super::dynamics::{ALPHA, BETA, TEMPERATURE};
use super::ensemble::in_parallel;
use super::estimate::Estimate;
use super::function::{LabFunction, LabValue, SEED, named, with_error};
use super::law::{DataSetKey, ExampleSet, Law};
use super::problem::with_law;
use crate::decimal;
use crate::error::{Error, Result};
use crate::options::{Bounds, DefaultValue, Given, Kind, Opt};
use crate::table::Cell;

pub(super) const ENTRY: LabFunction = LabFunction {
    name: "lab::relaxation",
    returns: "Table",
    doc: "Runs of one temperature with different learning rates in the time t′ = λ · updates (Appendix B): mean and \
          variance of θ over chains that all start at one place. Plain SGD agrees at equal t′, SGD with momentum does \
          not. Times are rounded to whole updates.",
    example: "lab::relaxation(lab::double_well(#{}), #{ temperature: 0.01, lr: [0.01, 0.04], start: 0.5, time: 2, times: 4 })",
    options: &[
        TEMPERATURE.axis(),
        Opt { doc: "λ, of which T makes the batch", ..LR.axis() },
        Opt::new(
            "time",
            Kind::Number(Bounds::POSITIVE),
            DefaultValue::Number(5.0),
            "how long, in t′ = λ · updates",
        ),
        Opt::new("times", Kind::AT_LEAST_ONE, DefaultValue::Integer(10), "rows, equidistant in t′"),
        ALPHA,
        BETA,
        MOMENTUM.axis(),
        CHAINS.or(DefaultValue::Integer(1024)),
        START,
        SEED,
    ],
    call: |problem, given| {
        let (options, times) = (options(given)?, given.count("times")?);
        let row = |moment: Moment| {
            let mut row = vec![
                ("batch".into(), Cell::Int(options.batch as i64)),
                ("steps".into(), Cell::Int(moment.steps as i64)),
                named("time", decimal::product(options.lr, moment.steps as u64)),
            ];
            row.extend(with_error("mean", moment.mean));
            row.extend(with_error("variance", moment.variance));
            row
        };
        Ok(LabValue::Table(problem.relaxation(&options, times)?.into_iter().map(row).collect()))
    },
};

/// The chains whose temperature, learning rate and time are given.
fn options(given: &Given) -> Result<ChainOptions> {
    let (temperature, lr) = (given.number("temperature")?, given.number("lr")?);
    let batch = (lr / temperature).round();
    if !(batch >= 1.0 && (batch * temperature / lr - 1.0).abs() < 1e-9) {
        let below = (lr / temperature).floor().max(1.0) as u64;
        return Err(Error::invalid(format!(
            "lr: expected a multiple of the temperature {temperature}, of which the batch is made, found {lr}; the nearest are {} and {}",
            decimal::product(temperature, below),
            decimal::product(temperature, below.saturating_add(1)),
        )));
    }
    let (time, times) = (given.number("time")?, given.count("times")?);
    let steps = (time / lr).round();
    if !(steps >= times as f64 && steps < 1e15) {
        return Err(Error::invalid(format!(
            "time: expected at least lr · times = {}, found {time}",
            decimal::product(lr, times as u64)
        )));
    }
    Ok(ChainOptions {
        lr,
        batch: batch as usize,
        alpha: given.number("alpha")?,
        beta: given.number("beta")?,
        momentum: given.number("momentum")?,
        steps: steps as usize,
        burn: Some(0),
        chains: given.count("chains")?,
        start: given.given_number("start")?,
        seed: given.integer("seed")?,
    })
}

/// One time of a relaxation.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Updates done.
    pub steps: usize,
    /// The mean of θ over chains.
    pub mean: Estimate,
    /// Its variance over chains.
    pub variance: Estimate,
}

impl Problem {
    /// Mean and variance of θ over chains at `times` equidistant updates, all chains starting at
    /// one place (Appendix B: runs of one T agree at one n·λ, with momentum they do not).
    ///
    /// # Errors
    ///
    /// Where a number is out of range, or the chains diverge; with more than one parameter.
    pub fn relaxation(&self, options: &ChainOptions, times: usize) -> Result<Vec<Moment>> {
        self.check()?;
        options.check()?;
        if times.saturating_mul(options.chains) > 100_000_000 {
            return Err(Error::invalid(format!(
                "times: {times} times of {} chains are more than memory is asked for; expected 100,000,000 numbers at most",
                options.chains
            )));
        }
        if times == 0 || times > options.steps {
            return Err(Error::invalid(format!(
                "times: expected 1 to {} (the number of steps), found {times}",
                options.steps
            )));
        }
        with_law!(self, "lab::relaxation", law => relaxation(law, self.n(), options, times))
    }
}

fn relaxation<L: Law>(law: &L, n: usize, options: &ChainOptions, times: usize) -> Result<Vec<Moment>> {
    let sample = ExampleSet::draw(law, &DataSetKey::train(n, options.seed, 0));
    let start = options.start.unwrap_or(law.region().centre);
    // Times that are no whole number of updates are rounded.
    let at = |time: usize| ((time + 1) as f64 * options.steps as f64 / times as f64).round() as usize;
    let group = |group: usize| -> Result<Vec<[f64; LANES]>> {
        let mut seen = Vec::with_capacity(times);
        walk::<L>(&sample.examples, options, start, group as u64, |step, theta| {
            if seen.len() < times && step == at(seen.len()) {
                seen.push(*theta);
            }
        })?;
        Ok(seen)
    };
    let groups = in_parallel(options.chains.div_ceil(LANES), &group)?;
    Ok((0..times)
        .map(|time| {
            let values: Vec<f64> = groups.iter().flat_map(|seen| seen[time]).take(options.chains).collect();
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let moment =
                |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / count;
            let variance = moment(2) * count / (count - 1.0);
            Moment {
                steps: at(time),
                mean: Estimate { value: mean, error: (variance / count).sqrt() },
                // Var[s²] = (μ₄ − σ⁴) / n.
                variance: Estimate {
                    value: variance,
                    error: ((moment(4) - moment(2).powi(2)).max(0.0) / count).sqrt(),
                },
            }
        })
        .collect())
}
