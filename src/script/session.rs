//! What a running script or prompt knows beyond its variables.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rhai::NativeCallContext;

use super::arguments::Arguments;
use crate::error::Result;
use crate::sweep::{Observer, Provenance, RunOptions, Script, Silent};

/// Whoever presses Ctrl-C at the prompt has it back within a second.
const AT_THE_PROMPT: Duration = Duration::from_millis(500);

/// Makes an observer for each training.
pub type ObserverFactory = Box<dyn Fn() -> Box<dyn Observer>>;

/// The arguments, the script and the progress display of an engine. The engine carries it as its tag.
pub struct Session {
    /// The `-D name=value` arguments.
    pub arguments: Arguments,
    script: RefCell<Option<Script>>,
    observer: ObserverFactory,
    problems: RefCell<Vec<String>>,
    /// The modules that were imported: what errors call them, and their texts.
    modules: RefCell<BTreeMap<String, String>>,
    interactive: Cell<bool>,
    data_dir: RefCell<Option<PathBuf>>,
}

impl Session {
    /// A session with these arguments, which shows training as `observer` does.
    pub fn new(arguments: Arguments, observer: ObserverFactory) -> Rc<Self> {
        Rc::new(Self {
            arguments,
            script: RefCell::default(),
            observer,
            problems: RefCell::default(),
            modules: RefCell::default(),
            interactive: Cell::new(false),
            data_dir: RefCell::default(),
        })
    }

    /// A session without arguments that shows nothing.
    pub fn silent() -> Rc<Self> {
        Self::new(Arguments::default(), Box::new(|| Box::new(Silent)))
    }

    /// The session of the engine that makes this call.
    pub(super) fn of(context: &NativeCallContext) -> Rc<Self> {
        context.tag().and_then(|tag| tag.clone().try_cast::<Rc<Self>>()).unwrap_or_else(Self::silent)
    }

    /// Says that somebody waits for the prompt.
    pub fn set_interactive(&self) {
        self.interactive.set(true);
    }

    /// Names the folder of data sets, before what the surroundings say.
    pub fn set_data_dir(&self, folder: Option<PathBuf>) {
        *self.data_dir.borrow_mut() = folder;
    }

    /// The folder of data sets.
    pub(super) fn data_dir(&self) -> Result<PathBuf> {
        crate::data::data_dir(self.data_dir.borrow().as_deref())
    }

    /// How long an interrupted training may take to finish its step and its checkpoints.
    pub(super) fn patience(&self) -> Duration {
        if self.interactive.get() { AT_THE_PROMPT } else { RunOptions::default().patience }
    }

    /// Says something that is no result, where progress is shown.
    pub(super) fn tell(&self, text: &str) {
        self.observer().say(text);
    }

    /// Notes the script that runs, for the provenance of its sweeps.
    pub fn set_script(&self, path: &str, text: &str) {
        *self.script.borrow_mut() = Some(Script::new(path, text));
    }

    /// The script's folder; the current one at the prompt.
    pub(super) fn folder(&self) -> PathBuf {
        let script = self.script.borrow();
        let file = script.as_ref().map(|script| Path::new(&script.path)).filter(|path| path.is_file());
        match file.and_then(Path::parent) {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// Notes the text of a module, for errors in it.
    pub(super) fn note_module(&self, name: &str, text: &str) {
        self.modules.borrow_mut().insert(name.to_owned(), text.to_owned());
    }

    /// The modules that were imported: what errors call them, and their texts.
    pub fn modules(&self) -> BTreeMap<String, String> {
        self.modules.borrow().clone()
    }

    /// Where a sweep of this session comes from.
    pub(super) fn provenance(&self) -> Provenance {
        Provenance {
            script: self.script.borrow().clone(),
            modules: self.modules.borrow().iter().map(|(name, text)| Script::new(name, text)).collect(),
            arguments: self.arguments.given(),
            ..Provenance::here()
        }
    }

    pub(super) fn observer(&self) -> Box<dyn Observer> {
        (self.observer)()
    }

    /// Notes that something of a sweep went wrong without stopping the script.
    pub(super) fn note_problem(&self, problem: String) {
        self.problems.borrow_mut().push(problem);
    }

    /// What went wrong without stopping the script, since the last call.
    pub fn take_problems(&self) -> Vec<String> {
        std::mem::take(&mut self.problems.borrow_mut())
    }
}
