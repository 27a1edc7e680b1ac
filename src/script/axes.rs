//! Options that are axes: their values, and every combination of them. How many combinations there
//! are is known before any is made.

use std::cell::RefCell;
use std::rc::Rc;

use rhai::{Array, Dynamic, EvalAltResult};

use crate::decimal::Steps;
use crate::error::{Error, Result};
use crate::interrupt;

/// More values of one axis are taken for a mistake.
const LONGEST: usize = 1_000_000;

/// More combinations of all axes are, too.
pub(super) const MOST_COMBINATIONS: usize = 1_000_000;

/// Steps between two looks at the interrupt flag.
const LOOK: usize = 1024;

/// Axes in their order: the last varies fastest.
pub(super) struct Axes {
    /// What is made of a combination, for messages: `sweep`.
    call: &'static str,
    /// What the combinations are: `runs`.
    what: &'static str,
    axes: Vec<(String, Vec<Dynamic>)>,
    combinations: usize,
}

impl Axes {
    /// No axes yet: one combination. `what` is what combinations are: runs, settings.
    pub fn new(call: &'static str, what: &'static str) -> Self {
        Self { call, what, axes: Vec::new(), combinations: 1 }
    }

    /// Adds the values of an axis.
    ///
    /// # Errors
    ///
    /// Where there are no values, or where with them there are more than a million combinations.
    pub fn add(&mut self, key: &str, value: &Dynamic) -> Result<&[Dynamic]> {
        let length = length(key, value)?;
        let combinations = self.combinations.saturating_mul(length.unwrap_or(1));
        let mut values = Vec::new();
        if combinations <= MOST_COMBINATIONS {
            values = values_of(key, value)?;
        }
        let known = length.unwrap_or(values.len());
        self.combinations = self.combinations.saturating_mul(known);
        if self.combinations > MOST_COMBINATIONS {
            let long =
                self.axes.iter().map(|(key, values)| (key.as_str(), values.len())).chain([(key, known)]);
            let long: Vec<String> = long
                .filter(|(_, values)| *values > 1)
                .map(|(key, values)| format!("{values} values of {key}"))
                .collect();
            return Err(Error::invalid(format!(
                "{}: more than {MOST_COMBINATIONS} {} ({}); shorten an axis",
                self.call,
                self.what,
                long.join(" × ")
            )));
        }
        self.axes.push((key.to_owned(), values));
        Ok(self.axes.last().map_or(&[], |(_, values)| values.as_slice()))
    }

    /// Adds to each of these drafts what an axis's values make of it, in the order of the axes.
    ///
    /// # Errors
    ///
    /// The first error of `set`, or an interrupt.
    pub fn product<T: Clone>(
        &self,
        start: T,
        mut set: impl FnMut(&mut T, &str, &Dynamic) -> Result<()>,
    ) -> Result<Vec<T>> {
        let mut drafts = vec![start];
        for (key, values) in &self.axes {
            let mut longer = Vec::with_capacity(drafts.len() * values.len());
            for draft in &drafts {
                for value in values {
                    if longer.len() % LOOK == 0 {
                        interrupt::check()?;
                    }
                    let mut draft = draft.clone();
                    set(&mut draft, key, value)?;
                    longer.push(draft);
                }
            }
            drafts = longer;
        }
        Ok(drafts)
    }
}

/// Whether a value is an array or a range, of which each value is tried.
pub(super) fn is_axis(value: &Dynamic) -> bool {
    value.is_array()
        || value.is::<std::ops::Range<i64>>()
        || value.is::<std::ops::RangeInclusive<i64>>()
        || value.is::<Steps>()
        || is_walked(value)
}

/// How many values an axis has, where that can be told without making them.
fn length(key: &str, value: &Dynamic) -> Result<Option<usize>> {
    let range = |start: i64, end: i128| match usize::try_from(end - i128::from(start)) {
        Ok(0) | Err(_) => Err(empty(key)),
        Ok(length) => Ok(Some(length)),
    };
    if let Some(values) = value.read_lock::<Array>() {
        return if values.is_empty() { Err(empty(key)) } else { Ok(Some(values.len())) };
    }
    if let Some(values) = value.read_lock::<std::ops::Range<i64>>() {
        return range(values.start, i128::from(values.end));
    }
    if let Some(values) = value.read_lock::<std::ops::RangeInclusive<i64>>() {
        return range(*values.start(), i128::from(*values.end()) + 1);
    }
    if let Some(values) = value.read_lock::<Steps>() {
        return range(0, i128::from(values.left()));
    }
    Ok((!is_walked(value)).then_some(1))
}

/// A range of integers with a step has no public type; only a script can walk it.
fn is_walked(value: &Dynamic) -> bool {
    value.type_name().contains("StepRange")
}

fn empty(key: &str) -> Error {
    Error::invalid(format!("{key}: an axis without values; expected at least one"))
}

/// The values of an axis: an array's, a range's, or the one value.
fn values_of(key: &str, value: &Dynamic) -> Result<Vec<Dynamic>> {
    if let Some(values) = value.read_lock::<Array>() {
        return Ok(values.clone());
    }
    if let Some(values) = value.read_lock::<std::ops::Range<i64>>() {
        return Ok(values.clone().map(Dynamic::from).collect());
    }
    if let Some(values) = value.read_lock::<std::ops::RangeInclusive<i64>>() {
        return Ok(values.clone().map(Dynamic::from).collect());
    }
    if let Some(values) = value.read_lock::<Steps>() {
        return Ok(values.clone().map(Dynamic::from).collect());
    }
    if !is_walked(value) {
        return Ok(vec![value.clone()]);
    }
    let values = walk(key, value)?;
    if values.is_empty() { Err(empty(key)) } else { Ok(values) }
}

/// The values of a range with a step.
fn walk(key: &str, range: &Dynamic) -> Result<Vec<Dynamic>> {
    let found: Rc<RefCell<Vec<Dynamic>>> = Rc::default();
    let kept = Rc::clone(&found);
    let keep = move |value: Dynamic| -> std::result::Result<(), Box<EvalAltResult>> {
        if kept.borrow().len() == LONGEST {
            return Err(format!("more than {LONGEST} values").into());
        }
        kept.borrow_mut().push(value);
        Ok(())
    };
    let mut engine = rhai::Engine::new();
    engine.on_progress(|_| interrupt::raised().then_some(Dynamic::UNIT));
    engine.register_fn("keep", keep);
    let mut scope = rhai::Scope::new();
    scope.push("values", range.clone());
    let walked = engine.run_with_scope(&mut scope, "for value in values { keep(value) }");
    interrupt::check()?;
    walked.map_err(|error| match *error {
        EvalAltResult::ErrorRuntime(text, _) => Error::invalid(format!("{key}: an axis of {text}")),
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => {
            Error::invalid(format!("{key}: an axis of {}", inner.unwrap_inner()))
        }
        error => Error::invalid(format!("{key}: not a range of values: {error}")),
    })?;
    drop(engine);
    Ok(found.take())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Scope;

    fn value(script: &str) -> Dynamic {
        crate::script::engine(&crate::script::Session::silent()).eval(script).unwrap()
    }

    #[test]
    fn values_are_an_arrays_a_ranges_or_one() {
        let integers = |script: &str| {
            let values = values_of("seed", &value(script)).unwrap();
            values.iter().map(|value| value.as_int().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(integers("[3, 1]"), [3, 1]);
        assert_eq!(integers("1..3"), [1, 2]);
        assert_eq!(integers("1..=3"), [1, 2, 3]);
        assert_eq!(integers("range(0, 6, 2)"), [0, 2, 4]);
        assert_eq!(integers("7"), [7]);
        for axis in ["[]", "1..3", "1..=3", "range(0, 6, 2)", "range(0.0, 1.0, 0.5)"] {
            assert!(is_axis(&value(axis)), "{axis}");
        }
        assert!(!is_axis(&value("7")) && !is_axis(&value("#{ a: [1] }")) && !is_axis(&value("|x| x")));
        for none in ["[]", "3..3", "3..=2", "range(0, 0, 1)"] {
            let error = Axes::new("sweep", "runs").add("lr", &value(none)).unwrap_err().to_string();
            assert!(error.contains("lr: an axis without values"), "{none}: {error}");
        }
    }

    #[test]
    fn combinations_are_counted_before_they_are_made() {
        let mut axes = Axes::new("sweep", "runs");
        axes.add("batch", &value("[16, 32]")).unwrap();
        axes.add("epochs", &value("5")).unwrap();
        let error = axes.add("seed", &value("1..=1_000_000_000_000")).unwrap_err().to_string();
        assert_eq!(
            error,
            "sweep: more than 1000000 runs (2 values of batch × 1000000000000 values of seed); shorten an axis"
        );
        let error =
            Axes::new("lab::gap", "settings").add("beta", &value("0..9223372036854775807")).unwrap_err();
        assert!(error.to_string().contains("9223372036854775807 values of beta"), "{error}");
        let mut axes = Axes::new("sweep", "runs");
        axes.add("lr", &value("range(0.0, 1.0, 0.001)")).unwrap();
        let error = axes.add("seed", &value("range(0, 5000, 1)")).unwrap_err().to_string();
        assert!(error.contains("1000 values of lr × 5000 values of seed"), "{error}");
        let mut axes = Axes::new("sweep", "runs");
        let error = axes.add("test", &value("range(0, 1000000000000, 1)")).unwrap_err().to_string();
        assert!(error.contains("test: an axis of more than 1000000 values"), "{error}");
    }

    #[test]
    fn the_last_axis_varies_fastest_and_an_interrupt_ends_the_product() {
        let mut axes = Axes::new("sweep", "runs");
        axes.add("a", &value("1..=2")).unwrap();
        axes.add("b", &value("[3, 4]")).unwrap();
        let push = |draft: &mut Vec<i64>, _: &str, value: &Dynamic| {
            draft.push(value.as_int().unwrap());
            Ok(())
        };
        let found = axes.product(Vec::new(), push).unwrap();
        assert_eq!(found, [[1, 3], [1, 4], [2, 3], [2, 4]]);

        let range = value("range(0, 1000000, 1)");
        // As a job in the background, so that no other test's work is stopped.
        let scope = Scope::default();
        interrupt::work_for(Some(scope.clone()));
        let mut steps = 0;
        let stopped = axes.product(Vec::new(), |draft, key, value| {
            steps += 1;
            scope.raise();
            push(draft, key, value)
        });
        let walked = walk("seed", &range);
        interrupt::work_for(None);
        assert!(matches!(stopped, Err(Error::Interrupted)) && steps <= 2, "{steps}");
        assert!(matches!(walked, Err(Error::Interrupted)));
    }
}
