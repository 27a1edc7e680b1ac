//! kelvin's functions in Rhai, one file per topic.
// Rhai's macro writes an `unwrap` around each argument, whose type the engine has checked.
#![allow(clippy::unwrap_used)]

mod analysis;
mod arguments;
mod average;
mod data;
mod help;
mod model;
mod numbers;
mod pages;
mod plots;
mod sweeps;
mod tables;

use rhai::{Engine, exported_module};

/// Every topic of functions with its module.
pub(super) fn register(engine: &mut Engine) {
    let mut data_sets = exported_module!(data::functions);
    data::add_folders(&mut data_sets);
    for module in [
        data_sets,
        exported_module!(model::functions),
        exported_module!(sweeps::functions),
        exported_module!(tables::functions),
        exported_module!(analysis::functions),
        exported_module!(average::functions),
        exported_module!(arguments::functions),
        exported_module!(plots::functions),
        exported_module!(pages::functions),
        exported_module!(numbers::functions),
        exported_module!(help::functions),
    ] {
        engine.register_global_module(module.into());
    }
    data::name_types(engine);
    model::name_types(engine);
    sweeps::name_types(engine);
    tables::name_types(engine);
    analysis::name_types(engine);
    plots::name_types(engine);
    pages::name_types(engine);
}
