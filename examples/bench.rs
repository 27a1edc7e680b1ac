//! kelvin and eager PyTorch side by side: `make bench`.
//!
//! The same work in one run of this program, in turn: all replicas of a case trained by kelvin, then the
//! same replicas one after another by PyTorch, three times. PyTorch trains with its default threads and,
//! because small nets are often faster so, with one thread. Both use float32 and leave evaluation out,
//! but for one pass over the test set that kelvin's last epoch includes. The table goes to
//! `results/bench.parquet`. Before that: what a sweep's journals and checkpoints cost, in
//! `results/bench_store.parquet`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use kelvin::data::{DataSpec, Sampling, Source};
use kelvin::model::ModelSpec;
use kelvin::optim::{OptimizerSpec, Schedule, Sgd};
use kelvin::sweep::{Plan, Provenance, RunOptions, Silent};
use kelvin::table::{Cell, Table};
use kelvin::torch::Precision;
use kelvin::train::engine::{Event, Settings, Task, run};
use kelvin::train::{Order, RunSpec, Seeds, TrainMetrics};

type Outcome<T> = Result<T, Box<dyn Error>>;

const REPEATS: usize = 3;
const TRAIN: usize = 1500;

/// Runs of one shape on the digits.
struct Case {
    width: i64,
    batch: usize,
    replicas: usize,
    epochs: u32,
}

const CASES: [Case; 4] = [
    Case { width: 4, batch: 8, replicas: 12, epochs: 1 },
    Case { width: 4, batch: 32, replicas: 12, epochs: 2 },
    Case { width: 8, batch: 32, replicas: 12, epochs: 2 },
    Case { width: 8, batch: 128, replicas: 12, epochs: 2 },
];

fn spec(case: &Case, seed: i64) -> RunSpec {
    RunSpec {
        data: DataSpec::new(Source::Digits),
        sampling: Sampling::Fixed,
        train: TRAIN,
        test: 297,
        augment: false,
        model: ModelSpec::Resnet { width: case.width },
        init: None,
        optimizer: OptimizerSpec::Sgd(Sgd::default()),
        schedule: Schedule::Constant,
        lr: 0.05,
        batch: case.batch,
        order: Order::Shuffled,
        epochs: case.epochs,
        seeds: Seeds::all(seed),
        precision: Precision::Float32,
        evaluate_every: case.epochs,
        train_metrics: TrainMetrics::Running,
    }
}

/// Images per second of kelvin, the making of data and weights included.
fn kelvin(case: &Case) -> Outcome<f64> {
    let plan = Plan::new((0..case.replicas as i64).map(|seed| spec(case, seed)).collect())?;
    let tasks: Vec<Task> = plan.runs.into_iter().map(|run| Task::new(run.spec, run.choice)).collect();
    let steps: u64 = tasks.iter().map(|task| task.spec.steps()).sum();
    let start = Instant::now();
    run(tasks, Settings::on(tch::Device::Cpu), &mut |event| {
        if let Event::Ended { outcome, .. } = event
            && let Some(error) = outcome.error
        {
            return Err(kelvin::error::Error::invalid(error));
        }
        Ok(())
    })?;
    Ok((steps * case.batch as u64) as f64 / start.elapsed().as_secs_f64())
}

/// A PyTorch process that answers a request per line.
struct PyTorch {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl PyTorch {
    fn start(python: &str) -> Outcome<Self> {
        let script = root().join("bench/eager_pytorch.py");
        let mut child =
            Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, requests, answers })
    }

    /// Images per second of one replica after another.
    fn measure(&mut self, case: &Case, threads: Option<usize>) -> Outcome<f64> {
        let request = serde_json::json!({
            "data": root().join("src/data/assets/digits.csv.gz"),
            "width": case.width, "batch": case.batch, "replicas": case.replicas, "epochs": case.epochs,
            "train": TRAIN, "lr": 0.05, "threads": threads,
        });
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: serde_json::Value = serde_json::from_str(&line)?;
        answer["images_per_second"].as_f64().ok_or_else(|| format!("PyTorch answered {answer}").into())
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        // It has nothing left to say; if it is gone already, so much the better.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The quickstart sweep, shortened to these epochs.
const QUICKSTART_EPOCHS: u32 = 10;

/// Checkpoints six times as often as a sweep makes them by default.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// Wall time and time of all cores, in seconds.
fn timed(work: impl FnOnce() -> Outcome<()>) -> Outcome<[f64; 2]> {
    let cores = || {
        // SAFETY: all zeros is a valid rusage, and the call only fills it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut usage);
            usage
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
        seconds(usage.ru_utime) + seconds(usage.ru_stime)
    };
    let (start, before) = (Instant::now(), cores());
    work()?;
    Ok([start.elapsed().as_secs_f64(), cores() - before])
}

/// What journals, checkpoints and publishing cost: the quickstart sweep in memory and in a folder, in turn.
fn store(table: &mut [Vec<Cell>]) -> Outcome<()> {
    let mut specs = Vec::new();
    for (lr, batch) in [0.025, 0.05, 0.1].iter().flat_map(|lr| [16, 32, 128].map(|batch| (*lr, batch))) {
        for seed in 1..=4 {
            let case = Case { width: 8, batch, replicas: 1, epochs: QUICKSTART_EPOCHS };
            let spec = RunSpec { lr, sampling: Sampling::Split, evaluate_every: 1, ..spec(&case, seed) };
            specs.push(RunSpec { train_metrics: TrainMetrics::Evaluate, ..spec });
        }
    }
    let plan = Plan::new(specs)?;
    println!(
        "\nquickstart sweep, {QUICKSTART_EPOCHS} epochs: in memory, and in a folder with checkpoints every {CHECKPOINT_EVERY:?}"
    );
    println!("repeat   memory s   folder s   ratio   memory core-s   folder core-s   ratio");
    let mut ratios = [Vec::new(), Vec::new()];
    for repeat in 1..=REPEATS {
        let tasks = plan.runs.iter().map(|run| Task::new(run.spec.clone(), run.choice)).collect();
        let memory = timed(|| Ok(run(tasks, Settings::on(tch::Device::Cpu), &mut |_| Ok(()))?))?;
        let folder = tempfile::tempdir_in(".")?;
        let options = RunOptions { checkpoint_every: CHECKPOINT_EVERY, ..RunOptions::default() };
        let kept = timed(|| {
            kelvin::sweep::run(&plan, folder.path(), &Provenance::here(), &options, &mut Silent)?;
            Ok(())
        })?;
        for (ratios, (kept, memory)) in ratios.iter_mut().zip(kept.iter().zip(memory)) {
            ratios.push(kept / memory);
        }
        println!(
            "{repeat:>6}  {:>9.1}  {:>9.1}  {:>6.3}  {:>14.1}  {:>14.1}  {:>6.3}",
            memory[0],
            kept[0],
            kept[0] / memory[0],
            memory[1],
            kept[1],
            kept[1] / memory[1]
        );
        let row = [Cell::Int(repeat as i64)]
            .into_iter()
            .chain([memory[0], kept[0], memory[1], kept[1]].map(Cell::Float));
        table.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    println!(
        "median: wall time {:.3}, core time {:.3} times that without",
        median(&ratios[0]),
        median(&ratios[1])
    );
    Ok(())
}

fn main() -> Outcome<()> {
    let names = ["repeat", "memory_seconds", "folder_seconds", "memory_core_seconds", "folder_core_seconds"];
    let mut columns = vec![Vec::new(); names.len()];
    store(&mut columns)?;
    Table::from_cells(&names.map(str::to_owned), &columns)?
        .write(Path::new("results/bench_store.parquet"))?;
    speed()
}

fn speed() -> Outcome<()> {
    let python = std::env::args().nth(1).ok_or("usage: bench PYTHON (one that has torch)")?;
    let mut pytorch = PyTorch::start(&python)?;
    let names = ["model", "width", "batch", "replicas", "repeat", "kelvin", "pytorch", "pytorch_one_thread"];
    let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
    println!("images per second, digits 8x8, resnet, float32, {REPEATS} repeats in turn (medians)");
    println!("width  batch  replicas    kelvin   PyTorch  one thread   kelvin/PyTorch (each repeat)");
    for case in &CASES {
        let mut speeds = [Vec::new(), Vec::new(), Vec::new()];
        for repeat in 0..REPEATS {
            let measured = [kelvin(case)?, pytorch.measure(case, None)?, pytorch.measure(case, Some(1))?];
            let keys = [
                Cell::Text("resnet".to_owned()),
                Cell::Int(case.width),
                Cell::Int(case.batch as i64),
                Cell::Int(case.replicas as i64),
                Cell::Int(repeat as i64 + 1),
            ];
            let row = keys.into_iter().chain(measured.map(Cell::Float));
            for (column, cell) in columns.iter_mut().zip(row) {
                column.push(cell);
            }
            for (speeds, speed) in speeds.iter_mut().zip(measured) {
                speeds.push(speed);
            }
        }
        let [own, default, one] = &speeds;
        let ratios: Vec<String> = own.iter().zip(default).map(|(a, b)| format!("{:.1}", a / b)).collect();
        println!(
            "{:>5}  {:>5}  {:>8}  {:>8.0}  {:>8.0}  {:>10.0}   {:.1} ({})",
            case.width,
            case.batch,
            case.replicas,
            median(own),
            median(default),
            median(one),
            median(own) / median(default),
            ratios.join(", ")
        );
    }
    let path = Path::new("results/bench.parquet");
    Table::from_cells(&names.map(str::to_owned), &columns)?.write(path)?;
    println!("written to {}", path.display());
    Ok(())
}
