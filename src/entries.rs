//! A value of a kind that a folder lists, as plans store it: `{"name": …, …}`, an entry's name and
//! its options.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value as Json};

use crate::error::{Error, Result, suggestion};
use crate::options::{DefaultValue, Given, Opt, Value};

/// The options of an entry, as a plan stores them.
pub(crate) type Stored = Map<String, Json>;

/// What an options' struct stores.
pub(crate) fn stored(options: &impl Serialize) -> Stored {
    match serde_json::to_value(options) {
        Ok(Json::Object(stored)) => stored,
        // An entry without options.
        _ => Stored::new(),
    }
}

/// Writes a value: the name, the path where it has one, the options in their order.
pub(crate) fn write<S: Serializer>(
    to: S,
    name: &str,
    path: Option<&str>,
    schema: &[Opt],
    options: &Stored,
) -> std::result::Result<S::Ok, S::Error> {
    let head = [Some(("name", Json::from(name))), path.map(|path| ("path", Json::from(path)))];
    let own = schema.iter().filter_map(|opt| Some((opt.name, options.get(opt.name)?.clone())));
    to.collect_map(head.into_iter().flatten().chain(own))
}

/// Reads a value: its entry, and the rest of what is stored. `kind` is what the list is of.
pub(crate) fn read<'de, D: Deserializer<'de>, T>(
    from: D,
    kind: &str,
    list: &[&'static T],
    name_of: fn(&T) -> &'static str,
) -> std::result::Result<(&'static T, Stored), D::Error> {
    let mut stored = Stored::deserialize(from)?;
    let Some(Json::String(name)) = stored.remove("name") else {
        return Err(de::Error::missing_field("name"));
    };
    match list.iter().find(|entry| name_of(entry) == name) {
        Some(&entry) => Ok((entry, stored)),
        None => {
            let near = suggestion(&name, list.iter().map(|entry| name_of(entry)));
            Err(de::Error::custom(format!("no {kind} \"{name}\"; {near}")))
        }
    }
}

/// Checks stored options as if a script had given them.
pub(crate) fn check(name: &str, schema: &'static [Opt], stored: &Stored) -> Result<()> {
    let given = stored.iter().filter(|(_, value)| !value.is_null());
    Given::read(name, schema, given.map(|(key, value)| (key.clone(), from_json(value)))).map(|_| ())
}

/// What a plan stores of the options that a script gave; an option without value and default is
/// left out.
pub(crate) fn of_given(given: &Given, schema: &[Opt]) -> Result<Stored> {
    let mut stored = Stored::new();
    for opt in schema {
        let value = match (given.value(opt.name), opt.default) {
            (Some(value), _) => to_json(value),
            (None, DefaultValue::Number(number)) => Some(number.into()),
            (None, DefaultValue::Integer(integer)) => Some(integer.into()),
            (None, DefaultValue::Flag(flag)) => Some(flag.into()),
            (None, DefaultValue::Text(text)) => Some(text.into()),
            (None, DefaultValue::Required | DefaultValue::Absent(_)) => continue,
        };
        let unfit = || Error::invalid(format!("{}: {} cannot be stored in a plan", given.call(), opt.name));
        stored.insert(opt.name.to_owned(), value.ok_or_else(unfit)?);
    }
    Ok(stored)
}

fn to_json(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Nothing => Json::Null,
        Value::Flag(flag) => (*flag).into(),
        Value::Integer(integer) => (*integer).into(),
        Value::Number(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(values) => Json::Array(values.iter().map(to_json).collect::<Option<_>>()?),
        Value::Map(map) => {
            let pairs = map.iter().map(|(key, value)| Some((key.clone(), to_json(value)?)));
            Json::Object(pairs.collect::<Option<_>>()?)
        }
        Value::Function | Value::Handle(..) => return None,
    })
}

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nothing,
        Json::Bool(flag) => Value::Flag(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(values) => Value::List(values.iter().map(from_json).collect()),
        Json::Object(map) => {
            Value::Map(map.iter().map(|(key, value)| (key.clone(), from_json(value))).collect())
        }
    }
}
