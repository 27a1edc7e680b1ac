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
                    super::convert::kind(kind)
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

    /// The argument, which must be given: an integer, a number, true, false or text.
    pub(super) fn get(&self, name: &str) -> Result<Dynamic> {
        let text = self.find(name).ok_or_else(|| {
            Error::invalid(format!("the argument `{name}` was not given; run the script with -D {name}=…"))
        })?;
        Ok(text
            .parse::<i64>()
            .map(Dynamic::from)
            .or_else(|_| text.parse::<f64>().map(Dynamic::from))
            .or_else(|_| text.parse::<bool>().map(Dynamic::from))
            .unwrap_or_else(|_| Dynamic::from(text.to_owned())))
    }

    /// A warning per argument that the script never read.
    pub fn unread(&self) -> Vec<String> {
        let read = self.read.borrow();
        self.given
            .iter()
            .filter(|(name, _)| !read.contains(name))
            .map(|(name, value)| {
                let hint = if read.is_empty() {
                    "the script reads no arguments".to_owned()
                } else {
                    suggestion(name, read.iter().map(String::as_str).collect::<Vec<_>>())
                };
                format!("-D {name}={value} was not used; {hint}")
            })
            .collect()
    }
}
