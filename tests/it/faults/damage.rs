//! Files that somebody or something changed.

use std::fs;
use std::path::{Path, PathBuf};

use kelvin::sweep::{Plan, Store};
use kelvin::train::Position;

use super::{
    Dice, assert_same, begin_all, files_in, many, published, repeated, results, run_to_the_end, spec,
};
use crate::support::{Lab, Run};

/// Begins a sweep of one run that has trained, and leaves its last two checkpoints, the newest
/// first.
fn begun(plan: &Plan, dir: &Path) -> [PathBuf; 2] {
    let store = begin_all(plan, dir);
    let attempts = store.attempts(&plan.runs[0].id).unwrap();
    let [attempt] = &attempts[..] else { panic!("{} attempts", attempts.len()) };
    let [.., earlier, last] = &attempt.checkpoints[..] else { panic!("{:?}", attempt.checkpoints) };
    assert_eq!((earlier.position, last.position), (at(1), at(2)));
    [last, earlier].map(|checkpoint| attempt.folder.join(&checkpoint.file))
}

fn at(epoch: u32) -> Position {
    Position { epoch, step: 0 }
}

fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
}

/// Fault 5: a checkpoint with a flipped bit is no checkpoint; the one before it is, or the
/// beginning.
#[test]
fn no_flipped_bit_of_a_checkpoint_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(vec![spec(20, 1)]).unwrap();
    let id = plan.runs[0].id.as_str();
    let dir = folder.path().join("out");
    let [last, earlier] = begun(&plan, &dir);
    let (whole, whole_earlier) = (fs::read(&last).unwrap(), fs::read(&earlier).unwrap());
    let store = Store::open(&dir).unwrap();
    let first = last.parent().unwrap().to_owned();
    // Where a new attempt starts; it is removed again.
    let starts = || {
        let (attempt, snapshot) = store.begin(id, "cpu").unwrap();
        drop(attempt);
        for entry in fs::read_dir(store.state(id)).unwrap() {
            let path = entry.unwrap().path();
            if path != first {
                fs::remove_dir_all(path).unwrap();
            }
        }
        snapshot.map(|snapshot| snapshot.position)
    };
    assert_eq!(starts(), Some(at(2)));
    let mut dice = Dice::new();
    let flips = many(150, 10_000);
    for count in 0..flips {
        let bit = dice.below(8 * whole.len());
        flip(&last, bit);
        // Now and then both.
        let both = count % 10 == 0;
        if both {
            flip(&earlier, dice.below(8 * whole_earlier.len()));
        }
        assert_eq!(starts(), (!both).then_some(at(1)), "bit {bit}");
        fs::write(&last, &whole).unwrap();
        fs::write(&earlier, &whole_earlier).unwrap();
    }
    // Cut, longer, empty, another checkpoint of the same run, gone.
    let longer = [whole.as_slice(), &[0]].concat();
    for bytes in [&whole[..dice.below(whole.len())], &longer, &[], &whole_earlier] {
        fs::write(&last, bytes).unwrap();
        assert_eq!(starts(), Some(at(1)), "{} bytes", bytes.len());
    }
    // Longer than memory, most of it a hole.
    fs::File::create(&last).unwrap().set_len(1 << 34).unwrap();
    assert_eq!(starts(), Some(at(1)));
    fs::remove_file(&last).unwrap();
    assert_eq!(starts(), Some(at(1)));
    fs::write(&last, &whole).unwrap();
    assert_eq!(starts(), Some(at(2)));
    println!("{flips} flips in a file of {} bytes", whole.len());
}

/// Fault 5, to the end of the sweep.
#[test]
fn a_sweep_with_damaged_checkpoints_goes_on_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(vec![spec(20, 1)]).unwrap();
    let oracle = folder.path().join("oracle");
    run_to_the_end(&plan, &oracle);
    let oracle = results(&oracle);
    let mut dice = Dice::new();
    for round in 0..many(4, 100) {
        let dir = folder.path().join(format!("out{round}"));
        let damaged = begun(&plan, &dir);
        let damaged = &damaged[..round % 3];
        for path in damaged {
            flip(path, dice.below(8 * fs::read(path).unwrap().len()));
        }
        run_to_the_end(&plan, &dir);
        let attempts = Store::open(&dir).unwrap().attempts(&plan.runs[0].id).unwrap();
        assert_eq!(attempts[1].position, at(2 - damaged.len() as u32));
        assert_same(&dir, &oracle, &format!("{} damaged checkpoints", damaged.len()));
        if damaged.is_empty() {
            // The last one ended without a checkpoint, and its journal does not know it.
            assert_eq!(repeated(&dir), 0);
        }
    }
}

/// A sweep of these learning rates.
fn sweep(lr: &str, options: &str) -> String {
    format!(
        "sweep(#{{ data: digits(), train: 60, test: 20, model: linear(), lr: {lr}, batch: 10, epochs: 2 }})\
         .run(\"out\", #{{{options}}})"
    )
}

/// Every file of the sweep's folder with its content, journals included.
fn everything(lab: &Lab) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files_in(&lab.path("out")).into_iter();
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Runs a script that is to be refused without having touched anything.
#[track_caller]
fn refused(lab: &Lab, script: &str, reasons: &[&str]) -> Run {
    let before = everything(lab);
    let run = lab.script(script);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    for reason in reasons {
        assert!(run.stderr.contains(reason), "expected `{reason}`:\n{}", run.stderr);
    }
    assert!(everything(lab) == before, "something was started");
    run
}

/// Fault 10.
#[test]
fn an_edited_plan_is_refused_with_what_was_edited() {
    let lab = Lab::new();
    let script = sweep("[0.1, 0.2, 0.3]", "");
    assert_eq!(lab.script(&script).code, Some(0));
    // Something is left to train.
    fs::remove_file(&files_in(&lab.path("out/metrics"))[0]).unwrap();
    let path = lab.path("out/sweep.json");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let run = lines.iter().position(|line| line.contains("\"lr\":0.2")).unwrap();
    let id = lines[run].split('"').nth(3).unwrap();
    let without_a_run = lines.iter().enumerate().filter(|(line, _)| *line != run).map(|(_, line)| *line);
    let replaced = |from: &str, to: &str| {
        assert!(text.contains(from), "no {from} in {text}");
        text.replacen(from, to, 1)
    };
    let stack = text.split("\"stack\":").nth(1).unwrap().split([',', '}']).next().unwrap();
    let cases = [
        (replaced("\"lr\":0.2", "\"lr\":0.25"), "lr is 0.25 in the file and 0.2 in this plan".to_owned()),
        (
            replaced(&format!("\"stack\":{stack}"), "\"stack\":77"),
            format!("choice.stack is 77 in the file and {stack} in this plan"),
        ),
        (without_a_run.collect::<Vec<_>>().join("\n"), format!("{id}: is in this plan and not in the file")),
        (replaced("\"libtorch\":\"2.", "\"libtorch\":\"3."), "its provenance is not what it was".to_owned()),
    ];
    for (edited, difference) in cases {
        fs::write(&path, edited).unwrap();
        refused(&lab, &script, &["was changed after it was written", &difference]);
        // Nor by the other ways to train it.
        let before = everything(&lab);
        let worker = lab.run(["worker", "out", "1/1"]);
        assert_eq!(worker.code, Some(1), "{}", worker.stderr);
        assert!(worker.stderr.contains("was changed after it was written"), "{}", worker.stderr);
        assert!(everything(&lab) == before);
    }
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let before = everything(&lab);
    let cut = lab.script(&script);
    assert!(cut.code == Some(1) && cut.stderr.contains("damaged, or not a plan"), "{}", cut.stderr);
    assert!(everything(&lab) == before);
    // Restored, it goes on.
    fs::write(&path, &text).unwrap();
    assert_eq!(lab.script(&script).code, Some(0));
    assert_eq!(published(&lab.path("out")).len(), 3);
}

/// Fault 10, in the script instead of the file.
#[test]
fn another_plan_is_refused_with_its_values_and_extended_on_demand() {
    let lab = Lab::new();
    assert_eq!(lab.script(&sweep("[0.1, 0.2]", "")).code, Some(0));
    let two = published(&lab.path("out"));
    let more = refused(&lab, &sweep("[0.1, 0.2, 0.4]", ""), &["lr: 0.4 is new", "extend: true"]);
    assert!(!more.stderr.contains("missing"), "{}", more.stderr);
    refused(&lab, &sweep("[0.1]", ""), &["lr: 0.2 is missing"]);
    refused(&lab, &sweep("[0.1, 0.3]", "extend: true"), &["lr: 0.3 instead of 0.2", "another folder"]);
    let before = fs::read(lab.path("out/sweep.json")).unwrap();
    let extended = lab.script(&sweep("[0.1, 0.2, 0.4]", "extend: true"));
    assert_eq!(extended.code, Some(0), "{}", extended.stderr);
    let three = published(&lab.path("out"));
    assert!(three.len() == 3 && two.iter().all(|name| three.contains(name)), "{three:?}");
    assert_eq!(fs::read(lab.path("out/sweep.json")).unwrap(), before);
    // The same rows as in a folder of their own, and the extended plan is the plan from now on.
    let other = Lab::new();
    assert_eq!(other.script(&sweep("[0.1, 0.2, 0.4]", "")).code, Some(0));
    let losses = |lab: &Lab| kelvin::sweep::open(&lab.path("out")).unwrap().floats("test_loss").unwrap();
    assert_eq!(losses(&lab), losses(&other));
    assert_eq!(lab.script(&sweep("[0.1, 0.2, 0.4]", "")).code, Some(0));
    refused(&lab, &sweep("[0.1, 0.2]", ""), &["lr: 0.4 is missing"]);
    assert_eq!(lab.script(&sweep("[0.1, 0.2]", "extend: true")).code, Some(0));
    let path = lab.path("out/sweep.2.json");
    let edited = fs::read_to_string(&path).unwrap().replacen("\"lr\":0.4", "\"lr\":0.5", 1);
    fs::write(&path, edited).unwrap();
    let difference = "lr is 0.5 in the file and 0.4 in this plan";
    refused(&lab, &sweep("[0.1, 0.2, 0.4]", ""), &["sweep.2.json", difference]);
}
