//! Rhai's own functions whose time grows with an array or a text, again: these look at the
//! interrupt flag, make no more elements than a script may ask for, and let the errors of the
//! functions that they are given through.

use std::cmp::Ordering;

use rhai::plugin::*;
use rhai::{Array, Dynamic, FnPtr, ImmutableString};

use super::budget::{length, most};
use crate::error::Error;
use crate::interrupt::{check_at, leave_behind};
use crate::script::convert::{Scripted, at, describe};

/// The parts of a text as an array.
fn parts<'a>(context: &NativeCallContext, parts: impl Iterator<Item = &'a str>) -> Scripted<Array> {
    let most = most(context.engine().max_array_size());
    let mut array = Array::new();
    for part in parts {
        check_at(array.len()).map_err(|error| at(context, error))?;
        if array.len() == most {
            let message = format!("split: expected at most {most} parts");
            return Err(at(context, Error::invalid(message)));
        }
        array.push(part.into());
    }
    Ok(array)
}

/// How many parts a script asks for.
fn segments(asked: i64) -> usize {
    usize::try_from(asked).unwrap_or(0).max(1)
}

/// A text with each of some places in it replaced.
fn replaced(
    context: &NativeCallContext,
    text: &mut ImmutableString,
    find: &str,
    substitute: &str,
) -> Scripted<()> {
    let replace = || {
        let mut places = 0_i64;
        for (index, _) in text.match_indices(find).enumerate() {
            check_at(index)?;
            places += 1;
        }
        let longer = substitute.len() as i64 - find.len() as i64;
        let most = most(context.engine().max_string_size());
        length("replace", most, (text.len() as i64).saturating_add(places.saturating_mul(longer)))?;
        let mut new = String::new();
        let mut rest = 0;
        for (index, (start, found)) in text.match_indices(find).enumerate() {
            check_at(index)?;
            new += &text[rest..start];
            new += substitute;
            rest = start + found.len();
        }
        Ok((places > 0).then(|| new + &text[rest..]))
    };
    if let Some(new) = replace().map_err(|error| at(context, error))? {
        *text = new.into();
    }
    Ok(())
}

/// The elements in order, where they all are of one type that has one; nothing where they are not.
fn ordered<T: Send + 'static>(
    array: &Array,
    read: fn(&Dynamic) -> Option<T>,
    compare: fn(&T, &T) -> Ordering,
    write: fn(T) -> Dynamic,
    descending: bool,
) -> Option<crate::error::Result<Array>> {
    let mut values = array.iter().map(read).collect::<Option<Vec<T>>>()?;
    /// Fewer elements are sorted sooner than a thread starts.
    const FEW: usize = 100_000;
    let is_short = values.len() < FEW;
    let sort = move || {
        values.sort_by(|a, b| if descending { compare(b, a) } else { compare(a, b) });
        Ok(values)
    };
    let sorted = if is_short { sort() } else { leave_behind("sort", sort) };
    Some(sorted.map(|values| values.into_iter().map(write).collect()))
}

/// Numbers by size, texts by their letters. NaN is greatest, as in tables.
fn by_value(context: &NativeCallContext, array: &Array, descending: bool) -> Scripted<Array> {
    let floats = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    let text = |value: &Dynamic| value.as_immutable_string_ref().ok().map(|text| text.to_string());
    let sorted = None
        .or_else(|| ordered(array, |value| value.as_int().ok(), i64::cmp, Dynamic::from, descending))
        .or_else(|| ordered(array, |value| value.as_float().ok(), floats, Dynamic::from, descending))
        .or_else(|| ordered(array, text, String::cmp, Dynamic::from, descending))
        .or_else(|| ordered(array, |value| value.as_char().ok(), char::cmp, Dynamic::from, descending))
        .or_else(|| ordered(array, |value| value.as_bool().ok(), bool::cmp, Dynamic::from, descending))
        .or_else(|| array.iter().all(Dynamic::is_unit).then(|| Ok(array.clone())));
    let mixed = || {
        Err(Error::invalid(
            "sort: expected elements of one type, numbers, texts, characters or true and false; for others, sort(|a, b| …)",
        ))
    };
    sorted.unwrap_or_else(mixed).map_err(|error| at(context, error))
}

/// What a comparing function says of two elements.
fn compared(context: &NativeCallContext, comparer: &FnPtr, a: &Dynamic, b: &Dynamic) -> Scripted<Ordering> {
    let says: Dynamic = comparer.call_within_context(context, (a.clone(), b.clone()))?;
    if let Ok(number) = says.as_int() {
        return Ok(number.cmp(&0));
    }
    if let Some(order) = says.as_float().ok().and_then(|number| number.partial_cmp(&0.0)) {
        return Ok(order);
    }
    match says.as_bool() {
        Ok(true) => Ok(Ordering::Less),
        Ok(false) => Ok(Ordering::Greater),
        Err(_) => {
            let message = format!(
                "sort: expected the function to give a number below, at or above 0, or true where its first value comes first, found {}",
                describe(&says)
            );
            Err(at(context, Error::invalid(message)))
        }
    }
}

/// The elements in the order of a function. Its errors leave the array as it was.
fn by_function(context: &NativeCallContext, array: &Array, comparer: &FnPtr) -> Scripted<Array> {
    let mut order: Vec<usize> = (0..array.len()).collect();
    let mut width = 1;
    // The standard library's sort cannot be stopped, and panics where the order is none.
    while width < order.len() {
        let mut merged = Vec::with_capacity(order.len());
        for pair in order.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let (Some((&a, lefts)), Some((&b, rights))) = (left.split_first(), right.split_first()) {
                check_at(merged.len()).map_err(|error| at(context, error))?;
                if compared(context, comparer, &array[a], &array[b])? == Ordering::Greater {
                    merged.push(b);
                    right = rights;
                } else {
                    merged.push(a);
                    left = lefts;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        order = merged;
        width *= 2;
    }
    Ok(order.into_iter().map(|index| array[index].clone()).collect())
}

/// Removes elements that the function says are the same as the one before.
fn without_repeats(
    context: &NativeCallContext,
    array: &mut Array,
    same: impl Fn(&Dynamic, &Dynamic) -> Scripted<bool>,
) -> Scripted<()> {
    let mut kept: Vec<usize> = Vec::new();
    for index in 0..array.len() {
        check_at(index).map_err(|error| at(context, error))?;
        if !kept.last().map_or(Ok(false), |&last| same(&array[last], &array[index]))? {
            kept.push(index);
        }
    }
    *array = kept.into_iter().map(|index| std::mem::take(&mut array[index])).collect();
    Ok(())
}

// Without doc comments: the functions are Rhai's, and help tells of kelvin's.
#[export_module]
pub mod functions {
    #[rhai_fn(name = "to_chars", return_raw)]
    pub fn to_chars(context: NativeCallContext, text: &str) -> Scripted<Array> {
        let most = most(context.engine().max_array_size());
        length("to_chars", most, text.chars().count() as i64).map_err(|error| at(&context, error))?;
        let letter = |(index, letter)| {
            check_at(index)?;
            Ok(Dynamic::from(letter))
        };
        text.chars()
            .enumerate()
            .map(letter)
            .collect::<crate::error::Result<_>>()
            .map_err(|error| at(&context, error))
    }

    #[rhai_fn(name = "split", return_raw, pure)]
    pub fn split_words(context: NativeCallContext, text: &mut ImmutableString) -> Scripted<Array> {
        if text.is_empty() {
            parts(&context, [""].into_iter())
        } else {
            parts(&context, text.split_whitespace())
        }
    }

    #[rhai_fn(name = "split", return_raw, pure)]
    pub fn split_by(context: NativeCallContext, text: &mut ImmutableString, by: &str) -> Scripted<Array> {
        if text.is_empty() { parts(&context, [""].into_iter()) } else { parts(&context, text.split(by)) }
    }

    #[rhai_fn(name = "split", return_raw, pure)]
    pub fn split_by_n(
        context: NativeCallContext,
        text: &mut ImmutableString,
        by: &str,
        n: i64,
    ) -> Scripted<Array> {
        if text.is_empty() {
            parts(&context, [""].into_iter())
        } else {
            parts(&context, text.splitn(segments(n), by))
        }
    }

    #[rhai_fn(name = "split", return_raw, pure)]
    pub fn split_at_char(
        context: NativeCallContext,
        text: &mut ImmutableString,
        by: char,
    ) -> Scripted<Array> {
        parts(&context, text.split(by))
    }

    #[rhai_fn(name = "split", return_raw, pure)]
    pub fn split_at_char_n(
        context: NativeCallContext,
        text: &mut ImmutableString,
        by: char,
        n: i64,
    ) -> Scripted<Array> {
        parts(&context, text.splitn(segments(n), by))
    }

    #[rhai_fn(name = "split_rev", return_raw, pure)]
    pub fn split_rev(context: NativeCallContext, text: &mut ImmutableString, by: &str) -> Scripted<Array> {
        if text.is_empty() { parts(&context, [""].into_iter()) } else { parts(&context, text.rsplit(by)) }
    }

    #[rhai_fn(name = "split_rev", return_raw, pure)]
    pub fn split_rev_n(
        context: NativeCallContext,
        text: &mut ImmutableString,
        by: &str,
        n: i64,
    ) -> Scripted<Array> {
        if text.is_empty() {
            parts(&context, [""].into_iter())
        } else {
            parts(&context, text.rsplitn(segments(n), by))
        }
    }

    #[rhai_fn(name = "split_rev", return_raw, pure)]
    pub fn split_rev_at_char(
        context: NativeCallContext,
        text: &mut ImmutableString,
        by: char,
    ) -> Scripted<Array> {
        parts(&context, text.rsplit(by))
    }

    #[rhai_fn(name = "split_rev", return_raw, pure)]
    pub fn split_rev_at_char_n(
        context: NativeCallContext,
        text: &mut ImmutableString,
        by: char,
        n: i64,
    ) -> Scripted<Array> {
        parts(&context, text.rsplitn(segments(n), by))
    }

    #[rhai_fn(name = "replace", return_raw)]
    pub fn replace(
        context: NativeCallContext,
        text: &mut ImmutableString,
        find: &str,
        substitute: &str,
    ) -> Scripted<()> {
        replaced(&context, text, find, substitute)
    }

    #[rhai_fn(name = "replace", return_raw)]
    pub fn replace_by_char(
        context: NativeCallContext,
        text: &mut ImmutableString,
        find: &str,
        substitute: char,
    ) -> Scripted<()> {
        replaced(&context, text, find, substitute.encode_utf8(&mut [0; 4]))
    }

    #[rhai_fn(name = "replace", return_raw)]
    pub fn replace_char(
        context: NativeCallContext,
        text: &mut ImmutableString,
        find: char,
        substitute: &str,
    ) -> Scripted<()> {
        replaced(&context, text, find.encode_utf8(&mut [0; 4]), substitute)
    }

    #[rhai_fn(name = "replace", return_raw)]
    pub fn replace_char_by_char(
        context: NativeCallContext,
        text: &mut ImmutableString,
        find: char,
        substitute: char,
    ) -> Scripted<()> {
        replaced(&context, text, find.encode_utf8(&mut [0; 4]), substitute.encode_utf8(&mut [0; 4]))
    }

    #[rhai_fn(name = "sort", return_raw)]
    pub fn sort(context: NativeCallContext, array: &mut Array) -> Scripted<()> {
        *array = by_value(&context, array, false)?;
        Ok(())
    }

    #[rhai_fn(name = "sort_desc", return_raw)]
    pub fn sort_desc(context: NativeCallContext, array: &mut Array) -> Scripted<()> {
        *array = by_value(&context, array, true)?;
        Ok(())
    }

    #[rhai_fn(name = "sort", name = "sort_by", return_raw)]
    pub fn sort_by(context: NativeCallContext, array: &mut Array, comparer: FnPtr) -> Scripted<()> {
        *array = by_function(&context, array, &comparer)?;
        Ok(())
    }

    #[rhai_fn(name = "order", return_raw, pure)]
    pub fn order(context: NativeCallContext, array: &mut Array) -> Scripted<Array> {
        by_value(&context, array, false)
    }

    #[rhai_fn(name = "order_desc", return_raw, pure)]
    pub fn order_desc(context: NativeCallContext, array: &mut Array) -> Scripted<Array> {
        by_value(&context, array, true)
    }

    #[rhai_fn(name = "order", name = "order_by", return_raw, pure)]
    pub fn order_by(context: NativeCallContext, array: &mut Array, comparer: FnPtr) -> Scripted<Array> {
        by_function(&context, array, &comparer)
    }

    #[rhai_fn(name = "dedup", return_raw)]
    pub fn dedup(context: NativeCallContext, array: &mut Array) -> Scripted<()> {
        // Values of different types, and those that know no ==, are not the same.
        let same = |a: &Dynamic, b: &Dynamic| {
            let equal = context.call_native_fn::<bool>("==", (a.clone(), b.clone()));
            Ok(equal.unwrap_or(false))
        };
        without_repeats(&context, array, same)
    }

    #[rhai_fn(name = "dedup", return_raw)]
    pub fn dedup_by(context: NativeCallContext, array: &mut Array, comparer: FnPtr) -> Scripted<()> {
        let same = |a: &Dynamic, b: &Dynamic| {
            let says: Dynamic = comparer.call_within_context(&context, (a.clone(), b.clone()))?;
            Ok(says.as_bool().unwrap_or(false))
        };
        without_repeats(&context, array, same)
    }
}

#[cfg(test)]
mod tests {
    use rhai::Dynamic;

    fn says(script: &str) -> String {
        let engine = crate::script::engine(&crate::script::Session::silent());
        let script = format!("let found = {{ {script} }}; found.to_string()");
        engine.eval::<String>(&script).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn arrays_are_sorted_as_before_and_errors_of_the_order_come_through() {
        for (script, expected) in [
            ("let a = [3, 1, 2]; a.sort(); a", "[1, 2, 3]"),
            ("let a = [3, 1, 2]; a.sort_desc(); a", "[3, 2, 1]"),
            ("[\"b\", \"a\"].order()", "[\"a\", \"b\"]"),
            ("['b', 'a'].order()", "[a, b]"),
            ("[true, false].order()", "[false, true]"),
            ("[].order()", "[]"),
            ("let a = [5, 3, 9, 1, 7]; a.sort(|x, y| y - x); a", "[9, 7, 5, 3, 1]"),
            ("[5, 3, 9, 1, 7].order_by(|x, y| x < y)", "[1, 3, 5, 7, 9]"),
            // A difference of floats once was no order at all.
            ("[0.5, 0.3, 0.9].order_by(|x, y| y - x)", "[0.9, 0.5, 0.3]"),
            // Equal ones stay as they were.
            (
                "[\"bb\", \"c\", \"aa\", \"d\"].order_by(|x, y| x.len - y.len)",
                "[\"c\", \"d\", \"bb\", \"aa\"]",
            ),
            // NaN is greatest; it once was equal to all.
            ("[2.0, 0.0/0.0, 1.0].order()", "[1.0, 2.0, NaN]"),
            ("let a = [2.0, 0.0/0.0, 1.0]; a.sort_desc(); a", "[NaN, 2.0, 1.0]"),
            ("let a = [1, 2, 2, 3, 2]; a.dedup(); a", "[1, 2, 3, 2]"),
            ("let a = [1, 2, 12, 3]; a.dedup(|x, y| x % 10 == y % 10); a", "[1, 2, 3]"),
            ("let a = [1, \"1\", [1], [1]]; a.dedup(); a.len", "3"),
        ] {
            assert_eq!(says(script), expected, "{script}");
        }
        for (script, expected) in [
            ("let a = [2, 1]; a.sort(|x, y| throw \"no order\")", "no order"),
            ("let a = [2, 1]; a.sort(|x, y| \"x\")", "found the text \"x\""),
            ("let a = [2, 1]; a.sort(|x, y| 0.0 / 0.0)", "found the number NaN"),
            ("[2, \"a\"].order()", "elements of one type"),
            ("let a = [1, 1]; a.dedup(|x, y| nothing_at_all)", "nothing_at_all"),
        ] {
            assert!(says(script).contains(expected), "{script}: {}", says(script));
        }
    }

    #[test]
    fn texts_are_split_and_replaced_as_before() {
        for (script, expected) in [
            ("\"a b  c\".split()", "[\"a\", \"b\", \"c\"]"),
            ("\"\".split()", "[\"\"]"),
            ("\"a,b,c\".split(\",\")", "[\"a\", \"b\", \"c\"]"),
            ("\"a,b,c\".split(',')", "[\"a\", \"b\", \"c\"]"),
            ("\"a,b,c\".split(\",\", 2)", "[\"a\", \"b,c\"]"),
            ("\"a,b,c\".split(',', -1)", "[\"a,b,c\"]"),
            ("\"a,b,c\".split_rev(\",\")", "[\"c\", \"b\", \"a\"]"),
            ("\"a,b,c\".split_rev(',', 2)", "[\"c\", \"a,b\"]"),
            ("\"ab\".split(\"\")", "[\"\", \"a\", \"b\", \"\"]"),
            ("\"\".split(\"\")", "[\"\"]"),
            ("\"x\".split(\",\")", "[\"x\"]"),
            ("\"äb\".to_chars()", "[ä, b]"),
            ("let s = \"banana\"; s.replace(\"an\", \"-\"); s", "b--a"),
            ("let s = \"banana\"; s.replace('a', \"\"); s", "bnn"),
            ("let s = \"banana\"; s.replace(\"na\", 'ä'); s", "baää"),
            ("let s = \"banana\"; s.replace('n', 'm'); s", "bamama"),
            ("let s = \"abc\"; s.replace(\"x\", \"y\"); s", "abc"),
        ] {
            assert_eq!(says(script), expected, "{script}");
        }
    }

    #[test]
    fn more_is_refused_than_a_script_may_ask_for() {
        let grown = "let s = \"\"; s.pad(20000, 'a'); let t = s; s.replace(\"a\", t); s.len";
        assert!(
            says(grown).contains("replace: expected at most 100000000 elements, found 400000000"),
            "{}",
            says(grown)
        );
        let long = "let s = \"\"; s.pad(100000001, 'a'); s.split(\"\").len";
        assert!(says(long).contains("pad: expected at most"), "{}", says(long));
        // The engine's own limit on arrays counts, too.
        let mut engine = crate::script::engine(&crate::script::Session::silent());
        engine.set_max_array_size(1000);
        let parts = "let s = \"\"; s.pad(1001, ' '); s.split(\" \")";
        let error = engine.eval::<Dynamic>(parts).unwrap_err().to_string();
        assert!(error.contains("split: expected at most 1000 parts"), "{error}");
    }
}
