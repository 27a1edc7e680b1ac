//! Sweeps survive anything: whatever happens to one, running it again gives the rows and the
//! weights of a sweep that nothing happened to, bit for bit.
//!
//! `make test` runs a sample of each fault, `make soak` (KELVIN_SOAK=1) all of them. Random choices
//! come from a seed that is printed; KELVIN_SEED repeats them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kelvin::data::{DataSpec, Sampling, Source};
use kelvin::error::Result;
use kelvin::model::ModelSpec;
use kelvin::optim::{OptimizerSpec, Schedule, Sgd};
use kelvin::sweep::{Files, Plan, Provenance, RunOptions, Silent, Store, Summary};
use kelvin::torch::Precision;
use kelvin::train::engine::{self, Event, Settings, Task};
use kelvin::train::{Order, RunSpec, Seeds, TrainMetrics};
use tch::Device;

use crate::support::{read_parquet, texts};

mod calls;
mod crowd;
mod culprits;
mod damage;
mod kills;
mod positions;

/// A number for `make test`, or the one for `make soak`.
pub fn many(few: usize, all: usize) -> usize {
    if std::env::var_os("KELVIN_SOAK").is_some() { all } else { few }
}

/// Random numbers of a seed that is printed (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("KELVIN_SEED").ok().map_or_else(now, |seed| seed.parse().unwrap());
        println!("KELVIN_SEED={seed}");
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 to below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        longest.mul_f64((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// What a sweep gave.
#[derive(Debug, PartialEq)]
struct Results {
    /// The columns of the epochs table but `seconds`, bit for bit.
    columns: Vec<Vec<String>>,
    /// Each run with its status and the hash of its final weights.
    weights: Vec<(String, String, String)>,
}

fn results(dir: &Path) -> Results {
    let table = kelvin::sweep::open(dir).unwrap();
    let bits = |name: &str| match table.floats(name) {
        Ok(values) => values.iter().map(|value| value.to_bits().to_string()).collect(),
        Err(_) => table.strings(name).unwrap(),
    };
    let columns = table.columns().into_iter().filter(|name| *name != "seconds").map(bits).collect();
    let runs = read_parquet(&dir.join("runs.parquet"));
    let [ids, statuses, hashes] = ["run_id", "status", "weights_sha256"].map(|name| texts(&runs, name));
    let weights = ids.into_iter().zip(statuses).zip(hashes).map(|((id, status), hash)| (id, status, hash));
    Results { columns, weights: weights.collect() }
}

/// Every run of a sweep's folder is done and as it is in the oracle.
#[track_caller]
fn assert_same(dir: &Path, oracle: &Results, what: &str) {
    let found = results(dir);
    for (id, status, hash) in &found.weights {
        assert_eq!((status.as_str(), hash.len()), ("done", 64), "{id} after {what}");
    }
    assert!(found == *oracle, "after {what} it differs: {found:#?}\n{oracle:#?}");
}

/// The program that opens results in other readers.
struct Readers {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Rows by reader and run.
type Rows = BTreeMap<String, BTreeMap<String, u64>>;

impl Readers {
    /// None, with a word, where there is no Python with the readers.
    fn start() -> Option<Self> {
        let Some(python) = std::env::var_os("KELVIN_PYTHON") else {
            eprintln!("skipped: KELVIN_PYTHON names no Python with the readers; run `make test`");
            return None;
        };
        let script = crate::support::checkout().join("tests/open_all.py");
        let mut child =
            Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (ask, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { child, ask, answers })
    }

    /// Opens all that lies under `metrics/`; what cannot be opened fails the test.
    fn open(&mut self, dir: &Path) -> Rows {
        writeln!(self.ask, "{}", dir.display()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}: {line}", dir.display()))
    }

    /// Opens a folder that nobody writes: every reader sees the files that are there, and whole
    /// runs.
    fn check(&mut self, dir: &Path, plan: &Plan) {
        let expected: BTreeMap<String, u64> = plan
            .runs
            .iter()
            .filter(|run| published(dir).contains(&format!("{}.parquet", run.id)))
            .map(|run| (run.id.clone(), u64::from(run.spec.epochs)))
            .collect();
        assert_eq!(published(dir).len(), expected.len(), "{}", dir.display());
        for (reader, rows) in self.open(dir) {
            assert_eq!(rows, expected, "{reader} of {}", dir.display());
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The names of all files under `metrics/`, sorted.
fn published(dir: &Path) -> Vec<String> {
    let files = files_in(&dir.join("metrics"));
    files.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Every file under a folder, sorted; none where there is no folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_in(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A run that takes a moment.
fn spec(batch: usize, seed: i64) -> RunSpec {
    RunSpec {
        data: DataSpec::new(Source::digits()),
        sampling: Sampling::Split,
        train: 60,
        test: 20,
        augment: false,
        model: ModelSpec::resnet(1),
        init: None,
        optimizer: OptimizerSpec::new(Sgd { momentum: 0.9, ..Sgd::default() }),
        schedule: Schedule::COSINE,
        lr: 0.02,
        batch,
        order: Order::Shuffled,
        epochs: 3,
        seeds: Seeds::all(seed),
        precision: Precision::Float32,
        evaluate_every: 1,
        train_metrics: TrainMetrics::Evaluate,
        measure: None,
    }
}

/// A stack of two runs and a run alone.
fn small_plan() -> Plan {
    Plan::new(vec![spec(20, 1), spec(20, 2), spec(30, 1)]).unwrap()
}

/// Runs what is left of a plan in a folder, through these files, with a checkpoint after every
/// epoch.
fn run_through(files: Files, plan: &Plan, dir: &Path) -> Result<Summary> {
    let options =
        RunOptions { jobs: Some(1), checkpoint_every: Duration::ZERO, files, ..RunOptions::default() };
    kelvin::sweep::run(plan, dir, &Provenance::here(), &options, &mut Silent)
}

/// Runs what is left of a plan to its end.
#[track_caller]
fn run_to_the_end(plan: &Plan, dir: &Path) {
    let summary = run_through(Files::default(), plan, dir).unwrap();
    assert_eq!(summary.done, plan.runs.len(), "{summary:?}");
}

/// Begins a sweep: every run has trained, with a checkpoint after every epoch but the last, and
/// none is published.
fn begin_all(plan: &Plan, dir: &Path) -> Store {
    let store = Store::create(Files::default(), dir, plan, &Provenance::here(), false).unwrap();
    store.prepare().unwrap();
    let mut attempts: Vec<_> = plan.runs.iter().map(|run| store.begin(&run.id, "cpu").unwrap().0).collect();
    let tasks = plan.runs.iter().map(|run| Task::new(run.spec.clone(), run.strategy)).collect();
    let every_epoch = Some(Duration::ZERO);
    let settings = Settings { workers: 1, checkpoint_every: every_epoch, ..Settings::on(Device::Cpu) };
    engine::run(tasks, settings, &mut |event| match event {
        Event::Epoch { run, record } => attempts[run].epoch(&record),
        Event::Checkpoint { runs } => runs.iter().try_for_each(|(run, snapshot)| {
            attempts[*run].checkpoint(snapshot)?;
            attempts[*run].flush()
        }),
        _ => Ok(()),
    })
    .unwrap();
    store
}

/// Looks through a sweep's journals; returns how many epochs were trained more than once. A run
/// never goes on from before the last checkpoint that was committed.
fn repeated(dir: &Path) -> usize {
    let store = Store::open(dir).unwrap();
    let mut repeated = 0;
    for run in &store.plan().runs {
        let attempts = store.attempts(&run.id).unwrap();
        let mut furthest = 0;
        for (index, attempt) in attempts.iter().enumerate() {
            let committed = attempts[..index]
                .iter()
                .filter_map(|past| past.checkpoints.last())
                .map(|own| own.position)
                .max()
                .unwrap_or_default();
            assert_eq!(attempt.position, committed, "attempt {index} at {}", run.id);
            let epochs: Vec<u32> = attempt.epochs.iter().map(|record| record.epoch).collect();
            assert!(epochs.iter().copied().eq(1..=epochs.len() as u32), "{epochs:?}");
            let last = epochs.len() as u32;
            repeated += last.min(furthest).saturating_sub(attempt.position.epoch) as usize;
            furthest = last.max(furthest);
        }
    }
    repeated
}
