//! From a table to a figure: which columns are drawn, and how.

use super::figure::{Axis, Figure, Line, LineStyle, Panel, Points};
use crate::error::{Error, Result};
use crate::table::Table;

/// What of a table is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// The column of horizontal positions.
    pub x: String,
    /// The column of vertical positions.
    pub y: String,
    /// The column whose values get colours.
    pub color: Option<String>,
    /// The column whose values get marker shapes.
    pub marker: Option<String>,
    /// The column whose values get panels.
    pub facet: Option<String>,
    /// Whether the mean at each position is drawn.
    pub mean: bool,
    /// Whether equal ratios take equal lengths horizontally.
    pub log_x: bool,
    /// Whether equal ratios take equal lengths vertically.
    pub log_y: bool,
    /// The text above.
    pub title: Option<String>,
}

/// A curve at given positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The legend's text.
    pub label: String,
    /// Its positions.
    pub points: Vec<(f64, f64)>,
}

/// Positions at which a curve is evaluated.
const CURVE_POINTS: usize = 200;

/// More colours or shapes than this cannot be told apart.
const MOST_GROUPS: usize = 10;

impl Chart {
    /// Positions from the smallest to the largest x, spaced as the axis is.
    pub fn curve_positions(&self, table: &Table) -> Result<Vec<f64>> {
        let xs = table.floats(&self.x)?;
        let usable = xs.into_iter().filter(|x| x.is_finite() && (!self.log_x || *x > 0.0));
        let (low, high) =
            usable.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        if low > high {
            return Ok(Vec::new());
        }
        let position = |step: usize| {
            let share = step as f64 / (CURVE_POINTS - 1) as f64;
            if self.log_x { low * (high / low).powf(share) } else { low + (high - low) * share }
        };
        Ok((0..CURVE_POINTS).map(position).collect())
    }

    /// The figure of a table.
    pub fn figure(&self, table: &Table, curves: &[Curve]) -> Result<Figure> {
        if self.x.is_empty() || self.y.is_empty() {
            return Err(Error::invalid("plot: say which columns: plot(table).x(\"temperature\").y(\"gap\")"));
        }
        let (xs, ys) = (table.floats(&self.x)?, table.floats(&self.y)?);
        let colors = self.groups(table, self.color.as_deref())?;
        let markers = self.groups(table, self.marker.as_deref())?;
        let facets = match &self.facet {
            Some(column) => Groups::of(column, table)?,
            None => Groups::none(table.len()),
        };
        let lines: Vec<Line> = curves
            .iter()
            .map(|curve| {
                let (xs, ys) = curve.points.iter().copied().unzip();
                Line { label: curve.label.clone(), xs, ys, style: LineStyle::Curve }
            })
            .collect();
        let panels = (0..facets.names.len())
            .map(|facet| {
                let rows: Vec<usize> = (0..table.len()).filter(|&row| facets.of_row[row] == facet).collect();
                let mut lines = lines.clone();
                if self.mean {
                    lines.push(mean_line(&rows, &xs, &ys));
                }
                Panel {
                    title: self.facet.as_ref().map(|column| format!("{column} {}", facets.names[facet])),
                    x: Axis { label: axis_label(&self.x), log: self.log_x },
                    y: Axis { label: axis_label(&self.y), log: self.log_y },
                    points: points(&rows, &xs, &ys, &colors, &markers),
                    lines,
                }
            })
            .collect();
        Ok(Figure { title: self.title.clone(), panels, columns: 0 })
    }

    /// The groups of a column; without one, of `batch` where colours and shapes are both left open and it
    /// has a few values.
    fn groups(&self, table: &Table, column: Option<&str>) -> Result<Groups> {
        if let Some(column) = column {
            return Groups::of(column, table);
        }
        if self.color.is_none() && self.marker.is_none() && table.column("batch").is_ok() {
            let groups = Groups::of("batch", table)?;
            if (2..=MOST_GROUPS).contains(&groups.names.len()) {
                return Ok(groups);
            }
        }
        Ok(Groups::none(table.len()))
    }
}

/// The distinct values of a column, and which of them each row has.
struct Groups {
    column: Option<String>,
    names: Vec<String>,
    of_row: Vec<usize>,
}

impl Groups {
    fn none(rows: usize) -> Self {
        Self { column: None, names: vec![String::new()], of_row: vec![0; rows] }
    }

    fn of(column: &str, table: &Table) -> Result<Self> {
        let values = table.strings(column)?;
        let mut names = values.clone();
        let order = |text: &String| text.parse::<f64>().ok();
        names.sort_by(|a, b| match (order(a), order(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => a.cmp(b),
        });
        names.dedup();
        let of_row =
            values.iter().map(|value| names.iter().position(|name| name == value).unwrap_or(0)).collect();
        Ok(Self { column: Some(column.to_owned()), names, of_row })
    }

    fn label(&self, group: usize) -> Option<String> {
        self.column.as_ref().map(|column| format!("{column} {}", self.names[group]))
    }
}

fn points(rows: &[usize], xs: &[f64], ys: &[f64], colors: &Groups, markers: &Groups) -> Vec<Points> {
    let mut groups = Vec::new();
    for color in 0..colors.names.len() {
        for marker in 0..markers.names.len() {
            let members = || {
                rows.iter()
                    .copied()
                    .filter(|&row| colors.of_row[row] == color && markers.of_row[row] == marker)
            };
            if members().next().is_none() {
                continue;
            }
            let mut labels: Vec<String> =
                colors.label(color).into_iter().chain(markers.label(marker)).collect();
            labels.dedup();
            groups.push(Points {
                label: labels.join(", "),
                xs: members().map(|row| xs[row]).collect(),
                ys: members().map(|row| ys[row]).collect(),
                color,
                marker,
            });
        }
    }
    groups
}

/// The mean of y at each x; positions that differ by rounding alone are one.
fn mean_line(rows: &[usize], xs: &[f64], ys: &[f64]) -> Line {
    let mut sorted: Vec<(f64, f64)> =
        rows.iter().map(|&row| (xs[row], ys[row])).filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let same = |a: &(f64, f64), b: &(f64, f64)| (a.0 - b.0).abs() <= 1e-9 * a.0.abs();
    let (xs, ys) = sorted
        .chunk_by(same)
        .map(|group| (group[0].0, group.iter().map(|(_, y)| y).sum::<f64>() / group.len() as f64))
        .unzip();
    Line { label: "mean".to_owned(), xs, ys, style: LineStyle::Mean }
}

/// What a column is called on an axis.
fn axis_label(column: &str) -> String {
    match column {
        "temperature" => "temperature T = λ/B",
        "gap" => "generalisation gap (test − train loss)",
        "accuracy_gap" => "accuracy gap (train − test)",
        "train_loss" => "train loss",
        "test_loss" => "test loss",
        "train_accuracy" => "train accuracy",
        "test_accuracy" => "test accuracy",
        "lr" => "learning rate λ",
        "batch" => "batch size B",
        "train_loss_std" => "standard deviation of the train loss",
        "test_loss_std" => "standard deviation of the test loss",
        other => return other.replace('_', " "),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use crate::table::Cell;

    use super::*;

    fn table() -> Table {
        let names = ["temperature", "gap", "batch"].map(str::to_owned);
        let float = |values: &[f64]| values.iter().map(|&value| Cell::Float(value)).collect::<Vec<_>>();
        let columns = [
            float(&[0.1 + 0.2, 0.3, 0.6, 0.6]),
            float(&[1.0, 3.0, 5.0, 7.0]),
            [16, 32, 16, 32].map(Cell::Int).to_vec(),
        ];
        Table::from_cells(&names, &columns).unwrap()
    }

    #[test]
    fn points_are_grouped_by_batch_and_equal_temperatures_share_a_mean() {
        let chart = Chart { x: "temperature".into(), y: "gap".into(), mean: true, ..Chart::default() };
        let figure = chart.figure(&table(), &[]).unwrap();
        let panel = &figure.panels[0];
        let labels: Vec<&str> = panel.points.iter().map(|points| points.label.as_str()).collect();
        assert_eq!(labels, ["batch 16", "batch 32"]);
        assert_eq!(panel.lines[0].ys, [2.0, 6.0]);
    }

    #[test]
    fn facets_are_panels_and_a_wrong_column_is_named() {
        let chart = Chart {
            x: "temperature".into(),
            y: "gap".into(),
            facet: Some("batch".into()),
            ..Chart::default()
        };
        assert_eq!(chart.figure(&table(), &[]).unwrap().panels.len(), 2);
        let error = Chart { y: "gpa".into(), ..chart }.figure(&table(), &[]).unwrap_err();
        assert!(error.to_string().contains("did you mean `gap`?"), "{error}");
    }
}
