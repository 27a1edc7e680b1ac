//! Folders of files as other programs write them: which files are data, and what the folders' names say.
//!
//! Spark and Hive put `key=value` folders around files that leave the key out, `_SUCCESS` and `_metadata` beside
//! them, and `.part-0000.crc` for checksums; a value that is null is called `__HIVE_DEFAULT_PARTITION__`, and
//! characters that a file name cannot hold are written `%2F`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, new_null_array};
use arrow::datatypes::DataType;

use crate::error::{Error, Result};

/// The value of a folder that stands for null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A key whose values are text even where they look like numbers: kelvin's own, an id.
const TEXT_KEY: &str = "sweep";

/// The Parquet files that a file name, a folder (with the folders in it) or a glob means, sorted.
pub(super) fn files(path: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if Path::new(path).is_dir() {
        found = within(Path::new(path))?;
    } else if Path::new(path).exists() {
        // Brackets in the name of something that exists are not a pattern.
        found.push(PathBuf::from(path));
    } else {
        let hidden_is_meant =
            Path::new(path).file_name().is_some_and(|name| is_hidden(&name.to_string_lossy()));
        for file in glob_of(path, path)? {
            if file.is_dir() {
                found.extend(within(&file)?);
            } else if hidden_is_meant
                || !file.file_name().is_some_and(|name| is_hidden(&name.to_string_lossy()))
            {
                found.push(file);
            }
        }
    }
    if found.is_empty() {
        return Err(Error::invalid(format!(
            "{path}: expected a Parquet file, a folder of them or a glob, found none"
        )));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The data files in a folder and the folders in it.
fn within(folder: &Path) -> Result<Vec<PathBuf>> {
    let pattern = format!("{}/**/*.parquet", glob::Pattern::escape(&folder.to_string_lossy()));
    let is_data = |file: &PathBuf| {
        let inner = file.strip_prefix(folder).unwrap_or(file);
        file.is_file() && !inner.iter().any(|part| is_hidden(&part.to_string_lossy()))
    };
    Ok(glob_of(&pattern, &folder.to_string_lossy())?.into_iter().filter(is_data).collect())
}

fn glob_of(pattern: &str, path: &str) -> Result<Vec<PathBuf>> {
    let found = glob::glob(pattern)
        .map_err(|error| Error::invalid(format!("{path}: not a path or glob: {error}")))?;
    Ok(found.flatten().collect())
}

/// Whether a name is none of data: Spark's rule.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

/// The keys and values of the folders above a file, the outermost first; no value where it stands for null. The nearest
/// folder of a key is the one that counts.
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

/// The type of a key's values, given those of all files: integers, else numbers, else text.
pub(super) fn type_of<'a>(key: &str, values: impl Iterator<Item = &'a str> + Clone) -> DataType {
    // `inf` and `nan` are numbers to Rust and words to everybody else.
    let is_float = |text: &str| {
        text.parse::<f64>().is_ok()
            && text.trim_start_matches(['+', '-', '.']).starts_with(|c: char| c.is_ascii_digit())
    };
    match () {
        () if key == TEXT_KEY => DataType::Utf8,
        () if values.clone().next().is_none() => DataType::Null,
        () if values.clone().all(|text| text.parse::<i64>().is_ok()) => DataType::Int64,
        () if values.clone().all(is_float) => DataType::Float64,
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
        assert_eq!(kind("n", &["1", "-2", "007"]), DataType::Int64);
        assert_eq!(kind("n", &["1", "0.5", "1e-3"]), DataType::Float64);
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
}
