//! Colours and marker shapes.

use super::figure::Tint;

/// A colour: red, green and blue from 0 to 255.
pub(super) type Rgb = (u8, u8, u8);

/// The text colour.
pub(super) const INK: Rgb = (0x22, 0x22, 0x22);
/// The colour of frames and ticks.
pub(super) const FRAME: Rgb = (0x55, 0x55, 0x55);
/// The colour of grid lines at labelled ticks.
pub(super) const GRID: Rgb = (0xdd, 0xdd, 0xdd);
/// The colour of grid lines at ticks without a label.
pub(super) const FAINT_GRID: Rgb = (0xf1, 0xf1, 0xf1);
/// The colour of lines that show a mean.
pub(super) const MEAN: Rgb = (0x12, 0x2b, 0x6e);
/// The colour of fitted curves.
pub(super) const CURVE: Rgb = (0x88, 0x88, 0x88);
/// White.
pub(super) const WHITE: Rgb = (0xff, 0xff, 0xff);

/// As many colours, and as many shapes, can be told apart.
pub(super) const MOST: usize = 10;

/// Okabe and Ito's palette with wine and olive; each with the terminal's colour, of its 256,
/// nearest to it. Yellow comes last because it is faint on white.
const PALETTE: [(Rgb, u8); MOST] = [
    ((0xe6, 0x9f, 0x00), 214),
    ((0x56, 0xb4, 0xe9), 74),
    ((0x00, 0x9e, 0x73), 36),
    ((0xd5, 0x5e, 0x00), 166),
    ((0xcc, 0x79, 0xa7), 175),
    ((0x00, 0x72, 0xb2), 32),
    (BLACK, 246),
    ((0x88, 0x22, 0x55), 125),
    ((0x8c, 0x8c, 0x2e), 143),
    ((0xf0, 0xe4, 0x42), 227),
];

/// The palette's black, which a page shows as white on its dark side.
pub(super) const BLACK: Rgb = (0x00, 0x00, 0x00);

/// The stops of the colour scale, evenly spaced; they grow lighter, so that print keeps their
/// order.
const SCALE: [(Rgb, u8); 6] = [
    ((0x54, 0x2a, 0x8c), 55),
    ((0x2f, 0x63, 0xb0), 25),
    ((0x1d, 0x8f, 0x9c), 30),
    ((0x3d, 0xad, 0x6b), 71),
    ((0x96, 0xba, 0x34), 106),
    ((0xe8, 0xb4, 0x1c), 178),
];

/// A colour.
pub(super) fn color(tint: Tint) -> Rgb {
    match tint {
        Tint::Palette(index) => PALETTE[index % MOST].0,
        Tint::Ink => INK,
        Tint::Scale(place) => {
            let (stop, part) = stop(place);
            let (from, to) = (SCALE[stop].0, SCALE[(stop + 1).min(SCALE.len() - 1)].0);
            let mix = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
            (mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
        }
    }
}

/// The terminal's colour, of its 256, nearest to a colour.
pub(super) fn terminal_color(tint: Tint) -> u8 {
    match tint {
        Tint::Palette(index) => PALETTE[index % MOST].1,
        Tint::Ink => 246,
        Tint::Scale(place) => {
            let (stop, part) = stop(place);
            SCALE[(stop + usize::from(part >= 0.5)).min(SCALE.len() - 1)].1
        }
    }
}

/// The stop of the scale below a place, and the part of the way to the next one.
fn stop(place: f64) -> (usize, f64) {
    let way = place.clamp(0.0, 1.0) * (SCALE.len() - 1) as f64;
    (way as usize, way.fract())
}

/// The terminal's colour for lines that show a mean.
pub(super) const TERMINAL_MEAN: u8 = 69;
/// The terminal's colour for fitted curves.
pub(super) const TERMINAL_CURVE: u8 = 244;

/// A darker shade of a colour, for outlines.
pub(super) fn darker((r, g, b): Rgb) -> Rgb {
    let part = |v: u8| (f64::from(v) * 0.62) as u8;
    (part(r), part(g), part(b))
}

/// The shape of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// ●
    Circle,
    /// ■
    Square,
    /// ▲
    Triangle,
    /// ◆
    Diamond,
    /// ×
    Cross,
    /// +
    Plus,
    /// ▼
    TriangleDown,
    /// ○
    OpenCircle,
    /// □
    OpenSquare,
    /// ◇
    OpenDiamond,
}

const MARKERS: [(Marker, char); MOST] = [
    (Marker::Circle, '●'),
    (Marker::Square, '■'),
    (Marker::Triangle, '▲'),
    (Marker::Diamond, '◆'),
    (Marker::Cross, '×'),
    (Marker::Plus, '+'),
    (Marker::TriangleDown, '▼'),
    (Marker::OpenCircle, '○'),
    (Marker::OpenSquare, '□'),
    (Marker::OpenDiamond, '◇'),
];

/// The marker number `index`.
pub(super) fn marker(index: usize) -> Marker {
    MARKERS[index % MARKERS.len()].0
}

/// The character that looks like the marker number `index`.
pub(super) fn marker_char(index: usize) -> char {
    MARKERS[index % MARKERS.len()].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_wrap_around() {
        assert_eq!(color(Tint::Palette(0)), color(Tint::Palette(10)));
        assert_ne!(color(Tint::Palette(0)), color(Tint::Palette(8)));
        assert_eq!(marker(1), marker(11));
        assert_eq!(marker_char(2), '▲');
    }

    #[test]
    fn the_scale_grows_lighter() {
        let light = |place| {
            let (r, g, b) = color(Tint::Scale(place));
            0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
        };
        let steps: Vec<f64> = (0..=20).map(|step| light(f64::from(step) / 20.0)).collect();
        assert!(steps.is_sorted(), "{steps:?}");
        assert_eq!(color(Tint::Scale(0.0)), SCALE[0].0);
        assert_eq!(color(Tint::Scale(1.0)), SCALE[5].0);
        assert_eq!(terminal_color(Tint::Scale(1.0)), 178);
    }
}
