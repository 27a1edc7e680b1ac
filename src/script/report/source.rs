//! The texts that errors point into.

use std::collections::BTreeMap;

use rhai::{Engine, Position};

use crate::script::loops;

/// A text that was evaluated.
#[derive(Clone, Debug)]
pub struct EvaluatedText {
    /// What errors call it: a path, or `<input 3>`.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Empty lines that were put before it when it was compiled, so that positions tell the inputs
    /// of a session apart.
    pub offset: usize,
}

/// A script with what it may use.
pub struct ScriptSource<'a> {
    /// What was evaluated, by offset: a script, or the inputs of a session.
    pub inputs: &'a [EvaluatedText],
    /// The functions and variables that it may have meant.
    pub known: &'a [String],
    /// The modules that it imported: what errors call them, and their texts.
    pub modules: &'a BTreeMap<String, String>,
}

/// A position in the script, whose module's name is empty, or in a module.
pub struct CodePosition {
    pub module: String,
    pub position: Position,
}

impl ScriptSource<'_> {
    /// Moves a place of what was compiled to where it is in the text.
    pub(super) fn settle(&self, place: &mut CodePosition, engine: &Engine) {
        let Located { text, position, .. } = self.locate(place);
        let column = loops::original(engine, text, position).position();
        if let (Some(line), Some(column)) = (place.position.line(), column) {
            place.position = Position::new(line as u16, column as u16);
        }
    }

    /// Where a place is in its text.
    pub(super) fn locate<'a>(&'a self, place: &'a CodePosition) -> Located<'a> {
        if !place.module.is_empty() {
            let text = self.modules.get(&place.module).map_or("", String::as_str);
            return Located { name: &place.module, text, position: place.position };
        }
        let line = place.position.line().unwrap_or(0);
        let input = self.inputs.iter().rev().find(|input| input.offset < line).or(self.inputs.last());
        let Some(input) = input else {
            return Located { name: "<input>", text: "", position: Position::NONE };
        };
        let line = line.saturating_sub(input.offset);
        let position = match place.position.position() {
            _ if place.position.is_none() => Position::NONE,
            column => Position::new(line.max(1) as u16, column.unwrap_or(0) as u16),
        };
        Located { name: &input.name, text: &input.text, position }
    }

    /// The text up to a place, and from there on.
    pub(super) fn around<'a>(&'a self, place: &'a CodePosition) -> (&'a str, &'a str) {
        let located = self.locate(place);
        located.offset().map_or(("", ""), |start| located.text.split_at(start))
    }
}

/// A place in a text.
pub struct Located<'a> {
    /// What errors call the text.
    pub name: &'a str,
    pub text: &'a str,
    /// The position in it.
    pub position: Position,
}

impl Located<'_> {
    /// The byte of the text at which it is.
    pub fn offset(&self) -> Option<usize> {
        let Self { text, position, .. } = *self;
        let (line, column) = (position.line()?, position.position().unwrap_or(1));
        let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let line = text[start..].split('\n').next()?;
        let byte = line.char_indices().nth(column - 1).map_or(line.len(), |(at, _)| at);
        // What ends too early is shown at its last character.
        let last = text.trim_end().char_indices().next_back().map_or(0, |(at, _)| at);
        Some((start + byte).min(last))
    }
}
