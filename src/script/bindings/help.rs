//! Help in scripts; what it says is in [`crate::script::manual`].

use rhai::plugin::*;

use crate::error::{Error, suggestion};
use crate::script::convert::{Scripted, at};
use crate::script::manual::{Function, TOPICS, entry, first_sentence, functions as all, names};
use crate::script::{page, wrapped};

#[export_module]
pub mod functions {
    /// Lists the topics, and every function with the first sentence of its doc.
    pub fn help(context: NativeCallContext) {
        let mut text = "Topics, such as help(\"sweeps\"):\n".to_owned();
        for topic in &TOPICS {
            text += &format!("  {:12}  {}\n", topic.name, topic.title);
        }
        text += "\nFunctions, such as help(\"sweep\"), which lists the run options; at the prompt ?sweep is the same:\n";
        let functions = all(context.engine());
        let width = functions.iter().map(|function| function.name.len()).max().unwrap_or(0);
        let mut listed: Vec<&Function> = Vec::new();
        for function in functions.iter().filter(|function| !function.name.starts_with("to_")) {
            match listed.last_mut().filter(|last| last.name == function.name) {
                // Of the ways to call it, the one whose comment tells the whole story.
                Some(last) if last.example.is_none() && function.example.is_some() => *last = function,
                Some(_) => {}
                None => listed.push(function),
            }
        }
        for function in listed {
            let told = first_sentence(&function.doc);
            text += &wrapped(&format!("  {:width$}  {told}", function.name), width + 4);
            text += "\n";
        }
        text += "\nhelp(\"name\") explains a function, property, option or topic, with an example.";
        page(&text);
    }

    /// Explains a function, a property, an option or a topic.
    ///
    /// ```
    /// help("fit_gap")
    /// ```
    #[rhai_fn(name = "help", return_raw)]
    pub fn help_on(context: NativeCallContext, name: &str) -> Scripted<()> {
        let Some(text) = entry(context.engine(), name) else {
            let known = names(context.engine());
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = match crate::error::nearest(name, known.iter().copied()) {
                Some(_) => suggestion(name, known),
                None => "help() lists topics and functions".to_owned(),
            };
            return Err(at(&context, Error::invalid(format!("nothing is called `{name}`; {hint}"))));
        };
        page(text.trim_end());
        Ok(())
    }
}
