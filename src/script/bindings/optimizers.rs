//! Optimizers in scripts: a constructor for each entry of their list.

use rhai::plugin::*;
use rhai::{FuncRegistration, Map};

use super::entries::comment;
use crate::error::{Error, Result};
use crate::optim::{OPTIMIZERS, OptimizerEntry};
use crate::script::convert::{Scripted, at, given};
use crate::script::handles::OptimizerHandle;

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<OptimizerHandle>("Optimizer");
}

/// `sgd()` and `sgd(#{…})`, and so on.
pub(super) fn add_constructors(module: &mut Module) {
    for entry in OPTIMIZERS.iter().copied() {
        FuncRegistration::new(entry.name)
            .in_global_namespace()
            .with_comments([comment(&format!("{}.", entry.doc), entry.example, true)])
            .with_params_info(["Optimizer"])
            .set_into_module(module, move |context: NativeCallContext| -> Scripted<OptimizerHandle> {
                make(entry, &Map::new()).map_err(|error| at(&context, error))
            });
        FuncRegistration::new(entry.name)
            .in_global_namespace()
            .with_comments([comment(&format!("{}.", entry.doc), "", true)])
            .with_params_info(["options: Map", "Optimizer"])
            .set_into_module(
                module,
                move |context: NativeCallContext, options: Map| -> Scripted<OptimizerHandle> {
                    make(entry, &options).map_err(|error| at(&context, error))
                },
            );
    }
}

fn make(entry: &OptimizerEntry, options: &Map) -> Result<OptimizerHandle> {
    // Two options of one optimizer vary together or not, so an axis is an array of optimizers.
    if let Some((key, _)) = options.iter().find(|(_, value)| value.is_array()) {
        let call = entry.name;
        return Err(Error::invalid(format!(
            "{call}: {key}: expected one value, found an array; an axis is an array of optimizers: \
             optimizer: [{call}(#{{{key}: …}}), {call}(#{{{key}: …}})]"
        )));
    }
    entry.of_given(&given(entry.name, entry.options, options)?).map(OptimizerHandle)
}

#[export_module]
pub mod functions {
    /// An optimizer in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn optimizer_to_string(optimizer: &mut OptimizerHandle) -> String {
        let spec = &optimizer.0;
        format!(
            "{}: momentum {}, weight decay {}, noise {}",
            spec.label(),
            spec.momentum(),
            spec.weight_decay(),
            spec.noise()
        )
    }
}
