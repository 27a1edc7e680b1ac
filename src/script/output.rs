//! Where what scripts print, say and show goes: the standard streams, or whoever took their place, such as a notebook.

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::rc::Rc;
use std::sync::OnceLock;

use crate::error::{Error, Result};

use super::painted::Painted;
use super::terminal::Stream;
use crate::visible::visible;

/// A value in the forms in which it can be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Characters.
    pub text: String,
    /// HTML, of tables.
    pub html: Option<String>,
    /// An SVG file's text, of figures.
    pub svg: Option<String>,
    /// A PNG file's bytes, of images.
    pub png: Option<Vec<u8>>,
}

/// Takes what would go to the standard streams. Its lines are visible, and may have kelvin's own
/// colours.
pub trait Output {
    /// A line that is printed.
    fn print(&self, text: &str);
    /// A line that is said beside the results.
    fn tell(&self, text: &str);
    /// Something that is drawn.
    fn show(&self, shown: Shown);
    /// A line of progress, which takes the place of the one before; after the `last` one another begins.
    fn progress(&self, text: &str, last: bool);
    /// Takes away what was shown so far: at once, or when something else is there to be shown.
    fn clear(&self, wait: bool);
}

thread_local! {
    static OUTPUT: RefCell<Option<Rc<dyn Output>>> = const { RefCell::new(None) };
}

/// Sends what this thread prints, says and shows to `output` from now on; none: to the standard streams. Returns who had it before.
pub fn redirect(output: Option<Rc<dyn Output>>) -> Option<Rc<dyn Output>> {
    OUTPUT.replace(output)
}

/// Who takes what this thread shows; none: the standard streams.
pub(crate) fn output_sink() -> Option<Rc<dyn Output>> {
    OUTPUT.with_borrow(Clone::clone)
}

/// Why standard output takes no more: what the system said, or nothing where nobody reads any more.
static REFUSED: OnceLock<Option<String>> = OnceLock::new();

/// Prints a line on standard output: as it is into a file or a pipe, else made visible.
pub(crate) fn print(text: &str) {
    if output_sink().is_none() && !Stream::Output.is_terminal() {
        write_line(text);
    } else {
        write_line(&visible(text));
    }
}

/// Writes a line to standard output. Where that takes no more, what runs is stopped.
pub(super) fn write_line(text: &str) {
    if let Some(output) = output_sink() {
        output.print(text);
    } else if is_open() {
        note_written(writeln!(std::io::stdout(), "{text}"));
    }
}

/// Whether standard output took everything so far.
pub(crate) fn is_open() -> bool {
    REFUSED.get().is_none()
}

/// Takes note of what standard output said to something that was written to it.
pub(crate) fn note_written(written: std::io::Result<()>) {
    if let Err(error) = written {
        REFUSED.get_or_init(|| (error.kind() != ErrorKind::BrokenPipe).then(|| error.to_string()));
        crate::interrupt::raise();
    }
}

/// Writes out all that was printed.
///
/// # Errors
///
/// What was printed is not all there: a full disk, for instance. That nobody reads any more is
/// none.
pub(crate) fn finish_output() -> Result<()> {
    if is_open() {
        note_written(std::io::stdout().flush());
    }
    match REFUSED.get() {
        Some(Some(error)) => Err(Error::invalid(format!("standard output: {error}"))),
        Some(None) | None => Ok(()),
    }
}

/// Clears the screen, where there is one; a notebook may `wait` for what comes next.
pub(crate) fn clear_screen(wait: bool) {
    if let Some(output) = output_sink() {
        output.clear(wait);
    } else if Stream::Output.is_drawn_over() {
        Painted::own("\x1b[H\x1b[2J".to_owned()).print();
    }
}

/// Says something on standard error, if anybody listens: a sweep goes on when its terminal is gone.
pub(crate) fn tell(text: &str) {
    say_line(&visible(text));
}

/// Writes a line to standard error, in the same way.
pub(super) fn say_line(text: &str) {
    if let Some(output) = output_sink() {
        output.tell(text);
    } else {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// What `work` draws, where it draws something and prints nothing.
pub(super) fn drawn(work: impl FnOnce()) -> Option<Shown> {
    #[derive(Default)]
    struct Taken(RefCell<Option<Shown>>);
    impl Output for Taken {
        fn print(&self, _: &str) {}
        fn tell(&self, _: &str) {}
        fn show(&self, shown: Shown) {
            self.0.replace(Some(shown));
        }
        fn progress(&self, _: &str, _: bool) {}
        fn clear(&self, _: bool) {}
    }
    let taken = Rc::new(Taken::default());
    /// Gives back what was taken, also where `work` panics.
    struct Back(Option<Rc<dyn Output>>);
    impl Drop for Back {
        fn drop(&mut self) {
            redirect(self.0.take());
        }
    }
    let back = Back(redirect(Some(Rc::clone(&taken) as Rc<dyn Output>)));
    work();
    drop(back);
    taken.0.take()
}
