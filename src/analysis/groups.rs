//! Points of a steady-state table: temperature, value, and what they have in common.

use crate::error::{Error, Result};
use crate::table::Table;

/// One run's steady state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) temperature: f64,
    pub(super) value: f64,
    /// Its learning rate and batch size, as text: runs with the same differ only in their seeds.
    pub(super) setting: String,
    /// Its seeds, as text.
    pub(super) seed: String,
}

/// The points of a column; rows whose temperature or value is not a finite number are left out.
pub(super) fn points(table: &Table, column: &str) -> Result<Vec<Point>> {
    let (temperatures, values) = (table.floats("temperature")?, table.floats(column)?);
    let (lr, batch) = (table.floats("lr")?, table.floats("batch")?);
    let seeds = ["seed_split", "seed_init", "seed_order"]
        .iter()
        .map(|name| table.floats(name))
        .collect::<Result<Vec<_>>>()?;
    let points = (0..table.len())
        .filter(|&row| temperatures[row].is_finite() && values[row].is_finite())
        .map(|row| Point {
            temperature: temperatures[row],
            value: values[row],
            setting: format!("{:?} {:?}", lr[row], batch[row]),
            seed: format!("{:?}", seeds.iter().map(|seed| seed[row]).collect::<Vec<_>>()),
        })
        .collect::<Vec<_>>();
    if points.is_empty() {
        return Err(Error::invalid(format!("column `{column}`: no finite values")));
    }
    Ok(points)
}

/// Temperatures closer than this, relatively, are the same: lr / batch is rounded.
const SAME: f64 = 1e-9;

/// Points by temperature, ascending.
pub(super) fn by_temperature(points: &[Point]) -> Vec<(f64, Vec<Point>)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.temperature.total_cmp(&b.temperature));
    let mut groups: Vec<(f64, Vec<Point>)> = Vec::new();
    for point in sorted {
        match groups.last_mut() {
            Some((t, group)) if point.temperature <= *t * (1.0 + SAME) => group.push(point),
            _ => groups.push((point.temperature, vec![point])),
        }
    }
    groups
}

/// Points by setting, in order of first appearance.
pub(super) fn by_setting(points: &[Point]) -> Vec<Vec<f64>> {
    let mut groups: Vec<(&str, Vec<f64>)> = Vec::new();
    for point in points {
        match groups.iter_mut().find(|(setting, _)| *setting == point.setting) {
            Some((_, values)) => values.push(point.value),
            None => groups.push((&point.setting, vec![point.value])),
        }
    }
    groups.into_iter().map(|(_, values)| values).collect()
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sum of squares about the mean.
pub(super) fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// A statement's standing.
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
