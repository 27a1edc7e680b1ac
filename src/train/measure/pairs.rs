//! Pairs of batches, and what they tell of the gradients' noise.

use super::replicas::Instrument;

/// What two batches with gradients g and g′ tell.
#[derive(Clone, Copy)]
pub(super) struct NoiseScale {
    /// What ½|g − g′|² is multiplied by to give Tr D.
    pub(super) factor: f64,
    /// The share of Tr D by which g·g′ falls short of |∂U|².
    pub(super) shortfall: f64,
}

impl Instrument<'_> {
    /// Pairs of disjoint batches of the training set, at least one.
    pub(super) fn pairs(&self, wanted: usize) -> usize {
        let spec = self.subjects[0].spec;
        (spec.train / spec.batch / 2).clamp(1, wanted)
    }

    /// How its pairs of batches tell of Tr D.
    pub(super) fn noise_scale(&self) -> NoiseScale {
        let spec = self.subjects[0].spec;
        let (n, batch) = (spec.train as f64, spec.batch as f64);
        match 2 * spec.batch > spec.train {
            false => NoiseScale { factor: batch * (n - 1.0) / n, shortfall: 1.0 / (n - 1.0) },
            true if spec.batch == spec.train => NoiseScale { factor: f64::NAN, shortfall: 0.0 },
            true => NoiseScale { factor: batch * (n - 1.0) / (n - batch), shortfall: 0.0 },
        }
    }
}

/// Mean and standard error of those values that are numbers, if those are more than half.
pub(super) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let wanted = values.len();
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if 2 * values.len() <= wanted {
        return (f64::NAN, f64::NAN);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}
