//! Sizes of images, layers and what passes between layers.

use std::fmt;

/// Channels, features or units on both sides of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Channels {
    /// What it is given.
    pub input: usize,
    /// What it makes.
    pub output: usize,
}

/// Height and width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// Of one pixel.
    pub const PIXEL: Self = Self { height: 1, width: 1 };

    /// How many pixels.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// What is left of it at every `stride`th pixel in both directions.
    pub fn strided(self, stride: usize) -> Self {
        Self { height: self.height.div_ceil(stride), width: self.width.div_ceil(stride) }
    }
}

/// What passes between two layers, for one image of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// An image of several channels.
    Image {
        /// How many.
        channels: usize,
        /// Of each.
        size: Size,
    },
    /// Numbers without a place in an image.
    Features(usize),
}

impl Activation {
    /// How many numbers.
    pub fn numbers(self) -> usize {
        match self {
            Self::Image { channels, size } => channels * size.pixels(),
            Self::Features(features) => features,
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Image { channels, size } => {
                write!(to, "images of {channels} channels and {}x{} pixels", size.height, size.width)
            }
            Self::Features(features) => write!(to, "{features} features"),
        }
    }
}
