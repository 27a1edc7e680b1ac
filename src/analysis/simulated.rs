//! Made-up runs on which verdicts are tried out, for tests.

use super::groups::Point;
use super::prediction::Verdict;
use crate::rng::{Rng, Stream};

const DRAWS: i64 = 500;

/// How the runs of made-up data spread.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulatedRuns {
    /// The standard deviation of a run about what its seed does.
    pub(super) sd: f64,
    /// That of what a seed does to all settings of a temperature, in units of it.
    pub(super) common: f64,
    /// How many times as much runs of the highest temperature spread.
    pub(super) hot: f64,
    /// Settings of each temperature.
    pub(super) settings: i64,
    pub(super) seeds: i64,
}

impl SimulatedRuns {
    /// Six seeds of one setting that spread alike.
    pub(super) fn even(sd: f64) -> Self {
        Self { sd, common: 0.0, hot: 1.0, settings: 1, seeds: 6 }
    }

    /// That, and what real runs do: hot ones jump, those of one seed vary together, seeds are few.
    pub(super) fn all(sd: f64) -> [Self; 5] {
        let even = Self::even(sd);
        [
            even,
            Self { hot: 5.0, ..even },
            Self { common: 1.0, settings: 3, seeds: 4, ..even },
            Self { common: 3.0, settings: 3, seeds: 4, hot: 5.0, ..even },
            Self { seeds: 3, ..even },
        ]
    }
}

/// Runs at six temperatures, the value a function of T with noise.
pub(super) fn draw(draw: i64, design: SimulatedRuns, value: impl Fn(f64) -> f64) -> Vec<Point> {
    let mut rng = Rng::new(draw, Stream::Synthetic, 0);
    let mut points = Vec::new();
    for temperature in [2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3, 6.4e-3] {
        let spread = design.sd * if temperature > 6e-3 { design.hot } else { 1.0 };
        for seed in 0..design.seeds {
            let common = design.common * rng.normal_pair().0;
            for setting in 0..design.settings {
                points.push(Point {
                    temperature,
                    value: value(temperature) + spread * (common + rng.normal_pair().0),
                    setting: setting.to_string(),
                    kind: String::new(),
                    seed: seed.to_string(),
                });
            }
        }
    }
    points
}

pub(super) fn share(verdict: Verdict, test: impl Fn(i64) -> Verdict) -> f64 {
    (0..DRAWS).filter(|&seed| test(seed) == verdict).count() as f64 / DRAWS as f64
}

/// A rate and four standard errors of it over the draws.
pub(super) fn rate(p: f64) -> f64 {
    p + 4.0 * (p * (1.0 - p) / DRAWS as f64).sqrt()
}
