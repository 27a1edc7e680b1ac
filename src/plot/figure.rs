//! What a figure shows, as plain data.

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

impl Figure {
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
}

/// One axis; its range follows from the data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Axis {
    /// The text beside the axis, with the unit if there is one.
    pub label: String,
    /// Whether equal ratios, rather than equal differences, take equal lengths.
    pub log: bool,
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
    /// Which colour of the colour-blind-safe palette; counts on from the start when too large.
    pub color: usize,
    /// Which marker shape; counts on from the start when too large.
    pub marker: usize,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineStyle {
    /// Dark blue with a small dot at every position, drawn in front of the points.
    Mean,
    /// Gray, drawn behind the points: a fitted curve.
    Curve,
    /// A colour of the palette, drawn behind the points.
    Plain(usize),
}
