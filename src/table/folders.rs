//! Folders of files as other programs write them: which files are data, and what the folders' names
//! say.
//!
//! Spark and Hive put `key=value` folders around files that leave the key out, `_SUCCESS` and
//! `_metadata` beside them, and `.part-0000.crc` for checksums; a value that is null is called
//! `__HIVE_DEFAULT_PARTITION__`, and characters that a file name cannot hold are written `%2F`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, new_null_array};
use arrow::datatypes::DataType;
use glob::Pattern;

use super::Table;
use crate::error::{Error, Result};

/// The value of a folder that stands for null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A key whose values are text even where they look like numbers: kelvin's own, an id.
const TEXT_KEY: &str = "sweep";

/// What makes a folder that of a sweep.
const SWEEP: &str = "sweep.json";

/// Where the metrics of a sweep's finished runs lie. What lies beside them tells of the same runs.
const METRICS: &str = "metrics";

/// The Parquet files that a file name, a folder (with the folders in it) or a glob means, sorted.
/// Of a sweep's folder these are its metrics, unless a path names another file or folder of its.
pub(super) fn files(path: &str) -> Result<Vec<PathBuf>> {
    let mut walk = Walk { path, entries: 0, found: Vec::new() };
    if Path::new(path).is_dir() {
        walk.data(Path::new(path))?;
    } else if Path::new(path).exists() {
        // Brackets in the name of something that exists are not a pattern.
        walk.found.push(PathBuf::from(path));
    } else {
        Pattern::new(path).map_err(|error| not_a_path(path, &error))?;
        let hidden_is_meant = is_hidden_path(Path::new(path));
        let root = if path.starts_with('/') { "/" } else { "" };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        walk.glob(Path::new(root), &parts, false)?;
        for file in std::mem::take(&mut walk.found) {
            if file.is_dir() {
                walk.data(&file)?;
            } else if hidden_is_meant || !is_hidden_path(&file) {
                walk.found.push(file);
            }
        }
    }
    let mut found = walk.found;
    if found.is_empty() {
        return Err(Error::invalid(format!(
            "{path}: expected a Parquet file, a folder of them or a glob, found none"
        )));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn not_a_path(path: &str, error: &glob::PatternError) -> Error {
    Error::invalid(format!("{path}: not a path or glob: {error}"))
}

fn is_hidden_path(path: &Path) -> bool {
    path.file_name().is_some_and(|name| is_hidden(&name.to_string_lossy()))
}

/// Looks through folders, until an interrupt.
struct Walk<'a> {
    /// What was asked for, for errors.
    path: &'a str,
    /// Files and folders seen.
    entries: usize,
    found: Vec<PathBuf>,
}

/// What is in a folder.
struct Listing {
    /// Each with whether it is a folder.
    entries: Vec<(PathBuf, bool)>,
    is_sweep: bool,
}

impl Listing {
    /// Whether this is where a sweep's metrics are.
    fn is_metrics(&self, path: &Path) -> bool {
        self.is_sweep && path.file_name().is_some_and(|name| name == METRICS)
    }

    /// Whether this is a folder that patterns go into: any, but of a sweep its metrics and other
    /// sweeps.
    fn is_followed(&self, path: &Path, is_folder: bool) -> bool {
        is_folder && (!self.is_sweep || self.is_metrics(path) || path.join(SWEEP).is_file())
    }
}

impl Walk<'_> {
    /// The data files in a folder and the folders in it.
    fn data(&mut self, folder: &Path) -> Result<()> {
        let listing = self.list(folder)?;
        for (path, is_folder) in &listing.entries {
            if is_hidden_path(path) || (listing.is_sweep && !listing.is_metrics(path)) {
                continue;
            }
            if *is_folder {
                self.data(path)?;
            } else if path.extension().is_some_and(|ending| ending == "parquet") && path.is_file() {
                self.found.push(path.clone());
            }
        }
        Ok(())
    }

    /// What the parts of a pattern mean from a folder on. `is_anywhere`: the folder was found by
    /// `**`, not named.
    fn glob(&mut self, folder: &Path, parts: &[&str], is_anywhere: bool) -> Result<()> {
        let Some((part, rest)) = parts.split_first() else {
            self.found.push(folder.to_owned());
            return Ok(());
        };
        if *part == "**" {
            return self.anywhere(folder, rest);
        }
        if !part.contains(['*', '?', '[']) {
            let path = folder.join(part);
            return if path.exists() { self.glob(&path, rest, false) } else { Ok(()) };
        }
        let pattern = Pattern::new(part).map_err(|error| not_a_path(self.path, &error))?;
        let listing = self.list(folder)?;
        let matches =
            |path: &Path| path.file_name().is_some_and(|name| pattern.matches(&name.to_string_lossy()));
        let metrics_alone =
            is_anywhere || listing.entries.iter().any(|(path, _)| listing.is_metrics(path) && matches(path));
        for (path, is_folder) in &listing.entries {
            let is_below = !rest.is_empty() && listing.is_followed(path, *is_folder);
            let is_meant = !listing.is_sweep || !metrics_alone || is_below;
            let is_meant = is_meant || listing.is_metrics(path);
            if is_meant && matches(path) && (*is_folder || rest.is_empty()) {
                self.glob(path, rest, false)?;
            }
        }
        Ok(())
    }

    /// What the parts of a pattern mean from a folder and all folders in it on.
    fn anywhere(&mut self, folder: &Path, parts: &[&str]) -> Result<()> {
        if parts.is_empty() {
            return self.data(folder);
        }
        self.glob(folder, parts, true)?;
        let listing = self.list(folder)?;
        for (path, is_folder) in &listing.entries {
            if listing.is_followed(path, *is_folder) {
                self.anywhere(path, parts)?;
            }
        }
        Ok(())
    }

    /// What is in a folder; nothing where it may not be read. A link to a folder that it lies in is
    /// left out.
    fn list(&mut self, folder: &Path) -> Result<Listing> {
        /// Files and folders that one call looks at, at most.
        const MOST: usize = 2_000_000;
        let mut entries = Vec::new();
        let at = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
            crate::interrupt::check()?;
            self.entries += 1;
            if self.entries > MOST {
                return Err(Error::invalid(format!(
                    "{}: more than {MOST} files and folders to look through; name a folder nearer to the data",
                    self.path
                )));
            }
            let path = folder.join(entry.file_name());
            let kind = entry.file_type();
            let is_folder = match &kind {
                Ok(kind) if kind.is_symlink() => {
                    let target = path.canonicalize().unwrap_or_default();
                    target.is_dir() && !at.canonicalize().unwrap_or_default().starts_with(&target)
                }
                Ok(kind) => kind.is_dir(),
                Err(_) => false,
            };
            entries.push((path, is_folder));
        }
        let is_sweep = entries
            .iter()
            .any(|(path, is_folder)| !is_folder && path.file_name().is_some_and(|name| name == SWEEP));
        Ok(Listing { entries, is_sweep })
    }
}

/// Refuses the file that a sweep was compacted into, where it lacks runs that finished later.
pub(super) fn check_compact(file: &Path, table: &Table) -> Result<()> {
    let mut above = file.ancestors().skip(1);
    let (Some(sweep), Some(compact), Some(dir)) = (above.next(), above.next(), above.next()) else {
        return Ok(());
    };
    let is_compact = file.file_name().is_some_and(|name| name == "epochs.parquet")
        && compact.file_name().is_some_and(|name| name == "compact");
    let (Some(sweep), true) = (sweep.file_name(), is_compact && dir.join(SWEEP).is_file()) else {
        return Ok(());
    };
    let Ok(runs) = table.strings("run_id") else { return Ok(()) };
    let runs: HashSet<String> = runs.into_iter().collect();
    let mut missing = 0;
    for entry in std::fs::read_dir(dir.join(METRICS).join(sweep)).into_iter().flatten().flatten() {
        crate::interrupt::check()?;
        let path = PathBuf::from(entry.file_name());
        let run = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_run = path.extension().is_some_and(|ending| ending == "parquet") && !is_hidden_path(&path);
        missing += usize::from(is_run && !runs.contains(&*run));
    }
    if missing == 0 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{}: {missing} runs of this sweep finished after this file was made; read \"{1}\", or make the file again: \
         kelvin compact {1}",
        file.display(),
        dir.display()
    )))
}

/// Whether a name is none of data: Spark's rule.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

/// The keys and values of the folders above a file, the outermost first; no value where it stands
/// for null. The nearest folder of a key is the one that counts.
pub(super) fn keys(file: &Path) -> Vec<(String, Option<String>)> {
    let mut keys: Vec<(String, Option<String>)> = Vec::new();
    for folder in file.ancestors().skip(1).filter_map(Path::file_name) {
        let folder = folder.to_string_lossy();
        let Some((key, value)) = folder.split_once('=') else { continue };
        let (key, value) = (decoded(key), decoded(value));
        if !key.is_empty() && !keys.iter().any(|(known, _)| *known == key) {
            keys.push((key, (value != NULL).then_some(value)));
        }
    }
    keys.reverse();
    keys
}

/// Text with `%2F` and the like as the characters that they stand for.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The type of a key's values, given those of all files: integers, else numbers, else text. Numbers
/// that are not written as numbers are, are codes, and stay text, as in DuckDB: `01001`, and more
/// digits than an integer has.
pub(super) fn type_of<'a>(key: &str, values: impl Iterator<Item = &'a str> + Clone) -> DataType {
    let is_integer = |text: &str| text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
    let is_number = |text: &str| {
        let digits = text.trim_start_matches(['+', '-']);
        let padded = digits.starts_with('0') && digits[1..].starts_with(|c: char| c.is_ascii_digit());
        // `inf` and `nan` are numbers to Rust and words to everybody else.
        let is_float = digits.contains(['.', 'e', 'E'])
            && digits.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit())
            && text.parse::<f64>().is_ok();
        is_integer(text) || (is_float && !padded)
    };
    match () {
        () if key == TEXT_KEY => DataType::Utf8,
        () if values.clone().next().is_none() => DataType::Null,
        () if values.clone().all(is_integer) => DataType::Int64,
        () if values.clone().all(is_number) => DataType::Float64,
        () => DataType::Utf8,
    }
}

/// A column of one value in every row.
pub(super) fn constant(value: Option<&str>, kind: &DataType, rows: usize) -> ArrayRef {
    match (value, kind) {
        (Some(text), DataType::Int64) => {
            Arc::new(Int64Array::from_iter(vec![text.parse::<i64>().ok(); rows]))
        }
        (Some(text), DataType::Float64) => {
            Arc::new(Float64Array::from_iter(vec![text.parse::<f64>().ok(); rows]))
        }
        (Some(text), DataType::Utf8) => Arc::new(StringArray::from_iter_values((0..rows).map(|_| text))),
        _ => new_null_array(kind, rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_keys_and_values() {
        let found = keys(Path::new("/a/lr=0.1/day=2024%2F01/x=__HIVE_DEFAULT_PARTITION__/100%/f.parquet"));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [("lr".to_owned(), text("0.1")), ("day".to_owned(), text("2024/01")), ("x".to_owned(), None)]
        );
        let kind = |key: &str, values: &[&'static str]| type_of(key, values.iter().copied());
        assert_eq!(kind("n", &["0", "1", "-2", "1001"]), DataType::Int64);
        assert_eq!(kind("n", &["1", "0.5", "-0.1", "1e-3", ".5"]), DataType::Float64);
        // Codes.
        for codes in [["01001", "10001"], ["007", "8"], ["00.5", "1"], ["+1", "2"]] {
            assert_eq!(kind("code", &codes), DataType::Utf8, "{codes:?}");
        }
        assert_eq!(kind("id", &["12345678901234567890123", "1"]), DataType::Utf8);
        assert_eq!(kind("n", &["1", "nan"]), DataType::Utf8);
        assert_eq!(kind("sweep", &["1"]), DataType::Utf8);
        assert_eq!(kind("n", &[]), DataType::Null);
    }

    #[test]
    fn only_data_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "_SUCCESS",
            "_metadata",
            "_temporary/0/part.parquet",
            ".hidden.parquet",
            "a/.part-0.parquet.crc",
            "_x=1/part-0.parquet",
            "a/part-1.snappy.parquet",
            "notes.txt",
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let root = folder.path().to_string_lossy().into_owned();
        let names = |path: &str| -> Vec<String> {
            let found = files(path).unwrap().into_iter();
            found
                .map(|file| file.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned())
                .collect()
        };
        let data = ["_x=1/part-0.parquet", "a/part-1.snappy.parquet"];
        assert_eq!(names(&root), data);
        assert_eq!(names(&format!("{root}/a/*")), data[1..]);
        assert_eq!(names(&format!("{root}/*=1")), data[..1]);
        assert!(files(&format!("{root}/b*")).is_err());
    }

    /// The files of a folder that holds two sweeps' folders and a table beside them.
    fn sweeps() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for sweep in ["a", "deep/b"] {
            for name in [
                "sweep.json",
                "runs.parquet",
                "metrics/sweep=s1/r1.parquet",
                "compact/sweep=s1/epochs.parquet",
                "state/r1/old.parquet",
            ] {
                let path = folder.path().join(sweep).join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
        }
        std::fs::write(folder.path().join("own.parquet"), "").unwrap();
        folder
    }

    #[test]
    fn a_sweeps_folder_is_its_metrics() {
        let folder = sweeps();
        let names = |path: &str| -> Vec<String> {
            let found = files(&folder.path().join(path).to_string_lossy()).unwrap().into_iter();
            found
                .map(|file| file.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned())
                .collect()
        };
        let metrics = ["a/metrics/sweep=s1/r1.parquet", "deep/b/metrics/sweep=s1/r1.parquet"];
        for path in ["a", "a/metrics", "a/*", "a/**", "a/**/*.parquet", "*/metrics", "*/*/sweep=s1", "a/m*"] {
            assert_eq!(names(path), metrics[..1], "{path}");
        }
        let all = [metrics[0], metrics[1], "own.parquet"];
        for path in ["", "**", "**/*.parquet", "*"] {
            assert_eq!(names(path), all, "{path}");
        }
        for path in ["**/metrics/*/*.parquet", "**/metrics", "**/sweep=*/*", "**/r1.parquet"] {
            assert_eq!(names(path), metrics, "{path}");
        }
        // A sweep may lie within another's folder.
        let inner = folder.path().join("a/inner");
        std::fs::create_dir_all(inner.join("metrics/sweep=s2")).unwrap();
        std::fs::write(inner.join("sweep.json"), "").unwrap();
        std::fs::write(inner.join("metrics/sweep=s2/r2.parquet"), "").unwrap();
        let both = ["a/inner/metrics/sweep=s2/r2.parquet", metrics[0]];
        assert_eq!(names("a/**/*.parquet"), both);
        assert_eq!(names("a/*/metrics/*/*.parquet"), both[..1]);
        assert_eq!(names("a"), metrics[..1]);
        std::fs::remove_dir_all(&inner).unwrap();
        // What is named is what is meant.
        assert_eq!(names("a/runs.parquet"), ["a/runs.parquet"]);
        assert_eq!(names("a/*.parquet"), ["a/runs.parquet"]);
        assert_eq!(names("**/runs.parquet"), ["a/runs.parquet", "deep/b/runs.parquet"]);
        assert_eq!(names("a/compact"), ["a/compact/sweep=s1/epochs.parquet"]);
    }

    #[test]
    fn links_in_a_circle_end_and_links_to_data_are_followed() {
        let folder = sweeps();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(folder.path().join(target), folder.path().join(name)).unwrap();
        };
        link("", "a/metrics/round");
        link("deep", "deep/b/metrics/round");
        link("a/metrics/sweep=s1", "linked");
        assert_eq!(files(&folder.path().to_string_lossy()).unwrap().len(), 4);
        assert!(files(&format!("{}/**/*.nope", folder.path().display())).is_err());
    }

    /// Of work in the background, so that no other test's is stopped.
    #[test]
    fn a_walk_hears_an_interrupt() {
        let folder = sweeps();
        let scope = crate::interrupt::Scope::default();
        scope.raise();
        crate::interrupt::work_for(Some(scope));
        let walks = ["", "/**/*.nope", "/*/*/x.parquet"]
            .map(|end| files(&format!("{}{end}", folder.path().display())));
        crate::interrupt::work_for(None);
        assert!(walks.iter().all(|found| matches!(found, Err(Error::Interrupted))), "{walks:?}");
    }

    #[test]
    fn a_compact_file_that_lacks_runs_says_so() {
        let folder = sweeps();
        let runs = |names: &[&str]| {
            let cells = names.iter().map(|&name| crate::table::Cell::Text(name.to_owned())).collect();
            Table::from_cells(&["run_id".to_owned()], &[cells]).unwrap()
        };
        let file = folder.path().join("a/compact/sweep=s1/epochs.parquet");
        check_compact(&file, &runs(&["r1", "r1"])).unwrap();
        std::fs::write(folder.path().join("a/metrics/sweep=s1/r2.parquet"), "").unwrap();
        let error = check_compact(&file, &runs(&["r1", "r1"])).unwrap_err().to_string();
        assert!(
            error.contains("1 runs of this sweep finished after") && error.contains("kelvin compact"),
            "{error}"
        );
        check_compact(&file, &runs(&["r1", "r2"])).unwrap();
        check_compact(&folder.path().join("own.parquet"), &runs(&["r1"])).unwrap();
    }
}
