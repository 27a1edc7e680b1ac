//! Tr H and Tr(HD).

use super::super::quantities::Measured;
use super::pairs::mean_and_error;
use super::replicas::{Instrument, Vectors, dot};
use crate::error::Result;
use crate::rng::{Rng, Stream};

impl Instrument<'_> {
    pub(super) fn curvature(&mut self, found: &mut [Measured]) -> Result<()> {
        let probes = (self.allowed() / 11).clamp(2, 8);
        let (replicas, pairs, scale) = (self.replicas(), self.pairs(probes), self.noise_scale().factor);
        // Of the test set Tr H is wanted where β is not 0 (Eq. 37), or where nothing trains.
        let spec = self.subjects[0].spec;
        let sets: &[bool] =
            if spec.optimizer.noise() > 0.0 || spec.measure.is_none() { &[false, true] } else { &[false] };
        let mut products = vec![[Vec::new(), Vec::new()]; replicas];
        self.load(false, 2 * pairs);
        let mut differences = Vec::with_capacity(pairs);
        for pair in 0..pairs {
            let (one, other) = (self.gradient(2 * pair)?, self.gradient(2 * pair + 1)?);
            let difference =
                |(one, other): (&Vec<f64>, &Vec<f64>)| one.iter().zip(other).map(|(a, b)| a - b).collect();
            differences.push(one.iter().zip(&other).map(difference).collect::<Vectors>());
        }
        for test in [false, true] {
            self.load(test, pairs);
            for (pair, difference) in differences.iter().enumerate() {
                let here = self.gradient(pair)?;
                let along = self.hessian_times(difference, &[pair], &here)?;
                self.spare.push(here);
                for r in 0..replicas {
                    products[r][usize::from(test)].push(0.5 * scale * dot(&difference[r], &along[r]));
                }
            }
        }
        let mut traces = vec![[Vec::new(), Vec::new()]; replicas];
        for &test in sets {
            self.load(test, probes);
            for probe in 0..probes {
                let index = (self.epoch << 16) + self.drawn * 64 + probe as u64;
                let signs = |r: usize| {
                    let mut rng = Rng::new(self.subjects[r].spec.seeds.init, Stream::Measure, !index);
                    self.theta[r].iter().map(|_| if rng.below(2) == 0 { 1.0 } else { -1.0 }).collect()
                };
                let direction: Vectors = (0..replicas).map(signs).collect();
                let here = self.gradient(probe)?;
                let along = self.hessian_times(&direction, &[probe], &here)?;
                self.spare.push(here);
                for r in 0..replicas {
                    traces[r][usize::from(test)].push(dot(&direction[r], &along[r]));
                }
            }
        }
        for (r, found) in found.iter_mut().enumerate() {
            let (train, error) = mean_and_error(&products[r][0]);
            found.set("hessian_noise", train);
            found.set("hessian_noise_error", error);
            found.set("test_hessian_noise", mean_and_error(&products[r][1]).0);
            let (trace, error) = mean_and_error(&traces[r][0]);
            found.set("hessian_trace", trace);
            found.set("hessian_trace_error", error);
            found.set("test_hessian_trace", mean_and_error(&traces[r][1]).0);
        }
        Ok(())
    }
}
