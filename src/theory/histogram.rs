//! How often SGD was where, beside Eq. 18.

use super::Problem;
use super::chains::{BATCH, BURN, CHAINS, ChainOptions, LANES, LR, MOMENTUM, START, STEPS, walk};
use super::dynamics::{ALPHA, BETA};
use super::ensemble::in_parallel;
use super::function::{LabFunction, LabValue, SEED, rows_of};
use super::law::{DataSetKey, ExampleSet, Law};
use super::problem::with_law;
use crate::error::{Error, Result};
use crate::options::{DefaultValue, Kind, Opt};
use crate::table::Cell;

/// Bins at most.
const MAX_BINS: usize = 100_000;

pub(super) const ENTRY: LabFunction = LabFunction {
    name: "lab::histogram",
    returns: "Table",
    doc: "How often SGD was in each bin of θ, as a density, beside Eq. 18 (`stationary`).",
    example: r#"let bins = lab::histogram(lab::double_well(#{}), #{ lr: 0.1, low: -2, high: 2, steps: 20000 });
plot(bins).x("theta").y("density").show()"#,
    options: &[
        LR,
        BATCH,
        ALPHA,
        BETA,
        MOMENTUM,
        STEPS,
        BURN,
        CHAINS,
        START,
        SEED,
        Opt::new("low", Kind::NUMBER, DefaultValue::Required, "the lower end of the bins"),
        Opt::new("high", Kind::NUMBER, DefaultValue::Required, "the upper end"),
        Opt::new("bins", Kind::Integer(1, MAX_BINS as i64), DefaultValue::Integer(60), "how many"),
    ],
    call: |problem, given| {
        let (low, high) = (given.number("low")?, given.number("high")?);
        let bins = given.count("bins")?;
        let [theta, density, stationary] = problem.histogram(&ChainOptions::read(given)?, low, high, bins)?;
        let columns = vec![("theta", theta), ("density", density), ("stationary", stationary)];
        Ok(LabValue::Table(rows_of(columns, Cell::Float)))
    },
};

impl Problem {
    /// How often θ was in each of equally wide bins, as a density: the bins' middles, the density
    /// of the chains, and that of Eq. 18 (NaN where it cannot be normalised).
    ///
    /// # Errors
    ///
    /// As of [`Problem::relaxation`].
    pub fn histogram(
        &self,
        options: &ChainOptions,
        low: f64,
        high: f64,
        bins: usize,
    ) -> Result<[Vec<f64>; 3]> {
        self.check()?;
        options.check()?;
        if !(high > low && high.is_finite() && low.is_finite() && (1..=MAX_BINS).contains(&bins)) {
            return Err(Error::invalid(format!(
                "histogram: expected a range low < high and 1 to 100,000 bins, found {low} to {high} and {bins}"
            )));
        }
        let width = (high - low) / bins as f64;
        let found =
            with_law!(self, "lab::histogram", law => histogram(law, self.n(), options, low, high, bins))?;
        let dynamics = options.discrete().dynamics();
        let expected = match self.density(&dynamics, options.seed, 0) {
            // Of momentum the paper knows no density.
            _ if options.momentum > 0.0 => vec![f64::NAN; bins],
            Err(_) => vec![f64::NAN; bins],
            Ok(columns) => {
                let column = |name: &str| {
                    columns
                        .iter()
                        .find(|(found, _)| *found == name)
                        .map_or(&[][..], |(_, values)| values.as_slice())
                };
                let (theta, density) = (column("theta"), column("density"));
                let last = theta.len() - 1;
                // The mass below a θ: trapezoids, the last one cut.
                let trapezoid = |i: usize, to: f64| {
                    let share = (to - theta[i]) / (theta[i + 1] - theta[i]);
                    let there = density[i] + share * (density[i + 1] - density[i]);
                    0.5 * (to - theta[i]) * (density[i] + there)
                };
                let mut below = vec![0.0; theta.len()];
                for i in 0..last {
                    below[i + 1] = below[i] + trapezoid(i, theta[i + 1]);
                }
                let mass = |at: f64| {
                    let at = at.clamp(theta[0], theta[last]);
                    let i = theta.partition_point(|value| *value <= at).clamp(1, last) - 1;
                    below[i] + trapezoid(i, at)
                };
                let of = |bin: usize| {
                    let from = low + width * bin as f64;
                    (mass(from + width) - mass(from)) / width
                };
                (0..bins).map(of).collect()
            }
        };
        let middles = (0..bins).map(|bin| low + width * (bin as f64 + 0.5)).collect();
        Ok([middles, found, expected])
    }
}

fn histogram<L: Law>(
    law: &L,
    n: usize,
    options: &ChainOptions,
    low: f64,
    high: f64,
    bins: usize,
) -> Result<Vec<f64>> {
    let sample = ExampleSet::draw(law, &DataSetKey::train(n, options.seed, 0));
    let start = options.start.unwrap_or(law.region().centre);
    let (burn, width) = (options.burn(), (high - low) / bins as f64);
    /// Groups are counted together in as many parts.
    const PARTS: usize = 32;
    let groups = options.chains.div_ceil(LANES);
    let part = |part: usize| -> Result<Vec<u64>> {
        let mut counts = vec![0; bins];
        for group in (part..groups).step_by(PARTS) {
            let lanes = LANES.min(options.chains - group * LANES);
            walk::<L>(&sample.examples, options, start, group as u64, |step, theta| {
                if step > burn {
                    for theta in &theta[..lanes] {
                        let bin = (theta - low) / width;
                        if bin >= 0.0 && bin < bins as f64 {
                            counts[bin as usize] += 1;
                        }
                    }
                }
            })?;
        }
        Ok(counts)
    };
    let parts = in_parallel(PARTS.min(groups), &part)?;
    let total = (options.chains * (options.steps - burn)) as f64;
    let density = |bin: usize| parts.iter().map(|counts| counts[bin]).sum::<u64>() as f64 / (total * width);
    Ok((0..bins).map(density).collect())
}
