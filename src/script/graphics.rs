//! Pictures in terminals that can show them: the Kitty and the iTerm2 protocol.
//!
//! The terminal's own variables tell which one it knows; `KELVIN_GRAPHICS` (kitty, iterm2, none) overrules them.

use std::io::IsTerminal;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// How a terminal wants its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// <https://sw.kovidgoyal.net/kitty/graphics-protocol/>
    Kitty,
    /// <https://iterm2.com/documentation-images.html>
    Iterm2,
}

/// The protocol of the terminal that standard output is; none: it shows characters only.
pub(super) fn protocol() -> Option<Protocol> {
    std::io::stdout().is_terminal().then(|| chosen(&|name| std::env::var(name).ok())).flatten()
}

fn chosen(variable: &dyn Fn(&str) -> Option<String>) -> Option<Protocol> {
    if let Some(asked) = variable("KELVIN_GRAPHICS") {
        return match asked.as_str() {
            "kitty" => Some(Protocol::Kitty),
            "iterm2" => Some(Protocol::Iterm2),
            _ => None,
        };
    }
    // A multiplexer between the program and the terminal passes neither on.
    if variable("TMUX").is_some() || variable("STY").is_some() {
        return None;
    }
    let (program, kind) =
        (variable("TERM_PROGRAM").unwrap_or_default(), variable("TERM").unwrap_or_default());
    if variable("KITTY_WINDOW_ID").is_some() || kind.contains("kitty") || kind.contains("ghostty") {
        return Some(Protocol::Kitty);
    }
    ["iTerm.app", "WezTerm", "vscode"].contains(&program.as_str()).then_some(Protocol::Iterm2)
}

/// Bytes of base64 that Kitty takes at once.
const CHUNK: usize = 4096;

impl Protocol {
    /// What shows a PNG at the cursor.
    pub(super) fn inline(self, png: &[u8]) -> String {
        let text = BASE64_STANDARD.encode(png);
        match self {
            Self::Iterm2 => format!("\x1b]1337;File=inline=1;size={}:{text}\x07", png.len()),
            Self::Kitty => {
                let chunks: Vec<&str> = text
                    .as_bytes()
                    .chunks(CHUNK)
                    .filter_map(|chunk| std::str::from_utf8(chunk).ok())
                    .collect();
                let last = chunks.len().saturating_sub(1);
                let part = |(at, chunk): (usize, &&str)| {
                    let head = if at == 0 { "a=T,f=100," } else { "" };
                    format!("\x1b_G{head}m={};{chunk}\x1b\\", u8::from(at < last))
                };
                chunks.iter().enumerate().map(part).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_says_what_it_shows() {
        let with = |variables: &[(&str, &str)]| {
            let find = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            chosen(&find)
        };
        assert_eq!(with(&[("TERM", "xterm-kitty")]), Some(Protocol::Kitty));
        assert_eq!(with(&[("TERM_PROGRAM", "WezTerm")]), Some(Protocol::Iterm2));
        assert_eq!(with(&[("TERM", "xterm-256color")]), None);
        assert_eq!(with(&[("TERM", "xterm-kitty"), ("TMUX", "x")]), None);
        assert_eq!(with(&[("TERM", "xterm-kitty"), ("KELVIN_GRAPHICS", "none")]), None);
    }

    #[test]
    fn a_long_picture_comes_in_chunks() {
        let shown = Protocol::Kitty.inline(&vec![7; 10_000]);
        let parts: Vec<&str> = shown.split_terminator("\x1b\\").collect();
        assert_eq!(parts.len(), 4);
        assert!(parts[0].starts_with("\x1b_Ga=T,f=100,m=1;") && parts[3].starts_with("\x1b_Gm=0;"));
        let text: String = parts.iter().map(|part| part.split_once(';').unwrap().1).collect();
        assert_eq!(BASE64_STANDARD.decode(text).unwrap(), vec![7; 10_000]);
        assert_eq!(Protocol::Iterm2.inline(b"abc"), "\x1b]1337;File=inline=1;size=3:YWJj\x07");
    }
}
