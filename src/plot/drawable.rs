//! Which of a panel's positions can be drawn at all.

use super::figure::{Axis, Panel};
use super::scale::Scale;

/// Positions beyond this size, or on a log axis closer to zero than its inverse, would overflow.
const LARGEST: f64 = 1e300;

/// A position in the units of the axes.
pub(super) type DataPosition = (f64, f64);

/// What remains of a panel's data when the positions that no axis can show are left out.
pub(super) struct Drawable {
    /// For each group of points, the positions that remain.
    pub points: Vec<Vec<DataPosition>>,
    /// For each line, its unbroken runs: a position that is left out breaks the line.
    pub lines: Vec<Vec<Vec<DataPosition>>>,
    /// How many points were left out; of lines where there are no points.
    pub left_out: usize,
}

impl Drawable {
    /// Sorts the panel's positions into those to draw and those to leave out.
    pub fn new(panel: &Panel) -> Self {
        let mut left_out = 0;
        let points = panel
            .points
            .iter()
            .map(|points| {
                let runs = runs(panel, &points.xs, &points.ys, &mut left_out);
                runs.into_iter().flatten().collect()
            })
            .collect();
        let mut of_lines = 0;
        let lines = panel.lines.iter().map(|line| runs(panel, &line.xs, &line.ys, &mut of_lines)).collect();
        if panel.points.is_empty() {
            left_out = of_lines;
        }
        Drawable { points, lines, left_out }
    }

    /// The ranges of both axes that show all of it, and what else the axes are to show.
    pub fn scales(&self, panel: &Panel) -> (Scale, Scale) {
        let ends = |axis: &Axis| axis.shared.into_iter().flat_map(|(low, high)| [low, high]);
        let x = self.all().map(|(x, _)| x).chain(ends(&panel.x));
        let y = self.all().map(|(_, y)| y).chain(ends(&panel.y));
        (Scale::around(x, panel.x.log), Scale::around(y, panel.y.log))
    }

    /// All positions, of points and lines alike.
    pub fn all(&self) -> impl Iterator<Item = DataPosition> + '_ {
        let points = self.points.iter().flatten();
        points.chain(self.lines.iter().flatten().flatten()).copied()
    }
}

fn runs(panel: &Panel, xs: &[f64], ys: &[f64], left_out: &mut usize) -> Vec<Vec<DataPosition>> {
    // A position with only one of its two numbers cannot be drawn either.
    *left_out += xs.len().abs_diff(ys.len());
    let mut runs = vec![Vec::new()];
    for (&x, &y) in xs.iter().zip(ys) {
        if shows(x, panel.x.log) && shows(y, panel.y.log) {
            if let Some(run) = runs.last_mut() {
                run.push((x, y));
            }
        } else {
            *left_out += 1;
            runs.push(Vec::new());
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// Whether an axis can show a value.
pub(super) fn shows(value: f64, log: bool) -> bool {
    let size = value.abs();
    size <= LARGEST && (!log || (value > 0.0 && size >= 1.0 / LARGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::{Axis, Line, LineStyle, Points};

    #[test]
    fn leaves_out_what_no_axis_shows() {
        let panel = Panel {
            x: Axis { label: String::new(), log: true, shared: None },
            points: vec![Points {
                xs: vec![1.0, 0.0, -1.0, f64::NAN, 2.0, 3.0],
                ys: vec![1.0, 1.0, 1.0, 1.0, f64::INFINITY, -3.0],
                ..Points::default()
            }],
            lines: vec![Line {
                label: String::new(),
                xs: vec![1.0, 2.0, 3.0, 4.0],
                ys: vec![1.0, f64::NAN, 3.0],
                style: LineStyle::Curve(0),
            }],
            ..Panel::default()
        };
        let drawable = Drawable::new(&panel);
        assert_eq!(drawable.points, vec![vec![(1.0, 1.0), (3.0, -3.0)]]);
        assert_eq!(drawable.lines, vec![vec![vec![(1.0, 1.0)], vec![(3.0, 3.0)]]]);
        assert_eq!(drawable.left_out, 4);
        assert_eq!(drawable.all().count(), 4);
    }
}
