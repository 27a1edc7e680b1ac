//! The texts of scripts, as they are read.

use std::io::Read;
use std::path::Path;

use crate::door;
use crate::error::{Error, Result};

/// Bytes of a script: beyond that it is no script.
pub(super) const LONGEST: u64 = door::TEXT;

/// The text of a script's file. `#!/usr/bin/env kelvin` becomes a comment of the same length, and a
/// byte-order mark goes.
///
/// # Errors
///
/// Where it cannot be read, is larger than any script or not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    let (file, _) = door::open(path, u64::MAX).map_err(|error| match error {
        Error::Invalid(found) => Error::invalid(format!("{found}; expected a script")),
        error => error,
    })?;
    all(file, &path.display().to_string())
}

/// The text of a script that standard input gives.
///
/// # Errors
///
/// As of [`read`].
pub fn read_input() -> Result<String> {
    all(std::io::stdin().lock(), "standard input")
}

fn all(file: impl Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| Error::io(name, error))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Error::invalid(format!("{name}: {}", too_long(None))));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let (good, bad) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let good = String::from_utf8_lossy(good);
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Error::invalid(format!(
            "{name}:{line}:{column}: expected a script in UTF-8, found the byte 0x{:02X}; convert it, with \
             iconv -f latin1 -t utf-8 for instance",
            bad.first().copied().unwrap_or_default()
        ))
    })?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(match text.strip_prefix("#!") {
        Some(rest) => format!("//{rest}"),
        None => text,
    })
}

/// What is said of a text that is longer than [`LONGEST`].
pub(super) fn too_long(bytes: Option<usize>) -> String {
    let found = bytes.map_or("more".to_owned(), |bytes| format!("{} MB", bytes >> 20));
    format!(
        "expected a script of at most {} MB, found {found}; data belongs into files, which parquet(path) reads",
        LONGEST >> 20
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_utf8_and_no_longer_than_scripts_are() {
        let read = |bytes: &[u8]| all(bytes, "x.rhai").map_err(|error| error.to_string());
        assert_eq!(read("\u{feff}#!/bin/é\n1".as_bytes()).unwrap(), "///bin/é\n1");
        let error = read(b"1;\n\"\xc3\xa9caf\xe9\"").unwrap_err();
        assert!(error.starts_with("x.rhai:2:6: ") && error.contains("0xE9"), "{error}");
        let error = all(std::io::repeat(b' '), "zeros").unwrap_err().to_string();
        assert!(error.starts_with("zeros: expected a script of at most 16 MB"), "{error}");
    }
}
