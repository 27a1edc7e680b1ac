//! Random numbers that depend on nothing but their key.
//!
//! Every random decision is drawn from ChaCha with 8 rounds, keyed by (seed, stream, index). The
//! index is an epoch, a step or a parameter tensor, so a number does not depend on what was drawn
//! before it: not on the device, the cohort, or where a run was resumed.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// The independent streams of random decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Which examples train and which test.
    Split,
    /// Initial weights; the index is the parameter tensor's.
    Init,
    /// The order of the examples; the index is the epoch.
    Order,
    /// Crops and flips in training; the index is the epoch.
    Augment,
    /// Crops and flips in evaluation; the index is the epoch.
    EvaluationAugment,
    /// The isotropic noise β of Eq. 15; the index is the step.
    Noise,
    /// Synthetic images.
    Synthetic,
    /// Wrong labels.
    LabelNoise,
    /// Subsets of a data set.
    Subset,
    /// Draws of the bootstrap; the index is the draw.
    Bootstrap,
    /// Training sets of a problem of `lab`; the index is the data set.
    DataSet,
    /// Its test sets.
    TestSet,
    /// Batches and directions of measurements along a trajectory.
    Measure,
    /// Batches of simulated chains; the index is the chain or the group of chains.
    Chain,
}

impl Stream {
    /// Part of the generator's key: changing one changes every result.
    fn tag(self) -> &'static [u8; 8] {
        match self {
            Self::Split => b"split   ",
            Self::Init => b"init    ",
            Self::Order => b"order   ",
            Self::Augment => b"augment ",
            Self::EvaluationAugment => b"eval-aug",
            Self::Noise => b"noise   ",
            Self::Synthetic => b"synthet ",
            Self::LabelNoise => b"labels  ",
            Self::Subset => b"subset  ",
            Self::Bootstrap => b"bootstra",
            Self::DataSet => b"data-set",
            Self::TestSet => b"test-set",
            Self::Measure => b"measure ",
            Self::Chain => b"chain   ",
        }
    }
}

/// A generator for one (seed, stream, index).
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The generator of one key.
    pub fn new(seed: i64, stream: Stream, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(stream.tag());
        key[16..24].copy_from_slice(&index.to_le_bytes());
        key[24..].copy_from_slice(b"kelvin-1");
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform on [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform on 0..n, exactly (Lemire 2019, "Fast random integer generation in an interval"). `n`
    /// > 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let mut product = u64::from(self.0.next_u32()) * u64::from(n);
        if (product as u32) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u32) < threshold {
                product = u64::from(self.0.next_u32()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }

    /// Fills a slice with random bytes.
    pub fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// Two independent standard normal numbers (Box and Muller 1958).
    pub fn normal_pair(&mut self) -> (f64, f64) {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        (radius * cos, radius * sin)
    }

    /// Fills a slice with independent standard normal numbers.
    pub fn fill_normal(&mut self, values: &mut [f64]) {
        for pair in values.chunks_mut(2) {
            let (first, second) = self.normal_pair();
            pair[0] = first;
            if let Some(value) = pair.get_mut(1) {
                *value = second;
            }
        }
    }

    /// A random permutation of 0..n (Fisher and Yates).
    pub fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut values: Vec<u32> = (0..n).collect();
        for i in (1..n).rev() {
            values.swap(i as usize, self.below(i + 1) as usize);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_independent_and_numbers_never_change() {
        let first = |seed, stream, index| Rng::new(seed, stream, index).0.next_u64();
        let base = first(1, Stream::Order, 1);
        assert_eq!(base, first(1, Stream::Order, 1));
        for other in [first(2, Stream::Order, 1), first(1, Stream::Init, 1), first(1, Stream::Order, 2)] {
            assert_ne!(base, other);
        }
        // Stored results depend on these numbers: a change of them must not go unnoticed.
        assert_eq!(Rng::new(7, Stream::Split, 3).permutation(8), PERMUTATION);
    }

    const PERMUTATION: [u32; 8] = [1, 2, 6, 7, 5, 4, 0, 3];

    #[test]
    fn permutations_are_uniform() {
        let mut counts = std::collections::HashMap::new();
        let mut rng = Rng::new(0, Stream::Order, 0);
        for _ in 0..24_000 {
            *counts.entry(rng.permutation(4)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        let chi2: f64 = counts.values().map(|&n| f64::from(n - 1000i32).powi(2) / 1000.0).sum();
        assert!(chi2 < 49.7, "chi² with 23 degrees of freedom is {chi2}, beyond its 99.9 % point");
    }

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let mut values = vec![0.0; 200_001];
        Rng::new(5, Stream::Noise, 9).fill_normal(&mut values);
        let n = values.len() as f64;
        let moment = |p: i32| values.iter().map(|v: &f64| v.powi(p)).sum::<f64>() / n;
        for (p, expected, error) in [(1, 0.0, 1.0), (2, 1.0, 2f64.sqrt()), (4, 3.0, 96f64.sqrt())] {
            assert!((moment(p) - expected).abs() < 4.0 * error / n.sqrt(), "moment {p}");
        }
    }
}
