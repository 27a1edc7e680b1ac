//! kelvin and PyTorch side by side: `make bench`, or `bench --help`.
//!
//! In each part the two sides take turns, three times (script and Rust eight); ratios are of the
//! same turn. Every measurement is a row of `results/bench.parquet`. The tables of a call that
//! measured everything are written to `docs/benchmarks/DATE.md`, of another to `results/bench.md`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod cases;
mod compare;
mod pytorch;
mod script;
mod store;

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Parser;
use kelvin::table::{Cell, Table};

use cases::Case;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A part of the benchmark.
type Part = fn(&mut Bench) -> Outcome<()>;

/// Turns of each comparison.
const REPEATS: usize = 3;

/// One measurement.
struct Row {
    part: &'static str,
    case: Option<Case>,
    system: String,
    repeat: usize,
    images: f64,
    seconds: f64,
    warmup: f64,
}

/// What all parts share.
struct Bench {
    python: String,
    device: tch::Device,
    only: Vec<String>,
    /// Whether torch.compile is tried; it takes minutes per case.
    compile: bool,
    /// When no case is begun any more.
    until: Option<std::time::Instant>,
    rows: Vec<Row>,
    losses: Vec<(Case, &'static str, usize, f64)>,
    /// The page's tables so far.
    page: String,
    folder: tempfile::TempDir,
}

impl Bench {
    /// A line for the page and for whoever waits.
    fn say(&mut self, line: &str) {
        println!("{line}");
        self.page += line;
        self.page.push('\n');
    }

    /// The cases that were asked for.
    fn wanted(&self, mut cases: Vec<Case>) -> Vec<Case> {
        if !self.only.is_empty() {
            let name = |case: &Case| format!("{}, {}", case.shape(), case.precision.name());
            cases.retain(|case| self.only.iter().any(|text| name(case).contains(text)));
        }
        cases
    }

    fn push(&mut self, part: &'static str, case: Option<Case>, system: &str, repeat: usize, run: Timed) {
        let system = system.to_owned();
        let Timed { images, seconds, warmup } = run;
        self.rows.push(Row { part, case, system, repeat, images, seconds, warmup });
    }
}

/// Work that was timed.
#[derive(Clone, Copy)]
struct Timed {
    images: f64,
    seconds: f64,
    warmup: f64,
}

impl Timed {
    fn speed(self) -> f64 {
        self.images / self.seconds
    }
}

/// The checkout: where it is run from, or where it was built.
fn root() -> PathBuf {
    let here = PathBuf::from(".");
    if here.join("bench/pytorch.py").exists() { here } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")) }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(values.len().saturating_sub(1) / 2), at(values.len() / 2))
}

/// Three significant digits, with thousands apart.
fn short(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let digits = (2 - value.abs().max(1e-9).log10().floor() as i32).max(0);
    let scale = 10f64.powi((2 - value.abs().max(1e-9).log10().floor() as i32).min(9));
    let rounded = (value * scale).round() / scale;
    let text = format!("{rounded:.*}", digits as usize);
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), String::new()), |(a, b)| (a, format!(".{b}")));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped.push_str(&rest);
    grouped
}

/// Measures kelvin and PyTorch side by side, with the same images, first weights and batches.
#[derive(Parser)]
struct Arguments {
    /// A Python that has torch.
    python: String,
    /// What is measured; everything where nothing is named.
    #[arg(value_parser = PARTS.map(|(name, _)| name))]
    parts: Vec<String>,
    /// Of training and losses only the cases whose names contain this text, for instance "width 4".
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Where both sides train: cpu, cuda, cuda:1.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Leaves torch.compile out, which takes minutes per case.
    #[arg(long)]
    no_compile: bool,
    /// After so many seconds no case is begun.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

/// The parts, in the order in which they are measured.
const PARTS: [(&str, Part); 7] = [
    ("losses", compare::losses),
    ("train", compare::train),
    ("evaluate", compare::evaluate),
    ("load", script::load),
    ("memory", script::memory),
    ("script", script::overhead),
    ("store", store::measure),
];

fn main() -> Outcome<()> {
    kelvin::memory::keep_freed();
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--child") {
        return script::child(arguments.collect());
    }
    let Arguments { python, parts, only, device, no_compile, seconds } = Arguments::parse();
    let device = kelvin::torch::device_named(&device)?;
    let until = seconds.map(|seconds| std::time::Instant::now() + std::time::Duration::from_secs(seconds));
    kelvin::torch::initialize();
    let folder = tempfile::tempdir()?;
    let mut bench = Bench {
        python,
        device,
        only,
        compile: !no_compile,
        until,
        rows: Vec::new(),
        losses: Vec::new(),
        page: String::new(),
        folder,
    };
    let machine = compare::machine(&mut bench)?;
    bench.say(&machine);
    let mut failed = Vec::new();
    for (name, part) in PARTS {
        if parts.is_empty() || parts.iter().any(|part| part == name) {
            // What was measured is kept whatever comes after it.
            if let Err(error) = part(&mut bench) {
                bench.say(&format!("\nPart `{name}` failed: {error}\n"));
                failed.push(name);
            }
        }
    }
    write(&bench.rows)?;
    write_losses(&bench.losses)?;
    if parts.is_empty()
        && bench.only.is_empty()
        && bench.compile
        && until.is_none()
        && device == tch::Device::Cpu
    {
        write_page(&bench.page)?;
    } else {
        std::fs::write("results/bench.md", &bench.page)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

/// Every measurement, as a table for other tools.
fn write(rows: &[Row]) -> Outcome<()> {
    let names = [
        "part",
        "width",
        "side",
        "batch",
        "runs",
        "precision",
        "system",
        "repeat",
        "images",
        "seconds",
        "images_per_second",
        "warmup_seconds",
    ];
    let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
    for row in rows {
        let int = |value: Option<usize>| value.map_or(Cell::Null, |value| Cell::Int(value as i64));
        let case = row.case;
        let cells = [
            Cell::Text(row.part.to_owned()),
            int(case.map(|case| case.width as usize)),
            int(case.map(|case| case.side())),
            int(case.map(|case| case.batch)),
            int(case.map(|case| case.runs)),
            case.map_or(Cell::Null, |case| Cell::Text(case.precision.name().to_owned())),
            Cell::Text(row.system.clone()),
            int(Some(row.repeat)),
            Cell::Float(row.images),
            Cell::Float(row.seconds),
            Cell::Float(row.images / row.seconds),
            Cell::Float(row.warmup),
        ];
        columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
    }
    let path = Path::new("results/bench.parquet");
    Table::from_cells(&names.map(str::to_owned), &columns)?.write(path)?;
    println!("written to {}", path.display());
    Ok(())
}

/// The losses of both sides, update by update.
fn write_losses(losses: &[(Case, &'static str, usize, f64)]) -> Outcome<()> {
    if losses.is_empty() {
        return Ok(());
    }
    let names = ["width", "side", "batch", "precision", "system", "step", "loss"];
    let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
    for (case, system, step, loss) in losses {
        let cells = [
            Cell::Int(case.width),
            Cell::Int(case.side() as i64),
            Cell::Int(case.batch as i64),
            Cell::Text(case.precision.name().to_owned()),
            Cell::Text((*system).to_owned()),
            Cell::Int(*step as i64),
            Cell::Float(*loss),
        ];
        columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
    }
    Table::from_cells(&names.map(str::to_owned), &columns)?
        .write(Path::new("results/bench_losses.parquet"))?;
    Ok(())
}

/// The tables, as a page of the documentation.
fn write_page(tables: &str) -> Outcome<()> {
    let today = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).date_naive();
    let folder = root().join("docs/benchmarks");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{today}.md"));
    std::fs::write(&path, format!("# kelvin and PyTorch, {today}\n\n{tables}"))?;
    println!("written to {}", path.display());
    Ok(())
}
