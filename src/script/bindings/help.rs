//! Help in scripts: everything comes from doc comments and option lists.

use rhai::plugin::*;

use super::analysis;
use super::average::AVERAGE_OPTIONS;
use super::pages::FIGURE_OPTIONS;
use super::sweeps::EXECUTION_OPTIONS;
use crate::data::SOURCES;
use crate::error::{Error, suggestion};
use crate::model::MODELS;
use crate::optim::OPTIMIZERS;
use crate::script::convert::{Scripted, at};
use crate::script::options::RUN_OPTIONS;
use crate::script::{Function, functions as all, print};
use crate::sweep::slurm::SLURM_OPTIONS;

/// Name and meaning, aligned.
fn options<'a>(title: &str, list: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> String {
    let width = list.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: String = list.map(|(name, doc)| format!("  {name:width$}  {doc}\n")).collect();
    if lines.is_empty() { String::new() } else { format!("\n{title}\n{lines}") }
}

/// What is known of a name beyond its functions' docs.
fn details(name: &str) -> String {
    let mut text = String::new();
    if name == "sweep" || name == "train" {
        let list = RUN_OPTIONS.iter().map(|option| (option.name, option.doc));
        text += &options("Run options (in a sweep, an array or a range is an axis):", list);
    }
    if name == "run" {
        text += &options("Options:", EXECUTION_OPTIONS.iter().copied());
    }
    if name == "figure" {
        text += &options("Options:", FIGURE_OPTIONS.iter().copied());
    }
    if name == "slurm" {
        text += &options("Options:", SLURM_OPTIONS.iter().copied());
    }
    if let Some((_, list)) = analysis::OPTIONS.iter().find(|(call, _)| *call == name) {
        text += &options("Options:", list.iter().copied());
    }
    if name == "average_over" {
        text += &options("Options:", AVERAGE_OPTIONS.iter().copied());
    }
    if let Some(source) = SOURCES.iter().find(|source| source.name == name) {
        text += &format!("\nSource: {}\n", source.origin);
    }
    if let Some(model) = MODELS.iter().find(|model| model.name == name) {
        text += &options("Options:", model.options.iter().copied());
        if !model.origin.is_empty() {
            text += &format!("Source: {}\n", model.origin);
        }
    }
    if let Some(optimizer) = OPTIMIZERS.iter().find(|optimizer| optimizer.name == name) {
        text += &options("Options:", optimizer.options.iter().copied());
        text += &format!("Source: {}\n", optimizer.origin);
    }
    text
}

/// Up to the first full stop that does not end an abbreviation.
fn first_sentence(doc: &str) -> &str {
    let end = doc.match_indices(". ").find(|(at, _)| !doc[..*at].ends_with("Eq"));
    end.map_or(doc, |(at, _)| &doc[..=at])
}

fn entry(function: &Function) -> String {
    format!("{}\n    {}\n", function.signature, function.doc)
}

#[export_module]
pub mod functions {
    /// Lists every function with the first sentence of its doc.
    pub fn help(context: NativeCallContext) {
        let functions = all(context.engine());
        let width = functions.iter().map(|function| function.name.len()).max().unwrap_or(0);
        let mut names: Vec<&str> = Vec::new();
        for function in &functions {
            if !names.contains(&function.name.as_str()) && !function.name.starts_with("to_") {
                names.push(&function.name);
                print(&format!("{:width$}  {}", function.name, first_sentence(&function.doc)));
            }
        }
        print("\nhelp(\"sweep\") lists the run options; help(\"name\") explains a function.");
    }

    /// Explains a function, with its options.
    #[rhai_fn(name = "help", return_raw)]
    pub fn help_on(context: NativeCallContext, name: &str) -> Scripted<()> {
        let functions = all(context.engine());
        let mut text: String = functions.iter().filter(|function| function.name == name).map(entry).collect();
        if let Some(option) = RUN_OPTIONS.iter().find(|option| option.name == name) {
            text += &format!("{name} (run option)\n    {}\n", option.doc);
        }
        for (call, options) in [("run", &EXECUTION_OPTIONS[..]), ("slurm", &SLURM_OPTIONS[..])] {
            if let Some((_, doc)) = options.iter().find(|(option, _)| *option == name) {
                text += &format!("{name} (option of {call})\n    {doc}\n");
            }
        }
        if text.is_empty() {
            let mut known: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
            known.extend(RUN_OPTIONS.iter().map(|option| option.name));
            known.dedup();
            let hint = crate::error::nearest(name, known.iter().copied())
                .map_or_else(|| "help() lists the functions".to_owned(), |_| suggestion(name, known.clone()));
            return Err(at(&context, Error::invalid(format!("nothing is called `{name}`; {hint}"))));
        }
        print(&format!("{}{}", text, details(name)));
        Ok(())
    }
}
