//! Text with codes of terminals in it that kelvin itself put there.

use super::output;
use crate::visible::visible;

/// Text that terminals are given as it is: what it tells was made visible, and its codes are
/// kelvin's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Painted(String);

impl Painted {
    /// Text of any origin, without codes.
    pub fn plain(text: &str) -> Self {
        Self(visible(text).into_owned())
    }

    /// Text with codes. The caller has made the text between them visible.
    pub(super) fn own(text: String) -> Self {
        Self(text)
    }

    /// The text with its codes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without its colours.
    pub fn uncolored(&self) -> String {
        let mut parts = self.0.split("\x1b[");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
    }

    /// Prints it on standard output, as [`super::print`] does text.
    pub(crate) fn print(&self) {
        output::write_line(&self.0);
    }

    /// Writes it to standard error, as [`super::tell`] does text.
    pub(crate) fn tell(&self) {
        output::tell_line(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kelvins_own_codes_are_codes() {
        assert_eq!(Painted::plain("\x1b[31mred").as_str(), "\\x1b[31mred");
        let own = Painted::own("\x1b[31mError:\x1b[0m wrong \\x1b[2J".to_owned());
        assert_eq!(own.uncolored(), "Error: wrong \\x1b[2J");
    }
}
