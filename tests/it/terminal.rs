//! kelvin at a real pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::support::{DEADLINE, Lab, wait_until};

const ROWS: u16 = 50;
const COLUMNS: u16 = 100;

/// What a terminal sends for these keys.
pub const ENTER: &str = "\r";
pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const UP: &str = "\x1b[A";
pub const TAB: &str = "\t";
pub const RIGHT: &str = "\x1b[C";

/// The line editor switches bracketed paste on when it begins to read a line, and off when it has
/// one.
const READING: &str = "\x1b[?2004h";
const READ: &str = "\x1b[?2004l";
pub const PROMPT: &str = "kelvin> ";

/// kelvin at a terminal of its own.
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// What the program wrote, news of it, and whether the terminal was closed.
    written: Arc<(Mutex<Vec<u8>>, Condvar, AtomicBool)>,
    /// How much of what was written has been waited for.
    seen: usize,
}

/// Waits for something to read; false where the terminal was closed meanwhile.
fn is_readable(screen: &File, closed: &AtomicBool) -> bool {
    loop {
        let mut wanted = libc::pollfd { fd: screen.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure, which lives on this stack.
        match unsafe { libc::poll(&raw mut wanted, 1, 50) } {
            0 if closed.load(Ordering::SeqCst) => return false,
            0 => {}
            _ => return !closed.load(Ordering::SeqCst),
        }
    }
}

impl Terminal {
    /// Starts kelvin and waits for its prompt.
    pub fn start(lab: &Lab) -> Self {
        let mut terminal = Self::open(lab, &[], Some("xterm-256color"), COLUMNS);
        terminal.wait(READING);
        terminal.wait(PROMPT);
        terminal
    }

    /// Runs kelvin with arguments, at a terminal of a kind and a width.
    pub fn open(lab: &Lab, arguments: &[&str], kind: Option<&str>, columns: u16) -> Self {
        let (master, slave) = open_terminal(columns);
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let mut command = lab.kelvin();
        command.args(arguments).stdin(stdio()).stdout(stdio()).stderr(stdio());
        match kind {
            Some(kind) => command.env("TERM", kind),
            None => command.env_remove("TERM"),
        };
        // SAFETY: between fork and exec only these three system calls are made.
        unsafe {
            command.pre_exec(|| {
                // Tests that `nohup` started would hand on that a closed terminal is no matter.
                libc::signal(libc::SIGHUP, libc::SIG_DFL);
                // A session of its own, whose terminal this is: then Ctrl-C reaches it as a signal.
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop(command);
        drop(slave);
        let written = Arc::new((Mutex::new(Vec::new()), Condvar::new(), AtomicBool::new(false)));
        let (mut screen, shared) = (master.try_clone().unwrap(), Arc::clone(&written));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Linux ends a terminal that nobody holds open any more with an error. A read that
            // waits would hold it open.
            while is_readable(&screen, &shared.2)
                && let Ok(count @ 1..) = screen.read(&mut buffer)
            {
                shared.0.lock().unwrap().extend_from_slice(&buffer[..count]);
                shared.1.notify_all();
            }
        });
        Self { child, keyboard: master, written, seen: 0 }
    }

    /// Closes the terminal, as a connection that breaks does; returns the program's exit code.
    pub fn hang_up(&mut self) -> Option<i32> {
        self.written.2.store(true, Ordering::SeqCst);
        self.keyboard = File::open("/dev/null").unwrap();
        let mut code = None;
        wait_until("the end", || {
            code = self.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        });
        code.flatten()
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn send(&mut self, keys: &str) {
        self.send_bytes(keys.as_bytes());
    }

    pub fn send_bytes(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Waits for a text in what has not been waited for yet; returns what came before it.
    pub fn wait(&mut self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        let mut written = self.written.0.lock().unwrap();
        loop {
            let new = String::from_utf8_lossy(&written[self.seen..]).into_owned();
            if let Some(at) =
                written[self.seen..].windows(text.len()).position(|part| part == text.as_bytes())
            {
                let before = String::from_utf8_lossy(&written[self.seen..self.seen + at]).into_owned();
                self.seen += at + text.len();
                return before;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {DEADLINE:?} for {text:?}, found {new:?}");
            written = self.written.1.wait_timeout(written, left).unwrap().0;
        }
    }

    /// Types a line and waits until it runs.
    pub fn begin(&mut self, line: &str) {
        self.send(line);
        self.send(ENTER);
        self.wait(READ);
    }

    /// Waits for the next prompt; returns what was shown before it.
    pub fn answer(&mut self) -> String {
        let answer = self.wait(READING);
        self.wait(PROMPT);
        shown(answer.as_bytes())
    }

    /// Types a line and waits for its answer.
    pub fn ask(&mut self, line: &str) -> String {
        self.begin(line);
        self.answer()
    }

    /// Presses Ctrl-C and waits for the next prompt; returns what was shown, and how long it took.
    pub fn interrupt(&mut self) -> (String, Duration) {
        let pressed = Instant::now();
        self.send(CTRL_C);
        let answer = self.answer();
        (answer, pressed.elapsed())
    }

    /// Everything that was written, with its codes.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.written.0.lock().unwrap()).into_owned()
    }

    /// Waits for the end; returns the exit code and everything that was written, with its codes.
    pub fn all(&mut self) -> (Option<i32>, String) {
        let mut code = None;
        wait_until("the end", || {
            code = self.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        });
        // Nobody holds the program's side open any more, so that the reader comes to the end of
        // what was written.
        wait_until("the last of what was written", || Arc::strong_count(&self.written) == 1);
        (code.flatten(), self.raw())
    }

    /// Everything on the screen.
    pub fn screen(&self) -> String {
        shown(&self.written.0.lock().unwrap())
    }

    /// Presses Ctrl-D and waits for the end; returns the exit code.
    pub fn leave(mut self) -> Option<i32> {
        self.send(CTRL_D);
        self.end()
    }

    /// Waits for the end; returns the exit code.
    pub fn end(mut self) -> Option<i32> {
        let mut code = None;
        wait_until("kelvin to leave", || match self.child.try_wait().unwrap() {
            Some(status) => {
                assert!(status.code().is_some(), "kelvin ended by {status}:\n{}", self.screen());
                code = status.code();
                true
            }
            None => false,
        });
        code
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that fails leaves nothing behind; after `leave` there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new pseudo-terminal: the side of keyboard and screen, and the program's side.
fn open_terminal(columns: u16) -> (File, OwnedFd) {
    let size = libc::winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut master, mut slave) = (0, 0);
    // SAFETY: the descriptors and the size outlive the call; name and settings may be null.
    let opened =
        unsafe { libc::openpty(&mut master, &mut slave, std::ptr::null_mut(), std::ptr::null(), &size) };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: openpty made both descriptors and nobody else owns them.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    for descriptor in [&master, &slave] {
        // SAFETY: the descriptor is open. A program of another test that inherited it would keep it
        // open.
        unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    (File::from(master), slave)
}

/// What a terminal shows of these bytes, with all that moves the cursor and erases obeyed.
pub fn shown(written: &[u8]) -> String {
    let mut terminal = vt100::Parser::new(ROWS.try_into().unwrap(), COLUMNS.try_into().unwrap(), 0);
    terminal.process(written);
    terminal.screen().contents().trim_end().trim_start_matches('\n').to_owned()
}
