//! Drawing a training and a test set from one data set (section 3.1 of the paper).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::options::{DefaultValue, Kind, Opt};
use crate::rng::{Rng, Stream};

/// The options of `split`, `sample` and `fixed`.
pub const DIVISION_OPTIONS: &[Opt] = &[
    Opt::new("train", Kind::COUNT, OFFICIAL, "examples of the first part"),
    Opt::new("test", Kind::COUNT, OFFICIAL, "examples of the second part"),
    Opt::new("seed", Kind::INTEGER, DefaultValue::Integer(1), "what decides the draws"),
];

const OFFICIAL: DefaultValue = DefaultValue::Absent("the data set's official size");

/// The options of `subset`.
pub const SUBSET_OPTIONS: &[Opt] = &[
    Opt::new("n", Kind::COUNT, DefaultValue::Required, "how many examples"),
    Opt::new("seed", Kind::INTEGER, DefaultValue::Integer(1), "which ones"),
];

/// Data sets of more examples are taken for a mistake: one lies in memory.
pub(crate) const MOST_EXAMPLES: usize = 1 << 30;

/// How a training and a test set are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Shuffle, then cut: the two sets never overlap ("data splitting").
    Split,
    /// Two independent draws without replacement: the sets may overlap ("random sampling").
    Random,
    /// The first rows train, the next rows test; no randomness.
    Fixed,
}

/// Positions of the training and the test examples in a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The training examples.
    pub train: Vec<u32>,
    /// The test examples.
    pub test: Vec<u32>,
}

impl Sample {
    /// How many test examples are also in the training set.
    pub fn overlap(&self) -> usize {
        let end = self.train.iter().chain(&self.test).max().map_or(0, |&last| last as usize + 1);
        let mut trains = vec![false; end];
        self.train.iter().for_each(|&position| trains[position as usize] = true);
        self.test.iter().filter(|&&position| trains[position as usize]).count()
    }
}

impl Sampling {
    /// Every way with its name in scripts and tables.
    pub const ALL: [(&'static str, Self); 3] =
        [("split", Self::Split), ("random", Self::Random), ("fixed", Self::Fixed)];

    /// The name in scripts and tables.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, value)| *value == self).map_or("", |(name, _)| name)
    }

    /// Whether these sizes can be drawn from `n` examples.
    pub fn check(self, n: usize, train: usize, test: usize) -> Result<()> {
        let (needed, why) = match self {
            Self::Split | Self::Fixed => (train.saturating_add(test), "train + test"),
            Self::Random => (train.max(test), "each of train and test"),
        };
        if train == 0 || test == 0 {
            return Err(Error::invalid(format!(
                "train {train} and test {test}: expected at least one example in each"
            )));
        }
        if needed > n {
            return Err(Error::invalid(format!(
                "train {train} and test {test} with sampling \"{}\": {why} must be at most the {n} examples of the data set",
                self.name()
            )));
        }
        Ok(())
    }

    /// How many test examples of a draw from `n` are also in its training set; only "random" has
    /// any.
    pub fn overlap(self, n: usize, train: usize, test: usize, seed: i64) -> Result<usize> {
        match self {
            Self::Split | Self::Fixed => Ok(0),
            Self::Random => Ok(self.draw(n, train, test, seed, 0)?.overlap()),
        }
    }

    /// Draws from `n` examples; `before` so many draws with this seed, which had other random
    /// numbers.
    pub fn draw(self, n: usize, train: usize, test: usize, seed: i64, before: u32) -> Result<Sample> {
        self.check(n, train, test)?;
        let shuffled =
            |draw| Rng::new(seed, Stream::Split, 2 * u64::from(before) + draw).permutation(n as u32);
        let mut first = match self {
            Self::Fixed => (0..n as u32).collect(),
            Self::Split | Self::Random => shuffled(0),
        };
        let second = match self {
            Self::Random => shuffled(1)[..test].to_vec(),
            Self::Split | Self::Fixed => first[train..train + test].to_vec(),
        };
        first.truncate(train);
        Ok(Sample { train: first, test: second })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn sets(sample: &Sample) -> (HashSet<u32>, HashSet<u32>) {
        (sample.train.iter().copied().collect(), sample.test.iter().copied().collect())
    }

    #[test]
    fn a_split_never_overlaps_and_a_random_sample_overlaps_as_expected() {
        let (train, test) = sets(&Sampling::Split.draw(600, 500, 100, 4, 0).unwrap());
        assert_eq!((train.len(), test.len()), (500, 100));
        assert!(train.is_disjoint(&test));
        assert_eq!(Sampling::Split.draw(600, 500, 100, 4, 0).unwrap().overlap(), 0);
        // Who draws all draws the test examples, too.
        assert_eq!(Sampling::Random.overlap(600, 600, 100, 4).unwrap(), 100);

        // Each of 100 test examples is a training example with probability 5/6.
        let overlap: usize = (0..50)
            .map(|seed| {
                let (train, test) = sets(&Sampling::Random.draw(600, 500, 100, seed, 0).unwrap());
                assert_eq!((train.len(), test.len()), (500, 100));
                let overlap = Sampling::Random.overlap(600, 500, 100, seed).unwrap();
                assert_eq!(train.intersection(&test).count(), overlap);
                overlap
            })
            .sum();
        assert!((overlap as f64 / 5000.0 - 5.0 / 6.0).abs() < 0.02, "{overlap}");
    }

    #[test]
    fn fixed_takes_rows_in_order_and_seeds_vary_the_rest() {
        let fixed = Sampling::Fixed.draw(10, 4, 3, 1, 0).unwrap();
        assert_eq!((fixed.train, fixed.test), (vec![0, 1, 2, 3], vec![4, 5, 6]));
        let split = |seed| Sampling::Split.draw(100, 50, 50, seed, 0).unwrap();
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn sizes_beyond_the_data_are_refused() {
        assert!(Sampling::Split.draw(10, 8, 3, 1, 0).is_err());
        assert!(Sampling::Random.draw(10, 8, 3, 1, 0).is_ok());
        assert!(Sampling::Random.draw(10, 11, 3, 1, 0).is_err());
        assert!(Sampling::Fixed.draw(10, 0, 3, 1, 0).is_err());
    }
}
