//! A message with its place in the text, for a terminal.

use ariadne::{Config, IndexType, Label, Report, ReportKind, Source as Text};

use super::source::{CodePosition, Located, ScriptSource};
use crate::script::convert::readable;
use crate::visible::visible;

/// Bytes of a line that is shown as a whole, with a caret.
const WIDEST: usize = 400;

/// A message with its place, where all but kelvin's own colours is visible.
pub fn render(message: &str, place: &CodePosition, source: &ScriptSource, color: bool) -> String {
    let located = source.locate(place);
    let Located { name, text, position } = located;
    let message = readable(message.to_owned());
    let (name, message) = (&*visible(name), &*visible(&message));
    let Some(offset) = located.offset() else { return format!("error: {message}") };
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
