//! The steady state of each run: a statistic over its last epochs (Appendix E of the paper).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;

use crate::error::{Error, Result};
use crate::table::Table;

/// What is computed over the last epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The median: robust against single spikes.
    Median,
    /// The mean.
    Mean,
}

impl Statistic {
    /// Every statistic with its name in scripts.
    pub const ALL: [(&'static str, Self); 2] = [("median", Self::Median), ("mean", Self::Mean)];

    fn of(self, values: &mut [f64]) -> f64 {
        let n = values.len();
        match self {
            _ if n == 0 || values.iter().any(|value| value.is_nan()) => f64::NAN,
            Self::Mean => values.iter().sum::<f64>() / n as f64,
            Self::Median => {
                values.sort_by(f64::total_cmp);
                (values[(n - 1) / 2] + values[n / 2]) / 2.0
            }
        }
    }
}

/// How the steady state is estimated.
#[derive(Clone, Copy, Debug)]
pub struct SteadyOptions {
    /// The last epochs used; never more than the last third of the run.
    pub last: u32,
    /// What is computed over them.
    pub statistic: Statistic,
    /// Whether a spike at the end of a run with batches of 1,000 or more is cut off.
    pub drop_spikes: bool,
}

impl Default for SteadyOptions {
    fn default() -> Self {
        Self { last: 50, statistic: Statistic::Median, drop_spikes: true }
    }
}

/// Spikes are looked for at this batch size and above.
const SPIKY_BATCH: f64 = 1000.0;
/// A run ends in a spike where the mean of so many last epochs …
const SPIKE: usize = 7;
/// … exceeds the mean of so many.
const BEFORE: usize = 25;

/// Columns that say where in a run a row stands; they have no steady state.
const PROGRESS: [&str; 4] = ["epoch", "steps", "lr_now", "seconds"];

/// The epochs table's own metrics: floats even where a run has one row.
const METRICS: [&str; 8] = [
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "gap",
    "accuracy_gap",
    "train_loss_std",
    "test_loss_std",
];

/// One row per run of an epochs table: the parameters, the metrics' statistics, `epochs_used`, `spiked`.
pub fn steady(epochs: &Table, options: &SteadyOptions) -> Result<Table> {
    if options.last == 0 {
        return Err(Error::invalid("steady: last is 0, expected at least one epoch"));
    }
    let runs = epochs.strings("run_id")?;
    let numbers = epochs.floats("epoch")?;
    let batch = epochs.floats("batch")?;
    let train_loss = epochs.floats("train_loss")?;

    // Rows of each run in the order of epochs; runs in the order of first appearance.
    let mut order: Vec<&str> = Vec::new();
    let mut rows: HashMap<&str, Vec<usize>> = HashMap::new();
    for (row, run) in runs.iter().enumerate() {
        rows.entry(run).or_insert_with(|| {
            order.push(run);
            Vec::new()
        });
        if let Some(rows) = rows.get_mut(run.as_str()) {
            rows.push(row);
        }
    }
    let mut windows: Vec<Vec<usize>> = Vec::new();
    let mut firsts: Vec<u32> = Vec::new();
    let mut spiked: Vec<bool> = Vec::new();
    for run in order {
        let mut rows = rows.remove(run).unwrap_or_default();
        rows.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
        let losses: Vec<f64> = rows.iter().map(|&row| train_loss[row]).collect();
        let all = rows.len();
        if options.drop_spikes && batch[rows[0]] >= SPIKY_BATCH {
            rows.truncate(end_before_spike(&losses));
        }
        spiked.push(rows.len() < all);
        firsts.push(rows[0] as u32);
        let end = numbers[rows[rows.len() - 1]];
        let window = f64::from(options.last).min((end / 3.0).floor()).max(1.0);
        rows.retain(|&row| numbers[row] > end - window);
        windows.push(rows);
    }

    let firsts = UInt32Array::from(firsts);
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (field, column) in epochs.batch().schema_ref().fields().iter().zip(epochs.batch().columns()) {
        let name = field.name();
        if PROGRESS.contains(&name.as_str()) {
            continue;
        }
        let varies = METRICS.contains(&name.as_str())
            || match epochs.floats(name) {
                Ok(values) => varies(&values.into_iter().map(f64::to_bits).collect::<Vec<_>>(), &windows),
                Err(_) => varies(&epochs.strings(name)?, &windows),
            };
        let values: ArrayRef = if varies {
            let values = epochs.floats(name).map_err(|_| {
                Error::invalid(format!(
                    "steady: column `{name}` varies within a run and is not a number; leave it out with select"
                ))
            })?;
            Arc::new(Float64Array::from_iter_values(windows.iter().map(|rows| {
                options.statistic.of(&mut rows.iter().map(|&row| values[row]).collect::<Vec<_>>())
            })))
        } else {
            take(column, &firsts, None).map_err(|error| Error::invalid(error.to_string()))?
        };
        columns.push((name.clone(), values));
    }
    let used = windows.iter().map(|rows| rows.len() as i64);
    columns.push(("epochs_used".to_owned(), Arc::new(Int64Array::from_iter_values(used))));
    columns.push(("spiked".to_owned(), Arc::new(BooleanArray::from(spiked))));
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, values)| (name, values, true)),
    )
    .map_err(|error| Error::invalid(error.to_string()))?;
    Ok(Table::new(batch))
}

/// Whether a column has more than one value within a run.
fn varies<T: PartialEq>(values: &[T], runs: &[Vec<usize>]) -> bool {
    runs.iter().any(|rows| rows.iter().any(|&row| values[row] != values[rows[0]]))
}

/// The number of epochs to keep: up to where the last [`SPIKE`] epochs' mean began to exceed the last
/// [`BEFORE`] epochs' mean, if it does so at the end.
fn end_before_spike(losses: &[f64]) -> usize {
    let rises = |end: usize| {
        let mean = |n: usize| losses[end - n..end].iter().sum::<f64>() / n as f64;
        end >= BEFORE && mean(SPIKE) > mean(BEFORE)
    };
    let mut end = losses.len();
    while rises(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn run(batch: i64, losses: &[f64]) -> Table {
        let n = losses.len();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("run_id", Arc::new(StringArray::from(vec!["r1"; n]))),
            ("batch", Arc::new(Int64Array::from(vec![batch; n]))),
            ("epoch", Arc::new(Int64Array::from_iter_values(1..=n as i64))),
            ("train_loss", Arc::new(Float64Array::from(losses.to_vec()))),
        ];
        Table::new(RecordBatch::try_from_iter(columns).unwrap())
    }

    fn steady_loss(table: &Table, options: &SteadyOptions) -> (f64, i64, bool) {
        let steady = steady(table, options).unwrap();
        (
            steady.floats("train_loss").unwrap()[0],
            steady.floats("epochs_used").unwrap()[0] as i64,
            steady.floats("spiked").unwrap()[0] == 1.0,
        )
    }

    #[test]
    fn the_median_of_the_last_epochs_but_at_most_a_third() {
        let losses: Vec<f64> = (1..=300).map(f64::from).collect();
        assert_eq!(steady_loss(&run(32, &losses), &SteadyOptions::default()), (275.5, 50, false));
        assert_eq!(steady_loss(&run(32, &losses[..30]), &SteadyOptions::default()), (25.5, 10, false));
        assert_eq!(steady_loss(&run(32, &losses[..1]), &SteadyOptions::default()), (1.0, 1, false));
        let mean = SteadyOptions { last: 4, statistic: Statistic::Mean, ..Default::default() };
        assert_eq!(steady_loss(&run(32, &losses), &mean), (298.5, 4, false));
    }

    #[test]
    fn a_column_that_varies_is_a_metric_and_one_that_does_not_is_a_parameter() {
        let table = run(32, &[4.0, 3.0, 2.0, 1.0, 1.0, 1.0])
            .derive("square", "train_loss * train_loss + epoch")
            .and_then(|table| table.derive("label", "'a'"))
            .unwrap();
        let steady = steady(&table, &SteadyOptions::default()).unwrap();
        assert_eq!(steady.floats("square").unwrap(), [6.5]);
        assert_eq!(steady.strings("label").unwrap(), ["a"]);
        let text = table.derive("label", "CASE WHEN epoch > 5 THEN 'a' ELSE 'b' END").unwrap();
        assert!(super::steady(&text, &SteadyOptions::default()).is_err());
    }

    #[test]
    fn a_spike_at_the_end_of_a_large_batch_is_cut_off() {
        let mut losses = vec![1.0; 200];
        for (index, loss) in losses.iter_mut().enumerate() {
            *loss -= index as f64 * 1e-3;
        }
        losses[195..].fill(50.0);
        let (loss, _, spiked) = steady_loss(&run(2000, &losses), &SteadyOptions::default());
        assert!(spiked && loss < 1.0);
        let (_, _, spiked) = steady_loss(&run(500, &losses), &SteadyOptions::default());
        assert!(!spiked);
        assert_eq!(end_before_spike(&losses), 195);
    }
}
