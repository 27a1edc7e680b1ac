//! The three predictions of section 3.1 of the paper, as verdicts with the numbers behind them.
//!
//! - A: the gap decreases with T and follows Eq. 1.
//! - B: test performance has an optimum at a temperature between the lowest and the highest.
//! - C: the train loss increases with T.
//!
//! To rise or fall is judged by Kendall's rank correlation (tau-b, its normal approximation with ties in T; Kendall
//! 1970), to follow Eq. 1 by the lack of fit against the spread of the seeds, and an optimum by the bootstrap:
//! runs are drawn again at each temperature, and the optimum's place is looked at.

use statrs::distribution::{ContinuousCDF, FisherSnedecor, Normal};

use super::fit::fit_gap;
use super::groups::{Point, Verdict, by_temperature, mean, points, squares};
use crate::error::{Error, Result};
use crate::rng::{Rng, Stream};
use crate::table::{Table, number};

/// Tests are made at this level, intervals at one minus it.
const LEVEL: f64 = 0.05;
/// A fit that explains this share of the variance of the means at each temperature follows them, however small the
/// seeds' spread.
const GOOD_FIT: f64 = 0.95;
/// Draws of the bootstrap.
const DRAWS: u64 = 2000;

/// One verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// A, B or C.
    pub name: &'static str,
    /// The column that it is about.
    pub metric: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// The number behind it: Kendall's tau (A, C), the temperature of the optimum (B).
    pub value: f64,
    /// The lower end of a 95 % interval, where there is one.
    pub low: f64,
    /// The upper end of it.
    pub high: f64,
    /// The probability of the data where the statement's opposite holds: of a rank correlation so strong without a
    /// trend (A, C), of an optimum at an end of the range (B).
    pub p: f64,
    /// All of it in words.
    pub says: String,
}

/// All three predictions, from a steady-state table.
pub fn predictions(steady: &Table) -> Result<Vec<Prediction>> {
    let gap = points(steady, "gap")?;
    if by_temperature(&gap).len() < 3 {
        return Err(Error::invalid("predictions: expected runs at three temperatures or more"));
    }
    Ok(vec![
        follows(&gap)?,
        optimum("test_loss", &points(steady, "test_loss")?, false),
        optimum("test_accuracy", &points(steady, "test_accuracy")?, true),
        rises(&points(steady, "train_loss")?),
    ])
}

/// Kendall's tau-b of value against temperature, and the probability of a larger one without a trend.
fn trend(points: &[Point]) -> (f64, f64) {
    let n = points.len() as f64;
    let (mut s, mut tied) = (0.0, 0.0);
    for (index, a) in points.iter().enumerate() {
        for b in &points[index + 1..] {
            let by_value = (b.value - a.value).partial_cmp(&0.0).map_or(0.0, |order| f64::from(order as i8));
            s += match b.temperature.total_cmp(&a.temperature) {
                std::cmp::Ordering::Less => -by_value,
                std::cmp::Ordering::Equal => 0.0,
                std::cmp::Ordering::Greater => by_value,
            };
            tied += f64::from(u8::from(by_value == 0.0));
        }
    }
    let sizes: Vec<f64> = by_temperature(points).iter().map(|(_, group)| group.len() as f64).collect();
    let pairs = n * (n - 1.0) / 2.0;
    let same: f64 = sizes.iter().map(|t| t * (t - 1.0) / 2.0).sum();
    let tau = s / ((pairs - same) * (pairs - tied)).sqrt();
    let spread = |t: f64| t * (t - 1.0) * (2.0 * t + 5.0);
    let variance = (spread(n) - sizes.iter().copied().map(spread).sum::<f64>()) / 18.0;
    (tau, above(s / variance.sqrt()))
}

/// The probability of a standard normal number above this.
fn above(z: f64) -> f64 {
    Normal::standard().sf(z)
}

/// A: the gap falls, and as Eq. 1 says.
fn follows(points: &[Point]) -> Result<Prediction> {
    let (tau, rising) = trend(points);
    let falling = 1.0 - rising;
    let (t, y): (Vec<f64>, Vec<f64>) = points.iter().map(|point| (point.temperature, point.value)).unzip();
    let groups = by_temperature(points);
    let means: Vec<f64> = groups.iter().map(|(_, group)| mean(&values(group))).collect();
    let fit = fit_gap(&t, &y)?;
    let off: f64 = groups
        .iter()
        .zip(&means)
        .map(|((t, group), mean)| group.len() as f64 * (fit.predict(*t) - mean).powi(2))
        .sum();
    let off_means: f64 =
        groups.iter().zip(&means).map(|((t, _), mean)| (fit.predict(*t) - mean).powi(2)).sum();
    let explained = 1.0 - off_means / squares(&means);
    let spread: f64 = groups.iter().map(|(_, group)| squares(&values(group))).sum();
    let free = if fit.c.is_finite() { 3.0 } else { 2.0 };
    let (lack, rest) = (groups.len() as f64 - free, (points.len() - groups.len()) as f64);
    let p_lack = match FisherSnedecor::new(lack, rest) {
        Ok(distribution) if spread > 0.0 => distribution.sf(off / lack / (spread / rest)),
        _ => f64::NAN,
    };
    let fits = explained >= GOOD_FIT || p_lack >= LEVEL;
    let verdict = match (falling < LEVEL, fits) {
        (true, true) => Verdict::Holds,
        (true, false) => Verdict::Fails,
        (false, _) if rising < LEVEL => Verdict::Fails,
        (false, _) => Verdict::Undecided,
    };
    let says = format!(
        "the gap {} with T (tau {}, p {}); Eq. 1 explains {} % of the means and {} the seeds' spread (p {})",
        if falling < LEVEL {
            "falls"
        } else if rising < LEVEL {
            "rises"
        } else {
            "neither falls nor rises"
        },
        number(tau),
        number(falling.min(rising)),
        number((1000.0 * explained).round() / 10.0),
        if p_lack >= LEVEL { "is within" } else { "is off by more than" },
        number(p_lack),
    );
    let nan = f64::NAN;
    Ok(Prediction { name: "A", metric: "gap", verdict, value: tau, low: nan, high: nan, p: falling, says })
}

fn values(group: &[Point]) -> Vec<f64> {
    group.iter().map(|point| point.value).collect()
}

/// B: the best temperature lies within the range.
fn optimum(metric: &'static str, points: &[Point], largest: bool) -> Prediction {
    let sign = if largest { -1.0 } else { 1.0 };
    let groups = by_temperature(points);
    let best =
        |means: &[f64]| (0..means.len()).min_by(|&a, &b| (sign * means[a]).total_cmp(&(sign * means[b])));
    let means: Vec<f64> = groups.iter().map(|(_, group)| mean(&values(group))).collect();
    let at = best(&means).unwrap_or_default();
    let mut places: Vec<f64> = Vec::with_capacity(DRAWS as usize);
    let mut ends = 0;
    for draw in 0..DRAWS {
        let mut rng = Rng::new(0, Stream::Bootstrap, draw);
        let means: Vec<f64> = groups
            .iter()
            .map(|(_, group)| {
                let n = group.len() as u32;
                (0..n).map(|_| group[rng.below(n) as usize].value).sum::<f64>() / f64::from(n)
            })
            .collect();
        let at = best(&means).unwrap_or_default();
        ends += u64::from(at == 0 || at + 1 == groups.len());
        places.push(groups[at].0);
    }
    places.sort_by(f64::total_cmp);
    let quantile = |p: f64| places[((p * DRAWS as f64) as usize).min(places.len() - 1)];
    let (low, high) = (quantile(LEVEL / 2.0), quantile(1.0 - LEVEL / 2.0));
    let p = ends as f64 / DRAWS as f64;
    let verdict = match p {
        p if p < LEVEL => Verdict::Holds,
        p if p > 1.0 - LEVEL => Verdict::Fails,
        _ => Verdict::Undecided,
    };
    let what = if largest { "largest" } else { "smallest" };
    let says = match verdict {
        Verdict::Fails => format!(
            "the {metric} is {what} at an end of the range, T = {}: not within it",
            number(groups[at].0)
        ),
        _ => format!(
            "the {metric} is {what} at T = {} (95 %: {} to {}); in {} % of draws at an end of the range",
            number(groups[at].0),
            number(low),
            number(high),
            number((1000.0 * p).round() / 10.0)
        ),
    };
    Prediction { name: "B", metric, verdict, value: groups[at].0, low, high, p, says }
}

/// C: the train loss rises.
fn rises(points: &[Point]) -> Prediction {
    let (tau, p) = trend(points);
    let verdict = match p {
        p if p < LEVEL => Verdict::Holds,
        p if p > 1.0 - LEVEL => Verdict::Fails,
        _ => Verdict::Undecided,
    };
    let means: Vec<(f64, f64)> =
        by_temperature(points).iter().map(|(_, group)| (mean(&values(group)), group.len() as f64)).collect();
    let all: Vec<f64> = means.iter().map(|(mean, _)| *mean).collect();
    let off: f64 = isotonic(&means).iter().zip(&all).map(|(fit, mean)| (fit - mean).powi(2)).sum();
    let explained = 100.0 * (1.0 - off / squares(&all));
    let says = format!(
        "the train loss {} with T (tau {}, p {}); a rising curve explains {} % of the means",
        match verdict {
            Verdict::Holds => "rises",
            Verdict::Fails => "falls",
            Verdict::Undecided => "neither rises nor falls",
        },
        number(tau),
        number(p.min(1.0 - p)),
        number((10.0 * explained).round() / 10.0)
    );
    let nan = f64::NAN;
    Prediction { name: "C", metric: "train_loss", verdict, value: tau, low: nan, high: nan, p, says }
}

/// The rising sequence nearest to (value, weight) pairs: neighbours that fall are pooled (Ayer et al. 1955).
fn isotonic(values: &[(f64, f64)]) -> Vec<f64> {
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for &(value, weight) in values {
        pools.push((value, weight, 1));
        while let [.., (a, wa, na), (b, wb, nb)] = pools[..]
            && a > b
        {
            pools.truncate(pools.len() - 2);
            pools.push(((a * wa + b * wb) / (wa + wb), wa + wb, na + nb));
        }
    }
    pools.into_iter().flat_map(|(value, _, n)| std::iter::repeat_n(value, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of four settings on six temperatures, the value a function of T with noise of standard deviation `sd`.
    fn draw(seed: i64, sd: f64, value: impl Fn(f64) -> f64) -> Vec<Point> {
        let mut rng = Rng::new(seed, Stream::Synthetic, 0);
        let temperatures = [2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3, 6.4e-3];
        temperatures
            .iter()
            .flat_map(|&t| (0..6).map(move |run| (t, run)))
            .map(|(temperature, run)| Point {
                temperature,
                value: value(temperature) + sd * rng.normal_pair().0,
                setting: (run % 2).to_string(),
                seed: run.to_string(),
            })
            .collect()
    }

    fn share(verdict: Verdict, test: impl Fn(i64) -> Verdict) -> f64 {
        (0..500).filter(|&seed| test(seed) == verdict).count() as f64 / 500.0
    }

    #[test]
    fn a_gap_as_eq_1_says_holds_and_others_do_not() {
        let eq1 = |t: f64| (1e-5 / t + 0.05) * (-t / 0.02).exp();
        let holds = share(Verdict::Holds, |seed| follows(&draw(seed, 0.005, eq1)).unwrap().verdict);
        assert!(holds > 0.9, "{holds}");
        // A step is monotone and not Eq. 1.
        let step = |t: f64| if t < 1e-3 { 0.1 } else { 0.02 };
        let fails = share(Verdict::Fails, |seed| follows(&draw(seed, 0.005, step)).unwrap().verdict);
        assert!(fails > 0.95, "{fails}");
        let flat = share(Verdict::Holds, |seed| follows(&draw(seed, 0.005, |_| 0.05)).unwrap().verdict);
        assert!(flat < 0.08, "{flat}");
    }

    #[test]
    fn an_optimum_within_the_range_holds_and_one_at_its_end_fails() {
        let bowl = |t: f64| 0.3 + 0.02 * (t / 1.2e-3).ln().powi(2);
        let holds =
            share(Verdict::Holds, |seed| optimum("test_loss", &draw(seed, 0.01, bowl), false).verdict);
        assert!(holds > 0.98, "{holds}");
        let falling = |t: f64| 0.3 - 0.05 * (t / 2e-4).ln();
        let fails =
            share(Verdict::Fails, |seed| optimum("test_loss", &draw(seed, 0.01, falling), false).verdict);
        assert!(fails > 0.98, "{fails}");
        let held =
            share(Verdict::Holds, |seed| optimum("test_accuracy", &draw(seed, 0.01, falling), true).verdict);
        assert!(held < 0.01, "{held}");
    }

    #[test]
    fn a_rising_loss_holds_at_the_stated_rate() {
        let holds = share(Verdict::Holds, |seed| rises(&draw(seed, 0.01, |t| 10.0 * t)).verdict);
        assert!(holds > 0.99, "{holds}");
        let by_chance = share(Verdict::Holds, |seed| rises(&draw(seed, 0.01, |_| 0.0)).verdict);
        // 5 % ± four standard errors of 500 draws.
        assert!((by_chance - LEVEL).abs() < 4.0 * (0.05f64 * 0.95 / 500.0).sqrt(), "{by_chance}");
        let fails = share(Verdict::Fails, |seed| rises(&draw(seed, 0.01, |t| -10.0 * t)).verdict);
        assert!(fails > 0.99, "{fails}");
    }

    #[test]
    fn the_nearest_rising_sequence_pools_what_falls() {
        let fit = isotonic(&[(1.0, 1.0), (3.0, 1.0), (2.0, 1.0), (2.0, 2.0), (5.0, 1.0)]);
        assert_eq!(fit, [1.0, 2.25, 2.25, 2.25, 5.0]);
    }
}
