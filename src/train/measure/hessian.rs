//! Products of the Hessian with vectors, from gradients at two near places.

use super::replicas::{Instrument, Vectors, dot};
use crate::error::Result;

impl Instrument<'_> {
    /// H times a direction per replica, H that of the mean over the loaded batches of these
    /// indices, whose gradient is `here`.
    ///
    /// H is what automatic differentiation calls so: where a ReLU's kink lies between the two ends
    /// of the difference, the gradient jumps, their mean is not the gradient between them, and the
    /// step is made smaller. NaN where that does not help.
    pub(super) fn hessian_times(
        &mut self,
        direction: &Vectors,
        batches: &[usize],
        here: &Vectors,
    ) -> Result<Vectors> {
        const TRIES: usize = 5;
        let mut steps: Vec<f64> = self
            .theta
            .iter()
            .zip(direction)
            .map(|(theta, direction)| {
                let length = dot(direction, direction).sqrt();
                if length > 0.0 { 1e-8 * (1.0 + dot(theta, theta).sqrt()) / length } else { 0.0 }
            })
            .collect();
        let mut products: Vec<Option<Vec<f64>>> = vec![None; self.replicas()];
        for _ in 0..TRIES {
            self.go(direction, &steps)?;
            let after = self.mean_gradient(batches)?;
            let backwards: Vec<f64> = steps.iter().map(|step| -step).collect();
            self.go(direction, &backwards)?;
            let before = self.mean_gradient(batches)?;
            for r in 0..self.replicas() {
                if products[r].is_some() {
                    continue;
                }
                let (mut change, mut bend) = (0.0, 0.0);
                for ((a, b), h) in after[r].iter().zip(&before[r]).zip(&here[r]) {
                    change += (a - b).powi(2);
                    bend += (a + b - 2.0 * h).powi(2);
                }
                // What rounding alone makes of a gradient.
                let rounding = 1e-26 * dot(&here[r], &here[r]);
                if bend <= 1e-6 * change + rounding {
                    let factor = if steps[r] > 0.0 { 0.5 / steps[r] } else { 0.0 };
                    products[r] =
                        Some(after[r].iter().zip(&before[r]).map(|(a, b)| factor * (a - b)).collect());
                } else {
                    steps[r] *= 0.2;
                }
            }
            self.spare.extend([after, before]);
            if products.iter().all(Option::is_some) {
                break;
            }
        }
        self.back()?;
        let or_none = |(product, direction): (Option<Vec<f64>>, &Vec<f64>)| {
            product.unwrap_or_else(|| vec![f64::NAN; direction.len()])
        };
        Ok(products.into_iter().zip(direction).map(or_none).collect())
    }
}
