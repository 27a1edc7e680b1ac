//! From script values to native ones, with errors that name the option.

use std::path::Path;

use rhai::{Array, Dynamic, EvalAltResult, Map, NativeCallContext, Position};

use std::sync::Arc;

use super::catalogue;
use super::handles::{ModelHandle, OptimizerHandle};
use super::manual;
use super::session::Session;
pub(super) use super::types::kind;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::interrupt::check_at;
use crate::options::{Given, Opt, Value};
use crate::sweep::slurm::Slurm;
use crate::table::Table;

/// A result as Rhai wants it.
pub(super) type Scripted<T> = std::result::Result<T, Box<EvalAltResult>>;

/// An error at the place of the call.
pub(super) fn at(context: &NativeCallContext, error: Error) -> Box<EvalAltResult> {
    raise(error, context.call_position())
}

/// An error at a place. An interrupt cannot be caught by the script.
pub(super) fn raise(error: Error, position: Position) -> Box<EvalAltResult> {
    Box::new(match error {
        Error::Interrupted => EvalAltResult::ErrorTerminated("interrupted".into(), position),
        error => EvalAltResult::ErrorRuntime(readable(error.to_string()).into(), position),
    })
}

/// A message without most of a value that nobody reads to its end, such as a text of a hundred
/// million letters.
pub(super) fn readable(message: String) -> String {
    const LONGEST: usize = 4000;
    let Some(_) = message.char_indices().nth(LONGEST) else { return message };
    let start = message.char_indices().nth(LONGEST / 2).map_or(0, |(at, _)| at);
    let end = message.char_indices().nth_back(LONGEST / 2 - 1).map_or(0, |(at, _)| at);
    let left_out = message[start..end].chars().count();
    format!("{} … ({left_out} more) … {}", &message[..start], &message[end..])
}

/// Writes to a path, where the session lets scripts write.
pub(super) fn write_to(
    context: &NativeCallContext,
    path: &str,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Scripted<()> {
    let path = &crate::home::expand(path);
    Session::of(context).may_write(path).and_then(|()| write(path)).map_err(|error| at(context, error))
}

/// A path as a script writes it, with the home folder for `~`.
pub(super) fn path(path: &str) -> String {
    crate::home::expand(path).to_string_lossy().into_owned()
}

/// Reads a call's map of options against its schema.
pub(super) fn given(call: &str, schema: &'static [Opt], options: &Map) -> Result<Given> {
    let earlier = schema.iter().map(|opt| opt.formerly).filter(|name| !name.is_empty());
    known_keys(call, options, schema.iter().map(|opt| opt.name).chain(earlier))?;
    let values = options.iter().map(|(key, value)| Ok((key.to_string(), native(value)?)));
    Given::read(call, schema, values.collect::<Result<Vec<_>>>()?)
}

/// A script's value as the core sees it.
pub(super) fn native(value: &Dynamic) -> Result<Value> {
    /// Values of this type go to the core as they are.
    fn handle<T: Clone + Send + Sync + 'static>(value: &Dynamic) -> Option<Value> {
        let inner = value.clone().try_cast::<T>()?;
        Some(Value::Handle(manual::type_name(value.type_name()), Arc::new(inner)))
    }
    if let Some(values) = value.read_lock::<Array>() {
        let all = values.iter().enumerate().map(|(index, value)| {
            check_at(index)?;
            native(value)
        });
        return Ok(Value::List(all.collect::<Result<_>>()?));
    }
    if let Some(map) = value.read_lock::<Map>() {
        let all = map.iter().map(|(key, value)| Ok((key.to_string(), native(value)?)));
        return Ok(Value::Map(all.collect::<Result<_>>()?));
    }
    if value.is_unit() {
        return Ok(Value::Nothing);
    }
    let plain = match (value.as_bool(), value.as_int(), value.as_float()) {
        (Ok(flag), ..) => Some(Value::Flag(flag)),
        (_, Ok(integer), _) => Some(Value::Integer(integer)),
        (.., Ok(number)) => Some(Value::Number(number)),
        _ => value.clone().into_string().ok().map(Value::Text),
    };
    let kinds = [
        handle::<Dataset>,
        handle::<Table>,
        handle::<ModelHandle>,
        handle::<OptimizerHandle>,
        handle::<Slurm>,
    ];
    Ok(plain
        .or_else(|| value.is_fnptr().then_some(Value::Function))
        .or_else(|| kinds.iter().find_map(|kind| kind(value)))
        .unwrap_or_else(|| Value::Handle(manual::type_name(value.type_name()), Arc::new(()))))
}

/// What a value is, for error messages.
pub(super) fn describe(value: &Dynamic) -> String {
    match value.type_name() {
        "string" => format!("the text \"{value}\""),
        "i64" => format!("the integer {value}"),
        "f64" => format!("the number {value}"),
        "bool" | "()" => format!("{value}"),
        "map" => "a map".to_owned(),
        "array" => "an array".to_owned(),
        "Fn" => "a function".to_owned(),
        name => kind(name),
    }
}

fn wrong(key: &str, expected: &str, value: &Dynamic) -> Error {
    Error::invalid(format!("{key}: expected {expected}, found {}", describe(value)))
}

/// A number; integers are accepted.
pub(super) fn number(key: &str, value: &Dynamic) -> Result<f64> {
    value.as_float().or_else(|_| value.as_int().map(|value| value as f64)).map_err(|_| {
        match value.clone().into_string() {
            Ok(text) if text.parse::<f64>().is_ok() => Error::invalid(format!(
                "{key}: expected a number, found the text \"{text}\"; write {text} without quotes"
            )),
            _ => wrong(key, "a number", value),
        }
    })
}

/// An integer.
pub(super) fn integer(key: &str, value: &Dynamic) -> Result<i64> {
    value.as_int().map_err(|_| wrong(key, "an integer", value))
}

/// An integer from 0.
pub(super) fn count(key: &str, value: &Dynamic) -> Result<usize> {
    let integer = integer(key, value)?;
    usize::try_from(integer).map_err(|_| wrong(key, "an integer ≥ 0", value))
}

/// True or false.
pub(super) fn flag(key: &str, value: &Dynamic) -> Result<bool> {
    value.as_bool().map_err(|_| wrong(key, "true or false", value))
}

/// Text.
pub(super) fn text(key: &str, value: &Dynamic) -> Result<String> {
    value.clone().into_string().map_err(|_| wrong(key, "text", value))
}

/// A value of a type that kelvin registers.
pub(super) fn handle<T: Clone + 'static>(key: &str, expected: &str, value: &Dynamic) -> Result<T> {
    value.clone().try_cast::<T>().ok_or_else(|| wrong(key, expected, value))
}

/// One of a list of names.
pub(super) fn choice<T: Copy>(key: &str, all: &[(&str, T)], value: &Dynamic) -> Result<T> {
    let name = text(key, value)?;
    all.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        let hint = match crate::error::nearest(&name, names.iter().copied()) {
            Some(near) => format!("; did you mean \"{near}\"?"),
            None => String::new(),
        };
        let list: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        Error::invalid(format!("{key}: expected {}, found \"{name}\"{hint}", list.join(", ")))
    })
}

/// Text, or an array of texts.
pub(super) fn texts(key: &str, value: &Dynamic) -> Result<Vec<String>> {
    match value.clone().try_cast::<Array>() {
        Some(values) => values.iter().map(|value| text(key, value)).collect(),
        None => Ok(vec![text(key, value)?]),
    }
}

/// Refuses keys of a map that are not among the known ones.
pub(super) fn known_keys<'a>(
    call: &str,
    map: &Map,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Result<()> {
    for key in map.keys() {
        if !known.clone().into_iter().any(|name| name == key.as_str()) {
            return Err(Error::invalid(catalogue::unknown_option(call, key, known)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_beginning_and_its_end() {
        assert_eq!(readable("short".to_owned()), "short");
        let long = readable(format!("no column `{}`; known: a, b", "ä".repeat(1_000_000)));
        assert!(long.starts_with("no column `ää") && long.ends_with("ä`; known: a, b"), "{}", long.len());
        assert!(long.contains("more) …") && long.chars().count() < 4100);
    }

    /// Rust's names of types say `Arc<Mutex<Network>>`.
    #[test]
    fn values_are_described_without_rusts_types() {
        let engine = crate::script::engine(&Session::silent());
        let data = "let data = digits().take(20); ";
        for (value, shown) in [
            ("linear().init(#{ data: data })", "a Network"),
            ("data", "a Dataset"),
            ("sgd(#{})", "an Optimizer"),
            ("linear()", "a Model"),
            ("table(#{ a: [1] })", "a Table"),
            ("plot(table(#{ a: [1] }))", "a Plot"),
            ("sweep(#{ data: data, model: linear(), lr: 0.1, batch: 5, epochs: 1 })", "a Sweep"),
            ("lab::gaussian_mean(#{ n: 10 })", "a Problem"),
            ("0..3", "a range"),
            ("range(0, 9, 2)", "a range"),
            ("range(0.0, 1.0, 0.1)", "a range"),
        ] {
            let found = engine.eval::<Dynamic>(&format!("{data}{value}"));
            let found = found.unwrap_or_else(|error| panic!("{value}: {error}"));
            assert_eq!(describe(&found), shown, "{value}: {}", found.type_name());
        }
    }
}
