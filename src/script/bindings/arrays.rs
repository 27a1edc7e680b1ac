//! Statistics of arrays of numbers. Nulls, `()`, are left out, as in tables.

use rhai::plugin::*;
use rhai::{Array, Dynamic};

use crate::error::{Error, Result};
use crate::interrupt::check_at;
use crate::script::convert::{Scripted, at, number};

fn numbers(name: &str, array: &Array) -> Result<Vec<f64>> {
    let one = |(index, value)| {
        check_at(index)?;
        number(name, value)
    };
    array.iter().enumerate().filter(|(_, value)| !value.is_unit()).map(one).collect()
}

/// The numbers of an array that has some.
fn some(name: &str, array: &Array) -> Result<Vec<f64>> {
    let found = numbers(name, array)?;
    if found.is_empty() {
        return Err(Error::invalid(format!("{name}: expected an array with a number in it")));
    }
    Ok(found)
}

fn mean_of(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The element with the least or greatest value; NaN where one is.
fn extreme(name: &str, array: &Array, better: fn(f64, f64) -> bool) -> Result<Dynamic> {
    some(name, array)?;
    let mut best: Option<(f64, &Dynamic)> = None;
    for (index, element) in array.iter().enumerate().filter(|(_, value)| !value.is_unit()) {
        check_at(index)?;
        let value = number(name, element)?;
        if value.is_nan() {
            return Ok(f64::NAN.into());
        }
        if best.is_none_or(|(other, _)| better(value, other)) {
            best = Some((value, element));
        }
    }
    Ok(best.map_or(Dynamic::UNIT, |(_, element)| element.clone()))
}

#[export_module]
pub mod functions {
    /// The sum of an array of numbers.
    ///
    /// ```
    /// [0.5, 1, 2].sum()
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn sum(context: NativeCallContext, array: &mut Array) -> Scripted<f64> {
        numbers("sum", array).map(|values| values.iter().sum()).map_err(|error| at(&context, error))
    }

    /// The mean of an array of numbers.
    ///
    /// ```
    /// table(#{ gap: [0.24, 0.2, 0.16] })["gap"].mean()
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn mean(context: NativeCallContext, array: &mut Array) -> Scripted<f64> {
        some("mean", array).map(|values| mean_of(&values)).map_err(|error| at(&context, error))
    }

    /// The standard deviation of an array of numbers, dividing by n - 1; NaN of one number.
    ///
    /// ```
    /// let gaps = [0.24, 0.2, 0.16];
    /// gaps.std() / gaps.len.sqrt()
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn std(context: NativeCallContext, array: &mut Array) -> Scripted<f64> {
        let values = some("std", array).map_err(|error| at(&context, error))?;
        let mean = mean_of(&values);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Ok(if values.len() < 2 { f64::NAN } else { (squares / (values.len() - 1) as f64).sqrt() })
    }

    /// The least of an array of numbers.
    ///
    /// ```
    /// [0.24, 0.2, 0.16].min()
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn min(context: NativeCallContext, array: &mut Array) -> Scripted<Dynamic> {
        extreme("min", array, |value, best| value < best).map_err(|error| at(&context, error))
    }

    /// The greatest of an array of numbers.
    ///
    /// ```
    /// [0.24, 0.2, 0.16].max()
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn max(context: NativeCallContext, array: &mut Array) -> Scripted<Dynamic> {
        extreme("max", array, |value, best| value > best).map_err(|error| at(&context, error))
    }
}

#[cfg(test)]
mod tests {
    /// Numbers by numpy.
    #[test]
    fn statistics_of_arrays() {
        let engine = crate::script::engine(&crate::script::Session::silent());
        let number = |script: &str| engine.eval::<f64>(script).unwrap();
        assert_eq!(number("[0.5, 1, 2].sum()"), 3.5);
        assert_eq!(number("[].sum()"), 0.0);
        assert_eq!(number("[1, 2, (), 6].mean()"), 3.0);
        assert!((number("[1, 2, 4].std()") - 1.527_525_231_651_946_7).abs() < 1e-15);
        assert!(number("[1].std()").is_nan());
        assert_eq!(engine.eval::<i64>("[3, 1, 2].min()").unwrap(), 1);
        assert_eq!(number("[3, 5.5, ()].max()"), 5.5);
        for wrong in ["[].mean()", "[\"a\"].sum()", "[()].max()"] {
            assert!(engine.eval::<rhai::Dynamic>(wrong).is_err(), "{wrong}");
        }
    }
}
