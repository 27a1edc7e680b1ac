//! kelvin's functions in Rhai, one file per topic.
// Rhai's macro writes an `unwrap` around each argument, whose type the engine has checked.
#![allow(clippy::unwrap_used)]

mod analysis;
mod arguments;
mod arrays;
mod average;
mod budget;
mod data;
mod help;
mod jobs;
mod lab;
mod model;
mod numbers;
mod on_epoch;
mod pages;
mod plots;
mod sequences;
mod sweeps;
mod tables;

pub(super) use analysis::OPTIONS as ANALYSIS_OPTIONS;
pub(super) use average::AVERAGE_OPTIONS;
pub(super) use data::{DIVISION_OPTIONS, IMAGES_OPTIONS, SUBSET_OPTIONS, SYNTHETIC_OPTIONS};
pub(super) use lab::OPTIONS as LAB_OPTIONS;
pub(super) use plots::PlotHandle;
use rhai::{Engine, exported_module};

/// Every topic of functions with its module.
pub(super) fn register(engine: &mut Engine) {
    let mut data_sets = exported_module!(data::functions);
    data::add_folders(&mut data_sets);
    for module in [
        data_sets,
        exported_module!(model::functions),
        exported_module!(sweeps::functions),
        exported_module!(jobs::functions),
        exported_module!(tables::functions),
        exported_module!(analysis::functions),
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
    numbers::name_types(engine);
    sweeps::name_types(engine);
    jobs::name_types(engine);
    tables::name_types(engine);
    analysis::name_types(engine);
    plots::name_types(engine);
    pages::name_types(engine);
}
