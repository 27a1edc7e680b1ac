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
mod optimizers;
mod pages;
mod plots;
#[cfg(test)]
mod run_ids;
mod sequences;
mod sweeps;
mod tables;

pub(super) use jobs::problem;
pub(super) use plots::PlotHandle;

use std::sync::LazyLock;

use rhai::{Engine, exported_module};
pub(super) use sweeps::TrainedRun;

use crate::data::SOURCES;
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
        "average_over" => &average::AVERAGE_OPTIONS,
        "slurm" => &crate::sweep::slurm::SLURM_OPTIONS,
        "figure" => &pages::FIGURE_OPTIONS,
        "join" => &tables::JOIN_OPTIONS,
        "init" => &model::INIT_OPTIONS,
        "measure" => &model::MEASURE_OPTIONS,
        "split" | "sample" | "fixed" => &data::DIVISION_OPTIONS,
        "subset" => &data::SUBSET_OPTIONS,
        _ => {
            let analysis = analysis::OPTIONS.iter().find(|(name, _)| *name == call).map(|(_, list)| *list);
            let analysis = analysis
                .or_else(|| lab::OPTIONS.iter().find(|(name, _)| *name == call).map(|(_, list)| *list));
            let model = MODELS.iter().find(|model| model.name == call).map(|model| model.options);
            let Some(list) = analysis.or(model) else { return told(call) };
            list
        }
    };
    list.to_vec()
}

/// The options of a constructor of a data set or an optimizer with their meanings.
fn told(call: &str) -> Vec<(&'static str, &'static str)> {
    type Told = (&'static str, Vec<(&'static str, String)>);
    static TOLD: LazyLock<Vec<Told>> = LazyLock::new(|| {
        let meanings = |options: &[Opt]| options.iter().map(|opt| (opt.name, opt.meaning())).collect();
        let optimizers = OPTIMIZERS.iter().map(|entry| (entry.name, meanings(entry.options)));
        let sources = SOURCES.iter().map(|entry| (entry.name, meanings(entry.options)));
        optimizers.chain(sources).collect()
    });
    let list = TOLD.iter().find(|(name, _)| *name == call).map(|(_, list)| &list[..]);
    list.unwrap_or_default().iter().map(|(name, meaning)| (*name, &meaning[..])).collect()
}

/// The calls that take a map of options.
pub(super) fn calls_with_options() -> Vec<&'static str> {
    let mut calls = vec![
        "sweep",
        "train",
        "run",
        "start",
        "average_over",
        "slurm",
        "figure",
        "join",
        "init",
        "measure",
        "split",
        "sample",
        "fixed",
        "subset",
    ];
    calls.extend(analysis::OPTIONS.iter().map(|(name, _)| *name));
    calls.extend(lab::OPTIONS.iter().map(|(name, _)| *name));
    calls.extend(MODELS.iter().filter(|model| !model.options.is_empty()).map(|model| model.name));
    calls.extend(OPTIMIZERS.iter().map(|optimizer| optimizer.name));
    calls.extend(SOURCES.iter().filter(|source| !source.options.is_empty()).map(|source| source.name));
    calls
}

/// A doc comment as Rhai keeps it, of a text and an example, which runs on every machine or not.
fn comments(text: &str, example: Option<(&str, bool)>) -> Vec<String> {
    let mut chars = text.chars();
    let text: String = chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect();
    let mut lines = vec![format!("/// {text}")];
    if let Some((script, runs)) = example {
        lines.push(format!("/// ```{}", if runs { "" } else { "no_run" }));
        lines.extend(script.lines().map(|line| format!("/// {line}")));
        lines.push("/// ```".to_owned());
    }
    lines
}

/// Every topic of functions with its module.
pub(super) fn register(engine: &mut Engine) {
    let mut data_sets = exported_module!(data::functions);
    data::add_constructors(&mut data_sets);
    let mut optimizers = exported_module!(optimizers::functions);
    optimizers::add_constructors(&mut optimizers);
    for module in [
        data_sets,
        exported_module!(model::functions),
        optimizers,
        exported_module!(sweeps::functions),
        exported_module!(jobs::functions),
        exported_module!(tables::functions),
        exported_module!(analysis::functions),
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
    optimizers::name_types(engine);
    numbers::name_types(engine);
    sweeps::name_types(engine);
    jobs::name_types(engine);
    tables::name_types(engine);
    analysis::name_types(engine);
    plots::name_types(engine);
    pages::name_types(engine);
}
