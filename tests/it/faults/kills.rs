//! Processes that are killed or stopped.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use kelvin::sweep::Store;

use super::{Dice, Results, assert_same, files_in, many, repeated, results};
use crate::support::{Lab, SCRIPT, wait_until};

const SWEEP: &str = r#"
sweep(#{
    data: digits(), train: 120, test: 40, model: resnet(#{ width: 2 }), optimizer: sgd(#{ momentum: 0.9 }),
    schedule: "cosine", lr: [0.02, 0.05], batch: [10, 30], seed: [1, 2], epochs: arg("epochs", 12),
}).run(arg("dir"), #{ checkpoint_every: arg("every", 0.0) });
"#;

fn arguments<'a>(dir: &'a str, every: &'a str) -> [&'a str; 6] {
    [SCRIPT, "-q", "-D", dir, "-D", every]
}

/// A folder with the sweep that nothing happened to, what it gave, and how long it took.
fn undisturbed() -> (Lab, Results, Duration) {
    let lab = Lab::new();
    lab.write(SCRIPT, SWEEP);
    let run = lab.run(arguments("dir=oracle", "every=0"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let oracle = results(&lab.path("oracle"));
    (lab, oracle, run.time)
}

/// Fault 1.
#[test]
fn killed_at_any_time_a_sweep_goes_on_as_if_nothing_had_happened() {
    let kills = many(8, 200);
    let (lab, oracle, time) = undisturbed();
    let mut dice = Dice::new();
    let (mut killed, mut sweeps, mut again) = (0, 0, 0);
    while killed < kills {
        sweeps += 1;
        let name = format!("out{sweeps}");
        let dir = format!("dir={name}");
        loop {
            // After every epoch; in the middle of epochs; never.
            let every =
                ["every=0", "every=0.01", "every=60"][dice.below(10).min(2) * usize::from(killed % 2 > 0)];
            let program = lab.start(arguments(&dir, every));
            if killed < kills {
                std::thread::sleep(dice.up_to(time));
                program.signal(libc::SIGKILL);
            }
            let run = program.end();
            match run.code {
                Some(code) => {
                    assert_eq!(code, 0, "{}", run.stderr);
                    break;
                }
                None => killed += 1,
            }
        }
        assert_same(&lab.path(&name), &oracle, &format!("{killed} kills"));
        again += repeated(&lab.path(&name));
    }
    println!("{killed} kills of {sweeps} sweeps of 96 epochs; {again} epochs were trained again");
}

/// Three processes train in one folder and are killed in turn: what is published stays as it is,
/// and the end is as if nothing had happened.
#[test]
fn killed_among_three_in_one_folder_a_sweep_goes_on_as_if_nothing_had_happened() {
    let kills = many(9, 200);
    let (lab, oracle, time) = undisturbed();
    let mut dice = Dice::new();
    let (mut killed, mut folders) = (0, 0);
    while killed < kills {
        folders += 1;
        let name = format!("out{folders}");
        let dir = format!("dir={name}");
        let metrics = lab.path(&name).join("metrics");
        let start = |dice: &mut Dice| lab.start(arguments(&dir, ["every=0", "every=0.01"][dice.below(2)]));
        let mut programs: Vec<_> = (0..3).map(|_| start(&mut dice)).collect();
        let mut published: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
        while killed < kills {
            std::thread::sleep(dice.up_to(time / 2));
            let victim = programs.swap_remove(dice.below(programs.len()));
            victim.signal(libc::SIGKILL);
            let end = victim.end();
            for (path, before) in &published {
                let now = fs::read(path).unwrap_or_default();
                assert!(now == *before, "{} changed after {killed} kills", path.display());
            }
            let whole = files_in(&metrics).into_iter();
            published.extend(whole.map(|path| (path.clone(), fs::read(&path).unwrap())));
            match end.code {
                // It was faster: nothing is left to do in this folder.
                Some(code) => {
                    assert_eq!(code, 0, "{}", end.stderr);
                    break;
                }
                None => killed += 1,
            }
            programs.push(start(&mut dice));
        }
        for program in programs {
            let end = program.end();
            assert_eq!(end.code, Some(0), "{}", end.stderr);
        }
        // A process that was killed when it had published the last run has not rebuilt
        // runs.parquet.
        assert_eq!(lab.run(arguments(&dir, "every=0")).code, Some(0));
        assert_same(&lab.path(&name), &oracle, &format!("{killed} kills among three"));
        assert!(published.keys().all(|path| path.is_file()));
    }
    println!("{killed} kills among three processes in one folder, {folders} folders");
}

/// Fault 4. The one that was stopped counts as gone; when it goes on, it finds its runs published.
#[test]
fn of_two_live_attempts_the_first_to_publish_wins() {
    let lab = Lab::new();
    lab.write(SCRIPT, SWEEP);
    let mut dice = Dice::new();
    let arguments = |dir: &str| {
        arguments(dir, "every=0")
            .map(str::to_owned)
            .into_iter()
            .chain(["-D".to_owned(), "epochs=25".to_owned()])
    };
    let undisturbed = lab.run(arguments("dir=oracle"));
    assert_eq!(undisturbed.code, Some(0), "{}", undisturbed.stderr);
    let oracle = results(&lab.path("oracle"));
    for round in 0..many(2, 30) {
        let name = format!("out{round}");
        let (dir, argument) = (lab.path(&name), format!("dir={name}"));
        let first = lab.start(arguments(&argument));
        let begun = || {
            files_in(&dir.join("state")).iter().any(|path| {
                let journal = fs::read(path).unwrap_or_default();
                path.ends_with("journal.jsonl") && String::from_utf8_lossy(&journal).contains("\"epoch\":{")
            })
        };
        wait_until("the first epoch", begun);
        std::thread::sleep(dice.up_to(undisturbed.time / 3));
        first.signal(libc::SIGSTOP);
        let second = lab.run(arguments(&argument));
        assert_eq!(second.code, Some(0), "{}", second.stderr);
        let files = || {
            files_in(&dir.join("metrics"))
                .into_iter()
                .map(|path| {
                    let about = fs::metadata(&path).unwrap();
                    (fs::read(&path).unwrap(), about.ino(), about.mtime_nsec(), path)
                })
                .collect::<Vec<_>>()
        };
        let before = files();
        assert_eq!(before.len(), 8);
        first.signal(libc::SIGCONT);
        let first = first.end();
        assert_eq!(first.code, Some(0), "{}", first.stderr);
        assert!(files() == before, "a published file changed");
        assert_same(&dir, &oracle, "two attempts");
        let store = Store::open(&dir).unwrap();
        let twice = store.plan().runs.iter().filter(|run| store.attempts(&run.id).unwrap().len() > 1).count();
        println!("round {round}: {twice} of 8 runs had two attempts");
        assert!(twice > 0);
        assert_eq!(files_in(&dir.join("staging")), Vec::<std::path::PathBuf>::new());
    }
}
