//! The output of scripts: to the standard streams, or to what took their place.

use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

use super::sink::output_sink;
use super::terminal::StandardStream;
use crate::error::{Error, Result};
use crate::visible::visible;

/// Why standard output takes no more: the system's error, or none where its reader is gone.
static REFUSED: OnceLock<Option<String>> = OnceLock::new();

/// Prints a line on standard output: as it is into a file or a pipe, else made visible.
pub(crate) fn print(text: &str) {
    if output_sink().is_none() && !StandardStream::Output.is_terminal() {
        write_line(text);
    } else {
        write_line(&visible(text));
    }
}

/// Writes a line to standard output. Where that takes no more, what runs is stopped.
pub(super) fn write_line(text: &str) {
    if let Some(output) = output_sink() {
        output.print(text);
    } else if is_open() {
        note_written(writeln!(std::io::stdout(), "{text}"));
    }
}

/// Whether standard output took everything so far.
pub(crate) fn is_open() -> bool {
    REFUSED.get().is_none()
}

/// Takes note of what standard output said to something that was written to it.
pub(crate) fn note_written(written: std::io::Result<()>) {
    if let Err(error) = written {
        REFUSED.get_or_init(|| (error.kind() != ErrorKind::BrokenPipe).then(|| error.to_string()));
        crate::interrupt::raise();
    }
}

/// Writes out all that was printed.
///
/// # Errors
///
/// What was printed is not all there: a full disk, for instance. That nobody reads any more is
/// none.
pub(crate) fn finish_output() -> Result<()> {
    if is_open() {
        note_written(std::io::stdout().flush());
    }
    match REFUSED.get() {
        Some(Some(error)) => Err(Error::invalid(format!("standard output: {error}"))),
        Some(None) | None => Ok(()),
    }
}

/// Clears the screen, where there is one; a notebook may `wait` for what comes next.
pub(crate) fn clear_screen(wait: bool) {
    if let Some(output) = output_sink() {
        output.clear(wait);
    } else if StandardStream::Output.is_drawn_over() {
        write_line("\x1b[H\x1b[2J");
    }
}

/// Writes to standard error. A failure is ignored: a sweep goes on when its terminal is gone.
pub(crate) fn tell(text: &str) {
    tell_line(&visible(text));
}

/// Writes a line to standard error, in the same way.
pub(super) fn tell_line(text: &str) {
    if let Some(output) = output_sink() {
        output.tell(text);
    } else {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}
