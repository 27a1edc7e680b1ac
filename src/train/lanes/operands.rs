//! What both kinds of convolution compute with: weights, room for factors and transforms, and how
//! outputs are put to their places.

use super::vector::{Kept, Numbers, Vector, zeros};
use crate::error::Result;

/// Parameters whose gradients are emitted together: few enough to stay in the first-level cache.
pub(super) const EMITTED: usize = 512;

/// What a convolution adds its output to.
#[derive(Clone, Copy)]
pub(super) enum Accumulate<'a, Y> {
    /// Nothing: the output replaces what is in its place.
    Nothing,
    /// What is in its place.
    Existing,
    /// Numbers in the same order.
    Other(&'a [Y]),
}

impl<Y: Copy> Accumulate<'_, Y> {
    /// Puts a value of the output to its place.
    #[inline(always)]
    pub(super) fn put<V: Vector>(self, value: V, y: &mut [Y], index: usize)
    where
        Y: Kept<V>,
    {
        let own = &mut y[index];
        *own = Y::keep(match self {
            Self::Nothing => value,
            Self::Existing => own.value().add(value),
            Self::Other(base) => base[index].value().add(value),
        });
    }
}

/// The weights that a convolution computes with.
pub(super) struct ConvWeights<'a, V: Vector> {
    /// `replicas` numbers of each parameter: of all parameters, or of the convolution's alone.
    pub(super) theta: &'a [V::Scalar],
    pub(super) replicas: usize,
    /// As the convolution's `prepare` left them.
    pub(super) kernels: &'a Kernels<V>,
}

impl<V: Vector> Clone for ConvWeights<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Vector> Copy for ConvWeights<'_, V> {}

/// Kernels that are ready to be multiplied with. Convolving by tiles: their transforms, as point,
/// output, input, replica, joined to factors along the channels that are contracted over. Tap by
/// tap: factors of the kernels themselves.
pub(super) struct Kernels<V: Vector>(Numbers<V>);

impl<V: Vector> Kernels<V> {
    /// Room for so many scalars.
    pub(super) fn new(scalars: usize) -> Result<Self> {
        Ok(Self(Numbers::zeros(scalars)?))
    }

    /// All of them.
    pub(super) fn scalars(&self) -> &[V::Scalar] {
        &self.0
    }

    /// The first ones, to be written.
    pub(super) fn first(&mut self, scalars: usize) -> &mut [V::Scalar] {
        &mut self.0[..scalars]
    }
}

/// Room for what a convolution makes of both sides. By tiles: their transforms, as point, group of
/// columns, channel, column. Tap by tap: their factors.
pub(super) struct Points<V> {
    /// Of what is convolved.
    pub(super) inputs: Vec<V>,
    /// Of what that gives.
    pub(super) outputs: Vec<V>,
}

impl<V: Vector> Points<V> {
    /// Room for so many vectors on each side.
    pub(super) fn new(vectors: usize) -> Result<Self> {
        Ok(Self { inputs: zeros(vectors)?, outputs: zeros(vectors)? })
    }
}
