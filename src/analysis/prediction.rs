//! One of the paper's predictions with its verdict, and how predictions are judged.

use crate::error::Result;
use crate::options::Given;

/// A statement's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The data support it.
    Holds,
    /// The data contradict it.
    Fails,
    /// The data do neither.
    Undecided,
}

impl Verdict {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Undecided => "undecided",
        }
    }
}

/// How predictions are judged.
#[derive(Clone, Copy, Debug)]
pub struct PredictionOptions {
    /// The level of the tests.
    pub level: f64,
    /// Draws of the bootstrap.
    pub draws: usize,
    /// What decides them.
    pub seed: i64,
}

impl PredictionOptions {
    pub(super) const DEFAULT: Self = Self { level: 0.05, draws: 2000, seed: 1 };

    pub(super) fn read(given: &Given) -> Result<Self> {
        Ok(Self { level: given.number("level")?, draws: given.count("draws")?, seed: given.integer("seed")? })
    }
}

impl Default for PredictionOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// A, B or C.
    pub name: &'static str,
    /// The column that it is about.
    pub metric: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// The number behind it: Kendall's tau (A, C), the temperature of the optimum (B).
    pub value: f64,
    /// The lower end of a 95 % interval, where there is one.
    pub low: f64,
    /// The upper end of it.
    pub high: f64,
    /// The probability of data that speak so strongly for the statement, where it does not hold: of
    /// such a rank correlation without a trend (A, C), of a temperature so much better than both
    /// ends (B).
    pub p: f64,
    /// The runs that it rests on.
    pub runs: usize,
    /// Those that are left out, because the metric is not a finite number.
    pub left_out: usize,
    /// All of it in words.
    pub says: String,
}

impl Prediction {
    /// One of which nothing can be said: what is known of it is added.
    pub(super) fn undecided(name: &'static str, metric: &'static str, runs: usize, says: String) -> Self {
        let nan = f64::NAN;
        Self {
            name,
            metric,
            verdict: Verdict::Undecided,
            value: nan,
            low: nan,
            high: nan,
            p: nan,
            runs,
            left_out: 0,
            says,
        }
    }
}
