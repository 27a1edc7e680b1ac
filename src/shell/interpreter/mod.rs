//! What inputs are evaluated by, at the prompt and in a notebook: variables, functions and imports that stay,
//! and commands such as `:time`.

pub(super) mod commands;
pub(super) mod complete;
mod save;
pub(super) mod syntax;

use std::path::PathBuf;
use std::rc::Rc;

use rhai::{AST, Dynamic, Engine, Scope};

use self::complete::{Known, Variable};
use crate::error::Error;
use crate::script::{
    Failure, Format, Input, ModuleFunction, Painted, Session, Source, Stream, check, compile, functions_of,
    guarded, known_names, manual, report, tell, type_name,
};
use crate::sweep::columns;
use crate::table::Table;

/// What errors call what a command evaluates.
const NAME: &str = "<input>";

/// Lines that Rhai's positions can count, nearly.
const MOST_LINES: usize = 65_000;

/// What was typed.
struct Typed {
    /// As it was typed.
    text: String,
    /// What it ran, where that succeeded: the input itself, or what a command ran.
    script: Option<String>,
}

/// A module that an input imported.
#[derive(Clone, PartialEq)]
struct Import {
    path: String,
    alias: String,
}

/// Why an input failed.
pub(super) struct Trouble {
    /// What kind of failure it is.
    pub failure: Failure,
    /// What is told: the message with its place, a caret and the calls that led there.
    pub text: Painted,
}

/// Evaluates one input after another.
pub(super) struct Interpreter {
    /// The engine.
    pub engine: Engine,
    /// What it knows beyond its variables.
    pub session: Rc<Session>,
    scope: Scope<'static>,
    /// The functions that were defined.
    functions: AST,
    /// The modules that were imported: an import holds for one evaluation, so that it is made again before each.
    imports: Vec<Import>,
    typed: Vec<Typed>,
    /// Every text that was evaluated, so that errors in functions of earlier ones find their place.
    inputs: Vec<Input>,
    format: Format,
    /// Whether an input asked to leave.
    pub leaving: bool,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let failure = match error {
            Error::Interrupted => Failure::Interrupted,
            _ => Failure::Error,
        };
        Self { failure, text: Painted::plain(&format!("error: {error}")) }
    }
}

impl Interpreter {
    /// One that has evaluated nothing yet.
    pub fn new(engine: Engine, session: &Rc<Session>, format: Format) -> Self {
        Self {
            engine,
            session: Rc::clone(session),
            scope: Scope::new(),
            functions: AST::empty(),
            imports: Vec::new(),
            typed: Vec::new(),
            inputs: Vec::new(),
            format,
            leaving: false,
        }
    }

    /// Runs `startup.rhai` of the configuration's folder, where there is one.
    pub fn start_up(&mut self) {
        let file = folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("startup.rhai"));
        let Some(file) = file.filter(|file| file.is_file()) else { return };
        let name = file.display().to_string();
        let done = match crate::script::text::read(&file) {
            Ok(text) => self.evaluate(&name, &text),
            Err(error) => Err(error.into()),
        };
        if let Err(trouble) = done {
            trouble.text.tell();
        }
    }

    /// Takes one input and forgets it: it is no part of the history, of a saved script or of `ans`.
    ///
    /// # Errors
    ///
    /// What to tell.
    pub fn take_silently(&mut self, line: &str) -> Result<Dynamic, Trouble> {
        let (inputs, ans) = (self.typed.len(), self.scope.get("ans").cloned());
        let value = self.take(line);
        self.typed.truncate(inputs);
        match ans {
            Some(ans) => drop(self.scope.set_value("ans", ans)),
            None => drop(self.scope.remove::<Dynamic>("ans")),
        }
        value
    }

    /// Takes one input: a command, or something to evaluate, whose value it returns.
    ///
    /// # Errors
    ///
    /// What to tell.
    pub fn take(&mut self, line: &str) -> Result<Dynamic, Trouble> {
        let is_variable = self.scope.contains(line.trim().trim_end_matches(';'));
        if commands::is_command(line) && !is_variable {
            self.typed.push(Typed { text: line.to_owned(), script: None });
            let done = commands::obey(self, line);
            crate::interrupt::clear();
            return done.map(|()| Dynamic::UNIT);
        }
        let number = self.history().count() + 1;
        let value = self.value(&format!("<input {number}>"), line);
        let script = value.is_ok().then(|| line.to_owned());
        self.typed.push(Typed { text: line.to_owned(), script });
        // As in IPython and Julia.
        if syntax::ends_with_semicolon(line) { value.map(|_| Dynamic::UNIT) } else { value }
    }

    /// Evaluates a text for a command and shows its value.
    fn evaluate(&mut self, name: &str, text: &str) -> Result<(), Trouble> {
        let value = self.value(name, text)?;
        self.show(value);
        match self.typed.last_mut() {
            Some(typed) => typed.script = Some(text.to_owned()),
            // What was run at the start.
            None => self.typed.push(Typed { text: String::new(), script: Some(text.to_owned()) }),
        }
        Ok(())
    }

    /// What was typed, in order.
    pub fn history(&self) -> impl Iterator<Item = &str> {
        self.typed.iter().map(|input| input.text.as_str()).filter(|text| !text.is_empty())
    }

    /// Shows a value.
    pub fn show(&self, value: Dynamic) {
        if !value.is_unit() {
            self.format.show(&self.engine, value);
        }
    }

    /// The value of a text; its variables, functions and imports stay.
    fn value(&mut self, name: &str, text: &str) -> Result<Dynamic, Trouble> {
        // What a sweep comes from is all that led there.
        let before = self.typed.iter().filter_map(|input| input.script.as_deref());
        let all: Vec<&str> = before.chain([text]).collect();
        self.session.set_script(name, &all.join("\n"));
        let offset = self.inputs.last().map_or(0, |last| last.offset + last.text.lines().count().max(1));
        // Positions count no further; functions of long ago then lose their place.
        let offset = if offset + text.lines().count() > MOST_LINES {
            self.inputs.clear();
            0
        } else {
            offset
        };
        self.inputs.push(Input { name: name.to_owned(), text: text.to_owned(), offset });
        let result = guarded(|| self.run(text, offset));
        crate::interrupt::clear();
        for problem in self.session.take_problems() {
            tell(&problem);
        }
        if let Ok(value) = &result
            && !value.is_unit()
        {
            // The last value, under the name that Julia gives it.
            self.scope.set_value("ans", value.clone());
        }
        result.map_err(|error| {
            let (known, modules) = (known_names(&self.engine, &self.scope), self.session.modules());
            let source = Source { inputs: &self.inputs, known: &known, modules: &modules };
            let (failure, text) = report(&error, &source, Stream::Error.is_colored());
            Trouble { failure, text }
        })
    }

    /// What completion knows.
    pub fn known(&self) -> Known {
        Known {
            functions: manual::functions(&self.engine),
            properties: manual::properties(&self.engine),
            variables: self.known_variables(),
            columns: columns::of_epochs(true)
                .chain(columns::of_steady())
                .map(|column| column.name.to_owned())
                .collect(),
            modules: crate::script::STDLIB.iter().map(|module| module.0.to_owned()).collect(),
            imports: self.known_imports(),
        }
    }

    /// Brings what completion knows up to date.
    pub fn refresh(&self, known: &mut Known) {
        known.variables = self.known_variables();
        known.imports = self.known_imports();
    }

    /// The modules that were imported, by alias, with the names of their functions.
    fn known_imports(&self) -> Vec<(String, Vec<String>)> {
        let names =
            |import: &Import| self.module(&import.alias).into_iter().map(|function| function.name).collect();
        self.imports.iter().map(|import| (import.alias.clone(), names(import))).collect()
    }

    /// The functions of a module that was imported; none where there is no such module.
    fn module(&self, alias: &str) -> Vec<ModuleFunction> {
        let import = self.imports.iter().find(|import| import.alias == alias);
        import
            .and_then(|import| functions_of(&self.engine, &self.session, &import.path).ok())
            .unwrap_or_default()
    }

    /// What is known of a name, as plain text: of functions, options and topics, of variables and modules.
    pub fn explain(&self, name: &str) -> Option<String> {
        let (alias, function) = name.split_once("::").unwrap_or((name, ""));
        let of_module = self.module(alias);
        let told: Vec<String> = of_module
            .iter()
            .filter(|found| function.is_empty() || found.name == function)
            .map(|found| format!("{alias}::{}\n    {}", found.signature, found.doc))
            .collect();
        if !told.is_empty() {
            return Some(told.join("\n"));
        }
        // `paper::two` and `runs.filter` mean the function.
        let bare = name.rsplit(['.', ':']).next().unwrap_or(name);
        manual::entry(&self.engine, bare).or_else(|| {
            let value = self.scope.get(bare)?;
            let text = crate::script::show(&self.engine, value.clone());
            Some(format!("{bare}: a variable of this session, {}\n{text}", type_name(value)))
        })
    }

    fn run(&mut self, text: &str, offset: usize) -> Result<Dynamic, Box<rhai::EvalAltResult>> {
        let ast = compile(&self.engine, &self.scope, &("\n".repeat(offset) + text))?;
        let new = imports(text);
        let mut before = AST::empty();
        for Import { path, alias } in
            self.imports.iter().filter(|old| !new.iter().any(|new| new.alias == old.alias))
        {
            before.combine(self.engine.compile(format!("import \"{path}\" as {alias};"))?);
        }
        before = before.merge(&self.functions);
        let functions = self.functions.merge(&ast.clone_functions_only());
        if let Err(unknown) = check::names(&self.engine, &self.scope, &before, &ast) {
            self.functions = functions;
            return Err(unknown);
        }
        let all = before.merge(&functions).merge(&ast);
        let result = self.engine.eval_ast_with_scope::<Dynamic>(&mut self.scope, &all);
        // Functions stay even where what follows them fails.
        self.functions = functions;
        if result.is_ok() {
            self.imports.retain(|old| !new.iter().any(|new| new.alias == old.alias));
            self.imports.extend(new);
        }
        result
    }

    /// The variables with their types and values; of those of one name, the last.
    fn variables(&self) -> Vec<(String, String, Dynamic)> {
        let mut found: Vec<(String, String, Dynamic)> = Vec::new();
        for (name, _, value) in self.scope.iter() {
            found.retain(|(other, ..)| other != name);
            found.push((name.to_owned(), type_name(&value), value));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    fn known_variables(&self) -> Vec<Variable> {
        let columns = |value: &Dynamic| {
            value
                .read_lock::<Table>()
                .map(|table| table.columns().iter().map(|&name| name.to_owned()).collect())
        };
        let keys = |value: &Dynamic| {
            value.read_lock::<rhai::Map>().map(|map| map.keys().map(|key| key.to_string()).collect())
        };
        self.variables()
            .into_iter()
            .map(|(name, kind, value)| Variable {
                columns: columns(&value).unwrap_or_default(),
                keys: keys(&value).unwrap_or_default(),
                name,
                kind,
            })
            .collect()
    }
}

/// kelvin's folder below the one that a variable names, else below one of the home folder, by the XDG base directories.
pub(super) fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(below_home));
    let folder = std::env::var_os(variable).map(PathBuf::from).or_else(home)?.join("kelvin");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

/// The modules that a text imports on its outermost level.
fn imports(text: &str) -> Vec<Import> {
    let words = syntax::tokens(text);
    let word = |at: usize| words.get(at).map_or("", |word| &text[word.range.clone()]);
    let mut depth = 0;
    let mut found = Vec::new();
    for (at, token) in words.iter().enumerate() {
        match token.kind {
            syntax::Kind::Open => depth += 1,
            syntax::Kind::Close => depth -= 1,
            syntax::Kind::Keyword if depth == 0 && word(at) == "import" && word(at + 2) == "as" => {
                let path = word(at + 1).trim_matches('"').to_owned();
                found.push(Import { path, alias: word(at + 3).to_owned() });
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_of_the_outermost_level_are_found() {
        let found = imports(
            "import \"paper\" as paper; { import \"b\" as b; } // import \"c\" as c;\nimport \"d\" as e;",
        );
        let found: Vec<(&str, &str)> =
            found.iter().map(|import| (import.path.as_str(), import.alias.as_str())).collect();
        assert_eq!(found, [("paper", "paper"), ("d", "e")]);
    }
}
