//! Averages to a wanted precision in scripts.

use std::path::Path;

use rhai::Map;
use rhai::plugin::*;

use super::analysis::steady_options;
use super::sweeps::{Executor, run_options};
use crate::analysis::{Average, Goal, SteadyOptions, average_over as average};
use crate::error::{Error, Result};
use crate::script::convert::{
    Scripted, at, count, describe, flag, handle, integer, known_keys, number, path, raise, text, texts,
};
use crate::script::handles::problems;
use crate::script::options::expand;
use crate::script::session::Session;
use crate::table::Table;

/// The options of `average_over`, with their meanings.
pub(in crate::script) const AVERAGE_OPTIONS: [(&str, &str); 9] = [
    ("until", "the standard error of the mean that is small enough, in the metric's units; required"),
    ("relative", "true: `until` is in units of the mean; default false"),
    ("metric", "a column of the steady-state table; default \"gap\""),
    ("by", "columns within whose values runs are averaged, such as \"temperature\"; default each setting"),
    ("start", "seeds of every setting to begin with; default 4"),
    ("most", "seeds of a setting at most; default 64"),
    ("dir", "the folder of the sweep; required"),
    ("steady", "options of steady(#{…}) for the metric"),
    ("run", "options of run(dir, #{…}): jobs, device, checkpoint_every, retry"),
];

/// What is averaged, where, and how it is run.
struct Asked {
    average: Average,
    dir: String,
    run: Map,
}

fn asked(first_seed: i64, options: &Map) -> Result<Asked> {
    known_keys("average_over", options, AVERAGE_OPTIONS.map(|(name, _)| name))?;
    let (mut goal, mut metric, mut by, mut steady) =
        (Goal::default(), "gap".to_owned(), Vec::new(), SteadyOptions::default());
    let (mut dir, mut run) = (None, Map::new());
    let map = |key: &str, value| handle::<Map>(key, "a map of options", value);
    for (key, value) in options {
        match key.as_str() {
            "until" => goal.until = number(key, value)?,
            "relative" => goal.relative = flag(key, value)?,
            "metric" => metric = text(key, value)?,
            "by" => by = texts(key, value)?,
            "start" => goal.start = count(key, value)?,
            "most" => goal.most = count(key, value)?,
            "dir" => dir = Some(path(&text(key, value)?)),
            "steady" => steady = steady_options(&map(key, value)?)?,
            _ => run = map(key, value)?,
        }
    }
    let missing = |key: &str| Error::invalid(format!("average_over: the option `{key}` is missing"));
    if !options.contains_key("until") {
        return Err(missing("until"));
    }
    let average = Average { goal, metric, by, first_seed, steady };
    Ok(Asked { average, dir: dir.ok_or_else(|| missing("dir"))?, run })
}

/// The options of the sweep without their seed, and the first seed.
fn without_seed(options: &Map) -> Result<(Map, i64)> {
    let mut options = options.clone();
    let first = match options.remove("seed") {
        None => 1,
        Some(seed) => integer("seed", &seed).map_err(|_| {
            Error::invalid(format!(
                "average_over: seed: expected the first seed, of which the next ones follow, found {}; leave it out to \
                 begin with 1",
                describe(&seed)
            ))
        })?,
    };
    Ok((options, first))
}

fn averaged(context: &NativeCallContext, sweep: &Map, options: &Map) -> Scripted<Table> {
    let (sweep, first_seed) = without_seed(sweep).map_err(|error| at(context, error))?;
    let Asked { average: what, dir, run } = asked(first_seed, options).map_err(|error| at(context, error))?;
    let settings = expand(context, "average_over", &sweep)?;
    let session = Session::of(context);
    let work = || {
        session.may_write(Path::new(&dir))?;
        let (options, executor) = run_options(&run, &session)?;
        if !matches!(executor, Executor::Local) {
            return Err(Error::invalid(
                "average_over: runs on this machine; on a cluster, run a sweep and look at its means",
            ));
        }
        let mut observer = session.observer();
        let path = Path::new(&dir);
        average(&settings, &what, path, &session.provenance(), &options, observer.as_mut())
    };
    let (table, summary) = work().map_err(|error| raise(error, context.call_position()))?;
    if let Some(problem) = problems(&summary, &dir) {
        session.note_problem(problem);
    }
    Ok(table)
}

#[export_module]
pub mod functions {
    /// Averages over data sets and runs (section 2.1 of the paper): runs a sweep's options with more and more seeds, each with its own
    /// split, weights and order, until the standard error of the mean of a steady-state metric is at most `until` in each setting, or
    /// `most` seeds are reached: average_over(#{data: digits(), …}, #{until: 0.01, dir: "results/x"}). A row per setting: `mean`,
    /// `standard_error`, `n`, `seeds`, `reached`. What the folder holds counts: the same call again trains nothing.
    ///
    /// ```
    /// let options = #{
    ///     data: digits().take(200), model: linear(), lr: [0.05, 0.1], batch: 20, epochs: 10,
    /// };
    /// average_over(options, #{ until: 0.03, dir: "results/demo" })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn average_over(context: NativeCallContext, sweep: Map, options: Map) -> Scripted<Table> {
        averaged(&context, &sweep, &options)
    }
}
