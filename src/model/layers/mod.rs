//! Layers on stacked replicas, one file each: their tensors, their shapes and their forward pass in
//! libtorch.
//!
//! Replicas lie side by side in the channels, and every layer keeps them apart: grouped
//! convolutions, per-channel norms, batched products.

mod conv;
mod dense;
mod flatten;
mod norm;
mod pool;
mod relu;
mod residual;

use std::ops::Deref;

use tch::Tensor;

pub(crate) use self::conv::Filters;
use super::Weights;
use super::shape::Activation;

/// What is known of a layer at its place in a network.
pub(crate) trait Operation {
    /// What it makes of an image.
    fn output(&self) -> Activation;

    /// What it makes of stacked replicas' images, or of their features.
    fn forward(&self, weights: &Weights, x: Tensor, training: bool) -> Tensor;

    /// Numbers per image that its backward pass wants kept and no other layer counts.
    fn activations(&self) -> usize {
        0
    }

    /// The fewest examples of a batch that it can train on.
    fn smallest_batch(&self) -> usize {
        1
    }
}

/// The list of layers. A backend other than libtorch matches those that it knows.
macro_rules! layers {
    ($($name:ident in $file:ident,)*) => {
        $(pub(crate) use self::$file::$name;)*

        /// A layer at its place in a network.
        pub(crate) enum Layer {
            $($name($name),)*
        }

        impl Deref for Layer {
            type Target = dyn Operation;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$name(layer) => layer,)*
                }
            }
        }

        impl Layer {
            /// The layer's name in errors.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($file),)*
                }
            }
        }
    };
}

layers! {
    Conv in conv,
    Dense in dense,
    Flatten in flatten,
    GlobalPool in pool,
    Norm in norm,
    Relu in relu,
    Residual in residual,
}

/// Layers one after another.
pub(super) fn run(layers: &[Layer], weights: &Weights, x: Tensor, training: bool) -> Tensor {
    layers.iter().fold(x, |x, layer| layer.forward(weights, x, training))
}
