//! The memory of this machine.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

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

/// Has the program's allocator keep freed memory while something trains and a minute longer, instead of a second. The next
/// training wants as much again, hundreds of megabytes for a wide net, and the system clears every page before it gives it.
#[cfg(feature = "shell")]
pub fn keep_freed() {
    /// How long it is kept after a training.
    const KEPT: std::time::Duration = std::time::Duration::from_secs(60);
    /// `mi_option_purge_delay` of mimalloc.h, in milliseconds.
    const PURGE_DELAY: std::ffi::c_int = 15;
    // SAFETY: mimalloc is linked in, and the call stores a number.
    unsafe { mi_option_set(PURGE_DELAY, std::ffi::c_long::from(i32::MAX)) };
    // Without this thread, memory would be kept until it is short.
    let _ = std::thread::Builder::new().name("kelvin-memory".to_owned()).spawn(|| {
        loop {
            std::thread::sleep(KEPT / 4);
            let (at_work, ended) = *AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
            if at_work == 0 && ended.is_none_or(|ended| ended.elapsed() > KEPT) {
                give_back();
            }
        }
    });
}

#[cfg(feature = "shell")]
unsafe extern "C" {
    fn mi_option_set(option: std::ffi::c_int, value: std::ffi::c_long);
    fn mi_collect(force: bool);
}

/// Gives what is kept back to the system.
fn give_back() {
    #[cfg(feature = "shell")]
    // SAFETY: mimalloc is linked in; only free memory is given back.
    unsafe {
        mi_collect(true)
    };
}

/// Bytes that this process may still use on the CPU; none where the system does not tell. Where less than half of the
/// machine's memory is there, freed memory that was kept is given back before.
pub fn available() -> Option<u64> {
    let [free, all] = free()?;
    if free < all / 2 {
        give_back();
        return self::free().map(|[free, _]| free);
    }
    Some(free)
}

/// Bytes that this process may use, and of the machine.
fn free() -> Option<[u64; 2]> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    let machine = bytes("MemAvailable:")?;
    Some([cgroup_room().map_or(machine, |room| room.min(machine)), bytes("MemTotal:")?])
}

/// What the limits of this process's control groups leave: version 2, or the older version's memory controller.
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
    }
}
