//! The shapes that make up a drawing, before any file format.

use super::figure::LineStyle;
use super::palette::{self, Marker, Rgb, WHITE, darker};

/// A place in pixels, counted from the upper left corner of the scene.
pub(super) type PixelPosition = (f64, f64);

/// A drawing: shapes in the order in which they cover each other. Lengths are in pixels.
#[derive(Debug, Clone, Default)]
pub(super) struct Scene {
    /// The width in pixels.
    pub width: f64,
    /// The height in pixels.
    pub height: f64,
    /// The shapes; later ones cover earlier ones.
    pub shapes: Vec<Shape>,
}

/// One shape of a drawing.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A filled rectangle with its upper left and lower right corners.
    Box { from: PixelPosition, to: PixelPosition, color: Rgb, opacity: f64 },
    /// A filled polygon.
    Polygon { corners: Vec<PixelPosition>, color: Rgb },
    /// A line through places.
    Path { places: Vec<PixelPosition>, color: Rgb, width: f64 },
    /// A filled circle.
    Disc { center: PixelPosition, radius: f64, color: Rgb },
    /// A marker about `2 * radius` pixels wide.
    Marker { marker: Marker, center: PixelPosition, radius: f64, color: Rgb },
    /// A text in one line.
    Text {
        text: String,
        /// Where on the baseline the text starts, has its middle, or ends.
        at: PixelPosition,
        /// Pixels per em.
        size: f64,
        color: Rgb,
        align: Align,
        /// Whether the text runs upwards instead of to the right.
        upwards: bool,
    },
}

/// Which part of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Start,
    Middle,
    End,
}

impl Scene {
    /// An empty drawing of this size in pixels.
    pub fn new(width: f64, height: f64) -> Self {
        Scene { width, height, shapes: Vec::new() }
    }

    /// Adds a line through places.
    pub fn path(&mut self, places: Vec<PixelPosition>, color: Rgb, width: f64) {
        self.shapes.push(Shape::Path { places, color, width });
    }

    /// Adds a line through places as a style says; a place alone is a dot.
    pub fn line(&mut self, places: Vec<PixelPosition>, style: LineStyle) {
        let (color, width) = stroke(style);
        match (style, places.as_slice()) {
            (_, &[alone]) if !style.is_mean() => self.disc(alone, width / 2.0, color),
            (LineStyle::Curve(number), _) if number % 3 > 0 => {
                let pattern: &[f64] = if number % 3 == 1 { &[7.0, 4.5] } else { &[2.4, 4.5] };
                for piece in dashed(&places, pattern) {
                    self.path(piece, color, width);
                }
            }
            _ => self.path(places.clone(), color, width),
        }
        for &place in places.iter().filter(|_| style.is_mean()) {
            self.mean_dot(place, style);
        }
    }

    /// Adds the dot of a mean; that of a group stands out from the group's own points.
    pub fn mean_dot(&mut self, place: PixelPosition, style: LineStyle) {
        let (color, _) = stroke(style);
        if style == LineStyle::Mean {
            self.disc(place, 3.4, color);
        } else {
            self.disc(place, 3.6, darker(color));
            self.disc(place, 2.2, WHITE);
        }
    }

    /// Adds the outline of a rectangle.
    pub fn outline(&mut self, from: PixelPosition, to: PixelPosition, color: Rgb, width: f64) {
        let corners = vec![from, (to.0, from.1), to, (from.0, to.1), from];
        self.path(corners, color, width);
    }

    /// Adds a horizontal text.
    pub fn text(&mut self, text: &str, at: PixelPosition, size: f64, color: Rgb, align: Align) {
        self.shapes.push(Shape::Text { text: text.to_string(), at, size, color, align, upwards: false });
    }

    /// Adds a filled circle.
    pub fn disc(&mut self, center: PixelPosition, radius: f64, color: Rgb) {
        self.shapes.push(Shape::Disc { center, radius, color });
    }

    /// Adds a marker about `2 * radius` pixels wide.
    pub fn marker(&mut self, marker: Marker, center: PixelPosition, radius: f64, color: Rgb) {
        self.shapes.push(Shape::Marker { marker, center, radius, color });
    }

    /// The simpler shapes that a marker is drawn with.
    pub fn of_marker(marker: Marker, center: PixelPosition, radius: f64, color: Rgb) -> Self {
        let mut scene = Scene::default();
        let placed = |corners: &[PixelPosition]| -> Vec<PixelPosition> {
            corners.iter().map(|(x, y)| (center.0 + x, center.1 + y)).collect()
        };
        match (marker.outline(radius), marker.is_open()) {
            (Outline::Disc, false) => {
                scene.disc(center, radius + 0.5, darker(color));
                scene.disc(center, radius - 0.5, color);
            }
            (Outline::Disc, true) => {
                scene.disc(center, radius + 0.5, color);
                scene.disc(center, radius - 1.2, WHITE);
            }
            (Outline::Polygon(corners), open) => {
                let corners = placed(&corners);
                let edge = corners.iter().chain(corners.first()).copied().collect();
                let (fill, line, width) =
                    if open { (WHITE, color, 1.7) } else { (color, darker(color), 1.0) };
                scene.shapes.push(Shape::Polygon { corners, color: fill });
                scene.path(edge, line, width);
            }
            (Outline::Strokes(strokes), _) => {
                for stroke in strokes {
                    scene.path(placed(&stroke), color, 2.0);
                }
            }
        }
        scene
    }
}

/// The colour of a line, and its width in pixels.
pub(super) fn stroke(style: LineStyle) -> (Rgb, f64) {
    match style {
        LineStyle::Mean => (palette::MEAN, 2.2),
        LineStyle::GroupMean(tint) => (palette::color(tint), 2.2),
        LineStyle::Curve(_) => (palette::CURVE, 2.2),
        LineStyle::Thin(tint) => (palette::color(tint), 1.4),
    }
}

/// The drawn pieces of a broken line: lengths of `pattern` in pixels are drawn and left out in
/// turn.
fn dashed(places: &[PixelPosition], pattern: &[f64]) -> Vec<Vec<PixelPosition>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<PixelPosition> = places.first().copied().into_iter().collect();
    let (mut part, mut left) = (0, pattern[0]);
    for pair in places.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let mut gone = 0.0;
        while length - gone > left {
            gone += left;
            let share = gone / length;
            let at = (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1));
            piece.push(at);
            if part % 2 == 0 {
                pieces.push(std::mem::take(&mut piece));
            }
            piece = vec![at];
            part += 1;
            left = pattern[part % pattern.len()];
        }
        left -= length - gone;
        piece.push(to);
    }
    if part % 2 == 0 && piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

/// What a marker looks like, around (0, 0).
pub(super) enum Outline {
    /// A circle.
    Disc,
    /// Corners, joined and filled.
    Polygon(Vec<PixelPosition>),
    /// Two lines.
    Strokes([[PixelPosition; 2]; 2]),
}

impl Marker {
    /// Whether only the edge has the marker's colour.
    pub fn is_open(self) -> bool {
        matches!(self, Self::OpenCircle | Self::OpenSquare | Self::OpenDiamond)
    }

    /// The outline; each shape gets a factor that makes all of them look equally large.
    pub fn outline(self, radius: f64) -> Outline {
        const SQUARE: [PixelPosition; 4] = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];
        const DIAMOND: [PixelPosition; 4] = [(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)];
        const UP: [PixelPosition; 3] = [(0.0, -1.0), (0.92, 0.62), (-0.92, 0.62)];
        const DOWN: [PixelPosition; 3] = [(0.0, 1.0), (0.92, -0.62), (-0.92, -0.62)];
        let scaled = |factor: f64, corners: &[PixelPosition]| -> Vec<PixelPosition> {
            corners.iter().map(|(x, y)| (x * factor * radius, y * factor * radius)).collect()
        };
        let strokes = |factor: f64, ends: [PixelPosition; 4]| {
            let at = |(x, y): PixelPosition| (x * factor * radius, y * factor * radius);
            Outline::Strokes([[at(ends[0]), at(ends[2])], [at(ends[1]), at(ends[3])]])
        };
        match self {
            Self::Circle | Self::OpenCircle => Outline::Disc,
            Self::Square => Outline::Polygon(scaled(0.88, &SQUARE)),
            Self::Diamond => Outline::Polygon(scaled(1.22, &DIAMOND)),
            Self::Triangle => Outline::Polygon(scaled(1.22, &UP)),
            Self::TriangleDown => Outline::Polygon(scaled(1.22, &DOWN)),
            Self::OpenSquare => Outline::Polygon(scaled(0.82, &SQUARE)),
            Self::OpenDiamond => Outline::Polygon(scaled(1.15, &DIAMOND)),
            Self::Cross => strokes(0.9, SQUARE),
            Self::Plus => strokes(1.15, DIAMOND),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_goes_round_corners() {
        let corner = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)];
        let pieces = dashed(&corner, &[6.0, 2.0]);
        let expected: [&[PixelPosition]; 3] = [
            &[(0.0, 0.0), (6.0, 0.0)],
            &[(8.0, 0.0), (10.0, 0.0), (10.0, 4.0)],
            &[(10.0, 6.0), (10.0, 10.0)],
        ];
        assert_eq!(pieces, expected);
        assert!(dashed(&[], &[6.0, 2.0]).is_empty());
    }
}
