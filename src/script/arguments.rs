//! The `-D name=value` arguments of the command line, as scripts read them with `arg`.

use std::cell::RefCell;
use std::collections::BTreeSet;

use rhai::Dynamic;

use crate::error::{Error, Result, suggestion};

/// Named arguments, and which of them were read.
#[derive(Default)]
pub struct Arguments {
    given: Vec<(String, String)>,
    read: RefCell<BTreeSet<String>>,
}

impl Arguments {
    /// Arguments in the order given; a later one of the same name wins.
    pub fn new(given: Vec<(String, String)>) -> Self {
        Self { given, read: RefCell::default() }
    }

    /// Names and values as given.
    pub fn given(&self) -> Vec<(String, String)> {
        self.given.clone()
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.read.borrow_mut().insert(name.to_owned());
        self.given.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The argument, typed like the default.
    pub(super) fn get_or(&self, name: &str, default: Dynamic) -> Result<Dynamic> {
        let Some(text) = self.find(name) else { return Ok(default) };
        let typed = match default.type_name() {
            "i64" => text.parse::<i64>().ok().map(Dynamic::from),
            "f64" => text.parse::<f64>().ok().map(Dynamic::from),
            "bool" => text.parse::<bool>().ok().map(Dynamic::from),
            "string" => Some(Dynamic::from(text.to_owned())),
            kind => {
                return Err(Error::invalid(format!(
                    "arg(\"{name}\", default): expected a number, text, true or false as default, found {}",
                    super::types::kind(kind)
                )));
            }
        };
        typed.ok_or_else(|| {
            let kind = match default.type_name() {
                "i64" => "an integer",
                "f64" => "a number",
                _ => "true or false",
            };
            Error::invalid(format!("-D {name}={text}: expected {kind}, like its default {default}"))
        })
    }

    /// The argument, which must be given: true, false, a number that is written as scripts write
    /// them, else text.
    pub(super) fn get(&self, name: &str) -> Result<Dynamic> {
        let text = self.find(name).ok_or_else(|| {
            Error::invalid(format!("the argument `{name}` was not given; run the script with -D {name}=…"))
        })?;
        Ok(match text {
            "true" => true.into(),
            "false" => false.into(),
            text if is_integer(text) => {
                text.parse::<i64>().map_or_else(|_| text.to_owned().into(), Dynamic::from)
            }
            text if is_number(text) => {
                text.parse::<f64>().map_or_else(|_| text.to_owned().into(), Dynamic::from)
            }
            text => text.to_owned().into(),
        })
    }

    /// What is said of arguments that a script never asks for; `asked` are those that it asks for.
    pub fn unknown(&self, asked: &BTreeSet<String>) -> Vec<String> {
        self.beside(asked, "is not asked for")
    }

    /// A warning per argument that the script never read.
    pub fn unread(&self) -> Vec<String> {
        self.beside(&self.read.borrow(), "was not used")
    }

    fn beside(&self, known: &BTreeSet<String>, what: &str) -> Vec<String> {
        self.given
            .iter()
            .filter(|(name, _)| !known.contains(name))
            .map(|(name, value)| {
                let hint = if known.is_empty() {
                    "the script reads no arguments".to_owned()
                } else {
                    suggestion(name, known.iter().map(String::as_str).collect::<Vec<_>>())
                };
                format!("-D {name}={value} {what}; {hint}")
            })
            .collect()
    }
}

/// Whether digits are an integer as one writes it: 007 is a name.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" || !digits.starts_with('0');
    canonical && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text is a number as one writes it: with a point, or an exponent with its sign. `12e5`
/// may be a commit's name.
fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "+0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_point = mantissa.contains('.');
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let signed = exponent.strip_prefix(['+', '-']);
    let is_exponent = |text: &str| !text.is_empty() && digits(text);
    is_integer(whole)
        && digits(fraction)
        && (has_point || text.contains(['e', 'E']))
        && signed.map_or(has_point && is_exponent(exponent), is_exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_characters_and_numbers_are_numbers() {
        let get = |text: &str| {
            let value = Arguments::new(vec![("x".into(), text.into())]).get("x").unwrap();
            format!("{}:{value}", value.type_name())
        };
        for text in [
            "007",
            "12e5",
            "1e3",
            "nan",
            "inf",
            "+5",
            "0x1f",
            "00",
            "-007",
            "é",
            "",
            "-",
            ".5",
            "True",
            "1e",
            "1.5e",
            "1e+",
            "99999999999999999999",
        ] {
            assert_eq!(get(text), format!("string:{text}"));
        }
        for (text, wanted) in [
            ("7", "i64:7"),
            ("-7", "i64:-7"),
            ("0", "i64:0"),
            ("0.05", "f64:0.05"),
            ("1.5e3", "f64:1500.0"),
            ("1e-3", "f64:0.001"),
            ("-2.5E+2", "f64:-250.0"),
            ("true", "bool:true"),
        ] {
            assert_eq!(get(text), wanted);
        }
        let given = Arguments::new(vec![("x".into(), "007".into()), ("y".into(), "12e5".into())]);
        assert_eq!(given.get_or("x", "a".into()).unwrap().into_string().unwrap(), "007");
        assert_eq!(given.get_or("x", 1_i64.into()).unwrap().as_int().unwrap(), 7);
        assert_eq!(given.get_or("y", 1.0.into()).unwrap().as_float().unwrap(), 1_200_000.0);
    }
}
