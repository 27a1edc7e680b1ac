//! Drawings inside a page: SVG whose colours follow the page's light and dark side.

use std::fmt::Write;

use crate::plot::figure::{Key, KeySample};
use crate::plot::layout::MARKER;
use crate::plot::palette::{self, Marker, Rgb};
use crate::plot::scene::{Align, Outline, PixelPosition, Scene, Shape, stroke};
use crate::table::escaped;

/// Colours that the page's style sheet decides; other colours are shown as they are.
const NAMED: [(Rgb, &str); 8] = [
    (palette::WHITE, "paper"),
    (palette::INK, "ink"),
    (palette::FRAME, "frame"),
    (palette::GRID, "grid"),
    (palette::FAINT_GRID, "faint"),
    (palette::MEAN, "mean"),
    (palette::CURVE, "curve"),
    (palette::BLACK, "black"),
];

fn css(color: Rgb) -> String {
    match NAMED.iter().find(|(named, _)| *named == color) {
        Some((_, name)) => format!("var(--{name})"),
        None => format!("#{:02x}{:02x}{:02x}", color.0, color.1, color.2),
    }
}

/// A length to a tenth of a pixel, without zeros that say nothing.
fn short(length: f64) -> String {
    let tenths = (length * 10.0).round() / 10.0;
    // Not "-0".
    (tenths + 0.0).to_string()
}

fn way(places: &[PixelPosition]) -> String {
    let mut text = String::new();
    for (number, (x, y)) in places.iter().enumerate() {
        let command = if number == 0 { 'M' } else { 'L' };
        let _ = write!(text, "{command}{} {}", short(*x), short(*y));
    }
    text
}

/// Every marker once, hidden; [`drawing`] refers to them by number.
pub(super) fn symbols() -> String {
    let mut text =
        String::from("<svg width=\"0\" height=\"0\" class=\"symbols\" aria-hidden=\"true\"><defs>");
    for number in 0..palette::MOST {
        let marker = palette::marker(number);
        let (fill, line) =
            if marker.is_open() { ("var(--paper)", "currentColor") } else { ("currentColor", "var(--edge)") };
        let width = if marker.is_open() { 1.7 } else { 1.0 };
        let look = format!("fill=\"{fill}\" stroke=\"{line}\" stroke-width=\"{width}\"");
        let _ = match marker.outline(MARKER) {
            Outline::Disc => write!(text, "<circle id=\"m{number}\" r=\"{MARKER}\" {look}/>"),
            Outline::Polygon(corners) => {
                write!(text, "<path id=\"m{number}\" d=\"{}Z\" {look}/>", way(&corners))
            }
            Outline::Strokes([a, b]) => write!(
                text,
                "<path id=\"m{number}\" d=\"{}{}\" stroke=\"currentColor\" stroke-width=\"2\"/>",
                way(&a),
                way(&b)
            ),
        };
    }
    text + "</defs></svg>"
}

/// The number of a marker among the symbols.
fn symbol(marker: Marker) -> usize {
    (0..palette::MOST).find(|&number| palette::marker(number) == marker).unwrap_or(0)
}

/// A scene as an SVG element with a title that says what it shows.
pub(super) fn drawing(scene: &Scene, title: &str) -> String {
    format!(
        "<svg role=\"img\" viewBox=\"0 0 {} {}\"><title>{}</title>{}</svg>",
        short(scene.width),
        short(scene.height),
        escaped(title),
        shapes(scene)
    )
}

/// The sample of a legend entry.
pub(super) fn sample(key: &Key) -> String {
    let mut scene = Scene::new(30.0, 14.0);
    let middle = (15.0, 7.0);
    match key.sample {
        KeySample::Point(tint, marker) => {
            scene.marker(palette::marker(marker), middle, MARKER, palette::color(tint));
        }
        KeySample::Color(tint) => scene.marker(Marker::Circle, middle, MARKER, palette::color(tint)),
        KeySample::Line(style) if style.is_mean() => {
            let (color, width) = stroke(style);
            scene.path(vec![(0.0, 7.0), (30.0, 7.0)], color, width);
            scene.mean_dot(middle, style);
        }
        KeySample::Line(style) => scene.line(vec![(0.0, 7.0), (30.0, 7.0)], style),
    }
    let view = if matches!(key.sample, KeySample::Line(_)) { "0 0 30 14" } else { "8 0 14 14" };
    format!("<svg viewBox=\"{view}\" aria-hidden=\"true\">{}</svg>", shapes(&scene))
}

/// The shapes of a scene; neighbours that look the same become one element.
fn shapes(scene: &Scene) -> String {
    let mut text = String::new();
    let mut open = Open::Nothing;
    for shape in &scene.shapes {
        let next = match shape {
            Shape::Path { color, width, .. } => Open::Path(*color, *width),
            Shape::Marker { color, .. } => Open::Markers(*color),
            _ => Open::Nothing,
        };
        if next != open || next == Open::Nothing {
            text += open.end();
            text += &next.start();
            open = next;
        }
        write_shape(&mut text, shape);
    }
    text + open.end()
}

/// What the shapes that come next are part of.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    Nothing,
    Path(Rgb, f64),
    Markers(Rgb),
}

impl Open {
    fn start(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Path(color, width) => {
                format!(
                    "<path fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" d=\"",
                    css(color),
                    short(width)
                )
            }
            Self::Markers(color) => format!("<g color=\"{}\">", css(color)),
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Path(..) => "\"/>",
            Self::Markers(_) => "</g>",
        }
    }
}

fn write_shape(text: &mut String, shape: &Shape) {
    let _ = match shape {
        Shape::Path { places, .. } => write!(text, "{}", way(places)),
        Shape::Marker { marker, center, .. } => write!(
            text,
            "<use href=\"#m{}\" x=\"{}\" y=\"{}\"/>",
            symbol(*marker),
            short(center.0),
            short(center.1)
        ),
        Shape::Disc { center, radius, color } => write!(
            text,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>",
            short(center.0),
            short(center.1),
            short(*radius),
            css(*color)
        ),
        Shape::Polygon { corners, color } => {
            write!(text, "<path fill=\"{}\" d=\"{}Z\"/>", css(*color), way(corners))
        }
        Shape::Box { from, to, color, opacity } => write!(
            text,
            "<path fill=\"{}\" fill-opacity=\"{opacity}\" d=\"{}Z\"/>",
            css(*color),
            way(&[*from, (to.0, from.1), *to, (from.0, to.1)])
        ),
        Shape::Text { text: letters, at, size, color, align, upwards } => {
            let (x, y) = (short(at.0), short(at.1));
            let anchor = match align {
                Align::Start => "start",
                Align::Middle => "middle",
                Align::End => "end",
            };
            let turn = if *upwards { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
            write!(
                text,
                "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" text-anchor=\"{anchor}\" fill=\"{}\"{turn}>{}</text>",
                short(*size),
                css(*color),
                escaped(letters)
            )
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_look_the_same_are_one_element() {
        let mut scene = Scene::new(10.0, 10.0);
        scene.path(vec![(0.0, 0.0), (1.25, -0.01)], palette::GRID, 1.0);
        scene.path(vec![(2.0, 0.0), (3.0, 0.0)], palette::GRID, 1.0);
        scene.marker(Marker::Square, (5.0, 5.0), MARKER, (1, 2, 3));
        scene.marker(Marker::Circle, (6.0, 5.0), MARKER, (1, 2, 3));
        scene.text("a<b>\"c\"", (1.0, 1.0), 15.0, palette::INK, Align::Start);
        assert_eq!(
            shapes(&scene),
            "<path fill=\"none\" stroke=\"var(--grid)\" stroke-width=\"1\" d=\"M0 0L1.3 0M2 0L3 0\"/>\
             <g color=\"#010203\"><use href=\"#m1\" x=\"5\" y=\"5\"/><use href=\"#m0\" x=\"6\" y=\"5\"/></g>\
             <text x=\"1\" y=\"1\" font-size=\"15\" text-anchor=\"start\" fill=\"var(--ink)\">\
             a&lt;b&gt;&quot;c&quot;</text>"
        );
        assert_eq!(symbols().matches(" id=\"m").count(), palette::MOST);
    }
}
