//! Intervals for the fit of Eq. 1 by the bootstrap (Efron 1979): the runs are drawn again and the curve is fitted again.
//!
//! Runs are drawn with replacement within their temperature, as many as there are. That alone would make the means vary too
//! little, by (m − 1)/m for m runs; so their deviations are enlarged by √(m/(m − 1)) (the rescaling bootstrap of Rao and Wu
//! 1988), and the spread of the drawn means has the right expectation from two runs on. A temperature with
//! one run says nothing of its spread: there the run's distance from the fitted curve, enlarged by √(n/(n − p)), is added to the
//! curve with a random sign (the wild bootstrap; Davidson and Flachaire 2008). Intervals are percentiles of the fits.
//!
//! Runs count as independent. Where all temperatures share their seeds, and so their splits, what the splits do to all
//! of them at once is not in the intervals.

use super::fit::{GapFit, eq1, fit_gap, parameters, predict, usable};
use super::groups::{mean, same};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::rng::{Rng, Stream};

/// Intervals hold this share of the draws.
pub(super) const CONFIDENCE: f64 = 0.95;

/// Fits of Eq. 1 to data drawn again.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// a, b, c of each draw.
    draws: Vec<[f64; 3]>,
}

impl Bootstrap {
    /// The 95 % interval of a (0), b (1) or c (2).
    pub fn interval(&self, parameter: usize) -> (f64, f64) {
        interval(self.draws.iter().map(|p| p[parameter]).collect())
    }

    /// The 95 % interval of the curve at a temperature.
    pub fn band(&self, temperature: f64) -> (f64, f64) {
        interval(self.draws.iter().map(|&p| predict(p, temperature)).collect())
    }
}

/// The middle [`CONFIDENCE`] of values.
pub(super) fn interval(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    (quantile(&values, tail), quantile(&values, 1.0 - tail))
}

/// A quantile of ascending values, between neighbours on a straight line (definition 7 of Hyndman and Fan 1996).
pub(super) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = p * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // An infinite c has no way between.
    if low == high { low } else { low + (high - low) * place.fract() }
}

/// The mean of as many values drawn with replacement, its deviation from theirs enlarged as the head of this file says.
pub(super) fn drawn_mean(values: &[f64], mean: f64, rng: &mut Rng) -> f64 {
    let n = values.len() as u32;
    let drawn = (0..n).map(|_| values[rng.below(n) as usize]).sum::<f64>() / f64::from(n);
    mean + (drawn - mean) * (f64::from(n) / f64::from(n - 1)).sqrt()
}

/// Fits Eq. 1, and again to `draws` bootstrap samples, which `seed` decides.
pub fn fit_gap_bootstrap(temperature: &[f64], gap: &[f64], draws: usize, seed: i64) -> Result<GapFit> {
    if draws < 100 {
        return Err(Error::invalid(format!(
            "fit_gap: bootstrap is {draws}, expected at least 100 draws for a 95 % interval, better 1000"
        )));
    }
    let mut fit = fit_gap(temperature, gap)?;
    let (t, y) = usable(temperature, gap)?;
    let mut points: Vec<(f64, f64)> = t.into_iter().zip(y).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let groups: Vec<(f64, Vec<f64>)> = points
        .chunk_by(|a, b| same(a.0, b.0))
        .map(|group| (group[0].0, group.iter().map(|(_, y)| *y).collect()))
        .collect();
    let means: Vec<f64> = groups.iter().map(|(_, values)| mean(values)).collect();
    let weights: Vec<f64> = groups.iter().map(|(_, values)| values.len() as f64).collect();
    let highest = points[points.len() - 1].0;
    let curve = eq1(groups.iter().map(|(t, _)| *t).collect());
    let free = if fit.c.is_finite() { 3.0 } else { 2.0 };
    let n = groups.len() as f64;
    let enlarged = (n / (n - free).max(1.0)).sqrt();
    let draw = |index: usize| -> Result<[f64; 3]> {
        interrupt::check()?;
        let mut rng = Rng::new(seed, Stream::Bootstrap, index as u64);
        let values: Vec<f64> = groups
            .iter()
            .zip(&means)
            .map(|((t, values), &mean)| match values[..] {
                [value] => {
                    let fitted = fit.predict(*t);
                    let sign = if rng.below(2) == 0 { -1.0 } else { 1.0 };
                    fitted + sign * enlarged * (value - fitted)
                }
                _ => drawn_mean(values, mean, &mut rng),
            })
            .collect();
        Ok(parameters(curve.fit(&values, &weights), highest))
    };
    let draws = (0..draws).map(draw).collect::<Result<_>>()?;
    fit.bootstrap = Some(std::sync::Arc::new(Bootstrap { draws }));
    Ok(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [f64; 3] = [1e-5, 0.05, 8e-3];

    /// `runs` runs at each of eight temperatures about the truth.
    fn draw(seed: i64, runs: usize) -> (Vec<f64>, Vec<f64>) {
        let mut rng = Rng::new(seed, Stream::Synthetic, 0);
        (0..8 * runs)
            .map(|index| {
                let t = 2e-4 * 1.7f64.powi((index / runs) as i32);
                (t, predict(TRUTH, t) + 0.003 * rng.normal_pair().0)
            })
            .unzip()
    }

    /// 95 % intervals hold the truth in 90 to 98 % of data sets, whether there are several runs at a temperature or one.
    #[test]
    fn intervals_hold_the_truth_at_the_stated_rate() {
        const SETS: usize = 300;
        for runs in [4, 1] {
            let mut held = [0; 4];
            for seed in 0..SETS as i64 {
                let (t, y) = draw(seed, runs);
                let fit = fit_gap_bootstrap(&t, &y, 200, seed).unwrap();
                let bootstrap = fit.bootstrap.unwrap();
                for (k, truth) in TRUTH.into_iter().enumerate() {
                    let (low, high) = bootstrap.interval(k);
                    held[k] += usize::from(low <= truth && truth <= high);
                }
                let (low, high) = bootstrap.band(1e-3);
                held[3] += usize::from((low..=high).contains(&predict(TRUTH, 1e-3)));
            }
            let shares = held.map(|held| held as f64 / SETS as f64);
            assert!(shares.iter().all(|share| (0.90..=0.98).contains(share)), "{runs} runs: {shares:?}");
        }
    }

    #[test]
    fn a_seed_decides_the_draws_and_few_are_refused() {
        let (t, y) = draw(1, 3);
        let fit = |seed| fit_gap_bootstrap(&t, &y, 100, seed).unwrap();
        assert_eq!(fit(1), fit(1));
        assert_ne!(fit(1), fit(2));
        assert!(fit(1).to_string().contains("95 %: "), "{}", fit(1));
        assert!(fit_gap_bootstrap(&t, &y, 10, 1).unwrap_err().to_string().contains("at least 100"));
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0, f64::INFINITY, f64::INFINITY], 0.9), f64::INFINITY);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
