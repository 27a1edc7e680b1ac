//! File systems and kernels that lack calls: a filter in front of the kernel answers as they would.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Output;

use crate::support::{Lab, SCRIPT};

const SWEEP: &str = "sweep(#{ data: digits(), train: 60, test: 20, model: linear(), lr: [0.1, 0.2], batch: 10, \
                     epochs: 2 }).run(\"out\")";

/// A call that is answered with an error; of `renameat2` only where it is asked to replace nothing.
type Refused = (i64, i32);

const LINK: Refused = (libc::SYS_linkat, libc::EPERM);
const RENAME: Refused = (libc::SYS_renameat2, libc::EINVAL);
const OPEN: Refused = (libc::SYS_openat2, libc::ENOSYS);
const OPEN_FILTERED: Refused = (libc::SYS_openat2, libc::EPERM);

/// A filter (seccomp(2)) that refuses these calls and lets all others through.
fn filter(refused: &[Refused]) -> Vec<libc::sock_filter> {
    const CALL: u32 = 0;
    /// The low half of the fifth argument.
    const FLAGS: u32 = 16 + 4 * 8;
    let load = |offset| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let unless_equal = |value: u32, skip| libc::sock_filter { code: 0x15, jt: 0, jf: skip, k: value };
    let answer = |value| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: value };
    let mut program = Vec::new();
    for &(call, error) in refused {
        let error = answer(libc::SECCOMP_RET_ERRNO | error as u32);
        let allowed = answer(libc::SECCOMP_RET_ALLOW);
        if call == libc::SYS_renameat2 {
            program.extend([
                load(CALL),
                unless_equal(call as u32, 4),
                load(FLAGS),
                unless_equal(0, 1),
                allowed,
                error,
            ]);
        } else {
            program.extend([load(CALL), unless_equal(call as u32, 1), error]);
        }
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program
}

/// Runs the program behind a filter; none, with a word, where the system lets nobody set one.
fn behind(refused: &[Refused], lab: &Lab, arguments: &[&str]) -> Option<Output> {
    let program = filter(refused);
    let mut command = lab.kelvin();
    command.args(arguments);
    // SAFETY: between fork and exec only these two system calls are made, with memory that was made
    // before.
    unsafe {
        command.pre_exec(move || {
            let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
            let (one, zero) = (1 as libc::c_ulong, 0 as libc::c_ulong);
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) != 0
                || libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER as libc::c_ulong,
                    &raw const filter,
                ) != 0
            {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            crate::support::say(&format!(
                "skipped: file systems that lack calls: no filter can be set: {error}"
            ));
            None
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_hard_links_a_sweep_works_and_without_a_safe_rename_too_it_is_refused() {
    let lab = Lab::new();
    lab.write(SCRIPT, SWEEP);
    let Some(output) = behind(&[LINK], &lab, &[SCRIPT]) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(lab.metrics().len(), 2);
    let lab = Lab::new();
    lab.write(SCRIPT, SWEEP);
    let Some(output) = behind(&[LINK, RENAME], &lab, &[SCRIPT]) else { return };
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let expected = "out/sweep.json: this file system knows neither hard links nor renaming without replacing";
    assert!(said(&output).contains(expected), "{}", said(&output));
    // Nothing was started, and nothing is left of the attempt.
    assert_eq!(lab.files_under("out"), Vec::<std::path::PathBuf>::new());
    // What does without either works there: a sweep that was finished elsewhere.
    assert_eq!(lab.run([SCRIPT]).code, Some(0));
    let Some(output) = behind(&[LINK, RENAME], &lab, &[SCRIPT]) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

/// Old kernels and the filters of containers have no call that follows no links: then each name is
/// looked at.
#[test]
fn without_openat2_links_are_refused_all_the_same() {
    for refused in [OPEN, OPEN_FILTERED] {
        let lab = Lab::new();
        lab.write(SCRIPT, SWEEP);
        let Some(output) = behind(&[refused], &lab, &[SCRIPT]) else { return };
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(lab.metrics().len(), 2);
        fs::rename(lab.path("out/metrics"), lab.path("moved")).unwrap();
        symlink(lab.path("moved"), lab.path("out/metrics")).unwrap();
        let Some(output) = behind(&[refused], &lab, &[SCRIPT]) else { return };
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("out/metrics is a link"), "{}", said(&output));
    }
}
