//! The scripting language: a Rhai engine with kelvin's functions.
//!
//! A binding converts arguments, calls one core function and maps the error; nothing else.

mod arguments;
mod axes;
mod bindings;
mod catalogue;
pub mod check;
mod convert;
mod foreign_syntax;
mod graphics;
mod handles;
mod keywords;
mod limits;
mod loops;
pub mod manual;
mod modules;
mod options;
mod output;
mod painted;
mod report;
mod session;
mod show;
mod terminal;
pub mod text;

pub use arguments::Arguments;
pub use limits::STACK;
pub use modules::{ModuleFunction, STDLIB, functions_of};
pub use output::{Output, Shown, redirect};
pub(crate) use output::{clear_screen, finish_output, is_open, note_written, output_sink, print, tell};
pub use painted::Painted;
pub use report::{Failure, Input, Source, report, report_finding};
pub use session::{Notifier, ObserverFactory, Session};
pub use show::{Format, page, show, shown};
pub(crate) use terminal::Stream;

use std::rc::Rc;

use rhai::{AST, Dynamic, Engine, EvalAltResult, OptimizationLevel, Position, Scope};

/// An engine with all of kelvin's functions, for one session.
pub fn engine(session: &Rc<Session>) -> Engine {
    let mut engine = Engine::new();
    // `Full` may call registered functions while compiling.
    engine.set_optimization_level(OptimizationLevel::Simple);
    engine.set_max_expr_depths(128, 64);
    engine.set_max_call_levels(64);
    // The default resolver reads any file.
    engine.set_module_resolver(modules::Library::new(session));
    engine.set_default_tag(Dynamic::from(Rc::clone(session)));
    engine.on_progress(|_| crate::interrupt::raised().then(|| Dynamic::from("interrupted")));
    limits::keep(&mut engine);
    engine.on_print(print);
    engine.on_debug(|text, _, _| tell(text));
    // Of integers it would be their exclusive or, where a power is meant.
    engine.disable_symbol("^").disable_symbol("^=");
    keywords::free(&mut engine);
    bindings::register(&mut engine);
    engine
}

/// Compiles a text; nothing of it runs.
///
/// # Errors
///
/// Where it cannot be parsed.
pub fn compile(engine: &Engine, scope: &Scope, text: &str) -> Result<AST, Box<EvalAltResult>> {
    if text.len() as u64 > text::LONGEST {
        let message = text::too_long(Some(text.len()));
        return Err(Box::new(EvalAltResult::ErrorRuntime(message.into(), Position::NONE)));
    }
    Ok(loops::compile(engine, scope, text)?)
}

/// Compiles and evaluates a script, unless it is certain to end with an unknown name; what it
/// defines stays in the scope.
///
/// # Errors
///
/// What is wrong with it, or with what it does.
pub fn evaluate(engine: &Engine, scope: &mut Scope, script: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    let ast = compile(engine, scope, script)?;
    check::names(engine, scope, &AST::empty(), &ast)?;
    engine.eval_ast_with_scope(scope, &ast)
}

/// Columns and rows of the terminal that standard output is.
fn screen() -> Option<(usize, usize)> {
    // SAFETY: the call only fills the structure, which lives on this stack.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) == 0).then_some(size)
    };
    size.filter(|size| size.ws_col > 0).map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// Characters of a line on standard output.
pub(crate) fn width() -> usize {
    /// Where output goes to a file.
    const PIPED: usize = 160;
    /// In a notebook.
    const TAKEN: usize = 100;
    if output::output_sink().is_some() {
        return TAKEN;
    }
    screen().map_or(PIPED, |(columns, _)| columns)
}

/// A line, cut between words so that it fits a line of standard output or, where that is wider, one that is read well; what follows is
/// indented.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    /// Longer lines are hard to follow.
    const WIDEST: usize = 110;
    let width = width().min(WIDEST).max(indent + 20);
    let mut lines: Vec<String> = Vec::new();
    let mut line = text[..text.len() - text.trim_start().len()].to_owned();
    // Spaces that align the first line stay.
    for word in text.trim_start().split_inclusive(' ') {
        let full = line.chars().count() + word.trim_end().chars().count() > width;
        if full && !line.trim().is_empty() {
            lines.push(line.trim_end().to_owned());
            line = " ".repeat(indent);
        }
        line += word;
    }
    lines.push(line.trim_end().to_owned());
    lines.join("\n")
}

/// Lines of the terminal that standard output is.
fn rows() -> Option<usize> {
    screen().map(|(_, rows)| rows).filter(|rows| *rows > 0)
}

/// A panic of what is evaluated becomes an error, and the session goes on.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, Box<EvalAltResult>>) -> Result<T, Box<EvalAltResult>> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("it panicked");
        let text =
            format!("kelvin itself failed, which is a fault of its own: {}", crate::error::first_line(said));
        Err(Box::new(EvalAltResult::ErrorRuntime(text.into(), rhai::Position::NONE)))
    })
}

/// The type of a value, as scripts see it.
pub fn type_name(value: &Dynamic) -> String {
    if value.is_unit() { "nothing".to_owned() } else { manual::type_name(value.type_name()) }
}

/// The names of kelvin's functions.
pub fn function_names(engine: &Engine) -> Vec<String> {
    manual::functions(engine).into_iter().map(|function| function.name).collect()
}

/// The names of kelvin's functions and of a scope's variables.
pub fn known_names(engine: &Engine, scope: &Scope) -> Vec<String> {
    let mut names = function_names(engine);
    names.extend(scope.iter().map(|(name, ..)| name.to_owned()));
    names
}
