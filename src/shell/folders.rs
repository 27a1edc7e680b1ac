//! Folders that are named by options or by the surroundings.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::home;

/// Where data sets are found.
#[derive(clap::Args)]
pub(super) struct DataFolder {
    /// The folder of data sets; default: $KELVIN_DATA, or ~/.local/share/kelvin
    #[arg(long, value_name = "PATH", value_parser = path())]
    pub data_dir: Option<PathBuf>,
}

impl DataFolder {
    /// The folder that was named before the command, unless there is one after it.
    pub fn or(&mut self, before: Option<PathBuf>) {
        self.data_dir = self.data_dir.take().or(before);
    }
}

/// Paths of options, with the home folder for `~`: behind an equals sign no shell writes it out.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(home::expand)
}

/// kelvin's folder below the one that a variable names, else below one of the home folder, by the
/// XDG base directories.
pub(super) fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(below_home));
    let folder = std::env::var_os(variable).map(PathBuf::from).or_else(home)?.join("kelvin");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder)
}
