//! From the columns that a chart names to groups of points, lines and legend entries.

use super::chart::Chart;
use super::figure::{Key, Line, LineStyle, Points, Sample, Tint};
use super::groups::Groups;
use crate::error::Result;
use crate::sweep::columns::{self, Role};
use crate::table::Table;

/// More points than this are not told apart one by one.
const MOST_NOTES: usize = 20_000;

/// Columns that say which run a point is from.
fn identity() -> impl Iterator<Item = &'static str> {
    let seeds = columns::names(&[Role::Seed]);
    ["lr", "batch", "seed"].into_iter().chain(seeds).chain(["epoch", "run_id"])
}

/// The columns that a chart names.
pub(super) struct Series {
    xs: Vec<f64>,
    ys: Vec<f64>,
    colors: Groups,
    markers: Groups,
    lines: Option<Groups>,
    means: Option<Groups>,
    notes: Vec<String>,
}

impl Series {
    /// Reads them.
    pub fn new(chart: &Chart, table: &Table) -> Result<Self> {
        let optional = |column: &Option<String>| {
            column.as_ref().map(|column| Groups::of(Some(column), table)).transpose()
        };
        let colors = Groups::of(chart.colored_by(table), table)?;
        let markers = match &chart.marker {
            // Colours of few batches have shapes, too.
            None if chart.color.is_none()
                && colors.column.as_deref() == Some("batch")
                && !colors.are_many() =>
            {
                Groups::of(Some("batch"), table)?
            }
            column => Groups::of(column.as_deref(), table)?,
        };
        let used = [&chart.color, &chart.marker, &chart.lines, &chart.mean_by, &chart.facet];
        Ok(Self {
            xs: table.floats(&chart.x)?,
            ys: table.floats(&chart.y)?,
            colors,
            markers,
            lines: optional(&chart.lines)?,
            means: optional(&chart.mean_by)?,
            notes: notes(table, used.into_iter().flatten(), [&chart.x, &chart.y])?,
        })
    }

    /// Whether colours and shapes stand for the same.
    fn is_one_key(&self) -> bool {
        self.colors.column == self.markers.column
            || self.colors.column.is_none()
            || self.markers.column.is_none()
    }

    /// The points of these rows, a group for each colour and shape. Hidden ones are needed only on lines.
    pub fn points(&self, rows: &[usize], hidden: bool) -> Vec<Points> {
        if hidden && self.lines.is_none() {
            return Vec::new();
        }
        let pick = |values: &[f64], rows: &[usize]| rows.iter().map(|&row| values[row]).collect();
        let mut groups = Vec::new();
        for (color, rows) in self.colors.split(rows) {
            for (marker, rows) in self.markers.split(&rows) {
                let label = match self.is_one_key() && !hidden {
                    true => self.colors.label(color).or_else(|| self.markers.label(marker)),
                    false => None,
                };
                groups.push(Points {
                    label: label.unwrap_or_default(),
                    xs: pick(&self.xs, &rows),
                    ys: pick(&self.ys, &rows),
                    color: self.colors.tint(color),
                    marker,
                    notes: match self.notes.is_empty() {
                        true => Vec::new(),
                        false => rows.iter().map(|&row| self.notes[row].clone()).collect(),
                    },
                    hidden,
                });
            }
        }
        groups
    }

    /// What colours and shapes stand for where the points' own labels do not say it.
    pub fn keys(&self, rows: &[usize], hidden: bool) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut add = |sample: Sample, label: Option<String>| {
            keys.extend(label.map(|label| Key { sample, label }));
        };
        if hidden {
            if self.lines.is_some() {
                for (color, _) in self.colors.split(rows) {
                    add(Sample::Line(LineStyle::Thin(self.colors.tint(color))), self.colors.label(color));
                }
            }
        } else if !self.is_one_key() {
            for (color, _) in self.colors.split(rows) {
                add(Sample::Color(self.colors.tint(color)), self.colors.label(color));
            }
            for (marker, _) in self.markers.split(rows) {
                add(Sample::Point(Tint::Ink, marker), self.markers.label(marker));
            }
        }
        if let Some(means) = &self.means
            && let Some(column) = &means.column
            && (self.named_by_color(means) || means.are_many())
        {
            let label = format!("mean of each {}", column.replace('_', " "));
            add(Sample::Line(LineStyle::GroupMean(Tint::Ink)), Some(label));
        }
        keys
    }

    /// Whether the legend names these groups' colours already.
    fn named_by_color(&self, groups: &Groups) -> bool {
        groups.column == self.colors.column
    }

    /// The lines through the points of these rows.
    pub fn thin_lines(&self, rows: &[usize]) -> Vec<Line> {
        let Some(lines) = &self.lines else { return Vec::new() };
        let line = |(group, rows): (usize, Vec<usize>)| {
            let mut rows = rows;
            rows.sort_by(|&a, &b| self.xs[a].total_cmp(&self.xs[b]));
            // A line whose points share a colour has it, too.
            let color = self.colors.of_row[rows[0]];
            let shared = rows.iter().all(|&row| self.colors.of_row[row] == color);
            let own = !shared || self.colors.column.is_none();
            Line {
                label: String::new(),
                xs: rows.iter().map(|&row| self.xs[row]).collect(),
                ys: rows.iter().map(|&row| self.ys[row]).collect(),
                style: LineStyle::Thin(if own { lines.tint(group) } else { self.colors.tint(color) }),
            }
        };
        lines.split(rows).into_iter().map(line).collect()
    }

    /// The means of these rows: of each group, and of all.
    pub fn mean_lines(&self, rows: &[usize], all: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(means) = &self.means {
            for (group, rows) in means.split(rows) {
                let label = match self.named_by_color(means) {
                    true => None,
                    false => means.label(group).map(|label| format!("mean, {label}")),
                };
                let style = LineStyle::GroupMean(means.tint(group));
                lines.push(self.mean_line(&rows, label.unwrap_or_default(), style));
            }
        }
        if all {
            lines.push(self.mean_line(rows, "mean".to_owned(), LineStyle::Mean));
        }
        lines
    }

    /// The mean of y at each x; positions that differ by rounding alone are one.
    fn mean_line(&self, rows: &[usize], label: String, style: LineStyle) -> Line {
        let mut sorted: Vec<(f64, f64)> = rows
            .iter()
            .map(|&row| (self.xs[row], self.ys[row]))
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let same = |a: &(f64, f64), b: &(f64, f64)| (a.0 - b.0).abs() <= 1e-9 * a.0.abs();
        let (xs, ys) = sorted
            .chunk_by(same)
            .map(|group| (group[0].0, group.iter().map(|(_, y)| y).sum::<f64>() / group.len() as f64))
            .unzip();
        Line { label, xs, ys, style }
    }
}

/// What each row is: its run, and the other columns that the chart names. Empty for very long tables.
fn notes<'a>(
    table: &Table,
    used: impl Iterator<Item = &'a String>,
    axes: [&String; 2],
) -> Result<Vec<String>> {
    if table.len() > MOST_NOTES {
        return Ok(Vec::new());
    }
    let known = table.columns();
    let mut names: Vec<&str> = identity().filter(|name| known.contains(name)).collect();
    for name in used {
        if !names.contains(&name.as_str()) {
            names.insert(0, name);
        }
    }
    names.retain(|name| axes.iter().all(|axis| axis != name));
    let mut notes = vec![String::new(); table.len()];
    let mut seeded = vec![false; table.len()];
    for name in names {
        for (row, value) in table.strings(name)?.into_iter().enumerate() {
            // One seed says as much as its streams.
            if value.is_empty() || (name.starts_with("seed_") && seeded[row]) {
                continue;
            }
            seeded[row] |= name == "seed";
            let gap = if notes[row].is_empty() { "" } else { "\n" };
            let value = value.replace(['\n', '\t'], " ");
            notes[row] += &format!("{gap}{name}\t{value}");
        }
    }
    Ok(notes)
}
