//! `~` in paths.

use std::path::{Path, PathBuf};

/// A path as it was written, with `~` at its beginning for the home folder. Shells write that out
/// themselves, but not within quotes or behind an equals sign.
pub fn expand(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) if !home.as_os_str().is_empty() => home.join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_folder_at_the_beginning_only() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(expand("~"), home.join(""));
        assert_eq!(expand("~/a/b.parquet"), home.join("a/b.parquet"));
        for other in ["a/~/b", "./~", "~name/a", "/~", "a~"] {
            assert_eq!(expand(other), Path::new(other), "{other}");
        }
    }
}
