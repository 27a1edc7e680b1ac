//! What the line editor asks while a line is typed: completion, colours, hints, whether it is
//! complete.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::shell::interpreter::commands::is_command;
use crate::shell::interpreter::complete::{Known, complete};
use crate::shell::interpreter::syntax::{Kind, is_open, tokens};
use crate::visible::is_hidden;

/// The helper of the line editor.
#[derive(Helper)]
pub(super) struct LineHelper {
    /// What completion knows; it changes with every input.
    pub known: Rc<RefCell<Known>>,
    /// Whether words have colours.
    pub color: bool,
    hinter: HistoryHinter,
}

impl LineHelper {
    pub fn new(known: Rc<RefCell<Known>>, color: bool) -> Self {
        Self { known, color, hinter: HistoryHinter::new() }
    }
}

impl Completer for LineHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let pair = |name: String| Pair { display: name.clone(), replacement: name };
        let found = complete(&line[..position], &self.known.borrow());
        Ok((found.start, found.candidates.into_iter().map(pair).collect()))
    }
}

/// ANSI codes of a word's kind; `called` says that a bracket follows.
fn style(kind: Kind, called: bool) -> Option<&'static str> {
    Some(match kind {
        Kind::Keyword => "35",
        Kind::Text(_) => "32",
        Kind::Number => "36",
        Kind::Comment(_) => "90",
        Kind::Name if called => "34",
        _ => return None,
    })
}

/// Bytes of a line that is coloured while it is typed.
const LONG: usize = 4096;

/// A line as it is edited, without what is hidden: the line editor gives that no width, so that an
/// escape would push the cursor off its place. What becomes of the line shows it.
fn seen(line: &str) -> Cow<'_, str> {
    match line.chars().any(is_hidden) {
        true => Cow::Owned(line.chars().filter(|&c| !is_hidden(c)).collect()),
        false => Cow::Borrowed(line),
    }
}

/// The brackets that belong to each other at the cursor: on one, or just behind one.
fn matching(line: &str, position: usize) -> Option<(usize, usize)> {
    let words = tokens(line);
    let mut open = Vec::new();
    let mut pairs = Vec::new();
    for word in &words {
        match word.kind {
            Kind::Open => open.push(word.range.start),
            Kind::Close => pairs.extend(open.pop().map(|start| (start, word.range.start))),
            _ => {}
        }
    }
    let at = |place: usize| pairs.iter().copied().find(|(start, end)| *start == place || *end == place);
    at(position).or_else(|| position.checked_sub(1).and_then(at))
}

impl Highlighter for LineHelper {
    fn highlight<'l>(&self, line: &'l str, position: usize) -> Cow<'l, str> {
        if !self.color || is_command(line) || line.len() > LONG {
            return seen(line);
        }
        let words = tokens(line);
        let pair = matching(line, position);
        let mut out = String::with_capacity(2 * line.len());
        let mut end = 0;
        for (at, word) in words.iter().enumerate() {
            let text = &*seen(&line[word.range.clone()]);
            out += &seen(&line[end..word.range.start]);
            end = word.range.end;
            let called = words.get(at + 1).is_some_and(|next| &line[next.range.clone()] == "(");
            let style = match pair {
                Some((open, close)) if word.range.start == open || word.range.start == close => Some("1;33"),
                _ => style(word.kind, called),
            };
            match style {
                Some(style) => out += &format!("\x1b[{style}m{text}\x1b[0m"),
                None => out += text,
            }
        }
        out += &seen(&line[end..]);
        Cow::Owned(out)
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.color { Cow::Owned(format!("\x1b[90m{hint}\x1b[0m")) } else { Cow::Borrowed(hint) }
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        // A search shows in it what is searched for.
        seen(prompt)
    }

    fn highlight_char(&self, line: &str, position: usize, _: CmdKind) -> bool {
        let typed = || line.get(..position).and_then(|before| before.chars().next_back());
        (self.color && line.len() <= LONG) || typed().is_some_and(is_hidden)
    }
}

impl Hinter for LineHelper {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, context: &Context<'_>) -> Option<String> {
        // Without colours a hint cannot be told from what was typed.
        if !self.color || line.len() > LONG || line.contains('\n') {
            return None;
        }
        let hint = self.hinter.hint(line, position, context)?;
        // Of a block, its first line; what it holds is typed as it is seen.
        let fits = |hint: &&str| !hint.is_empty() && hint.len() <= LONG && !hint.chars().any(is_hidden);
        hint.lines().next().filter(fits).map(str::to_owned)
    }
}

impl Validator for LineHelper {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        Ok(if !is_command(input) && is_open(input) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_find_their_partners() {
        assert_eq!(matching("f(a[1])", 1), Some((1, 6)));
        assert_eq!(matching("f(a[1])", 7), Some((1, 6)));
        assert_eq!(matching("f(a[1])", 5), Some((3, 5)));
        assert_eq!(matching("f(\")\"", 1), None);
    }
}
