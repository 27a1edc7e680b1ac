//! What a standard stream's terminal can do, by the usual conventions: <https://no-color.org>,
//! <https://bixense.com/clicolors/>, and `TERM=dumb` for one that only writes line after line.

use std::io::IsTerminal;

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandardStream {
    /// Results.
    Output,
    /// What is said beside them.
    Error,
}

impl StandardStream {
    /// Whether it is a terminal.
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Output => std::io::stdout().is_terminal(),
            Self::Error => std::io::stderr().is_terminal(),
        }
    }

    /// Whether it is a terminal whose cursor can be moved, so that what is there can be drawn over.
    pub(crate) fn is_drawn_over(self) -> bool {
        self.is_terminal() && is_able(&variable)
    }

    /// Whether what goes there is coloured. A notebook that takes its place shows colours, whatever
    /// terminal started it.
    pub(crate) fn is_colored(self) -> bool {
        match super::sink::output_sink() {
            Some(_) => !is_set(&variable, "NO_COLOR"),
            None => colors(self.is_terminal(), &variable),
        }
    }
}

/// Finds an environment variable.
pub(super) type Variable<'a> = dyn Fn(&str) -> Option<String> + 'a;

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// What is empty counts as not set.
fn is_set(variable: &Variable<'_>, name: &str) -> bool {
    variable(name).is_some_and(|value| !value.is_empty())
}

/// Whether the terminal can do more than write line after line.
fn is_able(variable: &Variable<'_>) -> bool {
    is_set(variable, "TERM") && !is_dumb(variable)
}

/// Whether the terminal can only write line after line.
pub(super) fn is_dumb(variable: &Variable<'_>) -> bool {
    variable("TERM").is_some_and(|term| term.eq_ignore_ascii_case("dumb"))
}

fn colors(terminal: bool, variable: &Variable<'_>) -> bool {
    let is_zero = |name: &str| variable(name).is_some_and(|value| value == "0");
    if is_set(variable, "NO_COLOR") {
        return false;
    }
    if is_set(variable, "CLICOLOR_FORCE") && !is_zero("CLICOLOR_FORCE") {
        return true;
    }
    terminal && is_able(variable) && !is_zero("CLICOLOR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_conventions() {
        let with = |terminal: bool, variables: &[(&str, &str)]| {
            let find = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            colors(terminal, &find)
        };
        let term = ("TERM", "xterm");
        assert!(with(true, &[term]));
        assert!(!with(false, &[term]));
        // Set and not empty.
        assert!(!with(true, &[term, ("NO_COLOR", "1")]));
        assert!(!with(true, &[term, ("NO_COLOR", "0")]));
        assert!(with(true, &[term, ("NO_COLOR", "")]));
        for poor in [&[][..], &[("TERM", "")], &[("TERM", "dumb")], &[term, ("CLICOLOR", "0")]] {
            assert!(!with(true, poor), "{poor:?}");
        }
        let force = ("CLICOLOR_FORCE", "1");
        assert!(with(false, &[force]) && with(true, &[("TERM", "dumb"), force]));
        assert!(!with(false, &[("CLICOLOR_FORCE", "0")]) && !with(false, &[("CLICOLOR_FORCE", "")]));
        assert!(!with(true, &[term, force, ("NO_COLOR", "1")]));
    }
}
