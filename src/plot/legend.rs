//! The legend of a panel: its entries, its size and where it stands.

use super::figure::{LineStyle, Panel};
use super::font;
use super::palette::{self, INK, Marker, Rgb};
use super::scene::{Align, Place, Scene, Shape};

const SIZE: f64 = 15.0;
const ROW: f64 = 22.0;
const PADDING: f64 = 8.0;
const KEY_WIDTH: f64 = 30.0;
/// The distance from the frame.
const DISTANCE: f64 = 10.0;
/// How much closer than the box itself a position counts as covered.
const CLEARANCE: f64 = 7.0;

/// The sample of an entry.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Key {
    Marker(Marker, Rgb),
    Line(Rgb),
    Mean,
}

/// A panel's legend, measured but not placed yet.
pub(super) struct Legend {
    entries: Vec<(Key, String)>,
    /// The width of the box in pixels.
    pub width: f64,
    /// The height of the box in pixels.
    pub height: f64,
}

/// The positions that a legend should not cover, as fractions of the frame from its lower left.
#[derive(Default)]
pub(super) struct Occupied {
    /// Where markers stand.
    pub points: Vec<Place>,
    /// Places along the lines.
    pub lines: Vec<Place>,
}

impl Legend {
    /// The legend of a panel whose frame has this size in pixels.
    pub fn new(panel: &Panel, frame: Place) -> Self {
        let mut entries: Vec<(Key, String)> = Vec::new();
        let mut add = |key: Key, label: &str| {
            let label = font::fit(&font::clean(label), SIZE, 0.6 * frame.0);
            if !label.trim().is_empty() && !entries.contains(&(key, label.clone())) {
                entries.push((key, label));
            }
        };
        for points in &panel.points {
            let marker = palette::marker(points.marker);
            add(Key::Marker(marker, palette::color(points.color)), &points.label);
        }
        for line in &panel.lines {
            let key = match line.style {
                LineStyle::Mean => Key::Mean,
                LineStyle::Curve => Key::Line(palette::CURVE),
                LineStyle::Plain(color) => Key::Line(palette::color(color)),
            };
            add(key, &line.label);
        }
        let rows = ((0.8 * frame.1 - 2.0 * PADDING) / ROW).max(1.0) as usize;
        let widest = |entries: &[(Key, String)]| {
            entries.iter().fold(0.0, |most: f64, entry| most.max(font::width(&entry.1, SIZE)))
        };
        if entries.len() > rows {
            let more = entries.len() + 1 - rows;
            entries.truncate(rows - 1);
            // White on white: the last row has no sample.
            entries.push((Key::Line(palette::WHITE), format!("… and {more} more")));
        }
        Legend {
            width: 2.0 * PADDING + KEY_WIDTH + 8.0 + widest(&entries),
            height: 2.0 * PADDING + ROW * entries.len() as f64,
            entries,
        }
    }

    /// Whether there is nothing to explain.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The corner of the frame in which the box covers least, as the upper left corner of the
    /// box inside the frame, and the numbers of markers and line places it covers there.
    pub fn best_corner(&self, frame: Place, occupied: &Occupied) -> (Place, (usize, usize)) {
        let right = frame.0 - self.width - DISTANCE;
        let bottom = frame.1 - self.height - DISTANCE;
        let corners = [(right, DISTANCE), (DISTANCE, DISTANCE), (right, bottom), (DISTANCE, bottom)];
        let covered = |corner: Place| {
            let count = |places: &[Place]| {
                places
                    .iter()
                    .filter(|place| {
                        let x = place.0 * frame.0 - corner.0;
                        let y = (1.0 - place.1) * frame.1 - corner.1;
                        (-CLEARANCE..self.width + CLEARANCE).contains(&x)
                            && (-CLEARANCE..self.height + CLEARANCE).contains(&y)
                    })
                    .count()
            };
            (count(&occupied.points), count(&occupied.lines))
        };
        let mut best = (corners[0], covered(corners[0]));
        for corner in &corners[1..] {
            let cost = covered(*corner);
            if cost < best.1 {
                best = (*corner, cost);
            }
        }
        best
    }

    /// How much longer the vertical axis must be for the legend to cover nothing: a fraction of
    /// its length, or 0 when even a third more does not help.
    pub fn room_needed(&self, frame: Place, occupied: &Occupied) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        for percent in (0..=36).step_by(4) {
            let room = f64::from(percent) / 100.0;
            let lowered = |places: &[Place]| -> Vec<Place> {
                places.iter().map(|(x, y)| (*x, y / (1.0 + room))).collect()
            };
            let occupied = Occupied { points: lowered(&occupied.points), lines: lowered(&occupied.lines) };
            if self.best_corner(frame, &occupied).1 == (0, 0) {
                return room;
            }
        }
        0.0
    }

    /// Draws the box with its upper left corner at `at`.
    pub fn draw(&self, scene: &mut Scene, at: Place) {
        if self.is_empty() {
            return;
        }
        let to = (at.0 + self.width, at.1 + self.height);
        scene.shapes.push(Shape::Box { from: at, to, color: palette::WHITE, opacity: 0.85 });
        scene.outline(at, to, (0xc8, 0xc8, 0xc8), 1.0);
        for (row, (key, label)) in self.entries.iter().enumerate() {
            let y = at.1 + PADDING + (row as f64 + 0.5) * ROW;
            let left = at.0 + PADDING;
            let middle = (left + KEY_WIDTH / 2.0, y);
            let line = vec![(left, y), (left + KEY_WIDTH, y)];
            match key {
                Key::Marker(marker, color) => scene.marker(*marker, middle, 5.0, *color),
                Key::Line(color) => scene.path(line, *color, 2.2),
                Key::Mean => {
                    scene.path(line, palette::MEAN, 2.2);
                    scene.disc(middle, 3.4, palette::MEAN);
                }
            }
            let text = (left + KEY_WIDTH + 8.0, y + 0.36 * SIZE);
            scene.text(label, text, SIZE, INK, Align::Start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::Points;

    fn legend() -> Legend {
        let points = Points { label: "batch 32".into(), ..Points::default() };
        let panel = Panel { points: vec![points.clone(), points, Points::default()], ..Panel::default() };
        Legend::new(&panel, (600.0, 400.0))
    }

    #[test]
    fn lists_each_label_once() {
        assert_eq!(legend().entries.len(), 1);
    }

    #[test]
    fn avoids_the_points() {
        let occupied = Occupied { points: vec![(0.95, 0.95), (0.05, 0.95), (0.05, 0.05)], lines: Vec::new() };
        let (corner, cost) = legend().best_corner((600.0, 400.0), &occupied);
        assert!(corner.0 > 300.0 && corner.1 > 200.0, "lower right");
        assert_eq!(cost, (0, 0));
        assert_eq!(legend().room_needed((600.0, 400.0), &occupied), 0.0);
    }
}
