//! Draws figures with characters, for a terminal.

use super::drawable::{DataPosition, Drawable};
use super::figure::{Figure, Key, KeySample, LineStyle, Panel};
use super::font;
use super::keys;
use super::palette;
use super::scale::{Scale, Ticks};

const NARROWEST: usize = 30;
const LOWEST: usize = 6;

/// Points in colour that get a shape each; more are dots.
const SHAPED: usize = 400;

/// A panel must be at least this wide to stand beside another.
const BESIDE: usize = 60;
/// Columns between panels.
const BETWEEN: usize = 2;

/// Draws the panels of a figure with braille dots, in as many columns as the width has room for.
///
/// `width` is the width of the whole in characters, at least 30; no line is longer. `height` is the
/// number of lines from the top to the bottom edge of a panel's frame, at least 6; titles, axis
/// labels and legend add lines. With `color`, ANSI codes colour the dots, and few points have the
/// legend's shapes; without it, points of different groups appear as characters of their own, so
/// that they can be told apart. A legend that panels share stands once, at the end.
pub fn text(figure: &Figure, width: usize, height: usize, color: bool) -> String {
    let width = width.max(NARROWEST);
    let height = height.max(LOWEST);
    let columns = figure.columns_used().min((width + BETWEEN) / (BESIDE + BETWEEN)).max(1);
    let own = (width + BETWEEN) / columns - BETWEEN;
    let shared = keys::shared(figure);
    let panels: Vec<Vec<String>> = figure
        .panels
        .iter()
        .map(|panel| {
            let mut lines = Vec::new();
            draw_panel(panel, &keys::own(panel, &shared), (own, height), color, &mut lines);
            lines
        })
        .collect();
    let mut lines = Vec::new();
    if let Some(title) = &figure.title {
        lines.push(centered(title, 0, width));
    }
    for row in panels.chunks(columns) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(side_by_side(row, own));
    }
    lines.extend(legend(&shared, width, color));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// The lines of panels, each `width` columns wide, in one row.
fn side_by_side(panels: &[Vec<String>], width: usize) -> Vec<String> {
    let top = |panel: &Vec<String>| panel.iter().position(|line| line.contains('┌')).unwrap_or(0);
    // Frames begin at the same height, whatever stands above them.
    let lowest = panels.iter().map(top).max().unwrap_or(0);
    let line = |panel: &Vec<String>, number: usize| {
        let number = number.checked_sub(lowest - top(panel));
        number.and_then(|number| panel.get(number)).cloned().unwrap_or_default()
    };
    let rows = panels.iter().map(|panel| panel.len() + lowest - top(panel)).max().unwrap_or(0);
    (0..rows)
        .map(|row| {
            let mut joined = String::new();
            for (number, panel) in panels.iter().enumerate() {
                let room = number * (width + BETWEEN);
                let gap = room - visible(&joined).min(room);
                let next = line(panel, row);
                if !next.is_empty() {
                    joined += &" ".repeat(gap);
                    joined += &next;
                }
            }
            joined
        })
        .collect()
}

/// How many characters of a line are seen: those outside of ANSI codes.
fn visible(line: &str) -> usize {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().map_or(0, length);
    first + parts.map(|part| part.split_once('m').map_or(0, |(_, rest)| length(rest))).sum::<usize>()
}

fn draw_panel(
    panel: &Panel,
    keys: &[Key],
    (width, height): (usize, usize),
    color: bool,
    lines: &mut Vec<String>,
) {
    let drawable = Drawable::new(panel);
    let (x, y) = drawable.scales(panel);
    let empty = drawable.all().next().is_none();
    let rows = height - 2;
    let y_ticks = match empty {
        true => Ticks::default(),
        false => y.ticks((rows / 3).max(3)),
    };
    let widest = y_ticks.labelled.iter().map(|t| length(&t.1)).max();
    // Very long tick texts must not squeeze the frame.
    let gutter = widest.unwrap_or(0).min(width / 3);
    let columns = width - gutter - 3;

    if let Some(title) = &panel.title {
        lines.push(centered(title, gutter + 1, width));
    }
    let y_label = font::clean(&panel.y.label);
    if !y_label.trim().is_empty() {
        lines.push(cut(&y_label, width));
    }

    let mut dots = Dots::new(columns, rows);
    draw_data(panel, &drawable, x, y, color, &mut dots);
    if empty {
        dots.write("no data");
    }

    let margin = " ".repeat(gutter + 1);
    lines.push(format!("{margin}┌{}┐", "─".repeat(columns)));
    for row in 0..rows {
        let tick = y_ticks.labelled.iter().find(|(value, _)| {
            let from_top = (1.0 - y.fraction(*value)) * rows as f64;
            (from_top as usize).min(rows - 1) == row
        });
        let edge = match tick {
            Some((_, text)) => format!("{:>gutter$} ┤", cut(text, gutter)),
            None => format!("{margin}│"),
        };
        lines.push(format!("{edge}{}│", dots.row(row, color)));
    }
    let (edge, below) = match empty {
        true => ("─".repeat(columns), String::new()),
        false => bottom(x, columns, gutter + 2, width),
    };
    lines.push(format!("{margin}└{edge}┘"));
    if !below.is_empty() {
        lines.push(below);
    }
    let x_label = font::clean(&panel.x.label);
    if !x_label.trim().is_empty() {
        lines.push(centered(&x_label, gutter + 1, width));
    }
    lines.extend(legend(keys, width, color));
    if drawable.left_out > 0 {
        lines.push(cut(&format!("not drawable: {}", drawable.left_out), width));
    }
}

fn draw_data(panel: &Panel, drawable: &Drawable, x: Scale, y: Scale, color: bool, dots: &mut Dots) {
    let place = |position: &DataPosition| (x.fraction(position.0), y.fraction(position.1));
    let draw_lines = |mean: bool, dots: &mut Dots| {
        for (line, runs) in panel.lines.iter().zip(&drawable.lines) {
            if line.style.is_mean() != mean {
                continue;
            }
            for run in runs {
                for pair in run.windows(2) {
                    dots.line(place(&pair[0]), place(&pair[1]), line_color(line.style));
                }
                if let [alone] = run.as_slice() {
                    dots.dot(place(alone), line_color(line.style));
                }
            }
        }
    };
    draw_lines(false, dots);
    // Where many points lie, dots show more of them; where few do, the shapes of the legend tell
    // them apart.
    let shown: usize = drawable.points.iter().map(Vec::len).sum();
    let characters =
        if color { shown <= SHAPED } else { panel.points.iter().any(|points| points.marker > 0) };
    for (points, positions) in panel.points.iter().zip(&drawable.points) {
        if points.hidden {
            continue;
        }
        for position in positions {
            let code = palette::terminal_color(points.color);
            if characters {
                dots.character(place(position), palette::marker_char(points.marker), code);
            } else {
                dots.dot(place(position), code);
            }
        }
    }
    draw_lines(true, dots);
}

fn line_color(style: LineStyle) -> u8 {
    match style {
        LineStyle::Mean => palette::TERMINAL_MEAN,
        LineStyle::Curve(_) => palette::TERMINAL_CURVE,
        LineStyle::GroupMean(tint) | LineStyle::Thin(tint) => palette::terminal_color(tint),
    }
}

/// The bottom edge of the frame with its ticks, and the line of texts below it.
fn bottom(scale: Scale, columns: usize, left: usize, width: usize) -> (String, String) {
    let mut wanted = (columns / 10).max(3);
    let ticks = loop {
        let ticks = scale.ticks(wanted);
        let letters: usize = ticks.labelled.iter().map(|t| length(&t.1) + 2).sum();
        if letters <= columns || wanted == 3 {
            break ticks;
        }
        wanted -= 1;
    };
    let mut edge = vec!['─'; columns];
    let mut below = vec![' '; width];
    let mut free = 0;
    for (value, text) in &ticks.labelled {
        let column = ((scale.fraction(*value) * columns as f64) as usize).min(columns - 1);
        let size = length(text);
        let start = (left + column).saturating_sub(size / 2);
        let start = start.min(width.saturating_sub(size));
        // A text without room is dropped together with its mark.
        if start < free || size > width {
            continue;
        }
        edge[column] = '┬';
        for (cell, letter) in below[start..].iter_mut().zip(text.chars()) {
            *cell = letter;
        }
        free = start + size + 1;
    }
    let below: String = below.into_iter().collect();
    (edge.into_iter().collect(), below.trim_end().to_string())
}

/// The lines of a legend, wrapped to the width.
fn legend(keys: &[Key], width: usize, color: bool) -> Vec<String> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for key in keys {
        let (sample, code) = match key.sample {
            KeySample::Point(tint, marker) => {
                (palette::marker_char(marker).to_string(), palette::terminal_color(tint))
            }
            KeySample::Color(tint) => ("●".to_owned(), palette::terminal_color(tint)),
            KeySample::Line(style) if style.is_mean() => ("─•─".to_owned(), line_color(style)),
            KeySample::Line(style) => ("───".to_owned(), line_color(style)),
        };
        let label = cut(&key.label, width - length(&sample) - 1);
        let size = length(&sample) + 1 + length(&label);
        let entry = format!("{} {label}", painted(&sample, code, color));
        match lines.last_mut() {
            Some((used, line)) if *used + 3 + size <= width => {
                line.push_str("   ");
                line.push_str(&entry);
                *used += 3 + size;
            }
            _ => lines.push((size, entry)),
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

fn painted(text: &str, code: u8, color: bool) -> String {
    if color { format!("\u{1b}[38;5;{code}m{text}\u{1b}[0m") } else { text.to_string() }
}

/// A text in the middle between a column and the right end, without spaces after it.
fn centered(text: &str, left: usize, width: usize) -> String {
    let text = cut(&font::clean(text), width);
    let room = (width - left).max(length(&text));
    // A text too wide for its place begins further left.
    let left = width - room;
    format!("{}{text}", " ".repeat(left + (room - length(&text)) / 2))
}

/// The text, or its beginning with "…" when it has more letters than there is room.
fn cut(text: &str, room: usize) -> String {
    if length(text) <= room {
        return text.to_string();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// A character cell: a pattern of dots or one character.
#[derive(Clone, Copy, Default)]
struct Glyph {
    dots: u8,
    character: Option<char>,
    color: u8,
}

/// A sheet of cells, each with two columns and four rows of dots.
struct Dots {
    columns: usize,
    rows: usize,
    cells: Vec<Glyph>,
}

impl Dots {
    fn new(columns: usize, rows: usize) -> Self {
        Dots { columns, rows, cells: vec![Glyph::default(); columns * rows] }
    }

    /// Sets the dot at a place given as fractions from the lower left.
    fn dot(&mut self, (x, y): (f64, f64), color: u8) {
        // The bits of the braille characters, by row and column.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let column = ((x * 2.0 * self.columns as f64) as usize).min(2 * self.columns - 1);
        let row = (((1.0 - y) * 4.0 * self.rows as f64) as usize).min(4 * self.rows - 1);
        let cell = &mut self.cells[row / 4 * self.columns + column / 2];
        cell.dots |= BITS[row % 4][column % 2];
        cell.color = color;
    }

    /// Sets a character instead of dots.
    fn character(&mut self, (x, y): (f64, f64), character: char, color: u8) {
        let column = ((x * self.columns as f64) as usize).min(self.columns - 1);
        let row = (((1.0 - y) * self.rows as f64) as usize).min(self.rows - 1);
        let cell = &mut self.cells[row * self.columns + column];
        (cell.character, cell.color) = (Some(character), color);
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), color: u8) {
        let across = (to.0 - from.0).abs() * 2.0 * self.columns as f64;
        let up = (to.1 - from.1).abs() * 4.0 * self.rows as f64;
        let steps = across.max(up).ceil().max(1.0) as usize;
        for step in 0..=steps {
            let part = step as f64 / steps as f64;
            let x = from.0 + part * (to.0 - from.0);
            let y = from.1 + part * (to.1 - from.1);
            self.dot((x, y), color);
        }
    }

    /// Writes a text into the middle.
    fn write(&mut self, text: &str) {
        let start = self.columns.saturating_sub(length(text)) / 2;
        let first = self.rows / 2 * self.columns + start;
        for (cell, letter) in self.cells[first..].iter_mut().zip(text.chars()) {
            cell.character = Some(letter);
        }
    }

    fn row(&self, row: usize, color: bool) -> String {
        let cells = &self.cells[row * self.columns..(row + 1) * self.columns];
        cells
            .iter()
            .map(|cell| match cell {
                // Of texts nobody chose a colour.
                Glyph { character: Some(character), color: 0, .. } => character.to_string(),
                Glyph { character: Some(character), color: c, .. } => {
                    painted(&character.to_string(), *c, color)
                }
                Glyph { dots: 0, .. } => " ".to_string(),
                Glyph { dots, color: c, .. } => {
                    let braille = char::from_u32(0x2800 + u32::from(*dots)).unwrap_or(' ');
                    painted(&braille.to_string(), *c, color)
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::{Axis, Line, Points, Tint};

    fn figure() -> Figure {
        let panel = Panel {
            title: Some("panel".into()),
            x: Axis { label: "temperature".into(), log: true, shared: None },
            y: Axis { label: "gap".into(), log: false, shared: None },
            points: vec![Points {
                label: "batch 32".into(),
                xs: vec![1e-4, 1e-3, 1e-2, -1.0],
                ys: vec![0.1, 0.2, 0.4, 0.5],
                color: Tint::Palette(1),
                ..Points::default()
            }],
            lines: vec![Line {
                label: "fitted".into(),
                xs: vec![1e-4, 1e-2],
                ys: vec![0.1, 0.4],
                style: LineStyle::Curve(0),
            }],
            keys: Vec::new(),
        };
        Figure { title: Some("a title".into()), panels: vec![panel, Panel::default()], columns: 0 }
    }

    #[test]
    fn frames_have_the_width_and_height() {
        for (width, height) in [(80, 20), (30, 6), (121, 33)] {
            let drawn = text(&figure(), width, height, false);
            let lines: Vec<&str> = drawn.lines().collect();
            assert!(lines.iter().all(|line| length(line) <= width), "{drawn}");
            let framed: Vec<_> = lines.iter().filter(|line| line.ends_with(['┐', '│', '┘'])).collect();
            assert_eq!(framed.len(), 2 * height, "{drawn}");
            assert!(framed.iter().all(|line| length(line) == width), "{drawn}");
        }
    }

    #[test]
    fn shows_texts_and_data() {
        let drawn = text(&figure(), 80, 20, false);
        for part in [
            "a title",
            "panel",
            "gap",
            "temperature",
            "10⁻⁴",
            "10⁻²",
            "● batch 32",
            "─── fitted",
            "no data",
            "not drawable: 1",
            "┤",
            "┬",
        ] {
            assert!(drawn.contains(part), "{part} is missing:\n{drawn}");
        }
        assert!(drawn.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)));
        assert!(!drawn.contains('\u{1b}'));
        assert!(text(&figure(), 80, 20, true).contains("\u{1b}[38;5;74m"));
    }

    #[test]
    fn groups_without_color_have_their_own_characters() {
        let mut figure = figure();
        let mut more = figure.panels[0].points[0].clone();
        more.marker = 2;
        more.ys = vec![0.3, 0.4, 0.2, 0.1];
        figure.panels[0].points.push(more);
        let drawn = text(&figure, 60, 16, false);
        // Three points and the legend's sample.
        assert_eq!(drawn.matches('▲').count(), 4, "{drawn}");
        // In colour, too, in which they are painted.
        let drawn = text(&figure, 60, 16, true);
        assert_eq!(drawn.matches("m▲\u{1b}[0m").count(), 4, "{drawn}");
    }

    #[test]
    fn wide_terminals_hold_panels_side_by_side() {
        let mut figure = figure();
        figure.panels = vec![figure.panels[0].clone(); 6];
        figure.columns = 2;
        for color in [false, true] {
            let wide = text(&figure, 160, 12, color);
            let lines: Vec<&str> = wide.lines().collect();
            assert!(lines.iter().all(|line| visible(line) <= 160), "{wide}");
            assert_eq!(wide.matches("batch 32").count(), 1, "one legend:\n{wide}");
            let tops: Vec<&&str> = lines.iter().filter(|line| line.contains('┌')).collect();
            assert_eq!((tops.len(), tops[0].matches('┌').count()), (3, 2), "{wide}");
            // Both frames of a row end where they should, with ANSI codes or without.
            let framed = lines.iter().filter(|line| line.trim_end().ends_with(['┐', '┘']));
            assert!(framed.clone().all(|line| visible(line) == 160), "{wide}");
        }
        let narrow = text(&figure, 100, 12, false);
        assert_eq!(narrow.lines().filter(|line| line.contains('┌')).count(), 6);
    }
}
