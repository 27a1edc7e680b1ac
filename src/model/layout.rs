//! The tensors of a model, in order, with their PyTorch names and initial distributions.

use std::ops::Range;

/// How a tensor starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform on (−bound, bound).
    Uniform {
        /// The largest absolute value.
        bound: f64,
    },
    /// One value everywhere.
    Constant(f64),
}

/// One trainable tensor of a replica.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The name in PyTorch's state dict.
    pub name: String,
    /// The shape of one replica's tensor.
    pub shape: Vec<i64>,
    /// How it starts.
    pub init: Init,
    /// Whether it enters a convolution or product, which bf16 computes in bfloat16.
    pub is_product: bool,
}

impl TensorInfo {
    /// How many numbers it holds.
    pub fn numel(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// A batch norm's running statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct NormInfo {
    /// The name of the layer in PyTorch's state dict.
    pub name: String,
    /// Channels of one replica.
    pub channels: i64,
}

/// Every tensor of one replica, in the order of the flat parameter buffer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// The trainable tensors.
    pub tensors: Vec<TensorInfo>,
    /// The batch norms.
    pub norms: Vec<NormInfo>,
}

impl Layout {
    /// Trainable parameters of one replica.
    pub fn parameters(&self) -> i64 {
        self.tensors.iter().map(TensorInfo::numel).sum()
    }

    /// Where a tensor lies among all parameters.
    pub(crate) fn range(&self, index: usize) -> Range<usize> {
        let start: i64 = self.tensors[..index].iter().map(TensorInfo::numel).sum();
        start as usize..(start + self.tensors[index].numel()) as usize
    }

    /// Adds a tensor and returns its index.
    pub(super) fn add(&mut self, name: String, shape: &[i64], init: Init, is_product: bool) -> usize {
        self.tensors.push(TensorInfo { name, shape: shape.to_vec(), init, is_product });
        self.tensors.len() - 1
    }

    /// PyTorch's default for convolutions and linear layers: `kaiming_uniform_` with a = √5, which
    /// is uniform on ±1/√fan_in; biases have the same bound.
    pub(super) fn fan_in(fan_in: i64) -> Init {
        Init::Uniform { bound: 1.0 / (fan_in as f64).sqrt() }
    }
}
