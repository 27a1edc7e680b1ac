//! The process ends, or the disk fails, at any call of the store to the file system.

use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kelvin::sweep::{Call, Fault, Files};

use super::{Dice, Readers, assert_same, many, repeated, results, run_through, run_to_the_end, small_plan};
use crate::support::{DEADLINE, Lab, SCRIPT};

/// Files whose call number `n`, of those that `counts`, meets `fault`; and the number of calls so
/// far.
fn failing_at(
    n: usize,
    counts: fn(Call) -> bool,
    fault: impl Fn() -> Fault + Send + Sync + 'static,
) -> (Files, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let hook = move |call, _: &Path| match counts(call) && counter.fetch_add(1, Ordering::SeqCst) == n {
        true => fault(),
        false => Fault::None,
    };
    (Files::with_hook(Arc::new(hook)), calls)
}

/// Tells a process of this test which folder to run the plan in, and at which call to abort.
const FOLDER: &str = "KELVIN_ABORT_IN";
const AT: &str = "KELVIN_ABORT_AT";

/// The process that aborts; alone it does nothing.
#[test]
fn aborts() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let at = std::env::var(AT).unwrap().parse().unwrap();
    let (files, _) = failing_at(at, |_| true, || std::process::abort());
    run_through(files, &small_plan(), Path::new(&dir)).unwrap();
}

/// Runs the plan in a folder until it ends or reaches this call; says whether it ended.
fn ends_before(call: usize, dir: &Path) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::calls::aborts"])
        .env(FOLDER, dir)
        .env(AT, call.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success() || status.code().is_none(), "{status}");
    status.success()
}

/// Fault 2: at every call; then once more at another one, while it goes on.
#[test]
fn aborted_at_any_file_system_call_a_sweep_goes_on_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let plan = small_plan();
    let oracle = folder.path().join("oracle");
    run_to_the_end(&plan, &oracle);
    let oracle = results(&oracle);
    let mut readers = Readers::start();
    let mut dice = Dice::new();
    let step = many(13, 1);
    let (mut call, mut aborts, mut again) = (dice.below(step), 0, 0);
    loop {
        let dir = folder.path().join(format!("out{call}"));
        let ended = ends_before(call, &dir);
        for next in [Some(dice.below(call + 1)), None] {
            if let Some(readers) = readers.as_mut() {
                readers.check(&dir, &plan);
            }
            match next {
                Some(next) => aborts += 2 - usize::from(ended) - usize::from(ends_before(next, &dir)),
                None => run_to_the_end(&plan, &dir),
            }
        }
        assert_same(&dir, &oracle, &format!("an abort at call {call}"));
        again += repeated(&dir);
        if ended {
            break;
        }
        call += step;
    }
    println!("{aborts} aborts, at every {step}. of {call} calls; {again} epochs were trained again");
}

/// What a disk does.
#[derive(Clone, Copy, Debug)]
enum Disk {
    /// It is full, from some write on.
    Full,
    /// A write stops half-way because it is full; then somebody makes room.
    Torn,
    /// It cannot make something durable, once.
    Broken,
}

/// Fault 6.
#[test]
fn a_full_or_broken_disk_is_an_error_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let plan = small_plan();
    let oracle = folder.path().join("oracle");
    let (files, writes) = failing_at(usize::MAX, |call| call == Call::Write, || Fault::None);
    run_through(files, &plan, &oracle).unwrap();
    let writes = writes.load(Ordering::SeqCst);
    let oracle = results(&oracle);
    let mut readers = Readers::start();
    let mut dice = Dice::new();
    for disk in [Disk::Full, Disk::Torn, Disk::Broken] {
        let step = many(5, 1);
        let mut failed = 0;
        for n in (dice.below(step)..).step_by(step) {
            let dir = folder.path().join(format!("{disk:?}{n}"));
            let (files, why) = match disk {
                Disk::Full => {
                    let count = AtomicUsize::new(0);
                    let hook = move |call, _: &Path| match call == Call::Write
                        && count.fetch_add(1, Ordering::SeqCst) >= n
                    {
                        true => Fault::Fail(Error::from_raw_os_error(libc::ENOSPC)),
                        false => Fault::None,
                    };
                    (Files::with_hook(Arc::new(hook)), "No space left on device")
                }
                Disk::Torn => {
                    let torn = || Fault::Torn(30, Error::from_raw_os_error(libc::ENOSPC));
                    (failing_at(n, |call| call == Call::Write, torn).0, "No space left on device")
                }
                Disk::Broken => {
                    let broken = || Fault::Fail(Error::from_raw_os_error(libc::EIO));
                    let syncs = |call| matches!(call, Call::Sync | Call::SyncFolder);
                    (failing_at(n, syncs, broken).0, "Input/output error")
                }
            };
            let result = run_through(files, &plan, &dir);
            if let Some(readers) = readers.as_mut() {
                readers.check(&dir, &plan);
            }
            let ended = result.is_ok();
            if let Err(error) = result {
                let error = error.to_string();
                assert!(
                    error.contains(dir.to_str().unwrap()) && error.contains(why),
                    "{disk:?} {n}: {error}"
                );
                failed += 1;
            }
            run_to_the_end(&plan, &dir);
            assert_same(&dir, &oracle, &format!("{disk:?} {n}"));
            repeated(&dir);
            if ended {
                break;
            }
        }
        // The loop ends only when there is no such call any more: none of them went by unnoticed.
        println!("{disk:?}: {failed} errors, at every {step}. call; {writes} writes");
        assert!(failed >= writes / step / 2);
    }
}

/// Whoever has the finished sweep as an archive that cannot be written runs its script all the
/// same.
#[test]
fn a_finished_sweep_runs_again_where_nothing_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, dir) = (small_plan(), folder.path().join("out"));
    run_to_the_end(&plan, &dir);
    let read_only = |call, _: &Path| match call {
        Call::Read => Fault::None,
        _ => Fault::Fail(Error::from_raw_os_error(libc::EROFS)),
    };
    let summary = run_through(Files::with_hook(Arc::new(read_only)), &plan, &dir).unwrap();
    assert_eq!(summary.done, plan.runs.len(), "{summary:?}");
}

/// A file system in memory, mounted until it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], folder)
            .then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What is left is a mount in a temporary folder.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(arguments).arg(folder).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Fault 6, with a disk that is really full.
#[test]
fn a_disk_that_is_really_full() {
    let lab = Lab::new();
    let Some(disk) = Mount::new(&lab.path("disk"), "256k") else {
        eprintln!("skipped: a file system of some kilobytes needs the right to mount one");
        return;
    };
    lab.write(
        SCRIPT,
        "sweep(#{ data: digits(), train: 100, test: 50, model: resnet(#{ width: 2 }), optimizer: sgd(#{ momentum: 0.9 }), \
         lr: 0.02, batch: 10, seed: 1..=6, epochs: 4 }).run(arg(\"dir\"), #{ checkpoint_every: 0 });",
    );
    let arguments =
        |dir: &str| [SCRIPT, "-q", "-D"].map(str::to_owned).into_iter().chain([format!("dir={dir}")]);
    let oracle = lab.run(arguments("oracle"));
    assert_eq!(oracle.code, Some(0), "{}", oracle.stderr);
    let full = lab.run(arguments("disk/out"));
    assert_eq!(full.code, Some(1), "{}", full.stderr);
    assert!(
        full.stderr.contains("disk/out/") && full.stderr.contains("No space left on device"),
        "{}",
        full.stderr
    );
    assert!(full.time < DEADLINE / 2);
    assert!(mount(&["-o", "remount,size=64m"], &disk.0));
    let run = lab.run(arguments("disk/out"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_same(&lab.path("disk/out"), &results(&lab.path("oracle")), "a full disk");
}
