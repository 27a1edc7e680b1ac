//! Exit codes, and what is told with them.

use crate::error::{Error, Result};
use crate::script::{is_open, tell};

/// The script failed.
pub(super) const FAILED: u8 = 1;
/// The user stopped it: 128 + SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// The exit code of a command; what went wrong is told.
pub(super) fn code(result: Result<u8>) -> u8 {
    match result {
        Ok(code) => code,
        Err(Error::Interrupted) => {
            // What standard output stopped by taking no more is told as that, or not at all.
            if is_open() {
                tell("interrupted");
            }
            INTERRUPTED
        }
        Err(error) => {
            tell(&error.to_string());
            FAILED
        }
    }
}
