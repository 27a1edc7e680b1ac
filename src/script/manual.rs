//! What there is to know of every name: the one source of help, of `kelvin doc` and of completion.
//!
//! Functions come from the doc comments of the bindings, options from the lists that checking reads, columns from
//! [`crate::sweep::columns`], topics from `manual/`.

use rhai::Engine;

use super::bindings::{calls_with_options, options_of};
use super::options::MEASURE_KEYS;
use super::wrapped;
use crate::data::SOURCES;
use crate::model::MODELS;
use crate::optim::OPTIMIZERS;
use crate::sweep::columns;
use crate::train::Seeds;

/// One way to call a function.
pub struct Function {
    /// Its name.
    pub name: String,
    /// How it is called: `filter(table: Table, condition: text) -> Table`.
    pub signature: String,
    /// The types of its parameters, as scripts see them; the first one is what stands before the dot of a method.
    pub parameters: Vec<String>,
    /// The type of what it gives; empty for nothing.
    pub returns: String,
    /// What it does.
    pub doc: String,
    /// A script that runs, as it is written in the doc comment.
    pub example: Option<Example>,
}

/// An example of a doc comment.
#[derive(Clone)]
pub struct Example {
    /// The script.
    pub script: String,
    /// Whether it needs what not everybody has, such as a cluster.
    pub needs_more: bool,
}

/// A property of a type: `table.len`.
pub struct Property {
    /// The type, as scripts see it.
    pub of: String,
    /// Its name.
    pub name: String,
    /// The type of its value.
    pub returns: String,
    /// What it is.
    pub doc: String,
}

/// A text on something that is no function.
pub struct Topic {
    /// Its name.
    pub name: &'static str,
    /// What it is about, in a line.
    pub title: &'static str,
    /// The text.
    pub text: &'static str,
}

/// The topics, in the order in which a newcomer wants them.
pub const TOPICS: [Topic; 8] = [
    Topic {
        name: "language",
        title: "Rhai in a page: values, functions, closures, loops",
        text: include_str!("manual/language.md"),
    },
    Topic {
        name: "sweeps",
        title: "from options to results: axes, folders, resuming, the background",
        text: include_str!("manual/sweeps.md"),
    },
    Topic {
        name: "columns",
        title: "the columns of the epochs table, the steady state and the runs table",
        text: include_str!("manual/columns.md"),
    },
    Topic {
        name: "expressions",
        title: "what may stand in filter, select, derive, group and sort",
        text: include_str!("manual/expressions.md"),
    },
    Topic {
        name: "prompt",
        title: "keys, commands, files of the prompt",
        text: include_str!("manual/prompt.md"),
    },
    Topic { name: "notebooks", title: "kelvin in Jupyter", text: include_str!("manual/notebooks.md") },
    Topic {
        name: "paper",
        title: "the paper's experiments: modules, scripts, scales",
        text: include_str!("manual/paper.md"),
    },
    Topic {
        name: "lab",
        title: "the paper's theory on problems that can be solved, and along real trajectories",
        text: include_str!("manual/lab.md"),
    },
];

/// kelvin's own functions, sorted by name; a getter's are in [`properties`].
pub fn functions(engine: &Engine) -> Vec<Function> {
    let mut found = collect(engine, |name, signature, comments| {
        (!name.contains('$')).then(|| {
            let (doc, example) = parts(comments);
            let (call, returns) = signature.split_once(" -> ").unwrap_or((signature, ""));
            let inner = call.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
            let parameters = inner
                .split(", ")
                .filter(|parameter| !parameter.is_empty())
                .map(|parameter| parameter.rsplit(": ").next().unwrap_or_default().to_owned())
                .collect();
            Function {
                name: name.to_owned(),
                signature: signature.to_owned(),
                parameters,
                returns: returns.to_owned(),
                doc,
                example,
            }
        })
    });
    found.sort_by(|a, b| a.signature.cmp(&b.signature));
    found
}

/// The properties of kelvin's types, sorted by type.
pub fn properties(engine: &Engine) -> Vec<Property> {
    let mut found = collect(engine, |name, signature, comments| {
        let name = name.strip_prefix("get$")?;
        let (call, returns) = signature.split_once(" -> ").unwrap_or((signature, ""));
        let of = call.rsplit(": ").next().unwrap_or_default().trim_end_matches(')');
        Some(Property {
            of: of.to_owned(),
            name: name.to_owned(),
            returns: returns.to_owned(),
            doc: parts(comments).0,
        })
    });
    found.sort_by(|a, b| (&a.of, &a.name).cmp(&(&b.of, &b.name)));
    found
}

/// Something of each native function that has a doc comment: name, signature, the comment's lines.
fn collect<T>(engine: &Engine, make: impl Fn(&str, &str, &[&str]) -> Option<T>) -> Vec<T> {
    let of_one = |info: rhai::FuncInfo| {
        let lines = info.metadata.comments.iter().flat_map(|comment| comment.lines());
        let lines: Vec<&str> = lines.map(|line| line.trim_start_matches("///")).collect();
        // Only documented functions are kelvin's.
        if lines.is_empty() {
            return None;
        }
        // Rhai leaves out the spaces of types.
        let signature = info.metadata.gen_signature(|name| type_name(name).into());
        let signature = plain_signature(&signature.replace("trueorfalse", "true or false"));
        // A function of a module that the program carries is called with its module's name.
        let module = if info.namespace.is_empty() { String::new() } else { format!("{}::", info.namespace) };
        make(&format!("{module}{}", info.metadata.name), &format!("{module}{signature}"), &lines)
    };
    engine.collect_fn_metadata(None, of_one, false)
}

/// A doc comment's text and its example.
fn parts(comment: &[&str]) -> (String, Option<Example>) {
    let (mut doc, mut script): (Vec<&str>, Option<Vec<&str>>) = (Vec::new(), None);
    let (mut inside, mut needs_more) = (false, false);
    for line in comment {
        match line.trim().strip_prefix("```") {
            Some(kind) => {
                inside = !inside;
                if inside {
                    script = Some(Vec::new());
                    needs_more = kind == "no_run";
                }
            }
            None if inside => {
                script.iter_mut().for_each(|lines| lines.push(line.strip_prefix(' ').unwrap_or(line)))
            }
            None => doc.push(line.trim()),
        }
    }
    let example = script.map(|lines| Example { script: lines.join("\n"), needs_more });
    (doc.join(" ").trim().to_owned(), example)
}

/// A signature without the result that every fallible function returns.
fn plain_signature(text: &str) -> String {
    let Some((call, result)) = text.split_once(" -> ") else { return text.to_owned() };
    let bare =
        result.trim_start_matches("Scripted").trim().trim_start_matches('<').trim_end_matches('>').trim();
    if bare == "()" { call.to_owned() } else { format!("{call} -> {}", type_name(bare)) }
}

/// A type's name as scripts see it.
pub(super) fn type_name(name: &str) -> String {
    /// Types of Rust that only hold another one.
    const HOLDERS: [&str; 8] = ["Arc", "Rc", "Box", "Mutex", "RwLock", "RefCell", "Locked", "Shared"];
    let name = name.trim_start_matches("&mut ").trim();
    // What is in the brackets is what the type holds, or only says more of it.
    let (outer, inner) = name.split_once('<').unwrap_or((name, ""));
    let outer = outer.rsplit("::").next().unwrap_or(outer).trim_end_matches(['>', ' ']);
    if HOLDERS.contains(&outer) && !inner.is_empty() {
        return type_name(inner);
    }
    let name = outer;
    let name = name.strip_suffix("Handle").unwrap_or(name);
    match name {
        "i64" => "integer",
        "f64" => "number",
        "& str" | "&str" | "ImmutableString" | "String" | "string" => "text",
        "bool" => "true or false",
        "()" => "nothing",
        "Array" => "array",
        "Map" => "map",
        "FnPtr" | "Fn" => "function",
        "Range" | "RangeInclusive" | "StepRange" | "Steps" => "range",
        "Dynamic" => "any",
        name => name,
    }
    .to_owned()
}

/// A topic by name.
pub fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}

/// Everything that has an entry.
pub fn names(engine: &Engine) -> Vec<String> {
    let mut names: Vec<String> = functions(engine).into_iter().map(|function| function.name).collect();
    names.extend(properties(engine).into_iter().map(|property| property.name));
    names.extend(TOPICS.iter().map(|topic| topic.name.to_owned()));
    names.extend(options_of("sweep").into_iter().map(|(name, _)| name.to_owned()));
    names.sort();
    names.dedup();
    names
}

/// What is known of a name, as plain text; none where nothing is.
pub fn entry(engine: &Engine, name: &str) -> Option<String> {
    let mut text = String::new();
    if let Some(topic) = topic(name) {
        text += &format!("{}\n\n", topic.text.trim_end());
    }
    let mut example = None;
    for function in functions(engine).into_iter().filter(|function| function.name == name) {
        text += &wrapped(&function.signature, 8);
        text += &format!("\n{}\n", wrapped(&format!("    {}", function.doc), 4));
        example = example.or(function.example);
    }
    for property in properties(engine).into_iter().filter(|property| property.name == name) {
        text += &format!("{}.{} -> {}\n", property.of, property.name, property.returns);
        text += &format!("{}\n", wrapped(&format!("    {}", property.doc), 4));
    }
    let options = options_of(name);
    if !options.is_empty() {
        let head = match name {
            "sweep" | "train" => "Options (in a sweep, an array or a range is an axis):",
            _ => "Options:",
        };
        text += &listed(head, &options);
    }
    for call in calls_with_options().into_iter().filter(|call| *call != "train") {
        if let Some((_, doc)) = options_of(call).into_iter().find(|(option, _)| *option == name) {
            text += &format!("{name} (option of {call})\n{}\n", wrapped(&format!("    {doc}"), 4));
        }
    }
    if let Some(column) = columns::find(name) {
        text += &format!("{name} (column)\n{}\n", wrapped(&format!("    {}", column.doc), 4));
    }
    if let Some(origin) = origin(name) {
        text += &format!("\n{}\n", wrapped(&format!("Source: {origin}"), 8));
    }
    if let Some(example) = example {
        text += "\nExample:\n";
        text += &example.script.lines().map(|line| format!("    {line}\n")).collect::<String>();
    }
    // Of a module that the program carries, also without its name.
    if text.is_empty() && !name.contains("::") {
        return entry(engine, &format!("lab::{name}"));
    }
    (!text.is_empty()).then_some(text)
}

/// Where a data set, model or optimizer comes from.
fn origin(name: &str) -> Option<&'static str> {
    let data = SOURCES.iter().find(|source| source.name == name).map(|source| source.origin);
    let model = MODELS.iter().find(|model| model.name == name).map(|model| model.origin);
    let optimizer =
        OPTIMIZERS.iter().find(|optimizer| optimizer.name == name).map(|optimizer| optimizer.origin);
    data.or(model).or(optimizer).filter(|origin| !origin.is_empty())
}

/// Names and meanings, aligned, under a head.
fn listed(head: &str, list: &[(&str, &str)]) -> String {
    let width = list.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: String = list
        .iter()
        .map(|(name, doc)| wrapped(&format!("  {name:width$}  {doc}"), width + 4) + "\n")
        .collect();
    format!("\n{head}\n{lines}")
}

/// Up to the first full stop that does not end an abbreviation.
pub fn first_sentence(doc: &str) -> &str {
    let end =
        doc.match_indices(". ").find(|(at, _)| !["Eq", "Eqs"].iter().any(|word| doc[..*at].ends_with(word)));
    end.map_or(doc, |(at, _)| &doc[..=at])
}

/// The values that an option's meaning names in quotes: its choices.
pub fn choices(call: &str, option: &str) -> Vec<&'static str> {
    if option == "seed" {
        return Vec::new();
    }
    let options = options_of(call);
    let Some((_, doc)) = options.iter().find(|(name, _)| *name == option) else { return Vec::new() };
    let mut found: Vec<&str> = doc.split('"').skip(1).step_by(2).collect();
    found.dedup();
    let mut seen = Vec::new();
    found.retain(|value| {
        !seen.contains(value) && {
            seen.push(value);
            true
        }
    });
    found
}

/// The keys of a map of options; `within` is the key whose value the map is, if it is one.
pub fn keys(call: &str, within: Option<&str>) -> Vec<(&'static str, &'static str)> {
    match within {
        Some("seed") => Seeds::NAMES.iter().map(|name| (*name, "a seed of its own")).collect(),
        Some("steady") => options_of("steady"),
        Some("run") => options_of("run"),
        Some("measure") => MEASURE_KEYS.to_vec(),
        Some(_) => Vec::new(),
        None => options_of(call),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Session, engine};

    #[test]
    fn every_function_has_an_example_and_every_call_with_options_exists() {
        let engine = engine(&Session::silent());
        let functions = functions(&engine);
        let folders = SOURCES.iter().map(|source| source.name);
        let mut without: Vec<&str> = functions
            .iter()
            .map(|function| function.name.as_str())
            .filter(|name| !name.starts_with("to_") && !folders.clone().any(|folder| folder == *name))
            .filter(|name| !functions.iter().any(|other| other.name == *name && other.example.is_some()))
            .collect();
        without.dedup();
        assert!(without.is_empty(), "no example: {without:?}");
        for call in calls_with_options() {
            assert!(functions.iter().any(|function| function.name == call), "{call}");
            assert!(!options_of(call).is_empty(), "{call}");
        }
    }

    #[test]
    fn an_entry_has_signature_options_source_and_example() {
        let engine = engine(&Session::silent());
        let sgd = entry(&engine, "sgd").unwrap();
        for part in ["sgd(options: map) -> Optimizer", "Options:\n  momentum", "Source: ", "Example:\n    "] {
            assert!(sgd.contains(part), "{part}: {sgd}");
        }
        assert!(entry(&engine, "lr").unwrap().contains("option of sweep"));
        assert!(entry(&engine, "parameters").unwrap().contains("Network.parameters -> integer"));
        assert!(entry(&engine, "columns").unwrap().contains("temperature"));
        assert!(entry(&engine, "gap").unwrap().contains("gap (column)\n    test_loss − train_loss"));
        for (name, _, doc) in crate::train::QUANTITIES {
            assert!(entry(&engine, name).is_some_and(|entry| entry.contains(doc)), "{name}: {doc}");
        }
        assert!(entry(&engine, "lab::gap").unwrap().contains("Options:\n  temperature"));
        assert!(entry(&engine, "nothing_at_all").is_none());
    }

    /// No text ends in the middle: of what is written for people, each says a sentence to its end,
    /// and brackets and quotes are closed.
    #[test]
    fn no_text_of_help_is_cut_off() {
        let engine = engine(&Session::silent());
        let closed = |text: &str| {
            let count = |c: char| text.matches(c).count();
            // `[0, 1)` is an interval.
            let round = text.replace("[0, 1)", "");
            let count_round = |c: char| round.matches(c).count();
            count_round('(') == count_round(')')
                && count('`').is_multiple_of(2)
                && count('"').is_multiple_of(2)
        };
        for function in functions(&engine) {
            let (name, doc) = (&function.signature, &function.doc);
            assert!(doc.ends_with('.') || doc.ends_with(':'), "{name}: {doc}");
            assert!(closed(doc) && closed(first_sentence(doc)), "{name}: {doc}");
        }
        for property in properties(&engine) {
            let Property { of, name, doc, .. } = property;
            assert!((doc.ends_with('.') || doc.ends_with('}')) && closed(&doc), "{of}.{name}: {doc}");
        }
        for call in calls_with_options() {
            for (option, doc) in options_of(call) {
                assert!(closed(doc) && !doc.ends_with([',', ':', ';']), "{call}: {option}: {doc}");
            }
        }
        for column in columns::of_epochs(true).chain(columns::of_steady()) {
            let (name, doc) = (column.name, column.doc);
            assert!(closed(doc) && !doc.ends_with([',', ':', ';']), "{name}: {doc}");
        }
        assert!(entry(&engine, "converged").unwrap().replace("\n   ", "").contains("(p ≥ 0.01, `level`)"));
        for topic in &TOPICS {
            assert!(
                topic.text.trim_end().ends_with(['.', '`', ')', '}', ':']) || topic.text.ends_with("\n"),
                "{}",
                topic.name
            );
        }
    }

    #[test]
    fn types_are_named_as_scripts_know_them() {
        for (name, shown) in [
            ("alloc::sync::Arc<std::sync::Mutex<kelvin::model::network::Network>>", "Network"),
            ("alloc::sync::Arc<kelvin::script::handles::PlotHandle>", "Plot"),
            ("rhai::packages::iter_basic::StepRange<i64>", "range"),
            ("core::ops::range::RangeInclusive<i64>", "range"),
            ("&mut kelvin::table::Table", "Table"),
            ("Array", "array"),
        ] {
            assert_eq!(type_name(name), shown, "{name}");
        }
    }

    #[test]
    fn choices_are_those_of_the_options() {
        assert_eq!(choices("sweep", "sampling"), ["split", "random", "fixed"]);
        assert_eq!(choices("steady", "statistic"), ["median", "mean"]);
        assert_eq!(choices("sweep", "lr"), [""; 0]);
        assert_eq!(keys("sweep", Some("seed")).len(), 5);
    }
}
