//! Models, networks and optimizers in scripts.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Map};
use tch::Device;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::interrupt::leave_behind;
use crate::model::{ModelSpec, Network, load_state};
use crate::optim::{Adam, Form, OptimizerSpec, Sgd};
use crate::script::convert::{
    Scripted, at, choice, count, flag, given, integer, known_keys, number, write_to,
};
use crate::script::handles::{ModelHandle, NetworkHandle, OptimizerHandle};
use crate::script::options::groups;
use crate::torch::Precision;
use crate::train::options::{INIT_OPTIONS, MEASURE_OPTIONS};
use crate::train::{QUANTITIES, measure_network};

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine
        .register_type_with_name::<ModelHandle>("Model")
        .register_type_with_name::<OptimizerHandle>("Optimizer")
        .register_type_with_name::<NetworkHandle>("Network");
}

/// An axis is an array of optimizers, since two options of one vary together or not.
fn no_axis(call: &str, options: &Map) -> Result<()> {
    match options.iter().find(|(_, value)| value.is_array()) {
        Some((key, _)) => Err(Error::invalid(format!(
            "{call}: {key}: expected one value, found an array; an axis is an array of optimizers: \
             optimizer: [{call}(#{{{key}: …}}), {call}(#{{{key}: …}})]"
        ))),
        None => Ok(()),
    }
}

fn make_sgd(options: &Map) -> Result<OptimizerHandle> {
    let spec = OptimizerSpec::Sgd(Sgd::default());
    known_keys("sgd", options, spec.info().options.iter().map(|(name, _)| *name))?;
    no_axis("sgd", options)?;
    let mut sgd = Sgd::default();
    for (key, value) in options {
        match key.as_str() {
            "momentum" => sgd.momentum = number(key, value)?,
            "form" => sgd.form = choice(key, &Form::ALL, value)?,
            "nesterov" => sgd.nesterov = flag(key, value)?,
            "weight_decay" => sgd.weight_decay = number(key, value)?,
            "noise" => sgd.noise = number(key, value)?,
            other => unreachable!("sgd's option {other} is in its list and is not read"),
        }
    }
    sgd.check()?;
    Ok(OptimizerHandle(OptimizerSpec::Sgd(sgd)))
}

fn make_adam(options: &Map) -> Result<OptimizerHandle> {
    let spec = OptimizerSpec::Adam(Adam::default());
    known_keys("adam", options, spec.info().options.iter().map(|(name, _)| *name))?;
    no_axis("adam", options)?;
    let mut adam = Adam::default();
    for (key, value) in options {
        match key.as_str() {
            "beta1" => adam.beta1 = number(key, value)?,
            "beta2" => adam.beta2 = number(key, value)?,
            "eps" => adam.eps = number(key, value)?,
            "weight_decay" => adam.weight_decay = number(key, value)?,
            "decoupled" => adam.decoupled = flag(key, value)?,
            other => unreachable!("adam's option {other} is in its list and is not read"),
        }
    }
    adam.check()?;
    Ok(OptimizerHandle(OptimizerSpec::Adam(adam)))
}

fn make_network(model: &ModelHandle, options: &Map) -> Result<Network> {
    let given = given("init", INIT_OPTIONS, options)?;
    let data = given.handle::<Dataset>("data")?;
    let size = |key: &str, own: Option<usize>| given.given_count(key).map(|found| found.or(own));
    let (shape, classes) = match data {
        Some(data) => {
            let sizes = ModelHandle {
                spec: model.spec.clone(),
                channels: size("channels", model.channels)?,
                classes: size("classes", model.classes)?,
            };
            sizes.check(&data)?;
            (data.shape(), data.classes())
        }
        None => match model.spec {
            ModelSpec::Resnet { .. } => (
                [size("channels", model.channels)?.unwrap_or(3), 32, 32],
                size("classes", model.classes)?.unwrap_or(10),
            ),
            _ => {
                return Err(Error::invalid(
                    "init: this model needs `data`, which gives the size of its input",
                ));
            }
        },
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
    /// The pre-activation ResNet18 (the network of the paper's section 3.1 is of width 32): `width` filters in the first stage;
    /// `channels` and `classes` are taken from the data set (3 and 10 without one).
    ///
    /// ```
    /// resnet(#{ width: 32 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn resnet(context: NativeCallContext, options: Map) -> Scripted<ModelHandle> {
        let make = || {
            known_keys("resnet", &options, ["width", "channels", "classes"])?;
            let width = options.get("width").ok_or_else(|| {
                Error::invalid("resnet: the option `width` is missing; write resnet(#{width: 8})")
            })?;
            let spec = ModelSpec::Resnet { width: integer("width", width)? };
            spec.check()?;
            let size = |key: &str| options.get(key).map(|value| count(key, value)).transpose();
            Ok(ModelHandle { spec, channels: size("channels")?, classes: size("classes")? })
        };
        make().map_err(|error| at(&context, error))
    }

    /// A multilayer perceptron with ReLU: `hidden` holds the units of each hidden layer.
    ///
    /// ```
    /// let model = mlp(#{ hidden: [64, 32] });
    /// train(#{ data: digits().take(200), model: model, lr: 0.4, batch: 20, epochs: 3 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn mlp(context: NativeCallContext, options: Map) -> Scripted<ModelHandle> {
        let make = || {
            known_keys("mlp", &options, ["hidden"])?;
            let hidden = options.get("hidden").and_then(|value| value.clone().try_cast::<Array>());
            let hidden = hidden
                .ok_or_else(|| Error::invalid("mlp: expected hidden: an array of units such as [128, 64]"))?;
            let hidden = hidden.iter().map(|units| integer("hidden", units)).collect::<Result<Vec<_>>>()?;
            let spec = ModelSpec::Mlp { hidden };
            spec.check()?;
            Ok(ModelHandle { spec, channels: None, classes: None })
        };
        make().map_err(|error| at(&context, error))
    }

    /// Multinomial logistic regression on the pixels.
    ///
    /// ```
    /// train(#{ data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3 })
    /// ```
    pub fn linear() -> ModelHandle {
        ModelHandle { spec: ModelSpec::Linear, channels: None, classes: None }
    }

    /// Trainable parameters.
    #[rhai_fn(get = "parameters", return_raw, pure)]
    pub fn parameters(context: NativeCallContext, model: &mut ModelHandle) -> Scripted<i64> {
        model.parameters().map_err(|error| at(&context, error))
    }

    /// A network with initial weights drawn from `seed`, for the images of `data` or for `channels` and
    /// `classes`; `precision` as in run options.
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
        match &model.spec {
            ModelSpec::Resnet { width } => match model.parameters() {
                Ok(parameters) => format!(
                    "resnet of width {width}: {parameters} parameters for {} channels and {} classes",
                    model.channels.unwrap_or(3),
                    model.classes.unwrap_or(10)
                ),
                Err(_) => format!("resnet of width {width}"),
            },
            ModelSpec::Mlp { hidden } => format!("mlp with hidden layers {hidden:?}"),
            ModelSpec::Linear => "linear".to_owned(),
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

    /// Gradients, their noise and curvature of a network on a data set, as `measure` of a sweep has them: a map of the
    /// quantities that help("columns") lists, in float64, batch norm in training mode with batches of `batch`: means over random batches of that
    /// size (at most 512), () where there are too few of them.
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

    /// Plain stochastic gradient descent (Eq. 15 of the paper, without noise) with weight decay 5e-4.
    ///
    /// ```
    /// print(sgd());
    /// sgd(#{ momentum: 0.9, weight_decay: 1e-4 })
    /// ```
    #[rhai_fn(name = "sgd", return_raw)]
    pub fn sgd_default(context: NativeCallContext) -> Scripted<OptimizerHandle> {
        sgd(context, Map::new())
    }

    /// Stochastic gradient descent: `momentum` (0), `form` ("pytorch" or "sutskever"), `nesterov` (false),
    /// `weight_decay` (5e-4), `noise` (β of Eq. 15, 0).
    #[rhai_fn(return_raw)]
    pub fn sgd(context: NativeCallContext, options: Map) -> Scripted<OptimizerHandle> {
        make_sgd(&options).map_err(|error| at(&context, error))
    }

    /// Adam with PyTorch's defaults but weight decay 5e-4.
    ///
    /// ```
    /// let data = digits().take(200);
    /// train(#{ data: data, model: linear(), optimizer: adam(), lr: 0.01, batch: 20, epochs: 3 })
    /// ```
    #[rhai_fn(name = "adam", return_raw)]
    pub fn adam_default(context: NativeCallContext) -> Scripted<OptimizerHandle> {
        adam(context, Map::new())
    }

    /// Adam: `beta1` (0.9), `beta2` (0.999), `eps` (1e-8), `weight_decay` (5e-4), `decoupled` (false; true is AdamW).
    #[rhai_fn(return_raw)]
    pub fn adam(context: NativeCallContext, options: Map) -> Scripted<OptimizerHandle> {
        make_adam(&options).map_err(|error| at(&context, error))
    }

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
