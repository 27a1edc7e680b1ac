//! Kendall's rank correlation: does one quantity rise with another, whatever the curve?
//!
//! Of several blocks (the runs of a seed) the pairs within each count, and what they say is added
//! up: so what a block has in common does not matter (Hirsch, Slack and Smith 1982, for the months
//! of years).

use statrs::distribution::{ContinuousCDF, Normal};

/// The rank correlation tau-b of two columns and what it is worth (Kendall 1970, Rank Correlation
/// Methods).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kendall {
    /// From −1 (always falls) over 0 to 1 (always rises); 0 where one of the columns is constant.
    pub(super) tau: f64,
    /// Pairs that rise less pairs that fall.
    s: f64,
    /// The variance of that if the columns have nothing to do with each other, with ties in both of
    /// them.
    variance: f64,
    /// The most that s could be.
    most: f64,
}

impl Kendall {
    pub(super) fn new(x: &[f64], y: &[f64]) -> Self {
        let n = x.len() as f64;
        let order = |a: f64, b: f64| b.partial_cmp(&a).map_or(0.0, |order| f64::from(order as i8));
        let mut s = 0.0;
        for first in 0..x.len() {
            for second in first + 1..x.len() {
                s += order(x[first], x[second]) * order(y[first], y[second]);
            }
        }
        let (t, u) = (ties(x), ties(y));
        let sum = |ties: &[f64], f: &dyn Fn(f64) -> f64| ties.iter().map(|&t| f(t)).sum::<f64>();
        let pairs = |t: f64| t * (t - 1.0);
        let triples = |t: f64| t * (t - 1.0) * (t - 2.0);
        let spread = |t: f64| t * (t - 1.0) * (2.0 * t + 5.0);
        let all = pairs(n) / 2.0;
        let untied = (all - sum(&t, &pairs) / 2.0) * (all - sum(&u, &pairs) / 2.0);
        let mut variance = (spread(n) - sum(&t, &spread) - sum(&u, &spread)) / 18.0;
        if n > 2.0 {
            variance += sum(&t, &pairs) * sum(&u, &pairs) / (2.0 * pairs(n));
            variance += sum(&t, &triples) * sum(&u, &triples) / (9.0 * triples(n));
        }
        Self::of(s, variance, untied.sqrt())
    }

    fn of(s: f64, variance: f64, most: f64) -> Self {
        Self { tau: if most > 0.0 { s / most } else { 0.0 }, s, variance, most }
    }

    /// That of several blocks together.
    pub(super) fn of_blocks(blocks: &[(Vec<f64>, Vec<f64>)]) -> Self {
        blocks.iter().map(|(x, y)| Self::new(x, y)).fold(Self::of(0.0, 0.0, 0.0), |sum, block| {
            Self::of(sum.s + block.s, sum.variance + block.variance, sum.most + block.most)
        })
    }

    /// The probability of so many rising pairs or more by chance: by a normal with the step of 1
    /// between values of s taken into account.
    pub(super) fn rises(&self) -> f64 {
        self.above(self.s - 1.0)
    }

    /// The probability of so many falling pairs or more by chance.
    pub(super) fn falls(&self) -> f64 {
        self.above(-self.s - 1.0)
    }

    fn above(&self, s: f64) -> f64 {
        if self.variance > 0.0 { Normal::standard().sf(s / self.variance.sqrt()) } else { 1.0 }
    }
}

/// How often each value occurs.
fn ties(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.chunk_by(|a, b| a == b).map(|same| same.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Stored {
        kendall: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        x: Vec<f64>,
        y: Vec<f64>,
        tau: f64,
        p: f64,
    }

    #[test]
    fn tau_and_its_probability_agree_with_scipy() {
        let stored: Stored = serde_json::from_str(include_str!("../../tests/reference/tests.json")).unwrap();
        assert!(stored.kendall.len() >= 4);
        for case in stored.kendall {
            let found = Kendall::new(&case.x, &case.y);
            assert!((found.tau - case.tau).abs() < 1e-12, "{} instead of {}", found.tau, case.tau);
            // SciPy's is two-sided and without the step.
            let p = 2.0 * found.above(found.s.abs());
            assert!((p / case.p - 1.0).abs() < 1e-9, "{p} instead of {}", case.p);
        }
    }

    /// Three blocks that each rise, far apart from each other the other way round.
    #[test]
    fn what_a_block_has_in_common_does_not_matter() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let blocks: Vec<_> =
            [20.0, 10.0, 0.0].map(|level| (x.to_vec(), x.iter().map(|x| level + x).collect())).to_vec();
        let found = Kendall::of_blocks(&blocks);
        let one = Kendall::new(&x, &x);
        assert_eq!((found.tau, found.s, found.variance), (1.0, 18.0, 3.0 * one.variance));
        assert!(found.rises() < 0.01 && Kendall::of_blocks(&[]).rises() == 1.0);
    }

    #[test]
    fn few_points_prove_nothing() {
        let rising = Kendall::new(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]);
        // Exactly: one order in six.
        assert!(rising.tau == 1.0 && (rising.rises() - 1.0 / 6.0).abs() < 0.02, "{}", rising.rises());
        let constant = Kendall::new(&[1.0, 2.0, 3.0], &[1.0; 3]);
        assert_eq!((constant.tau, constant.rises(), constant.falls()), (0.0, 1.0, 1.0));
    }
}
