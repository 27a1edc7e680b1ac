//! Has a loss stopped moving? The drift of a metric over its last epochs.
//!
//! The paper assesses convergence "by checking that the train loss and accuracy, and the test loss
//! and accuracy, do not change significantly over a few tens of epochs" (Appendix E), which is
//! necessary for a steady state and not sufficient. Here the change is that of a robust line
//! through the epochs, with the median of all slopes between two epochs (Theil 1950, Sen 1968),
//! relative to the median. It is significant where it is unlikely by chance (Student's t), given
//! that neighbouring epochs are alike: the residuals about the line are taken to be an
//! autoregression of first order, x(e + 1) = φ x(e) + noise, whose φ comes from their correlation,
//! corrected for its bias (Kendall 1954, Marriott and Pope 1954), and whose spread is that of the
//! residuals, outliers drawn in to three standard deviations. The variance of the slope and its
//! degrees of freedom then are exact for the least-squares line (Satterthwaite 1946 for the
//! latter), to which Sen's is close.

use nalgebra::{DMatrix, DVector};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::statistics::median;

/// Correlation from one epoch to the next is not taken to be larger: a bend would pass for noise.
const LARGEST_CORRELATION: f64 = 0.9;
/// Residuals beyond so many standard deviations are drawn in (Huber 1964).
const OUTLIER: f64 = 3.0;
/// With fewer epochs noise cannot be told from drift.
const MIN_EPOCHS: usize = 8;

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Drift {
    /// The change over the window, relative to the median: 0.05 is a rise by 5 %.
    pub(super) change: f64,
    /// The probability of so large a change, or a larger, of a metric that only fluctuates; NaN
    /// where there are too few epochs to say.
    pub(super) p: f64,
}

impl Drift {
    /// The drift of values at epochs, ascending.
    pub(super) fn new(epochs: &[f64], values: &[f64]) -> Self {
        let n = values.len();
        let unknown = Self { change: f64::NAN, p: f64::NAN };
        if n < 2 || values.iter().any(|value| !value.is_finite()) {
            return unknown;
        }
        let mut slopes: Vec<f64> = (0..n)
            .flat_map(|first| (first + 1..n).map(move |second| (first, second)))
            .map(|(first, second)| (values[second] - values[first]) / (epochs[second] - epochs[first]))
            .collect();
        let slope = median(&mut slopes);
        let over = slope * (epochs[n - 1] - epochs[0]);
        let level = median(&mut values.to_vec()).abs();
        let change = if over == 0.0 { 0.0 } else { over / level };
        let p = if n < MIN_EPOCHS { f64::NAN } else { by_chance(epochs, values, slope) };
        Self { change, p }
    }

    /// Whether it moves by more than `tolerance`, and not by chance at this level.
    pub(super) fn moves(&self, tolerance: f64, level: f64) -> bool {
        // Not a number: too few epochs, where only the size can tell, or no change at all that can
        // be known.
        !(self.change.abs() <= tolerance || self.p >= level)
    }
}

/// The probability of a slope so far from 0 in correlated noise.
fn by_chance(epochs: &[f64], values: &[f64], slope: f64) -> f64 {
    let n = values.len();
    if slope == 0.0 {
        return 1.0;
    }
    let mut residuals: Vec<f64> = epochs.iter().zip(values).map(|(e, y)| y - slope * e).collect();
    let middle = median(&mut residuals.clone());
    residuals.iter_mut().for_each(|residual| *residual -= middle);
    // The standard deviation of a normal by its median distance from the median.
    let sd = 1.4826 * median(&mut residuals.iter().map(|residual| residual.abs()).collect::<Vec<_>>());
    residuals.iter_mut().for_each(|residual| *residual = residual.clamp(-OUTLIER * sd, OUTLIER * sd));
    let mean = residuals.iter().sum::<f64>() / n as f64;
    residuals.iter_mut().for_each(|residual| *residual -= mean);
    let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
    if squares == 0.0 {
        return 0.0;
    }
    let neighbours: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    // Residuals about a line seem less correlated than they are, by (2 + 4 φ)/n.
    let n = n as f64;
    let phi = ((n * neighbours / squares + 2.0) / (n - 4.0)).clamp(0.0, LARGEST_CORRELATION);

    // The noise's correlations R, the line's projection M = 1 − X (XᵀX)⁻¹ Xᵀ, and its slope as
    // weights of the values.
    let n = values.len();
    let correlation = DMatrix::from_fn(n, n, |a, b| phi.powf((epochs[a] - epochs[b]).abs()));
    let centre = epochs.iter().sum::<f64>() / n as f64;
    let x = DVector::from_iterator(n, epochs.iter().map(|epoch| epoch - centre));
    let weights = &x / x.norm_squared();
    let about_line =
        DMatrix::identity(n, n) - DMatrix::from_element(n, n, 1.0 / n as f64) - &x * weights.transpose();
    let left = about_line * &correlation;
    let expected = left.trace();
    // The trace of (MR)².
    let spread: f64 = left.transpose().iter().zip(left.iter()).map(|(a, b)| a * b).sum();
    let variance = squares / expected * weights.dot(&(&correlation * &weights));
    let free = expected * expected / spread;
    match StudentsT::new(0.0, 1.0, free) {
        Ok(student) => 2.0 * student.sf(slope.abs() / variance.sqrt()),
        Err(_) => f64::NAN,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    /// Stationary noise of variance 1 with this correlation from one epoch to the next.
    pub(in super::super) fn noise(seed: i64, n: usize, correlation: f64) -> Vec<f64> {
        let mut rng = Rng::new(seed, Stream::Synthetic, 0);
        let mut value = rng.normal_pair().0;
        (0..n)
            .map(|_| {
                let now = value;
                value = correlation * value + (1.0 - correlation * correlation).sqrt() * rng.normal_pair().0;
                now
            })
            .collect()
    }

    fn epochs(n: usize) -> Vec<f64> {
        (1..=n).map(|epoch| epoch as f64).collect()
    }

    /// Noise is seldom called a drift, whatever its correlation: 5 % of white noise, somewhat more
    /// where the correlation must be estimated from few epochs.
    #[test]
    fn noise_is_no_drift_at_the_stated_rate() {
        const RUNS: usize = 500;
        for (n, correlation, least, most) in [
            (50, 0.0, 0.01, 0.09),
            (50, 0.5, 0.02, 0.12),
            (50, 0.8, 0.03, 0.15),
            (15, 0.0, 0.01, 0.09),
            (15, 0.5, 0.02, 0.17),
        ] {
            let found = (0..RUNS)
                .filter(|&run| {
                    let values: Vec<f64> =
                        noise(run as i64, n, correlation).iter().map(|x| 10.0 + x).collect();
                    Drift::new(&epochs(n), &values).p < 0.05
                })
                .count() as f64
                / RUNS as f64;
            assert!((least..most).contains(&found), "{n} {correlation}: {found}");
        }
    }

    #[test]
    fn a_trend_is_a_drift_straight_or_bent_with_outliers_or_not() {
        let (n, t) = (50, epochs(50));
        for seed in 0..100 {
            let scatter = noise(seed, n, 0.3);
            for f in [|e: f64| 1.0 - 0.006 * e, |e: f64| (-e / 40.0).exp(), |e: f64| 1.0 + 0.01 * e] {
                let mut values: Vec<f64> = t.iter().zip(&scatter).map(|(&e, x)| f(e) + 0.02 * x).collect();
                assert!(Drift::new(&t, &values).p < 0.01, "{seed}");
                values[20] = 30.0;
                values[33] = 30.0;
                let drift = Drift::new(&t, &values);
                assert!(drift.p < 0.01 && drift.moves(0.05, 0.01), "{seed}: {drift:?}");
            }
        }
    }

    #[test]
    fn the_change_is_relative_to_the_level() {
        let line: Vec<f64> = epochs(21).iter().map(|epoch| 1.79 + 0.01 * epoch).collect();
        let drift = Drift::new(&epochs(21), &line);
        assert!((drift.change - 0.2 / 1.9).abs() < 1e-12 && drift.p < 1e-9, "{drift:?}");
        assert_eq!(Drift::new(&epochs(20), &[0.0; 20]), Drift { change: 0.0, p: 1.0 });
        // Too few epochs: the size alone.
        let few = Drift::new(&epochs(3), &[1.0, 0.9, 0.8]);
        assert!(few.p.is_nan() && few.moves(0.05, 0.01) && !few.moves(0.3, 0.01));
        assert!(Drift::new(&[1.0], &[1.0]).moves(0.05, 0.01));
    }
}
