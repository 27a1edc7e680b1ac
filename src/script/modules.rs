//! Modules written in Rhai: `import "paper" as paper;`.
//!
//! A name is looked for in the script's folder, in `./stdlib`, then among the modules that the
//! program carries ([`STDLIB`]). Nothing outside these folders is read.

use std::path::{Component, Path, PathBuf};

use rhai::Engine;

use super::session::Session;
use crate::error::{Error, Result, suggestion};

/// The modules that the program carries: name and text.
pub const STDLIB: &[(&str, &str)] = &[("paper", include_str!("../../stdlib/paper.rhai"))];

/// The folder in which a project keeps modules of its own.
const FOLDER: &str = "stdlib";

/// What Rhai's own names of closures begin with.
pub(super) const CLOSURE: &str = "anon$";

/// A function of a module, as help and completion tell it.
pub struct ModuleFunction {
    /// Its name.
    pub name: String,
    /// How it is called: `runs(scale, sampling, method)`.
    pub signature: String,
    /// What it does; empty where its comment says nothing.
    pub doc: String,
}

/// The functions that a module gives, sorted by name.
///
/// # Errors
///
/// Where there is no such module, or it is no script.
pub fn functions_of(engine: &Engine, session: &Session, name: &str) -> Result<Vec<ModuleFunction>> {
    let (place, text) = find(session, name)?;
    let ast = engine.compile(text).map_err(|error| Error::invalid(format!("{place}: {error}")))?;
    let own = ast
        .iter_functions()
        .filter(|function| function.access == rhai::FnAccess::Public && !function.name.starts_with(CLOSURE));
    let mut found: Vec<ModuleFunction> = own
        .map(|function| {
            let lines = function.comments.iter().flat_map(|comment| comment.lines());
            let doc: Vec<&str> = lines.map(|line| line.trim_start_matches('/').trim()).collect();
            ModuleFunction {
                name: function.name.to_owned(),
                signature: format!("{}({})", function.name, function.params.join(", ")),
                doc: doc.join(" ").trim().to_owned(),
            }
        })
        .collect();
    found.sort_by(|a, b| a.signature.cmp(&b.signature));
    Ok(found)
}

/// The folders that modules are looked for in, in order.
fn folders(session: &Session) -> Vec<PathBuf> {
    vec![session.folder(), PathBuf::from(FOLDER)]
}

/// What errors call a module, and its text.
pub(super) fn find(session: &Session, name: &str) -> Result<(String, String)> {
    let file = file_name(name)?;
    let folders = folders(session);
    for folder in &folders {
        let path = folder.join(&file);
        if !path.is_file() {
            continue;
        }
        // A link may lead out of the folder.
        let real = |path: &Path| std::fs::canonicalize(path).map_err(|error| Error::io(path, error));
        if !real(&path)?.starts_with(real(folder)?) {
            return Err(Error::invalid(format!(
                "import: {} is a link that leads out of {}; copy the module there",
                path.display(),
                folder.display()
            )));
        }
        let text = super::text::read(&path)?;
        let path = path.strip_prefix(".").unwrap_or(&path);
        return Ok((path.display().to_string(), text));
    }
    if let Some((known, text)) = STDLIB.iter().find(|(known, _)| *known == name) {
        return Ok((format!("{FOLDER}/{known}.rhai (embedded)"), (*text).to_owned()));
    }
    let known = STDLIB.iter().map(|(name, _)| (*name).to_owned());
    let known: Vec<String> = known.chain(folders.iter().flat_map(|folder| names(folder))).collect();
    let shown: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(Error::invalid(format!(
        "import: no module `{name}` in {} or in the program; {}",
        shown.join(", "),
        suggestion(name, known.iter().map(String::as_str).collect::<Vec<_>>())
    )))
}

/// The file of a module, relative to a folder.
fn file_name(name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !inside {
        return Err(Error::invalid(format!(
            "import: expected the name of a module in the script's folder or in {FOLDER}, such as \"paper\", found \"{name}\""
        )));
    }
    Ok(if name.ends_with(".rhai") { path.to_owned() } else { PathBuf::from(format!("{name}.rhai")) })
}

/// The modules in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rhai").map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folders() {
        assert_eq!(file_name("paper").unwrap(), Path::new("paper.rhai"));
        assert_eq!(file_name("own/fits.rhai").unwrap(), Path::new("own/fits.rhai"));
        for outside in ["../paper", "/etc/passwd", "", "a/../../b", "./paper"] {
            assert!(file_name(outside).is_err(), "{outside}");
        }
    }
}
