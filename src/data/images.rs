//! Images as bytes in memory.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Labelled images of one size, one byte per channel and pixel.
pub struct Images {
    /// N x channels x height x width bytes.
    pub bytes: Vec<u8>,
    /// N labels, each below the number of classes.
    pub labels: Vec<u16>,
    /// How many classes there are.
    pub classes: usize,
    /// The classes' names, where the files say them; else empty.
    pub names: Vec<String>,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// The byte that means 1.0: 255 for photographs, 16 for the digits.
    pub full_scale: f64,
    /// Mean of each channel over the whole set, after scaling to [0, 1].
    pub mean: Vec<f64>,
    /// Population standard deviation of each channel over the whole set, after scaling to [0, 1].
    pub std: Vec<f64>,
    /// SHA-256 of shape, classes, bytes and labels, in hex.
    pub digest: String,
}

impl Images {
    /// Checks the sizes and labels and computes the statistics of each channel.
    pub fn new(
        bytes: Vec<u8>,
        labels: Vec<u16>,
        classes: usize,
        shape: [usize; 3],
        full_scale: f64,
    ) -> Result<Self> {
        if labels.is_empty() || shape.contains(&0) {
            return Err(Error::invalid("the data set is empty: expected at least one image"));
        }
        let needed = shape.iter().try_fold(labels.len(), |product, size| product.checked_mul(*size));
        if needed != Some(bytes.len()) {
            return Err(Error::invalid(format!(
                "{} labels of images of {shape:?} bytes need their product in bytes, found {}",
                labels.len(),
                bytes.len()
            )));
        }
        if let Some(row) = labels.iter().position(|&label| usize::from(label) >= classes) {
            return Err(Error::invalid(format!(
                "the label of image {row} is {}, expected 0 to {}",
                labels[row],
                classes - 1
            )));
        }
        let (mean, std) = channel_statistics(&bytes, shape, full_scale);
        let mut digest = Sha256::new();
        for size in [shape[0], shape[1], shape[2], classes] {
            digest.update((size as u64).to_le_bytes());
        }
        digest.update(&bytes);
        for label in &labels {
            digest.update(label.to_le_bytes());
        }
        let digest = crate::hash::hex(&digest.finalize());
        Ok(Self { bytes, labels, classes, names: Vec::new(), shape, full_scale, mean, std, digest })
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none; [`Images::new`] never makes such.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Mean and population standard deviation per channel, exact: bytes are counted first.
fn channel_statistics(bytes: &[u8], shape: [usize; 3], full_scale: f64) -> (Vec<f64>, Vec<f64>) {
    let [channels, height, width] = shape;
    let plane = height * width;
    let mut counts = vec![[0u64; 256]; channels];
    for image in bytes.chunks_exact(channels * plane) {
        for (channel, pixels) in image.chunks_exact(plane).enumerate() {
            for &pixel in pixels {
                counts[channel][usize::from(pixel)] += 1;
            }
        }
    }
    let moments = |counts: &[u64; 256]| {
        let total: u64 = counts.iter().sum();
        let sum = |power: u32| -> f64 {
            counts.iter().zip(0u64..).map(|(&n, value)| n * value.pow(power)).sum::<u64>() as f64
        };
        let mean = sum(1) / total as f64;
        let variance = (sum(2) / total as f64 - mean * mean).max(0.0);
        // A constant channel carries nothing: leave it at zero instead of dividing by zero.
        let std = if variance > 0.0 { variance.sqrt() } else { full_scale };
        (mean / full_scale, std / full_scale)
    };
    counts.iter().map(moments).unzip()
}
