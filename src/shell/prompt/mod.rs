//! The prompt: inputs that are evaluated, values that are shown, and what goes on beside.

mod commands;
mod complete;
mod line;
mod syntax;

use std::cell::RefCell;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use rhai::{AST, Dynamic, Engine, Scope};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{
    Cmd, CompletionType, Config, Editor, EventHandler, ExternalPrinter, KeyCode, KeyEvent, Modifiers,
};

use self::complete::{Known, Variable};
use self::line::Line;
use super::{FAILED, complain};
use crate::script::{Format, Input, Session, Source, guarded, known_names, manual, print, tell, type_name};
use crate::table::Table;

/// Lines that the history keeps.
const HISTORY: usize = 10_000;

/// What errors call what a command evaluates.
const NAME: &str = "<input>";

/// Lines that Rhai's positions can count, nearly.
const MOST_LINES: usize = 65_000;

const PROMPT: &str = "kelvin> ";

/// What was typed.
struct Typed {
    text: String,
    succeeded: bool,
}

/// A module that an input imported.
#[derive(Clone, PartialEq)]
struct Import {
    path: String,
    alias: String,
}

/// A session at the prompt.
struct Prompt {
    engine: Engine,
    session: Rc<Session>,
    scope: Scope<'static>,
    /// The functions that were defined.
    functions: AST,
    /// The modules that were imported: an import holds for one evaluation, so that it is made again before each.
    imports: Vec<Import>,
    typed: Vec<Typed>,
    /// Every text that was evaluated, so that errors in functions of earlier ones find their place.
    inputs: Vec<Input>,
    format: Format,
    leaving: bool,
}

/// Reads and evaluates until Ctrl-D. Returns the exit code.
pub(super) fn run(engine: Engine, session: &Rc<Session>, quiet: bool, format: Format) -> u8 {
    let known = Known {
        functions: manual::functions(&engine),
        properties: manual::properties(&engine),
        variables: Vec::new(),
        columns: crate::sweep::rows::column_names().into_iter().map(str::to_owned).collect(),
    };
    let known = Rc::new(RefCell::new(known));
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut editor = match editor(Line::new(Rc::clone(&known), color)) {
        Ok(editor) => editor,
        Err(error) => return fail(&error),
    };
    let history = folder("XDG_DATA_HOME", ".local/share").map(|folder| folder.join("history"));
    if let Some(file) = &history {
        // The first session has none.
        let _ = editor.load_history(file);
    }
    // Jobs speak above the line that is being typed.
    if let Ok(printer) = editor.create_external_printer() {
        let printer = Mutex::new(printer);
        session.set_speaker(Arc::new(move |text: &str| {
            let mut printer = printer.lock().unwrap_or_else(PoisonError::into_inner);
            if printer.print(format!("{text}\n")).is_err() {
                tell(text);
            }
        }));
    }
    if !quiet {
        print(&format!(
            "kelvin {}. Ctrl-C stops what runs, Ctrl-D leaves; help() explains all, Tab completes.",
            super::VERSION.as_str()
        ));
    }
    session.set_interactive();
    let mut prompt = Prompt {
        engine,
        session: Rc::clone(session),
        scope: Scope::new(),
        functions: AST::empty(),
        imports: Vec::new(),
        typed: Vec::new(),
        inputs: Vec::new(),
        format,
        leaving: false,
    };
    prompt.start_up();
    loop {
        known.borrow_mut().variables = prompt.known_variables();
        // While a line is typed Ctrl-C is a key; from then on it is for what the line does.
        crate::interrupt::clear();
        crate::interrupt::set_waiting(true);
        let line = editor.readline(PROMPT);
        crate::interrupt::set_waiting(false);
        match line {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => {
                // A history that cannot be kept is no reason to stop.
                let _ = editor.add_history_entry(line.as_str());
                if let Some(file) = &history {
                    let _ = editor.append_history(file);
                }
                prompt.take(&line);
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => prompt.leaving = true,
            Err(error) => return fail(&error),
        }
        if std::mem::take(&mut prompt.leaving) && may_leave(&mut editor, session) {
            session.stop_jobs();
            return 0;
        }
    }
}

fn editor(line: Line) -> rustyline::Result<Editor<Line, DefaultHistory>> {
    let config = Config::builder().max_history_size(HISTORY)?.completion_type(CompletionType::List).build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(line));
    // Alt-Enter begins a new line whatever was typed.
    editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), EventHandler::from(Cmd::Newline));
    Ok(editor)
}

/// Asks where a sweep runs in the background.
fn may_leave(editor: &mut Editor<Line, DefaultHistory>, session: &Session) -> bool {
    let question = match session.running_jobs() {
        0 => return true,
        1 => "1 job is running; leave after its checkpoints? (y/N) ".to_owned(),
        jobs => format!("{jobs} jobs are running; leave after their checkpoints? (y/N) "),
    };
    match editor.readline(&question) {
        Ok(answer) => matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"),
        // Whoever cannot answer, or presses Ctrl-D again, means it.
        Err(error) => !matches!(error, ReadlineError::Interrupted),
    }
}

fn fail(error: &ReadlineError) -> u8 {
    tell(&format!("the prompt cannot be shown: {error}"));
    FAILED
}

/// kelvin's folder below the one that a variable names, else below one of the home folder, by the XDG base directories.
fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(below_home));
    let folder = std::env::var_os(variable).map(PathBuf::from).or_else(home)?.join("kelvin");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

impl Prompt {
    /// Runs `startup.rhai` of the configuration's folder, where there is one.
    fn start_up(&mut self) {
        let file = folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("startup.rhai"));
        let Some(file) = file.filter(|file| file.is_file()) else { return };
        let name = file.display().to_string();
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                self.evaluate(&name, &super::plain(text));
            }
            Err(error) => tell(&format!("{name}: {error}")),
        }
    }

    /// Takes one input: a command, or something to evaluate.
    fn take(&mut self, line: &str) {
        if commands::is_command(line) {
            if let Err(error) = commands::obey(self, line) {
                tell(&format!("error: {error}"));
            }
            crate::interrupt::clear();
            return;
        }
        let name = format!("<input {}>", self.typed.len() + 1);
        let succeeded = self.evaluate(&name, line);
        self.typed.push(Typed { text: line.to_owned(), succeeded });
    }

    /// Evaluates a text and shows its value; its variables, functions and imports stay. Whether it succeeded.
    fn evaluate(&mut self, name: &str, text: &str) -> bool {
        let Some(value) = self.value(name, text) else { return false };
        if !value.is_unit() {
            self.format.show(&self.engine, value.clone());
            // The last value, under the name that Julia gives it.
            self.scope.set_value("ans", value);
        }
        true
    }

    /// The value of a text; none where it fails, which is told.
    fn value(&mut self, name: &str, text: &str) -> Option<Dynamic> {
        self.session.set_script(name, text);
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
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let (known, modules) = (known_names(&self.engine, &self.scope), self.session.modules());
                complain(&error, &Source { inputs: &self.inputs, known: &known, modules: &modules });
                None
            }
        }
    }

    fn run(&mut self, text: &str, offset: usize) -> Result<Dynamic, Box<rhai::EvalAltResult>> {
        let ast = self.engine.compile_with_scope(&self.scope, "\n".repeat(offset) + text)?;
        let new = imports(text);
        let mut all = AST::empty();
        for Import { path, alias } in
            self.imports.iter().filter(|old| !new.iter().any(|new| new.alias == old.alias))
        {
            all.combine(self.engine.compile(format!("import \"{path}\" as {alias};"))?);
        }
        let functions = self.functions.merge(&ast.clone_functions_only());
        all = all.merge(&self.functions).merge(&ast);
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
