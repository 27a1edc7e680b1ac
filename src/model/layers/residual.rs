//! A residual block: x ↦ branch(before(x)) + s, where s is shortcut(before(x)), or x where the
//! shortcut has no layers.

use tch::Tensor;

use super::{Layer, Operation, run};
use crate::error::{Error, Result};
use crate::model::Weights;
use crate::model::architecture::Builder;
use crate::model::shape::Activation;

pub(crate) struct Residual {
    /// What branch and shortcut share.
    pub(crate) before: Vec<Layer>,
    pub(crate) branch: Vec<Layer>,
    /// Empty where the block's input itself is added.
    pub(crate) shortcut: Vec<Layer>,
    output: Activation,
}

impl Builder {
    /// Adds a residual block of three lists of layers, of which the first and last may stay empty.
    ///
    /// # Errors
    ///
    /// A layer's errors; branch and shortcut make different shapes.
    pub(crate) fn residual(
        &mut self,
        name: &str,
        before: impl FnOnce(&mut Self) -> Result<()>,
        branch: impl FnOnce(&mut Self) -> Result<()>,
        shortcut: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let input = self.output();
        let (before, shared) = self.branch(input, before)?;
        let (branch, output) = self.branch(shared, branch)?;
        let (shortcut, added) = self.branch(shared, shortcut)?;
        let added = if shortcut.is_empty() { input } else { added };
        if added != output {
            return Err(Error::invalid(format!("{name}: {output} cannot be added to {added}")));
        }
        self.push(Layer::Residual(Residual { before, branch, shortcut, output }));
        Ok(())
    }
}

impl Residual {
    fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.before.iter().chain(&self.branch).chain(&self.shortcut)
    }
}

impl Operation for Residual {
    fn output(&self) -> Activation {
        self.output
    }

    fn forward(&self, weights: &Weights, x: Tensor, training: bool) -> Tensor {
        let shared = run(&self.before, weights, x.shallow_clone(), training);
        let branch = run(&self.branch, weights, shared.shallow_clone(), training);
        match &self.shortcut[..] {
            [] => branch + x,
            shortcut => branch + run(shortcut, weights, shared, training),
        }
    }

    fn activations(&self) -> usize {
        self.layers().map(|layer| layer.activations()).sum()
    }

    fn smallest_batch(&self) -> usize {
        self.layers().map(|layer| layer.smallest_batch()).max().unwrap_or(1)
    }
}
