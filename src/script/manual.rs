//! What there is to know of every name: the one source of help, of `kelvin doc` and of completion.
//!
//! Functions come from the doc comments of the bindings, options from the schemas of
//! [`super::catalogue`], columns from [`crate::sweep::columns`], topics from `manual/`.

use rhai::Engine;

use super::catalogue::{calls, options_of};
use super::screen::wrapped;
pub(super) use super::types::type_name;
use crate::data::SOURCES;
use crate::model::MODELS;
use crate::optim::OPTIMIZERS;
use crate::options::Opt;
use crate::sweep::columns;

/// One way to call a function.
pub struct Function {
    /// Its name.
    pub name: String,
    /// How it is called: `filter(table: Table, condition: text) -> Table`.
    pub signature: String,
    /// The types of its parameters, as scripts see them; the first one is what stands before the
    /// dot of a method.
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

/// A topic by name.
pub fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}

/// Everything that has an entry.
pub fn names(engine: &Engine) -> Vec<String> {
    let mut names: Vec<String> = functions(engine).into_iter().map(|function| function.name).collect();
    names.extend(properties(engine).into_iter().map(|property| property.name));
    names.extend(TOPICS.iter().map(|topic| topic.name.to_owned()));
    names.extend(options_of("sweep").iter().map(|opt| opt.name.to_owned()));
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
    text += &listed(options_of(name));
    for call in calls().iter().filter(|call| call.name != "train") {
        if let Some(opt) = call.options.iter().find(|opt| opt.is_called(name)) {
            text += &format!("{name} (option of {})\n", call.name);
            text += &format!("{}\n", wrapped(&format!("    {}", opt.meaning()), 4));
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

/// Options with all that is known of them, and the keys of their maps (`seed.split`), where those
/// are not another call's options.
fn rows(options: &[Opt]) -> Vec<(String, String)> {
    let names = |options: &[Opt]| options.iter().map(|opt| opt.name).collect::<Vec<_>>();
    let mut rows = Vec::new();
    for opt in options {
        rows.push((opt.name.to_owned(), opt.meaning()));
        if names(opt.keys()) != names(options_of(opt.name)) {
            let of_key = |key: &Opt| (format!("{}.{}", opt.name, key.name), key.meaning());
            rows.extend(opt.keys().iter().map(of_key));
        }
    }
    rows
}

/// Options, aligned, under a head; nothing where there are none.
fn listed(options: &[Opt]) -> String {
    if options.is_empty() {
        return String::new();
    }
    let head = match options.iter().any(|opt| opt.axis) {
        true => "Options (axis: an array or a range tries each of its values):",
        false => "Options:",
    };
    let rows = rows(options);
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, meaning): &(String, String)| {
        wrapped(&format!("  {name:width$}  {meaning}"), width + 4) + "\n"
    };
    format!("\n{head}\n{}", rows.iter().map(line).collect::<String>())
}

/// Up to the first full stop that does not end an abbreviation.
pub fn first_sentence(doc: &str) -> &str {
    let end =
        doc.match_indices(". ").find(|(at, _)| !["Eq", "Eqs"].iter().any(|word| doc[..*at].ends_with(word)));
    end.map_or(doc, |(at, _)| &doc[..=at])
}

/// The options of a map; `within` is the key of a call's options whose value the map is, if it is
/// one.
pub fn keys(call: &str, within: Option<&str>) -> &'static [Opt] {
    let options = options_of(call);
    match within {
        Some(key) => options.iter().find(|opt| opt.is_called(key)).map_or(&[], Opt::keys),
        None => options,
    }
}

/// Definitions of all functions with their comments and options, in Rhai's format for editors.
pub fn definitions(engine: &Engine) -> String {
    let plain = engine.definitions().include_standard_packages(false).single_file();
    let (mut text, mut module) = (String::new(), String::new());
    for line in plain.lines() {
        let line_of = |start: &str| line.trim_start().strip_prefix(start);
        if let Some(name) = line_of("module ").and_then(|rest| rest.strip_suffix(" {")) {
            module = format!("{name}::");
        } else if line.starts_with('}') {
            module.clear();
        } else if let Some((name, parameters)) = line_of("fn ").and_then(|rest| rest.split_once('('))
            && parameters.contains("options: map")
        {
            let options = options_of(&format!("{module}{name}"));
            text += if options.is_empty() { "" } else { "///\n/// Options:\n" };
            for (name, meaning) in rows(options) {
                text += &format!("/// - `{name}`: {meaning}\n");
            }
        }
        text += line;
        text.push('\n');
    }
    text
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
        for call in calls() {
            assert!(functions.iter().any(|function| function.name == call.name), "{}", call.name);
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
        let flat = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let sweep = flat(entry(&engine, "sweep").unwrap());
        for part in [" seed.split which", " measure.every epochs", "> 0; required; axis", "default \"split\""]
        {
            assert!(sweep.contains(part), "{part}: {sweep}");
        }
        let average = entry(&engine, "average_over").unwrap();
        assert!(!average.contains("steady."), "they are those of steady: {average}");
        assert!(entry(&engine, "parameters").unwrap().contains("Network.parameters -> integer"));
        assert!(entry(&engine, "columns").unwrap().contains("temperature"));
        assert!(entry(&engine, "gap").unwrap().contains("gap (column)\n    test_loss − train_loss"));
        for (name, _, doc) in crate::train::QUANTITIES {
            assert!(entry(&engine, name).is_some_and(|entry| entry.contains(doc)), "{name}: {doc}");
        }
        assert!(entry(&engine, "lab::gap").unwrap().contains(":\n  temperature"));
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
        for call in calls() {
            for opt in call.options {
                let (call, name, doc) = (call.name, opt.name, opt.meaning());
                assert!(closed(&doc) && !doc.ends_with([',', ':', ';']), "{call}: {name}: {doc}");
                assert!(!doc.is_empty(), "{call}: {name}");
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
    fn keys_are_those_of_the_options() {
        let choices = |call: &str, name: &str| {
            keys(call, None).iter().find(|opt| opt.name == name).map(Opt::choices).unwrap_or_default()
        };
        assert_eq!(choices("sweep", "sampling"), ["split", "random", "fixed"]);
        assert_eq!(choices("steady", "statistic"), ["median", "mean"]);
        assert_eq!(choices("sweep", "measure"), ["gradient", "hessian", "spectrum"]);
        assert_eq!(choices("sweep", "lr"), [""; 0]);
        assert_eq!(keys("sweep", Some("seed")).len(), 5);
        assert_eq!(keys("train", Some("measure")).len(), 2);
        assert!(keys("sweep", Some("lr")).is_empty() && keys("nothing", None).is_empty());
    }

    #[test]
    fn definitions_for_editors_tell_the_options() {
        let comment = |before: &str| before.rsplit("\n\n").next().unwrap_or_default().to_owned();
        let text = definitions(&engine(&Session::silent()));
        let (before, _) = text.split_once("fn join(table: Table, other: Table, options: map)").unwrap();
        assert!(
            comment(before).contains("/// - `how`: which rows are kept: \"inner\""),
            "{}",
            comment(before)
        );
        let (before, _) = text.split_once("fn gap(problem: Problem, options: map)").unwrap();
        assert!(comment(before).contains("/// - `temperature`: T = lr / batch"), "{}", comment(before));
    }
}
