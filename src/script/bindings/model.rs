//! Models and networks in scripts.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rhai::plugin::*;
use rhai::{Dynamic, FuncRegistration, Map};
use tch::Device;

use super::entries::comment;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::interrupt::leave_behind;
use crate::model::{MODELS, ModelEntry, Network, load_state};
use crate::options::DefaultValue;
use crate::script::convert::{Scripted, at, given, write_to};
use crate::script::handles::{ModelHandle, NetworkHandle};
use crate::script::options::groups;
use crate::torch::Precision;
use crate::train::options::{INIT_OPTIONS, MEASURE_OPTIONS};
use crate::train::{QUANTITIES, measure_network};

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine
        .register_type_with_name::<ModelHandle>("Model")
        .register_type_with_name::<NetworkHandle>("Network");
}

/// The constructors of all models, from their list.
pub(super) fn add_constructors(module: &mut Module) {
    for entry in MODELS {
        let constructor = || {
            FuncRegistration::new(entry.name).in_global_namespace().with_comments([comment(
                entry.doc,
                entry.example,
                true,
            )])
        };
        if !entry.options.is_empty() {
            constructor().with_params_info(["options: Map", "ModelHandle"]).set_into_module(
                module,
                move |context: NativeCallContext, options: Map| -> Scripted<ModelHandle> {
                    make_model(entry, &options).map_err(|error| at(&context, error))
                },
            );
        }
        if entry.options.iter().all(|opt| opt.default != DefaultValue::Required) {
            constructor().with_params_info(["ModelHandle"]).set_into_module(
                module,
                move |context: NativeCallContext| -> Scripted<ModelHandle> {
                    make_model(entry, &Map::new()).map_err(|error| at(&context, error))
                },
            );
        }
    }
}

fn make_model(entry: &'static ModelEntry, options: &Map) -> Result<ModelHandle> {
    let given = given(entry.name, entry.options, options)?;
    let spec = (entry.read)(&given)?;
    spec.check()?;
    let size = |name: &str| match entry.options.iter().any(|opt| opt.name == name) {
        true => given.given_count(name),
        false => Ok(None),
    };
    Ok(ModelHandle { spec, channels: size("channels")?, classes: size("classes")? })
}

fn make_network(model: &ModelHandle, options: &Map) -> Result<Network> {
    let given = given("init", INIT_OPTIONS, options)?;
    let model = ModelHandle {
        spec: model.spec.clone(),
        channels: given.given_count("channels")?.or(model.channels),
        classes: given.given_count("classes")?.or(model.classes),
    };
    let (shape, classes) = match given.handle::<Dataset>("data")? {
        Some(data) => {
            model.check(&data)?;
            (data.shape(), data.classes())
        }
        None => model.usual_sizes().ok_or_else(|| {
            Error::invalid("init: this model needs `data`, which gives the size of its input")
        })?,
    };
    let (seed, precision) = (given.integer("seed")?, given.choice("precision", &Precision::ALL)?);
    crate::torch::initialize();
    let model = model.spec.build(shape, classes)?;
    leave_behind("init", move || Ok(Network::draw(model, seed, precision, Device::Cpu)))
}

fn measured(network: &Network, data: &Dataset, options: &Map) -> Result<Map> {
    let given = given("measure", MEASURE_OPTIONS, options)?;
    let (batch, what, test) = (given.count("batch")?, groups(&given, "what")?, given.handle("test")?);
    let (alpha, seed) = (given.number("weight_decay")?, given.integer("seed")?);
    let found = measure_network(network, [data, test.as_ref().unwrap_or(data)], batch, alpha, &what, seed)?;
    let groups = QUANTITIES.iter().filter(|(_, group, _)| what.contains(group));
    let value = |name: &str| match found.get(name) {
        value if value.is_nan() => Dynamic::UNIT,
        value => value.into(),
    };
    Ok(groups.map(|(name, ..)| ((*name).into(), value(name))).collect())
}

#[export_module]
pub mod functions {
    /// Trainable parameters.
    #[rhai_fn(get = "parameters", return_raw, pure)]
    pub fn parameters(context: NativeCallContext, model: &mut ModelHandle) -> Scripted<i64> {
        model.parameters().map_err(|error| at(&context, error))
    }

    /// A network with initial weights drawn from `seed`, for the images of `data` or for `channels`
    /// and `classes`; `precision` as in run options.
    ///
    /// ```
    /// mlp(#{ hidden: [64] }).init(#{ data: digits(), seed: 1 })
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn init(
        context: NativeCallContext,
        model: &mut ModelHandle,
        options: Map,
    ) -> Scripted<NetworkHandle> {
        make_network(model, &options)
            .map(|network| Rc::new(RefCell::new(network)))
            .map_err(|error| at(&context, error))
    }

    /// A network with initial weights.
    #[rhai_fn(name = "init", return_raw, pure)]
    pub fn init_default(context: NativeCallContext, model: &mut ModelHandle) -> Scripted<NetworkHandle> {
        init(context, model, Map::new())
    }

    /// A model in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn model_to_string(model: &mut ModelHandle) -> String {
        let model_in_words = model.spec.describe();
        match (model.parameters(), model.usual_sizes()) {
            (Ok(parameters), Some(([channels, ..], classes))) => format!(
                "{model_in_words}: {parameters} parameters for {channels} channels and {classes} classes"
            ),
            _ => model_in_words,
        }
    }

    /// Trainable parameters.
    #[rhai_fn(get = "parameters", pure)]
    pub fn network_parameters(network: &mut NetworkHandle) -> i64 {
        network.borrow().model().layout.parameters()
    }

    /// A line per tensor: name, shape, parameters.
    ///
    /// ```
    /// let network = mlp(#{ hidden: [64, 32] }).init(#{ data: digits() });
    /// print(network.summary());
    /// ```
    #[rhai_fn(pure)]
    pub fn summary(network: &mut NetworkHandle) -> String {
        network.borrow().summary()
    }

    /// Loss, accuracy and the loss's standard deviation over examples, on a data set.
    ///
    /// ```
    /// let run = train(#{ data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3 });
    /// run.network.evaluate(digits())
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn evaluate(context: NativeCallContext, network: &mut NetworkHandle, data: Dataset) -> Scripted<Map> {
        let scores = crate::train::scores(&network.borrow(), &data).map_err(|error| at(&context, error))?;
        Ok(Map::from_iter([
            ("loss".into(), scores.loss.into()),
            ("accuracy".into(), scores.accuracy.into()),
            ("loss_std".into(), scores.loss_std.into()),
        ]))
    }

    /// Gradients, their noise and curvature of a network on a data set, as `measure` of a sweep has
    /// them: a map of the quantities that help("columns") lists, in float64, batch norm in training
    /// mode with batches of `batch`: means over random batches of that size (at most 512), () where
    /// there are too few of them.
    ///
    /// ```
    /// let data = digits().take(200);
    /// let run = train(#{ data: data, model: linear(), lr: 0.1, batch: 20, epochs: 3 });
    /// run.network.measure(data, #{ batch: 20, what: ["gradient", "hessian"] })
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn measure(
        context: NativeCallContext,
        network: &mut NetworkHandle,
        data: Dataset,
        options: Map,
    ) -> Scripted<Map> {
        measured(&network.borrow(), &data, &options).map_err(|error| at(&context, error))
    }

    /// Writes the weights as safetensors with PyTorch's names.
    ///
    /// ```
    /// let run = train(#{ data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3 });
    /// run.network.save("results/demo.safetensors")
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn save(context: NativeCallContext, network: &mut NetworkHandle, path: &str) -> Scripted<()> {
        write_to(&context, path, |path| network.borrow().save(path))
    }

    /// Reads weights from safetensors with PyTorch's names, and returns the network.
    ///
    /// ```
    /// let data = digits().take(200);
    /// let run = train(#{ data: data, model: linear(), lr: 0.1, batch: 20, epochs: 3 });
    /// run.network.save("results/demo.safetensors");
    /// let network = linear().init(#{ data: data }).load("results/demo.safetensors");
    /// network.evaluate(data)
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn load(
        context: NativeCallContext,
        network: &mut NetworkHandle,
        path: &str,
    ) -> Scripted<NetworkHandle> {
        let path = crate::script::convert::path(path);
        let (file, parameters) = (PathBuf::from(&path), network.borrow().parameters());
        let read = leave_behind("load", move || load_state(&file, parameters));
        read.and_then(|state| network.borrow_mut().set_state(state, Path::new(&path)))
            .map_err(|error| at(&context, error))?;
        Ok(Rc::clone(network))
    }

    /// A network with a line per tensor.
    #[rhai_fn(name = "to_string", pure)]
    pub fn network_to_string(network: &mut NetworkHandle) -> String {
        format!("{}\n{}", network_to_debug(network), network.borrow().summary())
    }

    /// A network in a line.
    #[rhai_fn(name = "to_debug", pure)]
    pub fn network_to_debug(network: &mut NetworkHandle) -> String {
        let network = network.borrow();
        let model = network.model();
        format!(
            "{} network: {} parameters, {} classes, {}",
            model.spec.info().name,
            model.layout.parameters(),
            model.classes,
            network.precision().name()
        )
    }
}
