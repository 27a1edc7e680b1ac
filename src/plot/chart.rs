//! From a table to a figure: which columns are drawn, and how.

use super::drawable::Drawable;
use super::figure::{Axis, Figure, Line, LineStyle, Panel, check_panels};
use super::groups::Groups;
use super::series::Series;
use crate::error::{Error, Result};
use crate::sweep::columns::axis_label;
use crate::table::Table;

/// What of a table is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// The column of horizontal positions.
    pub x: String,
    /// The column of vertical positions.
    pub y: String,
    /// The text beside the horizontal axis, in place of the column's.
    pub x_label: Option<String>,
    /// The text beside the vertical axis, in place of the column's.
    pub y_label: Option<String>,
    /// The column whose values get colours.
    pub color: Option<String>,
    /// The column whose values get marker shapes.
    pub marker: Option<String>,
    /// The column whose values get panels.
    pub facet: Option<String>,
    /// The column whose values get a line each through their points, in the order of x.
    pub lines: Option<String>,
    /// Whether the points are left out.
    pub no_points: bool,
    /// Whether the mean at each position is drawn.
    pub mean: bool,
    /// The column whose values get a mean each.
    pub mean_by: Option<String>,
    /// Whether equal ratios take equal lengths horizontally.
    pub log_x: bool,
    /// Whether equal ratios take equal lengths vertically.
    pub log_y: bool,
    /// Whether there is no legend.
    pub no_legend: bool,
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
        if self.no_points && !self.mean && self.lines.is_none() && curves.is_empty() {
            return Err(Error::invalid(
                "plot: nothing to draw: no_points() takes the points away; add lines(\"column\"), mean() or curve(fit), or leave \
                 no_points() out",
            ));
        }
        let data = Series::new(self, table)?;
        crate::interrupt::check()?;
        let facets = Groups::of(self.facet.as_deref(), table)?;
        if let Some(column) = &self.facet {
            check_panels(&format!("facet(\"{column}\")"), facets.names.len())?;
        }
        let rows: Vec<usize> = (0..table.len()).collect();
        let mut panels: Vec<Panel> = facets
            .split(&rows)
            .into_iter()
            .map(|(facet, rows)| Panel {
                title: self.facet.as_ref().map(|column| format!("{column} {}", facets.names[facet])),
                ..self.panel(&data, &rows, curves)
            })
            .collect();
        if panels.is_empty() {
            panels.push(self.panel(&data, &[], curves));
        }
        if self.facet.is_some() {
            share_axes(&mut panels);
        }
        if self.no_legend {
            for panel in &mut panels {
                panel.keys.clear();
                panel.points.iter_mut().for_each(|points| points.label.clear());
                panel.lines.iter_mut().for_each(|line| line.label.clear());
            }
        }
        Ok(Figure { title: self.title.clone(), panels, columns: 0 })
    }

    fn panel(&self, data: &Series, rows: &[usize], curves: &[Curve]) -> Panel {
        let label = |own: &Option<String>, column: &str| own.clone().unwrap_or_else(|| axis_label(column));
        Panel {
            title: None,
            x: Axis { label: label(&self.x_label, &self.x), log: self.log_x, shared: None },
            y: Axis { label: label(&self.y_label, &self.y), log: self.log_y, shared: None },
            points: data.points(rows, self.no_points),
            lines: curves
                .iter()
                .enumerate()
                .map(|(number, curve)| curve.line(number))
                .chain(data.thin_lines(rows))
                .chain(data.mean_lines(rows, self.mean))
                .collect(),
            keys: data.keys(rows, self.no_points),
        }
    }

    /// The column whose values get colours: the one asked for; else `batch`, unless shapes are asked for or
    /// batches have panels of their own; else the panels' where the means have theirs by it; else the one whose values get lines.
    pub(super) fn colored_by<'a>(&'a self, table: &Table) -> Option<&'a str> {
        let batches = || {
            // A table without batches has no groups of them.
            Groups::of(Some("batch"), table).is_ok_and(|batches| batches.names.len() > 1)
        };
        match (&self.color, &self.marker) {
            (Some(column), _) => Some(column),
            (None, None) if self.facet.as_deref() != Some("batch") && batches() => Some("batch"),
            (None, None) if self.facet.is_some() && self.facet == self.mean_by => self.facet.as_deref(),
            _ => self.lines.as_deref(),
        }
    }
}

/// Gives panels the same ranges, so that they can be compared.
fn share_axes(panels: &mut [Panel]) {
    let shown: Vec<Drawable> = panels.iter().map(Drawable::new).collect();
    let span = |of: fn((f64, f64)) -> f64| {
        shown.iter().flat_map(Drawable::all).map(of).fold(None, |span: Option<(f64, f64)>, value| {
            let (low, high) = span.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        })
    };
    let (x, y) = (span(|(x, _)| x), span(|(_, y)| y));
    for panel in panels {
        (panel.x.shared, panel.y.shared) = (x, y);
    }
}

impl Curve {
    fn line(&self, number: usize) -> Line {
        let (xs, ys) = self.points.iter().copied().unzip();
        Line { label: self.label.clone(), xs, ys, style: LineStyle::Curve(number) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::{Sample, Tint};
    use crate::table::Cell;

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
    fn chart() -> Chart {
        Chart { x: "temperature".into(), y: "gap".into(), ..Chart::default() }
    }

    /// A column of whole numbers per name.
    fn numbers(columns: &[(&str, &[i64])]) -> Table {
        let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let cells: Vec<Vec<Cell>> =
            columns.iter().map(|(_, values)| values.iter().copied().map(Cell::Int).collect()).collect();
        Table::from_cells(&names, &cells).unwrap()
    }

    #[test]
    fn a_mean_per_group_has_the_groups_colour() {
        let chart = Chart { mean_by: Some("batch".into()), ..chart() };
        let panel = chart.figure(&table(), &[]).unwrap().panels.remove(0);
        let means: Vec<(&[f64], LineStyle)> =
            panel.lines.iter().map(|line| (line.ys.as_slice(), line.style)).collect();
        let style = |index| LineStyle::GroupMean(Tint::Palette(index));
        assert_eq!(means, [(&[1.0, 5.0][..], style(0)), (&[3.0, 7.0][..], style(1))]);
        assert_eq!((panel.points[0].color, panel.points[1].color), (Tint::Palette(0), Tint::Palette(1)));
        assert_eq!(panel.keys[0].label, "mean of each batch");

        let other = Chart { mean_by: Some("gap".into()), ..chart };
        let panel = other.figure(&table(), &[]).unwrap().panels.remove(0);
        assert_eq!((panel.lines.len(), panel.lines[1].label.as_str()), (4, "mean, gap 3"));
    }

    #[test]
    fn colours_and_shapes_of_two_columns_have_entries_of_their_own() {
        let table = numbers(&[
            ("temperature", &[1, 1, 2, 2]),
            ("gap", &[1, 2, 3, 4]),
            ("batch", &[16, 16, 32, 32]),
            ("seed", &[1, 2, 1, 2]),
        ]);
        let chart = Chart { color: Some("batch".into()), marker: Some("seed".into()), ..chart() };
        let panel = chart.figure(&table, &[]).unwrap().panels.remove(0);
        assert!(panel.points.len() == 4 && panel.points.iter().all(|points| points.label.is_empty()));
        let labels: Vec<&str> = panel.keys.iter().map(|key| key.label.as_str()).collect();
        assert_eq!(labels, ["batch 16", "batch 32", "seed 1", "seed 2"]);
        assert_eq!(panel.keys[3].sample, Sample::Point(Tint::Ink, 1));
        assert_eq!(panel.points[0].notes, ["batch\t16\nseed\t1"]);

        let silent = Chart { no_legend: true, mean: true, ..chart };
        let panel = silent.figure(&table, &[]).unwrap().panels.remove(0);
        assert!(panel.keys.is_empty() && panel.lines[0].label.is_empty() && panel.points.len() == 4);
    }

    #[test]
    fn forty_runs_are_drawn_without_their_names() {
        let values: Vec<i64> = (0..40).collect();
        let table = numbers(&[("temperature", &values), ("gap", &values), ("run_id", &values)]);
        let chart = Chart { color: Some("run_id".into()), marker: Some("run_id".into()), ..chart() };
        let panel = chart.figure(&table, &[]).unwrap().panels.remove(0);
        assert_eq!(panel.points.len(), 40);
        assert!(panel.points.iter().all(|points| points.label.is_empty()) && panel.keys.is_empty());
        assert_eq!(panel.points[39].color, Tint::Scale(1.0));

        // So are forty batches, by default.
        let table = numbers(&[("temperature", &values), ("gap", &values), ("batch", &values)]);
        let plain = Chart { x: "temperature".into(), y: "gap".into(), ..Chart::default() };
        let panel = plain.figure(&table, &[]).unwrap().panels.remove(0);
        assert!(panel.points.iter().all(|points| points.marker == 0 && points.label.is_empty()));
        assert_eq!(panel.points[0].color, Tint::Scale(0.0));
    }

    #[test]
    fn without_points_something_else_must_be_drawn() {
        let table = numbers(&[("epoch", &[1, 2]), ("gap", &[1, 2])]);
        let bare = Chart { x: "epoch".into(), y: "gap".into(), no_points: true, ..Chart::default() };
        let message = bare.figure(&table, &[]).unwrap_err().to_string();
        assert!(message.contains("nothing to draw"), "{message}");
        assert!(Chart { mean: true, ..bare }.figure(&table, &[]).is_ok());
    }

    #[test]
    fn a_panel_for_each_of_too_many_values_is_refused_before_any_is_made() {
        let values: Vec<i64> = (0..100_000).collect();
        let table = numbers(&[("temperature", &values), ("gap", &values), ("seed", &values)]);
        let many = Chart { facet: Some("seed".into()), ..chart() };
        let error = many.figure(&table, &[]).unwrap_err().to_string();
        assert!(error.starts_with("facet(\"seed\"): 100000 panels, expected at most 1000"), "{error}");
    }

    #[test]
    fn a_line_joins_each_runs_points_in_the_order_of_x() {
        let table = numbers(&[
            ("epoch", &[3, 1, 2, 1, 2]),
            ("train_loss", &[30, 10, 20, 5, 6]),
            ("run_id", &[1, 1, 1, 2, 2]),
        ]);
        let chart = Chart {
            x: "epoch".into(),
            y: "train_loss".into(),
            lines: Some("run_id".into()),
            no_points: true,
            ..Chart::default()
        };
        let panel = chart.figure(&table, &[]).unwrap().panels.remove(0);
        assert_eq!(
            (panel.lines[0].xs.as_slice(), panel.lines[0].ys.as_slice()),
            (&[1.0, 2.0, 3.0][..], &[10.0, 20.0, 30.0][..])
        );
        assert_eq!(panel.lines[1].style, LineStyle::Thin(Tint::Palette(1)));
        assert!(panel.points.iter().all(|points| points.hidden && points.label.is_empty()));
        assert_eq!(panel.keys[1].label, "run_id 2");
        assert_eq!(panel.points[1].notes, ["run_id\t2", "run_id\t2"]);
        assert_eq!(panel.y.label, "train loss");
        // Without lines there is nothing to point at.
        let alone = Chart { lines: None, mean: true, y_label: Some("loss".into()), ..chart };
        let panel = alone.figure(&table, &[]).unwrap().panels.remove(0);
        assert!(panel.points.is_empty() && panel.y.label == "loss");
    }
}
