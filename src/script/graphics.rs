//! Pictures in terminals that can show them: the Kitty and the iTerm2 protocol, and Sixel.
//!
//! The terminal's own variables tell which one it knows; `KELVIN_GRAPHICS` (kitty, iterm2, sixel,
//! none) overrules them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::painted::Painted;
use super::sink::{Shown, output_sink};
use super::terminal::{StandardStream, Variable, is_dumb};
use crate::visible::visible;

/// The protocol by which a terminal takes pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// <https://sw.kovidgoyal.net/kitty/graphics-protocol/>
    Kitty,
    /// <https://iterm2.com/documentation-images.html>
    Iterm2,
    /// <https://vt100.net/docs/vt3xx-gp/chapter14.html>
    Sixel,
}

/// The protocol of the terminal that standard output is; none: it shows characters only.
pub(super) fn protocol() -> Option<Protocol> {
    StandardStream::Output.is_terminal().then(|| chosen(&|name| std::env::var(name).ok())).flatten()
}

fn chosen(variable: &Variable<'_>) -> Option<Protocol> {
    if let Some(asked) = variable("KELVIN_GRAPHICS") {
        return match asked.as_str() {
            "kitty" => Some(Protocol::Kitty),
            "iterm2" => Some(Protocol::Iterm2),
            "sixel" => Some(Protocol::Sixel),
            _ => None,
        };
    }
    // A multiplexer between the program and the terminal passes neither on.
    if is_dumb(variable) || variable("TMUX").is_some() || variable("STY").is_some() {
        return None;
    }
    let (program, kind) =
        (variable("TERM_PROGRAM").unwrap_or_default(), variable("TERM").unwrap_or_default());
    if variable("KITTY_WINDOW_ID").is_some() || kind.contains("kitty") || kind.contains("ghostty") {
        return Some(Protocol::Kitty);
    }
    if ["iTerm.app", "WezTerm", "vscode"].contains(&program.as_str()) {
        return Some(Protocol::Iterm2);
    }
    let sixel = ["foot", "mlterm", "contour", "yaft"].iter().any(|name| kind.starts_with(name));
    (sixel || variable("WT_SESSION").is_some() || variable("KONSOLE_VERSION").is_some())
        .then_some(Protocol::Sixel)
}

/// Pixels by rows, red, green and blue.
pub(super) struct Picture {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

impl Picture {
    /// The same with each pixel `times` as wide and high.
    fn enlarged(&self, times: usize) -> Self {
        let (width, height) = (self.width * times, self.height * times);
        let rgb = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| self.pixel(x / times, y / times))
            .collect();
        Self { width, height, rgb }
    }

    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// A PNG file's bytes; none where it cannot be made.
    fn png(&self) -> Option<Vec<u8>> {
        use image::{ExtendedColorType::Rgb8, ImageEncoder, codecs::png::PngEncoder};
        let mut bytes = Vec::new();
        let size = (self.width as u32, self.height as u32);
        PngEncoder::new(&mut bytes).write_image(&self.rgb, size.0, size.1, Rgb8).ok()?;
        Some(bytes)
    }

    /// Two pixels in each character, one above the other; without colours a pixel is two characters
    /// of a scale of greys.
    fn characters(&self, color: bool) -> String {
        const GREYS: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];
        if !color {
            let grey = |[r, g, b]: [u8; 3]| {
                // Luma of ITU-R BT.601.
                let light = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
                GREYS[(light / 255.0 * 9.0).round() as usize]
            };
            let line =
                |y| (0..self.width).flat_map(|x| [grey(self.pixel(x, y)); 2]).collect::<String>() + "\n";
            return (0..self.height).map(line).collect();
        }
        let mut text = String::new();
        for y in (0..self.height).step_by(2) {
            for x in 0..self.width {
                let [r, g, b] = self.pixel(x, y);
                let [s, t, u] = if y + 1 < self.height { self.pixel(x, y + 1) } else { [0; 3] };
                text += &format!("\x1b[38;2;{r};{g};{b}m\x1b[48;2;{s};{t};{u}m▀");
            }
            text += "\x1b[0m\n";
        }
        text
    }

    /// Shows it with a line below it: as a picture where that can be, else with characters.
    pub(super) fn show(&self, caption: &str) {
        /// Pixels of a picture's shorter side, at least.
        const VISIBLE: usize = 128;
        /// The same of characters.
        const LEGIBLE: usize = 16;
        let times = |side: usize| side.div_ceil(self.width.min(self.height).max(1)).max(1);
        let large = || self.enlarged(times(VISIBLE));
        let text = |color| {
            let times = if color { times(LEGIBLE) } else { 1 };
            self.enlarged(times).characters(color) + &*visible(caption)
        };
        if let Some(output) = output_sink() {
            return output.show(Shown { text: text(false), png: large().png(), ..Shown::default() });
        }
        match protocol().zip(large().png()) {
            Some((protocol, png)) => {
                Painted::own(format!("{}\n{}", protocol.inline(&png), visible(caption))).print();
            }
            None => Painted::own(text(StandardStream::Output.is_colored())).print(),
        }
    }
}

/// Bytes of base64 that Kitty takes at once.
const CHUNK: usize = 4096;

impl Protocol {
    /// What shows a PNG at the cursor.
    pub(super) fn inline(self, png: &[u8]) -> String {
        let text = BASE64_STANDARD.encode(png);
        match self {
            Self::Sixel => sixel(png).unwrap_or_default(),
            Self::Iterm2 => format!("\x1b]1337;File=inline=1;size={}:{text}\x07", png.len()),
            Self::Kitty => {
                let chunks: Vec<&str> = text
                    .as_bytes()
                    .chunks(CHUNK)
                    .filter_map(|chunk| std::str::from_utf8(chunk).ok())
                    .collect();
                let last = chunks.len().saturating_sub(1);
                let part = |(at, chunk): (usize, &&str)| {
                    let head = if at == 0 { "a=T,f=100," } else { "" };
                    format!("\x1b_G{head}m={};{chunk}\x1b\\", u8::from(at < last))
                };
                chunks.iter().enumerate().map(part).collect()
            }
        }
    }
}

/// A PNG as Sixel; none where it is no PNG.
fn sixel(png: &[u8]) -> Option<String> {
    let picture = image::load_from_memory_with_format(png, image::ImageFormat::Png).ok()?.to_rgba8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    icy_sixel::SixelImage::try_from_rgba(picture.into_raw(), width, height).ok()?.encode().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_says_what_it_shows() {
        let with = |variables: &[(&str, &str)]| {
            let find = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            chosen(&find)
        };
        assert_eq!(with(&[("TERM", "xterm-kitty")]), Some(Protocol::Kitty));
        assert_eq!(with(&[("TERM_PROGRAM", "WezTerm")]), Some(Protocol::Iterm2));
        assert_eq!(with(&[("TERM", "foot")]), Some(Protocol::Sixel));
        assert_eq!(with(&[("TERM", "xterm-256color")]), None);
        assert_eq!(with(&[("TERM", "xterm-kitty"), ("TMUX", "x")]), None);
        assert_eq!(with(&[("TERM", "dumb"), ("TERM_PROGRAM", "vscode")]), None);
        assert_eq!(with(&[("TERM", "xterm-kitty"), ("KELVIN_GRAPHICS", "none")]), None);
    }

    #[test]
    fn a_long_picture_comes_in_chunks() {
        let shown = Protocol::Kitty.inline(&vec![7; 10_000]);
        let parts: Vec<&str> = shown.split_terminator("\x1b\\").collect();
        assert_eq!(parts.len(), 4);
        assert!(parts[0].starts_with("\x1b_Ga=T,f=100,m=1;") && parts[3].starts_with("\x1b_Gm=0;"));
        let text: String = parts.iter().map(|part| part.split_once(';').unwrap().1).collect();
        assert_eq!(BASE64_STANDARD.decode(text).unwrap(), vec![7; 10_000]);
        assert_eq!(Protocol::Iterm2.inline(b"abc"), "\x1b]1337;File=inline=1;size=3:YWJj\x07");
    }

    #[test]
    fn a_picture_is_shown_in_every_way() {
        let picture =
            Picture { width: 2, height: 2, rgb: vec![0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255] };
        assert_eq!(picture.characters(false), "  @@\n--..\n");
        assert_eq!(picture.characters(true).matches('▀').count(), 2);
        let png = picture.enlarged(8).png().unwrap();
        let read = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!((read.width(), read.get_pixel(15, 0).0), (16, [255; 3]));
        let shown = Protocol::Sixel.inline(&png);
        assert!(shown.starts_with("\x1bP") && shown.ends_with("\x1b\\"), "{shown:?}");
    }
}
