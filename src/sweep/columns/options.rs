//! The options of a run that no column tells, as one text.

use serde_json::Value;

use crate::hash::is_hex;
use crate::sweep::fields::leaves;

/// What goes without saying: files are known by their content, and without momentum the form of SGD
/// makes no difference to look for.
const UNSAID: [(&str, &str); 3] =
    [("data.source.path", ""), ("init.path", ""), ("optimizer.form", "pytorch")];

/// Digits of a SHA-256, as many as a run's id has.
const DIGITS: usize = 16;

/// The fields of a specification's JSON that are not told elsewhere, `n=100, seed=1`. `is_told` is
/// asked with each field's path, in which `*` stands for a place in a list.
pub(super) fn untold(spec: &Value, is_told: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    leaves(spec, true, &mut |path, leaf| {
        let pattern = match path.contains(|c: char| c.is_ascii_digit()) {
            true => pattern(path),
            false => path.to_owned(),
        };
        let is_unsaid = || UNSAID.iter().any(|(field, value)| *field == pattern && leaf == value);
        if !leaf.is_null() && !is_told(&pattern) && !is_unsaid() {
            found.push((path.to_owned(), text(leaf)));
        }
    });
    found
}

/// A path with `*` in place of numbers.
fn pattern(path: &str) -> String {
    let part = |part: &'_ str| match part.bytes().all(|byte| byte.is_ascii_digit()) {
        true => "*".to_owned(),
        false => part.to_owned(),
    };
    path.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// A value as short as it is clear.
fn text(leaf: &Value) -> String {
    let is_plain =
        |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    match leaf.as_str().filter(is_plain) {
        Some(text) if text.len() == 64 && is_hex(text) => text[..DIGITS].to_owned(),
        Some(text) => text.to_owned(),
        None => leaf.to_string(),
    }
}
