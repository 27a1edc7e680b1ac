//! What a sweep's journals and checkpoints cost: the quickstart sweep in memory and in a folder, in
//! turn.

use std::time::{Duration, Instant};

use kelvin::data::Sampling;
use kelvin::sweep::{Plan, Provenance, RunOptions, Silent};
use kelvin::train::engine::{Settings, Task, run};
use kelvin::train::{RunSpec, TrainMetrics};

use super::cases::Case;
use super::{Bench, Outcome, REPEATS, Timed, median};

/// The quickstart sweep, shortened to these epochs.
const QUICKSTART_EPOCHS: u32 = 10;

/// Checkpoints six times as often as a sweep makes them by default.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// Wall time and time of all cores, in seconds, of this process and of its children that ended
/// meanwhile.
pub fn timed(work: impl FnOnce() -> Outcome<()>) -> Outcome<[f64; 2]> {
    let of = |whose: libc::c_int| {
        // SAFETY: all zeros is a valid rusage, and the call only fills it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(whose, &mut usage);
            usage
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
        seconds(usage.ru_utime) + seconds(usage.ru_stime)
    };
    let cores = || of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN);
    let (start, before) = (Instant::now(), cores());
    work()?;
    Ok([start.elapsed().as_secs_f64(), cores() - before])
}

/// What journals, checkpoints and publishing cost: the quickstart sweep in memory and in a folder,
/// in turn.
pub fn measure(bench: &mut Bench) -> Outcome<()> {
    let mut specs = Vec::new();
    for (lr, batch) in [0.025, 0.05, 0.1].iter().flat_map(|lr| [16, 32, 128].map(|batch| (*lr, batch))) {
        for seed in 1..=4 {
            let spec = Case::digits(8, batch, 1).spec(seed, QUICKSTART_EPOCHS, 297);
            let spec = RunSpec { lr, train: 1500, sampling: Sampling::Split, evaluate_every: 1, ..spec };
            specs.push(RunSpec { train_metrics: TrainMetrics::Evaluate, ..spec });
        }
    }
    let plan = Plan::new(specs)?;
    let images: f64 = plan.runs.iter().map(|run| run.spec.images() as f64).sum();
    let mut ratios = [Vec::new(), Vec::new()];
    for repeat in 1..=REPEATS {
        let tasks = plan.runs.iter().map(|run| Task::new(run.spec.clone(), run.strategy)).collect();
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
        for (system, [seconds, cores]) in [("in memory", memory), ("in a folder", kept)] {
            bench.push("store", None, system, repeat, Timed { images, seconds, warmup: 0.0 });
            bench.push(
                "store, all cores",
                None,
                system,
                repeat,
                Timed { images, seconds: cores, warmup: 0.0 },
            );
        }
    }
    bench.say(&format!(
        "The quickstart sweep of {QUICKSTART_EPOCHS} epochs in a folder with checkpoints every {} s takes {:.3} times the wall time \
         ({}) and {:.3} times the core time of training in memory.\n",
        CHECKPOINT_EVERY.as_secs(),
        median(&ratios[0]),
        ratios[0].iter().map(|ratio| format!("{ratio:.3}")).collect::<Vec<_>>().join(", "),
        median(&ratios[1])
    ));
    Ok(())
}
