//! A question in the middle of an evaluation.

use std::io::Write;

use crate::error::{Error, Result};

/// Time between two looks at the interrupt flag, in milliseconds.
const GLANCE: i32 = 50;

/// Asks a question; only `y` or `yes` is yes. Ctrl-C is heard meanwhile.
pub(super) fn ask(question: &str) -> Result<bool> {
    let io = |error| Error::io("the terminal", error);
    let mut output = std::io::stdout();
    output.write_all(question.as_bytes()).and_then(|()| output.flush()).map_err(io)?;
    let mut answer = Vec::new();
    // Not through `std::io::stdin`, which might keep what is typed for the next line.
    while answer.last() != Some(&b'\n') {
        crate::interrupt::check()?;
        let mut ready = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
        // SAFETY: the structure outlives the call.
        if unsafe { libc::poll(&raw mut ready, 1, GLANCE) } <= 0 {
            continue;
        }
        let mut byte = 0u8;
        // SAFETY: there is room for the one byte that is asked for.
        let read = unsafe { libc::read(libc::STDIN_FILENO, (&raw mut byte).cast(), 1) };
        match (read, std::io::Error::last_os_error()) {
            (1, _) => answer.push(byte),
            (0, _) => break,
            (_, error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            (_, error) => return Err(io(error)),
        }
    }
    Ok(matches!(String::from_utf8_lossy(&answer).trim().to_lowercase().as_str(), "y" | "yes"))
}
