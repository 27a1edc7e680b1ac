//! Gradients of training and test set, and the noise of the batches' gradients.

use super::super::quantities::Measured;
use super::pairs::{NoiseScale, mean_and_error};
use super::replicas::{Instrument, Vectors, dot};
use crate::error::Result;
use crate::rng::{Rng, Stream};

impl Instrument<'_> {
    pub(super) fn gradients(&mut self, found: &mut [Measured]) -> Result<()> {
        let most = if self.subjects[0].spec.measure.is_some() { 16 } else { 256 };
        let wanted = (self.allowed() / 3).clamp(4, most);
        let (replicas, pairs) = (self.replicas(), self.pairs(wanted));
        let NoiseScale { factor: scale, shortfall: short } = self.noise_scale();
        let spec = self.subjects[0].spec;
        let tests = (spec.test / spec.batch).clamp(1, wanted);
        let zeros = || self.theta.iter().map(|theta| vec![0.0; theta.len()]).collect::<Vectors>();
        let (mut sums, mut test_sums) = (zeros(), zeros());
        // |g|² of the batches, and ½|g − g′|² of the pairs.
        let (mut squares, mut halves) = (vec![0.0; replicas], vec![Vec::new(); replicas]);
        self.load(false, 2 * pairs);
        for pair in 0..pairs {
            let (one, other) = (self.gradient(2 * pair)?, self.gradient(2 * pair + 1)?);
            for r in 0..replicas {
                squares[r] += dot(&one[r], &one[r]) + dot(&other[r], &other[r]);
                let half: f64 = one[r].iter().zip(&other[r]).map(|(a, b)| 0.5 * (a - b).powi(2)).sum();
                halves[r].push(scale * half);
                let both = one[r].iter().zip(&other[r]);
                sums[r].iter_mut().zip(both).for_each(|(sum, (a, b))| *sum += a + b);
            }
            self.spare.extend([one, other]);
        }
        self.load(true, tests);
        for test in 0..tests {
            let gradients = self.gradient(test)?;
            for (sum, gradient) in test_sums.iter_mut().zip(&gradients) {
                sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
            self.spare.push(gradients);
        }
        let (m, tests) = (2.0 * pairs as f64, tests as f64);
        for (r, found) in found.iter_mut().enumerate() {
            let (theta, sum, spec) = (&self.theta[r], &sums[r], self.subjects[r].spec);
            let mut rng = Rng::new(spec.seeds.init, Stream::Measure, u64::MAX);
            let unit = 1.0 / (theta.len() as f64).sqrt();
            let alpha = spec.optimizer.weight_decay();
            let along = theta.iter().zip(sum).map(|(theta, sum)| {
                let sign = if rng.below(2) == 0 { unit } else { -unit };
                sign * (sum / m + alpha * theta)
            });
            found.set("drift_along", along.sum());
            // Products of different batches alone: none of them has the noise twice.
            let products = (dot(sum, sum) - squares[r]) / (m * (m - 1.0));
            // All pairs of batches, not only neighbours: less noise, but no simple error.
            let noise = scale * (squares[r] - dot(sum, sum) / m) / (m - 1.0);
            found.set("grad_norm2", if short > 0.0 { products + short * noise } else { products });
            found.set("theta_norm2", dot(theta, theta));
            found.set("theta_grad", dot(theta, sum) / m);
            found.set("test_grad_dot", dot(sum, &test_sums[r]) / (m * tests));
            found.set("theta_test_grad", dot(theta, &test_sums[r]) / tests);
            found.set("noise_trace", noise);
            found.set("noise_trace_error", mean_and_error(&halves[r]).1);
        }
        Ok(())
    }
}
