//! Points of a steady-state table: temperature, value, and what they have in common.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::statistics::{mean, squares};
use crate::error::{Error, Result};
use crate::sweep::columns::{self, Role};
use crate::table::Table;

/// One run's steady state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) temperature: f64,
    pub(super) value: f64,
    /// All parameters but the seeds, as text: runs with the same differ only in their seeds.
    pub(super) setting: String,
    /// All of those but learning rate, batch size and epochs.
    pub(super) kind: String,
    /// Its seeds, as text.
    pub(super) seed: String,
}

/// The columns of a table with this role.
fn named(table: &Table, role: Role) -> Vec<&'static str> {
    let columns = table.columns();
    columns::names(&[role]).filter(|name| columns.contains(name)).collect()
}

/// The seeds of a run in its table: those that every table has, and later ones where this one has
/// them.
pub(super) fn seed_names(table: &Table) -> Vec<&'static str> {
    let columns = table.columns();
    let is_there = |column: &&columns::Column| !column.is_later() || columns.contains(&column.name);
    let seeds = columns::of_epochs(false).filter(|column| column.role == Role::Seed);
    seeds.filter(is_there).map(|column| column.name).collect()
}

/// The parameters of a table that make runs of another kind: all but seeds, names, lr, batch,
/// temperature and epochs.
fn kinds(table: &Table) -> Vec<&'static str> {
    named(table, Role::Parameter)
}

/// Ends each value of a key.
const END: char = '\u{1f}';

/// A text for each row that is the same where all these columns are.
pub(super) fn keys(table: &Table, names: &[&str]) -> Result<Vec<String>> {
    let mut keys = vec![String::new(); table.len()];
    for name in names {
        // Every bit counts: the text of a float is rounded, and so is the float of a large integer.
        let values = match table.column(name)?.data_type().is_floating() {
            true => table.floats(name)?.iter().map(|value| format!("{:?}", value + 0.0)).collect(),
            false => table.strings(name)?,
        };
        keys.iter_mut().zip(values).for_each(|(key, value)| *key += &format!("{value}{END}"));
    }
    Ok(keys)
}

/// The parameters of a table that make another setting: all but seeds and names.
pub(super) fn setting_names(table: &Table) -> Vec<&'static str> {
    [named(table, Role::Setting), kinds(table)].concat()
}

/// The points of a column; rows whose temperature or value is not a finite number are left out.
pub(super) fn points(table: &Table, column: &str) -> Result<Vec<Point>> {
    let (temperatures, values) = (table.floats("temperature")?, table.floats(column)?);
    for name in ["lr", "batch"] {
        table.column(name)?;
    }
    let settings = keys(table, &setting_names(table))?;
    let kinds = keys(table, &kinds(table))?;
    let seeds = keys(table, &seed_names(table))?;
    let points = (0..table.len())
        .filter(|&row| temperatures[row].is_finite() && values[row].is_finite())
        .map(|row| Point {
            temperature: temperatures[row],
            value: values[row],
            setting: settings[row].clone(),
            kind: kinds[row].clone(),
            seed: seeds[row].clone(),
        })
        .collect::<Vec<_>>();
    if points.is_empty() {
        return Err(Error::invalid(format!("column `{column}`: no finite values")));
    }
    Ok(points)
}

/// An error where runs have several rows, as in an epochs table, whose epochs are no runs, or where
/// a run is there twice.
pub(super) fn one_row_per_run(call: &str, table: &Table) -> Result<()> {
    let columns = table.columns();
    if !columns.contains(&"run_id") {
        return Ok(());
    }
    let mut known = HashSet::new();
    let ids = table.strings("run_id")?;
    let again = ids.iter().find(|id| !known.insert(id.as_str()));
    if let Some(again) = again.filter(|_| !columns.contains(&"epoch")) {
        return Err(Error::invalid(format!(
            "{call}: expected a row per run, found several of {again}: it would count several times; where tables of two sweeps have \
             runs in common, keep those of one: filter(\"sweep = '…'\")"
        )));
    }
    let runs = ids.iter().collect::<HashSet<_>>().len();
    if runs < table.len() {
        return Err(Error::invalid(format!(
            "{call}: expected a row per run, found {} epochs of {}; take their steady state first: {call}(runs.steady())",
            table.len(),
            if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") }
        )));
    }
    Ok(())
}

/// An error that names a parameter, other than lr, batch, epochs and seeds, that has several
/// values.
pub(super) fn one_kind(call: &str, table: &Table) -> Result<()> {
    one_row_per_run(call, table)?;
    for name in kinds(table) {
        let mut values = keys(table, &[name])?;
        values.sort();
        values.dedup();
        if let [one, other, ..] = &values[..] {
            let (one, other) = (one.trim_end_matches(END), other.trim_end_matches(END));
            let quote = if table.floats(name).is_ok() { "" } else { "'" };
            return Err(Error::invalid(format!(
                "{call}: expected runs that differ in lr, batch and seeds, found `{name}` {one} and {other}; \
                 choose one with filter(\"{name} = {quote}{one}{quote}\")"
            )));
        }
    }
    Ok(())
}

/// Temperatures closer than this, relatively, are the same: lr / batch is rounded.
const SAME: f64 = 1e-9;

/// Whether two temperatures, of which the first is not higher, are the same.
pub(super) fn same(low: f64, high: f64) -> bool {
    high <= low + low.abs() * SAME
}

/// Points by temperature, ascending.
pub(super) fn by_temperature(points: &[Point]) -> Vec<(f64, Vec<Point>)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.temperature.total_cmp(&b.temperature));
    let mut groups: Vec<(f64, Vec<Point>)> = Vec::new();
    for point in sorted {
        match groups.last_mut() {
            Some((t, group)) if same(*t, point.temperature) => group.push(point),
            _ => groups.push((point.temperature, vec![point])),
        }
    }
    groups
}

/// The number of each item's group, in order of first appearance, and how many groups there are.
pub(super) fn numbered<T: Eq + Hash>(items: impl Iterator<Item = T>) -> (Vec<usize>, usize) {
    let mut known: HashMap<T, usize> = HashMap::new();
    let numbers = items
        .map(|item| {
            let next = known.len();
            *known.entry(item).or_insert(next)
        })
        .collect();
    (numbers, known.len())
}

/// What was found at each temperature, a value per seed.
///
/// Runs of one seed share their split and initial weights, and of several settings (lr, batch) at
/// one temperature they are no replicas of each other: the mean over the settings is one value, and
/// seeds are what is independent. How far they spread is a matter of each temperature: hot runs
/// jump, cold ones hardly differ.
pub(super) struct Levels {
    /// The temperatures, ascending.
    pub(super) t: Vec<f64>,
    /// The seeds' values at each.
    pub(super) values: Vec<Vec<f64>>,
    /// The seeds, in the same order.
    seeds: Vec<Vec<String>>,
    /// The mean of the values.
    pub(super) means: Vec<f64>,
    /// The runs behind all of them.
    pub(super) runs: usize,
}

impl Levels {
    pub(super) fn new(points: &[Point]) -> Self {
        let mut found = Self { t: vec![], values: vec![], seeds: vec![], means: vec![], runs: points.len() };
        for (t, group) in by_temperature(points) {
            let (numbers, seeds) = numbered(group.iter().map(|point| &point.seed));
            let of_seed =
                |seed: usize| group.iter().zip(&numbers).filter(move |(_, number)| **number == seed);
            let values: Vec<f64> = (0..seeds)
                .map(|seed| mean(&of_seed(seed).map(|(point, _)| point.value).collect::<Vec<_>>()))
                .collect();
            let names =
                (0..seeds).filter_map(|seed| of_seed(seed).next()).map(|(point, _)| point.seed.clone());
            found.t.push(t);
            found.seeds.push(names.collect());
            found.means.push(mean(&values));
            found.values.push(values);
        }
        found
    }

    /// The same with a function of every value.
    pub(super) fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        let values: Vec<Vec<f64>> =
            self.values.iter().map(|values| values.iter().map(|&value| f(value)).collect()).collect();
        let means = values.iter().map(|values| mean(values)).collect();
        Self { t: self.t.clone(), seeds: self.seeds.clone(), means, values, runs: self.runs }
    }

    /// All values with their temperatures.
    pub(super) fn pairs(&self) -> (Vec<f64>, Vec<f64>) {
        let level = |(&t, values): (&f64, &Vec<f64>)| values.iter().map(move |&y| (t, y)).collect::<Vec<_>>();
        self.t.iter().zip(&self.values).flat_map(level).unzip()
    }

    /// The temperatures and values of each seed that was trained at several; the rest together.
    pub(super) fn blocks(&self) -> Vec<(Vec<f64>, Vec<f64>)> {
        let mut blocks: Vec<(&str, Vec<f64>, Vec<f64>)> = Vec::new();
        for ((&t, values), seeds) in self.t.iter().zip(&self.values).zip(&self.seeds) {
            for (&y, seed) in values.iter().zip(seeds) {
                match blocks.iter_mut().find(|(known, ..)| known == seed) {
                    Some((_, ts, ys)) => {
                        ts.push(t);
                        ys.push(y);
                    }
                    None => blocks.push((seed, vec![t], vec![y])),
                }
            }
        }
        let (several, single): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|(_, t, _)| t.len() > 1);
        let rest = single.into_iter().fold((vec![], vec![]), |(mut ts, mut ys), (_, t, y)| {
            ts.extend(t);
            ys.extend(y);
            (ts, ys)
        });
        several.into_iter().map(|(_, t, y)| (t, y)).chain([rest]).collect()
    }

    /// The variance of the mean at a temperature and its degrees of freedom. None of a single seed.
    pub(super) fn error(&self, level: usize) -> Option<(f64, f64)> {
        let values = &self.values[level];
        let (n, free) = (values.len() as f64, values.len() as f64 - 1.0);
        (free > 0.0).then(|| (squares(values) / free / n, free))
    }

    /// The probability of so large a mean at `high` above the one at `low`, or a larger, if the two
    /// are the same: Welch's t (1947), each temperature with its own spread. None where one of them
    /// has no spread to judge by.
    ///
    /// Seeds that both share make the difference more certain than that says.
    pub(super) fn above(&self, high: usize, low: usize) -> Option<f64> {
        let difference = self.means[high] - self.means[low];
        let ((one, one_free), (other, other_free)) = (self.error(high)?, self.error(low)?);
        let variance = one + other;
        if difference == 0.0 {
            return Some(0.5);
        }
        if variance == 0.0 {
            return Some(if difference > 0.0 { 0.0 } else { 1.0 });
        }
        let free = variance * variance / (one * one / one_free + other * other / other_free);
        Some(StudentsT::new(0.0, 1.0, free).ok()?.sf(difference / variance.sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{SteadyOptions, steady};
    use crate::sweep::columns::tests::{Pair, pairs};
    use crate::sweep::rows::epochs;
    use crate::table::Cell;
    use crate::train::example_record;

    /// Runs that differ in an option are no replicas of each other, and runs that differ in a
    /// stream's seed are not the same one.
    #[test]
    fn every_option_that_distinguishes_runs_distinguishes_their_groups() {
        for Pair { field, runs } in pairs() {
            let [one, other] = runs.each_ref().map(|run| {
                let epochs = epochs("s1", run, &[example_record()]).unwrap();
                let steady = steady(&epochs, &SteadyOptions::default()).unwrap();
                points(&steady, "test_loss").unwrap().remove(0)
            });
            let differ = one.setting != other.setting || one.kind != other.kind || one.seed != other.seed;
            assert!(differ, "{field}: the runs are of one group");
            // What sets the temperature is compared, what makes another kind is not.
            let is_seed = field.starts_with("seeds.");
            assert_eq!(one.seed != other.seed, is_seed, "{field}");
            let is_setting = ["lr", "batch", "epochs"].contains(&field.as_str());
            assert_eq!(one.kind != other.kind, !is_seed && !is_setting, "{field}");
        }
    }

    #[test]
    fn keys_tell_values_apart_and_zeros_not() {
        let large = 1i64 << 53;
        let names = ["seed", "noise", "optimizer"].map(str::to_owned);
        let columns = [
            [large, large + 1, large].map(Cell::Int).to_vec(),
            [0.0, 0.0, -0.0].map(Cell::Float).to_vec(),
            ["sgd"; 3].map(|name| Cell::Text(name.to_owned())).to_vec(),
        ];
        let table = Table::from_cells(&names, &columns).unwrap();
        let found = keys(&table, &["seed", "noise", "optimizer"]).unwrap();
        assert!(found[0] != found[1] && found[0] == found[2], "{found:?}");
    }

    #[test]
    fn a_run_that_is_there_twice_is_refused() {
        let table = |names: &[&str], rows: &[(&str, i64)]| {
            let columns = [
                rows.iter().map(|(id, _)| Cell::Text((*id).to_owned())).collect(),
                rows.iter().map(|(_, number)| Cell::Int(*number)).collect::<Vec<_>>(),
            ];
            Table::from_cells(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &columns)
                .unwrap()
        };
        let check = |table: &Table| one_row_per_run("collapse", table).map_err(|error| error.to_string());
        let rows = [("r1", 1), ("r2", 1), ("r1", 2)];
        assert_eq!(check(&table(&["run_id", "lr"], &rows[..2])), Ok(()));
        assert_eq!(check(&table(&["name", "lr"], &rows)), Ok(()));
        let error = check(&table(&["run_id", "lr"], &rows)).unwrap_err();
        assert!(error.contains("found several of r1"), "{error}");
        let error = check(&table(&["run_id", "epoch"], &rows)).unwrap_err();
        assert!(error.contains("collapse(runs.steady())"), "{error}");
    }
}
