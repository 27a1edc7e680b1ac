//! One flag that Ctrl-C and SIGTERM raise and that every long loop polls.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

static RAISED: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(false)));

/// Lets SIGINT and SIGTERM raise the flag from now on, instead of ending the process.
pub fn install() -> Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&RAISED))
            .map_err(|error| Error::invalid(format!("cannot handle signal {signal}: {error}")))?;
    }
    Ok(())
}

/// Whether the user asked to stop.
pub fn raised() -> bool {
    RAISED.load(Ordering::Relaxed)
}

/// Raises the flag, as a signal does.
pub fn raise() {
    RAISED.store(true, Ordering::Relaxed);
}

/// Lowers the flag: what was to be stopped has stopped.
pub fn clear() {
    RAISED.store(false, Ordering::Relaxed);
}

/// [`Error::Interrupted`] when the flag is raised.
pub fn check() -> Result<()> {
    if raised() { Err(Error::Interrupted) } else { Ok(()) }
}
