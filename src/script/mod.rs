//! The scripting language: a Rhai engine with kelvin's functions.
//!
//! A binding converts arguments, calls one core function and maps the error; nothing else.

mod arguments;
mod axes;
mod bindings;
pub mod catalogue;
pub mod check;
mod convert;
mod engine;
mod foreign_syntax;
mod graphics;
mod handles;
mod keywords;
mod library;
mod limits;
mod loops;
pub mod manual;
mod modules;
mod options;
mod output;
mod pager;
mod painted;
mod report;
mod screen;
mod session;
mod show;
mod sink;
mod terminal;
pub mod text;
mod types;

pub use arguments::Arguments;
pub use engine::{engine, evaluate, function_names, guarded, known_names};
pub use limits::STACK;
pub use loops::compile;
pub use modules::{ModuleFunction, STDLIB, functions_of};
pub(crate) use output::{clear_screen, finish_output, is_open, note_written, print, tell};
pub use pager::page;
pub use painted::Painted;
pub use report::{EvaluatedText, ScriptFailure, ScriptSource, report, report_finding};
pub(crate) use screen::{width, wrapped};
pub use session::{Notifier, ObserverFactory, Session};
pub use show::{Format, show, shown};
pub(crate) use sink::output_sink;
pub use sink::{Output, Shown, redirect};
pub(crate) use terminal::StandardStream;
pub use types::type_of as type_name;
