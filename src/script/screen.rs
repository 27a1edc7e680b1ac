//! How wide and high standard output is, and lines that fit it.

use super::sink::output_sink;

/// Columns and rows of the terminal that standard output is.
fn screen() -> Option<(usize, usize)> {
    // SAFETY: the call only fills the structure, which lives on this stack.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) == 0).then_some(size)
    };
    size.filter(|size| size.ws_col > 0).map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// Characters of a line on standard output.
pub(crate) fn width() -> usize {
    /// Where output goes to a file.
    const PIPED: usize = 160;
    /// In a notebook.
    const TAKEN: usize = 100;
    if output_sink().is_some() {
        return TAKEN;
    }
    screen().map_or(PIPED, |(columns, _)| columns)
}

/// A line, cut between words so that it fits a line of standard output, and is no wider than what
/// is read well; what follows is indented.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    /// Longer lines are hard to follow.
    const WIDEST: usize = 110;
    let width = width().min(WIDEST).max(indent + 20);
    let mut lines: Vec<String> = Vec::new();
    let mut line = text[..text.len() - text.trim_start().len()].to_owned();
    // Spaces that align the first line stay.
    for word in text.trim_start().split_inclusive(' ') {
        let full = line.chars().count() + word.trim_end().chars().count() > width;
        if full && !line.trim().is_empty() {
            lines.push(line.trim_end().to_owned());
            line = " ".repeat(indent);
        }
        line += word;
    }
    lines.push(line.trim_end().to_owned());
    lines.join("\n")
}

/// Lines of the terminal that standard output is.
pub(super) fn rows() -> Option<usize> {
    screen().map(|(_, rows)| rows).filter(|rows| *rows > 0)
}
