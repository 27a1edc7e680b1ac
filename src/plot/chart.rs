//! From a table to a figure: which columns are drawn, and how.

use std::sync::Arc;

use super::drawable::Drawable;
use super::figure::{Axis, Figure, Panel, check_panels};
use super::groups::Groups;
use super::mark::{Mark, MarkKind, Vertical};
use super::marks::{MARKS, points};
use super::series::{PanelRows, Series, notes};
use crate::error::{Error, Result};
use crate::sweep::columns::axis_label;
use crate::table::Table;

/// What of a table is drawn.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// The column of horizontal positions.
    pub x: String,
    /// The column of vertical positions; empty where a mark makes its own.
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
    /// Whether the points are left out.
    pub no_points: bool,
    /// What is drawn besides the points, in the order in which it was added.
    pub marks: Vec<Arc<dyn Mark>>,
    /// Whether equal ratios take equal lengths horizontally.
    pub log_x: bool,
    /// Whether equal ratios take equal lengths vertically.
    pub log_y: bool,
    /// Whether there is no legend.
    pub no_legend: bool,
    /// The text above.
    pub title: Option<String>,
}

/// Positions at which a curve is evaluated.
const CURVE_POINTS: usize = 200;

impl Chart {
    /// Adds a mark. One of a kind that does not repeat takes the place of the one before.
    pub fn add(&mut self, mark: Arc<dyn Mark>) {
        let kind = mark.kind();
        self.marks.retain(|other| kind.repeats || !std::ptr::eq(other.kind(), kind));
        self.marks.push(mark);
    }

    /// The marks in the order of [`MARKS`].
    fn marks(&self) -> impl Iterator<Item = &Arc<dyn Mark>> {
        MARKS.iter().flat_map(|kind| self.marks.iter().filter(|mark| std::ptr::eq(mark.kind(), *kind)))
    }

    /// The mark that makes the vertical positions itself, and the text of its axis.
    fn own_vertical(&self) -> Option<(&'static MarkKind, &'static str)> {
        self.marks.iter().find_map(|mark| match mark.kind().vertical {
            Vertical::Own(label) => Some((mark.kind(), label)),
            _ => None,
        })
    }

    /// What stands on the vertical axis: a column, or what a mark makes; none where nobody said
    /// yet.
    pub fn vertical(&self) -> Option<&str> {
        self.own_vertical().map(|(_, label)| label).or(Some(&*self.y)).filter(|y| !y.is_empty())
    }

    /// Whether the points of the rows are drawn.
    fn shows_points(&self) -> bool {
        !self.no_points && self.own_vertical().is_none()
    }

    /// Refuses a chart of which nothing can be drawn.
    fn check(&self) -> Result<()> {
        let refused = |text: String| Err(Error::invalid(format!("plot: {text}")));
        if self.x.is_empty() || self.vertical().is_none() {
            return refused("say which columns: plot(table).x(\"temperature\").y(\"gap\")".to_owned());
        }
        if !self.shows_points() && self.marks.is_empty() {
            return refused(
                "nothing to draw: no_points() takes the points away; add lines(\"column\"), mean() or curve(fit), or leave \
                 no_points() out"
                    .to_owned(),
            );
        }
        let Some((MarkKind { method, .. }, label)) = self.own_vertical() else { return Ok(()) };
        if !self.y.is_empty() {
            let y = &self.y;
            return refused(format!("{method}() has the vertical axis `{label}`; leave y(\"{y}\") out"));
        }
        match self.marks.iter().find(|mark| mark.kind().vertical == Vertical::Column) {
            Some(mark) => refused(format!(
                "{}() needs a column y, and {method}() has the vertical axis `{label}`; make two plots of it",
                mark.kind().method
            )),
            None => Ok(()),
        }
    }

    /// Positions from the smallest to the largest x, spaced as the axis is.
    ///
    /// # Errors
    ///
    /// The chart does not say what to draw, or its table has no such column.
    pub fn curve_positions(&self, table: &Table) -> Result<Vec<f64>> {
        self.check()?;
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

    /// The figure of a table. `functions` holds, for each function that marks name by number, its
    /// values at [`Chart::curve_positions`].
    ///
    /// # Errors
    ///
    /// The chart does not say what to draw, its table has no such column, or there are too many
    /// panels.
    pub fn figure(&self, table: &Table, functions: Vec<Vec<f64>>) -> Result<Figure> {
        let series = self.series(table, functions)?;
        let marks = self.marks().map(|mark| Ok((&**mark, Groups::of(mark.column(), table)?)));
        let marks = marks.collect::<Result<Vec<_>>>()?;
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
                ..self.panel(&series, &marks, &rows)
            })
            .collect();
        if panels.is_empty() {
            panels.push(self.panel(&series, &marks, &[]));
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

    fn panel(&self, series: &Series, marks: &[(&dyn Mark, Groups)], rows: &[usize]) -> Panel {
        let label = |own: &Option<String>, column: &str| own.clone().unwrap_or_else(|| axis_label(column));
        let vertical = self.vertical().unwrap_or_default();
        let mut panel = Panel {
            x: Axis { label: label(&self.x_label, &self.x), log: self.log_x, shared: None },
            y: Axis { label: label(&self.y_label, vertical), log: self.log_y, shared: None },
            ..Panel::default()
        };
        let shows_points = self.shows_points();
        if shows_points {
            points::draw(&PanelRows { series, groups: &series.colors, rows, shows_points }, &mut panel);
        }
        for (mark, groups) in marks {
            mark.draw(&PanelRows { series, groups, rows, shows_points }, &mut panel);
        }
        panel
    }

    /// Reads the columns that the chart names.
    fn series(&self, table: &Table, functions: Vec<Vec<f64>>) -> Result<Series> {
        let positions = self.curve_positions(table)?;
        let colors = Groups::of(self.colored_by(table), table)?;
        let markers = match &self.marker {
            // Colours of few batches have shapes, too.
            None if self.color.is_none()
                && colors.column.as_deref() == Some("batch")
                && !colors.are_many() =>
            {
                Groups::of(Some("batch"), table)?
            }
            column => Groups::of(column.as_deref(), table)?,
        };
        let named = [self.color.as_deref(), self.marker.as_deref()].into_iter().flatten();
        let named = named.chain(self.marks().filter_map(|mark| mark.column())).chain(self.facet.as_deref());
        Ok(Series {
            x: self.x.clone(),
            log_x: self.log_x,
            xs: table.floats(&self.x)?,
            ys: if self.y.is_empty() { Vec::new() } else { table.floats(&self.y)? },
            colors,
            markers,
            notes: notes(table, &named.collect::<Vec<_>>(), &[&self.x, &self.y])?,
            positions,
            functions,
        })
    }

    /// The column whose values get colours: the one asked for; else `batch`, unless shapes are
    /// asked for or batches have panels of their own; else the panels' where a mark tells its
    /// values apart, too; else the one that a mark gives colours by.
    fn colored_by<'a>(&'a self, table: &Table) -> Option<&'a str> {
        let batches = || {
            // A table without batches has no groups of them.
            Groups::of(Some("batch"), table).is_ok_and(|batches| batches.names.len() > 1)
        };
        let facet = self.facet.as_deref();
        match (&self.color, &self.marker) {
            (Some(column), _) => Some(column),
            (None, None) if facet != Some("batch") && batches() => Some("batch"),
            (None, None) if facet.is_some() && self.marks.iter().any(|mark| mark.column() == facet) => facet,
            _ => self.marks().find(|mark| mark.colors_points()).and_then(|mark| mark.column()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::{KeySample, LineStyle, Tint};
    use crate::plot::marks::{GroupMeansMark, LinesMark, MeanMark};
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
        let chart = chart().with(MeanMark);
        let figure = chart.figure(&table(), Vec::new()).unwrap();
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
        assert_eq!(chart.figure(&table(), Vec::new()).unwrap().panels.len(), 2);
        let error = Chart { y: "gpa".into(), ..chart }.figure(&table(), Vec::new()).unwrap_err();
        assert!(error.to_string().contains("did you mean `gap`?"), "{error}");
    }

    fn chart() -> Chart {
        Chart { x: "temperature".into(), y: "gap".into(), ..Chart::default() }
    }

    impl Chart {
        fn with(mut self, mark: impl Mark + 'static) -> Self {
            self.add(Arc::new(mark));
            self
        }
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
        let chart = chart().with(GroupMeansMark { column: "batch".into() });
        let panel = chart.figure(&table(), Vec::new()).unwrap().panels.remove(0);
        let means: Vec<(&[f64], LineStyle)> =
            panel.lines.iter().map(|line| (line.ys.as_slice(), line.style)).collect();
        let style = |index| LineStyle::GroupMean(Tint::Palette(index));
        assert_eq!(means, [(&[1.0, 5.0][..], style(0)), (&[3.0, 7.0][..], style(1))]);
        assert_eq!((panel.points[0].color, panel.points[1].color), (Tint::Palette(0), Tint::Palette(1)));
        assert_eq!(panel.keys[0].label, "mean of each batch");

        let other = chart.with(GroupMeansMark { column: "gap".into() });
        let panel = other.figure(&table(), Vec::new()).unwrap().panels.remove(0);
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
        let panel = chart.figure(&table, Vec::new()).unwrap().panels.remove(0);
        assert!(panel.points.len() == 4 && panel.points.iter().all(|points| points.label.is_empty()));
        let labels: Vec<&str> = panel.keys.iter().map(|key| key.label.as_str()).collect();
        assert_eq!(labels, ["batch 16", "batch 32", "seed 1", "seed 2"]);
        assert_eq!(panel.keys[3].sample, KeySample::Point(Tint::Ink, 1));
        assert_eq!(panel.points[0].notes, ["batch\t16\nseed\t1"]);

        let silent = Chart { no_legend: true, ..chart }.with(MeanMark);
        let panel = silent.figure(&table, Vec::new()).unwrap().panels.remove(0);
        assert!(panel.keys.is_empty() && panel.lines[0].label.is_empty() && panel.points.len() == 4);
    }

    #[test]
    fn forty_runs_are_drawn_without_their_names() {
        let values: Vec<i64> = (0..40).collect();
        let table = numbers(&[("temperature", &values), ("gap", &values), ("run_id", &values)]);
        let chart = Chart { color: Some("run_id".into()), marker: Some("run_id".into()), ..chart() };
        let panel = chart.figure(&table, Vec::new()).unwrap().panels.remove(0);
        assert_eq!(panel.points.len(), 40);
        assert!(panel.points.iter().all(|points| points.label.is_empty()) && panel.keys.is_empty());
        assert_eq!(panel.points[39].color, Tint::Scale(1.0));

        // So are forty batches, by default.
        let table = numbers(&[("temperature", &values), ("gap", &values), ("batch", &values)]);
        let plain = Chart { x: "temperature".into(), y: "gap".into(), ..Chart::default() };
        let panel = plain.figure(&table, Vec::new()).unwrap().panels.remove(0);
        assert!(panel.points.iter().all(|points| points.marker == 0 && points.label.is_empty()));
        assert_eq!(panel.points[0].color, Tint::Scale(0.0));
    }

    #[test]
    fn marks_are_drawn_in_one_order_and_one_of_a_kind_is_enough() {
        let twice = chart().with(MeanMark).with(GroupMeansMark { column: "gap".into() });
        let twice = twice.with(GroupMeansMark { column: "batch".into() }).with(MeanMark);
        let panel = twice.figure(&table(), Vec::new()).unwrap().panels.remove(0);
        let styles: Vec<LineStyle> = panel.lines.iter().map(|line| line.style).collect();
        let group = |index| LineStyle::GroupMean(Tint::Palette(index));
        assert_eq!(styles, [group(0), group(1), LineStyle::Mean]);
        // The methods of scripts are those of the list, each with an example.
        for kind in MARKS {
            let example = MARKS.iter().find(|other| other.method == kind.method && !other.example.is_empty());
            assert!(example.is_some() && !kind.forms.is_empty(), "{}", kind.method);
        }
    }

    #[test]
    fn without_points_something_else_must_be_drawn() {
        let table = numbers(&[("epoch", &[1, 2]), ("gap", &[1, 2])]);
        let bare = Chart { x: "epoch".into(), y: "gap".into(), no_points: true, ..Chart::default() };
        let message = bare.figure(&table, Vec::new()).unwrap_err().to_string();
        assert!(message.contains("nothing to draw"), "{message}");
        assert!(bare.with(MeanMark).figure(&table, Vec::new()).is_ok());
    }

    #[test]
    fn a_panel_for_each_of_too_many_values_is_refused_before_any_is_made() {
        let values: Vec<i64> = (0..100_000).collect();
        let table = numbers(&[("temperature", &values), ("gap", &values), ("seed", &values)]);
        let many = Chart { facet: Some("seed".into()), ..chart() };
        let error = many.figure(&table, Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("facet(\"seed\"): 100000 panels, expected at most 1000"), "{error}");
    }

    #[test]
    fn a_line_joins_each_runs_points_in_the_order_of_x() {
        let table = numbers(&[
            ("epoch", &[3, 1, 2, 1, 2]),
            ("train_loss", &[30, 10, 20, 5, 6]),
            ("run_id", &[1, 1, 1, 2, 2]),
        ]);
        let chart = Chart { x: "epoch".into(), y: "train_loss".into(), no_points: true, ..Chart::default() };
        let lines = chart.clone().with(LinesMark { column: "run_id".into() });
        let panel = lines.figure(&table, Vec::new()).unwrap().panels.remove(0);
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
        let alone = Chart { y_label: Some("loss".into()), ..chart }.with(MeanMark);
        let panel = alone.figure(&table, Vec::new()).unwrap().panels.remove(0);
        assert!(panel.points.is_empty() && panel.y.label == "loss");
    }
}
