//! Intervals for the fit of Eq. 1 by the bootstrap (Efron 1979): the runs are drawn again and the
//! curve is fitted again.
//!
//! Runs are drawn with replacement within their temperature, as many as there are; those of one
//! seed, which vary together, go together, as their mean. That alone would make the means vary too
//! little, by (m − 1)/m for m runs; so their deviations are enlarged by √(m/(m − 1)) (the rescaling
//! bootstrap of Rao and Wu 1988), and the spread of the drawn means has the right expectation from
//! two runs on. A temperature with one run says nothing of its spread: there the curve moves by a
//! distance from it drawn among those of all such temperatures, enlarged by √(n/(n − p)) (the
//! bootstrap of residuals; Freedman 1981). Of eight single runs that makes intervals that hold the
//! truth in about 90 %.
//!
//! Intervals are percentiles of the fits. Few runs do not know their spread well, so the
//! percentiles are those at which Student's t has 95 %, with the degrees of freedom of what is
//! estimated (the expanded percentile interval; Hesterberg 2015; degrees of freedom by
//! Satterthwaite 1946 from how much each temperature's mean moves the estimate).
//!
//! Runs count as independent. Where all temperatures share their seeds, and so their splits, what
//! the splits do to all of them at once is not in the intervals.

use nalgebra::{DMatrix, RowDVector, RowVector3};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::eq1::{Eq1, eq1, parameters, predict};
use super::groups::{numbered, same};
use super::statistics::{interval, is_constant, mean, squares};
use super::variable_projection::Family;
use crate::error::Result;
use crate::interrupt;
use crate::rng::{Rng, Stream};

/// Draws of a bootstrap at most: more would tell nothing more, and all are kept in memory.
pub(super) const MAX_DRAWS: i64 = 1_000_000;

/// What lies outside a 95 % interval at each end.
pub(super) const TAIL: f64 = 0.025;

/// Fits of Eq. 1 to data drawn again.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// a, b, c of each draw.
    draws: Vec<[f64; 3]>,
    /// a, b and 1/c of the fit itself.
    center: [f64; 3],
    /// By how much the mean at each temperature (a column) moves a, b and 1/c (a row).
    moves: DMatrix<f64>,
    /// The variance of each mean, with its degrees of freedom; temperatures with one run share
    /// theirs.
    variances: Vec<(f64, Free)>,
}

/// Degrees of freedom of a variance.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Free {
    Own(f64),
    Shared(f64),
}

impl Bootstrap {
    /// The 95 % interval of a (0), b (1) or c (2).
    pub fn interval(&self, parameter: usize) -> (f64, f64) {
        let row = self.moves.row(parameter).into_owned();
        interval(self.draws.iter().map(|p| p[parameter]).collect(), self.tail(&row))
    }

    /// The 95 % interval of the curve at a temperature.
    pub fn band(&self, temperature: f64) -> (f64, f64) {
        let row = gradient(self.center, temperature) * &self.moves;
        interval(self.draws.iter().map(|&p| predict(p, temperature)).collect(), self.tail(&row))
    }

    /// What lies outside the interval at each end, for an estimate that the means move by so much.
    fn tail(&self, moves: &RowDVector<f64>) -> f64 {
        let (mut total, mut spread, mut shared) = (0.0, 0.0, (0.0, f64::INFINITY));
        for (by, &(variance, free)) in moves.iter().zip(&self.variances) {
            let part = by * by * variance;
            total += part;
            match free {
                Free::Own(free) => spread += part * part / free,
                Free::Shared(free) => shared = (shared.0 + part, free),
            }
        }
        spread += shared.0 * shared.0 / shared.1;
        match StudentsT::new(0.0, 1.0, total * total / spread) {
            Ok(student) => Normal::standard().cdf(student.inverse_cdf(TAIL)),
            Err(_) => TAIL,
        }
    }
}

/// Derivatives of Eq. 1 by a, b and 1/c, which may be 0.
fn gradient([a, b, shape]: [f64; 3], t: f64) -> RowVector3<f64> {
    let [by_a, by_b] = Eq1.basis(t, shape);
    RowVector3::new(by_a, by_b, Eq1.by_shape(t, shape, [a, b]))
}

/// How least squares of means with these weights moves a, b and 1/c with each mean: (JᵀWJ)⁻¹ JᵀW.
fn moves(center: [f64; 3], t: &[f64], weights: &[f64]) -> DMatrix<f64> {
    let jacobian = DMatrix::from_fn(t.len(), 3, |row, k| weights[row].sqrt() * gradient(center, t[row])[k]);
    let norms: Vec<f64> = jacobian.column_iter().map(|column| column.norm().max(f64::MIN_POSITIVE)).collect();
    let scaled = DMatrix::from_fn(t.len(), 3, |row, k| jacobian[(row, k)] / norms[k]);
    match scaled.pseudo_inverse(1e-12) {
        Ok(inverse) => {
            DMatrix::from_fn(3, t.len(), |k, row| inverse[(k, row)] / norms[k] * weights[row].sqrt())
        }
        Err(_) => DMatrix::zeros(3, t.len()),
    }
}

/// The mean of as many values drawn with replacement, its deviation from theirs enlarged as the
/// head of this file says.
pub(super) fn drawn_mean(values: &[f64], mean: f64, rng: &mut Rng) -> f64 {
    let n = values.len() as u32;
    let drawn = (0..n).map(|_| values[rng.below(n) as usize]).sum::<f64>() / f64::from(n);
    mean + (drawn - mean) * (f64::from(n) / f64::from(n - 1)).sqrt()
}

/// Gaps at temperatures. Runs with the same text in `seeds` are drawn together; without it each is
/// drawn alone.
#[derive(Clone, Copy)]
pub(super) struct SeededGaps<'a> {
    pub(super) temperature: &'a [f64],
    pub(super) gap: &'a [f64],
    pub(super) seeds: Option<&'a [String]>,
}

/// Fits Eq. 1 to `draws` bootstrap samples, which `seed` decides; `fitted` are a, b and c of the
/// data. None where runs do not differ by chance.
pub(super) fn draw_again(
    data: SeededGaps,
    fitted: [f64; 3],
    draws: usize,
    seed: i64,
) -> Result<Option<Bootstrap>> {
    // Temperature, gap and the number of the seed.
    let mut points: Vec<(f64, f64, usize)> = match data.seeds {
        Some(seeds) => numbered(seeds.iter()).0,
        None => (0..data.gap.len()).collect(),
    }
    .into_iter()
    .zip(data.temperature.iter().zip(data.gap))
    .map(|(seed, (&t, &y))| (t, y, seed))
    .filter(|(t, y, _)| t.is_finite() && y.is_finite())
    .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let together = || points.chunk_by(|a, b| same(a.0, b.0));
    let weights: Vec<f64> = together().map(|group| group.len() as f64).collect();
    let means: Vec<f64> =
        together().map(|group| mean(&group.iter().map(|(_, y, _)| *y).collect::<Vec<_>>())).collect();
    // The deviation of each seed from the mean of all at its temperature.
    let groups: Vec<(f64, Vec<f64>)> = together().map(|group| (group[0].0, deviations(group))).collect();
    let highest = points[points.len() - 1].0;
    let curve = eq1(groups.iter().map(|(t, _)| *t).collect());
    let free = if fitted[2].is_finite() { 3.0 } else { 2.0 };
    let n = groups.len() as f64;
    let enlarged = (n / (n - free).max(1.0)).sqrt();
    // How far single runs are off the curve.
    let single = groups.iter().zip(&means).filter(|((_, values), _)| values.len() == 1);
    let single: Vec<f64> = single.map(|((t, _), mean)| mean - predict(fitted, *t)).collect();
    let variance = enlarged.powi(2) * mean(&single.iter().map(|off| off * off).collect::<Vec<_>>());
    let variances: Vec<(f64, Free)> = groups
        .iter()
        .map(|(_, values)| match values.len() {
            1 => (variance, Free::Shared((n - free).max(1.0))),
            runs => {
                let runs = runs as f64;
                (squares(values) / (runs - 1.0) / runs, Free::Own(runs - 1.0))
            }
        })
        .collect();
    let rounding = 8.0 * f64::EPSILON * points.iter().fold(0.0, |most: f64, (_, y, _)| most.max(y.abs()));
    // Single runs that lie on the curve are no such runs.
    let constant = is_constant(&points.iter().map(|(_, y, _)| *y).collect::<Vec<_>>());
    let several = constant || groups.iter().any(|(_, values)| values.len() > 1);
    if several && variances.iter().all(|(variance, _)| *variance <= rounding * rounding) {
        // Drawn again it would be the same again: intervals of no width, which nothing supports.
        return Ok(None);
    }
    let draw = |index: usize| -> Result<[f64; 3]> {
        interrupt::check()?;
        let mut rng = Rng::new(seed, Stream::Bootstrap, index as u64);
        let values: Vec<f64> = groups
            .iter()
            .zip(&means)
            .map(|((t, values), &mean)| match values[..] {
                [_] => predict(fitted, *t) + enlarged * single[rng.below(single.len() as u32) as usize],
                _ => mean + drawn_mean(values, 0.0, &mut rng),
            })
            .collect();
        Ok(parameters(curve.fit(&values, &weights), highest))
    };
    let draws = (0..draws).map(draw).collect::<Result<_>>()?;
    let center = [fitted[0], fitted[1], 1.0 / fitted[2]];
    let t: Vec<f64> = groups.iter().map(|(t, _)| *t).collect();
    let moves = moves(center, &t, &weights);
    Ok(Some(Bootstrap { draws, center, moves, variances }))
}

/// How far the mean of each seed's runs is off the mean of those means.
fn deviations(group: &[(f64, f64, usize)]) -> Vec<f64> {
    let (numbers, seeds) = numbered(group.iter().map(|(.., seed)| seed));
    // In one pass: a look at every run for each seed took minutes of 20,000 seeds.
    let (mut sums, mut counts) = (vec![0.0; seeds], vec![0.0; seeds]);
    for ((_, y, _), &number) in group.iter().zip(&numbers) {
        sums[number] += y;
        counts[number] += 1.0;
    }
    let means: Vec<f64> = sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect();
    let all = mean(&means);
    means.into_iter().map(|mean| mean - all).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fit::fit_gap_bootstrap;
    use super::*;

    const TRUTH: [f64; 3] = [1e-5, 0.05, 8e-3];

    /// `runs` runs at each of so many temperatures about the truth, always over the same range.
    fn draw(seed: i64, temperatures: usize, runs: usize) -> (Vec<f64>, Vec<f64>) {
        let mut rng = Rng::new(seed, Stream::Synthetic, 0);
        (0..temperatures * runs)
            .map(|index| {
                let place = (index / runs) as f64 / (temperatures - 1) as f64;
                let t = 2e-4 * 41f64.powf(place);
                (t, predict(TRUTH, t) + 0.003 * rng.normal_pair().0)
            })
            .unzip()
    }

    /// 95 % intervals hold the truth in 90 to 98 % of data sets, whether there are several runs at
    /// a temperature or one.
    #[test]
    fn intervals_hold_the_truth_at_the_stated_rate() {
        const SETS: usize = 300;
        for (temperatures, runs) in [(8, 4), (16, 1)] {
            let mut held = [0; 4];
            for seed in 0..SETS as i64 {
                let (t, y) = draw(seed, temperatures, runs);
                let fit = fit_gap_bootstrap(&t, &y, None, 300, seed).unwrap();
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

    /// Three settings at each temperature that share four seeds, which do as much as all else: as
    /// if there were fewer runs.
    #[test]
    fn runs_of_one_seed_are_drawn_together() {
        const SETS: usize = 300;
        let mut held = [0; 2];
        for set in 0..SETS as i64 {
            let mut rng = Rng::new(set, Stream::Synthetic, 0);
            let (mut t, mut y, mut seeds) = (vec![], vec![], vec![]);
            for place in 0..8 {
                let at = 2e-4 * 41f64.powf(f64::from(place) / 7.0);
                for seed in 0..4 {
                    let common = 0.003 * rng.normal_pair().0;
                    for _ in 0..3 {
                        t.push(at);
                        y.push(predict(TRUTH, at) + common + 0.003 * rng.normal_pair().0);
                        seeds.push(seed.to_string());
                    }
                }
            }
            for (seeds, held) in [Some(&seeds[..]), None].into_iter().zip(&mut held) {
                let fit = fit_gap_bootstrap(&t, &y, seeds, 200, set).unwrap();
                let (low, high) = fit.bootstrap.unwrap().band(1e-3);
                *held += usize::from((low..=high).contains(&predict(TRUTH, 1e-3)));
            }
        }
        let [together, alone] = held.map(|held| held as f64 / SETS as f64);
        assert!((0.90..=0.98).contains(&together) && alone < 0.85, "{together} {alone}");
    }

    #[test]
    fn a_seed_decides_the_draws_and_few_are_refused() {
        let (t, y) = draw(1, 8, 3);
        let fit = |seed| fit_gap_bootstrap(&t, &y, None, 100, seed).unwrap();
        assert_eq!(fit(1), fit(1));
        assert_ne!(fit(1), fit(2));
        assert!(fit(1).to_string().contains("95 %: "), "{}", fit(1));
        assert!(fit_gap_bootstrap(&t, &y, None, 10, 1).unwrap_err().to_string().contains("at least 100"));
    }

    #[test]
    fn a_gap_that_does_not_vary_has_no_intervals() {
        let (t, _) = draw(1, 8, 3);
        // 0.1 + 0.2 is 0.3 but for rounding.
        let nearly: Vec<f64> = (0..t.len()).map(|at| if at % 2 == 0 { 0.3 } else { 0.1 + 0.2 }).collect();
        // So do runs that differ between temperatures and not within: no bar says how far a mean
        // may be off.
        let within: Vec<f64> = t.iter().map(|t| 1e-5 / t + if *t > 1e-3 { 0.1 } else { 0.0 }).collect();
        let fit = fit_gap_bootstrap(&t, &within, None, 100, 1).unwrap();
        assert!(fit.bootstrap.is_none() && fit.spreadless && fit.r2 < 1.0, "{fit:?}");
        assert!(fit.to_string().contains("no intervals: runs that differ in seeds alone"), "{fit}");
        for gap in [vec![0.05; t.len()], vec![0.0; t.len()], nearly] {
            let fit = fit_gap_bootstrap(&t, &gap, None, 100, 1).unwrap();
            assert!(fit.bootstrap.is_none() && fit.spreadless && fit.r2.is_nan() && fit.b_error.is_nan());
            assert!((fit.b - gap[0]).abs() < 1e-12, "{fit}");
            let said = fit.to_string();
            assert!(said.contains("the gap does not vary: R² is not defined"), "{said}");
            assert!(!said.contains("95 %") && !said.contains("NaN") && !said.contains('±'), "{said}");
        }
    }
}
