//! Models: networks of stacked replicas.
//!
//! A model says which layers it has (`Design`), one file per model and one line in the list below.
//! The layers become an `Architecture` with the layout of all tensors, which training backends
//! read. [`Weights`] hold the tensors of one or more replicas, side by side.

pub(crate) mod architecture;
pub(crate) mod layers;
mod layout;
mod linear;
mod mlp;
mod network;
pub(crate) mod resnet;
mod shape;
pub(crate) mod stored;
mod weights;

pub use layout::{Init, Layout, TensorInfo};
pub use network::{Network, Scores};
pub(crate) use shape::{Activation, Channels, Size};
pub(crate) use weights::load_state;
pub use weights::{State, Weights};

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use self::architecture::{Architecture, Builder};
use crate::error::{Error, Result};
use crate::options::{Given, Kind, Opt};

/// The list of models.
macro_rules! models {
    ($($(#[$doc:meta])* $name:ident in $file:ident,)*) => {
        /// A model as plain data: part of a run's identity.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "name", rename_all = "snake_case")]
        pub enum ModelSpec {
            $($(#[$doc])* $name($file::$name),)*
        }

        /// Every model.
        pub const MODELS: &[&ModelEntry] = &[$(&$file::ENTRY,)*];

        impl ModelSpec {
            /// The entry of this model in [`MODELS`].
            pub fn info(&self) -> &'static ModelEntry {
                match self {
                    $(Self::$name(_) => &$file::ENTRY,)*
                }
            }

            fn design(&self) -> &dyn Design {
                match self {
                    $(Self::$name(design) => design,)*
                }
            }
        }
    };
}

models! {
    /// The pre-activation ResNet18.
    Resnet in resnet,
    /// A multilayer perceptron with ReLU.
    Mlp in mlp,
    /// Multinomial logistic regression.
    Linear in linear,
}

/// What help, completion, checking and scripts' constructors know of a model.
pub struct ModelEntry {
    /// The name in scripts and in stored plans.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// A script with it.
    pub example: &'static str,
    /// Where it comes from; may be empty.
    pub origin: &'static str,
    /// Its options. `channels` and `classes` are sizes that the data set has, too.
    pub options: &'static [Opt],
    /// Channels, height and width of images where neither data nor options say them. None where its
    /// parameters depend on the images' height and width.
    pub usual_images: Option<[usize; 3]>,
    /// The model with these options.
    pub read: fn(&Given) -> Result<ModelSpec>,
}

/// What a model's options say of its network.
trait Design {
    /// Filters or units that the options name.
    fn sizes(&self) -> &[i64];

    /// Units of each hidden layer, where the model is told by them.
    fn hidden(&self) -> Option<&[i64]> {
        None
    }

    /// A line for people.
    fn describe(&self) -> String;

    /// Adds its layers, of which the last one makes `classes` logits.
    fn add_layers(&self, net: &mut Builder, classes: usize) -> Result<()>;
}

/// Larger images, and more classes, are taken for a mistake.
const LARGEST_SIZE: usize = 65_536;

/// More layers are taken for a mistake.
const MOST_LAYERS: usize = 1000;

/// More filters or units are taken for a mistake.
const LARGEST_LAYER: i64 = 4096;

/// Options that are filters or units of a layer.
const LAYER_SIZE: Kind = Kind::Integer(1, LARGEST_LAYER);

/// Classes where neither data nor options say how many.
pub(crate) const USUAL_CLASSES: usize = 10;

/// More parameters are refused before any is allocated.
pub(crate) const MOST_PARAMETERS: i64 = 1 << 29;

/// Images as a model wants them, from batch · replicas x channels x height x width: batch x
/// (replicas · channels) x height x width. Where the weights want it, channels are innermost in
/// memory, and everything computed from them follows.
pub(crate) fn arrange(images: &Tensor, batch: i64, weights: &Weights) -> Tensor {
    let [_, channels, height, width] = images.size4().unwrap_or_default().into();
    let images = images.view([batch, weights.replicas() * channels, height, width]);
    match weights.want_channels_last() {
        true => images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
        false => images,
    }
}

/// A model for images of one shape.
#[derive(Clone)]
pub struct Model {
    /// What was built.
    pub spec: ModelSpec,
    /// Channels, height, width of the images.
    pub shape: [usize; 3],
    /// How many classes.
    pub classes: usize,
    /// Its tensors.
    pub layout: Arc<Layout>,
    /// Its layers.
    pub(crate) net: Arc<Architecture>,
}

#[cfg(test)]
impl Model {
    /// The same with other layers.
    pub(crate) fn with_layers(&self, add: impl FnOnce(&mut Builder) -> Result<()>) -> Self {
        let net = Architecture::build(self.net.input, add).expect("the layers fit together");
        Self { layout: Arc::clone(&net.layout), net: Arc::new(net), ..self.clone() }
    }
}

impl ModelSpec {
    /// The width in tables: filters of the first stage, units of the widest hidden layer, 0.
    pub fn width(&self) -> i64 {
        self.design().sizes().iter().copied().max().unwrap_or(0)
    }

    /// Units of each hidden layer, for models that are told by them.
    pub fn hidden(&self) -> Option<&[i64]> {
        self.design().hidden()
    }

    /// A line for people.
    pub fn describe(&self) -> String {
        self.design().describe()
    }

    /// Checks the sizes.
    pub fn check(&self) -> Result<()> {
        let (name, sizes) = (self.info().name, self.design().sizes());
        if sizes.len() > MOST_LAYERS {
            return Err(Error::invalid(format!(
                "{name}: {} hidden layers; expected at most {MOST_LAYERS}",
                sizes.len()
            )));
        }
        match sizes.iter().find(|size| !(1..=LARGEST_LAYER).contains(*size)) {
            Some(size) => {
                Err(Error::invalid(format!("{name}: a layer of {size} units; expected 1 to {LARGEST_LAYER}")))
            }
            None => Ok(()),
        }
    }

    /// The fewest examples of a batch, for images of this shape: batch norm needs two values per
    /// channel.
    pub fn smallest_batch(&self, shape: [usize; 3]) -> usize {
        self.build(shape, USUAL_CLASSES).map_or(1, |model| model.net.smallest_batch())
    }

    /// Builds the model for images of this shape (channels, height, width).
    ///
    /// # Errors
    ///
    /// A size or the number of parameters is taken for a mistake.
    pub fn build(&self, shape: [usize; 3], classes: usize) -> Result<Model> {
        thread_local! {
            /// The last ones: runs of a plan ask for the same few models one after the other.
            static BUILT: RefCell<VecDeque<Model>> = const { RefCell::new(VecDeque::new()) };
        }
        const REMEMBERED: usize = 4;
        BUILT.with_borrow_mut(|built| {
            let same = |model: &&Model| (&model.spec, model.shape, model.classes) == (self, shape, classes);
            if let Some(model) = built.iter().find(same) {
                return Ok(model.clone());
            }
            let model = self.assemble(shape, classes)?;
            built.truncate(REMEMBERED - 1);
            built.push_front(model.clone());
            Ok(model)
        })
    }

    fn assemble(&self, shape: [usize; 3], classes: usize) -> Result<Model> {
        self.check()?;
        let name = self.info().name;
        let [channels, height, width] = shape;
        if ![channels, height, width, classes].iter().all(|size| (1..=LARGEST_SIZE).contains(size)) {
            return Err(Error::invalid(format!(
                "{name}: images of {shape:?} (channels, height, width) and {classes} classes; expected each from 1 to {LARGEST_SIZE}"
            )));
        }
        let images = Activation::Image { channels, size: Size { height, width } };
        let net = Architecture::build(images, |net| self.design().add_layers(net, classes))?;
        let parameters = net.layout.parameters();
        if parameters > MOST_PARAMETERS {
            return Err(Error::invalid(format!(
                "{name}: {parameters} parameters; expected at most {MOST_PARAMETERS}, make it narrower"
            )));
        }
        Ok(Model { spec: self.clone(), shape, classes, layout: Arc::clone(&net.layout), net: Arc::new(net) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list's names are those that plans store, and a model reads what it stored.
    #[test]
    fn every_model_finds_its_entry() {
        for (model, stored) in [
            (ModelSpec::resnet(1), r#"{"name":"resnet","width":1}"#),
            (ModelSpec::mlp(vec![2, 3]), r#"{"name":"mlp","hidden":[2,3]}"#),
            (ModelSpec::linear(), r#"{"name":"linear"}"#),
        ] {
            assert_eq!(serde_json::to_string(&model).unwrap(), stored);
            assert_eq!(serde_json::from_str::<ModelSpec>(stored).unwrap(), model);
            assert_eq!(serde_json::to_value(&model).unwrap()["name"], model.info().name);
            assert!(MODELS.iter().any(|entry| entry.name == model.info().name));
        }
    }

    #[test]
    fn sizes_beyond_reason_are_refused_before_anything_is_allocated() {
        assert!(ModelSpec::resnet(2048).build([3, 32, 32], 10).is_err());
        assert!(ModelSpec::resnet(8).build([1 << 40, 32, 32], 10).is_err());
        assert!(ModelSpec::resnet(8).build([3, 32, 32], 0).is_err());
        let deep = ModelSpec::mlp(vec![1; 1001]).check().unwrap_err().to_string();
        assert!(deep.contains("1001 hidden layers; expected at most 1000"), "{deep}");
    }
}
