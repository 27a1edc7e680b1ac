//! Option schemas: what a call's map of options may hold, as data, and the one reader of such maps.
//!
//! A list of [`Opt`]s is all that is known of the options of a call. [`Given::read`] checks a map
//! against it, and help, completion, checking and the reference are made from it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result, nearest, suggestion};

/// An option of a call.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// The key.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What it is where it is not given.
    pub default: DefaultValue,
    /// The unit of its number, such as `s`; empty where it has none.
    pub unit: &'static str,
    /// What it means. Choices, bounds, unit and default are told from the other fields.
    pub doc: &'static str,
    /// Whether an array or a range of values is an axis.
    pub axis: bool,
    /// An earlier name that is still taken; empty where there is none.
    pub formerly: &'static str,
}

/// What values an option takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A number; integers are accepted.
    Number(Bounds),
    /// An integer between these, both included.
    Integer(i64, i64),
    /// True or false.
    Flag,
    /// Text.
    Text,
    /// One of these texts, each with its meaning, which may be empty.
    Choice(&'static [(&'static str, &'static str)]),
    /// The name of a column of the table that the call works on.
    Column,
    /// An array; one value alone counts as an array of it.
    List(&'static Kind),
    /// A value of a registered type: its name, and a phrase with an example (`a data set such as
    /// digits()`).
    Handle(&'static str, &'static str),
    /// A function of the script, in a few words: `|row| …`.
    Function(&'static str),
    /// A map with options of its own.
    Map(&'static [Opt]),
    /// One of several kinds.
    Either(&'static [Kind]),
}

/// Which numbers are taken.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The lowest, which is taken itself unless `above` says otherwise.
    pub low: f64,
    /// Whether `low` itself is refused.
    pub above: bool,
    /// The highest, which is taken itself unless `below` says otherwise.
    pub high: f64,
    /// Whether `high` itself is refused.
    pub below: bool,
}

/// What an option is where it is not given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DefaultValue {
    /// It must be given.
    Required,
    /// No fixed value; in words what happens then. Empty: nothing worth a word.
    Absent(&'static str),
    /// This number.
    Number(f64),
    /// This integer.
    Integer(i64),
    /// This flag.
    Flag(bool),
    /// This text.
    Text(&'static str),
}

/// A value that was given, without the scripting language.
#[derive(Clone)]
pub enum Value {
    /// `()`.
    Nothing,
    /// True or false.
    Flag(bool),
    /// An integer.
    Integer(i64),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// A map.
    Map(Vec<(String, Value)>),
    /// A function, which only the script can call.
    Function,
    /// Anything else, with the name of its type as scripts see it.
    Handle(String, Arc<dyn Any + Send + Sync>),
}

impl Opt {
    /// An option without unit.
    pub const fn new(name: &'static str, kind: Kind, default: DefaultValue, doc: &'static str) -> Self {
        Self { name, kind, default, unit: "", doc, axis: false, formerly: "" }
    }

    /// The same with a unit.
    pub const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// The same, where an array or a range is an axis.
    pub const fn axis(self) -> Self {
        Self { axis: true, ..self }
    }

    /// The same, which also goes by an earlier name.
    pub const fn formerly(self, name: &'static str) -> Self {
        Self { formerly: name, ..self }
    }

    /// The same with another default.
    pub const fn or(self, default: DefaultValue) -> Self {
        Self { default, ..self }
    }

    /// Whether it goes by this name, or did.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || !name.is_empty() && self.formerly == name
    }

    /// The texts that it may be.
    pub fn choices(&self) -> Vec<&'static str> {
        self.kind.choices().into_iter().map(|(name, _)| name).collect()
    }

    /// The options of its map, where it may be one.
    pub fn keys(&self) -> &'static [Opt] {
        self.kind.keys()
    }

    /// All that a reader is told of it, in a line: meaning, choices, bounds, unit, default, whether
    /// it may be an axis.
    pub fn meaning(&self) -> String {
        let choices = self.kind.choices();
        let list: Vec<String> = choices
            .iter()
            .map(
                |(name, doc)| {
                    if doc.is_empty() { format!("\"{name}\"") } else { format!("\"{name}\" ({doc})") }
                },
            )
            .collect();
        let mut parts = Vec::new();
        let listed = either(&list);
        match (listed.is_empty(), self.doc.is_empty()) {
            (true, _) => parts.push(self.doc.to_owned()),
            (false, true) => parts.push(listed),
            (false, false) => parts.push(format!("{}: {listed}", self.doc)),
        }
        if let Some(bounds) = self.kind.bounds() {
            parts.push(bounds);
        }
        if !self.unit.is_empty() {
            parts.push(format!("in {}", self.unit));
        }
        match self.default {
            DefaultValue::Required => parts.push("required".to_owned()),
            DefaultValue::Absent("") => {}
            DefaultValue::Absent(what) => parts.push(format!("default: {what}")),
            default => parts.push(format!("default {default}")),
        }
        if self.axis {
            parts.push("axis".to_owned());
        }
        parts.retain(|part| !part.is_empty());
        parts.join("; ")
    }
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Required => to.write_str("required"),
            Self::Absent(what) => to.write_str(what),
            Self::Number(number) if *number != 0.0 && (number.abs() < 1e-3 || number.abs() >= 1e7) => {
                write!(to, "{number:e}")
            }
            Self::Number(number) => write!(to, "{number}"),
            Self::Integer(integer) => write!(to, "{integer}"),
            Self::Flag(flag) => write!(to, "{flag}"),
            Self::Text(text) => write!(to, "\"{text}\""),
        }
    }
}

impl Bounds {
    /// Every finite number.
    pub const ANY: Self = Self { low: f64::NEG_INFINITY, above: true, high: f64::INFINITY, below: true };
    /// Finite numbers from 0.
    pub const FROM_ZERO: Self = Self { low: 0.0, above: false, high: f64::INFINITY, below: true };
    /// Finite numbers above 0.
    pub const POSITIVE: Self = Self { low: 0.0, above: true, high: f64::INFINITY, below: true };
    /// From 0 to below 1.
    pub const BELOW_ONE: Self = Self { low: 0.0, above: false, high: 1.0, below: true };
    /// From 0 to 1, both included.
    pub const UNIT: Self = Self { low: 0.0, above: false, high: 1.0, below: false };
    /// Between 0 and 1, neither included.
    pub const INSIDE_UNIT: Self = Self { low: 0.0, above: true, high: 1.0, below: true };

    /// Whether a number is taken.
    pub fn contains(&self, number: f64) -> bool {
        let low = if self.above { number > self.low } else { number >= self.low };
        let high = if self.below { number < self.high } else { number <= self.high };
        low && high
    }
}

/// `from 0 to below 1`, `≥ 0`; empty where every number is taken.
impl fmt::Display for Bounds {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let Self { low, above, high, below } = *self;
        match (low.is_finite(), high.is_finite()) {
            (false, false) => Ok(()),
            (true, false) => write!(to, "{} {low}", if above { ">" } else { "≥" }),
            (false, true) => write!(to, "{} {high}", if below { "<" } else { "≤" }),
            (true, true) => {
                let (from, upto) =
                    (if above { "above" } else { "from" }, if below { "to below" } else { "to" });
                write!(to, "{from} {low} {upto} {high}")
            }
        }
    }
}

impl Kind {
    /// Every finite number.
    pub const NUMBER: Self = Self::Number(Bounds::ANY);
    /// Every integer, such as a seed.
    pub const INTEGER: Self = Self::Integer(i64::MIN, i64::MAX);
    /// An integer from 0.
    pub const COUNT: Self = Self::Integer(0, i64::MAX);
    /// An integer from 1.
    pub const AT_LEAST_ONE: Self = Self::Integer(1, i64::MAX);

    fn choices(&self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Choice(choices) => choices.to_vec(),
            Self::List(kind) => kind.choices(),
            Self::Either(kinds) => kinds.iter().flat_map(Self::choices).collect(),
            _ => Vec::new(),
        }
    }

    /// The options of its map, where it may be one.
    pub fn keys(&self) -> &'static [Opt] {
        match self {
            Self::Map(keys) => keys,
            Self::Either(kinds) => {
                kinds.iter().map(Self::keys).find(|keys| !keys.is_empty()).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// What the elements of an array are, where it may be one.
    pub fn element(&self) -> Option<&'static Self> {
        match self {
            Self::List(kind) => Some(kind),
            Self::Either(kinds) => kinds.iter().find_map(Self::element),
            _ => None,
        }
    }

    /// Whether its texts name columns.
    pub fn is_column(&self) -> bool {
        match self {
            Self::Column => true,
            Self::List(kind) => kind.is_column(),
            Self::Either(kinds) => kinds.iter().any(Self::is_column),
            _ => false,
        }
    }

    /// The registered types that it takes.
    pub fn handles(&self) -> Vec<&'static str> {
        match self {
            Self::Handle(name, _) => vec![*name],
            Self::List(kind) => kind.handles(),
            Self::Either(kinds) => kinds.iter().flat_map(Self::handles).collect(),
            _ => Vec::new(),
        }
    }

    /// The bounds of its numbers in words; none where there are none worth a word.
    fn bounds(&self) -> Option<String> {
        match *self {
            Self::Number(bounds) => Some(bounds.to_string()).filter(|text| !text.is_empty()),
            // That it fits in 32 bits is told to whoever tries more.
            Self::Integer(least, most) if most < u32::MAX.into() => Some(format!("{least} to {most}")),
            Self::List(kind) => kind.bounds(),
            Self::Either(kinds) => kinds.iter().find_map(Self::bounds),
            _ => None,
        }
    }

    /// What is expected, in words.
    pub fn expected(&self) -> String {
        match *self {
            Self::Number(bounds) => match bounds.to_string() {
                text if text.is_empty() => "a number".to_owned(),
                text => format!("a number {text}"),
            },
            Self::Integer(i64::MIN, i64::MAX) => "an integer".to_owned(),
            Self::Integer(least, i64::MAX) => format!("an integer ≥ {least}"),
            Self::Integer(least, most) => format!("an integer from {least} to {most}"),
            Self::Flag => "true or false".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Column => "the name of a column".to_owned(),
            Self::Choice(choices) => {
                choices.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
            }
            Self::List(kind) => format!("{} or an array of such", kind.expected()),
            Self::Handle(_, example) => example.to_owned(),
            Self::Function(form) => format!("a function {form}"),
            Self::Map(keys) => {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                format!("a map of options (#{{{}: …}})", names.join(", "))
            }
            Self::Either(kinds) => either(&kinds.iter().map(Self::expected).collect::<Vec<_>>()),
        }
    }

    /// Whether a value is of this kind, whatever its bounds and choices.
    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Number(_), Value::Number(_) | Value::Integer(_))
            | (Self::Integer(..), Value::Integer(_))
            | (Self::Flag, Value::Flag(_))
            | (Self::Text | Self::Choice(_) | Self::Column, Value::Text(_))
            | (Self::Function(_), Value::Function)
            | (Self::Map(_), Value::Map(_))
            | (Self::List(_), Value::List(_)) => true,
            (Self::List(kind), value) => kind.is(value),
            (Self::Handle(name, _), Value::Handle(of, _)) => name == of,
            (Self::Either(kinds), value) => kinds.iter().any(|kind| kind.is(value)),
            _ => false,
        }
    }

    /// Checks a value; `key` is what the message calls it.
    ///
    /// # Errors
    ///
    /// It is of another kind, or out of bounds, or none of the choices.
    pub fn check(&self, key: &str, value: &Value) -> Result<()> {
        let wrong = || Err(Error::invalid(format!("{key}: expected {}, found {value}", self.expected())));
        match (self, value) {
            (Self::Either(kinds), _) => {
                let of_this_kind: Vec<&Kind> = kinds.iter().filter(|kind| kind.is(value)).collect();
                match of_this_kind[..] {
                    [] => wrong(),
                    [kind] => kind.check(key, value),
                    _ if of_this_kind.iter().any(|kind| kind.check(key, value).is_ok()) => Ok(()),
                    _ => wrong(),
                }
            }
            (Self::List(kind), Value::List(values)) => {
                values.iter().try_for_each(|value| kind.check(key, value))
            }
            (Self::List(kind), value) => kind.check(key, value),
            (Self::Number(_), Value::Text(text)) if text.parse::<f64>().is_ok() => Err(Error::invalid(
                format!("{key}: expected a number, found the text \"{text}\"; write {text} without quotes"),
            )),
            (Self::Choice(choices), Value::Text(text)) => {
                let names = || choices.iter().map(|(name, _)| *name);
                if names().any(|name| name == text) {
                    return Ok(());
                }
                let hint = nearest(text, names())
                    .map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
                Err(Error::invalid(format!("{key}: expected {}, found \"{text}\"{hint}", self.expected())))
            }
            _ if !self.is(value) => wrong(),
            (Self::Number(bounds), value) => match value.number() {
                Some(number) if bounds.contains(number) => Ok(()),
                _ => wrong(),
            },
            (Self::Integer(least, most), Value::Integer(found)) if !(least..=most).contains(&found) => {
                wrong()
            }
            (Self::Map(keys), Value::Map(map)) => Given::read(key, keys, map.clone()).map(|_| ()),
            _ => Ok(()),
        }
    }
}

/// `a, b or c`.
fn either(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

impl Value {
    fn number(&self) -> Option<f64> {
        match *self {
            Self::Number(number) => Some(number),
            Self::Integer(integer) => Some(integer as f64),
            _ => None,
        }
    }
}

/// What it is, for messages: `the number 0.5`.
impl fmt::Display for Value {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Nothing => to.write_str("()"),
            Self::Flag(flag) => write!(to, "{flag}"),
            Self::Integer(integer) => write!(to, "the integer {integer}"),
            Self::Number(number) => write!(to, "the number {number:?}"),
            Self::Text(text) => write!(to, "the text \"{text}\""),
            Self::List(_) => to.write_str("an array"),
            Self::Map(_) => to.write_str("a map"),
            Self::Function => to.write_str("a function"),
            Self::Handle(name, _) => {
                let a = if name.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) { "an" } else { "a" };
                write!(to, "{a} {name}")
            }
        }
    }
}

/// The options that a call was given, checked against its schema.
#[derive(Clone)]
pub struct Given {
    call: String,
    schema: &'static [Opt],
    values: BTreeMap<&'static str, Value>,
}

/// What is said of an option that is none.
pub fn unknown(call: &str, key: &str, schema: &[Opt]) -> String {
    format!("{call}: unknown option `{key}`; {}", suggestion(key, schema.iter().map(|opt| opt.name)))
}

impl Given {
    /// Reads a map of options.
    ///
    /// # Errors
    ///
    /// An option that is not in the schema, one that is given by two names, a value that its option
    /// does not take, a required option that is missing.
    pub fn read(
        call: &str,
        schema: &'static [Opt],
        map: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Self> {
        let mut given = Self::none(call, schema);
        for (key, value) in map {
            let opt = schema.iter().find(|opt| opt.is_called(&key));
            let opt = opt.ok_or_else(|| Error::invalid(unknown(call, &key, schema)))?;
            opt.kind.check(&key, &value)?;
            if given.values.insert(opt.name, value).is_some() {
                return Err(Error::invalid(format!(
                    "{call}: `{}` and `{}` are one option; write `{}` alone",
                    opt.name, opt.formerly, opt.name
                )));
            }
        }
        require(call, schema, |name| given.has(name))?;
        Ok(given)
    }

    /// No options at all, not even those that are required.
    pub fn none(call: &str, schema: &'static [Opt]) -> Self {
        Self { call: call.to_owned(), schema, values: BTreeMap::new() }
    }

    /// Gives an option a value, in place of the one that it has.
    ///
    /// # Errors
    ///
    /// The option does not take the value.
    pub fn set(&mut self, name: &str, value: Value) -> Result<()> {
        let opt = self.opt(name)?;
        opt.kind.check(name, &value)?;
        self.values.insert(opt.name, value);
        Ok(())
    }

    /// Gives a key of an option's map a value.
    ///
    /// # Errors
    ///
    /// The key does not take the value.
    pub fn set_within(&mut self, name: &str, key: &str, value: Value) -> Result<()> {
        let opt = self.opt(name)?;
        let inner = opt.keys().iter().find(|opt| opt.name == key).ok_or_else(|| self.mistaken(name))?;
        inner.kind.check(&format!("{name}.{key}"), &value)?;
        match self.values.entry(opt.name).or_insert_with(|| Value::Map(Vec::new())) {
            Value::Map(map) => map.push((key.to_owned(), value)),
            other => *other = Value::Map(vec![(key.to_owned(), value)]),
        }
        Ok(())
    }

    fn opt(&self, name: &str) -> Result<&'static Opt> {
        self.schema.iter().find(|opt| opt.name == name).ok_or_else(|| self.mistaken(name))
    }

    /// The call's name.
    pub fn call(&self) -> &str {
        &self.call
    }

    /// Whether an option was given.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// An option as it was given.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// An option that is read in another way than its schema says.
    fn mistaken(&self, name: &str) -> Error {
        Error::invalid(format!("kelvin itself failed: {} has no option `{name}` of this kind", self.call))
    }

    fn default(&self, name: &str) -> Option<DefaultValue> {
        self.schema.iter().find(|opt| opt.name == name).map(|opt| opt.default)
    }

    /// A number, or its default.
    pub fn number(&self, name: &str) -> Result<f64> {
        self.given_number(name)?.ok_or_else(|| self.mistaken(name))
    }

    /// A number, its default, or nothing where there is none.
    pub fn given_number(&self, name: &str) -> Result<Option<f64>> {
        match (self.values.get(name), self.default(name)) {
            (Some(value), _) => value.number().map(Some).ok_or_else(|| self.mistaken(name)),
            (None, Some(DefaultValue::Number(number))) => Ok(Some(number)),
            (None, Some(DefaultValue::Integer(integer))) => Ok(Some(integer as f64)),
            (None, Some(DefaultValue::Absent(_))) => Ok(None),
            _ => Err(self.mistaken(name)),
        }
    }

    /// An integer, or its default.
    pub fn integer(&self, name: &str) -> Result<i64> {
        self.given_integer(name)?.ok_or_else(|| self.mistaken(name))
    }

    /// An integer, its default, or nothing where there is none.
    pub fn given_integer(&self, name: &str) -> Result<Option<i64>> {
        match (self.values.get(name), self.default(name)) {
            (Some(Value::Integer(integer)), _) => Ok(Some(*integer)),
            (None, Some(DefaultValue::Integer(integer))) => Ok(Some(integer)),
            (None, Some(DefaultValue::Absent(_))) => Ok(None),
            _ => Err(self.mistaken(name)),
        }
    }

    /// An integer from 0, or its default.
    pub fn count(&self, name: &str) -> Result<usize> {
        self.given_count(name)?.ok_or_else(|| self.mistaken(name))
    }

    /// An integer from 0, its default, or nothing where there is none.
    pub fn given_count(&self, name: &str) -> Result<Option<usize>> {
        let count = |integer| usize::try_from(integer).map_err(|_| self.mistaken(name));
        self.given_integer(name)?.map(count).transpose()
    }

    /// True or false, or the default.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match (self.values.get(name), self.default(name)) {
            (Some(Value::Flag(flag)), _) => Ok(*flag),
            (None, Some(DefaultValue::Flag(flag))) => Ok(flag),
            _ => Err(self.mistaken(name)),
        }
    }

    /// Text, or its default.
    pub fn text(&self, name: &str) -> Result<String> {
        self.given_text(name)?.ok_or_else(|| self.mistaken(name))
    }

    /// Text, its default, or nothing where there is none.
    pub fn given_text(&self, name: &str) -> Result<Option<String>> {
        match (self.values.get(name), self.default(name)) {
            (Some(Value::Text(text)), _) => Ok(Some(text.clone())),
            (None, Some(DefaultValue::Text(text))) => Ok(Some(text.to_owned())),
            (None, Some(DefaultValue::Absent(_))) => Ok(None),
            _ => Err(self.mistaken(name)),
        }
    }

    /// What a choice stands for, or its default.
    pub fn choice<T: Copy>(&self, name: &str, all: &[(&str, T)]) -> Result<T> {
        let text = self.text(name)?;
        all.iter()
            .find(|(known, _)| *known == text)
            .map(|(_, value)| *value)
            .ok_or_else(|| self.mistaken(name))
    }

    /// What choices stand for, of which one may stand alone, or their default.
    pub fn choices<T: Copy>(&self, name: &str, all: &[(&str, T)]) -> Result<Vec<T>> {
        let find = |text: String| all.iter().find(|(known, _)| *known == text).map(|(_, value)| *value);
        let texts = self.texts(name)?;
        texts.into_iter().map(|text| find(text).ok_or_else(|| self.mistaken(name))).collect()
    }

    /// Texts, of which one may stand alone, or their default; none where there is none.
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        let text = |value: &Value| match value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(self.mistaken(name)),
        };
        match self.values.get(name) {
            None => Ok(match self.default(name) {
                Some(DefaultValue::Text(text)) => vec![text.to_owned()],
                _ => Vec::new(),
            }),
            Some(Value::List(values)) => values.iter().map(text).collect(),
            Some(value) => Ok(vec![text(value)?]),
        }
    }

    /// Numbers, of which one may stand alone; none where they are not given.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        let number = |value: &Value| value.number().ok_or_else(|| self.mistaken(name));
        match self.values.get(name) {
            None => Ok(Vec::new()),
            Some(Value::List(values)) => values.iter().map(number).collect(),
            Some(value) => Ok(vec![number(value)?]),
        }
    }

    /// A map of options, read by its own schema; an empty one where it is not given.
    pub fn map(&self, name: &str) -> Result<Self> {
        let keys = self.schema.iter().find(|opt| opt.name == name).map(Opt::keys).unwrap_or_default();
        match self.values.get(name) {
            None => Self::read(name, keys, []),
            Some(Value::Map(map)) => Self::read(name, keys, map.clone()),
            Some(_) => Err(self.mistaken(name)),
        }
    }

    /// A value of a registered type, where it is given.
    pub fn handle<T: Clone + 'static>(&self, name: &str) -> Result<Option<T>> {
        match self.values.get(name) {
            None => Ok(None),
            Some(Value::Handle(_, value)) => {
                value.downcast_ref::<T>().cloned().map(Some).ok_or_else(|| self.mistaken(name))
            }
            Some(_) => Err(self.mistaken(name)),
        }
    }
}

/// Asks for every option that must be given.
///
/// # Errors
///
/// One that is required is not given.
pub fn require(call: &str, schema: &[Opt], is_given: impl Fn(&str) -> bool) -> Result<()> {
    let missing_one = schema.iter().find(|opt| opt.default == DefaultValue::Required && !is_given(opt.name));
    missing_one.map_or(Ok(()), |opt| Err(Error::invalid(missing(call, opt))))
}

/// What is said of a required option that is not given.
fn missing(call: &str, opt: &Opt) -> String {
    match opt.doc {
        "" => format!("{call}: the option `{}` is missing; expected {}", opt.name, opt.kind.expected()),
        doc => format!("{call}: the option `{}` is missing: {doc}", opt.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: &[Opt] = &[Opt::new("init", Kind::INTEGER, DefaultValue::Absent(""), "a seed of its own")];
    const SCHEMA: &[Opt] = &[
        Opt::new("n", Kind::AT_LEAST_ONE, DefaultValue::Required, "how many"),
        Opt::new("momentum", Kind::Number(Bounds::BELOW_ONE), DefaultValue::Number(0.9), "μ"),
        Opt::new("decay", Kind::Number(Bounds::FROM_ZERO), DefaultValue::Number(5e-4), "α").unit("1/s"),
        Opt::new(
            "form",
            Kind::Choice(&[("pytorch", "Eq. 16"), ("sutskever", "")]),
            DefaultValue::Text("pytorch"),
            "",
        ),
        Opt::new("by", Kind::List(&Kind::Column), DefaultValue::Absent("each setting"), "columns"),
        Opt::new(
            "seed",
            Kind::Either(&[Kind::INTEGER, Kind::Map(STREAMS)]),
            DefaultValue::Integer(1),
            "a seed, or streams",
        )
        .axis(),
        Opt::new("max_seeds", Kind::COUNT, DefaultValue::Integer(64), "seeds at most").formerly("most"),
        Opt::new(
            "device",
            Kind::Either(&[Kind::Choice(&[("cpu", "")]), Kind::INTEGER]),
            DefaultValue::Absent("all"),
            "",
        ),
    ];

    fn read(map: &[(&str, Value)]) -> Result<Given> {
        Given::read("call", SCHEMA, map.iter().map(|(key, value)| ((*key).to_owned(), value.clone())))
    }

    fn refused(map: &[(&str, Value)]) -> String {
        read(map).err().expect("it is refused").to_string()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn what_is_given_is_read_and_the_rest_is_the_default() {
        let n = ("n", Value::Integer(3));
        let given = read(std::slice::from_ref(&n)).unwrap();
        assert_eq!((given.count("n").unwrap(), given.number("momentum").unwrap()), (3, 0.9));
        assert_eq!((given.integer("seed").unwrap(), given.count("max_seeds").unwrap()), (1, 64));
        assert_eq!(given.choice("form", &[("sutskever", 2), ("pytorch", 1)]).unwrap(), 1);
        assert!(given.texts("by").unwrap().is_empty() && !given.has("by"));
        let given = read(&[
            n.clone(),
            ("momentum", Value::Integer(0)),
            ("most", Value::Integer(8)),
            ("by", text("lr")),
            ("seed", Value::Map(vec![("init".to_owned(), Value::Integer(7))])),
        ]);
        let given = given.unwrap();
        assert_eq!((given.number("momentum").unwrap(), given.count("max_seeds").unwrap()), (0.0, 8));
        assert_eq!(given.texts("by").unwrap(), ["lr"]);
        assert_eq!(given.map("seed").unwrap().integer("init").unwrap(), 7);
        assert!(
            given.choices("by", &[("lr", 1)]).unwrap() == [1] && given.choices("by", &[("x", 1)]).is_err()
        );
        assert_eq!(given.texts("form").unwrap(), ["pytorch"], "the default");
        // What is asked for in another way than the schema says is an error, not a guess.
        assert!(given.flag("momentum").is_err() && given.number("nothing").is_err());
    }

    #[test]
    fn what_is_set_is_checked_too() {
        let mut given = Given::none("call", SCHEMA);
        given.set("n", Value::Integer(2)).unwrap();
        given.set("n", Value::Integer(3)).unwrap();
        given.set_within("seed", "init", Value::Integer(7)).unwrap();
        assert_eq!(given.count("n").unwrap(), 3);
        assert_eq!(given.map("seed").unwrap().integer("init").unwrap(), 7);
        let said = given.set_within("seed", "init", text("x")).unwrap_err().to_string();
        assert_eq!(said, "seed.init: expected an integer, found the text \"x\"");
        assert!(given.set("n", Value::Integer(0)).is_err() && given.set("m", Value::Integer(1)).is_err());
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_to_write() {
        let n = ("n", Value::Integer(3));
        for (map, said) in [
            (&[][..], "call: the option `n` is missing: how many"),
            (&[("n", Value::Integer(0))], "n: expected an integer ≥ 1, found the integer 0"),
            (&[("n", Value::Number(2.5))], "n: expected an integer ≥ 1, found the number 2.5"),
            (
                &[n.clone(), ("momentum", Value::Integer(1))],
                "momentum: expected a number from 0 to below 1, found",
            ),
            (&[n.clone(), ("momentum", Value::Number(f64::NAN))], "found the number NaN"),
            (&[n.clone(), ("decay", Value::Number(f64::INFINITY))], "decay: expected a number ≥ 0, found"),
            (&[n.clone(), ("decay", text("0.1"))], "write 0.1 without quotes"),
            (&[n.clone(), ("form", text("pytorc"))], "did you mean \"pytorch\"?"),
            (
                &[n.clone(), ("momentun", Value::Number(0.5))],
                "call: unknown option `momentun`; did you mean `momentum`?",
            ),
            (
                &[n.clone(), ("by", Value::List(vec![text("a"), Value::Integer(1)]))],
                "by: expected the name of a column",
            ),
            (
                &[n.clone(), ("seed", Value::Map(vec![("ini".to_owned(), Value::Integer(1))]))],
                "seed: unknown option `ini`",
            ),
            (&[n.clone(), ("seed", Value::Flag(true))], "seed: expected an integer or a map of options"),
            (&[n.clone(), ("device", text("gpu"))], "device: expected \"cpu\", found \"gpu\""),
            (
                &[n.clone(), ("most", Value::Integer(8)), ("max_seeds", Value::Integer(8))],
                "`max_seeds` and `most` are one option; write `max_seeds` alone",
            ),
        ] {
            let found = refused(map);
            assert!(found.contains(said), "{said}: {found}");
        }
    }

    #[test]
    fn kinds_tell_their_elements_columns_types_and_keys() {
        let kind = |name: &str| SCHEMA.iter().find(|opt| opt.name == name).unwrap().kind;
        assert!(kind("by").is_column() && kind("by").element().is_some_and(Kind::is_column));
        assert!(!kind("n").is_column() && kind("n").element().is_none() && kind("n").keys().is_empty());
        assert_eq!(kind("seed").keys().len(), 1);
        let data = Kind::Either(&[Kind::Text, Kind::List(&Kind::Handle("Dataset", "a data set"))]);
        assert_eq!(data.handles(), ["Dataset"]);
        assert!(SCHEMA.iter().find(|opt| opt.name == "max_seeds").unwrap().is_called("most"));
    }

    #[test]
    fn the_meaning_tells_choices_bounds_unit_and_default() {
        let meaning = |name: &str| SCHEMA.iter().find(|opt| opt.name == name).unwrap().meaning();
        for (name, said) in [
            ("n", "how many; required"),
            ("momentum", "μ; from 0 to below 1; default 0.9"),
            ("decay", "α; ≥ 0; in 1/s; default 5e-4"),
            ("form", "\"pytorch\" (Eq. 16) or \"sutskever\"; default \"pytorch\""),
            ("by", "columns; default: each setting"),
            ("max_seeds", "seeds at most; default 64"),
            ("seed", "a seed, or streams; default 1; axis"),
        ] {
            assert_eq!(meaning(name), said);
        }
    }
}
