//! Running and checking scripts from the command line.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rhai::{Engine, EvalAltResult, Scope};

use super::cli::Run;
use super::exit::{FAILED, INTERRUPTED, code};
use super::interpreter::Interpreter;
use super::{progress, prompt};
use crate::error::Error;
use crate::script::{
    self, Arguments, EvaluatedText, Format, ScriptFailure, ScriptSource, Session, StandardStream, print, tell,
};

/// Runs a script, an expression or the prompt; what it returns is the exit code.
pub(super) fn run(options: Run) -> u8 {
    let session = Session::new(Arguments::new(options.define), progress::observers(options.quiet));
    session.set_data_dir(options.data.data_dir);
    session.set_writable(options.allow_write);
    if options.allow_shell {
        session.allow_shell();
    }
    let engine = script::engine(&session);
    let format = if options.json { Format::Json } else { Format::Text };
    match (&options.file, &options.eval) {
        (Some(file), _) if file == Path::new("-") => run_script(&engine, &session, None, Some(format)),
        (Some(file), _) => run_script(&engine, &session, Some(file), options.json.then_some(format)),
        (None, Some(expression)) => run_text(&engine, &session, "<expression>", expression, Some(format)),
        // What is piped in is a script.
        (None, None) if !std::io::stdin().is_terminal() => run_script(&engine, &session, None, Some(format)),
        (None, None) => prompt::run(Interpreter::new(engine, &session, format), options.quiet),
    }
}

/// Looks at scripts; what it returns is the exit code.
pub(super) fn check(files: &[PathBuf]) -> u8 {
    let mut bad = false;
    for file in files {
        let text = match script::text::read(file) {
            Ok(text) => text,
            Err(error) => {
                tell(&no_script(&error));
                bad = true;
                continue;
            }
        };
        let session = Session::silent();
        let name = file.display().to_string();
        session.set_script(&name, &text);
        let input = EvaluatedText { name: name.clone(), text: text.clone(), offset: 0 };
        let modules = session.modules();
        let source = ScriptSource { inputs: &[input], known: &[], modules: &modules };
        match script::check::check(&session, &text) {
            Ok(findings) if findings.is_empty() => print(&format!("{name}: nothing found")),
            Ok(findings) => {
                bad = true;
                let colored = StandardStream::Error.is_colored();
                findings.iter().for_each(|finding| script::report_finding(finding, &source, colored).tell());
            }
            Err(error) => {
                bad = true;
                complain(&error, &source);
            }
        }
    }
    if bad { FAILED } else { 0 }
}

/// Runs a script of a file, or of standard input where there is none, and shows its value where a
/// format says how.
fn run_script(engine: &Engine, session: &Rc<Session>, file: Option<&Path>, format: Option<Format>) -> u8 {
    let text = file.map_or_else(script::text::read_input, script::text::read);
    session.set_folder(file.and_then(Path::parent));
    let name = file.map_or("<stdin>".into(), Path::to_string_lossy);
    match text {
        Ok(text) => run_text(engine, session, &name, &text, format),
        Err(error) => {
            tell(&no_script(&error));
            FAILED
        }
    }
}

/// What is said where no script can be read.
fn no_script(error: &Error) -> String {
    match error {
        Error::Io { .. } => format!("{error}; expected a script"),
        error => error.to_string(),
    }
}

/// Runs a text to its end, and that of the jobs that it started; shows its value where a format
/// says how.
fn run_text(engine: &Engine, session: &Rc<Session>, name: &str, text: &str, format: Option<Format>) -> u8 {
    session.set_script(name, text);
    let asked = script::check::arguments(session, text);
    let lost = asked.map(|asked| session.arguments.unknown(&asked)).unwrap_or_default();
    if !lost.is_empty() {
        lost.iter().for_each(|lost| tell(lost));
        return FAILED;
    }
    let mut scope = Scope::new();
    let result = script::guarded(|| script::evaluate(engine, &mut scope, text));
    let jobs = if result.is_ok() {
        session.finish_jobs()
    } else {
        session.stop_jobs();
        Ok(())
    };
    match result {
        Ok(_) if jobs.is_err() => code(jobs.map(|()| FAILED)),
        Ok(value) => {
            if let Some(format) = format.filter(|_| !value.is_unit()) {
                format.show(engine, value);
            }
            for warning in session.arguments.unread() {
                tell(&format!("warning: {warning}"));
            }
            let problems = session.take_problems();
            for problem in &problems {
                tell(problem);
            }
            if problems.is_empty() { 0 } else { FAILED }
        }
        Err(error) => {
            let (known, modules) = (script::known_names(engine, &scope), session.modules());
            let input = EvaluatedText { name: name.to_owned(), text: text.to_owned(), offset: 0 };
            complain(&error, &ScriptSource { inputs: &[input], known: &known, modules: &modules })
        }
    }
}

/// Prints an error and returns its exit code.
fn complain(error: &EvalAltResult, source: &ScriptSource) -> u8 {
    let (failure, text) = script::report(error, source, StandardStream::Error.is_colored());
    match failure {
        ScriptFailure::Interrupted => {
            if script::is_open() {
                text.tell();
            }
            INTERRUPTED
        }
        ScriptFailure::Error => {
            text.tell();
            FAILED
        }
    }
}
