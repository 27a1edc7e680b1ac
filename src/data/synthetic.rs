//! Synthetic images: each class has a random pattern, each image is its class's pattern with noise.

use serde::{Deserialize, Serialize};

use super::Images;
use crate::error::{Error, Result};
use crate::rng::{Rng, Stream};

/// What to draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// How many images.
    pub n: usize,
    /// How many classes; image i is of class i mod `classes`.
    pub classes: usize,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Standard deviation of the pixel noise, in units of the patterns' standard deviation.
    pub noise: f64,
    /// The seed of patterns and noise.
    pub seed: i64,
}

/// One byte is 32 of a standard deviation, around 128: ±4 standard deviations fit.
const BYTES_PER_STD: f64 = 32.0;

/// More bytes than this are refused.
const LARGEST: usize = 4 << 30;

impl Options {
    /// Checks the sizes and the noise.
    pub(super) fn check(&self) -> Result<()> {
        let [channels, height, width] = self.shape;
        let size = channels
            .checked_mul(height)
            .and_then(|plane| plane.checked_mul(width))
            // A byte per pixel of the images, a float per pixel of the classes' patterns.
            .and_then(|image| image.checked_mul(self.n.checked_add(self.classes.checked_mul(8)?)?));
        match size {
            Some(1..=LARGEST) if self.n >= 1 && self.classes >= 1 && self.classes <= 1 << 16 => {}
            _ => {
                return Err(Error::invalid(format!(
                    "synthetic: n {} of shape {:?} and {} classes: expected at least one image and class, at most {LARGEST} bytes and 65,536 classes",
                    self.n, self.shape, self.classes
                )));
            }
        }
        if !(self.noise >= 0.0 && self.noise.is_finite()) {
            return Err(Error::invalid(format!("synthetic: noise is {}, expected a number ≥ 0", self.noise)));
        }
        Ok(())
    }
}

pub(super) fn load(options: &Options) -> Result<Images> {
    options.check()?;
    let [channels, height, width] = options.shape;
    let image = channels * height * width;
    let normals = |index: u64| {
        let mut values = vec![0.0; image];
        Rng::new(options.seed, Stream::Synthetic, index).fill_normal(&mut values);
        values
    };
    let patterns: Vec<Vec<f64>> = (0..options.classes as u64).map(normals).collect();
    let scale = (1.0 + options.noise * options.noise).sqrt();
    let mut bytes = Vec::with_capacity(options.n * image);
    let mut labels = Vec::with_capacity(options.n);
    for row in 0..options.n {
        if row % 1024 == 0 {
            crate::interrupt::check()?;
        }
        let class = row % options.classes;
        let noise = normals((options.classes + row) as u64);
        for (pattern, noise) in patterns[class].iter().zip(noise) {
            let value = (pattern + options.noise * noise) / scale;
            bytes.push((128.0 + BYTES_PER_STD * value).round().clamp(0.0, 255.0) as u8);
        }
        labels.push(class as u16);
    }
    Images::new(bytes, labels, options.classes, options.shape, 255.0)
}
