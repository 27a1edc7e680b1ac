//! The words of an input as it is typed: what is complete, what is coloured, what stands before the
//! cursor.

use std::ops::Range;

/// A word's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shell) enum Kind {
    /// A name.
    Name,
    /// A word of the language.
    Keyword,
    /// A number.
    Number,
    /// A text in quotes; whether it ends.
    Text(bool),
    /// A comment; whether it ends.
    Comment(bool),
    /// An opening bracket.
    Open,
    /// A closing bracket.
    Close,
    /// Any other sign.
    Sign,
}

/// A word with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::shell) struct Token {
    pub kind: Kind,
    pub range: Range<usize>,
}

/// Rhai's words.
pub(in crate::shell) const KEYWORDS: [&str; 34] = [
    "as",
    "break",
    "case",
    "catch",
    "const",
    "continue",
    "default",
    "do",
    "else",
    "export",
    "false",
    "fn",
    "for",
    "global",
    "if",
    "import",
    "in",
    "is_shared",
    "let",
    "loop",
    "private",
    "return",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "type_of",
    "until",
    "while",
    "eval",
    "Fn",
    "curry",
    "call",
];

/// The words of an input; space between them is left out.
pub(in crate::shell) fn tokens(input: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(first) = input[start..].chars().next() {
        let (kind, length) = token(&input[start..], first);
        if let Some(kind) = kind {
            found.push(Token { kind, range: start..start + length });
        }
        start += length;
    }
    found
}

/// The kind and length of the word at the beginning of a text; no kind: space.
fn token(rest: &str, first: char) -> (Option<Kind>, usize) {
    let while_true = |is: &dyn Fn(char) -> bool| rest.find(|c: char| !is(c)).unwrap_or(rest.len());
    if first.is_whitespace() {
        return (None, while_true(&char::is_whitespace));
    }
    if first.is_alphabetic() || first == '_' {
        let length = while_true(&|c| c.is_alphanumeric() || c == '_');
        let kind = if KEYWORDS.contains(&&rest[..length]) { Kind::Keyword } else { Kind::Name };
        return (Some(kind), length);
    }
    if first.is_ascii_digit() {
        return (Some(Kind::Number), number(rest));
    }
    if let Some((length, ends)) = comment(rest) {
        return (Some(Kind::Comment(ends)), length);
    }
    match first {
        '"' | '\'' | '`' => {
            let (length, ends) = text(rest, first);
            (Some(Kind::Text(ends)), length)
        }
        '(' | '[' | '{' => (Some(Kind::Open), 1),
        ')' | ']' | '}' => (Some(Kind::Close), 1),
        _ => (Some(Kind::Sign), first.len_utf8()),
    }
}

/// `1`, `0x1f`, `2.5e-3`; the dots of a range are none of it.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut length = 0;
    while let Some(&byte) = bytes.get(length) {
        let next = bytes.get(length + 1);
        let in_number = byte.is_ascii_alphanumeric()
            || byte == b'_'
            || (byte == b'.' && next.is_some_and(u8::is_ascii_digit))
            || (matches!(byte, b'-' | b'+')
                && matches!(bytes[length - 1], b'e' | b'E')
                && !rest.starts_with("0x"));
        if !in_number {
            break;
        }
        length += 1;
    }
    length
}

/// The length of a comment, and whether it ends.
fn comment(rest: &str) -> Option<(usize, bool)> {
    if rest.starts_with("//") {
        return Some((rest.find('\n').unwrap_or(rest.len()), true));
    }
    let inner = rest.strip_prefix("/*")?;
    // Comments may stand in comments.
    let (mut depth, mut at) = (1, 0);
    while depth > 0 {
        let (open, close) = (inner[at..].find("/*"), inner[at..].find("*/"));
        match (open, close) {
            (_, None) => return Some((rest.len(), false)),
            (Some(open), Some(close)) if open < close => {
                depth += 1;
                at += open + 2;
            }
            (_, Some(close)) => {
                depth -= 1;
                at += close + 2;
            }
        }
    }
    Some((2 + at, true))
}

/// The length of a text in quotes, and whether it ends.
fn text(rest: &str, quote: char) -> (usize, bool) {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote != '`' => {
                chars.next();
            }
            // Only texts in back ticks go over several lines.
            '\n' if quote != '`' => return (at, false),
            c if c == quote => return (at + 1, true),
            _ => {}
        }
    }
    (rest.len(), false)
}

/// Whether an input has brackets, a text or a comment that it does not close.
pub(in crate::shell) fn is_open(input: &str) -> bool {
    let mut depth = 0;
    for Token { kind, range } in tokens(input) {
        match kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            Kind::Comment(false) => return true,
            Kind::Text(false) if input[range].starts_with('`') => return true,
            // It will not end, whatever follows: the error says so.
            Kind::Text(false) => return false,
            _ => {}
        }
    }
    depth > 0 || asks_for_more(input)
}

/// Whether the last word of an input is a semicolon.
pub(in crate::shell) fn ends_with_semicolon(input: &str) -> bool {
    let words = tokens(input);
    let last = words.iter().rev().find(|word| !matches!(word.kind, Kind::Comment(_)));
    last.is_some_and(|word| &input[word.range.clone()] == ";")
}

/// Whether an input ends with an operator, whose right side is still to come. An empty line says
/// that it is not.
fn asks_for_more(input: &str) -> bool {
    let words = tokens(input);
    let last = words.iter().rev().find(|word| !matches!(word.kind, Kind::Comment(_)));
    let more = last
        .is_some_and(|word| word.kind == Kind::Sign && "+-*/%=<>&|,.".contains(&input[word.range.clone()]));
    more && !input.ends_with("\n\n") && !input.trim().ends_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_inputs_ask_for_more() {
        for open in [
            "sweep(#{",
            "fn f() {\n 1",
            "let s = `a",
            "/* x",
            "/* /* */",
            "[1, // )\n",
            "f(\n\"a\",",
            "let y = x +",
            "a &&",
        ] {
            assert!(is_open(open), "{open}");
        }
        for closed in [
            "1 + 1",
            "let y = x +\n\n",
            "0..",
            "\"(\"",
            "'('",
            "f(\"\\\"(\")",
            "// (",
            "/* ( */ 1",
            "}",
            "(\"a",
            "/* /* */ */",
        ] {
            assert!(!is_open(closed), "{closed}");
        }
    }

    #[test]
    fn words_have_kinds() {
        let input = "let x = runs.filter(\"batch = 8\") // näch\n1..=4 2.5e-3 `a${b}`";
        let found: Vec<(Kind, &str)> =
            tokens(input).into_iter().map(|token| (token.kind, &input[token.range])).collect();
        let wanted = [
            (Kind::Keyword, "let"),
            (Kind::Name, "x"),
            (Kind::Sign, "="),
            (Kind::Name, "runs"),
            (Kind::Sign, "."),
            (Kind::Name, "filter"),
            (Kind::Open, "("),
            (Kind::Text(true), "\"batch = 8\""),
            (Kind::Close, ")"),
            (Kind::Comment(true), "// näch"),
            (Kind::Number, "1"),
            (Kind::Sign, "."),
            (Kind::Sign, "."),
            (Kind::Sign, "="),
            (Kind::Number, "4"),
            (Kind::Number, "2.5e-3"),
            (Kind::Text(true), "`a${b}`"),
        ];
        assert_eq!(found, wanted);
    }
}
