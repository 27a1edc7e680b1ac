//! What signals ask for: flags that handlers set and that every long loop polls.
//!
//! SIGINT (Ctrl-C) and SIGTERM ask what runs to stop in good order; a second one asks it to stop at once.
//! SIGUSR1 and SIGUSR2 ask for checkpoints; a worker of a cluster may have SIGUSR1 ask it to stop as well
//! ([`stop_on_usr1`]), because its time is nearly over.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::error::{Error, Result};

static RAISED: AtomicBool = AtomicBool::new(false);

/// SIGINT and SIGTERM since the flag was last lowered.
static URGENCY: AtomicU64 = AtomicU64::new(0);

/// Requests for checkpoints so far.
static CHECKPOINTS: AtomicU64 = AtomicU64::new(0);

/// Whether SIGUSR1 stops, too.
static STOP_ON_USR1: AtomicBool = AtomicBool::new(false);

/// Whether SIGUSR1 did.
static OUT_OF_TIME: AtomicBool = AtomicBool::new(false);

/// Nothing runs that could be stopped.
static IDLE: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(false)));

/// SIGTERM came before.
static TERMINATING: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(false)));

/// Exit code of a process that SIGTERM ends.
const TERMINATED: i32 = 128 + SIGTERM;

/// Handles the signals from now on. A second SIGTERM, or one while nothing runs, ends the process.
pub fn install() -> Result<()> {
    let register = || -> std::io::Result<()> {
        for when in [&TERMINATING, &IDLE] {
            signal_hook::flag::register_conditional_shutdown(SIGTERM, TERMINATED, Arc::clone(when))?;
        }
        signal_hook::flag::register(SIGTERM, Arc::clone(&TERMINATING))?;
        for signal in [SIGINT, SIGTERM] {
            // SAFETY: the handler only changes atomics.
            unsafe { signal_hook::low_level::register(signal, raise) }?;
        }
        for signal in [SIGUSR1, SIGUSR2] {
            let handle = move || {
                CHECKPOINTS.fetch_add(1, Ordering::Relaxed);
                if signal == SIGUSR1 && STOP_ON_USR1.load(Ordering::Relaxed) {
                    OUT_OF_TIME.store(true, Ordering::Relaxed);
                    RAISED.store(true, Ordering::Relaxed);
                }
            };
            // SAFETY: the handler only changes atomics.
            unsafe { signal_hook::low_level::register(signal, handle) }?;
        }
        Ok(())
    };
    register().map_err(|error| Error::invalid(format!("cannot handle signals: {error}")))
}

/// Says whether something runs that an interrupt could stop.
pub fn set_idle(idle: bool) {
    IDLE.store(idle, Ordering::Relaxed);
}

/// Lets SIGUSR1 stop what runs, after a checkpoint, from now on.
pub fn stop_on_usr1() {
    STOP_ON_USR1.store(true, Ordering::Relaxed);
}

/// Whether SIGUSR1 stopped what ran.
pub fn out_of_time() -> bool {
    OUT_OF_TIME.load(Ordering::Relaxed)
}

/// Whether the user asked to stop.
pub fn raised() -> bool {
    RAISED.load(Ordering::Relaxed)
}

/// Whether the user asked to stop more than once.
pub fn urgent() -> bool {
    URGENCY.load(Ordering::Relaxed) > 1
}

/// Asks to stop, as a signal does.
pub fn raise() {
    RAISED.store(true, Ordering::Relaxed);
    URGENCY.fetch_add(1, Ordering::Relaxed);
}

/// Lowers the flag: what was to be stopped has stopped.
pub fn clear() {
    RAISED.store(false, Ordering::Relaxed);
    URGENCY.store(0, Ordering::Relaxed);
    TERMINATING.store(false, Ordering::Relaxed);
}

/// How often checkpoints were asked for: another number than before means now.
pub fn checkpoints() -> u64 {
    CHECKPOINTS.load(Ordering::Relaxed)
}

/// [`Error::Interrupted`] when the flag is raised.
pub fn check() -> Result<()> {
    if raised() { Err(Error::Interrupted) } else { Ok(()) }
}
