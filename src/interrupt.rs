//! What signals ask for: flags that handlers set and that every long loop polls.
//!
//! SIGINT (Ctrl-C) and SIGTERM ask what runs to stop in good order; a second one asks it to stop at
//! once. SIGHUP, of a terminal that was closed, counts as SIGTERM, but for a program that was
//! started to outlive it (nohup). SIGUSR1 and SIGUSR2 ask for checkpoints; a worker of a cluster
//! may have SIGUSR1 ask it to stop as well ([`stop_on_usr1`]), because its time is nearly over.
//!
//! What runs in the background has a [`Scope`] of its own: Ctrl-C at the prompt is not for it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::error::{Error, Result, panic_message};

static RAISED: AtomicBool = AtomicBool::new(false);

/// SIGINT, SIGTERM and SIGHUP since the flag was last lowered.
static URGENCY: AtomicU64 = AtomicU64::new(0);

/// SIGTERMs so far, and a closed terminal.
static TERMINATIONS: AtomicU64 = AtomicU64::new(0);

/// Whether the terminal was closed.
static HUNG_UP: AtomicBool = AtomicBool::new(false);

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

/// Whether this process was started to ignore a signal.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: the call only writes the structure, which lives on this stack.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    }
}

/// Whether the prompt waits for a line.
static WAITING: AtomicBool = AtomicBool::new(false);

/// What runs in the background.
static IN_BACKGROUND: AtomicUsize = AtomicUsize::new(0);

/// Handles the signals from now on. A second SIGTERM, or one while nothing runs, ends the process.
pub fn install() -> Result<()> {
    let register = || -> std::io::Result<()> {
        for when in [&TERMINATING, &IDLE] {
            signal_hook::flag::register_conditional_shutdown(SIGTERM, 128 + SIGTERM, Arc::clone(when))?;
        }
        signal_hook::flag::register(SIGTERM, Arc::clone(&TERMINATING))?;
        // Before it is counted: whoever sees that a job was ended by it finds the flag raised.
        for signal in [SIGINT, SIGTERM] {
            // SAFETY: the handler only changes atomics.
            unsafe { signal_hook::low_level::register(signal, raise) }?;
        }
        let count = || {
            TERMINATIONS.fetch_add(1, Ordering::Release);
        };
        // SAFETY: the handler only changes an atomic.
        unsafe { signal_hook::low_level::register(SIGTERM, count) }?;
        if !is_ignored(SIGHUP) {
            signal_hook::flag::register_conditional_shutdown(SIGHUP, 128 + SIGHUP, Arc::clone(&IDLE))?;
            // The kernel tells of a closed terminal, and the shell tells again: both mean the same.
            let hang_up = move || {
                if !HUNG_UP.swap(true, Ordering::SeqCst) {
                    raise();
                    count();
                }
            };
            // SAFETY: the handler only changes atomics.
            unsafe { signal_hook::low_level::register(SIGHUP, hang_up) }?;
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

/// Says whether the prompt waits for a line, so that an interrupt could stop nothing that the user
/// waits for.
pub fn set_waiting(waiting: bool) {
    WAITING.store(waiting, Ordering::SeqCst);
    update_idle();
}

fn update_idle() {
    let idle = WAITING.load(Ordering::SeqCst) && IN_BACKGROUND.load(Ordering::SeqCst) == 0;
    IDLE.store(idle, Ordering::SeqCst);
}

/// Something that runs in the background, until it is dropped. Where SIGTERM ended the last such
/// thing and nothing else runs, the process ends, too.
pub struct Background(Scope);

impl Background {
    /// This thread works in the background, for a scope, from now on.
    pub fn enter(scope: Scope) -> Self {
        IN_BACKGROUND.fetch_add(1, Ordering::SeqCst);
        update_idle();
        work_for(Some(scope.clone()));
        Self(scope)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        work_for(None);
        IN_BACKGROUND.fetch_sub(1, Ordering::SeqCst);
        update_idle();
        if self.0.terminated() && IDLE.load(Ordering::SeqCst) {
            // SAFETY: the process is told again, now that nothing is left to be saved.
            unsafe { libc::raise(SIGTERM) };
        }
    }
}

/// Lets SIGUSR1 stop what runs, after a checkpoint, from now on.
pub fn stop_on_usr1() {
    STOP_ON_USR1.store(true, Ordering::Relaxed);
}

/// Whether SIGUSR1 stopped what ran.
pub fn out_of_time() -> bool {
    OUT_OF_TIME.load(Ordering::Relaxed)
}

/// Whether what this thread does was asked to stop.
pub fn raised() -> bool {
    SCOPE.with_borrow(|scope| match scope {
        Some(scope) => scope.raised(),
        None => RAISED.load(Ordering::Relaxed),
    })
}

/// Whether it was asked to stop more than once.
pub fn urgent() -> bool {
    SCOPE.with_borrow(|scope| match scope {
        Some(scope) => TERMINATIONS.load(Ordering::Relaxed) > scope.0.terminations + 1,
        None => URGENCY.load(Ordering::Relaxed) > 1,
    })
}

thread_local! {
    /// What this thread works for, where that is not what the user waits for.
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Work in the background. Only [`Scope::raise`] and SIGTERM stop it.
#[derive(Clone)]
pub struct Scope(Arc<Flags>);

struct Flags {
    raised: AtomicBool,
    /// How many SIGTERMs had come before.
    terminations: u64,
}

impl Default for Scope {
    fn default() -> Self {
        let terminations = TERMINATIONS.load(Ordering::Relaxed);
        Self(Arc::new(Flags { raised: AtomicBool::new(false), terminations }))
    }
}

impl Scope {
    /// Asks to stop.
    pub fn raise(&self) {
        self.0.raised.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn raised(&self) -> bool {
        self.0.raised.load(Ordering::Relaxed) || self.terminated()
    }

    /// Whether SIGTERM came since it began.
    fn terminated(&self) -> bool {
        TERMINATIONS.load(Ordering::Acquire) > self.0.terminations
    }
}

/// Whether the process's terminal has closed.
pub(crate) fn hung_up() -> bool {
    HUNG_UP.load(Ordering::SeqCst)
}

/// What this thread works for; none: what the user waits for.
pub fn scope() -> Option<Scope> {
    SCOPE.with_borrow(Clone::clone)
}

/// Lets this thread work for a scope from now on; threads that it starts must be told, too.
pub fn work_for(scope: Option<Scope>) {
    SCOPE.set(scope);
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

/// [`check`] at every 4096th step of a loop whose steps are short.
pub fn check_at(step: usize) -> Result<()> {
    if step.is_multiple_of(4096) { check() } else { Ok(()) }
}

/// Does work that cannot look at the flag, such as a call into another library, on a thread of its
/// own. An interrupt leaves the thread behind: it ends when its work does, or where that looks at
/// the flag, and nobody takes its result.
///
/// `what` names the work in errors. Work that can look at the flag every few milliseconds needs
/// none of this.
///
/// # Errors
///
/// The work's own, [`Error::Interrupted`], a panic of the work, or that the system starts no more
/// threads.
pub fn leave_behind<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    /// How often whoever waits looks at the flag.
    const LOOK: Duration = Duration::from_millis(20);
    let (sender, receiver) = sync_channel(1);
    let scope = Scope::default();
    let own = scope.clone();
    let thread = move || {
        work_for(Some(own));
        let result = catch_unwind(AssertUnwindSafe(work));
        // Nobody may be waiting any more.
        let _ = sender.send(result);
    };
    std::thread::Builder::new()
        .name("kelvin-native".to_owned())
        .stack_size(NATIVE_STACK)
        .spawn(thread)
        .map_err(|error| Error::invalid(format!("{what}: {}", crate::threads::refused(&error))))?;
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(Ok(result)) => return result,
            Ok(Err(panic)) => return Err(Error::invalid(format!("{what}: {}", panic_message(&*panic)))),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::invalid(format!("{what}: its thread ended without an answer")));
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = check() {
                    scope.raise();
                    return Err(error);
                }
            }
        }
    }
}

/// Bytes of stack for threads that run other libraries' recursions. Only what is touched is memory.
const NATIVE_STACK: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_on_its_own_thread_answers_fails_or_is_left_behind() {
        assert_eq!(leave_behind("adding", || Ok(1 + 1)).unwrap(), 2);
        let failed = leave_behind::<()>("adding", || Err(Error::invalid("no numbers")));
        assert_eq!(failed.unwrap_err().to_string(), "no numbers");
        let panicked = leave_behind::<()>("adding", || panic!("out of fingers"));
        assert_eq!(panicked.unwrap_err().to_string(), "adding: out of fingers");

        // As a job in the background, so that no other test's work is stopped.
        let outer = Scope::default();
        work_for(Some(outer.clone()));
        let (told, hears) = sync_channel(1);
        let left = leave_behind::<()>("waiting", move || {
            outer.raise();
            while !raised() {
                std::thread::yield_now();
            }
            let _ = told.send(());
            Ok(())
        });
        work_for(None);
        assert!(matches!(left, Err(Error::Interrupted)));
        // The flag reaches what was left behind.
        hears.recv_timeout(Duration::from_secs(240)).unwrap();
    }
}
