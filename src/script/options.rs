//! Run options: from a script's map to run specifications.

use std::collections::BTreeMap;

use rhai::{Dynamic, FnPtr, Map, NativeCallContext};

use super::axes::{Axes, is_axis};
use super::convert::{Scripted, at, known_keys, native, path};
use super::handles::{ModelHandle, OptimizerHandle};
use crate::data::{Dataset, Sampling};
use crate::decimal;
use crate::error::{Error, Result};
use crate::interrupt::{self, leave_behind};
use crate::optim::{OptimizerSpec, Schedule, Sgd};
use crate::options::{Given, Value, require};
use crate::torch::Precision;
use crate::train::options::{EPOCHS, RUN_OPTIONS};
use crate::train::{Group, InitFile, Measure, Order, RunSpec, Seeds, TrainMetrics};

/// The runs that a map of options means: the product of its axes. `call` is the function's name.
pub(super) fn expand(
    context: &NativeCallContext,
    call: &'static str,
    options: &Map,
) -> Scripted<Vec<RunSpec>> {
    let settings = settings(call, options).map_err(|error| at(context, error))?;
    let function = options.get("epochs").and_then(|value| value.clone().try_cast::<FnPtr>());
    let mut files = BTreeMap::new();
    let mut spec = |mut given: Given| {
        interrupt::check().map_err(|error| at(context, error))?;
        if let Some(function) = &function {
            let run = run_map(&given).map_err(|error| at(context, error))?;
            let found: Dynamic = function.call_within_context(context, (run,))?;
            let set = native(&found).and_then(|found| {
                EPOCHS.check("epochs", &found)?;
                given.set("epochs", found)
            });
            set.map_err(|error| at(context, error))?;
        }
        spec_of(&given, &mut files).map_err(|error| at(context, error))
    };
    settings.into_iter().map(&mut spec).collect()
}

/// The options of every combination of the axes.
fn settings(call: &'static str, options: &Map) -> Result<Vec<Given>> {
    known_keys(call, options, RUN_OPTIONS.iter().map(|opt| opt.name))?;
    require(call, RUN_OPTIONS, |name| options.contains_key(name))?;
    let mut fixed = Given::none(call, RUN_OPTIONS);
    let mut axes = Axes::new(call, "runs");
    for opt in RUN_OPTIONS {
        let Some(value) = options.get(opt.name) else { continue };
        match value.read_lock::<Map>() {
            Some(map) if opt.axis && !opt.keys().is_empty() => {
                known_keys(opt.name, &map, opt.keys().iter().map(|key| key.name))?;
                for key in opt.keys() {
                    if let Some(value) = map.get(key.name) {
                        axes.add(&format!("{}.{}", opt.name, key.name), value)?;
                    }
                }
            }
            _ if opt.axis && is_axis(value) => _ = axes.add(opt.name, value)?,
            _ => fixed.set(opt.name, native(value)?)?,
        }
    }
    axes.product(fixed, |given, key, value| match key.split_once('.') {
        _ if value.is_fnptr() => Err(Error::invalid(format!("{key}: a function stands alone, in no array"))),
        Some((name, key)) => given.set_within(name, key, native(value)?),
        None => given.set(key, native(value)?),
    })
}

/// What a function of the run sees.
fn run_map(given: &Given) -> Result<Map> {
    let (lr, batch) = (given.number("lr")?, given.count("batch")?);
    let mut run = Map::new();
    run.insert("lr".into(), lr.into());
    run.insert("batch".into(), (batch as i64).into());
    run.insert("temperature".into(), decimal::ratio(lr, batch as u64).into());
    run.insert("seed".into(), seeds(given)?.common().map_or(Dynamic::UNIT, Dynamic::from));
    run.insert("schedule".into(), given.text("schedule")?.into());
    run.insert("train".into(), (sizes(given, &data(given)?)?.0 as i64).into());
    run.insert("width".into(), model(given)?.spec.width().into());
    Ok(run)
}

fn required<T>(name: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::invalid(format!("the option `{name}` is missing")))
}

fn data(given: &Given) -> Result<Dataset> {
    required("data", given.handle("data")?)
}

fn model(given: &Given) -> Result<ModelHandle> {
    required("model", given.handle("model")?)
}

/// How many examples to train on and to test on: where the options leave it out, as the data set
/// was published.
fn sizes(given: &Given, data: &Dataset) -> Result<(usize, usize)> {
    let (train, test) = (given.given_count("train")?, given.given_count("test")?);
    if let (Some(train), Some(test)) = (train, test) {
        return Ok((train, test));
    }
    let official = data.default_sizes();
    Ok((train.unwrap_or(official.0), test.unwrap_or(official.1)))
}

/// The seed of each stream: one for all, or those that are named.
fn seeds(given: &Given) -> Result<Seeds> {
    let Some(Value::Map(streams)) = given.value("seed") else {
        return given.integer("seed").map(Seeds::all);
    };
    let mut seeds = Seeds::all(1);
    for (name, seed) in streams {
        if let (Some(stream), Value::Integer(seed)) = (seeds.stream_mut(name), seed) {
            *stream = *seed;
        }
    }
    Ok(seeds)
}

/// What is measured, and how often; none where nothing is.
fn measure(given: &Given) -> Result<Option<Measure>> {
    let (groups, every) = match given.value("measure") {
        Some(Value::Map(_)) => {
            let given = given.map("measure")?;
            (groups(&given, "what")?, epochs(&given, "every")?)
        }
        _ => (groups(given, "measure")?, Measure::EVERY),
    };
    Ok((!groups.is_empty()).then_some(Measure { groups, every }))
}

/// Groups of quantities, sorted, each once.
pub(super) fn groups(given: &Given, name: &str) -> Result<Vec<Group>> {
    let mut groups = given.choices(name, &Group::ALL)?;
    groups.sort();
    groups.dedup();
    Ok(groups)
}

/// A number of epochs, which its schema keeps below 2³².
fn epochs(given: &Given, name: &str) -> Result<u32> {
    given.count(name).map(|epochs| u32::try_from(epochs).unwrap_or(u32::MAX))
}

/// The file of initial weights; each is read once.
fn init(given: &Given, files: &mut BTreeMap<String, InitFile>) -> Result<Option<InitFile>> {
    let Some(text) = given.given_text("init")? else { return Ok(None) };
    if let Some(file) = files.get(&text) {
        return Ok(Some(file.clone()));
    }
    let path = path(&text);
    let file = leave_behind("init", move || InitFile::of(&path))?;
    files.insert(text, file.clone());
    Ok(Some(file))
}

fn spec_of(given: &Given, files: &mut BTreeMap<String, InitFile>) -> Result<RunSpec> {
    let (data, model) = (data(given)?, model(given)?);
    let (train, test) = sizes(given, &data)?;
    model.check(&data)?;
    let optimizer = given.handle::<OptimizerHandle>("optimizer")?;
    let spec = RunSpec {
        sampling: given.choice("sampling", &Sampling::ALL)?,
        train,
        test,
        augment: given.flag("augment")?,
        model: model.spec,
        init: init(given, files)?,
        optimizer: optimizer.map_or_else(|| OptimizerSpec::new(Sgd::default()), |handle| handle.0),
        schedule: given.choice("schedule", &Schedule::all())?,
        lr: given.number("lr")?,
        batch: given.count("batch")?,
        order: given.choice("order", &Order::ALL)?,
        epochs: epochs(given, "epochs")?,
        seeds: seeds(given)?,
        precision: given.choice("precision", &Precision::ALL)?,
        evaluate_every: epochs(given, "evaluate_every")?,
        train_metrics: given.choice("train_metrics", &TrainMetrics::ALL)?,
        measure: measure(given)?,
        data: data.spec().clone(),
    };
    spec.check(data.len(), data.shape())?;
    Ok(spec)
}
