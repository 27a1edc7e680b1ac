//! The shapes that make up a drawing, before any file format.

use super::palette::{Marker, Rgb, WHITE, darker};

/// A place in pixels, counted from the upper left corner of the scene.
pub(super) type Place = (f64, f64);

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
    Box { from: Place, to: Place, color: Rgb, opacity: f64 },
    /// A filled polygon.
    Polygon { corners: Vec<Place>, color: Rgb },
    /// A line through places.
    Path { places: Vec<Place>, color: Rgb, width: f64 },
    /// A filled circle.
    Disc { center: Place, radius: f64, color: Rgb },
    /// A text in one line.
    Text {
        text: String,
        /// Where on the baseline the text starts, has its middle, or ends.
        at: Place,
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
    pub fn path(&mut self, places: Vec<Place>, color: Rgb, width: f64) {
        self.shapes.push(Shape::Path { places, color, width });
    }

    /// Adds the outline of a rectangle.
    pub fn outline(&mut self, from: Place, to: Place, color: Rgb, width: f64) {
        let corners = vec![from, (to.0, from.1), to, (from.0, to.1), from];
        self.path(corners, color, width);
    }

    /// Adds a horizontal text.
    pub fn text(&mut self, text: &str, at: Place, size: f64, color: Rgb, align: Align) {
        self.shapes.push(Shape::Text { text: text.to_string(), at, size, color, align, upwards: false });
    }

    /// Adds a filled circle.
    pub fn disc(&mut self, center: Place, radius: f64, color: Rgb) {
        self.shapes.push(Shape::Disc { center, radius, color });
    }

    /// Adds a marker about `2 * radius` pixels wide.
    pub fn marker(&mut self, marker: Marker, center: Place, radius: f64, color: Rgb) {
        // Each shape gets a factor that makes all of them look equally large.
        let scaled = |factor: f64, corners: &[Place]| -> Vec<Place> {
            let length = factor * radius;
            corners.iter().map(|(x, y)| (center.0 + x * length, center.1 + y * length)).collect()
        };
        const SQUARE: [Place; 4] = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];
        const DIAMOND: [Place; 4] = [(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)];
        const UP: [Place; 3] = [(0.0, -1.0), (0.92, 0.62), (-0.92, 0.62)];
        const DOWN: [Place; 3] = [(0.0, 1.0), (0.92, -0.62), (-0.92, -0.62)];
        match marker {
            Marker::Circle => {
                self.disc(center, radius + 0.5, darker(color));
                self.disc(center, radius - 0.5, color);
            }
            Marker::OpenCircle => {
                self.disc(center, radius + 0.5, color);
                self.disc(center, radius - 1.2, WHITE);
            }
            Marker::Square => self.filled(scaled(0.88, &SQUARE), color),
            Marker::Diamond => self.filled(scaled(1.22, &DIAMOND), color),
            Marker::Triangle => self.filled(scaled(1.22, &UP), color),
            Marker::TriangleDown => self.filled(scaled(1.22, &DOWN), color),
            Marker::OpenSquare => self.open(scaled(0.82, &SQUARE), color),
            Marker::OpenDiamond => self.open(scaled(1.15, &DIAMOND), color),
            Marker::Cross => {
                let ends = scaled(0.9, &SQUARE);
                self.path(vec![ends[0], ends[2]], color, 2.0);
                self.path(vec![ends[1], ends[3]], color, 2.0);
            }
            Marker::Plus => {
                let ends = scaled(1.15, &DIAMOND);
                self.path(vec![ends[0], ends[2]], color, 2.0);
                self.path(vec![ends[1], ends[3]], color, 2.0);
            }
        }
    }

    fn filled(&mut self, corners: Vec<Place>, color: Rgb) {
        let edge = closed(&corners);
        self.shapes.push(Shape::Polygon { corners, color });
        self.path(edge, darker(color), 1.0);
    }

    fn open(&mut self, corners: Vec<Place>, color: Rgb) {
        let edge = closed(&corners);
        self.shapes.push(Shape::Polygon { corners, color: WHITE });
        self.path(edge, color, 1.7);
    }
}

fn closed(corners: &[Place]) -> Vec<Place> {
    corners.iter().chain(corners.first()).copied().collect()
}
