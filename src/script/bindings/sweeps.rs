//! Training and sweeps in scripts.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rhai::plugin::*;
use rhai::{Array, Dynamic, FnPtr, Map};

use super::on_epoch::OnEpoch;
use crate::error::{Error, Result};
use crate::interrupt::leave_behind;
use crate::options::{Given, Value};
use crate::script::axes::MOST_COMBINATIONS;
use crate::script::convert::{Scripted, at, given, path, raise, texts};
use crate::script::handles::{NetworkHandle, TrainedRun, problems};
use crate::script::options::expand;
use crate::script::session::Session;
use crate::sweep::options::{EXECUTION_OPTIONS, START_OPTIONS};
use crate::sweep::slurm::{SLURM_OPTIONS, Slurm};
use crate::sweep::{Files, Observer, Plan, RunOptions, Store, Trained, preview_plan};
use crate::table::Table;
use crate::torch::devices_named;
use crate::train::{RunSpec, Status};

/// A plan.
#[derive(Clone)]
pub struct SweepHandle {
    pub(super) plan: Arc<Plan>,
    /// Holds the data sets in memory until the sweep has run.
    pub(super) options: Rc<Vec<Map>>,
}

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine
        .register_type_with_name::<SweepHandle>("Sweep")
        .register_type_with_name::<TrainedRun>("TrainedRun")
        .register_type_with_name::<Slurm>("Slurm");
}

/// Where a sweep is run.
#[derive(Clone)]
pub(super) enum Executor {
    /// Here.
    Local,
    /// On a cluster.
    Slurm(Slurm),
}

/// How and where the options of `run` or `start` say that a sweep is run.
pub(super) fn execution(given: &Given, session: &Session) -> Result<(RunOptions, Executor)> {
    let seconds = given.number("checkpoint_every")?;
    let too_long = |_| Error::invalid(format!("checkpoint_every: {seconds:e} seconds are too many"));
    let options = RunOptions {
        jobs: given.given_count("jobs")?,
        devices: match given.has("device") {
            true => Some(devices_named(&given.text("device")?)?),
            false => None,
        },
        retry_failed: given.has("retry"),
        extend: given.flag("extend")?,
        checkpoint_every: Duration::try_from_secs_f64(seconds).map_err(too_long)?,
        patience: session.patience(),
        files: Files::default(),
    };
    let executor = match given.value("executor") {
        Some(Value::Handle(..)) => given.handle("executor")?.map_or(Executor::Local, Executor::Slurm),
        _ => Executor::Local,
    };
    Ok((options, executor))
}

/// The same of a map that is an option of another call.
pub(super) fn run_options(options: &Map, session: &Session) -> Result<(RunOptions, Executor)> {
    execution(&given("run", START_OPTIONS, options)?, session)
}

fn run_in(context: &NativeCallContext, sweep: &SweepHandle, dir: &str, map: &Map) -> Scripted<Table> {
    let (session, dir) = (Session::of(context), &path(dir));
    let mut failed = None;
    let mut run = || {
        session.may_write(Path::new(dir))?;
        session.refuse_beside_a_job("run", dir)?;
        // `on_epoch: ()` is none.
        let is_given = |name: &str, value: &Dynamic| name != "on_epoch" || !value.is_unit();
        let mut map = map.clone();
        map.retain(|name, value| is_given(name, value));
        let given = given("run", EXECUTION_OPTIONS, &map)?;
        let (options, executor) = execution(&given, &session)?;
        let (path, provenance) = (Path::new(dir), session.provenance());
        match executor {
            Executor::Local => {
                let train = |observer: &mut dyn Observer| {
                    crate::sweep::run(&sweep.plan, path, &provenance, &options, observer)
                };
                let function = map.get("on_epoch").and_then(|value| value.clone().try_cast::<FnPtr>());
                let summary = match function {
                    None => train(session.observer().as_mut())?,
                    Some(function) => {
                        let mut observer = OnEpoch::new(session.observer(), context, function);
                        let summary = train(&mut observer);
                        failed = observer.failed();
                        summary?
                    }
                };
                if let Some(problem) = problems(&summary, dir) {
                    session.note_problem(problem);
                }
            }
            Executor::Slurm(slurm) => {
                if given.has("on_epoch") {
                    return Err(Error::invalid(
                        "on_epoch: only run(dir, #{on_epoch: |row| …}) calls a function as epochs come, on this machine",
                    ));
                }
                if given.has("jobs") || given.has("device") {
                    return Err(Error::invalid(
                        "run: `jobs` and `device` are for this machine; slurm(#{cpus, gpus}) says what a task asks for",
                    ));
                }
                slurm.setup.as_deref().map_or(Ok(()), |lines| session.may_run_shell(lines))?;
                crate::sweep::slurm::check(&slurm)?;
                let slurm = Slurm { checkpoint_every: Some(options.checkpoint_every.as_secs_f64()), ..slurm };
                let files = options.files.clone();
                let store = Store::create(files, path, &sweep.plan, &provenance, options.extend)?;
                session
                    .tell(&crate::sweep::slurm::submit(&store, &slurm, options.retry_failed)?.describe(path));
            }
        }
        crate::sweep::open(path)
    };
    let result = run();
    match failed {
        Some(error) => Err(error),
        None => result.map_err(|error| raise(error, context.call_position())),
    }
}

fn results_in(context: &NativeCallContext, dirs: &[String]) -> Scripted<Table> {
    let open = || {
        if dirs.is_empty() {
            return Err(Error::invalid("results: expected at least one sweep's folder"));
        }
        let dirs: Vec<PathBuf> = dirs.iter().map(|dir| path(dir).into()).collect();
        let (table, repeated) = crate::sweep::open_all(&dirs)?;
        if repeated > 0 {
            let runs = if repeated == 1 { "1 run is" } else { &format!("{repeated} runs are") };
            let text = format!("results: {runs} in more than one of the folders; each counts once");
            Session::of(context).tell(&text);
        }
        Ok(table)
    };
    open().map_err(|error| at(context, error))
}

fn slurm_options(options: &Map) -> Result<Slurm> {
    let given = given("slurm", SLURM_OPTIONS, options)?;
    // Its schema keeps it below 2³².
    let number = |name: &str| {
        let found = given.given_count(name)?;
        Ok::<_, Error>(found.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
    };
    Ok(Slurm {
        partition: given.given_text("partition")?,
        gpus: number("gpus")?,
        time: given.given_text("time")?,
        cpus: number("cpus")?,
        mem: given.given_text("mem")?,
        array_limit: number("array_limit")?,
        setup: given.given_text("setup")?,
        runs_per_task: given.given_count("runs_per_task")?,
        checkpoint_every: None,
    })
}

/// Why a run of a sweep's folder would or would not train again.
fn why_run(dir: &str, run: &str) -> Result<String> {
    let store = Store::open(Path::new(&path(dir)))?;
    let run = store.find(run)?;
    Ok(format!("{} {}", run.id, store.status(&run.id)?.why(run)))
}

fn plan(context: &NativeCallContext, specs: Vec<RunSpec>, options: Vec<Map>) -> Scripted<SweepHandle> {
    Plan::new(specs)
        .map(|plan| SweepHandle { plan: Arc::new(plan), options: Rc::new(options) })
        .map_err(|error| at(context, error))
}

fn in_a_line(plan: &Plan) -> String {
    format!("sweep of {} runs ({})", plan.runs.len(), plan.id())
}

/// A plan in a line, and a line for each axis.
fn with_axes(plan: &Plan) -> String {
    /// Values of an axis that are listed.
    const LISTED: usize = 12;
    let axes = plan.axes();
    let width = axes.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = in_a_line(plan);
    for (name, values) in axes {
        let more = values.len().saturating_sub(LISTED);
        let listed = values[..values.len() - more].join(", ");
        let rest = if more > 0 { format!(", … {more} more") } else { String::new() };
        text += &format!("\n  {name:width$}  {listed}{rest}");
    }
    text
}

#[export_module]
pub mod functions {
    /// A plan of runs: every combination of the options' values, where an array or a range is an
    /// axis.
    ///
    /// ```
    /// sweep(#{
    ///     data: digits(), model: resnet(#{ width: 8 }),
    ///     lr: [0.025, 0.05, 0.1], batch: [16, 32, 128], seed: 1..=4, epochs: 40,
    /// })
    /// ```
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
            if specs.len() > MOST_COMBINATIONS {
                let message =
                    format!("sweep: more than {MOST_COMBINATIONS} runs in these maps; shorten an axis");
                return Err(at(&context, Error::invalid(message)));
            }
            maps.push(options);
        }
        plan(&context, specs, maps)
    }

    /// How many runs.
    #[rhai_fn(get = "len", pure)]
    pub fn sweep_len(sweep: &mut SweepHandle) -> i64 {
        sweep.plan.runs.len() as i64
    }

    /// The runs as a table, with what each is expected to cost: `core_seconds` from training a
    /// little of each kind of run now, `memory` in bytes.
    ///
    /// ```
    /// let options = #{ data: digits().take(200), model: linear(), lr: [0.05, 0.1], batch: 20, epochs: 3 };
    /// sweep(options).plan().select(["run_id", "lr", "batch", "core_seconds", "memory"])
    /// ```
    #[rhai_fn(name = "plan", return_raw, pure)]
    pub fn sweep_plan(context: NativeCallContext, sweep: &mut SweepHandle) -> Scripted<Table> {
        preview_plan(&sweep.plan, None).map(|(table, _)| table).map_err(|error| at(&context, error))
    }

    /// The runs as a table, with where each stands in a folder: `status` (done, diverged, failed,
    /// interrupted, training, begun, to do), `epoch` (the one that it goes on after), `why`, and
    /// the cost of what is left.
    #[rhai_fn(name = "plan", return_raw, pure)]
    pub fn sweep_plan_in(context: NativeCallContext, sweep: &mut SweepHandle, dir: &str) -> Scripted<Table> {
        let (table, refused) =
            preview_plan(&sweep.plan, Some(Path::new(&path(dir)))).map_err(|error| at(&context, error))?;
        if let Some(refused) = refused {
            Session::of(&context).tell(&format!("run would be refused: {refused}"));
        }
        Ok(table)
    }

    /// Freezes the plan in a folder and trains nothing: `kelvin worker DIR 1/4` and so on train it
    /// then.
    ///
    /// ```
    /// let runs = sweep(#{ data: digits(), model: linear(), lr: [0.05, 0.1], batch: 32, epochs: 30 });
    /// runs.save("results/demo");
    /// runs.plan("results/demo").select(["run_id", "lr", "status"])
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn save(context: NativeCallContext, sweep: &mut SweepHandle, dir: &str) -> Scripted<()> {
        let (session, dir) = (Session::of(&context), &path(dir));
        let provenance = session.provenance();
        session.may_write(Path::new(dir)).map_err(|error| at(&context, error))?;
        let (plan, dir) = (Arc::clone(&sweep.plan), PathBuf::from(dir));
        leave_behind("save", move || {
            Store::create(Files::default(), &dir, &plan, &provenance, false).map(|_| ())
        })
        .map_err(|error| at(&context, error))
    }

    /// Why a run, a row of `plan(dir)`, would or would not train again.
    ///
    /// ```
    /// let runs = sweep(#{ data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3 });
    /// runs.run("results/demo");
    /// why(runs.plan("results/demo").rows()[0])
    /// ```
    #[rhai_fn(return_raw)]
    pub fn why(context: NativeCallContext, run: Map) -> Scripted<String> {
        let field = |name: &str| run.get(name).and_then(|value| value.clone().into_string().ok());
        match (field("dir").filter(|dir| !dir.is_empty()), field("run_id")) {
            (Some(dir), Some(id)) => why_run(&dir, &id).map_err(|error| at(&context, error)),
            _ => {
                let message = "why: expected a row of plan(dir).rows(), or why(dir, run_id)";
                Err(at(&context, Error::invalid(message)))
            }
        }
    }

    /// Why a run of a sweep's folder, by its id, would or would not train again.
    #[rhai_fn(name = "why", return_raw)]
    pub fn why_in(context: NativeCallContext, dir: &str, run: &str) -> Scripted<String> {
        why_run(dir, run).map_err(|error| at(&context, error))
    }

    /// Slurm as an executor: `run(dir, #{executor: slurm(#{…})})` sends the sweep and returns at
    /// once.
    ///
    /// ```no_run
    /// let runs = sweep(#{ data: digits(), model: linear(), lr: [0.05, 0.1], batch: 32, epochs: 30 });
    /// let cluster = slurm(#{ partition: "gpu", gpus: 1, time: "4:00:00" });
    /// runs.run("results/demo", #{ executor: cluster })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn slurm(context: NativeCallContext, options: Map) -> Scripted<Slurm> {
        slurm_options(&options).map_err(|error| at(&context, error))
    }

    /// Slurm as an executor, with the site's defaults.
    #[rhai_fn(name = "slurm")]
    pub fn slurm_by_default() -> Slurm {
        Slurm::default()
    }

    /// Trains what is left of the plan in a folder and returns the epochs table of its finished
    /// runs.
    ///
    /// ```
    /// let options = #{ data: digits().take(200), model: linear(), lr: [0.05, 0.1], batch: 20, epochs: 3 };
    /// let runs = sweep(options).run("results/demo");
    /// runs.select(["lr", "epoch", "train_loss", "test_loss", "gap"])
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn run(context: NativeCallContext, sweep: &mut SweepHandle, dir: &str) -> Scripted<Table> {
        run_in(&context, sweep, dir, &Map::new())
    }

    /// Trains what is left of the plan in a folder, with options of how and where.
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
    #[rhai_fn(name = "to_debug", pure)]
    pub fn sweep_to_debug(sweep: &mut SweepHandle) -> String {
        in_a_line(&sweep.plan)
    }

    /// A plan with its axes.
    #[rhai_fn(name = "to_string", return_raw, pure)]
    pub fn sweep_to_string(context: NativeCallContext, sweep: &mut SweepHandle) -> Scripted<String> {
        let plan = Arc::clone(&sweep.plan);
        leave_behind("sweep", move || Ok(with_axes(&plan))).map_err(|error| at(&context, error))
    }

    /// The epochs table of the finished runs in a sweep's folder.
    ///
    /// ```
    /// let options = #{ data: digits().take(200), model: linear(), lr: [0.05, 0.1], batch: 20, epochs: 3 };
    /// sweep(options).run("results/demo");
    /// results("results/demo").group("lr", "min(test_loss) as best")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn results(context: NativeCallContext, dir: &str) -> Scripted<Table> {
        crate::sweep::open(Path::new(&path(dir))).map_err(|error| at(&context, error))
    }

    /// The epochs table of the finished runs in two sweeps' folders.
    #[rhai_fn(name = "results", return_raw)]
    pub fn results_of_two(context: NativeCallContext, dir: &str, other: &str) -> Scripted<Table> {
        results_in(&context, &[dir.into(), other.into()])
    }

    /// The epochs table of the finished runs in three sweeps' folders.
    #[rhai_fn(name = "results", return_raw)]
    pub fn results_of_three(
        context: NativeCallContext,
        dir: &str,
        other: &str,
        third: &str,
    ) -> Scripted<Table> {
        results_in(&context, &[dir.into(), other.into(), third.into()])
    }

    /// The epochs table of the finished runs in several sweeps' folders, one under the other; the
    /// column `sweep` tells them apart. A run that several of them hold counts once.
    #[rhai_fn(name = "results", return_raw)]
    pub fn results_of_all(context: NativeCallContext, dirs: Array) -> Scripted<Table> {
        let dirs = texts("results", &Dynamic::from(dirs)).map_err(|error| at(&context, error))?;
        results_in(&context, &dirs)
    }

    /// Trains one run in memory. The options are those of a sweep, each with one value.
    ///
    /// ```
    /// let run = train(#{ data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3 });
    /// print(run);
    /// run.epochs.select(["epoch", "train_loss", "test_loss", "gap"])
    /// ```
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
        let session = Session::of(&context);
        let options = RunOptions { patience: session.patience(), ..RunOptions::default() };
        let mut observer = session.observer();
        let Trained { epochs, network, status, stopped } =
            crate::sweep::train(spec, &options, observer.as_mut()).map_err(|error| at(&context, error))?;
        let network = network.map(|network| Rc::new(RefCell::new(network)));
        let run = TrainedRun { epochs, network, spec: spec.clone(), status };
        let (done, all) = (run.epochs.len(), spec.epochs);
        session.keep_run(run.clone());
        match stopped {
            None => Ok(run),
            Some(Error::Interrupted) => {
                session.tell(&format!("last_run() has the run with {done} of its {all} epochs"));
                Err(at(&context, Error::Interrupted))
            }
            Some(error) => {
                let text = format!("{error}; last_run() has the run with {done} of its {all} epochs");
                Err(at(&context, Error::invalid(text)))
            }
        }
    }

    /// The last run that `train` trained in this session, also where Ctrl-C stopped it or it
    /// diverged: the epochs until then and, where it has one, the network.
    ///
    /// ```
    /// train(#{ data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3 });
    /// let run = last_run();
    /// print(run.status);
    /// run.epochs.select(["epoch", "train_loss", "gap"])
    /// ```
    #[rhai_fn(return_raw)]
    pub fn last_run(context: NativeCallContext) -> Scripted<TrainedRun> {
        Session::of(&context).last_run().ok_or_else(|| {
            at(&context, Error::invalid("last_run: nothing was trained yet in this session with train(#{…})"))
        })
    }

    /// How a trained run ended: done, interrupted, diverged or failed.
    #[rhai_fn(get = "status", pure)]
    pub fn trained_status(run: &mut TrainedRun) -> String {
        run.status.name().to_owned()
    }

    /// The metrics of every epoch.
    #[rhai_fn(get = "epochs", pure)]
    pub fn trained_epochs(run: &mut TrainedRun) -> Table {
        run.epochs.clone()
    }

    /// The trained network.
    #[rhai_fn(get = "network", return_raw, pure)]
    pub fn trained_network(context: NativeCallContext, run: &mut TrainedRun) -> Scripted<NetworkHandle> {
        run.network.clone().ok_or_else(|| {
            let text =
                format!("network: the run {} and left no weights; it has its epochs", run.status.name());
            at(&context, Error::invalid(text))
        })
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
        let epochs = match run.status {
            Status::Done => format!("run of {} epochs", run.spec.epochs),
            status => {
                format!("run {} after {} of {} epochs", status.name(), run.epochs.len(), run.spec.epochs)
            }
        };
        format!(
            "{epochs}: train loss {:.4}, test loss {:.4}, test accuracy {:.2} %",
            last("train_loss"),
            last("test_loss"),
            100.0 * last("test_accuracy")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_defaults_are_those_of_the_core() {
        let (found, executor) = run_options(&Map::new(), &Session::silent()).unwrap();
        let core = RunOptions::default();
        assert!(matches!(executor, Executor::Local));
        assert_eq!((found.jobs, found.devices), (core.jobs, core.devices));
        assert_eq!((found.retry_failed, found.extend), (core.retry_failed, core.extend));
        assert_eq!((found.checkpoint_every, found.patience), (core.checkpoint_every, core.patience));
        assert_eq!(slurm_options(&Map::new()).unwrap(), Slurm::default());
    }
}
