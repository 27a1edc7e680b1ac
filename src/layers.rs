//! Whether arrows point down: which file uses which is read from the sources, and held against the
//! layers of `ARCHITECTURE.md`.
//!
//! A file uses another where a path names something that is defined there; what a `mod.rs` passes
//! on counts for the file that defines it. Unit tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The layers from the top down: files and folders of `src/`. A layer may use those below it.
const LAYERS: [&[&str]; 12] = [
    &["shell"],
    &["script"],
    &["plot"],
    &["analysis"],
    &["sweep"],
    &["train"],
    &["theory"],
    &["optim", "model", "data", "table"],
    &["torch"],
    &["cuda"],
    &["untrusted"],
    GROUND,
];

/// The lowest layer, whose files may use each other.
const GROUND: &[&str] = &[
    "beneath",
    "decimal",
    "door",
    "entries",
    "error",
    "files",
    "hash",
    "home",
    "interrupt",
    "memory",
    "options",
    "precision",
    "rng",
    "threads",
    "visible",
];

/// Files that use each other in a circle, with their reason. A circle that is opened is taken out
/// of this list, and a file that leaves one out of its line.
const CIRCLES: &[(&[&str], &str)] = &[
    (
        &[
            "data/cifar.rs",
            "data/cifar10.rs",
            "data/cifar100.rs",
            "data/digits.rs",
            "data/fashion_mnist.rs",
            "data/image_files.rs",
            "data/mnist.rs",
            "data/mod.rs",
            "data/source.rs",
            "data/synthetic.rs",
        ],
        "a stored source is looked up by its name in the list of sources",
    ),
    (
        &["optim/adam.rs", "optim/mod.rs", "optim/sgd.rs"],
        "the list of optimizers defines what its entries implement",
    ),
    (
        &["optim/schedule/constant.rs", "optim/schedule/cosine.rs", "optim/schedule/mod.rs"],
        "the list of schedules defines what its entries implement",
    ),
    (
        &["model/linear.rs", "model/mlp.rs", "model/mod.rs", "model/resnet.rs"],
        "the list of models defines what its entries implement",
    ),
    (
        &["script/check.rs", "script/engine.rs", "script/library.rs"],
        "the engine looks at modules before it runs them, and the check asks an engine what it knows",
    ),
];

/// What uses what, by file.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// A module: the names on the way to it.
type Module = Vec<String>;

/// A source file, read.
struct SourceFile {
    /// Its path below `src/`.
    path: String,
    tokens: Vec<String>,
    /// What its `use` lines name, by the name that it has here.
    names: BTreeMap<String, Module>,
}

#[test]
fn arrows_point_down() {
    let layer = |file: &str| {
        let top = file.split('/').next().unwrap().trim_end_matches(".rs");
        LAYERS.iter().position(|layer| layer.contains(&top)).unwrap_or_else(|| panic!("{file} has no layer"))
    };
    let top = |file: &str| file.split('/').next().unwrap().to_owned();
    let mut found = Vec::new();
    for (file, used) in &uses() {
        for other in used.iter().filter(|other| top(other) != top(file)) {
            let (from, to) = (layer(file), layer(other));
            if to < from || to == from && LAYERS[to] != GROUND {
                found.push(format!("{file} -> {other}"));
            }
        }
    }
    assert!(found.is_empty(), "a lower layer uses a higher one, or one beside it:\n{}", found.join("\n"));
}

#[test]
fn no_new_circle_of_files() {
    let uses = uses();
    let circles = circles(&uses);
    let known = |circle: &BTreeSet<String>| {
        CIRCLES.iter().any(|(files, _)| circle.iter().all(|file| files.contains(&file.as_str())))
    };
    let mut found = String::new();
    for circle in circles.iter().filter(|circle| !known(circle)) {
        found += &format!("{} files use each other in a circle, {circle:?}:\n", circle.len());
        for file in circle {
            let within: Vec<&str> = uses[file].intersection(circle).map(String::as_str).collect();
            found += &format!("  {file} uses {}\n", within.join(", "));
        }
    }
    assert!(found.is_empty(), "{found}");
    for file in CIRCLES.iter().flat_map(|(files, _)| *files) {
        if !circles.iter().any(|circle| circle.contains(*file)) {
            println!("{file} is in no circle any more: take it out of CIRCLES");
        }
    }
}

#[test]
fn paths_are_found_in_code_and_not_in_texts() {
    let tokens = tokens(
        "use a::{self, b::C as D, e::*}; // use x::y\nfn f<'a>(c: char) -> &'a str { c == '\"'; \"a::b\"; r#\"a::\"b\"# }",
    );
    let text = tokens.join(" ");
    assert!(!text.contains("x") && text.ends_with("{ c = = ; ; }"), "{text}");
    let mut found = Vec::new();
    let end = paths(&tokens, 1, &[], &mut found);
    let found: Vec<String> = found.iter().map(|(path, name)| format!("{} {name}", path.join("::"))).collect();
    assert_eq!((&*found.join(", "), &*tokens[end]), ("a a, a::b::C D, a::e::* *", ";"));
    let uses = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")];
    let mut map = Uses::new();
    for (from, to) in uses {
        map.entry(from.to_owned()).or_default().insert(to.to_owned());
    }
    let circle: BTreeSet<String> = ["a", "b", "c"].map(str::to_owned).into();
    assert_eq!(circles(&map), [circle]);
}

/// What uses what in `src/`.
fn uses() -> Uses {
    let files = sources();
    let mut uses = Uses::new();
    for (module, source) in &files {
        let used = used(&files, module, source);
        let used = used.iter().filter_map(|path| definition(&files, path));
        let used = used.filter(|path| *path != source.path && path != "lib.rs").collect();
        uses.insert(source.path.clone(), used);
    }
    uses.remove("lib.rs");
    uses
}

/// Every source file by its module, but for those of tests and the program's own.
fn sources() -> BTreeMap<Module, SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let place = entry.unwrap().path();
            if place.is_dir() {
                folders.push(place);
                continue;
            }
            let path = place.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let Some(stem) = path.strip_suffix(".rs") else { continue };
            let mut module: Module = stem.split('/').map(str::to_owned).collect();
            match module.last().unwrap().as_str() {
                "main" | "layers" | "tests" => continue,
                "mod" | "lib" => _ = module.pop(),
                _ => {}
            }
            let tokens = without_tests(tokens(&std::fs::read_to_string(&place).unwrap()));
            files.insert(module, SourceFile { path, tokens, names: BTreeMap::new() });
        }
    }
    let modules: BTreeSet<Module> = files.keys().cloned().collect();
    for (module, source) in &mut files {
        let within = within(module, &source.tokens);
        for (at, _) in source.tokens.iter().enumerate().filter(|(_, token)| *token == "use") {
            let mut found = Vec::new();
            paths(&source.tokens, at + 1, &[], &mut found);
            let own = |path: &Module| absolute(&modules, &within[at], path);
            source.names.extend(found.into_iter().filter_map(|(path, name)| Some((name, own(&path)?))));
        }
    }
    files
}

/// The paths that a file names, but for what it only passes on.
fn used(files: &BTreeMap<Module, SourceFile>, module: &Module, source: &SourceFile) -> Vec<Module> {
    let modules: BTreeSet<Module> = files.keys().cloned().collect();
    let tokens = &source.tokens;
    let within = within(module, tokens);
    let mut used = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let before = |count: usize| at.checked_sub(count).map_or("", |at| tokens[at].as_str());
        let (mut found, mut end) = (Vec::new(), at + 1);
        if tokens[at] == "use" {
            end = paths(tokens, at + 1, &[], &mut found);
            if ["pub", ")"].contains(&before(1)) {
                found.clear();
            }
        } else if tokens.get(at + 1).is_some_and(|next| next == "::")
            && before(1) != "::"
            && (before(1), before(2), before(3)) != ("in", "(", "pub")
        {
            end = paths(tokens, at, &[], &mut found).max(at + 1);
        }
        for (path, _) in found {
            match source.names.get(&path[0]) {
                Some(named) if tokens[at] != "use" => used.push([&named[..], &path[1..]].concat()),
                _ => used.extend(absolute(&modules, &within[at], &path)),
            }
        }
        at = end;
    }
    used
}

/// The module in which each token of a file stands: the file's own, or one that is written out in
/// it.
fn within(module: &Module, tokens: &[String]) -> Vec<Module> {
    let (mut within, mut current) = (Vec::new(), module.clone());
    // For each open bracket, whether it opened a module.
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token == "{" {
            let is_module = at > 1 && tokens[at - 2] == "mod";
            open.push(is_module);
            if is_module {
                current.push(tokens[at - 1].clone());
            }
        } else if token == "}" && open.pop() == Some(true) {
            current.pop();
        }
        within.push(current.clone());
    }
    within
}

/// A path from the crate's root; none where it leads into another crate.
fn absolute(modules: &BTreeSet<Module>, module: &Module, path: &[String]) -> Option<Module> {
    let below = [&module[..], &path[..1]].concat();
    match path[0].as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([&module[..], &path[1..]].concat()),
        "super" => {
            let up = path.iter().take_while(|name| *name == "super").count();
            Some([&module[..module.len().checked_sub(up)?], &path[up..]].concat())
        }
        _ if modules.contains(&below) => Some([&module[..], path].concat()),
        _ => None,
    }
}

/// The file in which what a path names is defined.
fn definition(files: &BTreeMap<Module, SourceFile>, path: &[String]) -> Option<String> {
    let mut path = path.to_vec();
    // What is passed on may be passed on again.
    for _ in 0..8 {
        let length = (0..=path.len()).rev().find(|&length| files.contains_key(&path[..length]))?;
        let file = &files[&path[..length]];
        match path.get(length).and_then(|name| file.names.get(name)) {
            Some(named) => path = [&named[..], &path[length + 1..]].concat(),
            None => return Some(file.path.clone()),
        }
    }
    None
}

/// Reads the paths of a `use` tree, or one path, from a token on; each with the name that it gets.
/// Returns where it ends.
fn paths(tokens: &[String], at: usize, before: &[String], found: &mut Vec<(Module, String)>) -> usize {
    let (mut path, mut at) = (before.to_vec(), at);
    while let Some(token) = tokens.get(at) {
        if token == "{" {
            at += 1;
            while tokens[at] != "}" {
                at = if tokens[at] == "," { at + 1 } else { paths(tokens, at, &path, found) };
            }
            return at + 1;
        }
        path.push(token.clone());
        at += 1;
        let goes_on = |next: &String| next.starts_with(|c: char| c.is_alphabetic() || "_{*".contains(c));
        if tokens.get(at).is_some_and(|next| next == "::") && tokens.get(at + 1).is_some_and(goes_on) {
            at += 1;
            continue;
        }
        break;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if tokens.get(at).is_some_and(|next| next == "as") {
        name = tokens[at + 1].clone();
        at += 2;
    }
    if !path.is_empty() {
        found.push((path, name));
    }
    at
}

/// The tokens before the module of unit tests.
fn without_tests(mut tokens: Vec<String>) -> Vec<String> {
    const TESTS: [&str; 9] = ["#", "[", "cfg", "(", "test", ")", "]", "mod", "tests"];
    if let Some(start) = tokens.windows(TESTS.len()).position(|part| part == TESTS) {
        tokens.truncate(start);
    }
    tokens
}

/// The words and signs of a text, without comments and literals.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let literal = literal(rest, word);
        if literal > 0 {
            rest = &rest[literal..];
        } else if c.is_whitespace() {
            rest = rest.trim_start();
        } else {
            let length = if rest.starts_with("::") { 2 } else { word.max(c.len_utf8()) };
            tokens.push(rest[..length].to_owned());
            rest = &rest[length..];
        }
    }
    tokens
}

/// How many bytes of a text are a comment, a literal text or letter, or the name of a lifetime;
/// `word` is the length of the word with which the text begins.
fn literal(text: &str, word: usize) -> usize {
    let upto = |start: usize, end: &str| {
        text[start..].find(end).map_or(text.len(), |length| start + length + end.len())
    };
    if text.starts_with("//") {
        return upto(2, "\n");
    }
    let hashes = text[word..].bytes().take_while(|byte| *byte == b'#').count();
    if ["r", "br"].contains(&&text[..word]) && text[word + hashes..].starts_with('"') {
        return upto(word + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
    }
    if let Some(inner) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = inner.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return end.map_or(text.len(), |end| end + 2);
    }
    let Some(inner) = text.strip_prefix('\'') else { return 0 };
    if inner.starts_with('\\') {
        return upto(3, "'");
    }
    let letter = inner.chars().next().map_or(0, char::len_utf8);
    if inner[letter..].starts_with('\'') { letter + 2 } else { 1 }
}

/// The sets of files of which each uses every other, directly or through others.
fn circles(uses: &Uses) -> Vec<BTreeSet<String>> {
    let reached = |start: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(file) = next.pop() {
            next.extend(uses.get(file).into_iter().flatten().filter(|other| seen.insert((*other).clone())));
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        uses.keys().map(|file| (file, reached(file))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, others) in &reached {
        let back = |other: &&String| reached.get(*other).is_some_and(|from| from.contains(*file));
        let circle: BTreeSet<String> = others.iter().filter(back).cloned().collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}
