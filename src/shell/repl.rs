//! The prompt: history, multi-line input, values shown.

use std::path::PathBuf;
use std::rc::Rc;

use rhai::{AST, Engine, Scope};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{Highlighter, MatchingBracketHighlighter};
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Cmd, Config, Context, Editor, EventHandler, Helper, Hinter, KeyCode, KeyEvent, Modifiers};

use super::{FAILED, complain, show};
use crate::script::{Session, Source, known_names, print, tell};

/// Lines that the history keeps.
const HISTORY: usize = 10_000;

const NAME: &str = "<prompt>";

/// Reads and evaluates until Ctrl-D. Returns the exit code.
pub(super) fn run(engine: &Engine, session: &Rc<Session>, quiet: bool) -> u8 {
    let config = match Config::builder().max_history_size(HISTORY) {
        Ok(config) => config.auto_add_history(true).build(),
        Err(error) => return fail(&error),
    };
    let mut editor: Editor<Prompt, DefaultHistory> = match Editor::with_config(config) {
        Ok(editor) => editor,
        Err(error) => return fail(&error),
    };
    editor.set_helper(Some(Prompt::new(engine)));
    // Alt-Enter begins a new line whatever was typed.
    editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), EventHandler::from(Cmd::Newline));
    let history = history_file();
    if let Some(file) = &history {
        // The first session has none.
        let _ = editor.load_history(file);
    }
    if !quiet {
        print(&format!(
            "kelvin {}. Ctrl-C stops what runs, Ctrl-D leaves; help() lists the functions.",
            super::VERSION.as_str()
        ));
    }
    session.set_interactive();
    let mut scope = Scope::new();
    let mut functions = AST::empty();
    loop {
        crate::interrupt::set_idle(true);
        let line = editor.readline("kelvin> ");
        crate::interrupt::set_idle(false);
        match line {
            Ok(line) => {
                evaluate(engine, session, &mut scope, &mut functions, &line);
                if let Some(file) = &history {
                    let _ = editor.append_history(file);
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return 0,
            Err(error) => return fail(&error),
        }
    }
}

fn fail(error: &ReadlineError) -> u8 {
    tell(&format!("the prompt cannot be shown: {error}"));
    FAILED
}

/// `~/.local/share/kelvin/history`, by the XDG base directories.
fn history_file() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let folder = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(home)?.join("kelvin");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// Evaluates one input; its variables and functions stay.
fn evaluate(engine: &Engine, session: &Rc<Session>, scope: &mut Scope, functions: &mut AST, line: &str) {
    if line.trim().is_empty() {
        return;
    }
    session.set_script(NAME, line);
    crate::interrupt::clear();
    let result = engine.compile_with_scope(scope, line).map_err(Into::into).and_then(|ast| {
        let ast = functions.merge(&ast);
        let result = engine.eval_ast_with_scope::<rhai::Dynamic>(scope, &ast);
        *functions = ast;
        functions.clear_statements();
        result
    });
    crate::interrupt::clear();
    match result {
        Ok(value) if value.is_unit() => {}
        Ok(value) => {
            print(&show(engine, value.clone()));
            // The last value, under the name that Julia gives it.
            scope.set_value("ans", value);
        }
        Err(error) => {
            let (known, modules) = (known_names(engine, scope), session.modules());
            complain(&error, &Source { name: NAME, text: line, known: &known, modules: &modules });
        }
    }
    for problem in session.take_problems() {
        tell(&problem);
    }
}

/// What the line editor asks while a line is typed.
#[derive(Helper, Hinter)]
struct Prompt {
    names: Vec<String>,
    brackets: MatchingBracketHighlighter,
}

impl Prompt {
    fn new(engine: &Engine) -> Self {
        let mut names: Vec<String> = crate::script::function_names(engine);
        names.extend(crate::script::RUN_OPTIONS.iter().map(|option| option.name.to_owned()));
        names.sort();
        names.dedup();
        Self { names, brackets: MatchingBracketHighlighter::new() }
    }
}

impl Completer for Prompt {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let start =
            line[..position].rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
        let word = &line[start..position];
        let pair = |name: &String| Pair { display: name.clone(), replacement: name.clone() };
        let fits = |name: &&String| !word.is_empty() && name.starts_with(word);
        Ok((start, self.names.iter().filter(fits).map(pair).collect()))
    }
}

impl Highlighter for Prompt {
    fn highlight<'l>(&self, line: &'l str, position: usize) -> std::borrow::Cow<'l, str> {
        self.brackets.highlight(line, position)
    }

    fn highlight_char(&self, line: &str, position: usize, kind: rustyline::highlight::CmdKind) -> bool {
        self.brackets.highlight_char(line, position, kind)
    }
}

impl Validator for Prompt {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if is_open(context.input()) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

/// Whether an input has brackets, a text or a comment that it does not close.
fn is_open(input: &str) -> bool {
    let mut depth = 0;
    let mut chars = input.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '"' | '\'' | '`' => loop {
                match chars.next() {
                    Some('\\') if c != '`' => {
                        chars.next();
                    }
                    Some(other) if other == c => break,
                    Some(_) => {}
                    // Rhai's double quotes end with the line, unless it ends with a backslash.
                    None => return c == '`',
                }
            },
            '/' if chars.peek() == Some(&'/') => {
                for c in chars.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
            }
            '/' if chars.peek() == Some(&'*') => {
                chars.next();
                let mut last = ' ';
                loop {
                    match chars.next() {
                        Some('/') if last == '*' => break,
                        Some(c) => last = c,
                        None => return true,
                    }
                }
            }
            _ => {}
        }
    }
    depth > 0
}

#[cfg(test)]
mod tests {
    use super::is_open;

    #[test]
    fn open_inputs_ask_for_more() {
        for open in ["sweep(#{", "fn f() {\n 1", "let s = `a", "/* x", "[1, // )\n"] {
            assert!(is_open(open), "{open}");
        }
        for closed in ["1 + 1", "\"(\"", "'('", "f(\"\\\"(\")", "// (", "/* ( */ 1", "}"] {
            assert!(!is_open(closed), "{closed}");
        }
    }
}
