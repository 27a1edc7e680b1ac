//! Arguments of the command line in scripts.

use rhai::Dynamic;
use rhai::plugin::*;

use crate::script::convert::{Scripted, at};
use crate::script::session::Session;

#[export_module]
pub mod functions {
    /// The argument `-D name=value` of the command line, typed like its default.
    ///
    /// ```
    /// let epochs = arg("epochs", 30);
    /// print(`training for ${epochs} epochs`);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn arg(context: NativeCallContext, name: &str, default: Dynamic) -> Scripted<Dynamic> {
        let session = Session::of(&context);
        session.arguments.get_or(name, default).map_err(|error| at(&context, error))
    }

    /// The argument `-D name=value` of the command line, which must be given: a number where it is
    /// written like one, else text; 007 and 12e5 stay text. With a default it has the default's
    /// type.
    #[rhai_fn(name = "arg", return_raw)]
    pub fn arg_required(context: NativeCallContext, name: &str) -> Scripted<Dynamic> {
        let session = Session::of(&context);
        session.arguments.get(name).map_err(|error| at(&context, error))
    }
}
