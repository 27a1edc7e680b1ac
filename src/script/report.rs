//! Errors with file, line and caret.

use std::collections::BTreeMap;

use ariadne::{Config, IndexType, Label, Report, ReportKind, Source as Text};
use rhai::{Dynamic, EvalAltResult, ParseErrorType, Position};

use super::convert::{describe, kind, readable};
use super::{Painted, foreign_syntax};
use crate::error::nearest;
use crate::visible::visible;

/// A text that was evaluated.
#[derive(Clone, Debug)]
pub struct Input {
    /// What errors call it: a path, or `<input 3>`.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Empty lines that were put before it when it was compiled, so that positions tell the inputs of a session apart.
    pub offset: usize,
}

/// A script with what it may use.
pub struct Source<'a> {
    /// What was evaluated, by offset: a script, or the inputs of a session.
    pub inputs: &'a [Input],
    /// The functions and variables that it may have meant.
    pub known: &'a [String],
    /// The modules that it imported: what errors call them, and their texts.
    pub modules: &'a BTreeMap<String, String>,
}

impl Source<'_> {
    /// Moves a place of what was compiled to where it is in the text.
    fn settle(&self, place: &mut Place, engine: &rhai::Engine) {
        let (_, text, position) = self.locate(place);
        let column = super::loops::original(engine, text, position).position();
        if let (Some(line), Some(column)) = (place.position.line(), column) {
            place.position = Position::new(line as u16, column as u16);
        }
    }

    /// What errors call the text at a place, the text, and the position in it.
    fn locate<'a>(&'a self, place: &'a Place) -> (&'a str, &'a str, Position) {
        if !place.name.is_empty() {
            let text = self.modules.get(&place.name).map_or("", String::as_str);
            return (&place.name, text, place.position);
        }
        let line = place.position.line().unwrap_or(0);
        let input = self.inputs.iter().rev().find(|input| input.offset < line).or(self.inputs.last());
        let Some(input) = input else { return ("<input>", "", Position::NONE) };
        let line = line.saturating_sub(input.offset);
        let position = match place.position.position() {
            _ if place.position.is_none() => Position::NONE,
            column => Position::new(line.max(1) as u16, column.unwrap_or(0) as u16),
        };
        (&input.name, &input.text, position)
    }
}

/// Where an error arose, and how the script got there.
struct Trace {
    message: String,
    place: Place,
    /// Functions and modules that were entered, innermost first.
    entered: Vec<Entered>,
}

/// How a function or a module was entered.
struct Entered {
    /// `called` or `imported`.
    how: &'static str,
    /// The function.
    what: String,
    from: Place,
}

/// A position in the script, whose name is empty, or in a module.
struct Place {
    name: String,
    position: Position,
}

/// Why a script ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The user asked to stop.
    Interrupted,
    /// The script is wrong, or something that it called.
    Error,
}

/// Lays an error out for a terminal.
pub fn report(error: &EvalAltResult, source: &Source, color: bool) -> (Failure, Painted) {
    if matches!(root(error), EvalAltResult::ErrorTerminated(..)) {
        return (Failure::Interrupted, Painted::plain("interrupted"));
    }
    let mut trace = innermost(error, source.known, "", false);
    if !matches!(root(error), EvalAltResult::ErrorParsing(..)) {
        let engine = super::engine(&super::Session::silent());
        source.settle(&mut trace.place, &engine);
        trace.entered.iter_mut().for_each(|entered| source.settle(&mut entered.from, &engine));
    }
    if trace.message.contains("arguments to function call") && at(&trace.place, source).1.starts_with(':') {
        trace.message = "options are a map, which is written with #{…}: f(#{name: value})".to_owned();
    } else if matches!(root(error), EvalAltResult::ErrorParsing(..)) {
        let (before, from) = at(&trace.place, source);
        let whole = before.trim_end();
        if let Some(advice) = foreign_syntax::hint_for_syntax(before, from) {
            trace.message = advice;
        } else if trace.message.starts_with("Expecting ';'") && before[whole.len()..].contains('\n') {
            // Where it is missing, rather than where that is noticed.
            trace.message = "a `;` is missing at the end of this line".to_owned();
            let lines = before[whole.len()..].matches('\n').count();
            let line = trace.place.position.line().unwrap_or(1).saturating_sub(lines).max(1);
            let column = whole.rsplit('\n').next().unwrap_or_default().chars().count();
            trace.place.position = Position::new(line as u16, column.max(1) as u16);
        }
    }
    if matches!(root(error), EvalAltResult::ErrorRuntime(..)) {
        to_the_word(&mut trace, source);
    }
    let mut text = render(&trace.message, &trace.place, source, color);
    for Entered { how, what, from } in trace.entered {
        let (name, _, position) = source.locate(&from);
        text += &visible(&format!("\n  {how} from {name}:{}{what}", position.line().unwrap_or(0)));
    }
    (Failure::Error, Painted::own(text))
}

/// A call that was wrong may be wrong in one of its options: where the look at the text finds the same, its place is better.
fn to_the_word(trace: &mut Trace, source: &Source) {
    let (_, text, position) = source.locate(&trace.place);
    let (Some(line), Some(whole)) = (position.line(), trace.place.position.line()) else { return };
    let found = super::check::check(&super::Session::silent(), text).unwrap_or_default();
    let here =
        found.into_iter().find(|finding| finding.message == trace.message && finding.position >= position);
    if let Some(finding) = here
        && let (Some(found), Some(column)) = (finding.position.line(), finding.position.position())
    {
        let before = whole - line;
        trace.place.position = Position::new((found + before) as u16, column as u16);
    }
}

/// Lays a finding of [`super::check`] out for a terminal, for a script that is one text.
pub fn report_finding(finding: &super::check::Finding, source: &Source, color: bool) -> Painted {
    let place = Place { name: String::new(), position: finding.position };
    Painted::own(render(&finding.message, &place, source, color))
}

fn root(error: &EvalAltResult) -> &EvalAltResult {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) | EvalAltResult::ErrorInModule(_, inner, _) => {
            root(inner)
        }
        error => error,
    }
}

/// The error's own message and place, and what it went through; `name` is the module that is looked at.
fn innermost(error: &EvalAltResult, known: &[String], name: &str, in_function: bool) -> Trace {
    let inside = |inner: &EvalAltResult, within: &str, how: &'static str, what: String, position| {
        let mut trace = innermost(inner, known, within, how == "called");
        let from = Place { name: name.to_owned(), position };
        if trace.place.position.is_none() {
            return Trace { place: from, ..trace };
        }
        trace.entered.push(Entered { how, what, from });
        trace
    };
    match error {
        EvalAltResult::ErrorInFunctionCall(function, within, inner, position) => {
            let what = if function.starts_with(super::modules::CLOSURE) {
                String::new()
            } else {
                format!(": {function}()")
            };
            return inside(inner, within, "called", what, *position);
        }
        EvalAltResult::ErrorInModule(module, inner, position) => {
            return inside(inner, module, "imported", String::new(), *position);
        }
        _ => {}
    }
    let root = root(error);
    let message = match root {
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
        EvalAltResult::ErrorVariableNotFound(name, _) => {
            // A variable of the script itself is known, and a function does not see it.
            let others = known.iter().map(String::as_str).filter(|known| known != name);
            let hint = match nearest(name, others) {
                _ if foreign_syntax::hint_for_name(name).is_some() && !known.contains(name) => {
                    format!("; {}", foreign_syntax::hint_for_name(name).unwrap_or_default())
                }
                // Of one letter are those of plots, and many a variable.
                _ if !in_function && name.len() > 1 && is_registered(name) => {
                    format!("; it is a function, which is written with brackets: {name}(…)")
                }
                _ if in_function && known.contains(name) => hand_over(name),
                Some(near) => format!("; did you mean `{near}`?"),
                None if in_function => hand_over(name),
                None => format!("; define it first: let {name} = …;"),
            };
            format!("unknown variable `{name}`{hint}")
        }
        EvalAltResult::ErrorFunctionNotFound(signature, _) => unknown_function(signature, known),
        EvalAltResult::ErrorIndexingType(text, _) => format!(
            "{} cannot be indexed so; arrays take a number, maps a text, tables a column's name or a row's number",
            text.split(" [").next().map(super::manual::type_name).unwrap_or_default()
        ),
        EvalAltResult::ErrorDotExpr(text, _) if text.contains("a getter is not registered") => property(text),
        other => {
            let mut bare = other.to_string();
            if let Some(cut) = bare.rfind(" (line ") {
                bare.truncate(cut);
            }
            bare
        }
    };
    Trace { message, place: Place { name: name.to_owned(), position: root.position() }, entered: Vec::new() }
}

/// Whether a value says no more of itself than Rust's name of its type.
fn is_unnamed(value: &Dynamic) -> bool {
    value.type_name().contains("::") && value.to_string() == value.type_name()
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
            let (said, kind) = (self::kind(kind), super::manual::type_name(kind));
            let engine = super::engine(&super::Session::silent());
            let methods = super::manual::functions(&engine).into_iter();
            let methods: Vec<String> = methods
                .filter(|method| method.parameters.first() == Some(&kind))
                .map(|method| method.name)
                .filter(|name| !name.starts_with("to_"))
                .collect();
            let own: Vec<String> = super::manual::properties(&engine)
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

/// What to write instead of a variable that a function does not see.
pub(super) fn hand_over(name: &str) -> String {
    format!("; a function sees its arguments only: hand it over, fn f({name}) {{ … }}")
}

/// `signature` is the call as Rhai saw it: `take (Dataset, f64)`.
fn unknown_function(signature: &str, known: &[String]) -> String {
    let (name, arguments) = signature.split_once(" (").unwrap_or((signature, ")"));
    let arguments = arguments.replace("&str | ImmutableString | String", "text");
    let types: Vec<String> =
        arguments.trim_end_matches(')').split(", ").map(super::manual::type_name).collect();
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
    let functions = super::manual::functions(&super::engine(&super::Session::silent()));
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
    !super::engine(&super::Session::silent()).collect_fn_metadata(None, is_it, false).is_empty()
}

/// The text up to a place, and from there on.
fn at<'a>(place: &'a Place, source: &'a Source) -> (&'a str, &'a str) {
    let (_, text, position) = source.locate(place);
    offset(position, text).map_or(("", ""), |start| text.split_at(start))
}

/// Bytes of a line that is shown as a whole, with a caret.
const WIDEST: usize = 400;

/// A message with its place, where all but kelvin's own colours is visible.
fn render(message: &str, place: &Place, source: &Source, color: bool) -> String {
    let (name, text, position) = source.locate(place);
    let message = readable(message.to_owned());
    let (name, message) = (&*visible(name), &*visible(&message));
    let Some(offset) = offset(position, text) else { return format!("error: {message}") };
    let line = text[..offset].rfind('\n').map_or(0, |end| end + 1);
    let length = text[line..].find('\n').unwrap_or(text.len() - line);
    if length > WIDEST {
        // Of what no screen holds, what is around the place.
        let before: Vec<char> = text[line..offset].chars().rev().take(WIDEST / 4).collect();
        let around: String =
            before.into_iter().rev().chain(text[offset..].chars().take(WIDEST / 4)).collect();
        let around = visible(around.lines().next().unwrap_or_default()).into_owned();
        let (line, column) = (position.line().unwrap_or(0), position.position().unwrap_or(0));
        return format!("error: {message}\n  {name}:{line}:{column}: … {around} …");
    }
    // The caret covers the word at the place of the error.
    let word = text[offset..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').count().max(1);
    let end = text[offset..].char_indices().nth(word).map_or(text.len(), |(at, _)| offset + at);
    // What stands before a place may be longer once it is visible.
    let (before, word, after) =
        (visible(&text[..offset]), visible(&text[offset..end]), visible(&text[end..]));
    let span = (name, before.len()..before.len() + word.len());
    let text = format!("{before}{word}{after}");
    let config = Config::default().with_color(color).with_index_type(IndexType::Byte);
    let mut out = Vec::new();
    let written = Report::build(ReportKind::Error, span.clone())
        .with_config(config)
        .with_message(message)
        .with_label(Label::new(span).with_message("here"))
        .finish()
        .write((name, Text::from(text)), &mut out);
    match written {
        Ok(()) => String::from_utf8_lossy(&out).trim_end().to_owned(),
        Err(_) => format!("error: {message} ({name}:{})", position.line().unwrap_or(0)),
    }
}

/// The byte at a position of a text.
fn offset(position: Position, text: &str) -> Option<usize> {
    let (line, column) = (position.line()?, position.position().unwrap_or(1));
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let line = text[start..].split('\n').next()?;
    let byte = line.char_indices().nth(column - 1).map_or(line.len(), |(at, _)| at);
    // What ends too early is shown at its last character.
    let last = text.trim_end().char_indices().next_back().map_or(0, |(at, _)| at);
    Some((start + byte).min(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(script: &str) -> String {
        let session = crate::script::Session::silent();
        let engine = crate::script::engine(&session);
        let error = crate::script::evaluate(&engine, &mut rhai::Scope::new(), script).unwrap_err();
        report(
            &error,
            &Source {
                inputs: &[Input { name: "x.rhai".to_owned(), text: script.to_owned(), offset: 0 }],
                known: &crate::script::function_names(&engine),
                modules: &session.modules(),
            },
            false,
        )
        .1
        .as_str()
        .to_owned()
    }

    #[test]
    fn an_error_has_file_line_and_caret() {
        let text = message("let a = 1;\nlet b = resnet(#{ widht: 4 });\n");
        assert!(text.contains("did you mean `width`?"), "{text}");
        assert!(text.contains("x.rhai:2:19"), "{text}");
        assert!(text.contains("──┬──"), "{text}");
    }

    #[test]
    fn a_slip_in_a_name_finds_it() {
        assert!(message("digit()").contains("did you mean `digits`?"), "{}", message("digit()"));
        assert!(
            message("sweep(3)").contains(
                "`sweep` does not take (integer); expected sweep(options: array) or sweep(options: map); help"
            ),
            "{}",
            message("sweep(3)")
        );
        let text = message("digits().take(\"x\")");
        assert!(text.contains("`take` does not take (Dataset, text); expected take("), "{text}");
        let text = message("table([]).len()");
        assert!(text.contains("unknown function `len`; it is a property") && text.contains(".len"), "{text}");
        let text = message("table([#{ abc: 1 }]).abd");
        assert!(text.contains("no column `abd`; did you mean `abc`?"), "{text}");
        let text = message("digits().sample(#{ sed: 1 })");
        assert!(text.contains("sample: unknown option `sed`; did you mean `seed`?"), "{text}");
        let text = message("digits().take(-3)");
        assert!(text.contains("take(n): expected an integer ≥ 0, found the integer -3"), "{text}");
        assert!(!message("print(a1)").contains("arguments"), "{}", message("print(a1)"));
        for (script, wanted) in [
            ("sgd(#{ momentum: linear() })", "momentum: expected a number, found a Model"),
            ("let s = digits(); while s {}", "expected true or false, found a Dataset"),
            ("[1][digits()]", "expected an integer, found a Dataset"),
            ("throw digits()", "the script threw a Dataset"),
            ("table([digits()])", "expected an array of maps, found in it a Dataset"),
            ("table(#{ a: [sgd()] })", "column `a` holds an Optimizer, expected"),
        ] {
            let text = message(script);
            assert!(text.contains(wanted) && !text.contains("kelvin::"), "{script}: {text}");
        }
        let text = message("let m = linear;");
        assert!(text.contains("it is a function, which is written with brackets: linear(…)"), "{text}");
        let text = message("resnet(width: 2)");
        assert!(text.contains("options are a map, which is written with #{…}"), "{text}");
        assert!(message("let n = 3; fn f() { n } f()").contains("fn f(n)"));
    }

    #[test]
    fn an_error_in_a_function_names_its_callers() {
        let text = message("fn f(n) {\n  digits().take(n)\n}\nf(0)");
        assert!(text.contains("x.rhai:2:") && text.contains("called from x.rhai:4: f()"), "{text}");
    }
}
