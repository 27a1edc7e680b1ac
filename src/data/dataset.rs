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
    /// SHA-256 of the images and labels ([`Images::digest`]), once they were loaded: a data set is
    /// what its files hold, not where they lie.
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
        /// How many subsets were drawn before; see [`DataOp::after`].
        #[serde(default, skip_serializing_if = "is_first")]
        before: u32,
    },
    /// Every label is replaced, with probability `p`, by another class drawn uniformly.
    LabelNoise {
        /// The probability.
        p: f64,
        /// The seed of the draws.
        seed: i64,
        /// How often labels were replaced before; see [`DataOp::after`].
        #[serde(default, skip_serializing_if = "is_first")]
        before: u32,
        /// The expected share of labels that are not the images' own any more, where that is not
        /// `p`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        changed: Option<f64>,
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
        /// How many divisions were drawn before; see [`DataOp::after`].
        #[serde(default, skip_serializing_if = "is_first")]
        before: u32,
    },
}

/// Zeros are not written, so that a plan with one operation of a kind reads, and is known, as ever.
fn is_first(before: &u32) -> bool {
    *before == 0
}

/// The share of changed labels after another label noise: a changed label may come back to its own
/// class.
fn changed_after(changed: f64, p: f64, classes: usize) -> f64 {
    let back = if classes > 1 { p / (classes - 1) as f64 } else { 0.0 };
    changed * (1.0 - back) + (1.0 - changed) * p
}

impl DataOp {
    /// Label noise that is the first.
    pub fn label_noise(p: f64, seed: i64) -> Self {
        Self::LabelNoise { p, seed, before: 0, changed: None }
    }

    /// A subset that is the first.
    pub fn subset(n: usize, seed: i64) -> Self {
        Self::Subset { n, seed, before: 0 }
    }

    /// Whether it says nothing of what was done before, as in plans of earlier versions.
    fn is_plain(&self) -> bool {
        match self {
            Self::Take { .. } => true,
            Self::Subset { before, .. } | Self::Part { before, .. } => *before == 0,
            Self::LabelNoise { before, changed, .. } => *before == 0 && changed.is_none(),
        }
    }

    /// This operation on data of so many classes, with random numbers of its own: what was done
    /// before with the same seed drew others. Plans of earlier versions do not count, and mean what
    /// they meant: the same numbers again.
    fn after(self, earlier: &[Self], classes: usize) -> Self {
        let kind = std::mem::discriminant(&self);
        let count = earlier.iter().filter(|other| std::mem::discriminant(*other) == kind).count() as u32;
        match self {
            Self::Take { n } => Self::Take { n },
            Self::Subset { n, seed, .. } => Self::Subset { n, seed, before: count },
            Self::LabelNoise { p, seed, .. } => {
                let so_far = changed_labels(earlier, Some(classes));
                let changed = (count > 0).then(|| changed_after(so_far, p, classes));
                Self::LabelNoise { p, seed, before: count, changed }
            }
            Self::Part { sampling, train, test, seed, is_test, .. } => {
                // Both sides of one division come from one draw, and each data set has been on one
                // side of it.
                Self::Part { sampling, train, test, seed, is_test, before: count }
            }
        }
    }
}

/// The expected share of labels that these operations leave changed.
fn changed_labels(operations: &[DataOp], classes: Option<usize>) -> f64 {
    operations.iter().fold(0.0, |so_far, operation| match *operation {
        DataOp::LabelNoise { changed: Some(changed), .. } => changed,
        // The first one; or another one in a plan of an earlier version.
        DataOp::LabelNoise { p, .. } => changed_after(so_far, p, classes.unwrap_or(0)),
        _ => so_far,
    })
}

impl DataSpec {
    /// A whole source that was not loaded yet.
    pub fn new(source: Source) -> Self {
        Self { source, digest: None, operations: Vec::new() }
    }

    /// The expected share of labels that are not the images' own: the probability of the label
    /// noise, where there is one; 0 without any.
    pub fn label_noise(&self) -> f64 {
        changed_labels(&self.operations, self.source.classes())
    }

    /// Checks what can be checked without the images.
    pub(crate) fn check_values(&self) -> Result<()> {
        if let Some(digest) = &self.digest {
            is_sha256("data.digest", digest)?;
        }
        self.source.check()?;
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
        self.source.entry().name
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
    // Held while loading: whoever asks for the same images meanwhile waits for them, and nobody
    // else does.
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
        if self.shape()[0] == 3 { self.spec.source.entry().augmentation } else { Augmentation::None }
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

    /// The classes' names, where its files say them; else empty.
    pub fn names(&self) -> &[String] {
        &self.images.names
    }

    /// Channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.images.shape
    }

    /// The default sizes of training and test set: the official ones, or their share of what is
    /// left; five sixths and one sixth where there is no official division.
    pub fn default_sizes(&self) -> (usize, usize) {
        let (train, test) = self.spec.source.entry().sizes.unwrap_or((5, 1));
        if train + test == self.len() {
            return (train, test);
        }
        let share = self.len() * train / (train + test);
        (share, self.len() - share)
    }

    /// Applies one more change, with random numbers of its own.
    pub fn then(&self, operation: DataOp) -> Result<Self> {
        self.apply(operation.after(&self.spec.operations, self.classes()))
    }

    /// Applies one change as it is described.
    pub fn apply(&self, operation: DataOp) -> Result<Self> {
        let n = self.len();
        if !operation.is_plain()
            && operation != operation.clone().after(&self.spec.operations, self.classes())
        {
            return Err(Error::invalid(format!(
                "{operation:?}: not what follows from the operations before it; make another plan"
            )));
        }
        let (rows, labels) = match &operation {
            DataOp::Take { n: wanted } => self.pick(0..self.at_most(*wanted, "take(n)")? as u32),
            DataOp::Subset { n: wanted, seed, before } => {
                let wanted = self.at_most(*wanted, "subset(#{n})")?;
                let order = Rng::new(*seed, Stream::Subset, u64::from(*before)).permutation(n as u32);
                self.pick(order.into_iter().take(wanted))
            }
            DataOp::LabelNoise { p, seed, before, .. } => {
                (self.rows.to_vec(), self.noisy_labels(*p, *seed, *before)?)
            }
            DataOp::Part { sampling, train, test, seed, is_test, before } => {
                let sample = sampling.draw(n, *train, *test, *seed, *before)?;
                self.pick(if *is_test { sample.test } else { sample.train })
            }
        };
        let mut spec = self.spec.clone();
        spec.operations.push(operation);
        Ok(Self { spec, images: Arc::clone(&self.images), rows: Arc::new(rows), labels: Arc::new(labels) })
    }

    /// Divides into the training and the test set of a run, whose seed alone decides the draw.
    pub fn divide(&self, sampling: Sampling, train: usize, test: usize, seed: i64) -> Result<(Self, Self)> {
        let part = |is_test| self.apply(DataOp::Part { sampling, train, test, seed, is_test, before: 0 });
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

    fn noisy_labels(&self, p: f64, seed: i64, before: u32) -> Result<Vec<u16>> {
        let classes = self.classes() as u32;
        if !(0.0..=1.0).contains(&p) || classes < 2 {
            return Err(Error::invalid(format!(
                "label_noise(p, seed): expected a probability from 0 to 1 and two classes or more, found {p} and {classes}"
            )));
        }
        // Keyed by the image, so that an image's label does not depend on what was taken before.
        let noisy = |(&row, &label): (&u32, &u16)| {
            let mut rng = Rng::new(seed, Stream::LabelNoise, u64::from(before) << 32 | u64::from(row));
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
        let clean = Dataset::load(Source::digits()).unwrap();
        let noisy = clean.apply(DataOp::label_noise(0.4, 3)).unwrap();
        let changed = clean.labels().iter().zip(noisy.labels()).filter(|(a, b)| a != b).count();
        let share = changed as f64 / clean.len() as f64;
        assert!((share - 0.4).abs() < 4.0 * (0.24f64 / 1797.0).sqrt(), "{share}");
        assert!(noisy.labels().iter().all(|&label| label < 10));
        let all = clean.apply(DataOp::label_noise(1.0, 3)).unwrap();
        assert!(clean.labels().iter().zip(all.labels()).all(|(a, b)| a != b));
    }

    #[test]
    fn an_images_noisy_label_does_not_depend_on_what_was_taken() {
        let digits = Dataset::load(Source::digits()).unwrap();
        let noise = DataOp::label_noise(0.5, 1);
        let first = digits.apply(DataOp::Take { n: 50 }).unwrap().apply(noise.clone()).unwrap();
        let whole = digits.apply(noise).unwrap();
        assert_eq!(first.labels(), &whole.labels()[..50]);
    }

    fn share_changed(clean: &Dataset, noisy: &Dataset) -> f64 {
        let changed = clean.labels().iter().zip(noisy.labels()).filter(|(a, b)| a != b).count();
        changed as f64 / clean.len() as f64
    }

    #[test]
    fn label_noises_add_up_each_with_its_own_random_numbers() {
        let digits = Dataset::load(Source::digits()).unwrap();
        let noisy = |noises: &[(f64, i64)]| {
            noises
                .iter()
                .fold(digits.clone(), |data, &(p, seed)| data.then(DataOp::label_noise(p, seed)).unwrap())
        };
        // Nothing more is changed: the labels are those of 0.4, and so is the column.
        let first = noisy(&[(0.4, 1)]);
        let still = noisy(&[(0.4, 1), (0.0, 2)]);
        assert_eq!((still.labels(), still.spec().label_noise()), (first.labels(), 0.4));
        // Twice the same: others are changed the second time, some of them back.
        for noises in [&[(0.2, 1), (0.2, 1)][..], &[(0.3, 5), (0.5, 5)], &[(0.2, 1), (0.2, 1), (0.9, 1)]] {
            let data = noisy(noises);
            let (found, expected) = (share_changed(&digits, &data), data.spec().label_noise());
            let error = (expected * (1.0 - expected) / 1797.0).sqrt();
            assert!((found - expected).abs() < 4.0 * error, "{noises:?}: {found}, expected {expected}");
        }
        assert_eq!(noisy(&[(0.2, 1), (0.2, 1)]).spec().label_noise(), 0.2 * (1.0 - 0.2 / 9.0) + 0.8 * 0.2);
        // Something else between them does not matter.
        let taken = first.then(DataOp::Take { n: 100 }).unwrap().then(DataOp::label_noise(0.2, 1)).unwrap();
        assert_eq!(taken.labels(), &noisy(&[(0.4, 1), (0.2, 1)]).labels()[..100]);
        let again = Dataset::open(taken.spec()).unwrap();
        assert_eq!((again.labels(), again.spec()), (taken.labels(), taken.spec()));
    }

    /// What one operation of a kind draws, and how plans write it, is as ever; plans that repeat
    /// one without saying so mean the same numbers again.
    #[test]
    fn operations_of_earlier_plans_mean_what_they_meant() {
        let read = |json: &str| serde_json::from_str::<DataOp>(json).unwrap();
        for json in [
            r#"{"label_noise":{"p":0.2,"seed":1}}"#,
            r#"{"subset":{"n":50,"seed":1}}"#,
            r#"{"part":{"sampling":"split","train":50,"test":20,"seed":1,"is_test":false}}"#,
        ] {
            let digits = Dataset::load(Source::digits()).unwrap();
            let then = digits.then(read(json)).unwrap();
            assert_eq!(serde_json::to_string(&then.spec().operations).unwrap(), format!("[{json}]"));
            assert_eq!(then.labels(), digits.apply(read(json)).unwrap().labels());
        }
        let digits = Dataset::load(Source::digits()).unwrap();
        let twice = |data: &Dataset| data.apply(read(r#"{"label_noise":{"p":0.2,"seed":1}}"#)).unwrap();
        let old = Dataset::open(twice(&twice(&digits)).spec()).unwrap();
        assert!(share_changed(&digits, &old) < 0.25, "{}", share_changed(&digits, &old));
        // What a script cannot have made is no description.
        for (json, ok) in [
            (r#"{"label_noise":{"p":0.2,"seed":1,"before":1,"changed":0.2}}"#, false),
            (r#"{"label_noise":{"p":0.2,"seed":1,"changed":7.0}}"#, false),
            (r#"{"subset":{"n":50,"seed":1,"before":3}}"#, false),
            (r#"{"subset":{"n":50,"seed":1,"before":0}}"#, true),
        ] {
            assert_eq!(digits.apply(read(json)).is_ok(), ok, "{json}");
        }
    }

    /// A permutation applied twice has two fixed points on the average; of two independent ones
    /// together there is one.
    #[test]
    fn subsets_and_parts_of_parts_are_drawn_anew() {
        const N: usize = 40;
        const DRAWS: i64 = 400;
        let options =
            crate::data::SyntheticOptions { n: N, classes: 2, shape: [1, 1, 1], noise: 1.0, seed: 1 };
        let data = Dataset::load(options.into()).unwrap();
        let part = |seed| {
            let (sampling, is_test, before) = (Sampling::Random, false, 0);
            DataOp::Part { sampling, train: N, test: 1, seed, is_test, before }
        };
        let draws: [&dyn Fn(i64) -> DataOp; 2] = [&|seed| DataOp::subset(N, seed), &part];
        for draw in draws {
            let fixed = (0..DRAWS).flat_map(|seed| {
                let twice = data.then(draw(seed)).unwrap().then(draw(seed)).unwrap();
                (0..).zip(twice.rows().to_vec()).filter(|(place, row)| place == row).collect::<Vec<_>>()
            });
            let mean = fixed.count() as f64 / DRAWS as f64;
            // Its variance is 1, too.
            assert!((mean - 1.0).abs() < 4.0 / (DRAWS as f64).sqrt(), "{mean}");
        }
    }

    #[test]
    fn a_description_opens_the_same_data_set() {
        let digits = Dataset::load(Source::digits()).unwrap();
        let subset = digits.apply(DataOp::subset(100, 5)).unwrap();
        let (train, _) = subset.divide(Sampling::Split, 80, 20, 9).unwrap();
        let json = serde_json::to_string(train.spec()).unwrap();
        let again = Dataset::open(&serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!(train.rows(), again.rows());
        assert_eq!(train.labels(), again.labels());
    }

    #[test]
    fn digits_are_the_published_ones() {
        let digits = Dataset::load(Source::digits()).unwrap();
        assert_eq!((digits.len(), digits.classes(), digits.shape()), (1797, 10, [1, 8, 8]));
        assert_eq!(digits.default_sizes(), (1500, 297));
        // 561,718 is the sum of all pixels of the published file.
        let sum: u64 = digits.images().bytes.iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum, 561_718);
        assert!((digits.images().mean[0] - 561_718.0 / (1797.0 * 64.0 * 16.0)).abs() < 1e-15);
    }
}
