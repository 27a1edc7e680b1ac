//! The fit of Eq. 1 for each value of a column, and for all rows together.

use std::collections::HashMap;

use super::bootstrap::MAX_DRAWS;
use super::fit::{GapFit, fit_gap, fit_gap_bootstrap};
use super::function::{Analysis, TableFunction};
use super::groups::{keys, one_row_per_run, seed_names};
use crate::error::{Error, Result};
use crate::interrupt::{check, check_at};
use crate::options::{DefaultValue, Given, Kind, Opt};
use crate::table::{Cell, Table};

/// What is fitted.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// The column of temperatures.
    pub x: String,
    /// The column of gaps, or of anything else that Eq. 1 may describe.
    pub y: String,
    /// Draws of the bootstrap; 0: no intervals.
    pub bootstrap: usize,
    /// What decides them.
    pub seed: i64,
}

/// The columns of Eq. 1.
const TEMPERATURE: &str = "temperature";
const GAP: &str = "gap";

impl FitOptions {
    fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            x: given.text("x")?,
            y: given.text("y")?,
            bootstrap: given.count("bootstrap")?,
            seed: given.integer("seed")?,
        })
    }
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { x: TEMPERATURE.to_owned(), y: GAP.to_owned(), bootstrap: 0, seed: 1 }
    }
}

pub(super) const ENTRY: TableFunction = TableFunction {
    name: "fit_gap",
    table: "table",
    returns: "any",
    doc: "Fits the paper's Eq. 1, gap = (a/T + b) exp(−T/c) with positive a, b, c, to the columns `temperature` \
          and `gap`.",
    example: r#"let steady = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13] });
fit_gap(steady)"#,
    doc_with_options: "Fits Eq. 1 to the columns `x` and `y`; with `bootstrap`, with intervals; with `by`, a table of \
                       fits, one for each value of that column and one for all rows.",
    options: &[
        Opt::new("x", Kind::Column, DefaultValue::Text(TEMPERATURE), "the column of temperatures"),
        Opt::new("y", Kind::Column, DefaultValue::Text(GAP), "the column to fit"),
        Opt::new(
            "by",
            Kind::Column,
            DefaultValue::Absent(""),
            "a column: a table with a fit for each of its values, and one for all rows (null)",
        ),
        Opt::new(
            "bootstrap",
            Kind::Integer(0, MAX_DRAWS),
            DefaultValue::Integer(0),
            "fits to data drawn again, for 95 % intervals, such as 1000; with 0 there are none",
        ),
        Opt::new("seed", Kind::INTEGER, DefaultValue::Integer(1), "what decides the draws"),
    ],
    call: |table, given| {
        let options = FitOptions::read(given)?;
        match given.given_text("by")? {
            None => fit_columns(table, &options).map(|fit| Analysis::Fit(Box::new(fit))),
            Some(by) => fits(&by, fit_by(table, &by, &options)?, options.bootstrap > 0).map(Analysis::Table),
        }
    },
};

/// A row per fit; `problem` says why there is none, or what the data do not show.
fn fits(by: &str, groups: Vec<GroupFit>, intervals: bool) -> Result<Table> {
    let names = ["a", "b", "c", "a_error", "b_error", "c_error", "r2"];
    let bounds = ["a_low", "a_high", "b_low", "b_high", "c_low", "c_high"];
    let bounds = if intervals { &bounds[..] } else { &[] };
    let names: Vec<String> = [by]
        .iter()
        .chain(&names)
        .chain(bounds)
        .chain(&["n", "problem"])
        .map(|&name| name.to_owned())
        .collect();
    let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
    for group in groups {
        let mut row = vec![group.value];
        if let Ok(fit) = &group.fit {
            let numbers = [fit.a, fit.b, fit.c, fit.a_error, fit.b_error, fit.c_error, fit.r2];
            row.extend(numbers.map(Cell::number));
            if let Some(bootstrap) = &fit.bootstrap {
                let ends = (0..3).map(|k| bootstrap.interval(k)).flat_map(|(low, high)| [low, high]);
                row.extend(ends.map(Cell::number));
            }
        }
        row.resize(names.len() - 2, Cell::Null);
        row.push(Cell::Int(group.n as i64));
        row.push(match group.fit {
            Ok(fit) => fit.remark().map_or(Cell::Null, |remark| Cell::Text(remark.to_owned())),
            Err(error) => Cell::Text(error.to_string()),
        });
        columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    Table::from_cells(&names, &columns)
}

/// The fit to one group of rows.
#[derive(Debug)]
pub struct GroupFit {
    /// The column's value; null for all rows together.
    pub value: Cell,
    /// The group's rows with finite x and y.
    pub n: usize,
    /// The fit, or why there is none.
    pub fit: Result<GapFit>,
}

/// Fits Eq. 1 to two columns of a table.
pub fn fit_columns(table: &Table, options: &FitOptions) -> Result<GapFit> {
    one_row_per_run("fit_gap", table)?;
    let (x, y) = (table.floats(&options.x)?, table.floats(&options.y)?);
    let found = fit(&x, &y, seeds(table)?.as_deref(), options)?;
    // Of the runs that are fitted.
    let unconverged = match table.columns().contains(&"converged") {
        true => {
            let converged = table.strings("converged")?;
            let used = (0..table.len()).filter(|&row| x[row].is_finite() && y[row].is_finite());
            used.filter(|&row| converged[row] == "false").count()
        }
        false => 0,
    };
    Ok(GapFit { unconverged, ..found })
}

/// The seeds of the rows; none where the table does not have them.
fn seeds(table: &Table) -> Result<Option<Vec<String>>> {
    let (columns, seeds) = (table.columns(), seed_names(table));
    seeds.iter().all(|name| columns.contains(name)).then(|| keys(table, &seeds)).transpose()
}

fn fit(x: &[f64], y: &[f64], seeds: Option<&[String]>, options: &FitOptions) -> Result<GapFit> {
    match options.bootstrap {
        0 => fit_gap(x, y),
        draws => fit_gap_bootstrap(x, y, seeds, draws, options.seed),
    }
}

/// Fits Eq. 1 to the rows of each value of the column `by`, ascending, and to all of them. A group
/// that cannot be fitted says why.
pub fn fit_by(table: &Table, by: &str, options: &FitOptions) -> Result<Vec<GroupFit>> {
    one_row_per_run("fit_gap", table)?;
    let (x, y) = (table.floats(&options.x)?, table.floats(&options.y)?);
    let seeds = seeds(table)?;
    let column = table.column(by)?;
    let mut groups: Vec<(Cell, Vec<usize>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in 0..table.len() {
        check_at(row)?;
        let cell = Cell::of(column, row);
        if cell == Cell::Null {
            continue;
        }
        let place = *places.entry(key(&cell)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((cell, vec![row])),
        }
    }
    if groups.is_empty() {
        return Err(Error::invalid(format!("fit_gap: by: the column `{by}` has no values")));
    }
    groups.sort_by(|(a, _), (b, _)| match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.to_string().cmp(&b.to_string()),
    });
    groups.push((Cell::Null, (0..table.len()).collect()));
    groups
        .into_iter()
        .map(|(value, rows)| {
            check()?;
            let pick = |column: &[f64]| rows.iter().map(|&row| column[row]).collect::<Vec<_>>();
            let (x, y) = (pick(&x), pick(&y));
            let seeds: Option<Vec<String>> =
                seeds.as_ref().map(|seeds| rows.iter().map(|&row| seeds[row].clone()).collect());
            let n = x.iter().zip(&y).filter(|(x, y)| x.is_finite() && y.is_finite()).count();
            Ok(GroupFit { value, n, fit: fit(&x, &y, seeds.as_deref(), options) })
        })
        .collect()
}

/// What the cells of one group have in common: NaN is a value like others, and −0 is 0.
fn key(cell: &Cell) -> String {
    match cell {
        Cell::Float(value) if value.is_nan() => f64::NAN.to_string(),
        Cell::Float(value) => (value + 0.0).to_string(),
        other => other.to_string(),
    }
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Int(value) => Some(*value as f64),
        Cell::Float(value) => Some(*value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_of_a_column_has_its_fit_and_all_together_one() {
        let mut columns = vec![Vec::new(); 3];
        for (batch, a) in [(128, 2e-5), (16, 1e-5), (32, 1e-5)] {
            let points = if batch == 32 { 2 } else { 6 };
            for t in (0..points).map(|step| 2e-4 * 2f64.powi(step)) {
                let row = [Cell::Int(batch), Cell::Float(t), Cell::Float(a / t + 0.05)];
                columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
            }
        }
        let names = ["batch", "temperature", "test_loss"].map(str::to_owned);
        let table = Table::from_cells(&names, &columns).unwrap();
        let options = FitOptions { y: "test_loss".to_owned(), ..FitOptions::default() };
        let found = fit_by(&table, "batch", &options).unwrap();
        let values: Vec<&Cell> = found.iter().map(|group| &group.value).collect();
        assert_eq!(values, [&Cell::Int(16), &Cell::Int(32), &Cell::Int(128), &Cell::Null]);
        assert_eq!(found.iter().map(|group| group.n).collect::<Vec<_>>(), [6, 2, 6, 14]);
        let a = |index: usize| found[index].fit.as_ref().unwrap().a;
        assert!((a(0) / 1e-5 - 1.0).abs() < 1e-6 && (a(2) / 2e-5 - 1.0).abs() < 1e-6);
        assert_eq!(a(3), fit_columns(&table, &options).unwrap().a);
        assert!(found[1].fit.as_ref().unwrap_err().to_string().contains("at least 4 points"));
        assert!(fit_by(&table, "bacth", &options).is_err());
    }

    #[test]
    fn values_that_are_no_number_are_one_group_and_runs_that_are_not_fitted_do_not_count() {
        let mut columns = vec![Vec::new(); 4];
        for (beta, row) in
            [0.0, f64::NAN, -0.0, f64::NAN].into_iter().flat_map(|beta| (0..3).map(move |row| (beta, row)))
        {
            let t = 2e-4 * 2f64.powi(row);
            let gap = if row == 2 && beta.is_nan() { f64::NAN } else { 1e-5 / t };
            let cells = [Cell::Float(beta), Cell::Float(t), Cell::Float(gap), Cell::Bool(row < 2)];
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        }
        let names = ["noise", "temperature", "gap", "converged"].map(str::to_owned);
        let table = Table::from_cells(&names, &columns).unwrap();
        let found = fit_by(&table, "noise", &FitOptions::default()).unwrap();
        assert_eq!(found.iter().map(|group| group.n).collect::<Vec<_>>(), [6, 4, 10]);
        let fit = fit_columns(&table, &FitOptions::default()).unwrap();
        assert_eq!((fit.n, fit.unconverged), (10, 2));
    }
}
