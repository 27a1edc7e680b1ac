//! `sweep.json`: a plan, frozen. Runs that are added later get files of their own, `sweep.2.json`
//! and up, so that no file ever changes.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::flat;
use super::plan::{Plan, PlannedRun, sweep_id};
use super::provenance::Provenance;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::hash::sha256;

/// The version of the folder's layout.
const SCHEMA_VERSION: u32 = 2;

/// The name of the first file.
pub const FIRST: &str = "sweep.json";

/// Differences that an error lists.
const SHOWN: usize = 5;

/// The content of a file.
#[derive(Serialize, Deserialize)]
pub struct Frozen {
    schema: u32,
    /// The sweep's id.
    pub sweep: String,
    /// SHA-256 of the sweep's id, provenance and runs: tells whether the file was changed.
    sha256: String,
    /// Where the plan comes from.
    pub provenance: Provenance,
    /// The runs.
    pub runs: Vec<PlannedRun>,
}

/// The file of the plan (1) or of an extension (2 and up).
pub fn path(dir: &Path, number: usize) -> PathBuf {
    match number {
        1 => dir.join(FIRST),
        number => dir.join(format!("sweep.{number}.json")),
    }
}

/// An error where a folder has no plan at all.
pub fn there(dir: &Path) -> Result<()> {
    match std::fs::symlink_metadata(path(dir, 1)) {
        Ok(_) => Ok(()),
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(Error::io(dir, error))
        }
        Err(_) => Err(Error::invalid(format!(
            "{}: expected a folder with a sweep (sweep.json), found none; make one with sweep(#{{…}}).run(dir)",
            dir.display()
        ))),
    }
}

/// Reads the plan and its extensions.
pub fn read_all(files: &Files, dir: &Path) -> Result<Vec<(PathBuf, Frozen)>> {
    let first = path(dir, 1);
    let mut read = vec![(first.clone(), Frozen::read(files, &first)?)];
    for path in (2..).map(|number| path(dir, number)).take_while(|path| files.has(path)) {
        read.push((path.clone(), Frozen::read(files, &path)?));
    }
    Ok(read)
}

/// What every version can read of a plan.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    schema: Value,
    #[serde(default)]
    provenance: Value,
}

impl Frozen {
    /// Freezes runs.
    pub fn new(sweep: String, provenance: &Provenance, mut runs: Vec<PlannedRun>) -> Result<Self> {
        // The sweep may be continued from another folder.
        let absolute = |path: &mut String| {
            if let Ok(found) = std::path::absolute(&*path) {
                *path = found.to_string_lossy().into_owned();
            }
        };
        for run in &mut runs {
            run.spec.data.source.path_mut().map(absolute);
            run.spec.init.as_mut().map(|init| &mut init.path).map(absolute);
        }
        let mut frozen = Self {
            schema: SCHEMA_VERSION,
            sweep,
            sha256: String::new(),
            provenance: provenance.clone(),
            runs,
        };
        frozen.sha256 = frozen.digest()?;
        Ok(frozen)
    }

    fn read(files: &Files, path: &Path) -> Result<Self> {
        /// Bytes, at most: a million runs take one gigabyte.
        const LONGEST: u64 = 3 << 30;

        let bytes = files.read(path, LONGEST)?;
        let unreadable = |error: &dyn std::fmt::Display| {
            Error::invalid(format!("{}: damaged, or not a plan: {error}; restore the file", path.display()))
        };
        let head: Head = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
        if head.schema.as_u64() != Some(u64::from(SCHEMA_VERSION)) {
            return Err(Error::invalid(format!(
                "{}: schema {}, expected {SCHEMA_VERSION}; use the version of kelvin that wrote it ({})",
                path.display(),
                head.schema,
                head.provenance["kelvin"].as_str().unwrap_or("unknown")
            )));
        }
        serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))
    }

    /// The file's text: a run per line.
    pub fn text(&self) -> Result<String> {
        let runs = self.runs.iter().map(json).collect::<Result<Vec<_>>>()?;
        Ok(format!(
            "{{\"schema\": {}, \"sweep\": {}, \"sha256\": {},\n\"provenance\": {},\n\"runs\": [\n{}\n]}}\n",
            self.schema,
            json(&self.sweep)?,
            json(&self.sha256)?,
            json(&self.provenance)?,
            runs.join(",\n")
        ))
    }

    fn digest(&self) -> Result<String> {
        let content = serde_json::to_vec(&(&self.sweep, &self.provenance, &self.runs))
            .map_err(|error| Error::invalid(error.to_string()))?;
        Ok(sha256(content))
    }

    /// What was changed in a file whose checksum is wrong, as far as one can tell; `known` are the
    /// runs of all files.
    fn edits(&self, path: &Path, plan: Option<&Plan>, known: &HashSet<&str>) -> Result<Vec<String>> {
        let mut edits = Vec::new();
        for run in &self.runs {
            let own = plan.and_then(|plan| plan.runs.iter().find(|other| other.id == run.id));
            match own {
                Some(own) => edits.extend(changes(run, own)?),
                None if run.id != run.spec.id() => {
                    edits.push(format!("{}: its specification is no longer the one with this id", run.id));
                }
                None => {}
            }
        }
        let wanted = plan.map(|plan| plan.runs.as_slice()).unwrap_or_default();
        let missing = wanted.iter().filter(|run| !known.contains(run.id.as_str()));
        edits.extend(missing.map(|run| format!("{}: is in this plan and not in the file", run.id)));
        let first = path.file_name().is_some_and(|name| name == FIRST);
        if edits.is_empty() && first && self.sweep != sweep_id(&self.runs) {
            edits.push("the sweep's id is not the one of these runs".to_owned());
        }
        if edits.is_empty() {
            let text = match plan {
                Some(_) => "its runs are as in this plan, its provenance is not what it was",
                None => "its content has another checksum",
            };
            edits.push(text.to_owned());
        }
        let more = edits.len().saturating_sub(SHOWN);
        edits.truncate(SHOWN);
        if more > 0 {
            edits.push(format!("{more} more"));
        }
        Ok(edits)
    }
}

/// An error that says what was changed in the files of a sweep, if anything was. `plan` is what a
/// script asks for now.
pub fn check(files: &[(PathBuf, Frozen)], plan: Option<&Plan>) -> Result<()> {
    let known = files.iter().flat_map(|(_, file)| &file.runs).map(|run| run.id.as_str()).collect();
    for (path, file) in files {
        if file.digest()? == file.sha256 {
            continue;
        }
        let edits = file.edits(path, plan, &known)?;
        return Err(Error::invalid(format!(
            "{}: was changed after it was written ({}); restore the file, or run another plan in another folder",
            path.display(),
            edits.join("; ")
        )));
    }
    // A checksum guards against accidents. A file made by somebody else may still hold anything.
    let wanted = files.first().map(|(_, first)| sweep_id(&first.runs)).unwrap_or_default();
    for (path, file) in files {
        let refused = |what: &str, error: String| {
            let path = path.display();
            Error::invalid(format!(
                "{path}: {what}: {error}; no version of kelvin writes this, do not use the folder"
            ))
        };
        if file.sweep != wanted {
            let found = format!("the sweep's id is {:?}, expected {wanted}, which its runs give", file.sweep);
            return Err(refused("sweep", found));
        }
        let numbered: Vec<(usize, &PlannedRun)> = file.runs.iter().enumerate().collect();
        super::parallel(&numbered, |(index, run)| {
            run.check()
                .map_err(|error| refused(&format!("run {} ({:?})", index + 1, run.id), error.to_string()))
        })?;
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::invalid(error.to_string()))
}

/// The fields of a run in which a file differs from the plan.
fn changes(file: &PlannedRun, plan: &PlannedRun) -> Result<Vec<String>> {
    let (found, wanted) = (flat(file)?, flat(plan)?);
    Ok(wanted
        .iter()
        .filter(|(key, value)| found.get(*key) != Some(value))
        // A file may have moved.
        .filter(|(key, _)| !key.ends_with(".path"))
        .map(|(key, value)| {
            let missing = Value::Null.to_string();
            let found = found.get(key).unwrap_or(&missing);
            format!("{}: {key} is {found} in the file and {value} in this plan", file.id)
        })
        .collect())
}
