//! What may stand at the cursor: names, methods of a value's type, options and their values,
//! columns, files.

use std::path::Path;

use super::commands::COMMANDS;
use super::syntax::{Kind, Token, tokens};
use crate::data::{Place, SOURCES, SourceEntry};
use crate::options::Opt;
use crate::script::manual::{self, Function, Property};
use crate::visible::is_hidden;

/// A variable of the session.
#[derive(Clone, Debug)]
pub(in crate::shell) struct Variable {
    pub name: String,
    /// Its type, as scripts see it.
    pub kind: String,
    /// The columns of a table.
    pub columns: Vec<String>,
    /// The keys of a map.
    pub keys: Vec<String>,
}

/// What completion knows.
pub(in crate::shell) struct Known {
    pub functions: Vec<Function>,
    pub properties: Vec<Property>,
    pub variables: Vec<Variable>,
    /// Columns of an epochs table and of its steady state.
    pub columns: Vec<String>,
    /// Modules that the program carries.
    pub modules: Vec<String>,
    /// The modules that were imported, by alias, with the functions of each.
    pub imports: Vec<(String, Vec<String>)>,
}

/// What may stand somewhere.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shell) struct Found {
    /// The byte from which on it replaces what was typed.
    pub start: usize,
    /// What may stand there, sorted.
    pub candidates: Vec<String>,
}

/// Calls and options whose text is a path, besides the sources of images.
const PATHS: [&str; 12] =
    ["parquet", "results", "run", "start", "save", "load", "write", "plan", "why", "import", "init", "dir"];

/// Whether the text of a call or an option is a path.
fn is_path(name: &str) -> bool {
    let of_files = |source: &SourceEntry| source.place != Place::Inside;
    PATHS.contains(&name) || SOURCES.iter().any(|source| source.name == name && of_files(source))
}

/// Types on which a text of a method call is made of columns.
const OF_COLUMNS: [&str; 2] = ["Table", "Plot"];

/// Calls of these types whose text is none of columns.
const NO_COLUMNS: [&str; 6] = ["title", "x_label", "y_label", "show", "legend", "describe"];

/// What may stand at the end of `line`, of what can be typed as it is seen.
pub(in crate::shell) fn complete(line: &str, known: &Known) -> Found {
    /// More are no help, and line editors count them in 16 bits; so do they with characters.
    const MOST: usize = 10_000;
    const LONGEST: usize = 1000;
    let mut found = candidates(line, known);
    found.candidates.retain(|name| name.len() <= LONGEST && !name.chars().any(|c| c == '\n' || is_hidden(c)));
    found.candidates.truncate(MOST);
    found
}

fn candidates(line: &str, known: &Known) -> Found {
    if let Some(found) = command(line, known) {
        return found;
    }
    let tokens = tokens(line);
    // In an unfinished text, its content decides.
    if let Some((Token { kind: Kind::Text(false), range }, before)) = tokens.split_last() {
        return in_text(line, range.start, before, known);
    }
    if matches!(tokens.last(), Some(Token { kind: Kind::Comment(_), range }) if range.end == line.len()) {
        return Found { start: line.len(), candidates: Vec::new() };
    }
    let start = line
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
        .map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    let word = &line[start..];
    let before: Vec<Token> = tokens.into_iter().filter(|token| token.range.end <= start).collect();
    let text = |token: &Token| &line[token.range.clone()];
    let all = match before.last().map(text) {
        Some(":") if before.len() >= 3 && text(&before[before.len() - 2]) == ":" => {
            let alias = text(&before[before.len() - 3]);
            let imported = known.imports.iter().filter(|(name, _)| name == alias);
            // A module that the program carries needs no import.
            let own = known.functions.iter().filter_map(|function| function.name.split_once("::"));
            let own = own.filter(|(module, _)| *module == alias).map(|(_, name)| name.to_owned());
            imported.flat_map(|(_, names)| names.clone()).chain(own).collect()
        }
        Some(".") if before.len() < 2 || text(&before[before.len() - 2]) != "." => members(
            &kind_of(line, &before[..before.len() - 1], known),
            line,
            &before[..before.len() - 1],
            known,
        ),
        last => match enclosing(line, &before) {
            Some(Enclosing::Map { call, within }) if matches!(last, Some("{" | ",")) => {
                let given = keys_given(line, &before);
                let keys = manual::keys(&call, within.as_deref());
                keys.iter().map(|opt| opt.name.to_owned()).filter(|key| !given.contains(key)).collect()
            }
            Some(Enclosing::Map { call, within }) if last == Some(":") => {
                let key = before.get(before.len().wrapping_sub(2)).map(text).unwrap_or_default();
                let option = manual::keys(&call, within.as_deref()).iter().find(|opt| opt.is_called(key));
                let choices = option.map(Opt::choices).unwrap_or_default();
                let choices = choices.into_iter().map(|choice| format!("\"{choice}\""));
                let constructors = option.map(|opt| opt.kind.handles()).unwrap_or_default();
                let constructors = known.functions.iter().filter(|function| {
                    // Methods give one, too; a constructor's first argument is none.
                    constructors.contains(&function.returns.as_str())
                        && function.parameters.first().is_none_or(|first| first != &function.returns)
                });
                let constructors: Vec<String> = constructors.map(|function| function.name.clone()).collect();
                choices.chain(constructors).chain(names(known, word)).collect()
            }
            _ => names(known, word),
        },
    };
    Found { start, candidates: matching(all, word) }
}

/// What may stand in a command such as `:load FILE`, or in a question such as `?fit_gap`; none
/// where it is neither.
fn command(line: &str, known: &Known) -> Option<Found> {
    let asked = |start: usize| {
        let topics = manual::TOPICS.iter().map(|topic| topic.name.to_owned());
        let names = known.functions.iter().map(|function| function.name.clone()).chain(topics);
        Found { start, candidates: matching(names.collect(), &line[start..]) }
    };
    if line.starts_with('?') {
        return Some(asked(1));
    }
    let command = line.strip_prefix(':')?;
    let Some((name, _)) = command.split_once(' ') else {
        let fits = COMMANDS.iter().map(|known| known.name.to_owned());
        return Some(Found { start: 1, candidates: matching(fits.collect(), command) });
    };
    let start = name.len() + 2;
    match name {
        "load" | "save" => Some(files(line, start)),
        "doc" => Some(asked(start)),
        // What follows is evaluated.
        "time" | "type" => {
            let found = candidates(&line[start..], known);
            Some(Found { start: found.start + start, ..found })
        }
        _ => Some(Found { start: line.len(), candidates: Vec::new() }),
    }
}

/// Those that begin with a word, sorted, each once.
fn matching(mut all: Vec<String>, word: &str) -> Vec<String> {
    all.retain(|name| name.starts_with(word));
    all.sort();
    all.dedup();
    all
}

/// Variables and functions, and the language's words once something is typed.
fn names(known: &Known, word: &str) -> Vec<String> {
    if word.is_empty() {
        return known.variables.iter().map(|variable| variable.name.clone()).collect();
    }
    let functions = known.functions.iter().filter(|function| {
        // Methods stand after a dot.
        !function.name.starts_with("to_")
    });
    // Of a module's functions the module.
    let names = functions.map(|function| function.name.split("::").next().unwrap_or_default().to_owned());
    let words = super::syntax::KEYWORDS.iter().map(|word| (*word).to_owned());
    let variables = known.variables.iter().map(|variable| variable.name.clone());
    names.chain(words).chain(variables).collect()
}

/// The properties and methods of a type; of maps their keys.
fn members(kind: &str, line: &str, receiver: &[Token], known: &Known) -> Vec<String> {
    let variable = match receiver {
        [Token { kind: Kind::Name, range }] => {
            known.variables.iter().find(|variable| variable.name == line[range.clone()])
        }
        _ => None,
    };
    let is_name = |name: &&String| {
        name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    if let Some(variable) = variable.filter(|_| kind == "map") {
        return variable.keys.iter().filter(is_name).cloned().collect();
    }
    let properties = known.properties.iter().filter(|property| kind.is_empty() || property.of == kind);
    let methods = known.functions.iter().filter(|function| {
        let first = function.parameters.first();
        // Of a value whose type is not known, the methods of kelvin's types.
        let fits = |first: &String| {
            if kind.is_empty() { first.starts_with(char::is_uppercase) } else { first == kind }
        };
        let is_method = !function.name.starts_with("to_") && !function.name.contains("::");
        is_method && first.is_some_and(fits)
    });
    let mut all: Vec<String> = methods.map(|function| function.name.clone()).collect();
    all.extend(properties.map(|property| property.name.clone()));
    let columns = variable.into_iter().flat_map(|variable| variable.columns.iter().filter(is_name));
    all.extend(columns.cloned());
    if kind == "array" {
        all.extend(
            ["len", "push", "map", "filter", "reduce", "contains", "sort", "is_empty", "pop"]
                .map(str::to_owned),
        );
    }
    all
}

/// The type of the value that ends with these words; empty where it is not known.
fn kind_of(line: &str, words: &[Token], known: &Known) -> String {
    let kind = declared_kind(line, words, known);
    if kind == "any" { String::new() } else { kind }
}

fn declared_kind(line: &str, words: &[Token], known: &Known) -> String {
    let Some(last) = words.last() else { return String::new() };
    let text = &line[last.range.clone()];
    match last.kind {
        Kind::Text(_) => "text".to_owned(),
        Kind::Number => if text.contains('.') { "number" } else { "integer" }.to_owned(),
        Kind::Name => match words.len().checked_sub(2).map(|dot| &line[words[dot].range.clone()]) {
            Some(".") => {
                let of = kind_of(line, &words[..words.len() - 2], known);
                let found =
                    known.properties.iter().find(|property| property.name == text && property.of == of);
                found.map_or(String::new(), |property| property.returns.clone())
            }
            _ => {
                let found = known.variables.iter().find(|variable| variable.name == text);
                found.map_or(String::new(), |variable| variable.kind.clone())
            }
        },
        Kind::Close if text == "]" => match opening(words, words.len() - 1) {
            // An index, whose value may be anything, or an array.
            Some(open) if open > 0 && matches!(words[open - 1].kind, Kind::Name | Kind::Close) => {
                String::new()
            }
            _ => "array".to_owned(),
        },
        Kind::Close if text == ")" => {
            let Some(open) = opening(words, words.len() - 1) else { return String::new() };
            let Some(name) = open.checked_sub(1).filter(|name| words[*name].kind == Kind::Name) else {
                return kind_of(line, &words[open + 1..words.len() - 1], known);
            };
            let call = &line[words[name].range.clone()];
            let is_method = name > 0 && &line[words[name - 1].range.clone()] == ".";
            let of = if is_method { kind_of(line, &words[..name - 1], known) } else { String::new() };
            let fits = |function: &&Function| {
                function.name == call && (of.is_empty() || function.parameters.first() == Some(&of))
            };
            known.functions.iter().find(fits).map_or(String::new(), |function| function.returns.clone())
        }
        _ => String::new(),
    }
}

/// The bracket that a closing one belongs to.
fn opening(words: &[Token], close: usize) -> Option<usize> {
    let mut depth = 0;
    for at in (0..=close).rev() {
        match words[at].kind {
            Kind::Close => depth += 1,
            Kind::Open => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// What is open around the cursor.
#[derive(Debug, PartialEq, Eq)]
enum Enclosing {
    /// A call's brackets.
    Call { name: String, at: usize },
    /// A map of a call's options; `within` is the key whose value it is.
    Map { call: String, within: Option<String> },
    /// Something else.
    Other,
}

/// The brackets that are open, outermost first.
fn open_brackets(words: &[Token]) -> Vec<usize> {
    let mut open = Vec::new();
    for (at, word) in words.iter().enumerate() {
        match word.kind {
            Kind::Open => open.push(at),
            Kind::Close => {
                open.pop();
            }
            _ => {}
        }
    }
    open
}

/// What the innermost open bracket belongs to.
fn enclosing(line: &str, words: &[Token]) -> Option<Enclosing> {
    let open = open_brackets(words);
    let text = |at: usize| words.get(at).map_or("", |word| &line[word.range.clone()]);
    let is_map = |at: usize| text(at) == "{" && at > 0 && text(at - 1) == "#";
    let call = |at: usize| {
        let named = text(at) == "(" && at > 0 && matches!(words[at - 1].kind, Kind::Name | Kind::Keyword);
        named.then(|| match at >= 4 && text(at - 2) == ":" && text(at - 3) == ":" {
            true => format!("{}::{}", text(at - 4), text(at - 1)),
            false => text(at - 1).to_owned(),
        })
    };
    let &innermost = open.last()?;
    if let Some(name) = call(innermost) {
        return Some(Enclosing::Call { name, at: innermost });
    }
    if !is_map(innermost) {
        return Some(Enclosing::Other);
    }
    // A map in an array, a block or brackets is no map of options.
    let options = open.iter().rev().find(|&&at| !is_map(at)).and_then(|&at| call(at));
    let call = options.unwrap_or_default();
    let outer = open.len().checked_sub(2).map(|outer| open[outer]).filter(|&outer| is_map(outer));
    let within = outer.and_then(|_| innermost.checked_sub(3)).map(|key| text(key).to_owned());
    Some(Enclosing::Map { call, within })
}

/// The keys that the innermost map has already.
fn keys_given(line: &str, words: &[Token]) -> Vec<String> {
    let Some(&open) = open_brackets(words).last() else { return Vec::new() };
    let mut depth = 0;
    let mut keys = Vec::new();
    for pair in words[open + 1..].windows(2) {
        match pair[0].kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            Kind::Name if depth == 0 && &line[pair[1].range.clone()] == ":" => {
                keys.push(line[pair[0].range.clone()].to_owned());
            }
            _ => {}
        }
    }
    keys
}

/// What may stand in a text that begins at `start`.
fn in_text(line: &str, start: usize, before: &[Token], known: &Known) -> Found {
    let inside = start + 1;
    let text = |at: usize| before.get(at).map_or("", |word| &line[word.range.clone()]);
    let nothing = Found { start: line.len(), candidates: Vec::new() };
    let key = (before.len() >= 2 && text(before.len() - 1) == ":").then(|| text(before.len() - 2).to_owned());
    let import = text(before.len().wrapping_sub(1)) == "import";
    let enclosing = enclosing(line, before);
    let mut is_column = false;
    if let (Some(key), Some(Enclosing::Map { call, within })) = (&key, &enclosing) {
        let option = manual::keys(call, within.as_deref()).iter().find(|opt| opt.is_called(key));
        let choices = option.map(Opt::choices).unwrap_or_default();
        if !choices.is_empty() {
            let choices = choices.into_iter().map(str::to_owned).collect();
            return Found { start: inside, candidates: matching(choices, &line[inside..]) };
        }
        if is_path(key) {
            return files(line, inside);
        }
        is_column = option.is_some_and(|opt| opt.kind.is_column());
    }
    let call = match &enclosing {
        Some(Enclosing::Call { name, at }) => Some((name.as_str(), *at)),
        // select(["…, group(…, ["…
        Some(Enclosing::Other) => open_brackets(before).iter().rev().find_map(|&at| {
            (text(at) == "(" && at > 0 && before[at - 1].kind == Kind::Name).then(|| (text(at - 1), at))
        }),
        _ => None,
    };
    if call.is_some_and(|(name, _)| name == "help") {
        let names = known.functions.iter().map(|function| function.name.clone());
        let names = names.chain(manual::TOPICS.iter().map(|topic| topic.name.to_owned()));
        return Found { start: inside, candidates: matching(names.collect(), &line[inside..]) };
    }
    if call.is_some_and(|(name, _)| name == "download") {
        let sets = SOURCES.iter().filter(|source| !source.archives.is_empty());
        let sets = sets.map(|source| source.name.to_owned()).collect();
        return Found { start: inside, candidates: matching(sets, &line[inside..]) };
    }
    let of_columns = match (&key, call) {
        (Some(_), _) => is_column,
        (None, Some((name, at))) => {
            let method = at >= 2 && text(at - 2) == ".";
            let kind = if method { kind_of(line, &before[..at - 2], known) } else { String::new() };
            method && OF_COLUMNS.contains(&kind.as_str()) && !NO_COLUMNS.contains(&name) && !is_path(name)
        }
        _ => false,
    };
    if of_columns {
        let word = line[inside..].rfind(|c: char| !(c.is_alphanumeric() || c == '_'));
        let word = word
            .map_or(inside, |at| inside + at + line[inside + at..].chars().next().map_or(1, char::len_utf8));
        return Found { start: word, candidates: matching(columns(line, before, known), &line[word..]) };
    }
    match call {
        _ if import => {
            let mut found = files(line, inside);
            if found.start == inside {
                let modules = ["stdlib", "."].iter().flat_map(std::fs::read_dir).flatten().flatten();
                let names = modules
                    .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rhai")?.to_owned()));
                found.candidates.retain(|name| !name.ends_with(".rhai"));
                found.candidates.extend(names.chain(known.modules.iter().cloned()));
                found.candidates = matching(found.candidates, &line[inside..]);
            }
            found
        }
        Some((name, _)) if is_path(name) => files(line, inside),
        _ => nothing,
    }
}

/// The columns of the tables that the words name; of a sweep's where there are none.
fn columns(line: &str, words: &[Token], known: &Known) -> Vec<String> {
    let named = |variable: &&Variable| {
        !variable.columns.is_empty()
            && words.iter().any(|word| word.kind == Kind::Name && line[word.range.clone()] == variable.name)
    };
    let mut found: Vec<String> =
        known.variables.iter().filter(named).flat_map(|variable| variable.columns.clone()).collect();
    let calls = |name: &str| words.iter().any(|word| &line[word.range.clone()] == name);
    if found.is_empty() || (calls("steady") && found.iter().any(|column| column == "run_id")) {
        found.extend(known.columns.iter().cloned());
    }
    found
}

/// The files and folders that a beginning may mean; those of a folder end with `/`.
fn files(line: &str, inside: usize) -> Found {
    let typed = &line[inside..];
    let start = typed.rfind('/').map_or(inside, |at| inside + at + 1);
    let folder = &line[inside..start];
    let entries = std::fs::read_dir(if folder.is_empty() { Path::new(".") } else { Path::new(folder) });
    let names = entries.into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(if entry.path().is_dir() { name + "/" } else { name })
    });
    let word = &line[start..];
    let candidates =
        matching(names.filter(|name| word.starts_with('.') || !name.starts_with('.')).collect(), word);
    Found { start, candidates }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let engine = crate::script::engine(&crate::script::Session::silent());
        let variable = |name: &str, kind: &str, columns: &[&str], keys: &[&str]| Variable {
            name: name.to_owned(),
            kind: kind.to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
        };
        Known {
            functions: manual::functions(&engine),
            properties: manual::properties(&engine),
            variables: vec![
                variable("runs", "Table", &["run_id", "batch", "gap", "test_loss", "test_accuracy"], &[]),
                variable("data", "Dataset", &[], &[]),
                variable("settings", "map", &[], &["lr", "length"]),
            ],
            columns: vec!["converged".to_owned(), "gap".to_owned()],
            modules: vec!["paper".to_owned()],
            imports: vec![("paper".to_owned(), vec!["runs".to_owned(), "steady".to_owned()])],
        }
    }

    fn at(line: &str) -> Vec<String> {
        complete(line, &known()).candidates
    }

    #[test]
    fn names_and_variables() {
        assert_eq!(at("let s = swe"), ["sweep"]);
        assert_eq!(at("ru"), ["run", "runs"]);
        assert_eq!(at("print(settings, da"), ["data"]);
        assert_eq!(at("// swe"), [""; 0]);
        assert_eq!(at("paper::r"), ["runs"]);
        assert_eq!(at("let p = la"), ["lab", "label_noise", "last_quarter", "last_run"]);
        assert_eq!(at("lab::g"), ["gap", "gaussian_mean"]);
        assert_eq!(at("?fit_g"), ["fit_gap"]);
        assert_eq!(at(":ti"), ["time"]);
        assert_eq!(at(":time fit_g"), ["fit_gap"]);
        assert_eq!(at("äöü swe"), ["sweep"]);
    }

    #[test]
    fn methods_and_properties_of_the_values_type() {
        assert_eq!(at("data.sh"), ["shape", "show"]);
        assert_eq!(at("runs.ste"), ["steady"]);
        assert_eq!(at("runs.test_l"), ["test_loss"]);
        assert_eq!(at("runs.filter(\"gap > 0\").ste"), ["steady"]);
        assert_eq!(at("resnet(#{ width: 4 }).par"), ["parameters"]);
        assert_eq!(at("sweep(#{ lr: 0.1 }).ru"), ["run"]);
        assert_eq!(at("settings.l"), ["length", "lr"]);
        assert_eq!(at("plot(runs).log"), ["log_x", "log_y"]);
        assert_eq!(at("lab::gap(problem, #{}).ga"), [""; 0]);
        // Not those of others.
        assert!(!at("data.").contains(&"filter".to_owned()));
    }

    #[test]
    fn options_and_their_values() {
        assert_eq!(at("sweep(#{ mod"), ["model"]);
        assert_eq!(at("sweep(#{ data: digits(), model: resnet(#{ wi"), ["width"]);
        assert_eq!(at("let p = sweep(#{\n  lr: 0.1,\n  ba"), ["batch"]);
        assert!(!at("sweep(#{ lr: 0.1, l").contains(&"lr".to_owned()));
        assert_eq!(
            at("sweep(#{ sampling: "),
            ["\"fixed\"", "\"random\"", "\"split\"", "data", "runs", "settings"]
        );
        assert_eq!(at("sweep(#{ sampling: \"ra"), ["random"]);
        assert_eq!(at("sweep(#{ model: linea"), ["linear"]);
        assert!(at("sweep(#{ model: ").contains(&"resnet".to_owned()));
        assert!(at("sweep(#{ optimizer: ").starts_with(&["adam".to_owned()]));
        assert!(!at("f(x, [#{ l").contains(&"lr".to_owned()));
        assert_eq!(at("sweep(#{ seed: #{ sp"), ["split"]);
        assert_eq!(at("sgd(#{ form: \"s"), ["sutskever"]);
        assert_eq!(at("p.run(\"results\", #{ che"), ["checkpoint_every"]);
        assert_eq!(at("runs.steady(#{ statistic: \"m"), ["mean", "median"]);
        assert_eq!(at("help(\"fit_"), ["fit_gap"]);
        assert_eq!(at("lab::sgd(lab::gaussian_mean(#{ sig"), ["sigma"]);
        assert_eq!(at("lab::check(problem, #{ temperature: 0.1, gauge: \"re"), ["reference"]);
    }

    #[test]
    fn columns_in_expressions() {
        assert_eq!(at("runs.filter(\"test_"), ["test_accuracy", "test_loss"]);
        assert_eq!(at("runs.filter(\"gap > 0 and ba"), ["batch"]);
        assert_eq!(at("runs.group([\"ba"), ["batch"]);
        assert_eq!(at("runs.group([\"batch\"], [\"avg(ga"), ["gap"]);
        assert_eq!(at("plot(runs).x(\"ba"), ["batch"]);
        assert_eq!(at("plot(runs.steady()).y(\"conv"), ["converged"]);
        assert_eq!(at("fit_gap(runs, #{ y: \"test_l"), ["test_loss"]);
        assert_eq!(at("plot(runs).title(\"ba"), [""; 0]);
    }

    #[test]
    fn what_cannot_be_typed_is_no_candidate() {
        let mut known = known();
        let names = ["gap\u{1b}]0;pwn\u{7}", "gap\u{202e}x", "gap\nx"];
        known.variables[0].columns.extend(names.map(str::to_owned));
        known.variables[0].columns.push("gap".repeat(1000));
        known.variables[2].keys = (0..70_000).map(|number| format!("key{number}")).collect();
        assert_eq!(complete("runs.filter(\"ga", &known).candidates, ["gap"]);
        assert_eq!(complete("runs.ga", &known).candidates, ["gap"]);
        assert_eq!(complete("settings.k", &known).candidates.len(), 10_000);
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        file("seen.parquet");
        file("seen\u{1b}[2J.parquet");
        let line = format!("parquet(\"{}/se", folder.path().display());
        assert_eq!(complete(&line, &known).candidates, ["seen.parquet"]);
    }

    #[test]
    fn files_in_paths() {
        assert_eq!(at("parquet(\"Cargo.t"), ["Cargo.toml"]);
        assert_eq!(at("results(\"src/scr"), ["script/"]);
        assert_eq!(complete("results(\"src/scr", &known()).start, "results(\"src/".len());
        assert_eq!(at("import \"stdl"), ["stdlib/"]);
        assert_eq!(at("import \"pap"), ["paper"]);
        assert_eq!(at(":load src/scr"), ["script/"]);
    }
}
