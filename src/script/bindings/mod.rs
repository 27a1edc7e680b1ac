//! kelvin's functions in Rhai, one file per topic.
// Rhai's macro writes an `unwrap` around each argument, whose type the engine has checked.
#![allow(clippy::unwrap_used)]

mod analysis;
mod arguments;
mod arrays;
mod average;
mod budget;
mod data;
mod entries;
mod help;
mod jobs;
mod lab;
mod model;
mod numbers;
mod on_epoch;
mod optimizers;
mod pages;
mod plots;
#[cfg(test)]
mod run_ids;
mod sequences;
mod sweeps;
mod tables;

pub(super) use plots::PlotHandle;

use rhai::{Engine, exported_module};

/// Every topic of functions with its module.
pub(super) fn register(engine: &mut Engine) {
    let mut data_sets = exported_module!(data::functions);
    data::add_constructors(&mut data_sets);
    let mut models = exported_module!(model::functions);
    model::add_constructors(&mut models);
    let mut optimizers = exported_module!(optimizers::functions);
    optimizers::add_constructors(&mut optimizers);
    let mut estimates = exported_module!(analysis::functions);
    analysis::add_functions(&mut estimates);
    for module in [
        data_sets,
        models,
        optimizers,
        exported_module!(sweeps::functions),
        exported_module!(jobs::functions),
        exported_module!(tables::functions),
        estimates,
        exported_module!(average::functions),
        exported_module!(arguments::functions),
        exported_module!(arrays::functions),
        plots::module(),
        exported_module!(pages::functions),
        exported_module!(numbers::functions),
        exported_module!(budget::functions),
        exported_module!(sequences::functions),
        exported_module!(help::functions),
    ] {
        engine.register_global_module(module.into());
    }
    lab::register(engine);
    data::name_types(engine);
    model::name_types(engine);
    optimizers::name_types(engine);
    numbers::name_types(engine);
    sweeps::name_types(engine);
    jobs::name_types(engine);
    tables::name_types(engine);
    analysis::name_types(engine);
    plots::name_types(engine);
    pages::name_types(engine);
}
