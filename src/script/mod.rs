//! The scripting language: a Rhai engine with kelvin's functions.
//!
//! A binding converts arguments, calls one core function and maps the error; nothing else.

mod arguments;
mod bindings;
mod convert;
mod handles;
mod keywords;
mod modules;
mod options;
mod report;
mod session;

pub use arguments::Arguments;
pub use modules::STDLIB;
pub use options::RUN_OPTIONS;
pub use report::{Failure, Source, report};
pub use session::{ObserverFactory, Session};

use std::io::Write;
use std::rc::Rc;

use rhai::{AST, Dynamic, Engine, EvalAltResult, OptimizationLevel, Scope};

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
    engine.on_print(print);
    engine.on_debug(|text, _, _| tell(text));
    keywords::free(&mut engine);
    bindings::register(&mut engine);
    engine
}

/// Prints a line on standard output. Where nobody reads any more, what runs is stopped.
pub(crate) fn print(text: &str) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        crate::interrupt::raise();
    }
}

/// Says something on standard error, if anybody listens: a sweep goes on when its terminal is gone.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Compiles and evaluates a script; what it defines stays in the scope.
pub fn evaluate(engine: &Engine, scope: &mut Scope, script: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    let ast: AST = engine.compile_with_scope(scope, script)?;
    engine.eval_ast_with_scope(scope, &ast)
}

/// Characters of a line on standard output.
pub(crate) fn width() -> usize {
    /// Where output goes to a file.
    const PIPED: usize = 160;
    // SAFETY: the call only fills the structure, which lives on this stack.
    let columns = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        if libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) == 0 { size.ws_col } else { 0 }
    };
    if columns == 0 { PIPED } else { usize::from(columns) }
}

/// The names of kelvin's functions.
pub fn function_names(engine: &Engine) -> Vec<String> {
    functions(engine).into_iter().map(|function| function.name).collect()
}

/// The names of kelvin's functions and of a scope's variables.
pub fn known_names(engine: &Engine, scope: &Scope) -> Vec<String> {
    let mut names = function_names(engine);
    names.extend(scope.iter().map(|(name, ..)| name.to_owned()));
    names
}

/// A function as help shows it.
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its parameters: `options: Map`.
    pub signature: String,
    /// What it does.
    pub doc: String,
}

/// kelvin's own functions with their docs, sorted by name.
pub fn functions(engine: &Engine) -> Vec<Function> {
    let mut found = engine.collect_fn_metadata(
        None,
        |info| {
            let lines = info.metadata.comments.iter().flat_map(|comment| comment.lines());
            let doc: Vec<&str> = lines.map(|line| line.trim_start_matches("///").trim()).collect();
            // Getters are called get$name; only documented functions are kelvin's.
            if doc.is_empty() || info.metadata.name.contains('$') {
                return None;
            }
            Some(Function {
                name: info.metadata.name.to_string(),
                signature: signature(&info.metadata.gen_signature(|name| info_type(name).into())),
                doc: doc.join(" "),
            })
        },
        false,
    );
    found.sort_by(|a, b| a.signature.cmp(&b.signature));
    found
}

/// A signature without the result that every fallible function returns.
fn signature(text: &str) -> String {
    let Some((call, result)) = text.split_once(" -> ") else { return text.to_owned() };
    let bare =
        result.trim_start_matches("Scripted").trim().trim_start_matches('<').trim_end_matches('>').trim();
    if bare == "()" { call.to_owned() } else { format!("{call} -> {}", info_type(bare)) }
}

/// A type's name as scripts see it.
fn info_type(name: &str) -> String {
    let name =
        name.rsplit("::").next().unwrap_or(name).trim_start_matches("&mut ").trim_end_matches("Handle");
    match name {
        "i64" => "integer",
        "f64" => "number",
        "& str" | "&str" | "ImmutableString" | "String" => "text",
        "FnPtr" => "function",
        "Dynamic" => "any",
        name => name,
    }
    .to_owned()
}
