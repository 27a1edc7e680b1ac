//! The three predictions of section 3.1 of the paper, as verdicts with the numbers behind them.
//!
//! - A: the gap decreases with T and follows Eq. 1.
//! - B: test performance has an optimum at a temperature between the lowest and the highest (`optimum.rs`).
//! - C: the train loss increases with T.
//!
//! To rise or fall is judged by Kendall's rank correlation (`kendall.rs`). To follow Eq. 1 means that the means at each temperature are off it
//! by no more than the runs' spread explains (a test for lack of fit), or else that it explains 95 % of what any falling curve
//! can (the isotonic regression), and that no other falling form is better by far (`alternatives.rs`). To rise also
//! means that no temperature is significantly below a lower one, or else that a rising curve explains 95 % of the means.
//!
//! Runs count as independent. Runs of different temperatures that share their seeds, and so their splits, vary together;
//! that makes all of these tests careful rather than bold.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::alternatives::{Alternative, EQ1, INVERSE, ISOTONIC, alternatives};
use super::fit::fit_gap;
use super::groups::{Levels, Point, Verdict, one_kind, points};
use super::isotonic::rising;
use super::kendall::Kendall;
use super::optimum::optimum;
use super::separable::Mean;
use crate::error::{Error, Result};
use crate::table::{Table, number};

/// A curve that explains this share of the variance of the means that any monotone curve can explain follows them, however small
/// the spread of the runs.
const GOOD_FIT: f64 = 0.95;
/// Another form that is better by this much in Akaike's criterion is better by far (Burnham and Anderson 2002).
const FAR: f64 = 10.0;

/// How predictions are judged.
#[derive(Clone, Copy, Debug)]
pub struct PredictionOptions {
    /// The level of the tests.
    pub level: f64,
    /// Draws of the bootstrap.
    pub draws: usize,
    /// What decides them.
    pub seed: i64,
}

impl Default for PredictionOptions {
    fn default() -> Self {
        Self { level: 0.05, draws: 2000, seed: 1 }
    }
}

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
    /// The probability of data that speak so strongly for the statement, where it does not hold: of such a rank correlation
    /// without a trend (A, C), of a temperature so much better than both ends (B).
    pub p: f64,
    /// All of it in words.
    pub says: String,
}

/// All three predictions, from a steady-state table.
pub fn predictions(steady: &Table, options: &PredictionOptions) -> Result<Vec<Prediction>> {
    if !(options.level > 0.0 && options.level < 0.5) || options.draws < 100 {
        return Err(Error::invalid(format!(
            "predictions: expected a level between 0 and 0.5 and at least 100 draws, found {} and {}",
            options.level, options.draws
        )));
    }
    one_kind("predictions", steady)?;
    let metric = |name: &str| {
        let points = points(steady, name)?;
        let found = Levels::new(&points).t.len();
        match found < 3 {
            true => Err(Error::invalid(format!(
                "predictions: expected runs at three temperatures or more, found a finite `{name}` at {found}"
            ))),
            false => Ok(points),
        }
    };
    Ok(vec![
        follows(&metric("gap")?, options.level)?,
        optimum("test_loss", &metric("test_loss")?, false, options),
        optimum("test_accuracy", &metric("test_accuracy")?, true, options),
        rises(&metric("train_loss")?, options.level),
    ])
}

fn kendall(points: &[Point], levels: &Levels) -> Kendall {
    // The level's temperature and not the run's own, which may be rounded otherwise.
    let t = levels.t.iter().zip(&levels.values).flat_map(|(&t, values)| values.iter().map(move |_| t));
    let y = levels.values.iter().flatten().copied();
    debug_assert_eq!(points.len(), y.clone().count());
    Kendall::new(&t.collect::<Vec<_>>(), &y.collect::<Vec<_>>())
}

fn percent(share: f64) -> String {
    format!("{} %", number((1000.0 * share).round() / 10.0))
}

/// A: the gap falls, and as Eq. 1 says.
fn follows(points: &[Point], level: f64) -> Result<Prediction> {
    let levels = Levels::new(points);
    let kendall = kendall(points, &levels);
    let (falling, rising) = (kendall.falls(), kendall.rises());
    let (t, y): (Vec<f64>, Vec<f64>) = levels
        .t
        .iter()
        .zip(&levels.values)
        .flat_map(|(&t, values)| values.iter().map(move |&value| (t, value)))
        .unzip();
    let fit = fit_gap(&t, &y)?;
    let forms = alternatives(&t, &y)?;
    let form = |name: &str| forms.iter().find(|form| form.form == name);
    let (Some(eq1), Some(isotonic)) = (form(EQ1), form(ISOTONIC)) else {
        return Err(Error::invalid("predictions: Eq. 1 is not among the forms"));
    };
    let lack = lack_of_fit(&levels, eq1, if fit.c.is_finite() { 3.0 } else { 2.0 });
    // Eq. 1 with an infinite c is Eq. 1: the paper's a/T + b.
    let own = forms.iter().filter(|form| [EQ1, INVERSE].contains(&form.form));
    let own = own.map(|form| form.behind).fold(f64::INFINITY, f64::min);
    let explains = eq1.r2 >= GOOD_FIT * isotonic.r2;
    let verdict = match (falling < level, rising < level) {
        (true, _) if lack.is_some_and(|p| p >= level) => Verdict::Holds,
        (true, _) if explains && own < FAR => Verdict::Holds,
        // Another form is better by far, but this one is good; or nothing says how much is chance.
        (true, _) if explains || lack.is_none() => Verdict::Undecided,
        (true, _) | (_, true) => Verdict::Fails,
        _ => Verdict::Undecided,
    };
    let trend = match (falling < level, rising < level) {
        (true, _) => "falls",
        (_, true) => "rises",
        _ => "neither falls nor rises",
    };
    let spread = match lack {
        Some(p) if p >= level => format!("within the spread of the runs (p {})", number(p)),
        Some(p) => format!("off by more than the spread of the runs (p {})", number(p)),
        None => "with one run at each temperature no spread to judge by".to_owned(),
    };
    let best = forms.iter().min_by(|a, b| a.aicc.total_cmp(&b.aicc)).unwrap_or(eq1);
    let behind =
        |form: &Alternative| format!("{} by {}", form.form, number((10.0 * form.behind).round() / 10.0));
    let others: Vec<String> = forms.iter().filter(|form| form.behind > 0.0).map(behind).collect();
    let says = format!(
        "the gap {trend} with T (tau {}, p {}); Eq. 1 explains {} of the means, any falling curve at most {}; {spread}; \
         the best form by AICc is {}, behind it are {}",
        number(kendall.tau),
        number(falling.min(rising)),
        percent(eq1.r2),
        percent(isotonic.r2),
        best.form,
        others.join(", ")
    );
    let nan = f64::NAN;
    let value = kendall.tau;
    Ok(Prediction { name: "A", metric: "gap", verdict, value, low: nan, high: nan, p: falling, says })
}

/// The probability that means are so far off a curve of `free` parameters by chance: F of the means about the curve and the runs
/// about their means. None where there are no runs, or no temperatures, to spare.
fn lack_of_fit(levels: &Levels, form: &Alternative, free: f64) -> Option<f64> {
    let lack = levels.t.len() as f64 - free;
    let off: f64 = levels
        .values
        .iter()
        .zip(&levels.means)
        .zip(&form.curve)
        .map(|((values, mean), curve)| values.len() as f64 * (curve - mean).powi(2))
        .sum();
    let distribution = FisherSnedecor::new(lack, levels.free).ok()?;
    (levels.within > 0.0).then(|| distribution.sf(off / lack / (levels.within / levels.free)))
}

/// C: the train loss rises.
fn rises(points: &[Point], level: f64) -> Prediction {
    let levels = Levels::new(points);
    let kendall = kendall(points, &levels);
    let (p, falling) = (kendall.rises(), kendall.falls());
    let means: Vec<Mean> = (0..levels.t.len())
        .map(|at| Mean { t: levels.t[at], value: levels.means[at], weight: levels.values[at].len() as f64 })
        .collect();
    let (isotonic, _) = rising(&means);
    let weighed = |off: &dyn Fn(usize) -> f64| {
        means.iter().enumerate().map(|(at, mean)| mean.weight * off(at).powi(2)).sum::<f64>()
    };
    let all = weighed(&|_| 1.0);
    let mean = means.iter().map(|mean| mean.weight * mean.value).sum::<f64>() / all;
    let explained =
        1.0 - weighed(&|at| isotonic[at] - means[at].value) / weighed(&|at| mean - means[at].value);
    // The strongest fall between any two temperatures; every pair is looked at (Bonferroni).
    let last = levels.t.len();
    let drops = (0..last).flat_map(|low| (low + 1..last).map(move |high| (low, high)));
    let drop = drops
        .filter_map(|(low, high)| Some((levels.above(low, high)?, low, high)))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(p, low, high)| ((p * (last * (last - 1) / 2) as f64).min(1.0), low, high))
        .filter(|(p, ..)| *p < level);
    let verdict = match (p < level, falling < level) {
        (true, _) if drop.is_none() || explained >= GOOD_FIT => Verdict::Holds,
        (true, _) | (_, true) => Verdict::Fails,
        _ => Verdict::Undecided,
    };
    let trend = match (p < level, falling < level) {
        (true, _) => "rises",
        (_, true) => "falls",
        _ => "neither rises nor falls",
    };
    let falls = drop.map_or(String::new(), |(p, low, high)| {
        format!(
            "; it falls from T = {} to {} (p {})",
            number(levels.t[low]),
            number(levels.t[high]),
            number(p)
        )
    });
    let says = format!(
        "the train loss {trend} with T (tau {}, p {}); a rising curve explains {} of the means{falls}",
        number(kendall.tau),
        number(p.min(falling)),
        percent(explained),
    );
    let nan = f64::NAN;
    let value = kendall.tau;
    Prediction { name: "C", metric: "train_loss", verdict, value, low: nan, high: nan, p, says }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    const LEVEL: f64 = 0.05;
    const DRAWS: i64 = 500;

    /// Runs of two settings on six temperatures, the value a function of T with noise of standard deviation `sd`.
    pub(in super::super) fn draw(seed: i64, sd: f64, value: impl Fn(f64) -> f64) -> Vec<Point> {
        let mut rng = Rng::new(seed, Stream::Synthetic, 0);
        let temperatures = [2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3, 6.4e-3];
        temperatures
            .iter()
            .flat_map(|&t| (0..6).map(move |run| (t, run)))
            .map(|(temperature, run)| Point {
                temperature,
                value: value(temperature) + sd * rng.normal_pair().0,
                setting: (run % 2).to_string(),
                kind: String::new(),
                seed: run.to_string(),
            })
            .collect()
    }

    pub(in super::super) fn share(verdict: Verdict, test: impl Fn(i64) -> Verdict) -> f64 {
        (0..DRAWS).filter(|&seed| test(seed) == verdict).count() as f64 / DRAWS as f64
    }

    /// A rate and four standard errors of it over the draws.
    pub(in super::super) fn rate(p: f64) -> f64 {
        p + 4.0 * (p * (1.0 - p) / DRAWS as f64).sqrt()
    }

    fn a(points: &[Point]) -> Verdict {
        follows(points, LEVEL).unwrap().verdict
    }

    fn c(points: &[Point]) -> Verdict {
        rises(points, LEVEL).verdict
    }

    #[test]
    fn a_gap_as_eq_1_says_holds_and_others_do_not() {
        let eq1 = |t: f64| (1e-5 / t + 0.05) * (-t / 0.02).exp();
        let holds = share(Verdict::Holds, |seed| a(&draw(seed, 0.005, eq1)));
        assert!(holds > 0.94, "{holds}");
        let noisy = share(Verdict::Holds, |seed| a(&draw(seed, 0.015, eq1)));
        assert!(noisy > 0.9, "{noisy}");
        // A step is monotone and not Eq. 1.
        let step = |t: f64| if t < 1e-3 { 0.1 } else { 0.02 };
        assert!(share(Verdict::Fails, |seed| a(&draw(seed, 0.005, step))) > 0.95);
        // A power law is near to Eq. 1: described, but by far not best.
        let power = |t: f64| 0.01 * t.powf(-0.35);
        assert!(share(Verdict::Holds, |seed| a(&draw(seed, 0.0005, power))) < 0.01);
        assert!(share(Verdict::Fails, |seed| a(&draw(seed, 0.005, |t| 0.05 + 10.0 * t))) > 0.99);
        // What does not fall is seldom taken for it.
        let flat = share(Verdict::Holds, |seed| a(&draw(seed, 0.005, |_| 0.05)));
        assert!(flat < rate(LEVEL), "{flat}");
    }

    #[test]
    fn a_rising_loss_holds_at_the_stated_rate() {
        assert!(share(Verdict::Holds, |seed| c(&draw(seed, 0.01, |t| 10.0 * t))) > 0.99);
        let by_chance = share(Verdict::Holds, |seed| c(&draw(seed, 0.01, |_| 0.0)));
        assert!(by_chance < rate(LEVEL) && by_chance > 2.0 * LEVEL - rate(LEVEL), "{by_chance}");
        assert!(share(Verdict::Fails, |seed| c(&draw(seed, 0.01, |t| -10.0 * t))) > 0.99);
        // It rises in the main and falls at the end, by far.
        let bent = |t: f64| if t > 6e-3 { 0.03 } else { 20.0 * t };
        let fails = share(Verdict::Fails, |seed| c(&draw(seed, 0.001, bent)));
        assert!(fails > 0.99, "{fails}");
    }

    #[test]
    fn one_run_at_each_temperature_is_judged_by_what_it_can_say() {
        let one = |f: fn(f64) -> f64| draw(1, 1e-4, f).into_iter().step_by(6).collect::<Vec<_>>();
        let found = follows(&one(|t| 1e-5 / t + 0.05), LEVEL).unwrap();
        assert_eq!(found.verdict, Verdict::Holds, "{}", found.says);
        assert!(found.says.contains("no spread to judge by"), "{}", found.says);
        let found = follows(&one(|t| if t < 1e-3 { 0.1 - t } else { 0.02 - t }), LEVEL).unwrap();
        assert_eq!(found.verdict, Verdict::Undecided, "{}", found.says);
        assert_eq!(rises(&one(|t| 10.0 * t), LEVEL).verdict, Verdict::Holds);
    }
}
