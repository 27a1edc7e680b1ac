//! B: there is a best temperature between the lowest and the highest.
//!
//! It *holds* where some temperature within the range is better than both ends: each is compared
//! with both by Welch's t (`groups.rs`), the larger probability of the two counts, and the smallest
//! over all temperatures is multiplied by how many there are (Bonferroni). It *fails* where one end
//! is better than every temperature within: the largest probability counts, times two for the two
//! ends. Both are intersection-union tests (Berger 1982), so that each verdict is wrong at most at
//! the stated level. The interval of the place is the bootstrap's: seeds are drawn again at each
//! temperature and the best one is noted.

use super::bootstrap::{TAIL, drawn_mean};
use super::format::{chance, short, words};
use super::groups::Levels;
use super::prediction::{Prediction, PredictionOptions, Verdict};
use super::statistics::{interval, is_constant, squares};
use crate::rng::{Rng, Stream};

/// Where `metric` is best, and whether that is within the range.
pub(super) fn optimum(
    metric: &'static str,
    levels: &Levels,
    largest: bool,
    options: &PredictionOptions,
) -> Prediction {
    let sign = if largest { -1.0 } else { 1.0 };
    let best = |means: &[f64]| {
        (0..means.len()).min_by(|&a, &b| (sign * means[a]).total_cmp(&(sign * means[b]))).unwrap_or_default()
    };
    let at = best(&levels.means);
    let t = levels.t[at];
    let name = words(metric);
    let what = if largest { "largest" } else { "smallest" };
    let last = levels.t.len() - 1;
    let better = |one: usize, other: usize| {
        if largest { levels.above(one, other) } else { levels.above(other, one) }
    };
    let undecided = |says: String| Prediction::undecided("B", metric, levels.runs, says);
    if is_constant(&levels.means) {
        return undecided(format!("the {name} is the same at all temperatures"));
    }
    // None where an end, or all temperatures within, have one seed.
    let larger = |a: Option<f64>, b: Option<f64>| Some(a?.max(b?));
    let within = (1..last)
        .filter_map(|level| larger(better(level, 0), better(level, last)))
        .reduce(f64::min)
        .map(|p| (p * (last - 1) as f64).min(1.0));
    let at_end = [0, last]
        .into_iter()
        .filter_map(|end| (1..last).map(|level| better(end, level)).reduce(larger).flatten())
        .reduce(f64::min)
        .map(|p| (2.0 * p).min(1.0));
    let (Some(within), Some(at_end)) = (within, at_end) else {
        let says = format!(
            "the {name} is {what} at T = {}{}, but with one seed at the ends or at all others there is no spread to judge by; \
             add seeds",
            short(t),
            if at == 0 || at == last { ", an end of the range" } else { "" },
        );
        return Prediction { value: t, ..undecided(says) };
    };
    let verdict = match () {
        () if within < options.level => Verdict::Holds,
        () if at_end < options.level => Verdict::Fails,
        () => Verdict::Undecided,
    };
    let (low, high) = place(levels, best, options);
    let range = format!("95 %: {} to {}", short(low), short(high));
    let says = match verdict {
        Verdict::Holds => format!(
            "the {name} is {what} at T = {} ({range}), better than at both ends of the range ({})",
            short(t),
            chance(within)
        ),
        Verdict::Fails => format!(
            "the {name} is {what} at an end of the range, T = {}: the optimum is not within the range ({})",
            short(t),
            chance(at_end)
        ),
        Verdict::Undecided => format!(
            "the {name} is {what} at T = {} ({range}); that the best lies within the range is not certain ({}), nor that it is \
             an end of it ({})",
            short(t),
            chance(within),
            chance(at_end)
        ),
    };
    Prediction { verdict, value: t, low, high, p: within, ..undecided(says) }
}

/// The interval of the best temperature.
fn place(levels: &Levels, best: impl Fn(&[f64]) -> usize, options: &PredictionOptions) -> (f64, f64) {
    // A temperature with one seed has the spread of the others.
    let (within, free) = levels
        .values
        .iter()
        .fold((0.0, 0.0), |(sum, free), values| (sum + squares(values), free + values.len() as f64 - 1.0));
    let spread = f64::sqrt(within / free);
    let places = (0..options.draws as u64)
        .map(|draw| {
            let mut rng = Rng::new(options.seed, Stream::Bootstrap, draw);
            let means: Vec<f64> = levels
                .values
                .iter()
                .zip(&levels.means)
                .map(|(values, &mean)| match values.len() {
                    1 => mean + spread * rng.normal_pair().0,
                    _ => drawn_mean(values, mean, &mut rng),
                })
                .collect();
            levels.t[best(&means)]
        })
        .collect();
    interval(places, TAIL)
}

#[cfg(test)]
mod tests {
    use super::super::simulated::{SimulatedRuns, draw, rate, share};
    use super::*;

    fn verdict(draw: i64, design: SimulatedRuns, value: impl Fn(f64) -> f64, largest: bool) -> Verdict {
        let points = super::super::simulated::draw(draw, design, value);
        let options = PredictionOptions { draws: 100, ..PredictionOptions::default() };
        optimum("test_loss", &Levels::new(&points), largest, &options).verdict
    }

    #[test]
    fn an_optimum_within_the_range_holds_and_one_at_its_end_fails() {
        let even = SimulatedRuns::even(0.01);
        let bowl = |t: f64| 0.3 + 0.02 * (t / 1.2e-3).ln().powi(2);
        assert!(share(Verdict::Holds, |seed| verdict(seed, even, bowl, false)) > 0.98);
        let falling = |t: f64| 0.3 - 0.05 * (t / 2e-4).ln();
        assert!(share(Verdict::Fails, |seed| verdict(seed, even, falling, false)) > 0.98);
        assert!(share(Verdict::Fails, |seed| verdict(seed, even, falling, true)) > 0.98);
        assert!(share(Verdict::Holds, |seed| verdict(seed, even, falling, true)) < 0.01);
    }

    /// Where nothing is better than anything, or the optimum is at an end but barely, a verdict is
    /// rare, however runs spread.
    #[test]
    fn verdicts_are_wrong_at_most_at_the_stated_rate() {
        let most = rate(0.05);
        for design in SimulatedRuns::all(0.01) {
            let flat = |of: Verdict| share(of, |seed| verdict(seed, design, |_| 0.3, false));
            let (holds, fails) = (flat(Verdict::Holds), flat(Verdict::Fails));
            assert!(holds < most && fails < most, "{design:?}: {holds} {fails}");
            // The best is at the lowest temperature, and the next is as good: the hardest case for
            // "holds".
            let barely = |t: f64| if t < 5e-4 { 0.3 } else { 0.4 };
            let held = share(Verdict::Holds, |seed| verdict(seed, design, barely, false));
            assert!(held < most, "{design:?}: {held}");
            // The best is within, and an end is as good: the hardest case for "fails".
            let failed = share(Verdict::Fails, |seed| verdict(seed, design, barely, false));
            assert!(failed < most, "{design:?}: {failed}");
        }
    }

    #[test]
    fn the_interval_holds_the_place() {
        let bowl = |t: f64| 0.3 + 0.004 * (t / 1.1e-3).ln().powi(2);
        let options = PredictionOptions { draws: 200, ..PredictionOptions::default() };
        let held = (0..200)
            .filter(|&seed| {
                let levels = Levels::new(&draw(seed, SimulatedRuns::even(0.01), bowl));
                let found = optimum("test_loss", &levels, false, &options);
                found.low <= 8e-4 && 8e-4 <= found.high
            })
            .count();
        assert!(held >= 185, "{held} of 200");
    }

    #[test]
    fn single_seeds_are_not_judged() {
        let mut points = draw(1, SimulatedRuns::even(0.01), |t| (t / 1e-3).ln().powi(2));
        points.retain(|point| point.seed == "0");
        let found = optimum("test_loss", &Levels::new(&points), false, &PredictionOptions::default());
        assert_eq!(found.verdict, Verdict::Undecided);
        assert!(found.says.contains("no spread to judge by") && found.p.is_nan(), "{}", found.says);
    }
}
