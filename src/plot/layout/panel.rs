//! Where everything of a panel stands: its frame, ticks, labels, data and legend.

use crate::plot::drawable::{DataPosition, Drawable};
use crate::plot::figure::{Key, Panel};
use crate::plot::font;
use crate::plot::legend::{Legend, Occupied};
use crate::plot::palette::{self, FAINT_GRID, FRAME, GRID, INK};
use crate::plot::scale::{Scale, Ticks};
use crate::plot::scene::{Align, PixelPosition, Scene, Shape};

const PANEL_TITLE: f64 = 18.0;
const LABEL: f64 = 17.0;
const TICK: f64 = 15.0;
/// How far labelled ticks stick out of the frame.
const TICK_LENGTH: f64 = 6.0;
/// The radius of a marker.
pub(in crate::plot) const MARKER: f64 = 4.5;
/// The distance between the frame and a legend outside it.
const LEGEND_GAP: f64 = 12.0;

/// The letter size at which a text fits, but no less than three quarters of the wanted size.
pub(super) fn smaller(text: &str, size: f64, room: f64) -> f64 {
    let fitting = size * room / font::width(text, size).max(1.0);
    fitting.clamp(0.75 * size, size)
}

/// The space in pixels between a panel's edges and its frame.
#[derive(Clone, Copy)]
pub(super) struct Margins {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Margins {
    /// The same margins for all panels, so that their frames line up.
    pub fn around(plans: &[PanelPlan]) -> Self {
        let mut margins = Margins { left: 40.0, right: 22.0, top: 22.0, bottom: 40.0 };
        for plan in plans {
            let label = match plan.panel.y.label.trim() {
                "" => 0.0,
                _ => LABEL * 1.2 + 10.0,
            };
            margins.left = margins.left.max(14.0 + label + plan.beside_frame());
            if let Some((value, text)) = plan.x_ticks.labelled.last() {
                let beyond =
                    font::width(text, TICK) / 2.0 - (1.0 - plan.x.fraction(*value)) * NARROWEST_FRAME;
                margins.right = margins.right.max(beyond + 6.0);
            }
            if plan.legend_outside {
                let legend = plan.legend.width + LEGEND_GAP + 10.0;
                margins.right = margins.right.max(legend);
            }
            if plan.has_title() {
                margins.top = margins.top.max(PANEL_TITLE * 1.3 + 20.0);
            }
            if !plan.panel.x.label.trim().is_empty() {
                margins.bottom = margins.bottom.max(68.0);
            }
        }
        margins
    }
}

/// The width of the narrowest frame that margins may leave.
const NARROWEST_FRAME: f64 = 400.0;

/// A panel with its ranges, ticks and legend.
pub(super) struct PanelPlan<'a> {
    panel: &'a Panel,
    pub drawable: Drawable,
    x: Scale,
    y: Scale,
    x_ticks: Ticks,
    y_ticks: Ticks,
    legend: Legend,
    /// Whether the legend stands to the right of the frame for want of space inside.
    legend_outside: bool,
}

impl<'a> PanelPlan<'a> {
    pub fn new(panel: &'a Panel, keys: &[Key], size: PixelPosition) -> Self {
        let drawable = Drawable::new(panel);
        let (x, y) = drawable.scales(panel);
        // The margins follow from the ticks and are not known yet; these are typical.
        let frame = (size.0 - 120.0, size.1 - 120.0);
        let legend = Legend::new(keys, frame);
        let room = legend.room_needed(frame, &occupied(&drawable, x, y));
        let y = y.with_room(room);
        let (_, covered) = legend.best_corner(frame, &occupied(&drawable, x, y));
        let legend_outside = covered.0 > 0 && legend.width < 0.35 * size.0;
        PanelPlan {
            panel,
            x_ticks: spread(x, frame.0),
            y_ticks: y.ticks((frame.1 / 55.0) as usize),
            drawable,
            x,
            y,
            legend,
            legend_outside,
        }
    }

    /// How far the vertical axis's ticks and their texts reach out of the frame.
    fn beside_frame(&self) -> f64 {
        let texts = self.y_ticks.labelled.iter();
        let widest = texts.fold(0.0, |most: f64, (_, text)| most.max(font::width(text, TICK)));
        let empty = self.drawable.all().next().is_none();
        if empty { 0.0 } else { widest + TICK_LENGTH + 5.0 }
    }

    fn has_title(&self) -> bool {
        let title = self.panel.title.as_deref().unwrap_or_default();
        !title.trim().is_empty()
    }

    pub fn scene(&self, size: PixelPosition, margins: Margins) -> (Scene, Frame) {
        let width = size.0 - margins.left - margins.right;
        let frame = Frame {
            left: margins.left,
            top: margins.top,
            width,
            x_ticks: spread(self.x, width),
            height: size.1 - margins.top - margins.bottom,
            x: self.x,
            y: self.y,
        };
        let mut scene = Scene::new(size.0, size.1);
        let empty = self.drawable.all().next().is_none();
        if !empty {
            self.draw_grid(&mut scene, &frame);
            self.draw_data(&mut scene, &frame);
        }
        scene.outline((frame.left, frame.top), (frame.right(), frame.bottom()), FRAME, 1.25);
        if empty {
            let middle = (frame.left + frame.width / 2.0, frame.top + frame.height / 2.0 + 6.0);
            scene.text("no data", middle, LABEL, FRAME, Align::Middle);
        } else {
            self.draw_ticks(&mut scene, &frame);
            let corner = if self.legend_outside {
                (frame.width + LEGEND_GAP, 0.0)
            } else {
                let occupied = occupied(&self.drawable, self.x, self.y);
                let frame = (frame.width, frame.height);
                self.legend.best_corner(frame, &occupied).0
            };
            let at = (frame.left + corner.0, frame.top + corner.1);
            self.legend.draw(&mut scene, at);
        }
        self.draw_labels(&mut scene, &frame);
        (scene, frame)
    }

    fn draw_grid(&self, scene: &mut Scene, frame: &Frame) {
        let upright = |x: f64| vec![(x, frame.top), (x, frame.bottom())];
        let level = |y: f64| vec![(frame.left, y), (frame.right(), y)];
        if self.x.log {
            for &value in &frame.x_ticks.minor {
                scene.path(upright(frame.at_x(value)), FAINT_GRID, 1.0);
            }
        }
        if self.y.log {
            for &value in &self.y_ticks.minor {
                scene.path(level(frame.at_y(value)), FAINT_GRID, 1.0);
            }
        }
        for (value, _) in &frame.x_ticks.labelled {
            scene.path(upright(frame.at_x(*value)), GRID, 1.0);
        }
        for (value, _) in &self.y_ticks.labelled {
            scene.path(level(frame.at_y(*value)), GRID, 1.0);
        }
    }

    fn draw_data(&self, scene: &mut Scene, frame: &Frame) {
        let draw_lines = |scene: &mut Scene, means: bool| {
            for (line, runs) in self.panel.lines.iter().zip(&self.drawable.lines) {
                if line.style.is_mean() == means {
                    for run in runs {
                        scene.line(run.iter().map(|&position| frame.place(position)).collect(), line.style);
                    }
                }
            }
        };
        draw_lines(scene, false);
        for (points, positions) in self.panel.points.iter().zip(&self.drawable.points) {
            if points.hidden {
                continue;
            }
            let marker = palette::marker(points.marker);
            let color = palette::color(points.color);
            for &position in positions {
                scene.marker(marker, frame.place(position), MARKER, color);
            }
        }
        draw_lines(scene, true);
    }

    fn draw_ticks(&self, scene: &mut Scene, frame: &Frame) {
        let (left, bottom) = (frame.left, frame.bottom());
        for &value in &frame.x_ticks.minor {
            let x = frame.at_x(value);
            scene.path(vec![(x, bottom), (x, bottom + 3.5)], FRAME, 1.0);
        }
        for &value in &self.y_ticks.minor {
            let y = frame.at_y(value);
            scene.path(vec![(left - 3.5, y), (left, y)], FRAME, 1.0);
        }
        for (value, text) in &frame.x_ticks.labelled {
            let x = frame.at_x(*value);
            scene.path(vec![(x, bottom), (x, bottom + TICK_LENGTH)], FRAME, 1.25);
            let at = (x, bottom + TICK_LENGTH + 4.0 + TICK * 0.85);
            scene.text(text, at, TICK, INK, Align::Middle);
        }
        for (value, text) in &self.y_ticks.labelled {
            let y = frame.at_y(*value);
            scene.path(vec![(left - TICK_LENGTH, y), (left, y)], FRAME, 1.25);
            let at = (left - TICK_LENGTH - 5.0, y + 0.36 * TICK);
            scene.text(text, at, TICK, INK, Align::End);
        }
    }

    fn draw_labels(&self, scene: &mut Scene, frame: &Frame) {
        let middle_x = frame.left + frame.width / 2.0;
        let middle_y = frame.top + frame.height / 2.0;
        if self.has_title() {
            let title = font::clean(self.panel.title.as_deref().unwrap_or_default());
            let room = frame.width + 0.9 * frame.left;
            let size = smaller(&title, PANEL_TITLE, frame.width);
            let title = font::fit(&title, size, room.min(frame.width + 40.0));
            let at = (middle_x, frame.top - 13.0);
            scene.text(&title, at, size, INK, Align::Middle);
        }
        let x = font::clean(&self.panel.x.label);
        let size = smaller(&x, LABEL, frame.width);
        let x = font::fit(&x, size, frame.width);
        if !x.trim().is_empty() {
            let at = (middle_x, scene.height - 16.0);
            scene.text(&x, at, size, INK, Align::Middle);
        }
        let y = font::clean(&self.panel.y.label);
        // The label may be a little longer than the frame, but not leave the panel.
        let room = 2.0 * middle_y.min(scene.height - middle_y) - 16.0;
        let size = smaller(&y, LABEL, frame.height);
        let y = font::fit(&y, size, room);
        if !y.trim().is_empty() {
            scene.shapes.push(Shape::Text {
                text: y,
                at: (frame.left - self.beside_frame() - 14.0, middle_y),
                size,
                color: INK,
                align: Align::Middle,
                upwards: true,
            });
        }
    }
}

/// The rectangle inside a panel in which the data stand, with its ranges.
pub(super) struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    pub x: Scale,
    pub y: Scale,
    x_ticks: Ticks,
}

impl Frame {
    fn right(&self) -> f64 {
        self.left + self.width
    }

    fn bottom(&self) -> f64 {
        self.top + self.height
    }

    fn at_x(&self, value: f64) -> f64 {
        self.left + self.x.fraction(value) * self.width
    }

    fn at_y(&self, value: f64) -> f64 {
        self.bottom() - self.y.fraction(value) * self.height
    }

    pub fn place(&self, (x, y): DataPosition) -> PixelPosition {
        (self.at_x(x), self.at_y(y))
    }
}

/// The ticks of a horizontal axis of this length in pixels, without labels that touch.
fn spread(scale: Scale, length: f64) -> Ticks {
    const GAP: f64 = 12.0;
    let ends = |value: f64, text: &str| {
        let half = font::width(text, TICK) / 2.0;
        let middle = scale.fraction(value) * length;
        (middle - half, middle + half)
    };
    let touch = |ticks: &Ticks| {
        ticks.labelled.windows(2).any(|pair| {
            let first = ends(pair[0].0, &pair[0].1);
            let second = ends(pair[1].0, &pair[1].1);
            second.0 - first.1 < GAP
        })
    };
    let most = ((length / 60.0) as usize).max(3);
    let mut ticks = scale.ticks(most);
    for wanted in (3..most).rev() {
        if !touch(&ticks) {
            return ticks;
        }
        ticks = scale.ticks(wanted);
    }
    // Not even few ticks have room: keep the marks, but drop labels.
    let mut used = f64::NEG_INFINITY;
    for (value, text) in &mut ticks.labelled {
        let (left, right) = ends(*value, text);
        if left - used < GAP {
            text.clear();
        } else {
            used = right;
        }
    }
    let (labelled, bare): (Vec<_>, Vec<_>) =
        ticks.labelled.into_iter().partition(|(_, text)| !text.is_empty());
    let mut minor = ticks.minor;
    minor.extend(bare.into_iter().map(|(value, _)| value));
    Ticks { labelled, minor }
}

/// Where in the frame the data stand, so that the legend can avoid them.
fn occupied(drawable: &Drawable, x: Scale, y: Scale) -> Occupied {
    /// The longest way between two places along a line, as a fraction of the frame.
    const STEP: f64 = 0.02;
    /// Positions that a legend looks at: of more, every so many stand for their neighbours.
    const MOST: usize = 50_000;
    let every = |count: usize| count.div_ceil(MOST).max(1);
    let positions = every(drawable.lines.iter().flatten().map(Vec::len).sum());
    let place = |position: &DataPosition| (x.fraction(position.0), y.fraction(position.1));
    let mut lines = Vec::new();
    for run in drawable.lines.iter().flatten() {
        lines.extend(run.first().map(place));
        if positions > 1 {
            lines.extend(run.iter().step_by(positions).map(place));
            continue;
        }
        for pair in run.windows(2) {
            let (from, to) = (place(&pair[0]), place(&pair[1]));
            let way = (to.0 - from.0).hypot(to.1 - from.1);
            let steps = (way / STEP).ceil().clamp(1.0, 200.0) as usize;
            for step in 1..=steps {
                let part = step as f64 / steps as f64;
                lines.push((from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1)));
            }
        }
    }
    let points = every(drawable.points.iter().map(Vec::len).sum());
    Occupied { points: drawable.points.iter().flatten().step_by(points).map(place).collect(), lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn horizontal_labels_do_not_touch() {
        let scale = Scale { low: 1_000_000_000.0, high: 1_000_000_010.0, log: false };
        assert!(!spread(scale, 500.0).labelled.is_empty());
        assert!(spread(scale, 500.0).labelled.len() <= 4);
    }
}
