//! The engine that runs scripts.

use std::rc::Rc;

use rhai::{AST, Dynamic, Engine, EvalAltResult, OptimizationLevel, Position, Scope};

use super::library::ModuleLibrary;
use super::loops::compile;
use super::output::{print, tell};
use super::session::Session;
use super::{bindings, check, keywords, limits, manual};

/// An engine with all of kelvin's functions, for one session.
pub fn engine(session: &Rc<Session>) -> Engine {
    let mut engine = Engine::new();
    // `Full` may call registered functions while compiling.
    engine.set_optimization_level(OptimizationLevel::Simple);
    engine.set_max_expr_depths(128, 64);
    engine.set_max_call_levels(64);
    // The default resolver reads any file.
    engine.set_module_resolver(ModuleLibrary::new(session));
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
        Err(Box::new(EvalAltResult::ErrorRuntime(text.into(), Position::NONE)))
    })
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
