//! The memory of this machine.

use std::fs;
use std::path::Path;

/// Lets the allocator keep freed memory for seconds instead of a tenth of one: a step of a wide net frees and asks
/// for hundreds of megabytes, and pages that the system takes back it clears before it gives them again.
#[cfg(feature = "shell")]
pub fn keep_freed() {
    unsafe extern "C" {
        fn mi_option_set(option: std::ffi::c_int, value: std::ffi::c_long);
    }
    /// `mi_option_purge_delay` of mimalloc.h, in milliseconds; arenas wait ten times as long.
    const PURGE_DELAY: std::ffi::c_int = 15;
    // SAFETY: mimalloc is linked in, and the call stores a number.
    unsafe { mi_option_set(PURGE_DELAY, 500) }
}

/// Bytes that this process may still use on the CPU; none where the system does not tell.
pub fn available() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    Some(cgroup_room().map_or(machine, |room| room.min(machine)))
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
