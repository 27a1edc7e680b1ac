//! What went wrong, in words: what was expected, what was found, what to write instead.

use rhai::{Dynamic, EvalAltResult, ParseErrorType};

use crate::error::nearest;
use crate::script::convert::describe;
use crate::script::foreign_syntax::{self, hand_over};
use crate::script::types::{kind, type_name};
use crate::script::{Session, engine, manual};

/// The message of an error; `known` are the functions and variables that may have been meant.
pub fn message(error: &EvalAltResult, known: &[String], in_function: bool) -> String {
    match error {
        EvalAltResult::ErrorRuntime(value, _) if is_unnamed(value) => {
            format!("the script threw {}", describe(value))
        }
        EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
        EvalAltResult::ErrorMismatchDataType(wanted, found, _)
        | EvalAltResult::ErrorMismatchOutputType(wanted, found, _) => {
            format!("expected {}, found {}", kind(wanted), kind(found))
        }
        EvalAltResult::ErrorParsing(kind, _) => match kind {
            ParseErrorType::ExprTooDeep => {
                "this is deeper than an expression may be; give a part of it a name before: let part = …;"
                    .to_owned()
            }
            ParseErrorType::MissingToken(..) => format!("{kind}; what is open before it goes on until here"),
            kind => kind.to_string(),
        },
        EvalAltResult::ErrorArithmetic(text, _) if text.starts_with("Division by zero") => {
            "an integer was divided by 0; make the divisor something else, or a number: 1.0 / 0.0 is inf"
                .to_owned()
        }
        EvalAltResult::ErrorVariableNotFound(name, _) => unknown_variable(name, known, in_function),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => unknown_function(signature, known),
        EvalAltResult::ErrorIndexingType(text, _) => format!(
            "{} cannot be indexed so; arrays take a number, maps a text, tables a column's name or a row's number",
            text.split(" [").next().map(type_name).unwrap_or_default()
        ),
        EvalAltResult::ErrorDotExpr(text, _) if text.contains("a getter is not registered") => property(text),
        other => {
            let mut bare = other.to_string();
            if let Some(cut) = bare.rfind(" (line ") {
                bare.truncate(cut);
            }
            bare
        }
    }
}

/// Whether a value says no more of itself than Rust's name of its type.
fn is_unnamed(value: &Dynamic) -> bool {
    value.type_name().contains("::") && value.to_string() == value.type_name()
}

/// What is said of a variable that is not there.
fn unknown_variable(name: &str, known: &[String], in_function: bool) -> String {
    // A variable of the script itself is known, and a function does not see it.
    let is_known = known.iter().any(|known| known == name);
    let others = known.iter().map(String::as_str).filter(|known| *known != name);
    let hint = match nearest(name, others) {
        _ if foreign_syntax::hint_for_name(name).is_some() && !is_known => {
            format!("; {}", foreign_syntax::hint_for_name(name).unwrap_or_default())
        }
        // Of one letter are those of plots, and many a variable.
        _ if !in_function && name.len() > 1 && is_registered(name) => {
            format!("; it is a function, which is written with brackets: {name}(…)")
        }
        _ if in_function && is_known => hand_over(name),
        Some(near) => format!("; did you mean `{near}`?"),
        None if in_function => hand_over(name),
        None => format!("; define it first: let {name} = …;"),
    };
    format!("unknown variable `{name}`{hint}")
}

/// `text` is Rhai's: `Unknown property 'a' - a getter is not registered for type 'Table'`.
fn property(text: &str) -> String {
    match text.split('\'').collect::<Vec<_>>()[..] {
        [_, name, _, "()", ..] => {
            format!(
                "what stands before .{name} is nothing, (): a map has no such key, or a call gives nothing"
            )
        }
        [_, name, _, kind, ..] => {
            let (said, kind) = (self::kind(kind), type_name(kind));
            let engine = engine(&Session::silent());
            let methods = manual::functions(&engine).into_iter();
            let methods: Vec<String> = methods
                .filter(|method| method.parameters.first() == Some(&kind))
                .map(|method| method.name)
                .filter(|name| !name.starts_with("to_"))
                .collect();
            let own: Vec<String> = manual::properties(&engine)
                .into_iter()
                .filter(|property| property.of == kind)
                .map(|property| property.name)
                .collect();
            let hint = match nearest(name, own.iter().map(String::as_str)) {
                // Of Rhai's own types this list knows nothing.
                _ if methods.iter().any(|method| method == name) || own.is_empty() => {
                    format!("methods are written with brackets: .{name}()")
                }
                Some(near) => format!("did you mean .{near}?"),
                None => {
                    let methods = methods.iter().map(|method| format!("{method}()"));
                    let mut all: Vec<String> = own.iter().cloned().chain(methods).collect();
                    all.dedup();
                    format!("it has {}", all.join(", "))
                }
            };
            format!("{said} has no property `{name}`; {hint}")
        }
        _ => text.to_owned(),
    }
}

/// `signature` is the call as Rhai saw it: `take (Dataset, f64)`.
fn unknown_function(signature: &str, known: &[String]) -> String {
    let (name, arguments) = signature.split_once(" (").unwrap_or((signature, ")"));
    let arguments = arguments.replace("&str | ImmutableString | String", "text");
    let types: Vec<String> = arguments.trim_end_matches(')').split(", ").map(type_name).collect();
    let arguments = format!("{})", types.join(", "));
    let is_known = known.iter().any(|known| known == name);
    // Those that the script itself defines are not in the list, but the language has `range`, too.
    let is_known = is_known || (name == "range" && types.len() > 1);
    if let Some(advice) = foreign_syntax::hint_for_call(name, &types).filter(|_| !is_known || name == "print")
    {
        return advice;
    }
    let own = |name: &str| known.iter().any(|known| known == name);
    if own(name) && !name.contains("::") && !is_registered(name) {
        return format!("`{name}` is a variable; the function that it holds is called with {name}.call(…)");
    }
    if let Some((module, function)) = name.split_once("::").filter(|_| !own(name)) {
        let of_module = known.iter().filter_map(|known| known.strip_prefix(module)?.strip_prefix("::"));
        let hint = match nearest(function, of_module) {
            Some(near) => format!("did you mean `{module}::{near}`?"),
            None => format!("?{module} lists what it has"),
        };
        return format!("the module `{module}` has no function {function}({arguments}; {hint}");
    }
    if let Some(of_lab) = Some(format!("lab::{name}")).filter(|of_lab| !own(name) && own(of_lab)) {
        return format!(
            "unknown function `{name}`; it is written {of_lab}(…), with the problem as its first argument"
        );
    }
    if known.iter().any(|known| known == name) {
        let forms = forms(name);
        let forms =
            if forms.is_empty() { String::new() } else { format!("; expected {}", forms.join(" or ")) };
        return format!("`{name}` does not take ({arguments}{forms}; help(\"{name}\") says more");
    }
    if is_property(name) {
        return format!(
            "unknown function `{name}`; it is a property, which is written without brackets: .{name}"
        );
    }
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("unknown function `{name}`; did you mean `{near}`?"),
        None => format!("unknown function {name}({arguments}; help() lists the functions"),
    }
}

/// The ways to call a function, where they are few enough to be read in an error.
fn forms(name: &str) -> Vec<String> {
    const MOST: usize = 4;
    let functions = manual::functions(&engine(&Session::silent()));
    let own = functions.into_iter().filter(|function| function.name == name);
    // Without what it gives.
    let forms: Vec<String> =
        own.map(|function| function.signature.split(" -> ").next().unwrap_or_default().to_owned()).collect();
    if forms.len() > MOST { Vec::new() } else { forms }
}

/// Whether some value has a property of this name.
fn is_property(name: &str) -> bool {
    is_registered(&format!("get${name}"))
}

/// Whether there is a native function of this name.
fn is_registered(name: &str) -> bool {
    let is_it = |info: rhai::FuncInfo| (info.metadata.name == name).then_some(());
    !engine(&Session::silent()).collect_fn_metadata(None, is_it, false).is_empty()
}
