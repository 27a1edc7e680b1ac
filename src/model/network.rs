//! One network with weights, as a script holds it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Reduction, Tensor};

use super::weights::{State, load_state, save_state};
use super::{Model, Weights};
use crate::error::Result;
use crate::torch::Precision;

/// Mean loss and accuracy of a network on a data set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean cross-entropy, in nats.
    #[serde(with = "any_float")]
    pub loss: f64,
    /// Fraction of examples classified correctly.
    #[serde(with = "any_float")]
    pub accuracy: f64,
    /// Population standard deviation of the loss over examples, in nats.
    #[serde(with = "any_float")]
    pub loss_std: f64,
}

/// Floats in JSON, which has no infinities: those are written as text.
mod any_float {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any {
        Number(f64),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() { serializer.serialize_f64(*value) } else { serializer.collect_str(value) }
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<f64, D::Error> {
        match Any::deserialize(deserializer)? {
            Any::Number(value) => Ok(value),
            Any::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

/// A model with the weights of one replica.
pub struct Network {
    model: Model,
    weights: Weights,
    precision: Precision,
}

impl Network {
    /// Draws initial weights from a seed.
    pub fn draw(model: Model, seed: i64, precision: Precision, device: Device) -> Self {
        let weights = Weights::draw(&model.layout, &[seed], precision, device);
        Self { model, weights, precision }
    }

    /// A network with these tensors.
    pub fn from_state(model: Model, state: State, precision: Precision, device: Device) -> Result<Self> {
        let mut network = Self::draw(model, 0, precision, device);
        network.weights.set_state(0, state)?;
        Ok(network)
    }

    /// What was built.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Its weights, a stack of one replica.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The number format it computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Writes a safetensors file with PyTorch's names.
    pub fn save(&self, path: &Path) -> Result<()> {
        save_state(&self.weights.state(0), path)
    }

    /// Reads a safetensors file with PyTorch's names.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let parameters = self.weights.layout().parameters();
        self.set_state(load_state(path, parameters)?, path)
    }

    /// Parameters of the model, for `load_state`.
    pub fn parameters(&self) -> i64 {
        self.weights.layout().parameters()
    }

    /// Takes the tensors that were read from a file, which errors name.
    pub fn set_state(&mut self, state: State, path: &Path) -> Result<()> {
        self.weights
            .set_state(0, state)
            .map_err(|error| crate::error::Error::invalid(format!("{}: {error}", path.display())))
    }

    /// Logits, examples x classes, in evaluation mode, of normalised images.
    pub fn logits(&self, images: &Tensor) -> Tensor {
        tch::no_grad(|| {
            let images = images.to_kind(self.precision.compute());
            self.model.net.forward(&self.weights, &images, false).squeeze_dim(0)
        })
    }

    /// Mean cross-entropy of normalised images with their labels (0 and up) and its gradient by
    /// every tensor, in training mode: batch norm uses the batch's statistics and updates its
    /// running ones.
    pub fn loss_and_gradients(&self, images: &Tensor, labels: &Tensor) -> (f64, State) {
        let images = images.to_kind(self.precision.compute());
        let logits = self.model.net.forward(&self.weights, &images, true).squeeze_dim(0);
        let loss = logits.to_kind(self.precision.master()).cross_entropy_loss(
            labels,
            None::<&Tensor>,
            Reduction::Mean,
            -100,
            0.0,
        );
        let flat = self.weights.gradient(&loss);
        let mut start = 0;
        let mut gradients = State::new();
        for tensor in &self.model.layout.tensors {
            let gradient = flat.narrow(0, start, tensor.numel()).view(&tensor.shape[..]);
            gradients.push((tensor.name.clone(), gradient));
            start += tensor.numel();
        }
        (loss.double_value(&[]), gradients)
    }

    /// A line per layer: name, shape, parameters.
    pub fn summary(&self) -> String {
        let layout = &self.model.layout;
        let width = layout.tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for tensor in &layout.tensors {
            let shape = format!("{:?}", tensor.shape);
            text += &format!("{:width$}  {shape:<20}{:>12}\n", tensor.name, tensor.numel());
        }
        text += &format!("{:width$}  {:<20}{:>12}", "parameters", "", layout.parameters());
        text
    }
}
