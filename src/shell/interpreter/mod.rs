//! What inputs are evaluated by, at the prompt and in a notebook: variables, functions and imports
//! that stay, and commands such as `:time`.

pub(super) mod commands;
pub(super) mod complete;
mod evaluate;
mod input;
mod save;
pub(super) mod syntax;

pub(super) use evaluate::{Interpreter, Trouble};
