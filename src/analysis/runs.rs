//! The runs of an epochs table, and the last quarter of each.

use std::collections::HashMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take;

use crate::error::{Error, Result};
use crate::table::Table;

/// The rows of each run in the order of epochs; runs in the order of first appearance. An epoch
/// stands in one row: rows that are there twice would count twice.
pub(super) fn by_run(epochs: &Table) -> Result<Vec<Vec<usize>>> {
    let runs = epochs.strings("run_id")?;
    let numbers = epochs.floats("epoch")?;
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for (row, run) in runs.iter().enumerate() {
        let place = *places.entry(run).or_insert_with(|| {
            rows.push(Vec::new());
            rows.len() - 1
        });
        rows[place].push(row);
    }
    for rows in &mut rows {
        if let Some(&row) = rows.iter().find(|&&row| !numbers[row].is_finite()) {
            return Err(Error::invalid(format!("the run {} has a row without an epoch", runs[row])));
        }
        rows.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
        if let Some(pair) = rows.windows(2).find(|pair| numbers[pair[0]] == numbers[pair[1]]) {
            return Err(Error::invalid(format!(
                "epoch {} of the run {} stands in several rows; where tables of two sweeps have runs in common, keep those of one: \
                 filter(\"sweep = '…'\")",
                numbers[pair[0]], runs[pair[0]]
            )));
        }
    }
    Ok(rows)
}

/// `n` evenly spaced epochs of the last quarter of each run, its last epoch among them: rows of the
/// epochs table, as the paper's Figure 7 plots them. All of the quarter's epochs where there are no
/// more than `n`.
pub fn last_quarter(epochs: &Table, n: usize) -> Result<Table> {
    if n == 0 {
        return Err(Error::invalid("last_quarter: expected at least 1 epoch, found 0"));
    }
    let numbers = epochs.floats("epoch")?;
    let mut chosen: Vec<u32> = Vec::new();
    for rows in by_run(epochs)? {
        let end = numbers[rows[rows.len() - 1]];
        // The last epoch is always among them, also where epochs are counted from 0.
        let quarter: Vec<usize> =
            rows.into_iter().filter(|&row| numbers[row] > 0.75 * end || numbers[row] == end).collect();
        let (last, steps) = (quarter.len() - 1, n.min(quarter.len()));
        // From the last one back, so that one epoch is the last and two are the ends.
        let place = |step: usize| match steps {
            1 => last,
            _ => (step as f64 * last as f64 / (steps - 1) as f64).round() as usize,
        };
        chosen.extend((0..steps).map(|step| quarter[place(step)] as u32));
    }
    let rows = UInt32Array::from(chosen);
    let columns = epochs.batch().columns().iter().map(|column| take(column, &rows, None));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>();
    let batch = columns.and_then(|columns| RecordBatch::try_new(epochs.batch().schema(), columns));
    batch.map(Table::new).map_err(|error| Error::invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Cell;

    fn table(runs: &[(&str, i64)]) -> Table {
        let rows = || runs.iter().flat_map(|&(run, last)| (1..=last).rev().map(move |epoch| (run, epoch)));
        let names = ["run_id", "epoch"].map(str::to_owned);
        let columns = [
            rows().map(|(run, _)| Cell::Text(run.to_owned())).collect(),
            rows().map(|(_, epoch)| Cell::Int(epoch)).collect(),
        ];
        Table::from_cells(&names, &columns).unwrap()
    }

    #[test]
    fn epochs_of_the_last_quarter_are_evenly_spaced() {
        let some = last_quarter(&table(&[("r1", 400), ("r2", 8), ("r3", 1)]), 20).unwrap();
        let epochs = |run: &str| some.filter(&format!("run_id = '{run}'")).unwrap().floats("epoch").unwrap();
        let long = epochs("r1");
        assert_eq!((long.len(), long[0], long[19]), (20, 301.0, 400.0));
        assert!(long.windows(2).all(|pair| [5.0, 6.0].contains(&(pair[1] - pair[0]))), "{long:?}");
        assert_eq!(epochs("r2"), [7.0, 8.0]);
        assert_eq!(epochs("r3"), [1.0]);
        assert_eq!(last_quarter(&table(&[("r1", 400)]), 1).unwrap().floats("epoch").unwrap(), [400.0]);
        assert!(last_quarter(&table(&[("r1", 4)]), 0).is_err());
        assert!(last_quarter(&some.filter("epoch < 0").unwrap(), 20).unwrap().is_empty());
        let zero = last_quarter(&table(&[("r1", 1)]).derive("epoch", "epoch - 1").unwrap(), 20).unwrap();
        assert_eq!(zero.floats("epoch").unwrap(), [0.0]);
    }

    #[test]
    fn an_epoch_that_stands_twice_or_nowhere_is_refused() {
        let twice = table(&[("r1", 9), ("r2", 4), ("r1", 2)]);
        let error = by_run(&twice).unwrap_err().to_string();
        assert!(error.contains("epoch 1 of the run r1 stands in several rows"), "{error}");
        let missing = table(&[("r1", 9)]).derive("epoch", "nullif(epoch, 3)").unwrap();
        let error = by_run(&missing).unwrap_err().to_string();
        assert!(error.contains("the run r1 has a row without an epoch"), "{error}");
        // In whatever order they stand.
        assert_eq!(by_run(&table(&[("r1", 3)])).unwrap(), [[2, 1, 0]]);
    }
}
