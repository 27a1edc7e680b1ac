//! Whether float32 products are rounded to TF32. libtorch asks the whole process, a run has its own precision: threads that
//! launch work of one kind wait until those of the other have launched theirs.

use std::sync::{Condvar, Mutex, PoisonError};

use tch::Device;

use super::library::Library;
use crate::torch::Precision;

struct Turns {
    /// What libtorch was told.
    tf32: bool,
    /// Threads that are launching.
    launching: usize,
    /// Threads that wait, without and with TF32.
    waiting: [usize; 2],
}

static TURNS: Mutex<Turns> = Mutex::new(Turns { tf32: false, launching: 0, waiting: [0; 2] });
static CHANGED: Condvar = Condvar::new();

/// Tells libtorch at the program's start, which would else round.
pub(crate) fn forbid_tf32() -> bool {
    // SAFETY: a plain call.
    Library::get().is_some_and(|library| library.check(unsafe { (library.allow_tf32)(0) }).is_ok())
}

/// Launches some work on a device, rounded as the precision says. What is recorded of it remains so.
pub(crate) fn rounding<T>(device: Device, precision: Precision, work: impl FnOnce() -> T) -> T {
    let Some(library) = Library::get().filter(|_| device != Device::Cpu) else { return work() };
    let _turn = Turn::of(library, precision == Precision::Tf32);
    work()
}

/// While it is there, libtorch goes by what it was made for.
struct Turn;

impl Turn {
    fn of(library: &Library, wanted: bool) -> Self {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        turns.waiting[usize::from(wanted)] += 1;
        // Those of the other kind that wait come first, so that none waits for ever.
        let has_to_wait = |turns: &mut Turns| match turns.tf32 == wanted {
            true => turns.waiting[usize::from(!wanted)] > 0,
            false => turns.launching > 0,
        };
        turns = CHANGED.wait_while(turns, has_to_wait).unwrap_or_else(PoisonError::into_inner);
        turns.waiting[usize::from(wanted)] -= 1;
        turns.launching += 1;
        if turns.tf32 != wanted {
            turns.tf32 = wanted;
            // SAFETY: a plain call, which sets flags.
            unsafe { (library.allow_tf32)(wanted.into()) };
            CHANGED.notify_all();
        }
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.lock().unwrap_or_else(PoisonError::into_inner).launching -= 1;
        CHANGED.notify_all();
    }
}
