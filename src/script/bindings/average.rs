//! Averages to a wanted precision in scripts.

use std::path::Path;

use rhai::Map;
use rhai::plugin::*;

use super::sweeps::{Executor, run_options};
use crate::analysis::{AVERAGE_OPTIONS, Average, Goal, SteadyOptions, average_over as average};
use crate::error::{Error, Result};
use crate::script::convert::{Scripted, at, describe, given, handle, integer, path, raise};
use crate::script::handles::problems;
use crate::script::options::expand;
use crate::script::session::Session;
use crate::table::Table;

/// The option that is handed on to the sweep, which reads it.
const RUN: &str = "run";

/// What is averaged, where, and how it is run.
struct Asked {
    average: Average,
    dir: String,
    run: Map,
}

fn asked(first_seed: i64, options: &Map) -> Result<Asked> {
    let mut options = options.clone();
    let run = options.remove(RUN).map(|run| handle::<Map>(RUN, "a map of options", &run)).transpose()?;
    let given = given("average_over", AVERAGE_OPTIONS, &options)?;
    let goal = Goal {
        until: given.number("until")?,
        relative: given.flag("relative")?,
        start: given.count("start")?,
        max_seeds: given.count("max_seeds")?,
    };
    let average = Average {
        goal,
        metric: given.text("metric")?,
        by: given.texts("by")?,
        first_seed,
        steady: SteadyOptions::read(&given.map("steady")?)?,
    };
    Ok(Asked { average, dir: path(&given.text("dir")?), run: run.unwrap_or_default() })
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
    /// Averages over data sets and runs (section 2.1 of the paper): runs a sweep's options with
    /// more and more seeds, each with its own split, weights and order, until the standard error of
    /// the mean of a steady-state metric is at most `until` in each setting, or `max_seeds` are
    /// reached: average_over(#{data: digits(), …}, #{until: 0.01, dir: "results/x"}). A row per
    /// setting: `mean`, `standard_error`, `n`, `seeds`, `reached`. What the folder holds counts:
    /// the same call again trains nothing.
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

#[cfg(test)]
mod tests {
    use rhai::Dynamic;

    use super::*;

    #[test]
    fn an_earlier_name_is_the_same_option() {
        let options = |extra: &[(&str, i64)]| {
            let needed = [("until", Dynamic::from(0.1)), ("dir", Dynamic::from("out".to_owned()))];
            let extra = extra.iter().map(|(name, value)| (*name, Dynamic::from(*value)));
            needed.into_iter().chain(extra).map(|(name, value)| (name.into(), value)).collect::<Map>()
        };
        let max_seeds = |extra: &[(&str, i64)]| asked(1, &options(extra)).unwrap().average.goal.max_seeds;
        assert_eq!([max_seeds(&[("max_seeds", 8)]), max_seeds(&[("most", 8)]), max_seeds(&[])], [8, 8, 64]);
        let error = asked(1, &options(&[("max_seeds", 8), ("most", 8)])).err().unwrap().to_string();
        assert!(error.contains("are one option"), "{error}");
    }
}
