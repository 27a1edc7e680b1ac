//! The embedded font and the widths of its texts.
//!
//! `assets/DejaVuSans-subset.ttf` is DejaVu Sans 2.37 with the characters that figures need:
//! Latin, Greek, superscripts, subscripts, arrows, common operators and geometric shapes. Its
//! licence lies beside it. SVG files name the font and do not hold it.

use std::sync::OnceLock;

use plotters::style::{FontFamily, FontStyle, IntoFont, register_font};

use crate::visible::is_hidden;

/// The name under which plotters knows the embedded font.
pub(super) const EMBEDDED: FontFamily<'static> = FontFamily::SansSerif;
/// The families that an SVG viewer tries, in this order.
pub(super) const SVG_FAMILIES: FontFamily<'static> = FontFamily::Name("DejaVu Sans, Arial, sans-serif");
/// What plotters calls the size of the embedded font, from ascent to descent, per em.
pub(super) const HEIGHT_PER_EM: f64 = 1.164;

static SUBSET: &[u8] = include_bytes!("assets/DejaVuSans-subset.ttf");

/// Makes the embedded font known to plotters, once; tells whether that worked.
pub(super) fn ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| register_font(EMBEDDED.as_str(), FontStyle::Normal, SUBSET).is_ok())
}

/// The width in pixels of a text in letters of `size` pixels per em.
pub(super) fn width(text: &str, size: f64) -> f64 {
    // plotters gives whole numbers, so measure large letters.
    const EM: f64 = 1000.0;
    /// Letters that are measured: no place has room for more.
    const MEASURED: usize = 2000;
    let end = text.char_indices().nth(MEASURED).map_or(text.len(), |(at, _)| at);
    let text = &text[..end];
    let measured = if ready() {
        let font = (EMBEDDED, EM * HEIGHT_PER_EM).into_font();
        font.layout_box(text).ok().map(|(_, (right, _))| right)
    } else {
        None
    };
    let ems = match measured {
        Some(right) => f64::from(right) / EM,
        None => 0.62 * text.chars().count() as f64,
    };
    ems * size
}

/// The text itself, or its beginning with "…" when it is wider than `room` pixels. The beginning is
/// looked for by halves: a longer one is wider.
pub(super) fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_string();
    }
    let shorter = |end: usize| format!("{}…", text[..end].trim_end());
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    match ends.partition_point(|&end| width(&shorter(end), size) <= room) {
        0 => String::new(),
        fitting => shorter(ends[fitting - 1]),
    }
}

/// The text in one line, without characters that XML forbids or that nobody sees; those that join
/// letters stay.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_control() => ' ',
            '\u{200c}' | '\u{200d}' => c,
            '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            c if is_hidden(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_and_shortens() {
        assert!(ready());
        let one = width("m", 16.0);
        assert!((10.0..22.0).contains(&one), "{one}");
        assert_eq!(fit("short", 16.0, 100.0), "short");
        let cut = fit("a text that is much too long", 16.0, 100.0);
        assert!(cut.ends_with('…') && width(&cut, 16.0) <= 100.0, "{cut}");
        assert_eq!(clean("a\nb\u{7}c\u{202e}d"), "a b c\u{fffd}d");
        // The longest beginning: one letter more would not fit.
        let text = "a text that is much too long";
        let kept = cut.chars().count() - 1;
        let longer: String = text.chars().take(kept + 1).collect();
        assert!(width(&format!("{}…", longer.trim_end()), 16.0) > 100.0, "{cut}");
        assert_eq!(fit("wide", 16.0, 1.0), "");
    }

    /// Once a letter was taken off after the other, and all that was left measured.
    #[test]
    fn a_text_of_a_million_letters_is_cut_at_once() {
        let long = "a title ".repeat(125_000);
        let cut = fit(&long, 16.0, 700.0);
        assert!(cut.ends_with('…') && (600.0..=700.0).contains(&width(&cut, 16.0)), "{cut}");
    }

    #[test]
    fn has_the_letters_figures_need() {
        let missing = width("\u{4e2d}", 16.0);
        for letter in "ΔλµΣβ²⁻⁹₀−×·≈≤∞→√∂∇…–●■▲◆▼○".chars() {
            // The box for a missing letter has one width; few real letters share it.
            assert_ne!(width(&letter.to_string(), 16.0), missing, "{letter}");
        }
    }
}
