//! What takes the output of scripts in place of the standard streams: a notebook, for instance.

use std::cell::RefCell;
use std::rc::Rc;

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

/// Takes output in place of the standard streams. Its lines hold no codes but kelvin's own colours.
pub trait Output {
    /// A line that is printed.
    fn print(&self, text: &str);
    /// A line that is said beside the results.
    fn tell(&self, text: &str);
    /// Something that is drawn.
    fn show(&self, shown: Shown);
    /// A line of progress, which takes the place of the one before; after the `last` one another
    /// begins.
    fn progress(&self, text: &str, last: bool);
    /// Takes away what was shown so far: at once, or when something else is there to be shown.
    fn clear(&self, wait: bool);
}

thread_local! {
    static OUTPUT: RefCell<Option<Rc<dyn Output>>> = const { RefCell::new(None) };
}

/// Sends the output of this thread to `output` from now on; none: to the standard streams. Returns
/// the output of before.
pub fn redirect(output: Option<Rc<dyn Output>>) -> Option<Rc<dyn Output>> {
    OUTPUT.replace(output)
}

/// Where this thread's output goes; none: to the standard streams.
pub(crate) fn output_sink() -> Option<Rc<dyn Output>> {
    OUTPUT.with_borrow(Clone::clone)
}

/// What `work` draws, where it draws something and prints nothing.
pub(super) fn drawn(work: impl FnOnce()) -> Option<Shown> {
    #[derive(Default)]
    struct Captured(RefCell<Option<Shown>>);
    impl Output for Captured {
        fn print(&self, _: &str) {}
        fn tell(&self, _: &str) {}
        fn show(&self, shown: Shown) {
            self.0.replace(Some(shown));
        }
        fn progress(&self, _: &str, _: bool) {}
        fn clear(&self, _: bool) {}
    }
    let taken = Rc::new(Captured::default());
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
