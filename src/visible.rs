//! Text as a terminal may be given it. Names, messages and scripts come from files and machines of
//! others; what would act on the terminal, or be there without being seen, is shown as an escape.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character does something to a terminal, or to the order of what is read, or is not
/// seen: controls (C0 but for the line's end and the tab, DEL, C1), bidirectional marks, what has
/// no width, separators of lines, tags.
pub(crate) fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        c if c.is_control() => true,
        // Soft hyphen, Arabic letter mark, Mongolian vowel separator, byte-order mark.
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' => true,
        // No width and marks of direction; separators of lines, embeddings, overrides; invisible
        // operators, isolates.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        // Annotations and tags.
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// Appends a character as it can be seen: `\x1b`, `\u{202e}`, or itself.
pub(crate) fn push_visible(text: &mut String, c: char) {
    // Writing to a string cannot fail.
    let _ = match c {
        c if !is_hidden(c) => text.write_char(c),
        c if c.is_ascii() => write!(text, "\\x{:02x}", u32::from(c)),
        c => write!(text, "\\u{{{:x}}}", u32::from(c)),
    };
}

/// A text with what is hidden in it shown as escapes; a carriage return that belongs to a line's
/// end goes.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if !(c == '\r' && rest.peek() == Some(&'\n')) {
            push_visible(&mut out, c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown() {
        for (text, wanted) in [
            ("a\x1b]0;pwn\x07b", "a\\x1b]0;pwn\\x07b"),
            ("\x1b[2J\u{9b}2J\x7f\0\x08\x0c", "\\x1b[2J\\u{9b}2J\\x7f\\x00\\x08\\x0c"),
            ("good\rbad", "good\\x0dbad"),
            (
                "a\u{202e}b\u{2066}c\u{200b}d\u{2028}e\u{feff}",
                "a\\u{202e}b\\u{2066}c\\u{200b}d\\u{2028}e\\u{feff}",
            ),
            ("tag\u{e0041}", "tag\\u{e0041}"),
        ] {
            assert_eq!(visible(text), wanted);
        }
    }

    #[test]
    fn what_can_be_read_stays() {
        for text in ["", "a\n\tb", "σ²β ≤ 日本語 e\u{301} عربي 🙂", "\\x1b"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert_eq!(visible("a\r\nb\r\n"), "a\nb\n");
    }
}
