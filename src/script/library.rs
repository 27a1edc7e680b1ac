//! Modules that scripts import: found, looked at and evaluated. A module is evaluated once, and
//! again when its text has changed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use rhai::{AST, Engine, EvalAltResult, FnNamespace, Module, ModuleResolver, Position, Scope, Shared};

use super::loops::compile;
use super::modules::{CLOSURE, find};
use super::{Session, check};
use crate::error::Error;

/// A module that was evaluated.
struct Loaded {
    text: String,
    module: Shared<Module>,
}

/// Finds and evaluates modules for the engine of a session.
pub(super) struct ModuleLibrary {
    session: Weak<Session>,
    loaded: RefCell<HashMap<String, Loaded>>,
    /// The modules that are being evaluated, outermost first.
    under_way: RefCell<Vec<String>>,
}

impl ModuleLibrary {
    pub(super) fn new(session: &Rc<Session>) -> Self {
        Self { session: Rc::downgrade(session), loaded: RefCell::default(), under_way: RefCell::default() }
    }

    fn evaluate(
        &self,
        engine: &Engine,
        name: &str,
        text: &str,
    ) -> std::result::Result<Module, Box<EvalAltResult>> {
        let mut ast: AST = compile(engine, &Scope::new(), text)?;
        check::names(engine, &Scope::new(), &AST::empty(), &ast)?;
        ast.set_source(name);
        let mut module = Module::eval_ast_as_new(Scope::new(), &ast, engine)?;
        // A closure that leaves its module, in a map of options for instance, is looked up where it
        // is called.
        let mut hashes = Module::new();
        for closure in ast.iter_fn_def().filter(|function| function.name.starts_with(CLOSURE)) {
            let hash = hashes.set_script_fn(Shared::clone(closure));
            #[allow(deprecated)] // What is offered instead takes native functions only.
            module.update_fn_namespace(hash, FnNamespace::Global);
        }
        module.build_index();
        Ok(module)
    }
}

impl ModuleResolver for ModuleLibrary {
    fn resolve(
        &self,
        engine: &Engine,
        _source: Option<&str>,
        path: &str,
        position: Position,
    ) -> std::result::Result<Shared<Module>, Box<EvalAltResult>> {
        let here = |error: Error| Box::new(EvalAltResult::ErrorRuntime(error.to_string().into(), position));
        let session = self.session.upgrade().unwrap_or_else(Session::silent);
        let (name, text) = find(&session, path).map_err(here)?;
        if session.take_stale() {
            self.loaded.borrow_mut().clear();
        }
        if let Some(loaded) = self.loaded.borrow().get(&name).filter(|loaded| loaded.text == text) {
            return Ok(Shared::clone(&loaded.module));
        }
        if self.under_way.borrow().contains(&name) {
            let chain = self.under_way.borrow().join(" → ");
            return Err(here(Error::invalid(format!("import: modules import each other: {chain} → {name}"))));
        }
        session.note_module(&name, &text);
        self.under_way.borrow_mut().push(name.clone());
        let evaluated = self.evaluate(engine, &name, &text);
        self.under_way.borrow_mut().pop();
        let module = evaluated
            .map_err(|error| Box::new(EvalAltResult::ErrorInModule(name.clone(), error, position)))?;
        let module: Shared<Module> = module.into();
        self.loaded.borrow_mut().insert(name, Loaded { text, module: Shared::clone(&module) });
        Ok(module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::STDLIB;

    /// Every module that the program carries can be loaded alone.
    #[test]
    fn the_embedded_modules_load() {
        for (name, _) in STDLIB {
            let session = Session::silent();
            let engine = crate::script::engine(&session);
            let script = format!("import \"{name}\" as loaded;");
            let value = crate::script::evaluate(&engine, &mut Scope::new(), &script).unwrap();
            assert!(value.is_unit());
        }
    }
}
