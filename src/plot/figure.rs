//! What a figure shows, as plain data.

use crate::error::{Error, Result};
use crate::options::{DefaultValue, Kind, Opt};

/// Several panels in a grid under one title.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figure {
    /// The text above all panels.
    pub title: Option<String>,
    /// The panels, row by row.
    pub panels: Vec<Panel>,
    /// How many panels stand in one row; 0 leaves the choice to the drawing.
    pub columns: usize,
}

/// The options of `figure`.
pub const FIGURE_OPTIONS: &[Opt] = &[
    Opt::new(
        "columns",
        Kind::AT_LEAST_ONE,
        DefaultValue::Absent("2 for two to four panels, 3 for more"),
        "how many panels stand side by side",
    ),
    Opt::new("title", Kind::Text, DefaultValue::Absent("none"), "the text above all panels"),
];

/// Panels of a figure: more can neither be seen nor opened by viewers.
const MOST_PANELS: usize = 1000;

/// Refuses more panels than a figure holds; `what` says where they come from.
///
/// # Errors
///
/// Where there are more than a thousand.
pub fn check_panels(what: &str, panels: usize) -> Result<()> {
    if panels > MOST_PANELS {
        return Err(Error::invalid(format!(
            "{what}: {panels} panels, expected at most {MOST_PANELS}; filter the table first, or give the values colours"
        )));
    }
    Ok(())
}

impl Figure {
    /// The panels of several figures in one grid; what stood above a figure stands above its
    /// panels.
    ///
    /// # Errors
    ///
    /// Where there are more panels than a figure holds.
    pub fn grid(parts: Vec<Figure>, columns: usize, title: Option<String>) -> Result<Self> {
        check_panels("figure", parts.iter().map(|part| part.panels.len()).sum())?;
        let titled = |part: Figure| {
            let above = part.title;
            part.panels.into_iter().map(move |panel| Panel {
                title: match (&above, panel.title) {
                    (Some(above), Some(own)) => Some(format!("{above}, {own}")),
                    (above, own) => own.or_else(|| above.clone()),
                },
                ..panel
            })
        };
        Ok(Self { title, panels: parts.into_iter().flat_map(titled).collect(), columns })
    }

    /// The number of panels in one row: `columns`, or a fitting number when that is 0.
    pub fn columns_used(&self) -> usize {
        let panels = self.panels.len().max(1);
        let wanted = match (self.columns, panels) {
            (0, 1) => 1,
            (0, 2..=4) => 2,
            (0, _) => 3,
            (given, _) => given,
        };
        wanted.min(panels)
    }
}

/// One pair of axes with the points and lines drawn between them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Panel {
    /// The text above this panel.
    pub title: Option<String>,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The groups of points.
    pub points: Vec<Points>,
    /// The lines.
    pub lines: Vec<Line>,
    /// Legend entries beside those of points and lines, which have labels of their own: what a
    /// colour or a shape alone stands for.
    pub keys: Vec<Key>,
}

/// An entry of a legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// What is drawn beside the text.
    pub sample: KeySample,
    /// The text.
    pub label: String,
}

/// The sample of a legend entry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KeySample {
    /// A marker in a colour.
    Point(Tint, usize),
    /// A colour, whatever the shape.
    Color(Tint),
    /// A line.
    Line(LineStyle),
}

/// A colour of points and lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tint {
    /// A number of the colour-blind-safe palette; counts on from the start when too large.
    Palette(usize),
    /// A place from 0 to 1 on a scale from dark violet to yellow, for more values than the palette
    /// can tell apart.
    Scale(f64),
    /// The colour of text.
    Ink,
}

impl Default for Tint {
    fn default() -> Self {
        Self::Palette(0)
    }
}

/// One axis; its range follows from the data, of this panel or of several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Axis {
    /// The text beside the axis, with the unit if there is one.
    pub label: String,
    /// Whether equal ratios, rather than equal differences, take equal lengths.
    pub log: bool,
    /// The smallest and the largest value of the panels that share this axis's range, where some
    /// do.
    pub shared: Option<(f64, f64)>,
}

/// A group of points that share a colour and a marker.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Points {
    /// The legend's text; empty for no legend entry.
    pub label: String,
    /// The horizontal positions, in the axis's unit.
    pub xs: Vec<f64>,
    /// The vertical positions, in the axis's unit.
    pub ys: Vec<f64>,
    /// Their colour.
    pub color: Tint,
    /// Which marker shape; counts on from the start when too large.
    pub marker: usize,
    /// What each point is, for readers who point at it: lines of a name, a tab and a value. Empty,
    /// or as long as the positions.
    pub notes: Vec<String>,
    /// Whether the points are drawn; otherwise they are only places on a line that can be pointed
    /// at.
    pub hidden: bool,
}

/// A line through its positions in the order given.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The legend's text; empty for no legend entry.
    pub label: String,
    /// The horizontal positions, in the axis's unit.
    pub xs: Vec<f64>,
    /// The vertical positions, in the axis's unit.
    pub ys: Vec<f64>,
    /// How the line looks.
    pub style: LineStyle,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LineStyle {
    /// Dark blue with a small dot at every position, drawn in front of the points.
    Mean,
    /// The same in a colour: the mean of one group.
    GroupMean(Tint),
    /// Gray, drawn behind the points: a fitted curve. The first is solid, the next ones are broken
    /// in other ways.
    Curve(usize),
    /// Thin in a colour, drawn behind the points.
    Thin(Tint),
}

impl LineStyle {
    /// Whether the line has a dot at every position and is drawn in front of the points.
    pub fn is_mean(self) -> bool {
        matches!(self, Self::Mean | Self::GroupMean(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_keeps_the_titles() {
        let part = |above: Option<&str>, titles: &[Option<&str>]| Figure {
            title: above.map(str::to_owned),
            panels: titles
                .iter()
                .map(|title| Panel { title: title.map(str::to_owned), ..Panel::default() })
                .collect(),
            columns: 0,
        };
        let parts =
            vec![part(None, &[None]), part(Some("a"), &[None]), part(Some("b"), &[Some("1"), Some("2")])];
        let grid = Figure::grid(parts, 2, Some("all".into())).unwrap();
        let titles: Vec<Option<&str>> = grid.panels.iter().map(|panel| panel.title.as_deref()).collect();
        assert_eq!(titles, [None, Some("a"), Some("b, 1"), Some("b, 2")]);
        assert_eq!((grid.columns_used(), grid.title.as_deref()), (2, Some("all")));

        let many = vec![part(None, &[None; 501]); 2];
        let error = Figure::grid(many, 0, None).unwrap_err().to_string();
        assert!(error.contains("figure: 1002 panels, expected at most 1000"), "{error}");
    }
}
