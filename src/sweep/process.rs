//! Which process writes a journal, and whether it still does.
//!
//! Knowing it saves double work and nothing else: two attempts at one run are harmless, and the
//! first to publish wins.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::provenance::host;

/// How often a process says of the journals that it writes that it still does.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// A journal that nobody touched for so long has no writer any more.
const SILENCE: Duration = Duration::from_secs(60);

/// One whose writer lives on this machine: it may be busy with a slow disk, or with what a script
/// does of an epoch.
const LONG_SILENCE: Duration = Duration::from_secs(600);

/// A process, told apart from every other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its host's name.
    pub host: String,
    /// The boot of its machine and its space of process ids.
    pub machine: String,
    /// Its id.
    pub pid: u32,
    /// Its start, in clock ticks after the boot.
    pub started: u64,
}

static THIS: LazyLock<Process> = LazyLock::new(|| Process {
    host: host(),
    machine: machine(),
    pid: std::process::id(),
    started: start_and_state(std::process::id()).map_or(0, |(started, _)| started),
});

/// The journals that this process writes.
static OPEN: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let ids = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), ids.display())
}

/// A process's start in clock ticks and its state (proc(5), stat: fields 22 and 3).
fn start_and_state(pid: u32) -> Option<(u64, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.nth(18)?.parse().ok()?, state))
}

impl Process {
    /// This one.
    pub fn this() -> Self {
        THIS.clone()
    }

    /// Whether this process still writes the journal. Its age tells, since a process may live on
    /// when its training has ended. Those of this machine are looked up, too: one that has ended or
    /// is stopped is gone at once. `now` is the file system's time, by which the journal was last
    /// `touched`; a time that is still to come is no sign of life.
    pub fn writes(
        &self,
        journal: &Path,
        touched: impl FnOnce() -> Option<SystemTime>,
        now: SystemTime,
    ) -> bool {
        if *self == *THIS {
            return OPEN.lock().unwrap_or_else(PoisonError::into_inner).contains(journal);
        }
        let lives = || {
            start_and_state(self.pid)
                .is_some_and(|(started, state)| started == self.started && !"TtZX".contains(state))
        };
        let silence = if self.machine == THIS.machine { LONG_SILENCE } else { SILENCE };
        if self.machine == THIS.machine && !lives() {
            return false;
        }
        let apart = |touched| now.duration_since(touched).unwrap_or_else(|ahead| ahead.duration());
        touched().is_some_and(|touched| apart(touched) < silence)
    }
}

/// A journal that this process writes, until it is dropped.
pub struct Writing(PathBuf);

impl Writing {
    /// Begins.
    pub fn new(journal: &Path) -> Self {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).insert(journal.to_owned());
        Self(journal.to_owned())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Sets a file's time to the file system's now, as a sign of life.
pub fn touch(file: &File) {
    // SAFETY: the descriptor is open, and a null pointer means now. A sign of life that fails is
    // merely missed.
    let _ = unsafe { libc::futimens(file.as_raw_fd(), std::ptr::null()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_lives_until_it_ends_or_stops() {
        let now = SystemTime::now();
        let journal = tempfile::NamedTempFile::new().unwrap();
        let this = Process::this();
        let touched = || fs::metadata(journal.path()).and_then(|about| about.modified()).ok();
        let writes = |process: &Process, now| process.writes(journal.path(), touched, now);
        assert!(!writes(&this, now));
        let writing = Writing::new(journal.path());
        assert!(writes(&this, now));
        drop(writing);
        assert!(!writes(&this, now));

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let started = start_and_state(child.id()).unwrap().0;
        let other = Process { pid: child.id(), started, ..this.clone() };
        assert!(writes(&other, now));
        assert!(writes(&other, now + 2 * SILENCE));
        assert!(!writes(&other, now + 2 * LONG_SILENCE));
        assert!(!writes(&Process { started: started + 1, ..other.clone() }, now));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!writes(&other, now));

        let elsewhere = Process { machine: "another boot".to_owned(), ..this };
        assert!(writes(&elsewhere, now));
        assert!(!writes(&elsewhere, now + 2 * SILENCE));
        // A copy of a folder may say that it was written in a hundred years.
        assert!(!writes(&elsewhere, now - 2 * SILENCE));
    }
}
