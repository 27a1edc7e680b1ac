//! What a table's columns of numbers look like.

use std::sync::Arc;

use ::arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

use super::{Table, arrow};
use crate::error::{Error, Result};
use crate::interrupt;

/// The columns of a description.
const NAMES: [&str; 10] = ["column", "count", "nulls", "mean", "std", "min", "q25", "median", "q75", "max"];

/// How many of them are statistics.
const STATISTICS: usize = 7;

impl Table {
    /// A row per column of numbers: how many values and nulls, mean, sample standard deviation
    /// (dividing by n − 1), minimum, quartiles (interpolated linearly, as pandas and NumPy do),
    /// maximum. Nulls count nowhere else; a NaN is a value, greater than every other, and makes the
    /// mean and the standard deviation NaN.
    pub fn describe(&self) -> Result<Self> {
        let table = self.clone();
        interrupt::leave_behind("describe", move || table.described())
    }

    fn described(&self) -> Result<Self> {
        let fields = self.batch.schema_ref().fields();
        let numbers: Vec<&str> = fields
            .iter()
            .filter(|field| field.data_type().is_numeric())
            .map(|field| field.name().as_str())
            .collect();
        if numbers.is_empty() {
            return Err(Error::invalid("describe: the table has no columns of numbers"));
        }
        let mut counts = [Vec::new(), Vec::new()];
        let mut rows = Vec::new();
        for name in &numbers {
            interrupt::check()?;
            let column = self.column(name)?;
            let all = self.floats(name)?.into_iter().enumerate();
            let values: Vec<f64> =
                all.filter(|&(row, _)| column.is_valid(row)).map(|(_, value)| value).collect();
            counts[0].push(values.len() as i64);
            counts[1].push((column.len() - values.len()) as i64);
            rows.push(statistics(values));
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(numbers))];
        columns.extend(counts.map(|counts| Arc::new(Int64Array::from(counts)) as ArrayRef));
        columns.extend(
            (0..STATISTICS).map(|which| {
                Arc::new(Float64Array::from_iter(rows.iter().map(|row| row[which]))) as ArrayRef
            }),
        );
        let named = NAMES.into_iter().zip(columns).map(|(name, column)| (name, column, true));
        Ok(Self { batch: RecordBatch::try_from_iter_with_nullable(named).map_err(arrow)? })
    }
}

/// Mean, standard deviation, minimum, quartiles, maximum; none where there are too few values.
fn statistics(mut values: Vec<f64>) -> [Option<f64>; STATISTICS] {
    // A NaN may carry a sign, by which it would be sorted.
    values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = f64::NAN);
    values.sort_by(f64::total_cmp);
    let n = values.len();
    // The mean of equal values is this value, without rounding.
    let mean = match (values.first(), values.last()) {
        (Some(first), Some(last)) if first == last => Some(*first),
        _ => (n > 0).then(|| values.iter().sum::<f64>() / n as f64),
    };
    let squares = |mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let std = mean.filter(|_| n > 1).map(|mean| (squares(mean) / (n - 1) as f64).sqrt());
    let quantile = |p: f64| {
        let at = p * n.checked_sub(1)? as f64;
        let (below, above) = (values[at.floor() as usize], values[at.ceil() as usize]);
        // Two infinities have no difference.
        Some(if below == above { below } else { below + (above - below) * at.fract() })
    };
    let [min, q25, median, q75, max] = [0.0, 0.25, 0.5, 0.75, 1.0].map(quantile);
    [mean, std, min, q25, median, q75, max]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Cell;

    #[test]
    fn describe_counts_nulls_and_agrees_with_the_definition() {
        let cells = [0.1, 0.2, 0.3, 0.5].map(Cell::Float).into_iter().chain([Cell::Null]).collect();
        let names = ["x", "text"].map(str::to_owned);
        let table = Table::from_cells(&names, &[cells, vec![Cell::Text("a".into()); 5]]).unwrap();
        let described = table.describe().unwrap();
        assert_eq!((described.len(), described.floats("nulls").unwrap()[0]), (1, 1.0));
        for (name, wanted) in [
            ("mean", 0.275),
            ("std", (0.0875f64 / 3.0).sqrt()),
            ("q25", 0.175),
            ("median", 0.25),
            ("max", 0.5),
        ] {
            let found = described.floats(name).unwrap()[0];
            assert!((found - wanted).abs() < 1e-15, "{name}: {found}");
        }
        let constant = Table::from_cells(&["x".to_owned()], &[vec![Cell::Float(0.1); 3]]).unwrap();
        assert_eq!(constant.describe().unwrap().floats("std").unwrap(), [0.0]);
        let none = table.filter("x > 9").unwrap().describe().unwrap();
        assert_eq!(Cell::all(none.column("mean").unwrap()), [Cell::Null]);
        assert!(table.select(&["text".to_owned()]).unwrap().describe().is_err());
    }
}
