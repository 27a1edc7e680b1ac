//! The three predictions of section 3.1 of the paper, as verdicts with the numbers behind them.
//!
//! - A: the gap decreases with T and follows Eq. 1.
//! - B: test performance has an optimum at a temperature between the lowest and the highest
//!   (`optimum.rs`).
//! - C: the train loss increases with T.
//!
//! Seeds are what is independent (`groups.rs`): the runs of one seed at one temperature count as
//! one value, their mean.
//!
//! To rise or fall is judged by Kendall's rank correlation within each seed (`kendall.rs`). To
//! follow Eq. 1 means that the means at each temperature are off it by no more than their spread
//! explains (`lack_of_fit.rs`), or else that it explains 95 % of what any falling curve can (the
//! isotonic regression); and in any case that no other falling form is better by far
//! (`alternatives.rs`). To rise also means that a rising curve explains half of the means' variance
//! and that no temperature is significantly below a lower one; the train loss spans decades, so
//! that its logarithm is looked at.
//!
//! What a seed does at all temperatures alike is left in the spread of each; that makes comparisons
//! careful rather than bold.

use super::alternatives::{EQ1, INVERSE, ISOTONIC, alternatives};
use super::bootstrap::MAX_DRAWS;
use super::format::{chance, percent, short};
use super::function::{Analysis, TableFunction, table_of};
use super::groups::{Levels, one_kind, points};
use super::isotonic::rising;
use super::kendall::Kendall;
use super::lack_of_fit::lack_of_fit;
use super::optimum::optimum;
use super::prediction::{Prediction, PredictionOptions, Verdict};
use super::statistics::is_constant;
use super::variable_projection::Mean;
use crate::error::{Error, Result};
use crate::options::{Bounds, DefaultValue, Kind, Opt};
use crate::table::{Cell, Table, number};

/// A curve that explains this share of the variance of the means that any monotone curve can
/// explain follows them, however small the spread of the runs.
const GOOD_FIT: f64 = 0.95;
/// A loss rises only where a rising curve explains this share of the variance of its means.
const HALF: f64 = 0.5;
/// Another form that is better by this much in Akaike's criterion is better by far (Burnham and
/// Anderson 2002).
const FAR: f64 = 10.0;

pub(super) const ENTRY: TableFunction = TableFunction {
    name: "predictions",
    table: "steady",
    returns: "Table",
    doc: "The paper's predictions A, B and C (section 3.1) on a steady-state table, a row each: `verdict` (holds, \
          fails, undecided) and `says`, in words. `value` is Kendall's tau with T (A, C) or the best T (B, with \
          its 95 % interval `low`, `high`); `p` the probability of data that speak so strongly for the prediction \
          where it is wrong: of such a fall (A), an optimum within the range (B), such a rise (C). `left_out` are \
          runs whose metric is not finite. Of one row per run: `.steady()` first.",
    example: r#"let runs = sweep(#{
    data: digits().take(200), model: linear(), optimizer: sgd(#{ weight_decay: 0.1 }),
    lr: [0.1, 0.2, 0.4], batch: [10, 20], seed: 1..=3, epochs: 30,
}).run("results/demo");
let steady = runs.steady();
predictions(steady).select(["prediction", "metric", "verdict", "p", "says"])"#,
    doc_with_options: "The same with options: level, draws, seed.",
    options: &[
        Opt::new(
            "level",
            Kind::Number(Bounds { low: 0.0, above: true, high: 0.5, below: true }),
            DefaultValue::Number(PredictionOptions::DEFAULT.level),
            "the level of the tests",
        ),
        Opt::new(
            "draws",
            Kind::Integer(100, MAX_DRAWS),
            DefaultValue::Integer(PredictionOptions::DEFAULT.draws as i64),
            "draws of the bootstrap for the optimum's interval",
        ),
        Opt::new(
            "seed",
            Kind::INTEGER,
            DefaultValue::Integer(PredictionOptions::DEFAULT.seed),
            "what decides them",
        ),
    ],
    call: |steady, given| {
        let row = |found: Prediction| {
            [
                Cell::Text(found.name.to_owned()),
                Cell::Text(found.metric.to_owned()),
                Cell::Text(found.verdict.name().to_owned()),
                Cell::number(found.value),
                Cell::number(found.low),
                Cell::number(found.high),
                Cell::number(found.p),
                Cell::Int(found.runs as i64),
                Cell::Int(found.left_out as i64),
                Cell::Text(found.says),
            ]
        };
        let names =
            ["prediction", "metric", "verdict", "value", "low", "high", "p", "runs", "left_out", "says"];
        let found = predictions(steady, &PredictionOptions::read(given)?)?;
        table_of(names, found.into_iter().map(row).collect()).map(Analysis::Table)
    },
};

/// All three predictions, from a steady-state table.
pub fn predictions(steady: &Table, options: &PredictionOptions) -> Result<Vec<Prediction>> {
    if !(options.level > 0.0 && options.level < 0.5) || options.draws < 100 {
        return Err(Error::invalid(format!(
            "predictions: expected a level between 0 and 0.5 and at least 100 draws, found {} and {}",
            options.level, options.draws
        )));
    }
    one_kind("predictions", steady)?;
    let levels = |name: &str| {
        let levels = Levels::new(&points(steady, name)?);
        match levels.t.len() < 3 {
            true => Err(Error::invalid(format!(
                "predictions: expected runs at three temperatures or more, found a finite `{name}` at {}",
                levels.t.len()
            ))),
            false => Ok(levels),
        }
    };
    let mut found = vec![
        follows(&levels("gap")?, options)?,
        optimum("test_loss", &levels("test_loss")?, false, options),
        optimum("test_accuracy", &levels("test_accuracy")?, true, options),
        rises(&levels("train_loss")?, options.level),
    ];
    let not_converged = match steady.columns().contains(&"converged") {
        true => steady.floats("converged")?.into_iter().filter(|converged| *converged == 0.0).count(),
        false => 0,
    };
    for prediction in &mut found {
        if not_converged > 0 {
            prediction.says += &format!("; {not_converged} of {} runs are not converged", steady.len());
        }
        prediction.left_out = steady.len() - prediction.runs;
        if prediction.left_out > 0 {
            let words = super::format::words(prediction.metric);
            prediction.says += &format!(
                "; {} of {} runs have no finite {words} and are left out",
                prediction.left_out,
                steady.len()
            );
        }
    }
    Ok(found)
}

/// A: the gap falls, and as Eq. 1 says.
fn follows(levels: &Levels, options: &PredictionOptions) -> Result<Prediction> {
    let level = options.level;
    let kendall = Kendall::of_blocks(&levels.blocks());
    let (falling, rising) = (kendall.falls(), kendall.rises());
    let (t, y) = levels.pairs();
    if is_constant(&y) {
        let says = "the gap is the same at all temperatures".to_owned();
        return Ok(Prediction::undecided("A", "gap", levels.runs, says));
    }
    let forms = alternatives(&t, &y)?;
    let form = |name: &str| forms.iter().find(|form| form.form == name);
    let (Some(eq1), Some(isotonic)) = (form(EQ1), form(ISOTONIC)) else {
        return Err(Error::invalid("predictions: Eq. 1 is not among the forms"));
    };
    let lack = lack_of_fit(levels, options.draws, options.seed);
    // Eq. 1 with an infinite c is Eq. 1: the paper's a/T + b.
    let own = forms.iter().filter(|form| [EQ1, INVERSE].contains(&form.form));
    let own = own.map(|form| form.delta_aicc).fold(f64::INFINITY, f64::min);
    let explains = eq1.r2 >= GOOD_FIT * isotonic.r2;
    let fits = explains || lack.is_some_and(|p| p >= level);
    let testable = levels.t.len() > eq1.parameters;
    let verdict = match (falling < level, rising < level) {
        (true, _) if fits && testable && own < FAR => Verdict::Holds,
        // Another form is better by far, but this one is good; or nothing says how much is chance.
        (true, _) if fits || !testable || lack.is_none() => Verdict::Undecided,
        (true, _) | (_, true) => Verdict::Fails,
        _ => Verdict::Undecided,
    };
    let trend = match (falling < level, rising < level) {
        (true, _) => "falls",
        (_, true) => "rises",
        _ => "neither falls nor rises for certain",
    };
    let mut says =
        format!("the gap {trend} with T (tau {}, {})", short(kendall.tau), chance(falling.min(rising)));
    if kendall.tau < 0.0 && isotonic.r2.is_finite() {
        let any = percent(isotonic.r2);
        says += &match eq1.r2 > 0.0 {
            true => {
                format!("; Eq. 1 explains {} of the means, any falling curve at most {any}", percent(eq1.r2))
            }
            false => {
                format!("; Eq. 1, which is positive, explains nothing of the means, any falling curve {any}")
            }
        };
        says += &match lack {
            _ if !testable => {
                let (t, free) = (levels.t.len(), eq1.parameters);
                format!("; {t} temperatures cannot test a curve of {free} parameters")
            }
            Some(p) if p >= level => {
                format!("; it is off by what the seeds' spread explains ({})", chance(p))
            }
            Some(p) => format!("; it is off by more than the seeds' spread explains ({})", chance(p)),
            None => "; without several seeds there is no spread to judge by".to_owned(),
        };
        let best = forms.iter().min_by(|a, b| a.aicc.total_cmp(&b.aicc)).unwrap_or(eq1);
        if best.form == EQ1 {
            says += "; no other falling form is better";
        } else {
            let behind = number((10.0 * eq1.delta_aicc).round() / 10.0);
            says += &format!("; of the other forms, {} is better by {behind} in AICc", best.form);
        }
    }
    let undecided = Prediction::undecided("A", "gap", levels.runs, says);
    Ok(Prediction { verdict, value: kendall.tau, p: falling, ..undecided })
}

/// C: the train loss rises.
fn rises(levels: &Levels, level: f64) -> Prediction {
    let kendall = Kendall::of_blocks(&levels.blocks());
    let (p, falling) = (kendall.rises(), kendall.falls());
    // Losses span decades.
    let logarithm = levels.values.iter().flatten().all(|&value| value > 0.0).then(|| levels.map(f64::ln));
    let levels = logarithm.as_ref().unwrap_or(levels);
    let means: Vec<Mean> = (0..levels.t.len())
        .map(|at| Mean { t: levels.t[at], value: levels.means[at], weight: levels.values[at].len() as f64 })
        .collect();
    let (isotonic, _) = rising(&means);
    let weighed = |off: &dyn Fn(usize) -> f64| {
        means.iter().enumerate().map(|(at, mean)| mean.weight * off(at).powi(2)).sum::<f64>()
    };
    let all = weighed(&|_| 1.0);
    let mean = means.iter().map(|mean| mean.weight * mean.value).sum::<f64>() / all;
    let explained = match is_constant(&levels.means) {
        true => f64::NAN,
        false => 1.0 - weighed(&|at| isotonic[at] - means[at].value) / weighed(&|at| mean - means[at].value),
    };
    // The strongest fall between any two temperatures; every pair is looked at (Bonferroni).
    let last = levels.t.len();
    let drops = (0..last).flat_map(|low| (low + 1..last).map(move |high| (low, high)));
    let drop = drops
        .filter_map(|(low, high)| Some((levels.above(low, high)?, low, high)))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(p, low, high)| ((p * (last * (last - 1) / 2) as f64).min(1.0), low, high))
        .filter(|(p, ..)| *p < level);
    let verdict = match (p < level, falling < level) {
        (true, _) if drop.is_none() && explained >= HALF => Verdict::Holds,
        // It rises in the main, and falls somewhere for certain; or the runs rise and their means
        // do not.
        (true, _) if drop.is_none() || explained >= GOOD_FIT => Verdict::Undecided,
        (true, _) | (_, true) => Verdict::Fails,
        _ => Verdict::Undecided,
    };
    let trend = match (p < level, falling < level) {
        (true, _) => "rises",
        (_, true) => "falls",
        _ => "neither rises nor falls for certain",
    };
    let mut says =
        format!("the train loss {trend} with T (tau {}, {})", short(kendall.tau), chance(p.min(falling)));
    if explained.is_finite() {
        let scale = if logarithm.is_some() { " of its logarithm" } else { "" };
        says += &format!("; a rising curve explains {} of the means{scale}", percent(explained));
    }
    if let Some((p, low, high)) = drop {
        let (low, high) = (short(levels.t[low]), short(levels.t[high]));
        says += &format!("; it falls from T = {low} to {high} ({})", chance(p));
    }
    let undecided = Prediction::undecided("C", "train_loss", levels.runs, says);
    Prediction { verdict, value: kendall.tau, p, ..undecided }
}

#[cfg(test)]
mod tests {
    use super::super::groups::Point;
    use super::super::simulated::{SimulatedRuns, draw, rate, share};
    use super::*;

    const LEVEL: f64 = 0.05;
    fn options() -> PredictionOptions {
        PredictionOptions { level: LEVEL, draws: 200, seed: 1 }
    }

    fn a(points: &[Point]) -> Verdict {
        follows(&Levels::new(points), &options()).unwrap().verdict
    }

    fn c(points: &[Point]) -> Verdict {
        rises(&Levels::new(points), LEVEL).verdict
    }

    fn eq1(t: f64) -> f64 {
        (1e-5 / t + 0.05) * (-t / 0.02).exp()
    }

    #[test]
    fn a_gap_as_eq_1_says_holds_and_others_do_not() {
        let even = |sd| SimulatedRuns::even(sd);
        let holds = share(Verdict::Holds, |seed| a(&draw(seed, even(0.005), eq1)));
        assert!(holds > 0.9, "{holds}");
        let noisy = share(Verdict::Holds, |seed| a(&draw(seed, even(0.015), eq1)));
        assert!(noisy > 0.85, "{noisy}");
        // A step is monotone and not Eq. 1.
        let step = |t: f64| if t < 1e-3 { 0.1 } else { 0.02 };
        assert!(share(Verdict::Fails, |seed| a(&draw(seed, even(0.005), step))) > 0.95);
        let coarse = share(Verdict::Holds, |seed| a(&draw(seed, even(0.02), step)));
        assert!(coarse < 0.1, "{coarse}");
        // A power law and a logarithm are near to Eq. 1, and are told from it where the spread is
        // small.
        let power = |t: f64| 0.01 * t.powf(-0.35);
        assert!(share(Verdict::Holds, |seed| a(&draw(seed, even(0.0005), power))) < 0.01);
        let logarithm = |t: f64| 0.05 - 0.01 * (t / 2e-3).ln();
        assert!(share(Verdict::Holds, |seed| a(&draw(seed, even(0.0005), logarithm))) < 0.01);
        assert!(share(Verdict::Fails, |seed| a(&draw(seed, even(0.005), |t| 0.05 + 10.0 * t))) > 0.99);
    }

    /// What does not fall is seldom taken for it, and what is Eq. 1 seldom refused.
    #[test]
    fn verdicts_on_the_gap_are_wrong_at_most_at_the_stated_rate() {
        for design in SimulatedRuns::all(0.005) {
            let flat = share(Verdict::Holds, |seed| a(&draw(seed, design, |_| 0.05)));
            assert!(flat < rate(LEVEL), "{design:?}: {flat}");
            let refused = share(Verdict::Fails, |seed| a(&draw(seed, design, eq1)));
            assert!(refused < rate(LEVEL), "{design:?}: {refused}");
        }
    }

    #[test]
    fn a_rising_loss_holds_at_the_stated_rate() {
        let even = |sd| SimulatedRuns::even(sd);
        assert!(share(Verdict::Holds, |seed| c(&draw(seed, even(0.01), |t| 10.0 * t))) > 0.99);
        assert!(share(Verdict::Fails, |seed| c(&draw(seed, even(0.01), |t| -10.0 * t))) > 0.99);
        for design in SimulatedRuns::all(0.01) {
            let by_chance = share(Verdict::Holds, |seed| c(&draw(seed, design, |_| 0.0)));
            assert!(by_chance < rate(LEVEL), "{design:?}: {by_chance}");
        }
        // The test is not empty: by chance it does hold.
        assert!(share(Verdict::Holds, |seed| c(&draw(seed, even(0.01), |_| 0.0))) > 0.01);
        // It rises in the main and falls at the end, by far; and the same at the cold end, where
        // losses are small.
        let bent = |t: f64| if t > 6e-3 { 0.03 } else { 20.0 * t };
        let holds = share(Verdict::Holds, |seed| c(&draw(seed, even(0.001), bent)));
        assert!(holds < 0.01, "{holds}");
        let cold = |t: f64| if t < 3e-4 { 0.02 } else { 20.0 * t };
        let holds = share(Verdict::Holds, |seed| c(&draw(seed, even(0.0005), cold)));
        assert!(holds < 0.01, "{holds}");
    }

    #[test]
    fn what_is_the_same_everywhere_is_undecided() {
        let flat = |sd: f64| Levels::new(&draw(1, SimulatedRuns::even(sd), |_| 0.05));
        let found = follows(&flat(0.0), &options()).unwrap();
        assert_eq!((found.verdict, found.value.is_nan(), found.p.is_nan()), (Verdict::Undecided, true, true));
        assert_eq!(found.says, "the gap is the same at all temperatures");
        let loss = rises(&flat(0.0), LEVEL);
        assert_eq!(loss.verdict, Verdict::Undecided);
        assert!(!loss.says.contains("explains") && !loss.says.contains("NaN"), "{}", loss.says);
        for largest in [false, true] {
            let best = optimum("test_loss", &flat(0.0), largest, &options());
            assert!(best.verdict == Verdict::Undecided && best.low.is_nan() && best.value.is_nan());
            assert_eq!(best.says, "the test loss is the same at all temperatures");
        }
    }

    #[test]
    fn what_little_data_can_say_is_said() {
        let all = |f: fn(f64) -> f64| draw(1, SimulatedRuns::even(1e-4), f);
        let judged = |points: &[Point]| follows(&Levels::new(points), &options()).unwrap();
        let one =
            |f: fn(f64) -> f64| all(f).into_iter().filter(|point| point.seed == "0").collect::<Vec<_>>();
        let found = judged(&one(|t| 1e-5 / t + 0.05));
        assert_eq!(found.verdict, Verdict::Holds, "{}", found.says);
        assert!(found.says.contains("no spread to judge by"), "{}", found.says);
        let found = judged(&one(|t| if t < 1e-3 { 0.1 - t } else { 0.02 - t }));
        assert_eq!(found.verdict, Verdict::Undecided, "{}", found.says);
        assert_eq!(c(&one(|t| 10.0 * t)), Verdict::Holds);
        // A curve of three parameters goes through three points.
        let three: Vec<Point> = all(eq1).into_iter().filter(|point| point.temperature < 1e-3).collect();
        let found = judged(&three);
        assert_eq!(found.verdict, Verdict::Undecided, "{}", found.says);
        assert!(found.says.contains("3 temperatures cannot test"), "{}", found.says);
        // A negative gap, and a loss that is the same everywhere.
        let found = judged(&all(|t| -5.0 * t));
        assert!(found.says.contains("explains nothing of the means"), "{}", found.says);
        let found = rises(&Levels::new(&draw(1, SimulatedRuns::even(0.0), |_| 1.0)), LEVEL);
        assert!(found.verdict == Verdict::Undecided && !found.says.contains("NaN"), "{}", found.says);
    }
}
