//! Where data sets are found: `NAME/` in the data folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The variable that names the data folder.
pub const DATA_VARIABLE: &str = "KELVIN_DATA";

/// The data folder: the one given, else what `KELVIN_DATA` names, else `kelvin` under the user's
/// data (`$XDG_DATA_HOME`, which is `~/.local/share`).
pub fn data_dir(given: Option<&Path>) -> Result<PathBuf> {
    decide(given, |name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn decide(given: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if let Some(named) = variable(DATA_VARIABLE) {
        return Ok(crate::home::expand(PathBuf::from(named)));
    }
    // A relative folder there is to be ignored, says the XDG base directory specification.
    let share = variable("XDG_DATA_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let share = share.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".local/share")));
    share.map(|share| share.join("kelvin")).ok_or_else(|| {
        Error::invalid(format!(
            "there is no home folder to look for data in; name one: --data-dir PATH, or the variable {DATA_VARIABLE}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_comes_before_the_variable_and_that_before_the_home() {
        let found = |given: Option<&str>, variables: &[(&str, &str)]| {
            let look = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            };
            decide(given.map(Path::new), look).map(|path| path.to_string_lossy().into_owned())
        };
        let all = [("KELVIN_DATA", "/data"), ("XDG_DATA_HOME", "/share"), ("HOME", "/home/u")];
        assert_eq!(found(Some("here"), &all).unwrap(), "here");
        assert_eq!(found(None, &all).unwrap(), "/data");
        assert_eq!(found(None, &all[1..]).unwrap(), "/share/kelvin");
        assert_eq!(found(None, &all[2..]).unwrap(), "/home/u/.local/share/kelvin");
        let relative = [("XDG_DATA_HOME", "share"), ("HOME", "/home/u")];
        assert_eq!(found(None, &relative).unwrap(), "/home/u/.local/share/kelvin");
        assert!(found(None, &[]).unwrap_err().to_string().contains("--data-dir"));
    }
}
