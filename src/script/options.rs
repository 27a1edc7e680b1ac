//! Run options: from a script's map to run specifications.

use rhai::{Dynamic, FnPtr, Map, NativeCallContext};

use super::axes::Axes;
use super::convert::{at, choice, count, flag, handle, integer, known_keys, number, path, text};
use super::handles::{ModelHandle, OptimizerHandle};
use crate::data::{Dataset, Sampling};
use crate::decimal;
use crate::error::{Error, Result};
use crate::interrupt::{self, leave_behind};
use crate::optim::{OptimizerSpec, Schedule, Sgd};
use crate::torch::Precision;
use crate::train::{Group, InitFile, Measure, Order, RunSpec, Seeds, TrainMetrics};

/// What help, completion and checking know of a run option.
pub struct RunOption {
    /// The key.
    pub name: &'static str,
    /// What it is, with its unit and default.
    pub doc: &'static str,
    /// Sets the option of a draft; none: it is dealt with apart.
    set: Option<fn(&mut Draft, &Dynamic) -> Result<()>>,
}

/// A run specification in the making.
#[derive(Clone)]
struct Draft {
    data: Option<Dataset>,
    model: Option<ModelHandle>,
    optimizer: OptimizerSpec,
    sampling: Sampling,
    train: Option<usize>,
    test: Option<usize>,
    augment: Option<bool>,
    init: Option<InitFile>,
    schedule: Schedule,
    lr: Option<f64>,
    batch: Option<usize>,
    order: Order,
    epochs: Option<u32>,
    seeds: Seeds,
    precision: Precision,
    evaluate_every: u32,
    train_metrics: TrainMetrics,
    measure: Option<Measure>,
}

/// Every run option, in the order of the nesting of axes: the last varies fastest.
pub const RUN_OPTIONS: &[RunOption] = &[
    RunOption {
        name: "data",
        doc: "the data set: digits(), cifar10(path), …; required",
        set: Some(|draft, value| {
            draft.data = Some(handle("data", "a data set such as digits()", value)?);
            Ok(())
        }),
    },
    RunOption {
        name: "sampling",
        doc: "\"split\" (shuffle and cut), \"random\" (independent draws) or \"fixed\" (rows as they lie); default \"split\"",
        set: Some(|draft, value| {
            draft.sampling = choice("sampling", &Sampling::ALL, value)?;
            Ok(())
        }),
    },
    RunOption {
        name: "train",
        doc: "training examples; default: as many as the official training set has, or its share of a smaller data set",
        set: Some(|draft, value| {
            draft.train = Some(count("train", value)?);
            Ok(())
        }),
    },
    RunOption {
        name: "test",
        doc: "test examples; default: as many as the official test set has, or its share of a smaller data set",
        set: Some(|draft, value| {
            draft.test = Some(count("test", value)?);
            Ok(())
        }),
    },
    RunOption {
        name: "augment",
        doc: "crop with padding 4 and flip colour images, on train and test alike; default false",
        set: Some(|draft, value| {
            draft.augment = Some(flag("augment", value)?);
            Ok(())
        }),
    },
    RunOption {
        name: "model",
        doc: "the network: resnet(#{width: 8}), mlp(#{hidden: [64]}), linear(); required",
        set: Some(|draft, value| {
            draft.model = Some(handle("model", "a model such as resnet(#{width: 8})", value)?);
            Ok(())
        }),
    },
    RunOption {
        name: "init",
        doc: "a safetensors file with the initial weights; default: drawn from the seed",
        set: Some(|draft, value| {
            let path = path(&text("init", value)?);
            draft.init = Some(leave_behind("init", move || InitFile::of(&path))?);
            Ok(())
        }),
    },
    RunOption {
        name: "optimizer",
        doc: "sgd(#{momentum, form, nesterov, weight_decay, noise}) or adam(#{…}); default sgd()",
        set: Some(|draft, value| {
            draft.optimizer = handle::<OptimizerHandle>("optimizer", "an optimizer such as sgd()", value)?.0;
            Ok(())
        }),
    },
    RunOption {
        name: "schedule",
        doc: "\"constant\" or \"cosine\" (λ cos(π/2 · t/t_f)); default \"constant\"",
        set: Some(|draft, value| {
            draft.schedule = choice("schedule", &Schedule::all(), value)?;
            Ok(())
        }),
    },
    RunOption {
        name: "order",
        doc: "\"shuffled\", \"sequential\" or \"replacement\"; default \"shuffled\"",
        set: Some(|draft, value| {
            draft.order = choice("order", &Order::ALL, value)?;
            Ok(())
        }),
    },
    RunOption {
        name: "precision",
        doc: "\"float32\", \"tf32\", \"bf16\" or \"float64\"; default \"float32\"",
        set: Some(|draft, value| {
            draft.precision = choice("precision", &Precision::ALL, value)?;
            Ok(())
        }),
    },
    RunOption {
        name: "evaluate_every",
        doc: "epochs from one row of metrics to the next; default 1",
        set: Some(|draft, value| {
            draft.evaluate_every = epochs("evaluate_every", value)?;
            Ok(())
        }),
    },
    RunOption {
        name: "train_metrics",
        doc: "\"evaluate\" (the training set after each epoch) or \"running\" (its batches as they train); default \"evaluate\"",
        set: Some(|draft, value| {
            draft.train_metrics = choice("train_metrics", &TrainMetrics::ALL, value)?;
            Ok(())
        }),
    },
    RunOption {
        name: "measure",
        doc: "quantities besides the losses, columns of the epochs table: [\"gradient\", \"hessian\", \"spectrum\"], at every tenth epoch and the last, or #{what: […], every: 5}; default []",
        set: None,
    },
    RunOption {
        name: "lr",
        doc: "the initial learning rate λ; required",
        set: Some(|draft, value| {
            draft.lr = Some(number("lr", value)?);
            Ok(())
        }),
    },
    RunOption {
        name: "batch",
        doc: "examples per update, B; the temperature is λ / B; an epoch is whole batches, what is left of the order is dropped; required",
        set: Some(|draft, value| {
            draft.batch = Some(count("batch", value)?);
            Ok(())
        }),
    },
    RunOption {
        name: "seed",
        doc: "a number, or a map of the streams split, init, order, augment, noise; default 1",
        set: Some(|draft, value| {
            draft.seeds = Seeds::all(integer("seed", value)?);
            Ok(())
        }),
    },
    RunOption {
        name: "epochs",
        doc: "passes over the training set, or a function of the run: |run| paper_epochs(run.temperature), where a run has lr, batch, temperature, train, width, seed, schedule; required",
        set: Some(|draft, value| {
            draft.epochs = Some(epochs("epochs", value)?);
            Ok(())
        }),
    },
];

fn epochs(key: &str, value: &Dynamic) -> Result<u32> {
    let found = count(key, value)?;
    u32::try_from(found).map_err(|_| Error::invalid(format!("{key}: expected less than 2³², found {found}")))
}

/// The runs that a map of options means: the product of its axes. `call` is the function's name.
pub(super) fn expand(
    context: &NativeCallContext,
    call: &'static str,
    options: &Map,
) -> super::convert::Scripted<Vec<RunSpec>> {
    let drafts = drafts(call, options).map_err(|error| at(context, error))?;
    let function = options.get("epochs").and_then(|value| value.clone().try_cast::<FnPtr>());
    drafts
        .into_iter()
        .map(|mut draft| {
            interrupt::check().map_err(|error| at(context, error))?;
            if let Some(function) = &function {
                let run = draft.run_map().map_err(|error| at(context, error))?;
                let value: Dynamic = function.call_within_context(context, (run,))?;
                draft.epochs = Some(epochs("epochs", &value).map_err(|error| at(context, error))?);
            }
            draft.finish().map_err(|error| at(context, error))
        })
        .collect()
}

fn drafts(call: &'static str, options: &Map) -> Result<Vec<Draft>> {
    known_keys(call, options, RUN_OPTIONS.iter().map(|option| option.name))?;
    for key in ["data", "model", "lr", "batch", "epochs"] {
        if !options.contains_key(key) {
            let doc = RUN_OPTIONS.iter().find(|option| option.name == key).map_or("", |option| option.doc);
            let what = doc.trim_end_matches("; required");
            return Err(Error::invalid(format!("{call}: the option `{key}` is missing: {what}")));
        }
    }
    let start = Draft {
        data: None,
        model: None,
        optimizer: OptimizerSpec::new(Sgd::default()),
        sampling: Sampling::Split,
        train: None,
        test: None,
        augment: None,
        init: None,
        schedule: Schedule::CONSTANT,
        lr: None,
        batch: None,
        order: Order::Shuffled,
        epochs: None,
        seeds: Seeds::all(1),
        precision: Precision::Float32,
        evaluate_every: 1,
        train_metrics: TrainMetrics::Evaluate,
        measure: options.get("measure").map_or(Ok(None), measure)?,
    };
    let mut axes = Axes::new(call, "runs");
    for option in RUN_OPTIONS {
        let Some(value) = options.get(option.name) else { continue };
        match option.name {
            "measure" => {}
            "epochs" if value.is_fnptr() => {}
            "seed" if value.is_map() => {
                let streams = handle::<Map>("seed", "a map of streams", value)?;
                known_keys("seed", &streams, Seeds::NAMES)?;
                for name in Seeds::NAMES {
                    if let Some(value) = streams.get(name) {
                        axes.add(&format!("seed.{name}"), value)?;
                    }
                }
            }
            name => {
                axes.add(name, value)?;
            }
        }
    }
    axes.product(start, set)
}

/// Sets an option of a draft; `key` may be that of a seed's stream.
fn set(draft: &mut Draft, key: &str, value: &Dynamic) -> Result<()> {
    if let Some(stream) = key.strip_prefix("seed.") {
        let seed = integer(key, value)?;
        if let Some(stream) = draft.seeds.stream_mut(stream) {
            *stream = seed;
        }
        return Ok(());
    }
    match RUN_OPTIONS.iter().find(|option| option.name == key).and_then(|option| option.set) {
        Some(set) => set(draft, value),
        None => Ok(()),
    }
}

/// The keys of `measure` as a map.
pub(super) const MEASURE_KEYS: [(&str, &str); 2] = [
    ("what", "\"gradient\", \"hessian\", \"spectrum\", or an array of them; required"),
    ("every", "epochs from one measurement to the next; default 10"),
];

/// What is measured, and how often; none where nothing is.
fn measure(value: &Dynamic) -> Result<Option<Measure>> {
    let (list, every) = match value.clone().try_cast::<Map>() {
        None => (value.clone(), None),
        Some(map) => {
            known_keys("measure", &map, MEASURE_KEYS.map(|(name, _)| name))?;
            let missing = || {
                Error::invalid(
                    "measure: the key `what` is missing: [\"gradient\", \"hessian\", \"spectrum\"]",
                )
            };
            (map.get("what").ok_or_else(missing)?.clone(), map.get("every").cloned())
        }
    };
    let groups = groups(&list)?;
    let every = every.map_or(Ok(Measure::EVERY), |value| epochs("measure.every", &value))?;
    Ok((!groups.is_empty()).then_some(Measure { groups, every }))
}

/// Groups of quantities, sorted, each once.
pub(super) fn groups(value: &Dynamic) -> Result<Vec<Group>> {
    let list = value.clone().try_cast::<rhai::Array>().unwrap_or_else(|| vec![value.clone()]);
    let mut groups =
        list.iter().map(|name| choice("measure", &Group::ALL, name)).collect::<Result<Vec<_>>>()?;
    groups.sort();
    groups.dedup();
    Ok(groups)
}

impl Draft {
    /// What a function of the run sees.
    fn run_map(&self) -> Result<Map> {
        let (lr, batch) = (self.lr.unwrap_or_default(), self.batch.unwrap_or_default());
        if batch == 0 {
            return Err(Error::invalid("batch is 0, expected at least 1"));
        }
        let mut run = Map::new();
        run.insert("lr".into(), lr.into());
        run.insert("batch".into(), (batch as i64).into());
        run.insert("temperature".into(), decimal::ratio(lr, batch as u64).into());
        run.insert("seed".into(), self.seeds.common().map_or(Dynamic::UNIT, Dynamic::from));
        run.insert("schedule".into(), self.schedule.name().into());
        run.insert("train".into(), self.sizes().map_or(Dynamic::UNIT, |(train, _)| (train as i64).into()));
        if let Some(model) = &self.model {
            run.insert("width".into(), model.spec.width().into());
        }
        Ok(run)
    }

    /// How many examples to train on and to test on: where the options leave it out, as the data set was published.
    fn sizes(&self) -> Option<(usize, usize)> {
        if let (Some(train), Some(test)) = (self.train, self.test) {
            return Some((train, test));
        }
        let (train, test) = self.data.as_ref()?.default_sizes();
        Some((self.train.unwrap_or(train), self.test.unwrap_or(test)))
    }

    fn finish(self) -> Result<RunSpec> {
        let missing = |key: &str| Error::invalid(format!("the option `{key}` is missing"));
        let (train, test) = self.sizes().ok_or_else(|| missing("data"))?;
        let data = self.data.ok_or_else(|| missing("data"))?;
        let model = self.model.ok_or_else(|| missing("model"))?;
        model.check(&data)?;
        let spec = RunSpec {
            sampling: self.sampling,
            train,
            test,
            augment: self.augment.unwrap_or(false),
            model: model.spec,
            init: self.init,
            optimizer: self.optimizer,
            schedule: self.schedule,
            lr: self.lr.ok_or_else(|| missing("lr"))?,
            batch: self.batch.ok_or_else(|| missing("batch"))?,
            order: self.order,
            epochs: self.epochs.ok_or_else(|| missing("epochs"))?,
            seeds: self.seeds,
            precision: self.precision,
            evaluate_every: self.evaluate_every,
            train_metrics: self.train_metrics,
            measure: self.measure,
            data: data.spec().clone(),
        };
        spec.check(data.len(), data.shape())?;
        Ok(spec)
    }
}
