//! The fit of Eq. 1 for each value of a column, and for all rows together.

use std::collections::HashMap;

use super::bootstrap::fit_gap_bootstrap;
use super::fit::{GapFit, fit_gap};
use super::groups::{keys, one_row_per_run, seed_names};
use crate::error::{Error, Result};
use crate::interrupt::{check, check_at};
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

impl Default for FitOptions {
    fn default() -> Self {
        Self { x: "temperature".to_owned(), y: "gap".to_owned(), bootstrap: 0, seed: 1 }
    }
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

/// Fits Eq. 1 to the rows of each value of the column `by`, ascending, and to all of them. A group that cannot be fitted says why.
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
