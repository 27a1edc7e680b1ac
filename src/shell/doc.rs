//! `kelvin doc`: what help says, as Markdown and as definitions that editors read.

use std::path::Path;
use std::rc::Rc;

use super::version::VERSION;
use crate::error::Result;
use crate::files;
use crate::script::{Session, engine, manual, print};

/// Writes `reference.md` and `kelvin.d.rhai` into a folder.
pub(super) fn write(folder: &Path) -> Result<()> {
    let session = Session::silent();
    for (name, text) in
        [("reference.md", reference(&session)), ("kelvin.d.rhai", manual::definitions(&engine(&session)))]
    {
        let file = folder.join(name);
        files::write_bytes(&file, text.as_bytes())?;
        print(&file.display().to_string());
    }
    Ok(())
}

/// Topics, then every name with its entry.
fn reference(session: &Rc<Session>) -> String {
    let engine = engine(session);
    let mut text = format!("# kelvin {}: reference\n\nWhat `help(\"name\")` says.\n", VERSION.as_str());
    text += "\n## Topics\n";
    for topic in &manual::TOPICS {
        text +=
            &format!("\n### {}: {}\n\n```text\n{}\n```\n", topic.name, topic.title, topic.text.trim_end());
    }
    text += "\n## Functions and properties\n";
    let functions = manual::functions(&engine).into_iter().map(|function| function.name);
    let properties = manual::properties(&engine).into_iter().map(|property| property.name);
    let mut names: Vec<String> =
        functions.chain(properties).filter(|name| !name.starts_with("to_")).collect();
    names.sort();
    names.dedup();
    for name in names {
        if let Some(entry) = manual::entry(&engine, &name) {
            text += &format!("\n### {name}\n\n```text\n{}\n```\n", entry.trim_end());
        }
    }
    text
}
