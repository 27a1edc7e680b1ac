//! Synthetic images: each class has a random pattern, each image is its class's pattern with noise.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::source::typed;
use super::{Images, Source, SourceEntry};
use crate::error::{Error, Result};
use crate::options::{Bounds, DefaultValue, Kind, Opt};
use crate::rng::{Rng, Stream};

pub(super) const ENTRY: SourceEntry = SourceEntry {
    name: "synthetic",
    doc: "random class patterns with Gaussian pixel noise",
    origin: "drawn by kelvin from a seed",
    options: &[
        Opt::new("n", Kind::AT_LEAST_ONE, DefaultValue::Integer(1200), "images"),
        Opt::new("classes", Kind::AT_LEAST_ONE, DefaultValue::Integer(10), "classes"),
        Opt::new(
            "shape",
            Kind::List(&Kind::AT_LEAST_ONE),
            DefaultValue::Absent("[1, 8, 8]"),
            "[channels, height, width]",
        ),
        Opt::new(
            "noise",
            Kind::Number(Bounds::FROM_ZERO),
            DefaultValue::Number(1.0),
            "standard deviation of the pixel noise, in those of the patterns",
        ),
        Opt::new("seed", Kind::INTEGER, DefaultValue::Integer(1), "what decides patterns and noise"),
    ],
    example: "let data = synthetic(#{ n: 200, classes: 4, noise: 0.5, seed: 1 });\n\
              train(#{ data: data, model: linear(), lr: 0.1, batch: 20, epochs: 3 })",
    typed: typed::<Options>,
    check: |source| source.options::<Options>()?.check(),
    load: |source| load(&source.options()?),
    ..SourceEntry::PLAIN
};

/// What to draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// How many images.
    pub n: usize,
    /// How many classes; image i is of class i mod `classes`.
    pub classes: usize,
    /// Channels, height, width.
    #[serde(default = "small", deserialize_with = "three")]
    pub shape: [usize; 3],
    /// Standard deviation of the pixel noise, in units of the patterns' standard deviation.
    pub noise: f64,
    /// The seed of patterns and noise.
    pub seed: i64,
}

fn small() -> [usize; 3] {
    [1, 8, 8]
}

fn three<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<[usize; 3], D::Error> {
    let sizes = Vec::<usize>::deserialize(from)?;
    <[usize; 3]>::try_from(sizes).map_err(|sizes| {
        de::Error::custom(format!("shape: expected [channels, height, width], found {sizes:?}"))
    })
}

impl From<Options> for Source {
    fn from(options: Options) -> Self {
        Self::with(&ENTRY, None, &options)
    }
}

/// One byte is 32 of a standard deviation, around 128: ±4 standard deviations fit.
const BYTES_PER_STD: f64 = 32.0;

/// More bytes than this are refused.
const LARGEST: usize = 4 << 30;

impl Options {
    /// Checks the sizes together.
    fn check(&self) -> Result<()> {
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
        Ok(())
    }
}

fn load(options: &Options) -> Result<Images> {
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
