//! Points of a steady-state table: temperature, value, and what they have in common.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::error::{Error, Result};
use crate::sweep::rows::parameter_names;
use crate::table::Table;

/// One run's steady state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) temperature: f64,
    pub(super) value: f64,
    /// All parameters but the seeds, as text: runs with the same differ only in their seeds.
    pub(super) setting: String,
    /// All of those but learning rate, batch size and epochs.
    pub(super) kind: String,
    /// Its seeds, as text.
    pub(super) seed: String,
}

/// The seeds of a run in its table.
pub(super) const SEEDS: [&str; 3] = ["seed_split", "seed_init", "seed_order"];
/// Parameters that set a run's temperature and time.
const SETTING: [&str; 4] = ["lr", "batch", "temperature", "epochs"];
/// Names, not parameters.
const NAMES: [&str; 3] = ["run_id", "sweep", "seed"];

/// The parameters of a table that make runs of another kind: all but seeds, names, lr, batch, temperature and epochs.
fn kinds(table: &Table) -> Vec<&'static str> {
    let columns = table.columns();
    parameter_names()
        .into_iter()
        .filter(|name| columns.contains(name))
        .filter(|name| !SEEDS.contains(name) && !SETTING.contains(name) && !NAMES.contains(name))
        .collect()
}

/// A text for each row that is the same where all these columns are.
pub(super) fn keys(table: &Table, names: &[&str]) -> Result<Vec<String>> {
    let mut keys = vec![String::new(); table.len()];
    for name in names {
        let values = match table.floats(name) {
            // Every bit counts, and text is rounded.
            Ok(values) => values.iter().map(|value| format!("{value:?}")).collect(),
            Err(_) => table.strings(name)?,
        };
        keys.iter_mut().zip(values).for_each(|(key, value)| *key += &format!("{value}\u{1f}"));
    }
    Ok(keys)
}

/// The parameters of a table that make another setting: all but seeds and names.
pub(super) fn setting_names(table: &Table) -> Vec<&'static str> {
    let columns = table.columns();
    let setting = SETTING.into_iter().filter(|name| columns.contains(name));
    setting.chain(kinds(table)).collect()
}

/// The points of a column; rows whose temperature or value is not a finite number are left out.
pub(super) fn points(table: &Table, column: &str) -> Result<Vec<Point>> {
    let (temperatures, values) = (table.floats("temperature")?, table.floats(column)?);
    for name in ["lr", "batch"] {
        table.column(name)?;
    }
    let settings = keys(table, &setting_names(table))?;
    let kinds = keys(table, &kinds(table))?;
    let seeds = keys(table, &SEEDS)?;
    let points = (0..table.len())
        .filter(|&row| temperatures[row].is_finite() && values[row].is_finite())
        .map(|row| Point {
            temperature: temperatures[row],
            value: values[row],
            setting: settings[row].clone(),
            kind: kinds[row].clone(),
            seed: seeds[row].clone(),
        })
        .collect::<Vec<_>>();
    if points.is_empty() {
        return Err(Error::invalid(format!("column `{column}`: no finite values")));
    }
    Ok(points)
}

/// An error that names a parameter, other than lr, batch, epochs and seeds, that has several values.
pub(super) fn one_kind(call: &str, table: &Table) -> Result<()> {
    for name in kinds(table) {
        let mut values = table.strings(name)?;
        values.sort();
        values.dedup();
        if let [one, other, ..] = &values[..] {
            let quote = if table.floats(name).is_ok() { "" } else { "'" };
            return Err(Error::invalid(format!(
                "{call}: expected runs that differ in lr, batch and seeds, found `{name}` {one} and {other}; \
                 choose one with filter(\"{name} = {quote}{one}{quote}\")"
            )));
        }
    }
    Ok(())
}

/// Temperatures closer than this, relatively, are the same: lr / batch is rounded.
const SAME: f64 = 1e-9;

/// Whether two temperatures, of which the first is not higher, are the same.
pub(super) fn same(low: f64, high: f64) -> bool {
    high <= low + low.abs() * SAME
}

/// Points by temperature, ascending.
pub(super) fn by_temperature(points: &[Point]) -> Vec<(f64, Vec<Point>)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.temperature.total_cmp(&b.temperature));
    let mut groups: Vec<(f64, Vec<Point>)> = Vec::new();
    for point in sorted {
        match groups.last_mut() {
            Some((t, group)) if same(*t, point.temperature) => group.push(point),
            _ => groups.push((point.temperature, vec![point])),
        }
    }
    groups
}

/// The number of each item's group, in order of first appearance, and how many groups there are.
pub(super) fn numbered<T: PartialEq>(items: impl Iterator<Item = T>) -> (Vec<usize>, usize) {
    let mut known: Vec<T> = Vec::new();
    let numbers = items
        .map(|item| {
            known.iter().position(|other| *other == item).unwrap_or_else(|| {
                known.push(item);
                known.len() - 1
            })
        })
        .collect();
    (numbers, known.len())
}

/// The runs at each temperature with their pooled spread.
pub(super) struct Levels {
    /// The temperatures, ascending.
    pub(super) t: Vec<f64>,
    /// The values at each.
    pub(super) values: Vec<Vec<f64>>,
    /// Their mean.
    pub(super) means: Vec<f64>,
    /// The sum of squares of all values about their temperature's mean.
    pub(super) within: f64,
    /// Its degrees of freedom: 0 where each temperature has one run.
    pub(super) free: f64,
}

impl Levels {
    pub(super) fn new(points: &[Point]) -> Self {
        let groups = by_temperature(points);
        let values: Vec<Vec<f64>> =
            groups.iter().map(|(_, group)| group.iter().map(|point| point.value).collect()).collect();
        Self {
            t: groups.iter().map(|(t, _)| *t).collect(),
            means: values.iter().map(|values| mean(values)).collect(),
            within: values.iter().map(|values| squares(values)).sum(),
            free: (points.len() - groups.len()) as f64,
            values,
        }
    }

    /// The probability of so large a mean at `high` above the one at `low`, or a larger, if the two are the same:
    /// Student's t with the pooled spread. None where there is no spread to judge by.
    pub(super) fn above(&self, high: usize, low: usize) -> Option<f64> {
        let difference = self.means[high] - self.means[low];
        let runs = |level: usize| 1.0 / self.values[level].len() as f64;
        let error = (self.within / self.free * (runs(high) + runs(low))).sqrt();
        let student = StudentsT::new(0.0, 1.0, self.free).ok()?;
        Some(match difference == 0.0 {
            true => 0.5,
            false => student.sf(difference / error),
        })
    }
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
