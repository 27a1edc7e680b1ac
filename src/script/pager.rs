//! Texts that are longer than the screen.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

use super::output::print;
use super::screen::rows;
use super::sink::output_sink;
use super::terminal::StandardStream;
use crate::visible::visible;

/// Prints a text; one that is longer than the screen goes to the pager, where somebody sits at a
/// terminal that has one.
pub fn page(text: &str) {
    let somebody = || {
        output_sink().is_none() && StandardStream::Output.is_drawn_over() && std::io::stdin().is_terminal()
    };
    let tall = || rows().is_some_and(|rows| text.lines().count() + 1 > rows);
    if !(somebody() && tall() && to_pager(&visible(text))) {
        print(text);
    }
}

/// Shows a text in `$PAGER`, or less. Whether there is one.
fn to_pager(text: &str) -> bool {
    let pager = std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
    let mut words = pager.split_whitespace();
    let Some(program) = words.next() else { return false };
    let started = Command::new(program)
        .args(words)
        // Leave what fits on the screen, keep colours, leave the text on the screen.
        .env("LESS", std::env::var("LESS").unwrap_or_else(|_| "-FRX".to_owned()))
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else { return false };
    if let Some(mut input) = child.stdin.take() {
        // Whoever leaves the pager early has seen enough.
        let _ = input.write_all(text.as_bytes());
    }
    child.wait().is_ok()
}
