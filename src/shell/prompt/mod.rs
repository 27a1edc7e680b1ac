//! The prompt: a line editor in front of the interpreter.

mod ask;
mod line;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{
    Cmd, ColorMode, CompletionType, Config, Editor, EventHandler, ExternalPrinter, KeyCode, KeyEvent,
    Modifiers,
};

use self::line::LineHelper;
use super::exit::FAILED;
use super::folders::folder;
use super::interpreter::Interpreter;
use super::version::VERSION;
use crate::script::{Session, StandardStream, print, tell};
use crate::visible::visible;

/// Lines that the history keeps.
const HISTORY: usize = 10_000;

const PROMPT: &str = "kelvin> ";

/// Reads and evaluates until Ctrl-D. Returns the exit code.
pub(super) fn run(mut interpreter: Interpreter, quiet: bool) -> u8 {
    let session = Rc::clone(&interpreter.session);
    let known = Rc::new(RefCell::new(interpreter.known()));
    let color = StandardStream::Output.is_colored();
    let mut editor = match editor(LineHelper::new(Rc::clone(&known), color)) {
        Ok(editor) => editor,
        Err(error) => return fail(&error),
    };
    let history = folder("XDG_DATA_HOME", ".local/share").map(|folder| folder.join("history"));
    let history = history.filter(|file| match load_history(&mut editor, file) {
        Ok(()) => true,
        Err(error) => {
            tell(&format!("{}: {error}; this session's lines are not kept", file.display()));
            false
        }
    });
    // Jobs speak above the line that is being typed.
    if let Ok(printer) = editor.create_external_printer() {
        let printer = Mutex::new(printer);
        session.set_notifier(Arc::new(move |text: &str| {
            let mut printer = printer.lock().unwrap_or_else(PoisonError::into_inner);
            if printer.print(format!("{}\n", visible(text))).is_err() {
                tell(text);
            }
        }));
    }
    if !quiet {
        print(&format!(
            "kelvin {}. Ctrl-C stops what runs, Ctrl-D leaves; help() explains all, Tab completes.",
            VERSION.as_str()
        ));
    }
    session.set_interactive();
    session.set_ask(Box::new(ask::ask));
    interpreter.start_up();
    loop {
        interpreter.refresh(&mut known.borrow_mut());
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
                match interpreter.take(&line) {
                    Ok(value) => interpreter.show(value),
                    Err(trouble) => trouble.text.tell(),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(error) if is_not_utf8(&error) => {
                // The rest of what was pasted.
                // SAFETY: the call takes no pointers.
                unsafe { libc::tcflush(libc::STDIN_FILENO, libc::TCIFLUSH) };
                tell(
                    "error: this line was not read: expected UTF-8, found other bytes; convert what is pasted",
                );
            }
            Err(ReadlineError::Eof) => interpreter.leaving = true,
            // The terminal is gone, for instance.
            Err(error) => {
                session.stop_jobs();
                return fail(&error);
            }
        }
        if std::mem::take(&mut interpreter.leaving) && may_leave(&mut editor, &session) {
            session.stop_jobs();
            return 0;
        }
    }
}

/// Reads the lines of former sessions. What cannot be a history is neither read nor written to.
fn load_history(
    editor: &mut Editor<LineHelper, DefaultHistory>,
    file: &Path,
) -> std::result::Result<(), String> {
    /// Bytes; each line is kept in memory.
    const LARGEST: u64 = 64_000_000;
    let about = match std::fs::metadata(file) {
        Ok(about) => about,
        // The first session has none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    if !about.is_file() {
        return Err("expected a file with the history of the prompt".to_owned());
    }
    if about.len() > LARGEST {
        return Err(format!(
            "expected a history of at most {} MB, found {} MB; remove it",
            LARGEST / 1_000_000,
            about.len() / 1_000_000
        ));
    }
    editor.load_history(file).map_err(|error| format!("expected lines of text: {error}"))
}

fn editor(line: LineHelper) -> rustyline::Result<Editor<LineHelper, DefaultHistory>> {
    let config = Config::builder()
        .max_history_size(HISTORY)?
        .completion_type(CompletionType::List)
        // Lines always pass the helper, which leaves colours out where they are not wanted.
        .color_mode(ColorMode::Forced)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(line));
    // Alt-Enter begins a new line whatever was typed.
    editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), EventHandler::from(Cmd::Newline));
    Ok(editor)
}

/// Asks where a sweep runs in the background.
fn may_leave(editor: &mut Editor<LineHelper, DefaultHistory>, session: &Session) -> bool {
    let question = match session.running_jobs() {
        0 => return true,
        1 => "1 job is running; leave after its checkpoints? (y/N) ".to_owned(),
        jobs => format!("{jobs} jobs are running; leave after their checkpoints? (y/N) "),
    };
    match editor.readline(&question) {
        Ok(answer) => matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"),
        // Whoever cannot answer, or presses Ctrl-D again, means it.
        Err(error) => !matches!(error, ReadlineError::Interrupted) && !is_not_utf8(&error),
    }
}

/// Whether a line held other bytes than UTF-8; the terminal is as it was.
fn is_not_utf8(error: &ReadlineError) -> bool {
    matches!(error, ReadlineError::Io(error) if error.kind() == std::io::ErrorKind::InvalidData)
}

fn fail(error: &ReadlineError) -> u8 {
    tell(&format!("the prompt cannot be shown: {error}"));
    FAILED
}
