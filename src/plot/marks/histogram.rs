//! How often values lie in each of a number of bins, in place of points.

use std::sync::Arc;

use crate::options::{DefaultValue, Kind, Opt};
use crate::plot::figure::{Line, LineStyle, Panel, Points};
use crate::plot::mark::{Mark, MarkForm, MarkKind, Vertical};
use crate::plot::series::{PanelRows, Series};
use crate::table::number;

const OPTIONS: &[Opt] = &[Opt::new(
    "bins",
    Kind::Integer(1, 1000),
    DefaultValue::Absent("Sturges' rule, ⌈log₂ n⌉ + 1 for n rows"),
    "equal parts of the range of x, of its logarithms where log_x is called",
)];

/// The entry of this kind.
pub static ENTRY: MarkKind = MarkKind {
    method: "histogram",
    forms: &[
        (
            MarkForm::Plain(|| Arc::new(HistogramMark { bins: None })),
            "Counts the rows in bins of x, which is drawn in place of points: a plot without y(…). Each colour has counts of its own.",
        ),
        (
            MarkForm::Options(OPTIONS, |given| {
                Ok(Arc::new(HistogramMark { bins: given.given_count("bins")? }))
            }),
            "The same with another number of bins: histogram(#{bins: 30}).",
        ),
    ],
    example: r#"
let steady = table(#{ gap: [0.24, 0.26, 0.2, 0.19, 0.16, 0.17, 0.21, 0.22, 0.18, 0.2] });
plot(steady).x("gap").histogram(#{ bins: 5 }).save("results/demo.svg")"#,
    vertical: Vertical::Own("count"),
    repeats: false,
};

/// The numbers of rows in bins of x.
#[derive(Debug)]
pub struct HistogramMark {
    /// How many bins; none: Sturges' rule.
    pub bins: Option<usize>,
}

impl Mark for HistogramMark {
    fn kind(&self) -> &'static MarkKind {
        &ENTRY
    }

    fn draw(&self, view: &PanelRows, panel: &mut Panel) {
        let series = view.series;
        let edges = edges(series, self.bins);
        for (color, rows) in series.colors.split(view.rows) {
            let (counts, outside) = counts(series, &edges, &rows);
            let tint = series.colors.tint(color);
            let label = series.colors.label(color).unwrap_or_default();
            let (xs, ys) = outline(&edges, &counts);
            panel.lines.push(Line { label, xs, ys, style: LineStyle::Thin(tint) });
            panel.points.push(Points {
                color: tint,
                hidden: true,
                ..places(series, color, &edges, &counts, outside)
            });
        }
    }
}

/// Places of bins that can be pointed at, and of the rows that no bin holds, which are told of as
/// points that cannot be drawn.
fn places(series: &Series, color: usize, edges: &[f64], counts: &[usize], outside: Vec<f64>) -> Points {
    let of = match &series.colors.column {
        Some(column) => format!("\n{column}\t{}", series.colors.names[color]),
        None => String::new(),
    };
    let mut places = Points::default();
    for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (from, to) = (edges[bin], edges[bin + 1]);
        places.xs.push((from + to) / 2.0);
        places.ys.push(count as f64);
        places.notes.push(format!("{}\t{} to {}{of}", series.x, number(from), number(to)));
    }
    for x in outside {
        places.xs.push(x);
        places.ys.push(0.0);
        places.notes.push(String::new());
    }
    places
}

/// The ends of the bins, the same in all panels and for all colours; none where no row can be
/// counted.
fn edges(series: &Series, bins: Option<usize>) -> Vec<f64> {
    let (Some(&low), Some(&high)) = (series.positions.first(), series.positions.last()) else {
        return Vec::new();
    };
    let bins = bins.unwrap_or((series.xs.len() as f64).log2().ceil() as usize + 1);
    let log = series.log_x;
    let (mut from, mut to) = if log { (low.ln(), high.ln()) } else { (low, high) };
    if from == to {
        // One value has a bin around it.
        let half = if log || from == 0.0 { 0.5 } else { from.abs() / 2.0 };
        (from, to) = (from - half, to + half);
    }
    let at = |bin: usize| {
        let share = bin as f64 / bins as f64;
        let edge = from * (1.0 - share) + to * share;
        if log { edge.exp() } else { edge }
    };
    (0..=bins).map(at).collect()
}

/// Whether a position can stand on the axis.
fn is_held(x: f64, log: bool) -> bool {
    x.is_finite() && (!log || x > 0.0)
}

/// How many of these rows lie in each bin, the upper end of the last one included, and the
/// positions that lie in none.
fn counts(series: &Series, edges: &[f64], rows: &[usize]) -> (Vec<usize>, Vec<f64>) {
    let bins = edges.len().saturating_sub(1);
    let (mut counts, mut outside) = (vec![0; bins], Vec::new());
    for x in rows.iter().map(|&row| series.xs[row]) {
        if is_held(x, series.log_x) && bins > 0 {
            // The ends of the range may be rounded: the first and the last bin hold what lies
            // there.
            let above = edges.partition_point(|&edge| edge <= x);
            counts[above.clamp(1, bins) - 1] += 1;
        } else {
            outside.push(x);
        }
    }
    (counts, outside)
}

/// The line around the bars of the counts, from 0 to 0.
fn outline(edges: &[f64], counts: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let corners =
        edges.windows(2).zip(counts).flat_map(|(bin, &count)| bin.iter().map(move |&x| (x, count as f64)));
    let first = edges.first().map(|&x| (x, 0.0));
    let last = edges.last().map(|&x| (x, 0.0));
    first.into_iter().chain(corners).chain(last).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Chart;
    use crate::plot::figure::{Figure, Tint};
    use crate::table::{Cell, Table};

    fn drawn(chart: Chart, mark: HistogramMark, columns: &[(&str, &[f64])]) -> Figure {
        let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let cells = columns.iter().map(|(_, values)| values.iter().copied().map(Cell::Float).collect());
        let table = Table::from_cells(&names, &cells.collect::<Vec<Vec<Cell>>>()).unwrap();
        let mut chart = Chart { x: "gap".into(), ..chart };
        chart.add(Arc::new(mark));
        chart.figure(&table, Vec::new()).unwrap()
    }

    /// The counts are those of `numpy.histogram([0.0, 0.5, 1.0, 1.0, 2.5, 4.0], bins=4)`.
    #[test]
    fn rows_are_counted_in_equal_bins_whose_last_holds_its_upper_end() {
        let gaps = [0.0, 0.5, 1.0, 1.0, 2.5, 4.0, f64::NAN];
        let figure = drawn(Chart::default(), HistogramMark { bins: Some(4) }, &[("gap", &gaps)]);
        let panel = &figure.panels[0];
        assert_eq!(panel.lines[0].xs, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
        assert_eq!(panel.lines[0].ys, [0.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(
            (panel.x.label.as_str(), panel.y.label.as_str()),
            ("generalisation gap (test − train loss)", "count")
        );
        assert_eq!(panel.points[0].notes, ["gap\t0 to 1", "gap\t1 to 2", "gap\t2 to 3", "gap\t3 to 4", ""]);
        // What has no place on the axis is told.
        let folder = tempfile::tempdir().unwrap();
        let saved = crate::plot::save(&figure, &folder.path().join("a.svg")).unwrap();
        assert_eq!(saved.left_out, 1);
        let shown = crate::plot::text(&figure, 60, 12, false);
        assert!(
            shown.contains("count") && shown.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)),
            "{shown}"
        );
    }

    #[test]
    fn bins_of_a_logarithmic_axis_are_equal_ratios_and_colours_share_them() {
        let chart = Chart { log_x: true, color: Some("batch".into()), ..Chart::default() };
        let columns: [(&str, &[f64]); 2] =
            [("gap", &[1.0, 30.0, 300.0, 1e4, -1.0]), ("batch", &[1.0, 1.0, 2.0, 2.0, 2.0])];
        let figure = drawn(chart, HistogramMark { bins: Some(4) }, &columns);
        let panel = &figure.panels[0];
        let ends = &panel.lines[1].xs;
        for (found, wanted) in ends.iter().step_by(2).zip([1.0, 10.0, 100.0, 1e3, 1e4]) {
            assert!((found / wanted - 1.0).abs() < 1e-12, "{ends:?}");
        }
        assert_eq!(panel.lines[0].ys[1..9], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(panel.lines[1].ys[1..9], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(
            (panel.lines[1].label.as_str(), panel.lines[1].style),
            ("batch 2", LineStyle::Thin(Tint::Palette(1)))
        );
    }

    /// Sturges' rule: 7 bins of 64 values, and 8 of 65.
    #[test]
    fn without_a_number_the_bins_follow_from_the_rows() {
        for (rows, bins) in [(1, 1), (64, 7), (65, 8)] {
            let values: Vec<f64> = (0..rows).map(f64::from).collect();
            let figure = drawn(Chart::default(), HistogramMark { bins: None }, &[("gap", &values)]);
            assert_eq!(figure.panels[0].lines[0].xs.len(), 2 * (bins + 1), "{rows}");
        }
    }

    #[test]
    fn nothing_to_count_is_an_empty_panel_and_a_column_y_is_refused() {
        let figure = drawn(Chart::default(), HistogramMark { bins: None }, &[("gap", &[f64::NAN])]);
        assert!(crate::plot::svg(&figure).contains("no data"));
        let mut chart = Chart { x: "gap".into(), y: "lr".into(), ..Chart::default() };
        chart.add(Arc::new(HistogramMark { bins: None }));
        let table = Table::from_cells(&["gap".to_owned()], &[vec![Cell::Float(1.0)]]).unwrap();
        let error = chart.figure(&table, Vec::new()).unwrap_err().to_string();
        assert!(error.contains("leave y(\"lr\") out"), "{error}");
    }
}
