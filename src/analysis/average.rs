//! Averages over data sets and seeds to a wanted precision.
//!
//! The paper's gap is an average over data sets and runs. Here every setting of a sweep (all
//! options but the seed) is run with more and more seeds, each with its own split, initial weights
//! and order, until the standard error of the mean of a steady-state metric is small enough. How
//! many more come from the spread so far, n = (s / wanted)², at most as many again as there are. A
//! spread of few runs may come out too small by chance, and a rule that stops at the first small
//! standard error stops a little early (Chow and Robbins 1965); the more runs it starts from, the
//! less.

use std::collections::HashMap;
use std::path::Path;

use super::groups::{keys, numbered, setting_names};
use super::statistics::{mean, squares};
use super::steady::{STEADY_OPTIONS, SteadyOptions, steady};
use crate::error::{Error, Result, suggestion};
use crate::interrupt;
use crate::options::{Bounds, DefaultValue, Kind, Opt};
use crate::sweep::options::START_OPTIONS;
use crate::sweep::rows::epochs_schema;
use crate::sweep::{Observer, Plan, Provenance, RunOptions, Store, Summary};
use crate::table::{Cell, Table};
use crate::train::{RunSpec, Seeds};

/// The options of `average_over`. It is no entry of the list of functions: it runs a sweep's
/// options.
pub const AVERAGE_OPTIONS: &[Opt] = &[
    Opt::new(
        "until",
        Kind::Number(Bounds::POSITIVE),
        DefaultValue::Required,
        "the standard error of the mean that is small enough, in the metric's units",
    ),
    Opt::new(
        "relative",
        Kind::Flag,
        DefaultValue::Flag(Goal::DEFAULT.relative),
        "whether `until` is in units of the mean",
    ),
    Opt::new("metric", Kind::Column, DefaultValue::Text("gap"), "a column of the steady-state table"),
    Opt::new(
        "by",
        Kind::List(&Kind::Column),
        DefaultValue::Absent("each setting"),
        "columns within whose values runs are averaged",
    ),
    Opt::new(
        "start",
        Kind::Integer(2, i64::MAX),
        DefaultValue::Integer(Goal::DEFAULT.start as i64),
        "seeds of every setting to begin with",
    ),
    Opt::new(
        "max_seeds",
        Kind::Integer(2, i64::MAX),
        DefaultValue::Integer(Goal::DEFAULT.max_seeds as i64),
        "seeds of a setting at most",
    )
    .formerly("most"),
    Opt::new("dir", Kind::Text, DefaultValue::Required, "the folder of the sweep"),
    Opt::new(
        "steady",
        Kind::Map(STEADY_OPTIONS),
        DefaultValue::Absent(""),
        "options of steady for the metric",
    ),
    Opt::new("run", Kind::Map(START_OPTIONS), DefaultValue::Absent(""), "how and where it is run"),
];

/// How precise an average shall be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The standard error of the mean that is small enough, in the metric's units …
    pub until: f64,
    /// … or in units of the mean.
    pub relative: bool,
    /// Seeds of every setting to begin with.
    pub start: usize,
    /// Seeds of a setting at most.
    pub max_seeds: usize,
}

impl Goal {
    /// A standard error of 0.01 from 4 to 64 seeds.
    pub const DEFAULT: Self = Self { until: 0.01, relative: false, start: 4, max_seeds: 64 };
}

impl Default for Goal {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The standard error of a mean, s / √n; infinite for fewer than two values.
fn standard_error(values: &[f64]) -> f64 {
    match values.len() {
        0 | 1 => f64::INFINITY,
        n => (squares(values) / (n - 1) as f64 / n as f64).sqrt(),
    }
}

impl Goal {
    fn wanted(&self, values: &[f64]) -> f64 {
        if self.relative { self.until * mean(values).abs() } else { self.until }
    }

    /// Whether the mean of these values is precise enough.
    pub fn is_reached(&self, values: &[f64]) -> bool {
        standard_error(values) <= self.wanted(values)
    }

    /// How many more runs it probably takes; 0 where the goal is reached. `tried` runs of so many
    /// settings gave these values: those that diverged are missing, and count nevertheless.
    pub fn more(&self, values: &[f64], tried: usize, settings: usize) -> usize {
        let left = (self.max_seeds * settings).saturating_sub(tried);
        if self.is_reached(values) || left == 0 {
            return 0;
        }
        let n = values.len();
        let needed = n as f64 * (standard_error(values) / self.wanted(values)).powi(2);
        let missing =
            if needed.is_finite() { (needed.ceil() as usize).saturating_sub(n) } else { usize::MAX };
        missing.clamp(1, tried.max(1)).min(left)
    }
}

/// What is averaged, and over what.
#[derive(Clone, Debug)]
pub struct Average {
    /// The precision.
    pub goal: Goal,
    /// A column of the steady-state table.
    pub metric: String,
    /// Columns of it within whose values runs are averaged; empty: within each setting.
    pub by: Vec<String>,
    /// The first seed; the next ones follow.
    pub first_seed: i64,
    /// How the steady state is estimated.
    pub steady: SteadyOptions,
}

/// The columns that an average adds to its group's.
const RESULTS: [&str; 5] = ["mean", "standard_error", "n", "seeds", "reached"];

/// Runs settings with more and more seeds in a folder, until each average is as precise as wanted
/// or has had all its seeds. Returns a row per average: what it is of, `mean`, `standard_error`,
/// `n` (runs in the mean), `seeds` (tried, of each setting), `reached`; and how the runs ended.
///
/// What the folder holds counts, so that the same call again trains nothing. The seeds of
/// `settings` do not matter.
pub fn average_over(
    settings: &[RunSpec],
    average: &Average,
    dir: &Path,
    provenance: &Provenance,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<(Table, Summary)> {
    let Average { goal, .. } = average;
    if !(goal.until > 0.0 && goal.start >= 2 && goal.start <= goal.max_seeds) {
        return Err(Error::invalid(format!(
            "average_over: expected until above 0 and 2 ≤ start ≤ max_seeds, found until {}, start {} and max_seeds {}",
            goal.until, goal.start, goal.max_seeds
        )));
    }
    // Before anything is trained.
    let schema = epochs_schema();
    let known = || schema.fields().iter().map(|field| field.name().as_str());
    for name in average.by.iter().chain([&average.metric]) {
        if !known().any(|column| column == name) {
            let hint = suggestion(name, known().collect::<Vec<_>>());
            return Err(Error::invalid(format!("average_over: no column `{name}`; {hint}")));
        }
    }
    let settings = DistinctSettings::new(settings, average.first_seed);
    let distinct = &settings.specs;
    let mut tried = settings.seeds_tried(dir, options, goal.start)?;
    let options = RunOptions { extend: true, ..options.clone() };
    loop {
        interrupt::check()?;
        let specs: Vec<RunSpec> = distinct
            .iter()
            .zip(&tried)
            .flat_map(|(spec, &tried)| {
                (0..tried as i64).map(move |seed| with_seed(spec, average.first_seed.saturating_add(seed)))
            })
            .collect();
        let plan = Plan::new(specs)?;
        let summary = crate::sweep::run(&plan, dir, provenance, &options, observer)?;
        let owners: HashMap<&str, usize> =
            plan.runs.iter().filter_map(|run| Some((run.id.as_str(), settings.place(&run.spec)?))).collect();
        let steady = steady(&crate::sweep::open(dir)?, &average.steady)?;
        let groups = AveragedGroups::new(&steady, average, &owners)?;
        let mut more = vec![0; distinct.len()];
        for group in &groups.all {
            let members = &group.settings;
            let had = members.iter().map(|&setting| tried[setting]).sum();
            let wanted = goal.more(&group.values, had, members.len()).div_ceil(members.len().max(1));
            for &setting in members {
                more[setting] = wanted.min(goal.max_seeds.saturating_sub(tried[setting])).max(more[setting]);
            }
        }
        if more.iter().all(|&more| more == 0) {
            return Ok((groups.table(&steady, &tried, goal)?, summary));
        }
        tried.iter_mut().zip(more).for_each(|(tried, more)| *tried += more);
    }
}

fn with_seed(spec: &RunSpec, seed: i64) -> RunSpec {
    RunSpec { seeds: Seeds::all(seed), ..spec.clone() }
}

/// The settings of a sweep, each once: all options but the seed.
struct DistinctSettings<'a> {
    specs: Vec<&'a RunSpec>,
    /// Where a setting is, by the id of its run with the first seed.
    places: HashMap<String, usize>,
    first_seed: i64,
}

impl<'a> DistinctSettings<'a> {
    fn new(settings: &'a [RunSpec], first_seed: i64) -> Self {
        let (mut specs, mut places) = (Vec::new(), HashMap::new());
        for spec in settings {
            places.entry(with_seed(spec, first_seed).id()).or_insert_with(|| {
                specs.push(spec);
                specs.len() - 1
            });
        }
        Self { specs, places, first_seed }
    }

    fn place(&self, spec: &RunSpec) -> Option<usize> {
        self.places.get(&with_seed(spec, self.first_seed).id()).copied()
    }

    /// How many seeds of each setting a folder holds, at least those that it starts with.
    fn seeds_tried(&self, dir: &Path, options: &RunOptions, start: usize) -> Result<Vec<usize>> {
        let mut tried = vec![start; self.specs.len()];
        if !dir.join("sweep.json").exists() {
            return Ok(tried);
        }
        let store = Store::open_with(options.files.clone(), dir)?;
        // Seeds follow one another, so none is larger than there are runs.
        let runs = store.plan().runs.len() as i64;
        for run in &store.plan().runs {
            let seed = run.spec.seeds.common().and_then(|seed| seed.checked_sub(self.first_seed));
            let (Some(place), Some(seed)) =
                (self.place(&run.spec), seed.filter(|seed| (0..runs).contains(seed)))
            else {
                return Err(Error::invalid(format!(
                    "{}: holds another sweep: runs that are not of these settings and seeds, such as {}; name another folder",
                    dir.display(),
                    run.id
                )));
            };
            tried[place] = tried[place].max(seed as usize + 1);
        }
        Ok(tried)
    }
}

/// Runs that are averaged together.
struct AveragedRuns {
    /// A row of the steady-state table that is one of them.
    row: usize,
    /// The metric of each run where it is finite.
    values: Vec<f64>,
    /// The settings that they are of.
    settings: Vec<usize>,
}

struct AveragedGroups {
    /// The columns that tell them apart.
    names: Vec<String>,
    all: Vec<AveragedRuns>,
}

impl AveragedGroups {
    /// AveragedGroups of the runs whose settings are known.
    fn new(steady: &Table, average: &Average, owners: &HashMap<&str, usize>) -> Result<Self> {
        let values = steady.floats(&average.metric)?;
        let ids = steady.strings("run_id")?;
        let rows: Vec<(usize, usize)> = ids
            .iter()
            .enumerate()
            .filter_map(|(row, id)| owners.get(id.as_str()).map(|&setting| (row, setting)))
            .collect();
        let (names, numbers, count) = if average.by.is_empty() {
            let (numbers, count) = numbered(rows.iter().map(|(_, setting)| *setting));
            (Self::telling(steady)?, numbers, count)
        } else {
            let by: Vec<&str> = average.by.iter().map(String::as_str).collect();
            let keys = keys(steady, &by)?;
            let (numbers, count) = numbered(rows.iter().map(|(row, _)| &keys[*row]));
            (average.by.clone(), numbers, count)
        };
        let mut all: Vec<AveragedRuns> = Vec::with_capacity(count);
        for ((row, setting), number) in rows.into_iter().zip(numbers) {
            if number == all.len() {
                all.push(AveragedRuns { row, values: Vec::new(), settings: Vec::new() });
            }
            let group = &mut all[number];
            group.values.extend(Some(values[row]).filter(|value| value.is_finite()));
            if !group.settings.contains(&setting) {
                group.settings.push(setting);
            }
        }
        Ok(Self { names, all })
    }

    /// lr, batch and temperature, and every other parameter that has several values.
    fn telling(steady: &Table) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for name in setting_names(steady) {
            let (_, values) = numbered(steady.strings(name)?.into_iter());
            if ["lr", "batch", "temperature"].contains(&name) || values > 1 {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn table(&self, steady: &Table, tried: &[usize], goal: &Goal) -> Result<Table> {
        let mut columns: Vec<Vec<Cell>> = self
            .names
            .iter()
            .map(|name| {
                let column = steady.column(name)?;
                Ok(self.all.iter().map(|group| Cell::of(column, group.row)).collect())
            })
            .collect::<Result<_>>()?;
        let finite = |value: f64| if value.is_finite() { Cell::Float(value) } else { Cell::Null };
        let mut add =
            |cell: &dyn Fn(&AveragedRuns) -> Cell| columns.push(self.all.iter().map(cell).collect());
        add(&|group| finite(mean(&group.values)));
        add(&|group| finite(standard_error(&group.values)));
        add(&|group| Cell::Int(group.values.len() as i64));
        add(&|group| {
            let seeds = group.settings.iter().map(|&setting| tried[setting]).max();
            Cell::Int(seeds.unwrap_or_default() as i64)
        });
        add(&|group| Cell::Bool(goal.is_reached(&group.values)));
        let names: Vec<String> = self.names.iter().cloned().chain(RESULTS.map(str::to_owned)).collect();
        Table::from_cells(&names, &columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    const GOAL: Goal = Goal { until: 0.1, relative: false, start: 4, max_seeds: 64 };

    #[test]
    fn more_values_are_wanted_until_the_mean_is_precise() {
        // s = 1: 100 values for a standard error of 0.1, but at most as many again.
        let spread = [-1.0, 1.0, -1.0, 1.0].map(|x| x * 0.75f64.sqrt());
        assert!((standard_error(&spread) - 0.5).abs() < 1e-12);
        assert_eq!(GOAL.more(&spread, 4, 1), 4);
        assert_eq!(GOAL.more(&spread, 63, 1), 1);
        assert_eq!(GOAL.more(&spread, 64, 1), 0);
        assert_eq!(Goal { until: 0.4, ..GOAL }.more(&spread, 4, 1), 3);
        assert_eq!(Goal { until: 0.45, ..GOAL }.more(&spread, 4, 1), 1);
        assert_eq!(Goal { until: 0.5, ..GOAL }.more(&spread, 4, 1), 0);
        // In units of the mean: 0.05 of 10.
        let high = spread.map(|x| x + 10.0);
        assert_eq!(Goal { until: 0.051, relative: true, ..GOAL }.more(&high, 4, 1), 0);
        assert_ne!(Goal { until: 0.049, relative: true, ..GOAL }.more(&high, 4, 1), 0);
        // Two settings that are averaged together have twice the runs.
        assert_eq!(GOAL.more(&spread, 126, 2), 2);
        // Nothing is known of one value, or of none.
        assert_eq!((GOAL.more(&[1.0], 4, 1), GOAL.more(&[], 4, 1)), (4, 4));
    }

    /// Values drawn until the goal is reached have a mean about as precise as wanted, and not many
    /// more of them than it takes.
    #[test]
    fn the_goal_is_reached_at_a_fair_price() {
        const SETS: i64 = 400;
        let goal = Goal { until: 0.2, ..GOAL };
        let (mut squares, mut total) = (0.0, 0);
        for set in 0..SETS {
            let mut rng = Rng::new(set, Stream::Synthetic, 0);
            let mut values: Vec<f64> = (0..goal.start).map(|_| rng.normal_pair().0).collect();
            loop {
                let more = goal.more(&values, values.len(), 1);
                if more == 0 {
                    break;
                }
                values.extend((0..more).map(|_| rng.normal_pair().0));
            }
            squares += mean(&values).powi(2);
            total += values.len();
        }
        let (error, n) = ((squares / SETS as f64).sqrt(), total as f64 / SETS as f64);
        // 25 values would do; to stop at the first small standard error costs some precision.
        assert!((0.18..0.27).contains(&error) && (17.0..32.0).contains(&n), "{error} {n}");
    }
}
