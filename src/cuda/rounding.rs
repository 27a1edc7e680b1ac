//! Whether float32 products are rounded to TF32. libtorch asks the whole process, a run has its own precision: threads that
//! launch work of one kind wait until those of the other have launched theirs.

use std::sync::{Condvar, Mutex, PoisonError};

use tch::Device;

use super::library::Library;
use crate::precision::Precision;

static TURNS: Turns = Turns::new();

/// Tells libtorch at the program's start, which would else round.
pub(crate) fn forbid_tf32() -> bool {
    // SAFETY: a plain call.
    Library::get().is_some_and(|library| library.check(unsafe { (library.allow_tf32)(0) }).is_ok())
}

/// Launches some work on a device, rounded as the precision says. What is recorded of it remains so.
pub(crate) fn rounding<T>(device: Device, precision: Precision, work: impl FnOnce() -> T) -> T {
    let Some(library) = Library::get().filter(|_| device != Device::Cpu) else { return work() };
    let tell = |tf32: bool| {
        // SAFETY: a plain call, which sets flags.
        unsafe { (library.allow_tf32)(tf32.into()) };
    };
    let _turn = TURNS.take(precision == Precision::Tf32, tell);
    work()
}

/// Threads of two kinds, of which only those of one are at work at any time.
struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Whose turn it is: those with TF32, or those without.
    tf32: bool,
    /// Threads at work.
    working: usize,
    /// Threads that wait, without and with TF32.
    waiting: [usize; 2],
}

/// A thread at work, until it is dropped.
struct Turn<'a>(&'a Turns);

impl Turns {
    const fn new() -> Self {
        let state = State { tf32: false, working: 0, waiting: [0; 2] };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits for this kind's turn; `tell` hears of a change before anyone of the new kind is at work.
    fn take(&self, tf32: bool, tell: impl FnOnce(bool)) -> Turn<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting[usize::from(tf32)] += 1;
        // Those of the other kind that wait come first, so that none waits for ever.
        let has_to_wait = |state: &mut State| match state.tf32 == tf32 {
            true => state.waiting[usize::from(!tf32)] > 0,
            false => state.working > 0,
        };
        state = self.changed.wait_while(state, has_to_wait).unwrap_or_else(PoisonError::into_inner);
        state.waiting[usize::from(tf32)] -= 1;
        state.working += 1;
        if state.tf32 != tf32 {
            state.tf32 = tf32;
            tell(tf32);
            self.changed.notify_all();
        }
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).working -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Whoever works finds its own kind told, all along; and everyone gets to work, though both kinds come without a pause.
    #[test]
    fn only_one_kind_works_at_a_time() {
        let turns = &Turns::new();
        let told = AtomicBool::new(false);
        let work = |tf32: bool| {
            for _ in 0..200 {
                let _turn = turns.take(tf32, |now| told.store(now, Ordering::SeqCst));
                for _ in 0..20 {
                    assert_eq!(told.load(Ordering::SeqCst), tf32);
                    std::thread::yield_now();
                }
            }
        };
        std::thread::scope(|scope| {
            let work = &work;
            (0..6).for_each(|i| drop(scope.spawn(move || work(i % 2 == 0))));
        });
        // Those of one kind do work together.
        let first = turns.take(true, |_| {});
        let together = std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel();
            scope.spawn(move || {
                let _second = turns.take(true, |_| {});
                sender.send(())
            });
            let together = receiver.recv_timeout(std::time::Duration::from_secs(30));
            drop(first);
            together
        });
        assert!(together.is_ok());
    }
}
