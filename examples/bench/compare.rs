//! Training and evaluation, kelvin and PyTorch in turn.

use std::time::Instant;

use kelvin::data::Dataset;
use kelvin::torch::Precision;
use kelvin::train::engine::{Event, Settings, Task, cores, run};
use kelvin::train::{ExecutionStrategy, RunSpec, TrainMetrics};
use tch::{Device, Kind, Tensor};

use super::cases::{Case, Files};
use super::pytorch::{EAGER, PyTorch, Way};
use super::{Bench, Outcome, REPEATS, Timed, median, short};

/// Seconds that a measurement should take, at least: of wide nets so many that getting memory from
/// the system, once per sweep, weighs little.
fn seconds(case: Case, device: Device) -> f64 {
    match (device, case.colour) {
        (Device::Cpu, true) => 8.0,
        (Device::Cpu, false) => 2.0,
        _ => 1.0,
    }
}

fn cases(device: Device) -> Vec<Case> {
    if device != Device::Cpu {
        return gpu_cases();
    }
    let mut cases = Vec::new();
    for width in [4, 8] {
        for batch in [8, 32, 128] {
            for runs in [12, 48] {
                cases.push(Case::digits(width, batch, runs));
            }
        }
    }
    // Sixteen of the wide runs train a core's worth at a time: as many as there are cores show it.
    let many = cores().max(2);
    for batch in [20, 128, 500, 2000] {
        for runs in [1, many] {
            cases.push(Case::colour(batch, runs));
        }
    }
    cases.push(Case { precision: Precision::Bf16, ..Case::colour(128, many) });
    cases
}

/// TF32 is PyTorch's default for convolutions there.
fn gpu_cases() -> Vec<Case> {
    let of = |precision: Precision, cases: &[(usize, usize)]| -> Vec<Case> {
        cases.iter().map(|&(batch, runs)| Case { precision, ..Case::colour(batch, runs) }).collect()
    };
    // What matters most first, for a measurement whose time is short.
    let mut cases = of(Precision::Tf32, &[(20, 1), (20, 16), (128, 1), (128, 16), (2000, 1)]);
    cases.extend(of(Precision::Bf16, &[(20, 16), (128, 16), (2000, 1)]));
    cases.extend(of(Precision::Float32, &[(20, 16), (20, 1), (128, 16), (2000, 1)]));
    cases.extend([Case::digits(4, 8, 48), Case::digits(8, 32, 48)]);
    cases.extend(of(Precision::Tf32, &[(500, 1), (500, 16), (2000, 16)]));
    cases
}

/// The machine in a line, and its matrix-product peak.
pub fn machine(bench: &mut Bench) -> Outcome<String> {
    let name = match bench.device {
        Device::Cpu => {
            let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            let field = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(name));
                line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim()).to_owned()
            };
            let flags = field("flags");
            let vectors = ["avx512_bf16", "avx512f", "avx2"].iter().find(|flag| flags.contains(**flag));
            format!("{} cores of {}, {}", cores(), field("model name"), vectors.unwrap_or(&"no AVX"))
        }
        device => kelvin::torch::device_name(device),
    };
    let peak = peak(bench.device);
    bench.push("peak", None, "libtorch", 1, Timed { images: peak, seconds: 1.0, warmup: 0.0 });
    Ok(format!("Machine: {name}; matrix products reach {} GFLOP/s in float32.\n", short(peak)))
}

/// GFLOP/s of float32 matrix products, all cores at once, each for itself: the faster of libtorch's
/// two ways, its BLAS, and a convolution of one tap, which is the same product by another library.
fn peak(device: Device) -> f64 {
    let (workers, n) = if device == Device::Cpu { (cores(), 1024i64) } else { (1, 8192) };
    let work = move || {
        tch::get_num_threads();
        tch::set_num_threads(1);
        let matrix = || Tensor::rand([n, n], (Kind::Float, device));
        let (a, b) = (matrix(), matrix());
        let (image, kernel) = (a.view([1, n, n / 32, 32]), b.view([n, n, 1, 1]));
        let ways: [&dyn Fn() -> Tensor; 2] =
            [&|| a.matmul(&b), &|| image.conv2d(&kernel, None::<Tensor>, 1, 0, 1, 1)];
        let mut best = 0f64;
        for way in ways.iter().cycle().take(10) {
            let start = Instant::now();
            let mut product = way();
            for _ in 1..10 {
                product = way();
            }
            // Reading a number waits for a GPU.
            product.view([-1]).double_value(&[0]);
            best = best.max(10.0 * 2.0 * (n as f64).powi(3) / start.elapsed().as_secs_f64() / 1e9);
        }
        best
    };
    let threads: Vec<_> = (0..workers).map(|_| std::thread::spawn(work)).collect();
    threads.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).sum()
}

/// The case's runs trained by kelvin, as the program would: everything from drawing data and
/// weights on counts.
fn kelvin(
    case: Case,
    strategy: ExecutionStrategy,
    device: Device,
    spec: impl Fn(i64) -> RunSpec,
) -> Outcome<f64> {
    let tasks: Vec<Task> = (0..case.runs as i64).map(|seed| Task::new(spec(seed), strategy)).collect();
    let start = Instant::now();
    run(tasks, Settings::on(device), &mut |event| match event {
        Event::Ended { outcome, .. } => match outcome.error {
            Some(error) => Err(kelvin::error::Error::invalid(error)),
            None => Ok(()),
        },
        _ => Ok(()),
    })?;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds of a first training, epochs to be taken off every measurement, and epochs beyond those
/// that take as long as it should. On a CPU nothing is taken off. On a GPU runs start one after
/// another (their graphs are recorded one at a time), and the first ones train while the others
/// start: what is taken off lasts until all have started, so that it holds all of it.
fn warm_up(case: Case, strategy: ExecutionStrategy, device: Device) -> Outcome<(f64, u32, u32)> {
    let train = |epochs| kelvin(case, strategy, device, |seed| case.spec(seed, epochs, 2));
    let fill = |each: f64| (seconds(case, device) / each).ceil().clamp(1.0, 5000.0) as u32;
    if device == Device::Cpu {
        let warmup = train(1)?;
        // The first one got its memory from the system.
        return Ok((warmup, 0, fill(train(1)?).min(500)));
    }
    let warmup = train(2)?;
    let start = train(2)?;
    let updates = 400u32.div_ceil(case.steps() as u32);
    let each = (train(2 + updates)? - start).max(1e-3) / f64::from(updates);
    Ok((warmup, 2 + (start / each).ceil() as u32, fill(each)))
}

/// The ways that may be the strongest.
fn ways(case: Case, device: Device) -> Vec<Way> {
    let best = Way { channels_last: true, fused: true, compile: false, processes: 1, threads: None };
    if device != Device::Cpu {
        let mut ways = vec![best, Way { compile: true, ..best }];
        if case.runs > 1 {
            ways.push(Way { processes: 8, ..best });
        }
        return ways;
    }
    if case.precision == Precision::Bf16 && !kelvin::torch::has_bf16() {
        // Minutes each.
        return Vec::new();
    }
    let apart = Way { processes: cores(), threads: Some(1), ..best };
    let first = if case.runs > 1 { apart } else { best };
    // Where the operations are large, channels-last is the faster layout, there is little for a
    // compiler to merge, and each try takes minutes.
    if case.batch >= 500 {
        return vec![first];
    }
    let plain = Way { channels_last: false, ..first };
    vec![first, plain, Way { compile: true, ..plain }]
}

/// Updates that fill the time at this speed, a whole epoch at least where epochs are short.
fn steps(case: Case, speed: f64, runs: usize, device: Device) -> usize {
    (seconds(case, device) * speed / (case.batch * runs) as f64).ceil().clamp(1.0, 10_000.0) as usize
}

/// The fastest of several ways for a case, each tried shortly.
fn strongest(
    pytorch: &mut PyTorch,
    case: Case,
    files: &Files,
    ways: &[Way],
    speed: f64,
    failed: &mut Vec<String>,
) -> Option<Way> {
    if let [way] = ways {
        return Some(*way);
    }
    let mut best: Option<(f64, Way)> = None;
    for &way in ways {
        let steps = steps(case, speed / 2.0, 1, pytorch.device());
        match pytorch.measure(case, files, way, "train", way.processes, steps) {
            Ok(timed) if best.is_none_or(|(speed, _)| timed.speed() > speed) => {
                best = Some((timed.speed(), way));
            }
            Ok(_) => {}
            Err(error) => failed.push(format!("{}, {}: {error}", case.shape(), way.name())),
        }
    }
    best.map(|(_, way)| way)
}

/// Images per second of training.
pub fn train(bench: &mut Bench) -> Outcome<()> {
    let device = bench.device;
    let mut pytorch = PyTorch::new(&bench.python, device);
    let peak = bench.rows.iter().find(|row| row.part == "peak").map_or(f64::NAN, |row| row.images);
    bench.say("Training, images per second: medians of three turns, and ratios turn by turn.\n");
    bench.say(
        "| case | runs | kelvin | share of peak | PyTorch, eager | kelvin / eager | strongest PyTorch | kelvin / strongest | settings |",
    );
    bench.say("|---|---:|---:|---:|---:|---|---:|---|---|");
    let mut known: Option<(Case, Option<Way>)> = None;
    let mut failed = Vec::new();
    for case in bench.wanted(cases(device)) {
        if bench.until.is_some_and(|until| std::time::Instant::now() > until) {
            failed.push(format!("{}, {} runs: not begun, the time was over", case.shape(), case.runs));
            continue;
        }
        let files = case.export(bench.folder.path())?;
        let strategy = case.strategy()?;
        // Both sides have the images in memory.
        let _images = Dataset::open(&case.spec(0, 1, 2).data)?;
        let images = |epochs: u32| (case.runs * case.steps() * case.batch) as f64 * f64::from(epochs);
        let (warmup, shortly, epochs) = warm_up(case, strategy, device)?;
        let eager = pytorch.measure(case, &files, EAGER, "train", 1, steps(case, 60.0, 1, device))?;
        let runs = case.runs.min(2);
        let eager_steps = steps(case, eager.speed(), runs, device);
        // The same ways are there whether twelve runs are left or forty-eight.
        let same =
            |other: &Case| Case { runs: case.runs, ..*other } == case && (other.runs > 1) == (case.runs > 1);
        let way = match &known {
            Some((other, way)) if same(other) => *way,
            _ => {
                let mut ways = ways(case, device);
                ways.retain(|way| bench.compile || !way.compile);
                strongest(&mut pytorch, case, &files, &ways, eager.speed(), &mut failed)
            }
        };
        known = Some((case, way));
        let mut speeds = [Vec::new(), Vec::new(), Vec::new()];
        for repeat in 1..=REPEATS {
            let train = |epochs| kelvin(case, strategy, device, |seed| case.spec(seed, epochs, 2));
            let seconds = match device {
                Device::Cpu => train(epochs)?,
                _ => train(shortly + epochs)? - train(shortly)?,
            };
            let own = Timed { images: images(epochs), seconds, warmup };
            bench.push("train", Some(case), "kelvin", repeat, own);
            speeds[0].push(own.speed());
            for (index, way) in [(1, Some(EAGER)), (2, way)] {
                let Some(way) = way else { continue };
                let runs = runs.max(way.processes);
                // As long as the other side, where that is not minutes.
                let longer = way != EAGER && case.batch < 500;
                let steps = if longer { eager_steps * way.processes } else { eager_steps };
                let timed = pytorch.measure(case, &files, way, "train", runs, steps)?;
                bench.push("train", Some(case), &way.name(), repeat, timed);
                speeds[index].push(timed.speed());
            }
        }
        let [own, eager, strong] = &speeds;
        let ratios = |others: &[f64]| {
            let each: Vec<f64> = own.iter().zip(others).map(|(own, other)| own / other).collect();
            if each.is_empty() {
                return "–".to_owned();
            }
            let list: Vec<String> = each.iter().map(|ratio| short(*ratio)).collect();
            format!("**{}** ({})", short(median(&each)), list.join(", "))
        };
        let precision = match case.precision {
            Precision::Float32 => String::new(),
            precision => format!(", {}", precision.name()),
        };
        bench.say(&format!(
            "| {}{precision} | {} | {} | {:.0} % | {} | {} | {} | {} | {} |",
            case.shape(),
            case.runs,
            short(median(own)),
            100.0 * median(own) * case.work() / peak,
            short(median(eager)),
            ratios(eager),
            short(median(strong)),
            ratios(strong),
            way.map_or_else(|| "–".to_owned(), Way::name)
        ));
    }
    bench.say("");
    for failure in failed {
        bench.say(&format!("Not measured: {failure}.\n"));
    }
    if device != Device::Cpu {
        bench.say(
            "kelvin's start (drawing data and weights, recording the graphs) is taken off, as PyTorch's is: times are the difference of \
             a longer and a shorter training of the same runs, all of which have started before the shorter one ends.\n",
        );
        return Ok(());
    }
    let bf16 = |row: &&super::Row| row.case.is_some_and(|case| case.precision == Precision::Bf16);
    let own: Vec<f64> =
        bench.rows.iter().filter(bf16).filter(|row| row.system == "kelvin").map(speed).collect();
    if let Some(case) = bench.rows.iter().find(bf16).and_then(|row| row.case) {
        let same = |row: &&super::Row| {
            row.system == EAGER.name() && row.case == Some(Case { precision: Precision::Float32, ..case })
        };
        let eager: Vec<f64> = bench.rows.iter().filter(same).map(speed).collect();
        let ratio = short(median(&own) / median(&eager));
        bench.say(&format!(
            "kelvin in bf16 is {ratio} times as fast as eager PyTorch in float32. Where the processor has no instructions for \
             bfloat16, PyTorch computes it slowly, and kelvin adds up the same products by those for float32.\n"
        ));
    }
    Ok(())
}

fn speed(row: &super::Row) -> f64 {
    row.images / row.seconds
}

/// Images per second of evaluation: all runs on all their images.
pub fn evaluate(bench: &mut Bench) -> Outcome<()> {
    /// Images evaluated after each epoch of one update.
    const IMAGES: usize = 1600;
    let device = bench.device;
    let mut pytorch = PyTorch::new(&bench.python, device);
    bench.say("Evaluation (loss and accuracy, batches of 256 in PyTorch), images per second.\n");
    bench.say("| case | runs | kelvin | PyTorch, eager | kelvin / eager |\n|---|---:|---:|---:|---|");
    for case in [Case::digits(4, 8, 12), Case::digits(8, 8, 12), Case::colour(20, cores().max(2))] {
        let files = case.export(bench.folder.path())?;
        let strategy = case.strategy()?;
        // As little training as there can be between two evaluations.
        let spec = |seed, epochs| {
            let (train, test) = (case.batch, if case.colour { 380 } else { IMAGES });
            let train_metrics = TrainMetrics::Running;
            RunSpec { train, test, evaluate_every: 1, train_metrics, ..case.spec(seed, epochs, test) }
        };
        let images = |epochs: u32| (case.runs * spec(0, 1).test) as f64 * f64::from(epochs);
        let warmup = kelvin(case, strategy, device, |seed| spec(seed, 1))?;
        let each = kelvin(case, strategy, device, |seed| spec(seed, 1))?;
        let epochs = (seconds(case, device) / each).ceil().clamp(1.0, 500.0) as u32;
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for repeat in 1..=REPEATS {
            // The updates between evaluations are not PyTorch's to make: their time is taken off.
            let whole = kelvin(case, strategy, device, |seed| spec(seed, epochs))?;
            let training = kelvin(case, strategy, device, |seed| RunSpec { test: 2, ..spec(seed, epochs) })?;
            if whole <= 2.0 * training {
                return Err("evaluation takes too short a part of the time to be measured".into());
            }
            let timed = Timed { images: images(epochs), seconds: whole - training, warmup };
            bench.push("evaluate", Some(case), "kelvin", repeat, timed);
            own.push(timed.speed());
            let passes = if case.colour { 2 } else { 3 };
            let timed = pytorch.measure(case, &files, EAGER, "evaluate", 2, passes)?;
            bench.push("evaluate", Some(case), &EAGER.name(), repeat, timed);
            others.push(timed.speed());
        }
        let ratios: Vec<f64> = own.iter().zip(&others).map(|(own, other)| own / other).collect();
        let list: Vec<String> = ratios.iter().map(|ratio| short(*ratio)).collect();
        bench.say(&format!(
            "| {} | {} | {} | {} | **{}** ({}) |",
            case.shape(),
            case.runs,
            short(median(&own)),
            short(median(&others)),
            short(median(&ratios)),
            list.join(", ")
        ));
    }
    bench.say("");
    Ok(())
}

/// The losses of the first updates: the same work is done.
pub fn losses(bench: &mut Bench) -> Outcome<()> {
    let device = bench.device;
    let mut pytorch = PyTorch::new(&bench.python, device);
    bench.say("The same weights and batches: losses of the first updates, the largest relative difference from PyTorch's.\n");
    bench.say("| case | precision | updates | after 5 | all |\n|---|---|---:|---:|---:|");
    let mut all: Vec<Case> = bench.wanted(cases(device));
    all.dedup_by_key(|case| Case { runs: 0, ..*case });
    all.push(Case { precision: Precision::Float64, ..Case::digits(4, 8, 48) });
    all.push(Case { precision: Precision::Float64, ..Case::colour(20, 1) });
    for case in all {
        let case = Case { runs: if case.colour { 1 } else { case.runs }, ..case };
        let files = case.export(bench.folder.path())?;
        // Fifty where they do not take minutes.
        let steps = match (case.colour, case.precision) {
            (false, _) => 50,
            (true, Precision::Bf16) => 1,
            (true, _) => (1000 / case.batch).clamp(1, 50),
        };
        let own = kelvin::train::losses(&case.in_order(&files, steps)?, case.strategy()?, steps, device)?;
        let others = pytorch.losses(case, &files, steps)?;
        let difference = |n: usize| {
            let each = own.iter().zip(&others).take(n).map(|(a, b)| (a - b).abs() / b.abs());
            each.fold(0.0, f64::max)
        };
        for (system, losses) in [("kelvin", &own), ("PyTorch, eager", &others)] {
            let rows = losses.iter().enumerate().map(|(step, &loss)| (case, system, step + 1, loss));
            bench.losses.extend(rows);
        }
        let bound = if case.precision == Precision::Float64 { (1e-8, 1e-8) } else { (1e-2, f64::INFINITY) };
        if !(difference(5) <= bound.0 && difference(steps) <= bound.1) {
            return Err(format!("{}: the losses differ by {:.1e}", case.shape(), difference(steps)).into());
        }
        bench.say(&format!(
            "| {} | {} | {steps} | {:.1e} | {:.1e} |",
            case.shape(),
            case.precision.name(),
            difference(5),
            difference(steps)
        ));
    }
    bench.say("");
    Ok(())
}
