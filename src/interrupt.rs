//! One flag that Ctrl-C and SIGTERM raise and that every long loop polls.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

static RAISED: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(false)));

/// Nothing runs that could be stopped.
static IDLE: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(false)));

/// Exit code of a process that SIGTERM ends.
const TERMINATED: i32 = 128 + libc::SIGTERM;

/// Lets SIGINT and SIGTERM raise the flag from now on, instead of ending the process. A second SIGTERM, or one
/// while nothing runs, ends it.
pub fn install() -> Result<()> {
    let register = || -> std::io::Result<()> {
        for when in [&RAISED, &IDLE] {
            signal_hook::flag::register_conditional_shutdown(libc::SIGTERM, TERMINATED, Arc::clone(when))?;
        }
        for signal in [libc::SIGINT, libc::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&RAISED))?;
        }
        Ok(())
    };
    register().map_err(|error| Error::invalid(format!("cannot handle signals: {error}")))
}

/// Says whether something runs that an interrupt could stop.
pub fn set_idle(idle: bool) {
    IDLE.store(idle, Ordering::Relaxed);
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
