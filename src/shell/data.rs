//! `kelvin data`: which data sets there are, and where. All of it comes from their list.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::folders::DataFolder;
use crate::data::{Place, SOURCES, SourceEntry, data_dir};
use crate::error::{Error, Result, suggestion};
use crate::script::print;

/// Prints the list, or what is known of one data set.
pub(super) fn tell_about(name: Option<&str>, folder: &DataFolder) -> Result<()> {
    let folder = data_dir(folder.data_dir.as_deref())?;
    // Relative paths would depend on where one looks from.
    let folder = std::path::absolute(&folder).map_err(|error| Error::io(&folder, error))?;
    match name {
        None => print(list(&folder).trim_end()),
        Some(name) => {
            let info = SOURCES.iter().find(|info| info.name == name).ok_or_else(|| {
                let names = SOURCES.iter().map(|info| info.name);
                Error::invalid(format!("no data set \"{name}\"; {}", suggestion(name, names)))
            })?;
            print(details(info, &folder).trim_end());
        }
    }
    Ok(())
}

/// Where a data set stands.
enum DataSetState {
    /// In the program.
    Inside,
    /// These files lie there.
    There(Vec<PathBuf>),
    /// Not there; why, where something of it is.
    Missing(Option<Error>),
    /// Anywhere: the user names its path.
    Elsewhere,
}

impl DataSetState {
    fn of(info: &'static SourceEntry, folder: &Path) -> Self {
        let path = folder.join(info.name);
        match info.place {
            Place::Inside => return Self::Inside,
            Place::Anywhere => return Self::Elsewhere,
            Place::Folder => {}
        }
        match info.in_folder(&path).and_then(|source| source.files()) {
            Ok(files) => Self::There(files),
            Err(error) => Self::Missing(path.exists().then_some(error)),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Inside => "here",
            Self::There(_) => "here",
            Self::Missing(None) => "missing",
            Self::Missing(Some(_)) => "broken",
            Self::Elsewhere => "yours",
        }
    }
}

/// `184.5 MB`.
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// `60,000`.
fn thousands(number: usize) -> String {
    indicatif::HumanCount(number as u64).to_string()
}

fn size(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum()
}

/// How to get a data set that is not there.
fn how_to_get(info: &SourceEntry) -> String {
    let bytes = info.archives.iter().map(|archive| archive.bytes).sum();
    format!("download(\"{}\") fetches {}", info.name, megabytes(bytes))
}

fn list(folder: &Path) -> String {
    let mut rows = vec![["data set", "", "images", "classes", "size", "where"].map(str::to_owned)];
    for info in SOURCES {
        let state = DataSetState::of(info, folder);
        let place = match &state {
            DataSetState::Inside => "in the program".to_owned(),
            DataSetState::There(_) => folder.join(info.name).display().to_string(),
            DataSetState::Missing(None) => how_to_get(info),
            DataSetState::Missing(Some(_)) => format!("`kelvin data {}` says what is wrong", info.name),
            DataSetState::Elsewhere => format!("{}(path)", info.name),
        };
        let number = |number: Option<usize>| number.map_or_else(|| "-".to_owned(), thousands);
        let size = match &state {
            DataSetState::There(files) => megabytes(size(files)),
            _ => "-".to_owned(),
        };
        let images = info.sizes.map(|(train, test)| train + test);
        rows.push([
            info.name.to_owned(),
            state.name().to_owned(),
            number(images),
            number(info.classes),
            size,
            place,
        ]);
    }
    let widths: Vec<usize> =
        (0..6).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = format!("data folder: {}\n\n", folder.display());
    for [name, state, images, classes, size, place] in &rows {
        let line = format!(
            "{name:0$}  {state:1$}  {images:>2$}  {classes:>3$}  {size:>4$}  {place}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        );
        text += line.trim_end();
        text += "\n";
    }
    text
}

fn details(info: &'static SourceEntry, folder: &Path) -> String {
    let mut text = format!("{}: {}\n", info.name, info.doc);
    let mut line = |what: &str, is: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {what:9} {is}");
    };
    line("source", info.origin.to_owned());
    if let Some((train, test)) = info.sizes {
        line("images", format!("{} to train on, {} to test on", thousands(train), thousands(test)));
    }
    if let Some(classes) = info.classes {
        line("classes", classes.to_string());
    }
    match DataSetState::of(info, folder) {
        DataSetState::Inside => line("where", "in the program".to_owned()),
        DataSetState::There(files) => {
            line("where", folder.join(info.name).display().to_string());
            for file in &files {
                line("file", format!("{}, {}", file.display(), megabytes(size(std::slice::from_ref(file)))));
            }
            line("write", format!("{}()", info.name));
        }
        DataSetState::Missing(error) => {
            line("where", format!("{} does not hold it", folder.join(info.name).display()));
            if let Some(error) = error {
                line("found", error.to_string());
            }
            line("to get it", format!("{}, or write {}(path)", how_to_get(info), info.name));
        }
        DataSetState::Elsewhere => line("write", format!("{}(path)", info.name)),
    }
    for archive in info.archives {
        line("official", format!("{} ({})", archive.address, megabytes(archive.bytes)));
        line("", format!("SHA-256 {}", archive.sha256));
    }
    text
}
