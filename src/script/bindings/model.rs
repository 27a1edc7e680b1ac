//! Models and networks in scripts.

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
use crate::script::convert::{Scripted, at, choice, count, handle, integer, known_keys, number, write_to};
use crate::script::handles::{ModelHandle, NetworkHandle};
use crate::script::options::groups;
use crate::torch::Precision;
use crate::train::{Group, QUANTITIES, measure_network};

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine
        .register_type_with_name::<ModelHandle>("Model")
        .register_type_with_name::<NetworkHandle>("Network");
}

/// The options of model.init(#{…}), with their meanings.
pub(super) const INIT_OPTIONS: [(&str, &str); 5] = [
    ("data", "the data set whose images it takes: digits(), …"),
    ("channels", "colours of an image, in place of `data`; default 3"),
    ("classes", "classes, in place of `data`; default 10"),
    ("seed", "what decides the weights; default 1"),
    ("precision", "\"float32\", \"tf32\", \"bf16\" or \"float64\"; default \"float32\""),
];

fn make_network(model: &ModelHandle, options: &Map) -> Result<Network> {
    known_keys("init", options, INIT_OPTIONS.map(|(name, _)| name))?;
    let data = options.get("data").map(|value| handle::<Dataset>("data", "a data set", value)).transpose()?;
    let size = |key: &str, own: Option<usize>| {
        options.get(key).map(|value| count(key, value)).transpose().map(|given| given.or(own))
    };
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
    let seed = options.get("seed").map_or(Ok(1), |value| integer("seed", value))?;
    let precision = options
        .get("precision")
        .map_or(Ok(Precision::Float32), |value| choice("precision", &Precision::ALL, value))?;
    crate::torch::initialize();
    let model = model.spec.build(shape, classes)?;
    leave_behind("init", move || Ok(Network::draw(model, seed, precision, Device::Cpu)))
}

/// The options of `measure`, with their meanings.
pub(super) const MEASURE_OPTIONS: [(&str, &str); 5] = [
    ("batch", "examples of a batch, B; required"),
    ("what", "\"gradient\", \"hessian\", \"spectrum\", or an array of them; default \"gradient\""),
    ("test", "a data set to test on; default the same"),
    ("weight_decay", "α; default 5e-4"),
    ("seed", "what decides the batches; default 1"),
];

fn measured(network: &Network, data: &Dataset, options: &Map) -> Result<Map> {
    known_keys("measure", options, MEASURE_OPTIONS.map(|(name, _)| name))?;
    let missing = || {
        Error::invalid("measure: the option `batch` is missing: the noise is that of batches of B examples")
    };
    let batch = count("batch", options.get("batch").ok_or_else(missing)?)?;
    let what = options.get("what").map_or(Ok(vec![Group::Gradient]), groups)?;
    let test = options.get("test").map(|test| handle::<Dataset>("test", "a data set", test)).transpose()?;
    let alpha = options.get("weight_decay").map_or(Ok(5e-4), |value| number("weight_decay", value))?;
    let seed = options.get("seed").map_or(Ok(1), |value| integer("seed", value))?;
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
}
