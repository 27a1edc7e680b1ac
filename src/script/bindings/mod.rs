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
mod pages;
mod plots;
mod sequences;
mod sweeps;
mod tables;

pub(super) use entries::schemas;
pub(super) use jobs::problem;
pub(super) use plots::PlotHandle;
use rhai::{Engine, exported_module};
pub(super) use sweeps::TrainedRun;

use std::sync::LazyLock;

use crate::model::MODELS;
use crate::optim::OPTIMIZERS;
use crate::options::Opt;

/// The options of a call that takes a map of them, with their meanings: the one list that help, completion and checking read.
pub(super) fn options_of(call: &str) -> Vec<(&'static str, &'static str)> {
    let list: &[(&str, &str)] = match call {
        "sweep" | "train" => {
            return crate::script::RUN_OPTIONS.iter().map(|option| (option.name, option.doc)).collect();
        }
        "run" => &sweeps::EXECUTION_OPTIONS,
        // The function belongs to the script, which goes on meanwhile.
        "start" => {
            return sweeps::EXECUTION_OPTIONS.into_iter().filter(|(name, _)| *name != "on_epoch").collect();
        }
        "slurm" => &crate::sweep::slurm::SLURM_OPTIONS,
        "figure" => &pages::FIGURE_OPTIONS,
        "join" => &tables::JOIN_OPTIONS,
        "init" => &model::INIT_OPTIONS,
        "measure" => &model::MEASURE_OPTIONS,
        "split" | "sample" | "fixed" => &data::DIVISION_OPTIONS,
        "subset" => &data::SUBSET_OPTIONS,
        "synthetic" => &data::SYNTHETIC_OPTIONS,
        "images" => &data::IMAGES_OPTIONS,
        _ => {
            let analysis =
                described().iter().find(|(name, _)| *name == call).map(|(_, list)| list.as_slice());
            let model = MODELS.iter().find(|model| model.name == call).map(|model| model.options);
            let optimizer =
                OPTIMIZERS.iter().find(|optimizer| optimizer.name == call).map(|optimizer| optimizer.options);
            analysis.or(model).or(optimizer).unwrap_or_default()
        }
    };
    list.to_vec()
}

/// A call with the names and meanings of its options.
type Described = (&'static str, Vec<(&'static str, &'static str)>);

/// The calls that have schemas.
fn described() -> &'static [Described] {
    static ALL: LazyLock<Vec<Described>> = LazyLock::new(|| {
        let meaning = |opt: &Opt| (opt.name, &*String::leak(opt.meaning()));
        schemas().into_iter().map(|(call, schema)| (call, schema.iter().map(meaning).collect())).collect()
    });
    &ALL
}

/// The calls that take a map of options.
pub(super) fn calls_with_options() -> Vec<&'static str> {
    let mut calls = vec![
        "sweep",
        "train",
        "run",
        "start",
        "slurm",
        "figure",
        "join",
        "init",
        "measure",
        "split",
        "sample",
        "fixed",
        "subset",
        "synthetic",
        "images",
    ];
    calls.extend(described().iter().map(|(name, _)| *name));
    calls.extend(MODELS.iter().filter(|model| !model.options.is_empty()).map(|model| model.name));
    calls.extend(OPTIMIZERS.iter().map(|optimizer| optimizer.name));
    calls
}

/// Every topic of functions with its module.
pub(super) fn register(engine: &mut Engine) {
    let mut data_sets = exported_module!(data::functions);
    data::add_folders(&mut data_sets);
    let mut estimates = exported_module!(analysis::functions);
    analysis::add_functions(&mut estimates);
    for module in [
        data_sets,
        exported_module!(model::functions),
        exported_module!(sweeps::functions),
        exported_module!(jobs::functions),
        exported_module!(tables::functions),
        estimates,
        exported_module!(average::functions),
        exported_module!(arguments::functions),
        exported_module!(arrays::functions),
        exported_module!(plots::functions),
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
