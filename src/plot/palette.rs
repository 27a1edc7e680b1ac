//! Colours and marker shapes.

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

/// Okabe and Ito's palette. Yellow comes last because it is faint on white.
const PALETTE: [(Rgb, u8); 8] = [
    ((0xe6, 0x9f, 0x00), 214),
    ((0x56, 0xb4, 0xe9), 74),
    ((0x00, 0x9e, 0x73), 36),
    ((0xd5, 0x5e, 0x00), 166),
    ((0xcc, 0x79, 0xa7), 175),
    ((0x00, 0x72, 0xb2), 32),
    ((0x00, 0x00, 0x00), 246),
    ((0xf0, 0xe4, 0x42), 227),
];

/// The palette's colour number `index`.
pub(super) fn color(index: usize) -> Rgb {
    PALETTE[index % PALETTE.len()].0
}

/// The terminal's colour, of its 256, nearest to the palette's colour number `index`.
pub(super) fn terminal_color(index: usize) -> u8 {
    PALETTE[index % PALETTE.len()].1
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

const MARKERS: [(Marker, char); 10] = [
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
        assert_eq!(color(0), color(8));
        assert_eq!(marker(1), marker(11));
        assert_eq!(marker_char(2), '▲');
    }
}
