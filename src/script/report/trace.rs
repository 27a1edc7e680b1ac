//! Where an error arose and how the script got there, out of what Rhai says.

use rhai::EvalAltResult;

use super::message::message;
use super::source::CodePosition;
use crate::script::modules::CLOSURE;

/// Where an error arose, and how the script got there.
pub struct Trace {
    pub message: String,
    pub place: CodePosition,
    /// Functions and modules that were entered, innermost first.
    pub entered: Vec<Entered>,
}

/// How a function or a module was entered.
pub struct Entered {
    /// `called` or `imported`.
    pub how: &'static str,
    /// The function.
    pub what: String,
    pub from: CodePosition,
}

/// The error itself, without the functions and modules that it went through.
pub fn root(error: &EvalAltResult) -> &EvalAltResult {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) | EvalAltResult::ErrorInModule(_, inner, _) => {
            root(inner)
        }
        error => error,
    }
}

/// The error's own message and place, and what it went through; `name` is the module that is looked
/// at.
pub fn innermost(error: &EvalAltResult, known: &[String], name: &str, in_function: bool) -> Trace {
    let inside = |inner: &EvalAltResult, within: &str, how: &'static str, what: String, position| {
        let mut trace = innermost(inner, known, within, how == "called");
        let from = CodePosition { module: name.to_owned(), position };
        if trace.place.position.is_none() {
            return Trace { place: from, ..trace };
        }
        trace.entered.push(Entered { how, what, from });
        trace
    };
    match error {
        EvalAltResult::ErrorInFunctionCall(function, within, inner, position) => {
            let what = if function.starts_with(CLOSURE) { String::new() } else { format!(": {function}()") };
            return inside(inner, within, "called", what, *position);
        }
        EvalAltResult::ErrorInModule(module, inner, position) => {
            return inside(inner, module, "imported", String::new(), *position);
        }
        _ => {}
    }
    let root = root(error);
    let place = CodePosition { module: name.to_owned(), position: root.position() };
    Trace { message: message(root, known, in_function), place, entered: Vec::new() }
}
