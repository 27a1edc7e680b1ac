//! The memory of this machine.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

/// Bytes that this thread has allocated so far, whether or not they are freed; 0 where the
/// program's allocator is another than [`Counting`].
#[cfg(feature = "script")]
pub(crate) fn allocated() -> u64 {
    ALLOCATED.get()
}

/// An allocator that counts what each thread allocates.
pub struct Counting<A>(pub A);

fn count(bytes: usize) {
    // Also while a thread ends.
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get().wrapping_add(bytes as u64)));
}

// SAFETY: all that is asked is asked of the other allocator, as it was asked.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}

/// Trainings at work, and when the last one ended.
static AT_WORK: Mutex<(usize, Option<Instant>)> = Mutex::new((0, None));

/// A training at work, until it is dropped.
pub(crate) struct AtWork(());

impl AtWork {
    pub(crate) fn begin() -> Self {
        AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
        Self(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut state = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (state.0 - 1, Some(Instant::now()));
    }
}

/// Has the program's allocator keep freed memory while something trains and a minute longer,
/// instead of a second. The next training wants as much again, hundreds of megabytes for a wide
/// net, and the system clears every page before it gives it.
#[cfg(feature = "shell")]
pub fn keep_freed() {
    use std::ffi::{c_int, c_long};
    use std::time::Duration;
    unsafe extern "C" {
        fn mi_option_set(option: c_int, value: c_long);
        fn mi_collect(force: bool);
    }
    /// `mi_option_purge_delay` of mimalloc.h, in milliseconds.
    const PURGE_DELAY: c_int = 15;
    /// How long memory is kept after a training.
    const KEPT: Duration = Duration::from_secs(60);
    // SAFETY: mimalloc is linked in, and only free memory is given back.
    let give_back: fn() = || unsafe { mi_collect(true) };
    // SAFETY: as above; the call stores a number.
    unsafe { mi_option_set(PURGE_DELAY, c_long::from(i32::MAX)) };
    let _ = GIVE_BACK.set(give_back);
    // Without this thread, memory would be kept until it is short.
    let _ = std::thread::Builder::new().name("kelvin-memory".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(KEPT / 4);
            let (at_work, ended) = *AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
            if at_work == 0 && ended.is_none_or(|ended| ended.elapsed() > KEPT) {
                give_back();
            }
        }
    });
}

/// Gives what is kept back to the system, where something is kept.
static GIVE_BACK: OnceLock<fn()> = OnceLock::new();

/// Bytes that this process may still use on the CPU; none where the system does not tell. Where
/// this process holds more than a quarter of that, freed memory that was kept is given back before.
pub fn available() -> Option<u64> {
    let free = free()?;
    match GIVE_BACK.get() {
        Some(give_back) if held().is_some_and(|held| held > free / 4) => {
            give_back();
            self::free()
        }
        _ => Some(free),
    }
}

/// Bytes that this process holds.
fn held() -> Option<u64> {
    number(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Bytes that are free, with those of files' pages that go when something else needs the room.
fn free() -> Option<u64> {
    let machine = number(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    Some(cgroup_room().map_or(machine, |room| room.min(machine)))
}

/// The bytes on a line that begins with this name and ends with kB.
fn number(lines: &str, name: &str) -> Option<u64> {
    let line = lines.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// What the limits of this process's control groups leave: version 2, or the older version's memory
/// controller.
fn cgroup_room() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let unified = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let memory = own.lines().find_map(|line| line.split_once(":memory:/").map(|(_, path)| path));
    let room = |root: &str, own: &str, limit: &str, used: &str, prefix: &str| {
        let room = |folder: &Path| {
            let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
            // Pages of files that were read go when something else needs the room.
            let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let files = |name: &str| {
                let line = stat.lines().find_map(|line| line.strip_prefix(&format!("{prefix}{name}_file ")));
                line.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
            };
            let held = number(used)?.saturating_sub(files("active") + files("inactive"));
            Some(number(limit)?.saturating_sub(held))
        };
        let root = Path::new(root);
        let folder = root.join(own);
        folder.ancestors().take_while(|folder| folder.starts_with(root)).filter_map(room).min()
    };
    let newer = unified.and_then(|own| room("/sys/fs/cgroup", own, "memory.max", "memory.current", ""));
    let older = memory.and_then(|own| {
        room("/sys/fs/cgroup/memory", own, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
    });
    newer.into_iter().chain(older).min()
}

#[cfg(test)]
mod tests {
    #[test]
    fn some_memory_is_there() {
        assert!(super::available().is_none_or(|bytes| bytes > 1 << 20));
        assert!(super::held().is_none_or(|bytes| bytes > 1 << 20));
    }
}
