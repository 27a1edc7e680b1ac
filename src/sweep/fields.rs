//! The fields of a value's JSON by their paths: `model.width`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Calls `found` with the path and the value of each field that has no fields of its own. A list is
/// one field, unless `deep` is set and it holds objects: their fields have its places in their
/// paths, `operations.0.take.n`.
pub(super) fn leaves(value: &Value, deep: bool, found: &mut impl FnMut(&str, &Value)) {
    walk(&mut String::new(), value, deep, found);
}

fn walk(path: &mut String, value: &Value, deep: bool, found: &mut impl FnMut(&str, &Value)) {
    let mut below = |key: &str, value: &Value| {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        walk(path, value, deep, found);
        path.truncate(length);
    };
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(items) if deep && items.iter().any(Value::is_object) => {
            items.iter().enumerate().for_each(|(place, item)| below(&place.to_string(), item));
        }
        leaf => found(path, leaf),
    }
}

/// The fields of a value as text, lists as one.
pub(super) fn flat(value: &impl Serialize) -> Result<BTreeMap<String, String>> {
    let value = serde_json::to_value(value).map_err(|error| Error::invalid(error.to_string()))?;
    let mut fields = BTreeMap::new();
    leaves(&value, false, &mut |path, leaf| {
        fields.insert(path.to_owned(), leaf.to_string());
    });
    Ok(fields)
}
