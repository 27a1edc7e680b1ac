//! What comes in, at the prompt or from a notebook: commands, and what is evaluated; and what
//! completion knows of it.

use rhai::Dynamic;

use super::complete::{Known, Variable};
use super::evaluate::{Import, Interpreter, Trouble, Typed};
use super::{commands, syntax};
use crate::script::manual;
use crate::shell::folders::folder;
use crate::sweep::columns;
use crate::table::Table;

impl Interpreter {
    /// Runs `startup.rhai` of the configuration's folder, where there is one.
    pub fn start_up(&mut self) {
        let file = folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("startup.rhai"));
        let Some(file) = file.filter(|file| file.is_file()) else { return };
        let name = file.display().to_string();
        let done = match crate::script::text::read(&file) {
            Ok(text) => self.evaluate(&name, &text),
            Err(error) => Err(error.into()),
        };
        if let Err(trouble) = done {
            trouble.text.tell();
        }
    }

    /// Takes one input and forgets it: it is no part of the history, of a saved script or of `ans`.
    ///
    /// # Errors
    ///
    /// What to tell.
    pub fn take_silently(&mut self, line: &str) -> Result<Dynamic, Trouble> {
        let (inputs, ans) = (self.typed.len(), self.scope.get("ans").cloned());
        let value = self.take(line);
        self.typed.truncate(inputs);
        match ans {
            Some(ans) => drop(self.scope.set_value("ans", ans)),
            None => drop(self.scope.remove::<Dynamic>("ans")),
        }
        value
    }

    /// Takes one input: a command, or something to evaluate, whose value it returns.
    ///
    /// # Errors
    ///
    /// What to tell.
    pub fn take(&mut self, line: &str) -> Result<Dynamic, Trouble> {
        let is_variable = self.scope.contains(line.trim().trim_end_matches(';'));
        if commands::is_command(line) && !is_variable {
            self.typed.push(Typed { text: line.to_owned(), script: None });
            let done = commands::obey(self, line);
            crate::interrupt::clear();
            return done.map(|()| Dynamic::UNIT);
        }
        let number = self.history().count() + 1;
        let value = self.value(&format!("<input {number}>"), line);
        let script = value.is_ok().then(|| line.to_owned());
        self.typed.push(Typed { text: line.to_owned(), script });
        // As in IPython and Julia.
        if syntax::ends_with_semicolon(line) { value.map(|_| Dynamic::UNIT) } else { value }
    }

    /// What completion knows.
    pub fn known(&self) -> Known {
        Known {
            functions: manual::functions(&self.engine),
            properties: manual::properties(&self.engine),
            variables: self.known_variables(),
            columns: columns::of_epochs(true)
                .chain(columns::of_steady())
                .map(|column| column.name.to_owned())
                .collect(),
            modules: crate::script::STDLIB.iter().map(|module| module.0.to_owned()).collect(),
            imports: self.known_imports(),
        }
    }

    /// Brings what completion knows up to date.
    pub fn refresh(&self, known: &mut Known) {
        known.variables = self.known_variables();
        known.imports = self.known_imports();
    }

    /// The modules that were imported, by alias, with the names of their functions.
    fn known_imports(&self) -> Vec<(String, Vec<String>)> {
        let names =
            |import: &Import| self.module(&import.alias).into_iter().map(|function| function.name).collect();
        self.imports.iter().map(|import| (import.alias.clone(), names(import))).collect()
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
