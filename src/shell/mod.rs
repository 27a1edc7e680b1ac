//! The command line and the prompt.

mod commands;
mod data;
mod doc;
mod interpreter;
mod jupyter;
mod progress;
mod prompt;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{CommandFactory, Parser};
use rhai::{Engine, EvalAltResult, Scope};

use self::interpreter::Interpreter;
use crate::error::Error;
use crate::home;
use crate::script::{self, Arguments, Failure, Format, Input, Session, Source, Stream, print, tell};
use crate::visible::visible;

/// A research shell for the thermodynamics of learning.
///
/// Without a file or an expression it starts the prompt.
#[derive(Parser)]
#[command(name = "kelvin", version = VERSION.as_str(), after_help = AFTER_HELP)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

/// Running a script, an expression or the prompt.
#[derive(clap::Args)]
struct Run {
    /// The script to run; `-` is standard input
    file: Option<PathBuf>,
    /// Evaluate an expression and print its value
    #[arg(short, long, value_name = "EXPR", conflicts_with = "file")]
    eval: Option<String>,
    /// An argument that the script reads with arg(name, default)
    #[arg(short = 'D', value_name = "NAME=VALUE", value_parser = definition)]
    define: Vec<(String, String)>,
    /// No progress display and no banner
    #[arg(short, long)]
    quiet: bool,
    /// Show values as JSON, a line each
    #[arg(long)]
    json: bool,
    /// Let the script write below this folder, too; by default it may below the current one
    #[arg(long, value_name = "PATH", value_parser = path())]
    allow_write: Vec<PathBuf>,
    /// Let the script put shell lines into the job scripts of a cluster: slurm(#{setup})
    #[arg(long)]
    allow_shell: bool,
    #[command(flatten)]
    data: DataFolder,
}

/// Where data sets are found.
#[derive(clap::Args)]
struct DataFolder {
    /// The folder of data sets; default: $KELVIN_DATA, or ~/.local/share/kelvin
    #[arg(long, value_name = "PATH", value_parser = path())]
    data_dir: Option<PathBuf>,
}

impl DataFolder {
    /// The folder that was named before the command, unless there is one after it.
    fn or(&mut self, before: Option<PathBuf>) {
        self.data_dir = self.data_dir.take().or(before);
    }
}

impl Options {
    /// Ends the program where what stands before a command means nothing to it.
    fn refuse_what_is_lost(&self) {
        let Run { file, eval, define, quiet, json, allow_write, allow_shell, data } = &self.run;
        let of_script = file.is_some()
            || eval.is_some()
            || !define.is_empty()
            || *quiet
            || *json
            || !allow_write.is_empty()
            || *allow_shell;
        let has_folder = matches!(self.command, None | Some(Command::Run(_) | Command::Data { .. }));
        if self.command.is_some() && (of_script || (data.data_dir.is_some() && !has_folder)) {
            let text = "expected options after the command that they are for: kelvin run -q FILE";
            Self::command().error(clap::error::ErrorKind::ArgumentConflict, text).exit();
        }
    }
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run a script; `kelvin FILE` does the same
    Run(Run),
    /// List the data sets: which are there, and how to get the others; or tell about one
    Data {
        /// The data set
        name: Option<String>,
        #[command(flatten)]
        folder: DataFolder,
    },
    /// Look at a script without running it: unknown names, options and values, plans that nothing uses
    Check {
        /// The scripts
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Write the reference as Markdown, and definitions of all functions for editors
    Doc {
        /// The folder
        #[arg(default_value = "kelvin-doc")]
        folder: PathBuf,
    },
    /// Notebooks: register kelvin with Jupyter
    #[command(subcommand)]
    Jupyter(jupyter::Command),
    /// Print the completions of the command line for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Sweeps(commands::Command),
}

const AFTER_HELP: &str = "\
Examples:
  kelvin scripts/quickstart.rhai -D epochs=10
  kelvin -e 'resnet(#{ width: 32 }).parameters'
  kelvin ls results/quickstart
  kelvin data

Exit codes: 0, 1 (the script failed, or runs of it diverged or failed), 2 (usage), 130 (interrupted).";

/// The versions of kelvin, with its commit, and of libtorch.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = env!("KELVIN_GIT_COMMIT");
    let commit = if commit.is_empty() { String::new() } else { format!(" ({commit})") };
    format!("{}{commit}, libtorch {}", env!("CARGO_PKG_VERSION"), crate::torch::LIBTORCH_VERSION)
});

/// Paths of options, with the home folder for `~`: behind an equals sign no shell writes it out.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(home::expand)
}

fn definition(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected NAME=VALUE, found {text}")),
    }
}

/// The script failed.
const FAILED: u8 = 1;
/// The user stopped it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the program; what it returns is its exit code.
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => leave(misused(&error)),
    };
    options.refuse_what_is_lost();
    let options = Arc::new(Mutex::new(Some(options)));
    let mut refused = String::new();
    // A stack on which deep values can be taken apart; a smaller one where the system gives no such thread.
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
fn obey(options: Options) -> ExitCode {
    quiet_workers();
    if let Err(error) = crate::interrupt::install() {
        tell(&error.to_string());
        return ExitCode::from(FAILED);
    }
    let data_dir = options.run.data.data_dir.clone();
    let command = || match options.command {
        None => run(options.run),
        Some(Command::Run(mut options)) => {
            options.data.or(data_dir);
            run(options)
        }
        Some(Command::Data { name, mut folder }) => {
            folder.or(data_dir);
            code(data::tell_about(name.as_deref(), &folder).map(|()| 0))
        }
        Some(Command::Check { files }) => check(&files),
        Some(Command::Doc { folder }) => code(doc::write(&folder).map(|()| 0)),
        Some(Command::Jupyter(jupyter::Command::Install(options))) => {
            code(jupyter::install(&options).map(|()| 0))
        }
        Some(Command::Jupyter(jupyter::Command::Run { file, allow_write, data })) => {
            let session = Session::new(Arguments::default(), progress::observers(false));
            session.set_data_dir(data.data_dir);
            session.set_writable(allow_write);
            let interpreter = Interpreter::new(script::engine(&session), &session, Format::Text);
            code(jupyter::serve(&file, interpreter).map(|()| 0))
        }
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Options::command(), "kelvin", &mut text);
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

/// The exit code of a command; what went wrong is told.
fn code(result: crate::error::Result<u8>) -> u8 {
    match result {
        Ok(code) => code,
        Err(Error::Interrupted) => {
            tell_interrupted("interrupted");
            INTERRUPTED
        }
        Err(error) => {
            tell(&error.to_string());
            FAILED
        }
    }
}

/// Says that the user stopped it; what standard output stopped by taking no more is told as that, or not at all.
fn tell_interrupted(text: &str) {
    if script::is_open() {
        tell(text);
    }
}

fn run(options: Run) -> u8 {
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
fn check(files: &[PathBuf]) -> u8 {
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
        let input = Input { name: name.clone(), text: text.clone(), offset: 0 };
        let modules = session.modules();
        let source = Source { inputs: &[input], known: &[], modules: &modules };
        match script::check::check(&session, &text) {
            Ok(findings) if findings.is_empty() => print(&format!("{name}: nothing found")),
            Ok(findings) => {
                bad = true;
                let colored = Stream::Error.is_colored();
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

/// Ends the program at once. A step that was left behind may still be computed, and libtorch must not be
/// taken apart under it.
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

/// libtorch's panics in worker threads become a run's error, those of readers of broken files an error; they need no
/// message of their own.
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

/// Runs a script of a file, or of standard input where there is none, and shows its value where a format says how.
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

/// Runs a text to its end, and that of the jobs that it started; shows its value where a format says how.
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
            let input = Input { name: name.to_owned(), text: text.to_owned(), offset: 0 };
            complain(&error, &Source { inputs: &[input], known: &known, modules: &modules })
        }
    }
}

/// Prints an error and returns its exit code.
fn complain(error: &EvalAltResult, source: &Source) -> u8 {
    let (failure, text) = script::report(error, source, Stream::Error.is_colored());
    match failure {
        Failure::Interrupted => {
            if script::is_open() {
                text.tell();
            }
            INTERRUPTED
        }
        Failure::Error => {
            text.tell();
            FAILED
        }
    }
}
