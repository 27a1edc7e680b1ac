//! Sweeps' folders that somebody else made, or put something into: nothing in them is believed,
//! nothing outside of them is written or removed, and what is not kelvin's own stays.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use kelvin::data::{DataSpec, Sampling, Source};
use kelvin::error::{Error, Result};
use kelvin::model::ModelSpec;
use kelvin::optim::{OptimizerSpec, Schedule, Sgd};
use kelvin::sweep::{
    Files, Observer, Plan, PlannedRun, Provenance, RunOptions, Silent, Store, preview_plan, train_rest,
};
use kelvin::torch::Precision;
use kelvin::train::engine::{self, Event, Settings, Task};
use kelvin::train::{EpochRecord, Order, RunSpec, Seeds, TrainMetrics};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tch::Device;

use crate::faults::{Dice, many};
use crate::support::{Lab, in_own_process, is_asked_for};
use crate::terminal::{CTRL_C, ENTER, PROMPT, Terminal};

const SWEEP: &str = "sweep(#{ data: digits(), train: 60, test: 20, model: linear(), lr: [0.1, 0.2], batch: 10, \
                     epochs: 2 }).run(\"out\")";

fn old(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

/// Every file below a folder with its content; links as what they are.
fn everything(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(everything(&path));
            found.insert(path, "a folder".to_owned());
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            found.insert(path, format!("a link to {}", target.display()));
        } else {
            let content = Sha256::digest(fs::read(&path).unwrap());
            found.insert(path, format!("{content:x?}"));
        }
    }
    found
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_sweep_removes_only_what_kelvin_wrote() {
    let lab = Lab::new();
    let theirs = [
        "thesis.tex",
        "notes.part",
        "0123456789abcdef0123456789abcde.part",
        "0123456789ABCDEF0123456789ABCDEF.part",
        "0123456789abcdef0123456789abcdef.parts",
    ];
    for name in theirs {
        old(&lab.write(&format!("out/staging/{name}"), "mine"), 2);
    }
    let left = lab.write("out/staging/0123456789abcdef0123456789abcdef.part", "left by a crash");
    old(&left, 2);
    let fresh = lab.write("out/staging/ffffffffffffffffffffffffffffffff.part", "being written");
    let folder = lab.path("out/staging/00000000000000000000000000000000.part");
    fs::create_dir(&folder).unwrap();
    let link = lab.path("out/staging/11111111111111111111111111111111.part");
    symlink(lab.write("elsewhere", "mine"), &link).unwrap();
    let run = lab.script(SWEEP);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for name in theirs {
        let path = lab.path(&format!("out/staging/{name}"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine", "{name}");
    }
    assert!(!left.exists() && fresh.exists() && folder.exists());
    assert_eq!(fs::read_to_string(&link).unwrap(), "mine");
}

#[test]
fn a_staging_folder_that_is_a_link_is_refused() {
    let lab = Lab::new();
    let file = lab.write("elsewhere/0123456789abcdef0123456789abcdef.part", "mine");
    old(&file, 2);
    fs::create_dir(lab.path("out")).unwrap();
    symlink(lab.path("elsewhere"), lab.path("out/staging")).unwrap();
    let run = lab.script(SWEEP);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("out/staging is a link"), "{}", run.stderr);
    assert_eq!(fs::read_dir(lab.path("elsewhere")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    // The sweep's folder itself may be one: the user named it.
    fs::remove_dir_all(lab.path("out")).unwrap();
    symlink("real", lab.path("out")).unwrap();
    fs::create_dir(lab.path("real")).unwrap();
    let run = lab.script(SWEEP);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(lab.run(["compact", "out"]).code, Some(0));
}

/// The table of runs is rebuilt over what is there, which before the first run is not kelvin's.
#[test]
fn a_table_of_runs_that_is_somebodys_own_is_not_replaced() {
    let lab = Lab::new();
    lab.write("out/runs.parquet", "mine");
    let run = lab.script(SWEEP);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("out/runs.parquet: expected no file of this name"), "{}", run.stderr);
    assert_eq!(everything(&lab.path("out")).len(), 1);
    fs::remove_file(lab.path("out/runs.parquet")).unwrap();
    assert_eq!(lab.script(SWEEP).code, Some(0));
    // A sweep's own is, also where its plan is gone and comes again.
    fs::write(lab.path("out/runs.parquet"), "damaged").unwrap();
    fs::remove_file(lab.path("out/sweep.json")).unwrap();
    assert_eq!(lab.script(SWEEP).code, Some(0));
    assert_ne!(fs::read(lab.path("out/runs.parquet")).unwrap(), b"damaged");
}

fn spec(model: ModelSpec, seed: i64) -> RunSpec {
    RunSpec {
        data: DataSpec::new(Source::digits()),
        sampling: Sampling::Split,
        train: 60,
        test: 20,
        augment: false,
        model,
        init: None,
        optimizer: OptimizerSpec::new(Sgd { momentum: 0.5, ..Sgd::default() }),
        schedule: Schedule::COSINE,
        lr: 0.02,
        batch: 20,
        order: Order::Shuffled,
        epochs: 3,
        seeds: Seeds::all(seed),
        precision: Precision::Float32,
        evaluate_every: 1,
        train_metrics: TrainMetrics::Evaluate,
        measure: None,
    }
}

/// A folder with a finished and a begun sweep of these runs.
struct Received {
    home: tempfile::TempDir,
    plan: Plan,
    /// The plan as it was written.
    json: Value,
}

/// Stops a training after some epochs.
struct Stops(usize);

impl Observer for Stops {
    fn epoch(&mut self, _: &str, _: &PlannedRun, _: &EpochRecord) -> Result<()> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { Err(Error::Interrupted) } else { Ok(()) }
    }
}

fn quickly() -> RunOptions {
    RunOptions { jobs: Some(1), checkpoint_every: Duration::ZERO, ..RunOptions::default() }
}

impl Received {
    /// Runs that were published, and one that was begun and has a checkpoint.
    fn new(specs: Vec<RunSpec>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("a/b/out");
        fs::create_dir_all(home.path().join("outside")).unwrap();
        let plan = Plan::new(specs).unwrap();
        let store = Store::create(Files::default(), &dir, &plan, &Provenance::here(), false).unwrap();
        let store = Arc::new(store);
        let (last, first) = plan.runs.split_last().unwrap();
        train_rest(&store, first.to_vec(), &quickly(), &mut Silent).unwrap();
        let mut attempt = store.begin(&last.id, "cpu").unwrap().0;
        let settings = Settings { checkpoint_every: Some(Duration::ZERO), ..Settings::on(Device::Cpu) };
        engine::run(vec![Task::new(last.spec.clone(), last.strategy)], settings, &mut |event| match event {
            Event::Epoch { record, .. } => attempt.epoch(&record),
            Event::Checkpoint { runs } => {
                attempt.checkpoint(&runs[0].1)?;
                attempt.flush()
            }
            _ => Ok(()),
        })
        .unwrap();
        let json = serde_json::from_slice(&fs::read(dir.join("sweep.json")).unwrap()).unwrap();
        Self { home, plan, json }
    }

    fn small() -> Self {
        Self::new(vec![spec(ModelSpec::linear(), 1), spec(ModelSpec::linear(), 2)])
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("a/b/out")
    }

    fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut found = everything(self.home.path());
        found.retain(|path, _| !path.starts_with(self.dir()));
        found
    }

    /// Writes the plan with a right checksum, as far as it is a plan at all.
    fn write(&self, mut json: Value) {
        let sweep = json["sweep"].as_str().map(str::to_owned);
        let provenance = serde_json::from_value::<Provenance>(json["provenance"].clone());
        let runs = serde_json::from_value::<Vec<PlannedRun>>(json["runs"].clone());
        if let (Some(sweep), Ok(provenance), Ok(runs)) = (sweep, provenance, runs) {
            json["sha256"] = sha256(&serde_json::to_vec(&(sweep, provenance, runs)).unwrap()).into();
        }
        fs::write(self.dir().join("sweep.json"), json.to_string()).unwrap();
    }
}

/// Gives every run, and the sweep, the id that its values have.
fn with_new_ids(json: &mut Value) {
    let Ok(mut runs) = serde_json::from_value::<Vec<PlannedRun>>(json["runs"].clone()) else { return };
    runs.iter_mut().for_each(|run| run.id = run.spec.id());
    for (json, run) in json["runs"].as_array_mut().unwrap().iter_mut().zip(&runs) {
        json["id"] = run.id.clone().into();
    }
    json["sweep"] = Plan { runs }.id().into();
}

#[test]
fn ids_are_those_of_what_they_name() {
    let received = Received::small();
    let outside = received.outside();
    let run = received.plan.runs[0].id.clone();
    for (place, id) in [
        ("/sweep", "s/../../../../outside"),
        ("/sweep", "s0123456789abcdef"),
        ("/sweep", ""),
        ("/runs/0/id", "../../../../ESCAPED"),
        ("/runs/0/id", "/tmp/absolute"),
        ("/runs/0/id", "r0123456789abcdef"),
        ("/runs/0/id", ""),
        ("/runs/0/id", "é"),
        ("/runs/0/id", &run.to_uppercase()),
    ] {
        let mut json = received.json.clone();
        *json.pointer_mut(place).unwrap() = id.into();
        if place != "/sweep" {
            // With the sweep's id that these ids give.
            let runs = serde_json::from_value(json["runs"].clone()).unwrap();
            json["sweep"] = Plan { runs }.id().into();
        }
        received.write(json);
        let error = Store::open(&received.dir()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("sweep.json: ") && error.contains("id is"), "{place} {id}: {error}");
        let name = if place == "/sweep" { "sweep" } else { "run 1 (" };
        assert!(error.contains(name), "{place} {id}: {error}");
        let created =
            Store::create(Files::default(), &received.dir(), &received.plan, &Provenance::here(), true);
        assert!(created.is_err(), "{place} {id}");
    }
    assert_eq!(received.outside(), outside);
    received.write(received.json.clone());
    Store::open(&received.dir()).unwrap();
}

/// What a script may not say, a file may not say either.
#[test]
fn values_are_checked_as_if_a_script_had_given_them() {
    let received = Received::new(vec![
        spec(ModelSpec::mlp(vec![3]), 1),
        spec(ModelSpec::resnet(1), 1),
        spec(ModelSpec::linear(), 1),
    ]);
    let at = |model: &str| {
        let is = |run: &PlannedRun| run.spec.model.info().name == model;
        received.plan.runs.iter().position(is).unwrap()
    };
    let (mlp, resnet, linear) = (at("mlp"), at("resnet"), at("linear"));
    let huge = json!(u64::MAX);
    for (run, place, value, expected) in [
        (linear, "spec/evaluate_every", json!(0), "evaluate_every is 0, expected at least 1"),
        (linear, "spec/batch", json!(0), "batch is 0, expected at least 1"),
        (linear, "spec/batch", huge.clone(), "batch is 18446744073709551615, larger than"),
        (linear, "spec/epochs", json!(0), "epochs is 0, expected at least 1"),
        (linear, "spec/train", json!(0), "train is 0"),
        (linear, "spec/train", huge.clone(), "train is 18446744073709551615"),
        (linear, "spec/test", huge.clone(), "test is 18446744073709551615"),
        (linear, "spec/test", json!(1_000_000), "train 60 and test 1000000"),
        (linear, "spec/lr", json!(0.0), "lr is 0, expected a finite number above 0"),
        (linear, "spec/lr", json!(-0.1), "lr is -0.1"),
        (
            linear,
            "spec/optimizer/momentum",
            json!(1.0),
            "momentum: expected a number from 0 to below 1, found the number 1.0",
        ),
        (linear, "spec/optimizer/weight_decay", json!(-1.0), "weight_decay: expected a number ≥ 0"),
        (linear, "spec/data/digest", json!("../x"), "data.digest is \"../x\""),
        (linear, "spec/data/operations", json!([{"take": {"n": 0}}]), "n is 0"),
        (linear, "spec/data/operations", json!([{"label_noise": {"p": 1.5, "seed": 1}}]), "p is 1.5"),
        (linear, "spec/init", json!({"path": "/dev/zero", "sha256": "x"}), "init.sha256 is \"x\""),
        (linear, "spec/measure", json!({"groups": ["gradient"], "every": 0}), "every is 0"),
        (linear, "spec/measure", json!({"groups": [], "every": 1}), "groups are []"),
        (mlp, "spec/model/hidden", json!([i64::MAX]), "a layer of 9223372036854775807 units"),
        (mlp, "spec/model/hidden", json!(vec![1; 1001]), "1001 hidden layers"),
        (resnet, "spec/model/width", json!(-1), "a layer of -1 units"),
        (resnet, "spec/model/width", json!(0), "a layer of 0 units"),
        (resnet, "choice/images", json!(0), "choice.images is 0"),
        (resnet, "choice/images", json!(3), "choice.images is 3"),
        (resnet, "choice/images", huge.clone(), "choice.images is 18446744073709551615"),
        (resnet, "choice/stack", json!(0), "choice.stack is 0"),
        (resnet, "choice/threads", huge.clone(), "choice.threads is 18446744073709551615"),
        (linear, "choice/stack", huge.clone(), "choice.stack is 18446744073709551615"),
        (linear, "choice/threads", json!(0), "choice.threads is 0"),
        (linear, "choice/backend", json!("lanes"), "lanes, which train no linear"),
        (linear, "parameters", json!(-5), "parameters is -5"),
        (linear, "examples", json!(1), "at most the 1 examples"),
        (linear, "examples", huge, "examples is 18446744073709551615"),
    ] {
        let mut json = received.json.clone();
        let (above, name) = place.rsplit_once('/').unwrap_or(("", place));
        let above = if above.is_empty() { format!("/runs/{run}") } else { format!("/runs/{run}/{above}") };
        json.pointer_mut(&above).unwrap()[name] = value.clone();
        with_new_ids(&mut json);
        received.write(json);
        let error = Store::open(&received.dir()).map(|_| ()).unwrap_err().to_string();
        for part in ["sweep.json: run ", &format!("run {} (", run + 1), expected] {
            assert!(error.contains(part), "{place} {value}: expected `{part}`: {error}");
        }
    }
    // Times that no calendar knows, and values of another kind, make it no plan.
    for (place, value) in [
        ("/provenance/created/secs_since_epoch", json!(u64::MAX)),
        ("/provenance/created/secs_since_epoch", json!(1u64 << 60)),
        ("/runs/0/spec/lr", Value::Null),
        ("/runs/0/spec/batch", json!(-1)),
    ] {
        let mut json = received.json.clone();
        *json.pointer_mut(place).unwrap() = value;
        received.write(json);
        let error = Store::open(&received.dir()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("damaged, or not a plan"), "{place}: {error}");
    }
}

/// Data that a plan of somebody else's does not fit are known when it trains.
#[test]
fn a_run_that_does_not_fit_its_data_fails_with_words() {
    let received = Received::small();
    let mut json = received.json.clone();
    for run in json["runs"].as_array_mut().unwrap() {
        run["spec"]["train"] = json!(5000);
        run["spec"]["batch"] = json!(5000);
        run.as_object_mut().unwrap().remove("examples");
    }
    with_new_ids(&mut json);
    received.write(json);
    let store = Arc::new(Store::open(&received.dir()).unwrap());
    let summary = train_rest(&store, store.plan().runs.clone(), &quickly(), &mut Silent).unwrap();
    assert_eq!((summary.runs, summary.failed), (2, 2));
    let run = &store.plan().runs[0];
    let why = store.status(&run.id).unwrap().why(run);
    assert!(why.contains("must be at most the 1797 examples of the data set"), "{why}");
}

/// What an earlier version of kelvin wrote opens, and goes on.
#[test]
fn plans_of_earlier_versions_open() {
    let received = Received::small();
    let mut json = received.json.clone();
    for run in json["runs"].as_array_mut().unwrap() {
        // None of these was known at first.
        run.as_object_mut().unwrap().remove("examples");
        run["choice"].as_object_mut().unwrap().retain(|key, _| ["stack", "threads"].contains(&key.as_str()));
    }
    json["provenance"].as_object_mut().unwrap().remove("modules");
    received.write(json);
    let store = Arc::new(Store::open(&received.dir()).unwrap());
    let summary = train_rest(&store, store.plan().runs.clone(), &quickly(), &mut Silent).unwrap();
    assert_eq!((summary.runs, summary.done), (2, 2));
    assert_eq!(kelvin::sweep::open(&received.dir()).unwrap().len(), 6);
}

/// Everything that is done with a folder.
fn use_all(received: &Received) -> Vec<Result<()>> {
    let dir = received.dir();
    let open = || Store::open(&dir);
    vec![
        kelvin::sweep::open(&dir).map(|_| ()),
        kelvin::sweep::run(&received.plan, &dir, &Provenance::here(), &quickly(), &mut Silent).map(|_| ()),
        open().and_then(|store| store.run_statuses().map(|_| ())),
        open().and_then(|store| store.write_runs()),
        open().and_then(|store| {
            let store = Arc::new(store);
            train_rest(&store, store.plan().runs.clone(), &quickly(), &mut Silent).map(|_| ())
        }),
        kelvin::sweep::compact(&dir).map(|_| ()),
        kelvin::sweep::run(
            &Plan::new([1, 2, 3].map(|seed| spec(ModelSpec::linear(), seed)).to_vec()).unwrap(),
            &dir,
            &Provenance::here(),
            &RunOptions { extend: true, ..quickly() },
            &mut Silent,
        )
        .map(|_| ()),
    ]
}

/// Whatever is a link below a sweep's folder: nothing is written, made or removed where it leads.
#[test]
fn no_link_below_a_folder_is_followed() {
    let names = [
        "sweep.json",
        "sweep.2.json",
        "metrics",
        "metrics/sweep=*",
        "metrics/sweep=*/*.parquet",
        "state",
        "state/RUN",
        "state/RUN/attempt-*",
        "state/RUN/attempt-*/journal.jsonl",
        "state/RUN/attempt-*/ckpt-*",
        "staging",
        "compact",
        "compact/sweep=*",
        "compact/sweep=*/epochs.parquet",
        "runs.parquet",
    ];
    for pattern in names {
        let received = Received::small();
        let dir = received.dir();
        // The one that was begun.
        let pattern = &pattern.replace("RUN", &received.plan.runs.last().unwrap().id);
        kelvin::sweep::compact(&dir).unwrap();
        Store::open(&dir).unwrap().write_runs().unwrap();
        let elsewhere = received.home.path().join("outside/moved");
        let mut found: Vec<PathBuf> =
            glob::glob(dir.join(pattern).to_str().unwrap()).unwrap().map(|path| path.unwrap()).collect();
        let path = found.pop().unwrap_or_else(|| dir.join(pattern.replace('*', "x")));
        match path.symlink_metadata() {
            Ok(_) => fs::rename(&path, &elsewhere).unwrap(),
            Err(_) => fs::write(&elsewhere, "mine").unwrap(),
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(&elsewhere, &path).unwrap();
        let before = received.outside();
        let results = use_all(&received);
        assert_eq!(received.outside(), before, "{pattern}: {results:?}");
        // In words, unless the link was replaced or not needed.
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            let error = error.to_string();
            let expected = [" is a link, and below ", "expected a file, found something else"];
            assert!(expected.iter().any(|text| error.contains(text)), "{pattern}: {error}");
        }
        // Only what is written anew each time may be given its name over a link.
        let is_replaced = ["runs.parquet", "compact/sweep=*/epochs.parquet"].contains(&pattern.as_str());
        assert_ne!(results.iter().any(Result::is_err), is_replaced, "{pattern}: {results:?}");
    }
}

/// What is not a checkpoint stays when checkpoints go.
#[test]
fn a_run_that_ends_leaves_what_others_put_beside_its_checkpoints() {
    let received = Received::small();
    let dir = received.dir();
    let run = received.plan.runs.last().unwrap();
    let attempt = Store::open(&dir).unwrap().attempts(&run.id).unwrap()[0].folder.clone();
    let theirs = ["ckpt-notes.tex", "ckpt-1.safetensors.bak", "ckpt-01.safetensors", "draft.part", "ckpt-"];
    theirs.iter().for_each(|name| fs::write(attempt.join(name), "mine").unwrap());
    let left = attempt.join("0123456789abcdef0123456789abcdef.part");
    fs::write(&left, "left by a crash").unwrap();
    assert!(attempt.join("ckpt-2.safetensors").exists());
    kelvin::sweep::run(&received.plan, &dir, &Provenance::here(), &quickly(), &mut Silent).unwrap();
    for name in theirs {
        assert_eq!(fs::read_to_string(attempt.join(name)).unwrap(), "mine", "{name}");
    }
    assert!(!left.exists() && !attempt.join("ckpt-2.safetensors").exists());
}

/// A journal's lines with right checksums.
fn journal(records: &[Value]) -> String {
    let mut crc = 0u32;
    let line = |record: &Value| {
        let json = record.to_string();
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&crc.to_le_bytes());
        hasher.update(json.as_bytes());
        crc = hasher.finalize();
        format!("{crc:08x} {json}\n")
    };
    records.iter().map(line).collect()
}

fn records(journal: &Path) -> Vec<Value> {
    let text = fs::read_to_string(journal).unwrap();
    text.lines().map(|line| serde_json::from_str(&line[9..]).unwrap()).collect()
}

/// A journal says where files lie and how far a run is; what no training can have written does not
/// count.
#[test]
fn a_journal_that_lies_is_no_journal() {
    let received = Received::small();
    let dir = received.dir();
    let run = received.plan.runs.last().unwrap().id.clone();
    let attempt = Store::open(&dir).unwrap().attempts(&run).unwrap()[0].folder.clone();
    let path = attempt.join("journal.jsonl");
    let whole = records(&path);
    let place = |name: &str| whole.iter().rposition(|record| record.get(name).is_some()).unwrap();
    let (checkpoint, epoch) = (place("checkpoint"), place("epoch"));
    let secret = received.home.path().join("outside/secret");
    fs::copy(attempt.join("ckpt-2.safetensors"), &secret).unwrap();
    let position = |epoch: u64, step: u64| json!({"epoch": epoch, "step": step});
    let cases = [
        (checkpoint, "checkpoint/file", json!(secret)),
        (checkpoint, "checkpoint/file", json!("../../../../../outside/secret")),
        (checkpoint, "checkpoint/file", json!("ckpt-1.safetensors")),
        (checkpoint, "checkpoint/position", position(3, 0)),
        (checkpoint, "checkpoint/position", position(u64::from(u32::MAX), 0)),
        (checkpoint, "checkpoint/position", position(2, u64::MAX)),
        (epoch, "epoch/epoch", json!(0)),
        (epoch, "epoch/epoch", json!(u32::MAX)),
        (0, "attempt/position", position(u64::from(u32::MAX), 7)),
        (0, "attempt/started/secs_since_epoch", json!(1u64 << 62)),
        (0, "attempt/run", json!("../../outside")),
    ];
    for (line, field, value) in cases {
        let mut records = whole.clone();
        *records[line].pointer_mut(&format!("/{field}")).unwrap() = value.clone();
        fs::write(&path, journal(&records)).unwrap();
        let store = Store::open(&dir).unwrap();
        let attempts = store.attempts(&run).unwrap();
        match line {
            0 => assert!(attempts.is_empty(), "{field} {value}"),
            _ => {
                let counted = attempts[0].epochs.len() + attempts[0].checkpoints.len();
                assert!(counted < line, "{field} {value}: {counted}");
                let (attempt, snapshot) = store.begin(&run, "cpu").unwrap();
                assert_eq!(snapshot.map(|snapshot| snapshot.position.epoch), Some(1), "{field} {value}");
                drop(attempt);
            }
        }
        for entry in fs::read_dir(store.state(&run)).unwrap() {
            let other = entry.unwrap().path();
            if other != attempt {
                fs::remove_dir_all(other).unwrap();
            }
        }
    }
    // As it was, it counts to its end; one from the future is nobody's who trains.
    fs::write(&path, journal(&whole[..=checkpoint])).unwrap();
    let then = SystemTime::now() + Duration::from_secs(1 << 31);
    File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    let mut elsewhere = whole.clone();
    elsewhere[0]["attempt"]["process"]["machine"] = json!("another");
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.status(&run).unwrap().name(), "begun");
}

/// Values that no kelvin writes, by the dozen.
fn hostile(dice: &mut Dice, home: &Path) -> Value {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let values = [
        json!(-1),
        json!(0),
        json!(1),
        json!(2),
        json!(3),
        json!(7),
        json!(255),
        json!(65_536),
        json!(1u64 << 31),
        json!(u32::MAX),
        json!(1u64 << 32),
        json!((1u64 << 53) + 1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(-1e308),
        json!(5e-324),
        json!(0.5),
        json!(-0.0),
        json!(1.0),
        json!(""),
        json!("NaN"),
        json!("inf"),
        json!("../../../../ESCAPED"),
        json!("s/../../../../outside"),
        json!(home.join("outside/absolute")),
        json!("a\u{0}b"),
        json!("\u{1b}]0;owned\u{7}"),
        json!("é"),
        json!("."),
        json!("r0123456789abcdef"),
        json!("lanes"),
        json!("torch"),
        json!("x".repeat(100_000)),
        Value::Null,
        json!(true),
        json!([]),
        json!({}),
        json!([0, -1, u64::MAX]),
        json!(vec![0; 10_000]),
        json!(vec![1; 2_000]),
        deep,
        json!({"name": "synthetic", "n": u64::MAX, "classes": 2, "shape": [1, 2, 2], "noise": 0.1, "seed": 1}),
        json!({"name": "images", "path": "/dev/zero", "image": null, "label": null}),
        json!({"name": "resnet", "width": 4097}),
        json!({"name": "mlp", "hidden": []}),
        json!([{"take": {"n": 10}}]),
        json!([{"subset": {"n": u64::MAX, "seed": -1}}]),
        json!({"groups": ["spectrum", "gradient"], "every": 1}),
        json!({"secs_since_epoch": 1u64 << 61, "nanos_since_epoch": 0}),
    ];
    values[dice.below(values.len())].clone()
}

/// Where a value's leaves are, and the lists and maps above them.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| places(value, &format!("{path}/{key}"), found))
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| places(value, &format!("{path}/{at}"), found));
        }
        _ => {}
    }
    if !path.is_empty() {
        found.push(path.to_owned());
    }
}

/// Whether a run takes no time worth mentioning, whatever else is to be said of it.
fn is_short(run: &PlannedRun) -> bool {
    let spec = &run.spec;
    let model = match spec.model.hidden() {
        Some(hidden) => hidden.len() <= 4 && hidden.iter().all(|&units| units <= 64),
        None => spec.model.width() <= 2,
    };
    let data = spec.data.name() != "synthetic" && spec.data.operations.len() < 10;
    model && data && spec.train <= 2000 && spec.measure.is_none()
}

const MUTANTS: &str = "received::opens_mutants";

/// The process that opens mutants; alone it does nothing. In a process of its own, since it counts
/// the panics of all threads.
#[test]
fn opens_mutants() {
    if !is_asked_for(MUTANTS) {
        return;
    }
    let panics: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&panics);
    std::panic::set_hook(Box::new(move |panic| noted.lock().unwrap().push(panic.to_string())));
    let mut dice = Dice::new();
    let received = Received::new(vec![
        spec(ModelSpec::linear(), 1),
        RunSpec { batch: 10, ..spec(ModelSpec::resnet(1), 1) },
        spec(ModelSpec::resnet(1), 2),
        spec(ModelSpec::mlp(vec![4, 3]), 1),
        spec(ModelSpec::linear(), 2),
    ]);
    let dir = received.dir();
    let outside = received.outside();
    let run = received.plan.runs.last().unwrap().id.clone();
    let journal_path = Store::open(&dir).unwrap().attempts(&run).unwrap()[0].folder.join("journal.jsonl");
    let whole = records(&journal_path);
    let (mut leaves, mut lines) = (Vec::new(), Vec::new());
    places(&received.json, "", &mut leaves);
    places(&json!(whole), "", &mut lines);
    let (mut refused, mut opened, mut trained) = (0, 0, 0);
    for mutant in 0..many(400, 5_000) {
        let what;
        if mutant % 5 == 4 {
            let place = &lines[dice.below(lines.len())];
            let value = hostile(&mut dice, received.home.path());
            what = format!("the journal's {place} is {value:.80}");
            let mut mutated = json!(whole);
            *mutated.pointer_mut(place).unwrap() = value;
            fs::write(&journal_path, journal(mutated.as_array().unwrap())).unwrap();
        } else {
            let place = &leaves[dice.below(leaves.len())];
            let value = hostile(&mut dice, received.home.path());
            what = format!("{place} is {value:.80}");
            let mut mutated = received.json.clone();
            *mutated.pointer_mut(place).unwrap() = value;
            // Otherwise nearly all would be refused for their ids.
            if dice.below(4) > 0 {
                with_new_ids(&mut mutated);
            }
            received.write(mutated);
        }
        let step = catch_unwind(AssertUnwindSafe(|| -> Result<bool> {
            let store = Arc::new(Store::open(&dir)?);
            store.run_statuses()?;
            store.runs()?;
            store.epochs()?;
            if dice.below(100) == 0 && store.plan().runs.iter().all(is_short) {
                preview_plan(store.plan(), Some(&dir))?;
            }
            let short: Vec<PlannedRun> =
                store.plan().runs.iter().filter(|run| is_short(run)).cloned().collect();
            let mut stops = Stops(30);
            match train_rest(&store, short, &quickly(), &mut stops) {
                Ok(_) | Err(Error::Interrupted) => {}
                Err(error) => return Err(error),
            }
            Ok(stops.0 < 30)
        }));
        match step {
            Ok(Ok(went)) => {
                opened += 1;
                trained += usize::from(went);
            }
            Ok(Err(error)) => {
                let error = error.to_string();
                assert!(error.contains("sweep") || error.contains(&run), "{what}: {error}");
                refused += 1;
            }
            Err(_) => {}
        }
        let panics = std::mem::take(&mut *panics.lock().unwrap());
        if !panics.is_empty() || received.outside() != outside {
            // The hook keeps what a failed assertion says.
            println!("FAILED: {what}: {panics:?} {:?}", received.outside());
            std::process::exit(1);
        }
        if mutant % 5 == 4 {
            fs::write(&journal_path, journal(&whole)).unwrap();
        }
        received.write(received.json.clone());
    }
    println!("FIGURES {refused} refused, {opened} opened, of which {trained} trained");
}

#[test]
fn mutants_of_plans_and_journals_are_refused_or_harmless() {
    let said = in_own_process(MUTANTS);
    let figures = said.lines().find_map(|line| line.split("FIGURES ").nth(1));
    println!("{}", figures.expect("the process did its work"));
}

/// Stands in for Slurm's commands: what they are told lies beside them.
fn with_slurm(lab: &mut Lab) {
    for (name, text) in [
        ("scontrol", "echo 'MaxArraySize = 1001'"),
        ("squeue", "[ -e queue ] && cat queue; true"),
        ("sbatch", "printf '%s\\n' \"$@\" >> sent; echo 1234"),
    ] {
        let path = lab.write(&format!("bin/{name}"), format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    lab.set("PATH", format!("{}:{path}", lab.path("bin").display()));
}

const SUBMITTED: &str = "sweep(#{ data: digits(), train: 60, test: 20, model: linear(), lr: [0.1, 0.2], batch: 10, \
                         epochs: 2 }).run(\"out\", #{ executor: slurm(#{ setup: \"touch owned\" }) });";

/// The job scripts of the sweep, together.
fn job_scripts(lab: &Lab) -> String {
    let scripts = glob::glob(lab.path("out/submissions/*.sh").to_str().unwrap()).unwrap();
    scripts.map(|path| fs::read_to_string(path.unwrap()).unwrap()).collect()
}

/// Scripts start no processes; shell lines of theirs in job scripts would.
#[test]
fn shell_lines_of_scripts_need_a_flag() {
    let mut lab = Lab::new();
    with_slurm(&mut lab);
    let run = lab.script(SUBMITTED);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("kelvin --allow-shell"), "{}", run.stderr);
    assert!(!lab.path("out").exists() && !lab.path("sent").exists());
    let run = lab.run(["--allow-shell", crate::support::SCRIPT]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(job_scripts(&lab).contains("\ntouch owned\n"));

    // Nor by what lies in the folder, with the right checksum; it is told what they are.
    let run = lab.run(["submit", "out"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("touch owned") && run.stderr.contains("--allow-shell"), "{}", run.stderr);
    let before = job_scripts(&lab).matches("touch owned").count();
    for arguments in [&["submit", "out", "--setup", ""][..], &["submit", "out", "--setup", "true"]] {
        let run = lab.run(arguments);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(job_scripts(&lab).matches("touch owned").count(), before);
    }
    assert!(job_scripts(&lab).contains("\ntrue\n"));
}

/// What ends up on a command line is one word, and what is read from the folder is checked like it.
#[test]
fn submissions_that_were_changed_are_refused() {
    let mut lab = Lab::new();
    with_slurm(&mut lab);
    let plain = SUBMITTED.replace("setup: \"touch owned\"", "partition: \"gpu\"");
    assert_eq!(lab.script(&plain).code, Some(0));
    let submission = lab.files_under("submissions").into_iter().find(|path| path.ends_with("json"));
    let submission = submission
        .or_else(|| glob::glob(lab.path("out/submissions/*.json").to_str().unwrap()).unwrap().next()?.ok());
    let submission = submission.unwrap();
    let text = fs::read_to_string(&submission).unwrap();
    let id = submission.file_stem().unwrap().to_str().unwrap().to_owned();
    for (from, to) in [("\"gpu\"", "\"long\""), ("\"setup\":null", "\"setup\":\"touch owned\"")] {
        assert!(text.contains(from), "{text}");
        fs::write(&submission, text.replacen(from, to, 1)).unwrap();
        for arguments in [&["submit", "out"][..], &["worker", "out", &format!("{id}/0")]] {
            let run = lab.run(arguments);
            assert_eq!(run.code, Some(1), "{}", run.stderr);
            assert!(run.stderr.contains("it was changed after it was written"), "{}", run.stderr);
        }
    }
    // Without a checksum, as earlier versions wrote them, values are checked all the same.
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json.as_object_mut().unwrap().remove("sha256");
    for (name, value) in [
        ("partition", json!("gpu --wrap=owned")),
        ("partition", json!("--wrap")),
        ("mem", json!("8G;owned")),
        ("time", json!("$(owned)")),
        ("cpus", json!(0)),
        ("checkpoint_every", json!(-1.0)),
    ] {
        let mut edited = json.clone();
        edited["options"][name] = value;
        fs::write(&submission, edited.to_string()).unwrap();
        let run = lab.run(["submit", "out"]);
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stderr.contains("not a submission"), "{name}: {}", run.stderr);
    }
    fs::write(&submission, json.to_string()).unwrap();
    let run = lab.run(["worker", "out", &format!("{id}/0")]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);

    // An id is no path, whether it comes from the command line or from somebody else's job.
    lab.write("outside.json", &text);
    let run = lab.run(["worker", "out", "x/0"]);
    assert!(run.code == Some(1) && run.stderr.contains("expected the id of a submission"), "{}", run.stderr);
    lab.write("queue", "7_0|RUNNING|None|kelvin-../../outside-0\n");
    let run = lab.run(["ls", "out"]);
    assert!(run.code == Some(0) && !run.stdout.contains("job 7"), "{}", run.stdout);
}

/// One at a time; see `main.rs`.
mod alone {
    use super::*;

    /// At a terminal somebody is asked, once.
    #[test]
    fn the_prompt_asks_once_for_shell_lines() {
        let mut lab = Lab::new();
        with_slurm(&mut lab);
        let question = "may scripts of this session do so? (y/N) ";
        for (answer, expected) in [("n", "kelvin --allow-shell"), ("yes", "sent 2 runs")] {
            let mut terminal = Terminal::start(&lab);
            terminal.send(SUBMITTED);
            terminal.send(ENTER);
            assert!(terminal.wait(question).contains("touch owned"));
            // Whoever is asked can still leave.
            terminal.send(CTRL_C);
            terminal.wait("interrupted");
            terminal.wait(PROMPT);
            terminal.send(SUBMITTED);
            terminal.send(ENTER);
            terminal.wait(question);
            terminal.send(answer);
            terminal.send(ENTER);
            terminal.wait(expected);
            terminal.wait(PROMPT);
            assert!(!terminal.ask(SUBMITTED).contains(question), "{answer}");
            assert_eq!(job_scripts(&lab).contains("touch owned"), answer == "yes");
        }
    }
}
