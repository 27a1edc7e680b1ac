//! What scripts, loading and memory cost.

use std::process::Command;
use std::time::Instant;

use kelvin::data::{Dataset, Source};
use kelvin::sweep::{Plan, Provenance, RunOptions, Silent};
use kelvin::train::engine::{Settings, Task, run};
use kelvin::train::{RunSpec, TrainMetrics};

use super::cases::Case;
use super::store::timed;
use super::{Bench, Outcome, REPEATS, Timed, median, root, short};

/// A sweep of the script and of Rust: sixteen runs of width 4.
const RUNS: i64 = 16;
const EPOCHS: u32 = 60;

/// Turns of these two: a hundredth is wanted, and a turn differs from the next by more.
const TURNS: usize = 8;

/// Work that is timed as a process of its own.
pub fn child(arguments: Vec<String>) -> Outcome<()> {
    match arguments.first().map(String::as_str) {
        Some("memory") => {
            let case = Case::digits(8, 128, 48);
            let plan = Plan::new((0..48).map(|seed| case.spec(seed, 2, 2)).collect())?;
            let tasks = plan.runs.into_iter().map(|run| Task::new(run.spec, run.strategy)).collect();
            run(tasks, Settings::on(tch::Device::Cpu), &mut |_| Ok(()))?;
            let status = std::fs::read_to_string("/proc/self/status")?;
            let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
            println!("{}", peak.split_whitespace().nth(1).unwrap_or_default());
            Ok(())
        }
        Some("sweep") => {
            let dir = arguments.get(1).ok_or("no folder")?;
            let specs = (1..=RUNS).map(|seed| RunSpec {
                train: 1500,
                evaluate_every: 1,
                train_metrics: TrainMetrics::Evaluate,
                measure: None,
                ..Case::digits(4, 32, 1).spec(seed, EPOCHS, 297)
            });
            let plan = Plan::new(specs.collect())?;
            kelvin::sweep::run(
                &plan,
                dir.as_ref(),
                &Provenance::here(),
                &RunOptions::default(),
                &mut Silent,
            )?;
            Ok(())
        }
        _ => Err("no such child".into()),
    }
}

/// This program as a child.
fn own(arguments: &[&str]) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child").args(arguments);
    Ok(command)
}

/// Peak memory of 48 runs on the digits.
pub fn memory(bench: &mut Bench) -> Outcome<()> {
    let output = own(&["memory"])?.output()?;
    let kilobytes: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    let case = Some(Case::digits(8, 128, 48));
    bench.push("memory", case, "kelvin", 1, Timed { images: kilobytes * 1024.0, seconds: 1.0, warmup: 0.0 });
    let gigabytes = kilobytes * 1024.0 / 1e9;
    bench.say(&format!("Peak memory of 48 runs of width 8, batch 128 on the digits: {gigabytes:.2} GB.\n"));
    Ok(())
}

/// A sweep from a script and the same from Rust, and a function that is called with every epoch.
pub fn overhead(bench: &mut Bench) -> Outcome<()> {
    let program = root().join("target/release/kelvin");
    if !program.exists() {
        return Err(format!("{} is not there; run `make build`", program.display()).into());
    }
    let script = bench.folder.path().join("sweep.rhai");
    std::fs::write(
        &script,
        format!(
            "sweep(#{{ data: digits(), sampling: \"fixed\", train: 1500, test: 297, model: resnet(#{{ width: 4 }}), \
             optimizer: sgd(), schedule: \"constant\", lr: 0.05, batch: 32, seed: 1..={RUNS}, epochs: {EPOCHS} }}).run(arg(\"dir\"));\n"
        ),
    )?;
    let mut ratios = [Vec::new(), Vec::new()];
    for repeat in 1..=TURNS {
        let mut both = [[0.0; 2]; 2];
        let mut systems = [(0, "from Rust"), (1, "from a script")];
        // Whichever comes second may find another machine.
        if repeat % 2 == 0 {
            systems.reverse();
        }
        for (index, system) in systems {
            let dir = bench.folder.path().join(format!("{index}-{repeat}"));
            let dir = dir.to_str().ok_or("a path that is not UTF-8")?;
            let mut command = match index {
                0 => own(&["sweep", dir])?,
                _ => {
                    let mut command = Command::new(&program);
                    command.arg("run").arg("--quiet").arg("--allow-write").arg(bench.folder.path());
                    command.arg(&script).arg("-D").arg(format!("dir={dir}"));
                    command
                }
            };
            both[index] = timed(|| match command.status()?.success() {
                true => Ok(()),
                false => Err(format!("the sweep {system} failed").into()),
            })?;
            for (part, seconds) in ["script", "script, all cores"].into_iter().zip(both[index]) {
                let images = f64::from(EPOCHS) * 1500.0 * RUNS as f64;
                bench.push(part, None, system, repeat, Timed { images, seconds, warmup: 0.0 });
            }
        }
        let [rust, script] = both;
        for (ratios, (script, rust)) in ratios.iter_mut().zip(script.into_iter().zip(rust)) {
            ratios.push(script / rust);
        }
    }
    let [wall, cores] = ratios.map(|ratios| {
        let list: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
        format!("{:.3} times ({})", median(&ratios), list.join(", "))
    });
    bench.say(&format!(
        "A sweep of {RUNS} runs of {EPOCHS} epochs from a script takes {wall} the wall time of the same plan from Rust, and {cores} the core time.\n"
    ));
    callback(bench)
}

/// Milliseconds that a script's function of every epoch costs.
fn callback(bench: &mut Bench) -> Outcome<()> {
    /// Epochs of one tiny run.
    const CALLED: usize = 20_000;
    let session = kelvin::script::Session::silent();
    session.set_writable(vec![bench.folder.path().to_path_buf()]);
    let engine = kelvin::script::engine(&session);
    let mut scope = rhai::Scope::new();
    let mut costs = Vec::new();
    for repeat in 1..=REPEATS {
        let mut seconds = [0.0; 2];
        for (index, option) in
            ["#{}", "#{ on_epoch: |row| { if row.gap > best { best = row.gap; } } }"].into_iter().enumerate()
        {
            let dir = bench.folder.path().join(format!("callback-{index}-{repeat}"));
            let script = format!(
                "let best = -1000.0; sweep(#{{ data: digits().take(40), sampling: \"fixed\", train: 20, test: 20, \
                 model: linear(), lr: 0.1, batch: 20, epochs: {CALLED} }}).run({:?}, {option});",
                dir.to_str().ok_or("a path that is not UTF-8")?
            );
            let start = Instant::now();
            let evaluated = kelvin::script::evaluate(&engine, &mut scope, &script);
            evaluated.map(|_| ()).map_err(|error| error.to_string())?;
            seconds[index] = start.elapsed().as_secs_f64();
            let system = if index == 0 { "no function" } else { "a function of every epoch" };
            let timed = Timed { images: CALLED as f64, seconds: seconds[index], warmup: 0.0 };
            bench.push("callback", None, system, repeat, timed);
        }
        costs.push((seconds[1] - seconds[0]) / CALLED as f64 * 1e3);
    }
    bench.say(&format!(
        "A function in a script that is called with every epoch's row costs {:.3} ms per epoch.\n",
        median(&costs)
    ));
    Ok(())
}

/// All images of CIFAR-10 from Parquet, where they are at hand.
pub fn load(bench: &mut Bench) -> Outcome<()> {
    let Some(folder) =
        std::env::var_os("KELVIN_DATA").map(|path| std::path::PathBuf::from(path).join("cifar10"))
    else {
        bench.say("Loading: KELVIN_DATA says nothing of a CIFAR-10, so it was not measured.\n");
        return Ok(());
    };
    let path = folder.to_str().ok_or("a path that is not UTF-8")?.to_owned();
    let mut ratios = Vec::new();
    let mut speeds = [Vec::new(), Vec::new()];
    for repeat in 1..=REPEATS {
        let mut images = 0.0;
        let [own, _] = timed(|| {
            images = Dataset::load(Source::named("cifar10", Some(&path))?)?.len() as f64;
            Ok(())
        })?;
        let script = root().join("bench/load_images.py");
        let output = Command::new(&bench.python).arg(script).arg(&folder).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let other: f64 = text
            .trim()
            .parse()
            .map_err(|_| format!("bench/load_images.py: {}", String::from_utf8_lossy(&output.stderr)))?;
        for (system, seconds) in [("kelvin", own), ("pyarrow and Pillow", other)] {
            bench.push("load", None, system, repeat, Timed { images, seconds, warmup: 0.0 });
        }
        ratios.push(other / own);
        speeds[0].push(own);
        speeds[1].push(other);
    }
    bench.say(&format!(
        "Loading CIFAR-10 (60,000 JPEGs in Parquet): kelvin {:.2} s, pyarrow and Pillow on as many processes as cores {:.2} s, {} times.\n",
        median(&speeds[0]),
        median(&speeds[1]),
        short(median(&ratios))
    ));
    Ok(())
}
