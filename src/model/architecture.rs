//! A network as a list of layers, which is all that both training backends know of it.
//!
//! A model adds its layers to a [`Builder`] one after another, each of which adds its tensors to
//! the [`Layout`]. libtorch walks the layers ([`Architecture::forward`]); vector lanes read them. A
//! backend that leaves a tensor of the layout unused fails.

use std::sync::Arc;

use tch::Tensor;

use super::layers::{Layer, run};
use super::shape::Activation;
use super::{Layout, Weights};
use crate::error::{Error, Result};

/// A network for images of one shape.
pub(crate) struct Architecture {
    /// The images.
    pub(crate) input: Activation,
    /// From the images to the logits.
    pub(crate) layers: Vec<Layer>,
    /// The tensors of the layers.
    pub(crate) layout: Arc<Layout>,
}

impl Architecture {
    /// The network that `add` makes for images of this shape.
    ///
    /// # Errors
    ///
    /// A layer cannot take what the one before makes.
    pub(crate) fn build(input: Activation, add: impl FnOnce(&mut Builder) -> Result<()>) -> Result<Self> {
        let mut net = Builder { layout: Layout::default(), layers: Vec::new(), output: input };
        add(&mut net)?;
        Ok(Self { input, layers: net.layers, layout: Arc::new(net.layout) })
    }

    /// Logits, replicas x batch x classes, of images, batch x (replicas · channels) x height x
    /// width.
    pub(crate) fn forward(&self, weights: &Weights, images: &Tensor, training: bool) -> Tensor {
        run(&self.layers, weights, images.shallow_clone(), training)
    }

    /// Numbers per image that the backward pass wants kept.
    pub(crate) fn activations(&self) -> u64 {
        let kept: usize = self.layers.iter().map(|layer| layer.activations()).sum();
        (self.input.numbers() + kept) as u64
    }

    /// The fewest examples of a batch that it can train on.
    pub(crate) fn smallest_batch(&self) -> usize {
        self.layers.iter().map(|layer| layer.smallest_batch()).max().unwrap_or(1)
    }
}

/// Layers that are being put together. Each file of [`layers`](super::layers) adds a method.
pub(crate) struct Builder {
    pub(super) layout: Layout,
    layers: Vec<Layer>,
    output: Activation,
}

impl Builder {
    /// What the layers so far make of an image.
    pub(crate) fn output(&self) -> Activation {
        self.output
    }

    /// The layer before the next one; none at the beginning of the network or of a branch.
    pub(super) fn last(&self) -> Option<&Layer> {
        self.layers.last()
    }

    /// Adds a layer, whose tensors are in the layout.
    pub(super) fn push(&mut self, layer: Layer) {
        self.output = layer.output();
        self.layers.push(layer);
    }

    /// Layers beside those so far, for the same network: a branch of a block. Gives them and what
    /// they make.
    pub(super) fn branch(
        &mut self,
        input: Activation,
        add: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<(Vec<Layer>, Activation)> {
        let layout = std::mem::take(&mut self.layout);
        let mut branch = Self { layout, layers: Vec::new(), output: input };
        let added = add(&mut branch);
        self.layout = branch.layout;
        added.map(|()| (branch.layers, branch.output))
    }

    /// Adds a tensor that no layer uses.
    #[cfg(test)]
    pub(crate) fn unused(&mut self, name: &str) {
        self.layout.add(name.to_owned(), &[1], super::Init::Constant(0.0), false);
    }

    /// A layer of the network cannot take what the one before makes.
    pub(super) fn mismatch(&self, layer: &str, expected: &str) -> Error {
        Error::invalid(format!("{layer}: expected {expected}, found {}", self.output))
    }
}
