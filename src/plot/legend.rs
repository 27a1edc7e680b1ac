//! The legend of a panel, its size and where it stands, and the legend that panels share.

use super::figure::{Key, KeySample};
use super::font;
use super::palette::{self, INK, Marker};
use super::scene::{Align, PixelPosition, Scene, Shape, stroke};

const SIZE: f64 = 15.0;
const ROW: f64 = 22.0;
const PADDING: f64 = 8.0;
const KEY_WIDTH: f64 = 30.0;
/// The distance from the frame.
const DISTANCE: f64 = 10.0;
/// How much closer than the box itself a position counts as covered.
const CLEARANCE: f64 = 7.0;
/// The distance between the entries of a shared legend.
const BETWEEN: f64 = 28.0;

/// A panel's legend, measured but not placed yet.
pub(super) struct Legend {
    entries: Vec<Key>,
    /// How many entries there was no room for.
    more: usize,
    /// The width of the box in pixels.
    pub width: f64,
    /// The height of the box in pixels.
    pub height: f64,
}

/// The positions that a legend should not cover, as fractions of the frame from its lower left.
#[derive(Default)]
pub(super) struct Occupied {
    /// Where markers stand.
    pub points: Vec<PixelPosition>,
    /// Places along the lines.
    pub lines: Vec<PixelPosition>,
}

/// The entries with texts no wider than `room` pixels.
fn fitted(keys: &[Key], room: f64) -> Vec<Key> {
    let fitted = |key: &Key| Key { sample: key.sample, label: font::fit(&key.label, SIZE, room) };
    keys.iter().map(fitted).collect()
}

impl Legend {
    /// The legend with these entries in a panel whose frame has this size in pixels.
    pub fn new(keys: &[Key], frame: PixelPosition) -> Self {
        let mut entries = fitted(keys, 0.6 * frame.0);
        let rows = ((0.8 * frame.1 - 2.0 * PADDING) / ROW).max(1.0) as usize;
        let mut more = 0;
        if entries.len() > rows {
            more = entries.len() + 1 - rows;
            entries.truncate(rows - 1);
        }
        let widest = entries.iter().fold(0.0, |most: f64, key| most.max(font::width(&key.label, SIZE)));
        let last = if more > 0 { font::width(&and_more(more), SIZE) } else { 0.0 };
        let rows = entries.len() + usize::from(more > 0);
        Legend {
            width: 2.0 * PADDING + KEY_WIDTH + 8.0 + widest.max(last),
            height: 2.0 * PADDING + ROW * rows as f64,
            entries,
            more,
        }
    }

    /// Whether there is nothing to explain.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.more == 0
    }

    /// The corner of the frame in which the box covers least, as the upper left corner of the
    /// box inside the frame, and the numbers of markers and line places it covers there.
    pub fn best_corner(&self, frame: PixelPosition, occupied: &Occupied) -> (PixelPosition, (usize, usize)) {
        let right = frame.0 - self.width - DISTANCE;
        let bottom = frame.1 - self.height - DISTANCE;
        let corners = [(right, DISTANCE), (DISTANCE, DISTANCE), (right, bottom), (DISTANCE, bottom)];
        let covered = |corner: PixelPosition| {
            let count = |places: &[PixelPosition]| {
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
    pub fn room_needed(&self, frame: PixelPosition, occupied: &Occupied) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        for percent in (0..=36).step_by(4) {
            let room = f64::from(percent) / 100.0;
            let lowered = |places: &[PixelPosition]| -> Vec<PixelPosition> {
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
    pub fn draw(&self, scene: &mut Scene, at: PixelPosition) {
        if self.is_empty() {
            return;
        }
        let to = (at.0 + self.width, at.1 + self.height);
        scene.shapes.push(Shape::Box { from: at, to, color: palette::WHITE, opacity: 0.85 });
        scene.outline(at, to, (0xc8, 0xc8, 0xc8), 1.0);
        let left = at.0 + PADDING;
        let middle = |row: usize| at.1 + PADDING + (row as f64 + 0.5) * ROW;
        for (row, key) in self.entries.iter().enumerate() {
            draw_entry(scene, key, (left, middle(row)));
        }
        if self.more > 0 {
            let text = (left + KEY_WIDTH + 8.0, middle(self.entries.len()) + 0.36 * SIZE);
            scene.text(&and_more(self.more), text, SIZE, INK, Align::Start);
        }
    }
}

fn and_more(count: usize) -> String {
    format!("… and {count} more")
}

/// A legend in rows, each in the middle of `width` pixels.
pub(super) fn strip(keys: &[Key], width: f64) -> Scene {
    let entries = fitted(keys, 0.5 * width);
    let length = |key: &Key| KEY_WIDTH + 8.0 + font::width(&key.label, SIZE);
    let mut rows: Vec<(f64, Vec<&Key>)> = Vec::new();
    for key in &entries {
        match rows.last_mut() {
            Some((used, row)) if *used + BETWEEN + length(key) <= width - 40.0 => {
                *used += BETWEEN + length(key);
                row.push(key);
            }
            _ => rows.push((length(key), vec![key])),
        }
    }
    let mut scene = Scene::new(width, PADDING + ROW * rows.len() as f64);
    for (number, (used, row)) in rows.iter().enumerate() {
        let mut left = (width - used) / 2.0;
        for key in row {
            draw_entry(&mut scene, key, (left, PADDING + (number as f64 + 0.5) * ROW));
            left += length(key) + BETWEEN;
        }
    }
    scene
}

/// Draws an entry; `at` is the left end and the middle of its height.
fn draw_entry(scene: &mut Scene, key: &Key, at: PixelPosition) {
    let middle = (at.0 + KEY_WIDTH / 2.0, at.1);
    let line = vec![at, (at.0 + KEY_WIDTH, at.1)];
    match key.sample {
        KeySample::Point(tint, marker) => {
            scene.marker(palette::marker(marker), middle, 5.0, palette::color(tint));
        }
        KeySample::Color(tint) => scene.marker(Marker::Circle, middle, 6.5, palette::color(tint)),
        KeySample::Line(style) if style.is_mean() => {
            let (color, width) = stroke(style);
            scene.path(line, color, width);
            scene.mean_dot(middle, style);
        }
        KeySample::Line(style) => scene.line(line, style),
    }
    let text = (at.0 + KEY_WIDTH + 8.0, at.1 + 0.36 * SIZE);
    scene.text(&key.label, text, SIZE, INK, Align::Start);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::{LineStyle, Panel, Points, Tint};
    use crate::plot::keys;

    fn legend() -> Legend {
        let points = Points { label: "batch 32".into(), ..Points::default() };
        let panel = Panel { points: vec![points.clone(), points, Points::default()], ..Panel::default() };
        Legend::new(&keys::of_panel(&panel), (600.0, 400.0))
    }

    #[test]
    fn lists_each_label_once() {
        assert_eq!(legend().entries.len(), 1);
    }

    #[test]
    fn says_how_many_entries_have_no_room() {
        let sample = KeySample::Color(Tint::Ink);
        let keys: Vec<Key> = (0..30).map(|number| Key { sample, label: format!("seed {number}") }).collect();
        let legend = Legend::new(&keys, (600.0, 400.0));
        assert_eq!(legend.entries.len() + legend.more, 30);
        assert!(legend.more > 0 && legend.height < 400.0);
    }

    #[test]
    fn a_strip_wraps_and_stays_inside() {
        let sample = KeySample::Line(LineStyle::Mean);
        let keys: Vec<Key> = (0..12).map(|number| Key { sample, label: format!("batch {number}") }).collect();
        let (narrow, wide) = (strip(&keys, 500.0), strip(&keys, 2000.0));
        assert!(narrow.height > wide.height);
        for shape in &narrow.shapes {
            if let Shape::Text { text, at, size, .. } = shape {
                assert!(at.0 + font::width(text, *size) <= 500.0 && at.1 < narrow.height, "{text}");
            }
        }
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
