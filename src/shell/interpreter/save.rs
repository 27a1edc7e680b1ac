//! The inputs of a session as a script that runs: `:save`.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::Interpreter;
use super::syntax::{Kind, Token, ends_with_semicolon, tokens};
use crate::error::{Error, Result};
use crate::script::check;
use crate::sweep::time_text;

/// How such a script begins.
pub(super) const SAVED: &str = "// Saved from the prompt of kelvin";

/// A script, and what it is made of.
pub(super) struct Saved {
    /// The script.
    pub text: String,
    /// How many inputs are in it.
    pub inputs: usize,
    /// The inputs that are not, because they use what is not there, or end the script.
    pub left_out: Vec<String>,
}

/// An input that succeeded.
#[derive(Clone)]
struct SavedInput<'a> {
    text: &'a str,
    words: Vec<Token>,
    /// The functions that it defines: name and number of arguments.
    functions: Vec<(String, usize)>,
    /// Whether it does nothing else.
    only_functions: bool,
}

impl<'a> SavedInput<'a> {
    fn new(shell: &Interpreter, text: &'a str) -> Self {
        let ast = shell.engine.compile(text).ok();
        let functions = ast.iter().flat_map(|ast| ast.iter_functions());
        let functions: Vec<(String, usize)> = functions
            .filter(|function| !function.name.starts_with("anon$"))
            .map(|function| (function.name.to_owned(), function.params.len()))
            .collect();
        let only_functions = !functions.is_empty() && ast.is_some_and(|ast| ast.statements().is_empty());
        Self { text: text.trim_end(), words: tokens(text), functions, only_functions }
    }

    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", |word| &self.text[word.range.clone()])
    }

    /// Whether it calls a function.
    fn calls(&self, name: &str) -> bool {
        (0..self.words.len()).any(|at| self.word(at) == name && self.word(at + 1) == "(")
    }

    /// Whether it would end a script.
    fn returns(&self) -> bool {
        let mut depth = 0;
        self.words.iter().enumerate().any(|(at, word)| {
            match word.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                _ => {}
            }
            depth == 0 && self.word(at) == "return"
        })
    }
}

/// The script of these inputs.
///
/// # Errors
///
/// Where a script cannot do what the session did, or nothing is left.
pub(super) fn script(shell: &Interpreter, inputs: &[&str]) -> Result<Saved> {
    let parts: Vec<SavedInput> = inputs.iter().map(|input| SavedInput::new(shell, input)).collect();
    let parts = defined_once(parts)?;
    let runs = |parts: &[SavedInput]| {
        check::unknown_variables(&shell.session, &text_of(shell, parts))
            .is_ok_and(|unknown| unknown.is_empty())
    };
    let (mut kept, mut left_out): (Vec<SavedInput>, Vec<String>) = (Vec::new(), Vec::new());
    let returning = parts.iter().any(SavedInput::returns);
    if !returning && runs(&parts) {
        kept = parts;
    } else {
        // Variables of an input that failed half way are there, and in the script they are not:
        // what uses them is left out.
        for part in parts {
            kept.push(part);
            if kept.last().is_some_and(SavedInput::returns) || !runs(&kept) {
                left_out
                    .extend(kept.pop().map(|part| part.text.lines().next().unwrap_or_default().to_owned()));
            }
        }
    }
    if kept.is_empty() {
        return Err(Error::invalid(":save: no input would run alone"));
    }
    Ok(Saved { text: text_of(shell, &kept), inputs: kept.len(), left_out })
}

/// Leaves definitions out that others took the place of. A script knows one definition only, from
/// its beginning on.
fn defined_once(parts: Vec<SavedInput>) -> Result<Vec<SavedInput>> {
    let mut gone = BTreeSet::new();
    for (at, part) in parts.iter().enumerate() {
        for function in &part.functions {
            let again = parts[at + 1..].iter().position(|later| later.functions.contains(function));
            let Some(again) = again.map(|again| at + 1 + again) else { continue };
            if parts[at..again].iter().any(|between| !between.only_functions && between.calls(&function.0)) {
                return Err(Error::invalid(format!(
                    ":save: `{}` was used and then defined anew, and a script has one definition; give the second another name",
                    function.0
                )));
            }
            if part.only_functions && part.functions.len() == 1 {
                gone.insert(at);
            }
        }
    }
    let kept = parts.into_iter().enumerate().filter(|(at, _)| !gone.contains(at));
    Ok(kept.map(|(_, part)| part).collect())
}

fn text_of(shell: &Interpreter, parts: &[SavedInput]) -> String {
    let date = time_text(SystemTime::now());
    let mut text = format!("{SAVED}, {}.\n", date.split_whitespace().next().unwrap_or(&date));
    let uses_ans = parts.iter().any(|part| {
        part.words.iter().any(|word| word.kind == Kind::Name && &part.text[word.range.clone()] == "ans")
    });
    for part in parts {
        let is_expression = shell.engine.compile_expression(part.text).is_ok();
        if uses_ans && is_expression {
            text += "let ans = ";
        }
        text += part.text;
        if !part.only_functions && !ends_with_semicolon(part.text) {
            // A comment at the end would swallow it.
            let comment = part.words.last().is_some_and(|word| matches!(word.kind, Kind::Comment(_)));
            text += if comment { "\n;" } else { ";" };
        }
        text += "\n";
    }
    text
}
