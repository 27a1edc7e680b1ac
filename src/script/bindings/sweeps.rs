//! Training and sweeps in scripts.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Map};

use crate::error::{Error, Result};
use crate::script::convert::{Scripted, at, count, known_keys, number, raise, text};
use crate::script::handles::NetworkHandle;
use crate::script::options::expand;
use crate::script::session::Session;
use crate::sweep::{Plan, RunOptions, Summary, rows};
use crate::table::Table;
use crate::torch::default_device;
use crate::train::RunSpec;

/// A plan.
#[derive(Clone)]
pub struct SweepHandle {
    plan: Rc<Plan>,
    /// Holds the data sets in memory until the sweep has run.
    _options: Rc<Vec<Map>>,
}

/// A run that was trained in memory.
#[derive(Clone)]
pub struct TrainedRun {
    epochs: Table,
    network: NetworkHandle,
    spec: RunSpec,
}

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine
        .register_type_with_name::<SweepHandle>("Sweep")
        .register_type_with_name::<TrainedRun>("TrainedRun");
}

fn run_options(options: &Map) -> Result<RunOptions> {
    known_keys("run", options, ["jobs", "device", "executor", "checkpoint_every", "retry"])?;
    let mut found = RunOptions::default();
    for (key, value) in options {
        match key.as_str() {
            "jobs" => {
                let jobs = count(key, value)?;
                if jobs == 0 {
                    return Err(Error::invalid("jobs is 0, expected at least 1"));
                }
                found.jobs = Some(jobs);
            }
            "device" => found.device = Some(device(&text(key, value)?)?),
            "executor" => {
                let name = text(key, value)?;
                if name != "local" {
                    return Err(Error::invalid(format!("executor: expected \"local\", found \"{name}\"")));
                }
            }
            "retry" => {
                let what = text(key, value)?;
                if what != "failed" {
                    return Err(Error::invalid(format!("retry: expected \"failed\", found \"{what}\"")));
                }
                found.retry_failed = true;
            }
            // Accepted for scripts that set it; runs are published whole.
            _ => {
                number(key, value)?;
            }
        }
    }
    Ok(found)
}

fn device(name: &str) -> Result<tch::Device> {
    let found = match (name, name.strip_prefix("cuda")) {
        ("cpu", _) => Some(tch::Device::Cpu),
        ("auto", _) => Some(default_device()),
        (_, Some("")) => Some(tch::Device::Cuda(0)),
        (_, Some(index)) => {
            index.strip_prefix(':').and_then(|index| index.parse().ok()).map(tch::Device::Cuda)
        }
        _ => None,
    };
    let found = found.ok_or_else(|| {
        Error::invalid(format!(
            "device: expected \"auto\", \"cpu\", \"cuda\" or \"cuda:0\", found \"{name}\""
        ))
    })?;
    crate::torch::initialize();
    match found {
        tch::Device::Cuda(index) if index as i64 >= tch::Cuda::device_count() => {
            Err(Error::invalid(format!(
                "device: \"{name}\" is not there, libtorch sees {} GPUs; write \"cpu\" or \"auto\"",
                tch::Cuda::device_count()
            )))
        }
        found => Ok(found),
    }
}

/// What is said of runs that did not end as done.
fn problems(summary: &Summary, dir: &str) -> Option<String> {
    let bad = summary.diverged + summary.failed;
    (bad > 0).then(|| {
        let mut text = format!(
            "{dir}: {} of {} runs done, {} diverged, {} failed; the reasons are in {dir}/runs.parquet (columns status and error)",
            summary.done, summary.runs, summary.diverged, summary.failed
        );
        if summary.failed > 0 {
            text += "; run(dir, #{retry: \"failed\"}) tries the failed ones again";
        }
        text
    })
}

fn run_in(context: &NativeCallContext, sweep: &SweepHandle, dir: &str, options: &Map) -> Scripted<Table> {
    let session = Session::of(context);
    let run = || {
        let options = run_options(options)?;
        let mut observer = session.observer();
        let summary = crate::sweep::run(
            &sweep.plan,
            Path::new(dir),
            &session.provenance(),
            &options,
            observer.as_mut(),
        )?;
        if let Some(problem) = problems(&summary, dir) {
            session.note_problem(problem);
        }
        crate::sweep::open(Path::new(dir))
    };
    run().map_err(|error| raise(error, context.call_position()))
}

fn plan(context: &NativeCallContext, specs: Vec<RunSpec>, options: Vec<Map>) -> Scripted<SweepHandle> {
    Plan::new(specs)
        .map(|plan| SweepHandle { plan: Rc::new(plan), _options: Rc::new(options) })
        .map_err(|error| at(context, error))
}

#[export_module]
pub mod functions {
    /// A plan of runs: every combination of the options' values, where an array or a range is an axis.
    #[rhai_fn(return_raw)]
    pub fn sweep(context: NativeCallContext, options: Map) -> Scripted<SweepHandle> {
        let specs = expand(&context, "sweep", &options)?;
        plan(&context, specs, vec![options])
    }

    /// A plan of the runs of several maps of options, together.
    #[rhai_fn(name = "sweep", return_raw)]
    pub fn sweep_several(context: NativeCallContext, options: Array) -> Scripted<SweepHandle> {
        let mut specs = Vec::new();
        let mut maps = Vec::new();
        for options in options {
            let options = options.try_cast::<Map>().ok_or_else(|| {
                at(&context, Error::invalid("sweep: expected an array of option maps, [#{…}, #{…}]"))
            })?;
            specs.extend(expand(&context, "sweep", &options)?);
            maps.push(options);
        }
        plan(&context, specs, maps)
    }

    /// How many runs.
    #[rhai_fn(get = "len", pure)]
    pub fn sweep_len(sweep: &mut SweepHandle) -> i64 {
        sweep.plan.runs.len() as i64
    }

    /// The runs as a table.
    #[rhai_fn(name = "plan", return_raw, pure)]
    pub fn sweep_plan(context: NativeCallContext, sweep: &mut SweepHandle) -> Scripted<Table> {
        rows::plan(&sweep.plan.id(), &sweep.plan.runs).map_err(|error| at(&context, error))
    }

    /// Trains what is left of the plan in a folder and returns the epochs table of its finished runs.
    #[rhai_fn(return_raw, pure)]
    pub fn run(context: NativeCallContext, sweep: &mut SweepHandle, dir: &str) -> Scripted<Table> {
        run_in(&context, sweep, dir, &Map::new())
    }

    /// Trains what is left of the plan in a folder: `jobs` (stacks at the same time, default one per
    /// core), `device` ("auto", "cpu", "cuda:0"), `retry` ("failed").
    #[rhai_fn(name = "run", return_raw, pure)]
    pub fn run_with(
        context: NativeCallContext,
        sweep: &mut SweepHandle,
        dir: &str,
        options: Map,
    ) -> Scripted<Table> {
        run_in(&context, sweep, dir, &options)
    }

    /// A plan in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn sweep_to_string(sweep: &mut SweepHandle) -> String {
        format!("sweep of {} runs ({})", sweep.plan.runs.len(), sweep.plan.id())
    }

    /// The epochs table of the finished runs in a sweep's folder.
    #[rhai_fn(return_raw)]
    pub fn results(context: NativeCallContext, dir: &str) -> Scripted<Table> {
        crate::sweep::open(Path::new(dir)).map_err(|error| at(&context, error))
    }

    /// Trains one run in memory. The options are those of a sweep, each with one value.
    #[rhai_fn(return_raw)]
    pub fn train(context: NativeCallContext, options: Map) -> Scripted<TrainedRun> {
        let specs = expand(&context, "train", &options)?;
        let [spec] = &specs[..] else {
            let message = format!(
                "train: expected one run, found {}; use sweep(#{{…}}).run(dir) for several",
                specs.len()
            );
            return Err(at(&context, Error::invalid(message)));
        };
        let mut observer = Session::of(&context).observer();
        let (epochs, network) = crate::sweep::train(spec, &RunOptions::default(), observer.as_mut())
            .map_err(|error| at(&context, error))?;
        Ok(TrainedRun { epochs, network: Rc::new(RefCell::new(network)), spec: spec.clone() })
    }

    /// The metrics of every epoch.
    #[rhai_fn(get = "epochs", pure)]
    pub fn trained_epochs(run: &mut TrainedRun) -> Table {
        run.epochs.clone()
    }

    /// The trained network.
    #[rhai_fn(get = "network", pure)]
    pub fn trained_network(run: &mut TrainedRun) -> NetworkHandle {
        Rc::clone(&run.network)
    }

    /// Everything that decided the result, as a map.
    #[rhai_fn(get = "spec", return_raw, pure)]
    pub fn trained_spec(context: NativeCallContext, run: &mut TrainedRun) -> Scripted<Dynamic> {
        rhai::serde::to_dynamic(&run.spec).map_err(|error| at(&context, Error::invalid(error.to_string())))
    }

    /// A trained run in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn trained_to_string(run: &mut TrainedRun) -> String {
        let last = |name: &str| {
            run.epochs.floats(name).ok().and_then(|values| values.last().copied()).unwrap_or(f64::NAN)
        };
        format!(
            "run of {} epochs: train loss {:.4}, test loss {:.4}, test accuracy {:.2} %",
            run.spec.epochs,
            last("train_loss"),
            last("test_loss"),
            100.0 * last("test_accuracy")
        )
    }
}
