//! A data set: images, and the rows and labels that are left of them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use serde::{Deserialize, Serialize};

use super::{Augmentation, Images, MOST_EXAMPLES, Sample, Sampling, Source};
use crate::error::{Error, Result};
use crate::hash::is_sha256;
use crate::rng::{Rng, Stream};

/// More operations on a data set are taken for a mistake.
const MOST_OPERATIONS: usize = 10_000;

/// A data set as plain data: a source and what is done to it, in order. Part of a run's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// Where the images come from.
    pub source: Source,
    /// SHA-256 of the images and labels ([`Images::digest`]), once they were loaded: a data set is what its
    /// files hold, not where they lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What is done to them, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<DataOp>,
}

/// A change to a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataOp {
    /// The first `n` examples.
    Take {
        /// How many.
        n: usize,
    },
    /// `n` examples drawn without replacement, in the order drawn.
    Subset {
        /// How many.
        n: usize,
        /// The seed of the draw.
        seed: i64,
    },
    /// Every label is replaced, with probability `p`, by another class drawn uniformly.
    LabelNoise {
        /// The probability.
        p: f64,
        /// The seed of the draws.
        seed: i64,
    },
    /// One side of a division into training and test set.
    Part {
        /// How the examples are divided.
        sampling: Sampling,
        /// The size of the training set.
        train: usize,
        /// The size of the test set.
        test: usize,
        /// The seed of the division.
        seed: i64,
        /// Whether this is the test side.
        is_test: bool,
    },
}

impl DataSpec {
    /// A whole source that was not loaded yet.
    pub fn new(source: Source) -> Self {
        Self { source, digest: None, operations: Vec::new() }
    }

    /// The probability of the last label noise among what is done to it; 0 without any.
    pub fn label_noise(&self) -> f64 {
        let noise = self.operations.iter().rev().find_map(|operation| match operation {
            DataOp::LabelNoise { p, .. } => Some(*p),
            _ => None,
        });
        noise.unwrap_or(0.0)
    }

    /// Checks what can be checked without the images.
    pub(crate) fn check_values(&self) -> Result<()> {
        if let Some(digest) = &self.digest {
            is_sha256("data.digest", digest)?;
        }
        if let Source::Synthetic(options) = &self.source {
            options.check()?;
        }
        if self.operations.len() > MOST_OPERATIONS {
            return Err(Error::invalid(format!(
                "data: {} operations, expected at most {MOST_OPERATIONS}",
                self.operations.len()
            )));
        }
        self.operations.iter().try_for_each(|operation| match *operation {
            DataOp::Take { n } | DataOp::Subset { n, .. } if !(1..=MOST_EXAMPLES).contains(&n) => {
                Err(Error::invalid(format!("data: n is {n}, expected 1 to {MOST_EXAMPLES} examples")))
            }
            DataOp::LabelNoise { p, .. } if !(0.0..=1.0).contains(&p) => {
                Err(Error::invalid(format!("data: p is {p}, expected a probability from 0 to 1")))
            }
            DataOp::Part { sampling, train, test, .. } => sampling.check(MOST_EXAMPLES, train, test),
            _ => Ok(()),
        })
    }

    /// The name in tables: the source's.
    pub fn name(&self) -> &'static str {
        self.source.info().name
    }
}

/// A data set in memory. Cloning shares the images.
#[derive(Clone)]
pub struct Dataset {
    spec: DataSpec,
    images: Arc<Images>,
    rows: Arc<Vec<u32>>,
    labels: Arc<Vec<u16>>,
}

/// The images of one source while anybody holds them.
type Slot = Arc<Mutex<Weak<Images>>>;

/// Images in memory, by source, so that a plan's data sets are read once.
static LOADED: LazyLock<Mutex<HashMap<String, Slot>>> = LazyLock::new(Mutex::default);

fn load(source: &Source) -> Result<Arc<Images>> {
    let key = serde_json::to_string(source).map_err(|error| Error::invalid(error.to_string()))?;
    let slot = Arc::clone(LOADED.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
    // Held while loading: whoever asks for the same images meanwhile waits for them, and nobody else does.
    let mut loaded = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(images) = loaded.upgrade() {
        return Ok(images);
    }
    let images = Arc::new(source.load()?);
    *loaded = Arc::downgrade(&images);
    Ok(images)
}

impl Dataset {
    /// Loads the images of a source.
    pub fn load(source: Source) -> Result<Self> {
        let images = load(&source)?;
        let rows = Arc::new((0..images.len() as u32).collect());
        let labels = Arc::new(images.labels.clone());
        let spec = DataSpec { digest: Some(images.digest.clone()), ..DataSpec::new(source) };
        Ok(Self { spec, images, rows, labels })
    }

    /// Loads the data set that a description means, and checks that it is still the same.
    pub fn open(spec: &DataSpec) -> Result<Self> {
        let whole = Self::load(spec.source.clone())?;
        if let Some(digest) = &spec.digest
            && *digest != whole.images.digest
        {
            return Err(Error::invalid(format!(
                "the images of {} have changed since the plan was made (SHA-256 {}, expected {digest}); restore the files or make another plan",
                spec.name(),
                whole.images.digest
            )));
        }
        spec.operations.iter().try_fold(whole, |data, operation| data.apply(operation.clone()))
    }

    /// The data set as plain data.
    pub fn spec(&self) -> &DataSpec {
        &self.spec
    }

    /// The images that the rows refer to.
    pub fn images(&self) -> &Arc<Images> {
        &self.images
    }

    /// The rows of [`Dataset::images`] that belong to this data set, in order.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The labels of the rows; with label noise they differ from the images' own.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// The crops and flips that `augment: true` means: the source's, for colour images.
    pub fn augmentation(&self) -> Augmentation {
        if self.shape()[0] == 3 { self.spec.source.info().augmentation } else { Augmentation::None }
    }

    /// How many examples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many classes.
    pub fn classes(&self) -> usize {
        self.images.classes
    }

    /// Channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.images.shape
    }

    /// The default sizes of training and test set: the official ones, or their share of what is left;
    /// five sixths and one sixth where there is no official division.
    pub fn default_sizes(&self) -> (usize, usize) {
        let (train, test) = self.spec.source.info().sizes.unwrap_or((5, 1));
        if train + test == self.len() {
            return (train, test);
        }
        let share = self.len() * train / (train + test);
        (share, self.len() - share)
    }

    /// Applies one change.
    pub fn apply(&self, operation: DataOp) -> Result<Self> {
        let n = self.len();
        let (rows, labels) = match &operation {
            DataOp::Take { n: wanted } => self.pick(0..self.at_most(*wanted, "take(n)")? as u32),
            DataOp::Subset { n: wanted, seed } => {
                let wanted = self.at_most(*wanted, "subset(#{n})")?;
                let order = Rng::new(*seed, Stream::Subset, 0).permutation(n as u32);
                self.pick(order.into_iter().take(wanted))
            }
            DataOp::LabelNoise { p, seed } => (self.rows.to_vec(), self.noisy_labels(*p, *seed)?),
            DataOp::Part { sampling, train, test, seed, is_test } => {
                let sample = sampling.draw(n, *train, *test, *seed)?;
                self.pick(if *is_test { sample.test } else { sample.train })
            }
        };
        let mut spec = self.spec.clone();
        spec.operations.push(operation);
        Ok(Self { spec, images: Arc::clone(&self.images), rows: Arc::new(rows), labels: Arc::new(labels) })
    }

    /// Divides into a training and a test set.
    pub fn divide(&self, sampling: Sampling, train: usize, test: usize, seed: i64) -> Result<(Self, Self)> {
        let part = |is_test| self.apply(DataOp::Part { sampling, train, test, seed, is_test });
        Ok((part(false)?, part(true)?))
    }

    /// How many examples of another part of the same source are also in this one.
    pub fn overlap(&self, other: &Self) -> usize {
        Sample { train: self.rows.to_vec(), test: other.rows.to_vec() }.overlap()
    }

    /// Rows and labels at these positions.
    pub(crate) fn pick(&self, positions: impl IntoIterator<Item = u32>) -> (Vec<u32>, Vec<u16>) {
        positions
            .into_iter()
            .map(|position| (self.rows[position as usize], self.labels[position as usize]))
            .unzip()
    }

    fn at_most(&self, wanted: usize, call: &str) -> Result<usize> {
        if wanted == 0 || wanted > self.len() {
            return Err(Error::invalid(format!(
                "{call}: expected 1 to {} examples, found {wanted}",
                self.len()
            )));
        }
        Ok(wanted)
    }

    fn noisy_labels(&self, p: f64, seed: i64) -> Result<Vec<u16>> {
        let classes = self.classes() as u32;
        if !(0.0..=1.0).contains(&p) || classes < 2 {
            return Err(Error::invalid(format!(
                "label_noise(p, seed): expected a probability from 0 to 1 and two classes or more, found {p} and {classes}"
            )));
        }
        // Keyed by the image, so that an image's label does not depend on what was taken before.
        let noisy = |(&row, &label): (&u32, &u16)| {
            let mut rng = Rng::new(seed, Stream::LabelNoise, u64::from(row));
            if rng.uniform() < p {
                let other = rng.below(classes - 1) as u16;
                if other >= label { other + 1 } else { other }
            } else {
                label
            }
        };
        Ok(self.rows.iter().zip(self.labels.iter()).map(noisy).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_noise_changes_the_stated_share_and_only_to_other_classes() {
        let clean = Dataset::load(Source::Digits).unwrap();
        let noisy = clean.apply(DataOp::LabelNoise { p: 0.4, seed: 3 }).unwrap();
        let changed = clean.labels().iter().zip(noisy.labels()).filter(|(a, b)| a != b).count();
        let share = changed as f64 / clean.len() as f64;
        assert!((share - 0.4).abs() < 4.0 * (0.24f64 / 1797.0).sqrt(), "{share}");
        assert!(noisy.labels().iter().all(|&label| label < 10));
        let all = clean.apply(DataOp::LabelNoise { p: 1.0, seed: 3 }).unwrap();
        assert!(clean.labels().iter().zip(all.labels()).all(|(a, b)| a != b));
    }

    #[test]
    fn an_images_noisy_label_does_not_depend_on_what_was_taken() {
        let digits = Dataset::load(Source::Digits).unwrap();
        let noise = DataOp::LabelNoise { p: 0.5, seed: 1 };
        let first = digits.apply(DataOp::Take { n: 50 }).unwrap().apply(noise.clone()).unwrap();
        let whole = digits.apply(noise).unwrap();
        assert_eq!(first.labels(), &whole.labels()[..50]);
    }

    #[test]
    fn a_description_opens_the_same_data_set() {
        let digits = Dataset::load(Source::Digits).unwrap();
        let subset = digits.apply(DataOp::Subset { n: 100, seed: 5 }).unwrap();
        let (train, _) = subset.divide(Sampling::Split, 80, 20, 9).unwrap();
        let json = serde_json::to_string(train.spec()).unwrap();
        let again = Dataset::open(&serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!(train.rows(), again.rows());
        assert_eq!(train.labels(), again.labels());
    }

    #[test]
    fn digits_are_the_published_ones() {
        let digits = Dataset::load(Source::Digits).unwrap();
        assert_eq!((digits.len(), digits.classes(), digits.shape()), (1797, 10, [1, 8, 8]));
        assert_eq!(digits.default_sizes(), (1500, 297));
        // 561,718 is the sum of all pixels of the published file.
        let sum: u64 = digits.images().bytes.iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum, 561_718);
        assert!((digits.images().mean[0] - 561_718.0 / (1797.0 * 64.0 * 16.0)).abs() < 1e-15);
    }
}
