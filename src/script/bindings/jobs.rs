//! Sweeps in the background, in scripts.

use std::path::Path;
use std::sync::Arc;

use rhai::plugin::*;
use rhai::{Dynamic, FnPtr, Map};

use super::sweeps::{Executor, SweepHandle, execution};
use crate::error::{Error, Result};
use crate::script::convert::{Scripted, at, given, path, raise};
use crate::script::handles::JobHandle;
use crate::script::session::{Notifier, Session};
use crate::script::{clear_screen, output_sink, print, shown};
use crate::sweep::options::START_OPTIONS;
use crate::sweep::{Job, Progress, Stage};
use crate::table::{Cell, Table, number};

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<JobHandle>("Job");
}

fn begin(context: &NativeCallContext, sweep: &SweepHandle, dir: &str, options: &Map) -> Result<JobHandle> {
    let (session, dir) = (Session::of(context), &path(dir));
    session.may_write(Path::new(dir))?;
    let (options, executor) = execution(&given("start", START_OPTIONS, options)?, &session)?;
    if !matches!(executor, Executor::Local) {
        return Err(Error::invalid(
            "start: runs on this machine; run(dir, #{executor: slurm(#{…})}) sends a sweep and returns at once",
        ));
    }
    session.refuse_beside_a_job("start", dir)?;
    let name = format!("job {} ({dir})", session.next_job());
    let notifier = session.notifier();
    let say: Notifier = Arc::new(move |text: &str| notifier(&format!("{name}: {text}")));
    let over = {
        let say = Arc::clone(&say);
        move |progress: &Progress| say(&last_words(progress))
    };
    let options = crate::sweep::RunOptions {
        // Nobody waits for it.
        patience: crate::sweep::RunOptions::default().patience,
        ..options
    };
    let job = Job::start(
        &sweep.plan,
        Path::new(dir),
        &session.provenance(),
        &options,
        Box::new(move |text: &str| say(text)),
        over,
    )?;
    Ok(session.add_job(job, sweep.options.clone()))
}

/// What is said when a job is over.
fn last_words(progress: &Progress) -> String {
    let time = number((progress.time.as_secs_f64() * 10.0).round() / 10.0);
    match (&progress.stage, &progress.summary, &progress.error) {
        (Stage::Ended, Some(summary), _) => {
            let bad = match (summary.diverged, summary.failed) {
                (0, 0) => String::new(),
                (diverged, failed) => format!(", {diverged} diverged, {failed} failed"),
            };
            format!("ended after {time} s: {} of {} runs done{bad}", summary.done, summary.runs)
        }
        (_, _, Some(error)) => format!("failed after {time} s: {error}"),
        _ => format!(
            "stopped after {time} s: {} of {} runs ended; the same sweep goes on from its checkpoints",
            progress.ended, progress.runs
        ),
    }
}

fn in_words(progress: &Progress) -> String {
    match progress.stage {
        Stage::Training => {
            let left =
                progress.left().map_or(String::new(), |left| format!(", {:.0} s left", left.as_secs_f64()));
            format!(
                "training: {} of {} runs ended, {} of {} epochs, {} images/s{left}",
                progress.ended,
                progress.runs,
                progress.epochs,
                progress.epochs_to_do,
                progress.speed() as u64
            )
        }
        Stage::Stopping => "stopping: it writes its checkpoints".to_owned(),
        _ => last_words(progress),
    }
}

fn progress_map(progress: &Progress) -> Map {
    let optional = |value: Option<f64>| value.map_or(Dynamic::UNIT, Dynamic::from);
    Map::from_iter([
        ("status".into(), progress.stage.name().into()),
        ("runs".into(), (progress.runs as i64).into()),
        ("runs_ended".into(), (progress.ended as i64).into()),
        ("epochs".into(), (progress.epochs as i64).into()),
        ("epochs_to_do".into(), (progress.epochs_to_do as i64).into()),
        ("images_per_second".into(), progress.speed().into()),
        ("seconds".into(), progress.time.as_secs_f64().into()),
        ("seconds_left".into(), optional(progress.left().map(|left| left.as_secs_f64()))),
    ])
}

/// The finished runs of a job's sweep so far.
fn so_far(job: &JobHandle) -> Result<Table> {
    crate::sweep::open(job.job.dir())
}

fn waited(context: &NativeCallContext, job: &JobHandle) -> Result<Table> {
    let progress = job.job.wait()?;
    if let Some(error) = &progress.error {
        return Err(Error::invalid(error.as_str()));
    }
    if let Some(problem) = job.problem(&progress) {
        Session::of(context).note_problem(problem);
    }
    so_far(job)
}

fn watched(context: &NativeCallContext, job: &JobHandle, analysis: &FnPtr) -> Scripted<()> {
    let mut seen = None;
    loop {
        let news = |progress: &Progress| progress.stage.is_over() || seen != Some(progress.ended);
        let progress = job.job.wait_for(news).map_err(|error| raise(error, context.call_position()))?;
        let over = progress.stage.is_over();
        if seen != Some(progress.ended) && (progress.ended > 0 || over) {
            // What was there before stays where nothing will take its place.
            if seen.is_some() || !over {
                clear_screen(true);
            }
            print(&format!("job {}: {}", job.number, in_words(&progress)));
            let value: Dynamic = analysis.call_within_context(context, ())?;
            if !value.is_unit() {
                let shown = shown(context.engine(), value);
                match output_sink() {
                    Some(output) => output.show(shown),
                    None => print(&shown.text),
                }
            }
        }
        if over {
            if seen == Some(progress.ended) {
                print(&format!("job {}: {}", job.number, in_words(&progress)));
            }
            return Ok(());
        }
        seen = Some(progress.ended);
    }
}

#[export_module]
pub mod functions {
    /// Trains a sweep in the background and returns at once: `job.progress`, `job.table()`,
    /// `job.wait()`, `job.stop()`.
    ///
    /// ```
    /// let data = synthetic(#{ n: 200, classes: 2 });
    /// let plan = sweep(#{ data: data, model: linear(), lr: 0.1, batch: [8, 32], epochs: 2 });
    /// let job = plan.start("results/demo");
    /// job.wait().group(["batch"], ["min(test_loss) as best"])
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn start(context: NativeCallContext, sweep: &mut SweepHandle, dir: &str) -> Scripted<JobHandle> {
        begin(&context, sweep, dir, &Map::new()).map_err(|error| at(&context, error))
    }

    /// Trains a sweep in the background, with options of how.
    #[rhai_fn(name = "start", return_raw, pure)]
    pub fn start_with(
        context: NativeCallContext,
        sweep: &mut SweepHandle,
        dir: &str,
        options: Map,
    ) -> Scripted<JobHandle> {
        begin(&context, sweep, dir, &options).map_err(|error| at(&context, error))
    }

    /// The jobs of this session as a table, with how far each is.
    ///
    /// ```
    /// jobs()
    /// ```
    #[rhai_fn(return_raw)]
    pub fn jobs(context: NativeCallContext) -> Scripted<Table> {
        let names = [
            "job",
            "dir",
            "status",
            "runs",
            "runs_ended",
            "epochs",
            "epochs_to_do",
            "seconds",
            "seconds_left",
        ];
        let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
        for handle in Session::of(&context).jobs() {
            let progress = handle.job.progress();
            let left = progress.left().filter(|_| !progress.stage.is_over());
            let row = [
                Cell::Int(handle.number),
                Cell::Text(handle.job.dir().display().to_string()),
                Cell::Text(progress.stage.name().to_owned()),
                Cell::Int(progress.runs as i64),
                Cell::Int(progress.ended as i64),
                Cell::Int(progress.epochs as i64),
                Cell::Int(progress.epochs_to_do as i64),
                Cell::Float(progress.time.as_secs_f64()),
                left.map_or(Cell::Null, |left| Cell::Float(left.as_secs_f64())),
            ];
            columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
        }
        Table::from_cells(&names.map(str::to_owned), &columns).map_err(|error| at(&context, error))
    }

    /// A job of this session by its number.
    ///
    /// ```
    /// let data = synthetic(#{ n: 200, classes: 2 });
    /// let plan = sweep(#{ data: data, model: linear(), lr: 0.1, batch: [8, 32], epochs: 2 });
    /// plan.start("results/demo");
    /// job(1).wait().len
    /// ```
    #[rhai_fn(return_raw)]
    pub fn job(context: NativeCallContext, number: i64) -> Scripted<JobHandle> {
        let jobs = Session::of(&context).jobs();
        let found = jobs.iter().find(|handle| handle.number == number).cloned();
        found.ok_or_else(|| {
            let known = match jobs.len() {
                0 => "no job has begun".to_owned(),
                n => format!("expected 1 to {n}; jobs() lists them"),
            };
            at(&context, Error::invalid(format!("job({number}): {known}")))
        })
    }

    /// What a job does: training, stopping, ended, stopped or failed.
    #[rhai_fn(get = "status", pure)]
    pub fn status(job: &mut JobHandle) -> String {
        job.job.progress().stage.name().to_owned()
    }

    /// How far a job is: a map of `status` (training, stopping, ended, stopped, failed), `runs`,
    /// `runs_ended`, `epochs`, `epochs_to_do`, `images_per_second`, `seconds` and `seconds_left`.
    #[rhai_fn(get = "progress", pure)]
    pub fn progress(job: &mut JobHandle) -> Map {
        progress_map(&job.job.progress())
    }

    /// The folder of a job's sweep.
    #[rhai_fn(get = "dir", pure)]
    pub fn dir(job: &mut JobHandle) -> String {
        job.job.dir().display().to_string()
    }

    /// The epochs table of the runs of a job that have finished so far.
    ///
    /// ```
    /// let data = synthetic(#{ n: 200, classes: 2 });
    /// let plan = sweep(#{ data: data, model: linear(), lr: 0.1, batch: [8, 32], epochs: 2 });
    /// let job = plan.start("results/demo");
    /// let some = job.table();
    /// job.wait();
    /// job.table().len
    /// ```
    #[rhai_fn(name = "table", return_raw, pure)]
    pub fn job_table(context: NativeCallContext, job: &mut JobHandle) -> Scripted<Table> {
        so_far(job).map_err(|error| at(&context, error))
    }

    /// Lets a job finish its step and write its checkpoints; the same sweep goes on from there.
    ///
    /// ```
    /// let data = synthetic(#{ n: 200, classes: 2 });
    /// let plan = sweep(#{ data: data, model: linear(), lr: 0.1, batch: [8, 32], epochs: 2 });
    /// let job = plan.start("results/demo");
    /// job.stop();
    /// plan.run("results/demo").len
    /// ```
    #[rhai_fn(pure)]
    pub fn stop(job: &mut JobHandle) {
        job.job.stop();
    }

    /// Waits until a job is over and returns the epochs table of its finished runs. Ctrl-C ends the
    /// waiting, not the job.
    ///
    /// ```
    /// let data = synthetic(#{ n: 200, classes: 2 });
    /// let plan = sweep(#{ data: data, model: linear(), lr: 0.1, batch: [8, 32], epochs: 2 });
    /// let job = plan.start("results/demo");
    /// job.wait().steady().select(["batch", "gap"])
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn wait(context: NativeCallContext, job: &mut JobHandle) -> Scripted<Table> {
        waited(&context, job).map_err(|error| raise(error, context.call_position()))
    }

    /// Calls a function again whenever a run of a job has ended, and shows what it returns:
    /// watch(job, || fit_gap(job.table().steady())). Ctrl-C ends the watching, not the job.
    ///
    /// ```
    /// let data = synthetic(#{ n: 200, classes: 2 });
    /// let plan = sweep(#{ data: data, model: linear(), lr: 0.1, batch: [8, 32], epochs: 2 });
    /// let job = plan.start("results/demo");
    /// watch(job, || job.table().group(["batch"], ["min(test_loss) as best"]))
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn watch(context: NativeCallContext, job: &mut JobHandle, analysis: FnPtr) -> Scripted<()> {
        watched(&context, job, &analysis)
    }

    /// A job in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn job_to_string(job: &mut JobHandle) -> String {
        format!("job {} in {}, {}", job.number, job.job.dir().display(), in_words(&job.job.progress()))
    }
}
