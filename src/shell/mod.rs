//! The command line and the prompt.

mod cli;
mod commands;
mod data;
mod doc;
mod exit;
mod folders;
mod interpreter;
mod jupyter;
mod progress;
mod prompt;
mod run;
mod version;

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{CommandFactory, Parser};

use self::cli::{Command, CommandLine};
use self::exit::{FAILED, code};
use self::interpreter::Interpreter;
use self::jupyter::JupyterCommand;
use crate::script::{self, Arguments, Format, Session, print, tell};
use crate::visible::visible;

/// Runs the program; what it returns is its exit code.
pub fn main() -> ExitCode {
    let options = match CommandLine::try_parse() {
        Ok(options) => options,
        Err(error) => leave(misused(&error)),
    };
    options.refuse_what_is_lost();
    let options = Arc::new(Mutex::new(Some(options)));
    let mut refused = String::new();
    // A stack on which deep values can be taken apart; a smaller one where the system gives no such
    // thread.
    for part in [1, 4, 16, 64] {
        let own = Arc::clone(&options);
        let work = move || {
            let options = own.lock().unwrap_or_else(PoisonError::into_inner).take();
            options.map_or(ExitCode::from(FAILED), obey)
        };
        let thread = std::thread::Builder::new().name("kelvin".to_owned());
        match thread.stack_size(script::STACK / part).spawn(work) {
            // What a panic says is said already.
            Ok(thread) => return thread.join().unwrap_or(ExitCode::from(FAILED)),
            Err(error) => refused = error.to_string(),
        }
    }
    tell(&format!("kelvin may start no thread: {refused}; see ulimit -u (processes) and ulimit -v (memory)"));
    ExitCode::from(FAILED)
}

/// Does what the command line says, and ends the program.
fn obey(options: CommandLine) -> ExitCode {
    quiet_workers();
    if let Err(error) = crate::interrupt::install() {
        tell(&error.to_string());
        return ExitCode::from(FAILED);
    }
    let data_dir = options.run.data.data_dir.clone();
    let command = || match options.command {
        None => run::run(options.run),
        Some(Command::Run(mut options)) => {
            options.data.or(data_dir);
            run::run(options)
        }
        Some(Command::Data { name, mut folder }) => {
            folder.or(data_dir);
            code(data::tell_about(name.as_deref(), &folder).map(|()| 0))
        }
        Some(Command::Check { files }) => run::check(&files),
        Some(Command::Doc { folder }) => code(doc::write(&folder).map(|()| 0)),
        Some(Command::Jupyter(JupyterCommand::Install(options))) => {
            code(jupyter::install(&options).map(|()| 0))
        }
        Some(Command::Jupyter(JupyterCommand::Run { file, allow_write, data })) => {
            let session = Session::new(Arguments::default(), progress::observers(false));
            session.set_data_dir(data.data_dir);
            session.set_writable(allow_write);
            let interpreter = Interpreter::new(script::engine(&session), &session, Format::Text);
            code(jupyter::serve(&file, interpreter).map(|()| 0))
        }
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "kelvin", &mut text);
            print(String::from_utf8_lossy(&text).trim_end());
            0
        }
        Some(Command::Sweeps(command)) => code(commands::run(&command)),
    };
    // What a panic says is said already; libtorch must not be taken apart under its threads.
    leave(std::panic::catch_unwind(std::panic::AssertUnwindSafe(command)).unwrap_or(FAILED))
}

/// Tells what clap says of a command line, or help; returns the exit code.
fn misused(error: &clap::Error) -> u8 {
    let plain = error.render().to_string();
    match visible(&plain) {
        std::borrow::Cow::Borrowed(_) => {
            let printed = error.print();
            if !error.use_stderr() {
                script::note_written(printed);
            }
        }
        // It quotes what was typed, or what a pattern of the shell stood for.
        std::borrow::Cow::Owned(visible) => tell(visible.trim_end()),
    }
    // 2 for a usage error; 0 for help and the version.
    u8::try_from(error.exit_code()).unwrap_or(FAILED)
}

/// Ends the program at once. A step that was left behind may still be computed, and libtorch must
/// not be taken apart under it.
fn leave(code: u8) -> ! {
    let code = script::finish_output().map_or_else(
        |error| {
            tell(&error.to_string());
            FAILED
        },
        |()| code,
    );
    // SAFETY: nothing that this skips is needed: files were written whole, and output was flushed.
    unsafe { libc::_exit(code.into()) }
}

/// libtorch's panics in worker threads become a run's error, those of readers of broken files an
/// error; they need no message of their own.
fn quiet_workers() {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let is_worker = thread.name() == Some(crate::train::engine::WORKER);
        if !is_worker && !crate::error::is_guarded() {
            // Where RUST_BACKTRACE asks for it.
            let trace = std::backtrace::Backtrace::capture();
            let trace = match trace.status() {
                std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
                _ => String::new(),
            };
            let text = format!("thread {} {panic}{trace}", thread.name().unwrap_or("without a name"));
            // Not by `tell`, which a notebook may have taken, and which may be what panicked.
            let _ = writeln!(std::io::stderr(), "{}", visible(&text));
        }
    }));
}
