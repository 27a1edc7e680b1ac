//! The largest eigenvalues of H.

use nalgebra::DMatrix;

use super::super::quantities::Measured;
use super::replicas::{Instrument, Vectors, dot};
use crate::error::Result;
use crate::rng::{Rng, Stream};

impl Instrument<'_> {
    /// Lanczos (1950) with every new direction made orthogonal to all before.
    pub(super) fn spectrum(&mut self, found: &mut [Measured]) -> Result<()> {
        const BATCHES: usize = 4;
        const STEPS: usize = 12;
        let replicas = self.replicas();
        self.load(false, BATCHES);
        let batches: Vec<usize> = (0..BATCHES).collect();
        let here = self.mean_gradient(&batches)?;
        let first = |r: usize| {
            let mut rng = Rng::new(self.subjects[r].spec.seeds.init, Stream::Measure, !(self.epoch << 16));
            let mut start = vec![0.0; self.theta[r].len()];
            rng.fill_normal(&mut start);
            let length = dot(&start, &start).sqrt();
            start.iter_mut().for_each(|value| *value /= length);
            start
        };
        let mut basis: Vec<Vectors> = vec![(0..replicas).map(first).collect()];
        let mut matrices = vec![DMatrix::<f64>::zeros(STEPS, STEPS); replicas];
        for step in 0..STEPS {
            let direction = basis[step].clone();
            let mut next = self.hessian_times(&direction, &batches, &here)?;
            for r in 0..replicas {
                matrices[r][(step, step)] = dot(&direction[r], &next[r]);
                // Twice, because once leaves rounding behind.
                for _ in 0..2 {
                    for before in &basis {
                        let along = dot(&before[r], &next[r]);
                        next[r].iter_mut().zip(&before[r]).for_each(|(value, b)| *value -= along * b);
                    }
                }
                let length = dot(&next[r], &next[r]).sqrt();
                if step + 1 < STEPS {
                    matrices[r][(step, step + 1)] = length;
                    matrices[r][(step + 1, step)] = length;
                }
                // Nothing left: the directions span all that H does to the first one.
                let factor = if length > 1e-12 { 1.0 / length } else { 0.0 };
                next[r].iter_mut().for_each(|value| *value *= factor);
            }
            basis.push(next);
        }
        for (found, matrix) in found.iter_mut().zip(matrices) {
            let mut values: Vec<f64> = if matrix.iter().all(|value| value.is_finite()) {
                matrix.symmetric_eigenvalues().iter().copied().collect()
            } else {
                vec![f64::NAN; 3]
            };
            values.sort_by(|a, b| b.total_cmp(a));
            for (name, value) in ["hessian_1", "hessian_2", "hessian_3"].into_iter().zip(values) {
                found.set(name, value);
            }
        }
        Ok(())
    }
}
