//! Errors with file, line and caret.

mod message;
mod render;
mod source;
mod trace;

pub use source::{EvaluatedText, ScriptSource};

use rhai::{EvalAltResult, Position};

use self::render::render;
use self::source::{CodePosition, Located};
use self::trace::{Entered, Trace, innermost, root};
use super::{Painted, Session, check, engine, foreign_syntax};
use crate::visible::visible;

/// Why a script ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptFailure {
    /// The user asked to stop.
    Interrupted,
    /// The script is wrong, or something that it called.
    Error,
}

/// Lays an error out for a terminal.
pub fn report(error: &EvalAltResult, source: &ScriptSource, color: bool) -> (ScriptFailure, Painted) {
    if matches!(root(error), EvalAltResult::ErrorTerminated(..)) {
        return (ScriptFailure::Interrupted, Painted::plain("interrupted"));
    }
    let mut trace = innermost(error, source.known, "", false);
    if !matches!(root(error), EvalAltResult::ErrorParsing(..)) {
        let engine = engine(&Session::silent());
        source.settle(&mut trace.place, &engine);
        trace.entered.iter_mut().for_each(|entered| source.settle(&mut entered.from, &engine));
    }
    if trace.message.contains("arguments to function call") && source.around(&trace.place).1.starts_with(':')
    {
        trace.message = "options are a map, which is written with #{…}: f(#{name: value})".to_owned();
    } else if matches!(root(error), EvalAltResult::ErrorParsing(..)) {
        to_the_slip(&mut trace, source);
    }
    if matches!(root(error), EvalAltResult::ErrorRuntime(..)) {
        to_the_word(&mut trace, source);
    }
    let mut text = render(&trace.message, &trace.place, source, color);
    for Entered { how, what, from } in trace.entered {
        let Located { name, position, .. } = source.locate(&from);
        text += &visible(&format!("\n  {how} from {name}:{}{what}", position.line().unwrap_or(0)));
    }
    (ScriptFailure::Error, Painted::own(text))
}

/// What cannot be parsed may be another language's way of writing, or begin a line earlier.
fn to_the_slip(trace: &mut Trace, source: &ScriptSource) {
    let (before, from) = source.around(&trace.place);
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

/// A call that was wrong may be wrong in one of its options: where the look at the text finds the
/// same, its place is better.
fn to_the_word(trace: &mut Trace, source: &ScriptSource) {
    let Located { text, position, .. } = source.locate(&trace.place);
    let (Some(line), Some(whole)) = (position.line(), trace.place.position.line()) else { return };
    let found = check::check(&Session::silent(), text).unwrap_or_default();
    let here =
        found.into_iter().find(|finding| finding.message == trace.message && finding.position >= position);
    if let Some(finding) = here
        && let (Some(found), Some(column)) = (finding.position.line(), finding.position.position())
    {
        let before = whole - line;
        trace.place.position = Position::new((found + before) as u16, column as u16);
    }
}

/// Lays a finding of [`check`] out for a terminal, for a script that is one text.
pub fn report_finding(finding: &check::Finding, source: &ScriptSource, color: bool) -> Painted {
    let place = CodePosition { module: String::new(), position: finding.position };
    Painted::own(render(&finding.message, &place, source, color))
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
            &ScriptSource {
                inputs: &[EvaluatedText { name: "x.rhai".to_owned(), text: script.to_owned(), offset: 0 }],
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
            ("sgd(#{ momentum: linear() })", "momentum: expected a number from 0 to below 1, found a Model"),
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
