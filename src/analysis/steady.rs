//! The steady state of each run: a statistic over its last epochs (Appendix E of the paper).

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;

use super::drift::Drift;
use super::function::{Analysis, TableFunction};
use super::runs::by_run;
use super::spikes::{SPIKY_BATCH, end_before_spike};
use super::statistics::median;
use crate::error::{Error, Result};
use crate::options::{Bounds, DefaultValue, Given, Kind, Opt};
use crate::sweep::columns::{self, Role};
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
        match self {
            _ if values.is_empty() || values.iter().any(|value| value.is_nan()) => f64::NAN,
            Self::Mean => values.iter().sum::<f64>() / values.len() as f64,
            Self::Median => median(values),
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
    /// Whether a spike at the end of a run with batches of 1,000 or more is cut off (`spikes.rs`).
    pub drop_spikes: bool,
    /// A drift of the losses over the epochs used that is no larger than this, relative to the
    /// loss, counts as none.
    pub tolerance: f64,
    /// Nor does one that noise makes with at least this probability.
    pub level: f64,
}

impl SteadyOptions {
    const DEFAULT: Self =
        Self { last: 50, statistic: Statistic::Median, drop_spikes: true, tolerance: 0.05, level: 0.01 };

    /// Reads them, by the schema [`STEADY_OPTIONS`].
    ///
    /// # Errors
    ///
    /// Those of [`Given`].
    pub fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            last: u32::try_from(given.count("last")?).unwrap_or(u32::MAX),
            statistic: given.choice("statistic", &Statistic::ALL)?,
            drop_spikes: given.flag("drop_spikes")?,
            tolerance: given.number("tolerance")?,
            level: given.number("level")?,
        })
    }
}

impl Default for SteadyOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The options of `steady`.
pub const STEADY_OPTIONS: &[Opt] = &[
    Opt::new(
        "last",
        Kind::AT_LEAST_ONE,
        DefaultValue::Integer(SteadyOptions::DEFAULT.last as i64),
        "the last epochs used, no more than the last third of the run",
    ),
    Opt::new(
        "statistic",
        Kind::Choice(&[("median", "robust against spikes"), ("mean", "")]),
        DefaultValue::Text("median"),
        "what is computed over them",
    ),
    Opt::new(
        "drop_spikes",
        Kind::Flag,
        DefaultValue::Flag(SteadyOptions::DEFAULT.drop_spikes),
        "whether a spike at the end of a run is cut off where batches have 1,000 examples or more",
    ),
    Opt::new(
        "tolerance",
        Kind::Number(Bounds::FROM_ZERO),
        DefaultValue::Number(SteadyOptions::DEFAULT.tolerance),
        "a relative drift of the losses over these epochs that counts as none",
    ),
    Opt::new(
        "level",
        Kind::Number(Bounds::INSIDE_UNIT),
        DefaultValue::Number(SteadyOptions::DEFAULT.level),
        "a larger one is none either where noise makes it with this probability",
    ),
];

pub(super) const ENTRY: TableFunction = TableFunction {
    name: "steady",
    table: "epochs",
    returns: "Table",
    doc: "One row per run, its steady state (section 3.2 and Appendix E of the paper): the parameters and the \
          median of each metric over the last 50 epochs (at most the last third of the run), `epochs_used`, and \
          whether its losses and accuracies have stopped moving: `converged`, with the larger relative change of \
          the two losses over these epochs, `drift`. Where the last 7 epochs' train loss is above that of the \
          last 25, at batches of 1,000 or more, the run's end moves back to where that begins: `spiked`, by \
          `epochs_cut`. That happens to every other healthy run, by a few epochs.",
    example: r#"let runs = sweep(#{
    data: digits().take(200), model: linear(), optimizer: sgd(#{ weight_decay: 0.1 }),
    lr: [0.1, 0.2, 0.4], batch: 20, epochs: 30,
}).run("results/demo");
runs.steady().select(["temperature", "gap", "epochs_used", "converged", "drift"])"#,
    doc_with_options: "The same with options: last, statistic, drop_spikes, tolerance, level.",
    options: STEADY_OPTIONS,
    call: |epochs, given| steady(epochs, &SteadyOptions::read(given)?).map(Analysis::Table),
};

/// The drift of a run is that of its losses.
const LOSSES: [&str; 2] = ["train_loss", "test_loss"];
/// They, too, must have stopped moving (Appendix E).
const ACCURACIES: [&str; 2] = ["train_accuracy", "test_accuracy"];

/// One row per run of an epochs table: the parameters, the metrics' statistics, `epochs_used`,
/// `spiked`, `converged`, `drift` and `epochs_cut`.
///
/// `spiked` says that the rule for spikes moved the run's end, as it does for every other healthy
/// run of a large batch; `epochs_cut` by how many epochs (`spikes.rs`). `drift` is the change of
/// the train or the test loss over the epochs used, by a robust line and relative to the loss; of
/// the two the larger one (`drift.rs`). `converged` says that neither the losses nor the accuracies
/// drift by more than the tolerance and more than noise explains. Where fewer than 8 epochs are
/// used noise is not allowed for, and one epoch shows nothing.
pub fn steady(epochs: &Table, options: &SteadyOptions) -> Result<Table> {
    if options.last == 0 {
        return Err(Error::invalid("steady: last is 0, expected at least one epoch"));
    }
    if !(options.tolerance >= 0.0 && options.level > 0.0 && options.level < 1.0) {
        return Err(Error::invalid(format!(
            "steady: expected a tolerance of at least 0 and a level between 0 and 1, found {} and {}",
            options.tolerance, options.level
        )));
    }
    let windows = windows(epochs, options)?;
    let firsts = UInt32Array::from_iter_values(windows.iter().map(|window| window.first));
    let rows: Vec<&[usize]> = windows.iter().map(|window| window.rows.as_slice()).collect();
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (field, column) in epochs.batch().schema_ref().fields().iter().zip(epochs.batch().columns()) {
        let name = field.name();
        let role = columns::find(name).map(|column| column.role);
        if role == Some(Role::Progress) {
            continue;
        }
        // Measured at some epochs only: those without it do not count.
        let measured = role == Some(Role::Measure);
        // The table's own metrics are floats even where a run has one row.
        let varies = role == Some(Role::Metric)
            || measured
            || match epochs.floats(name) {
                Ok(values) => varies(&values.into_iter().map(f64::to_bits).collect::<Vec<_>>(), &rows),
                Err(_) => varies(&epochs.strings(name)?, &rows),
            };
        let values: ArrayRef = if varies {
            let values = epochs.floats(name).map_err(|_| {
                Error::invalid(format!(
                    "steady: column `{name}` varies within a run and is not a number; leave it out with select"
                ))
            })?;
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|rows| {
                let mut values: Vec<f64> = rows.iter().map(|&row| values[row]).collect();
                values.retain(|value| !measured || !value.is_nan());
                options.statistic.of(&mut values)
            })))
        } else {
            take(column, &firsts, None).map_err(|error| Error::invalid(error.to_string()))?
        };
        columns.push((name.clone(), values));
    }
    let integers = |of: fn(&Window) -> usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(windows.iter().map(|window| of(window) as i64)))
    };
    let flags = |of: fn(&Window) -> bool| -> ArrayRef {
        Arc::new(BooleanArray::from(windows.iter().map(of).collect::<Vec<_>>()))
    };
    let drifts: Vec<Option<f64>> = windows.iter().map(|window| window.drift).collect();
    columns.extend(
        [
            ("epochs_used", integers(|window| window.rows.len())),
            ("spiked", flags(|window| window.cut > 0)),
            ("converged", flags(|window| window.converged)),
            ("drift", Arc::new(Float64Array::from(drifts)) as ArrayRef),
            ("epochs_cut", integers(|window| window.cut)),
        ]
        .map(|(name, values)| (name.to_owned(), values)),
    );
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, values)| (name, values, true)),
    )
    .map_err(|error| Error::invalid(error.to_string()))?;
    Ok(Table::new(batch))
}

/// The epochs of a run that its steady state is made of.
struct Window {
    /// The run's first row.
    first: u32,
    /// The rows of its last epochs.
    rows: Vec<usize>,
    /// Epochs that a spike at the end has cost.
    cut: usize,
    converged: bool,
    /// Of the two losses the larger one; none where it is not known.
    drift: Option<f64>,
}

/// The window of every run.
fn windows(epochs: &Table, options: &SteadyOptions) -> Result<Vec<Window>> {
    let numbers = epochs.floats("epoch")?;
    let batch = epochs.floats("batch")?;
    let train_loss = epochs.floats("train_loss")?;
    let columns = epochs.columns();
    let found = |names: &[&str]| -> Result<Vec<Vec<f64>>> {
        names.iter().filter(|name| columns.contains(name)).map(|name| epochs.floats(name)).collect()
    };
    let (losses, accuracies) = (found(&LOSSES)?, found(&ACCURACIES)?);
    let window = |mut rows: Vec<usize>| {
        crate::interrupt::check()?;
        let (first, all) = (rows[0] as u32, rows.len());
        if options.drop_spikes && batch[rows[0]] >= SPIKY_BATCH {
            rows.truncate(end_before_spike(&rows.iter().map(|&row| train_loss[row]).collect::<Vec<_>>()));
        }
        let cut = all - rows.len();
        let end = numbers[rows[rows.len() - 1]];
        let length = f64::from(options.last).min((end / 3.0).floor()).max(1.0);
        rows.retain(|&row| numbers[row] > end - length);
        let at = |column: &[f64]| rows.iter().map(|&row| column[row]).collect::<Vec<f64>>();
        let drift = |column: &Vec<f64>| Drift::new(&at(&numbers), &at(column));
        let found: Vec<Drift> = losses.iter().map(drift).collect();
        let moves = |drift: Drift| drift.moves(options.tolerance, options.level);
        let converged = !found.iter().copied().chain(accuracies.iter().map(drift)).any(moves);
        let largest = found.iter().map(|drift| drift.change).max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let drift = largest.filter(|change| !change.is_nan());
        Ok(Window { first, rows, cut, converged, drift })
    };
    by_run(epochs)?.into_iter().map(window).collect()
}

/// Whether a column has more than one value within a run.
fn varies<T: PartialEq>(values: &[T], runs: &[&[usize]]) -> bool {
    runs.iter().any(|rows| rows.iter().any(|&row| values[row] != values[rows[0]]))
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::super::drift::tests::noise;
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
    }

    /// Runs of 300 epochs, their losses made of noise with a trend; the share that counts as
    /// converged.
    fn converged(correlation: f64, trend: impl Fn(f64) -> f64) -> f64 {
        const RUNS: i64 = 300;
        let scatter = |seed| noise(seed, 300, correlation);
        let loss = |seed: i64, level: f64| {
            let trend = (1..=300).map(|epoch| trend(f64::from(epoch)));
            Arc::new(Float64Array::from_iter_values(
                trend.zip(scatter(seed)).map(|(trend, x)| level * trend * (1.0 + 0.2 * x)),
            ))
        };
        let found = (0..RUNS).filter(|&seed| {
            let epochs =
                run(32, &[0.0; 300]).select(&["run_id", "batch", "epoch"].map(str::to_owned)).unwrap();
            let epochs = epochs.with_column("train_loss", loss(seed, 0.1)).unwrap();
            let epochs = epochs.with_column("test_loss", loss(seed + RUNS, 0.4)).unwrap();
            let steady = steady(&epochs, &SteadyOptions::default()).unwrap();
            assert!(steady.floats("drift").unwrap()[0].is_finite());
            steady.floats("converged").unwrap()[0] == 1.0
        });
        found.count() as f64 / RUNS as f64
    }

    /// 98 % of runs of white noise (each of two losses is tested at 1 %), and more than 90 % where
    /// epochs are alike.
    #[test]
    fn losses_that_fluctuate_are_converged_and_those_that_move_are_not() {
        assert!(converged(0.0, |_| 1.0) > 0.95);
        assert!(converged(0.5, |_| 1.0) > 0.92);
        assert!(converged(0.8, |_| 1.0) > 0.90);
        assert!(converged(0.3, |epoch| 3.0 - epoch / 120.0) < 0.02);
        assert!(converged(0.3, |epoch| (-epoch / 40.0).exp()) < 0.02);
        assert!(converged(0.3, |epoch| 1.0 + (epoch / 150.0).powi(6)) < 0.02);
    }

    #[test]
    fn the_drift_is_of_the_loss_that_moves_more() {
        let train = run(32, &(1..=300).map(|epoch| 1.0 + 1e-4 * f64::from(epoch)).collect::<Vec<_>>());
        let small = steady(&train, &SteadyOptions::default()).unwrap();
        assert_eq!(small.floats("converged").unwrap(), [1.0]);
        assert!((small.floats("drift").unwrap()[0] - 49.0 * 1e-4 / 1.02755).abs() < 1e-9);
        let strict = SteadyOptions { tolerance: 1e-3, ..SteadyOptions::default() };
        assert_eq!(steady(&train, &strict).unwrap().floats("converged").unwrap(), [0.0]);
        let both = train.derive("test_loss", "2 - 0.005 * epoch").unwrap();
        let moving = steady(&both, &SteadyOptions::default()).unwrap();
        assert!(moving.floats("drift").unwrap()[0] < -0.3 && moving.floats("converged").unwrap() == [0.0]);
        // One epoch shows nothing.
        let one = steady(&run(32, &[1.0]), &SteadyOptions::default()).unwrap();
        assert!(one.floats("drift").unwrap()[0].is_nan() && one.floats("converged").unwrap() == [0.0]);
    }

    #[test]
    fn its_own_columns_are_those_of_the_list() {
        let epochs = run(32, &[1.0; 9]);
        let steady = steady(&epochs, &SteadyOptions::default()).unwrap();
        let own: Vec<&str> = columns::of_steady().map(|column| column.name).collect();
        assert_eq!(steady.columns()[steady.columns().len() - own.len()..], own);
        assert!(steady.column("epoch").is_err(), "where a row stands has no steady state");
    }
}
