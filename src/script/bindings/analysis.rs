//! Estimates in scripts.

use rhai::plugin::*;
use rhai::{Array, Dynamic, FnPtr, Map};

use crate::analysis::{
    Bootstrap, FitOptions, GapFit, GroupFit, Prediction, PredictionOptions, Share, Statistic, SteadyOptions,
    alternatives as compare_forms, collapse as compare, curve_fit as fit_curve, fit_by, fit_columns,
    last_quarter as quarter, paper_epochs as epochs, predictions as judge, stationarity as rest,
    steady as estimate, variance as spread,
};
use crate::error::{Error, Result};
use crate::interrupt::{check_at, leave_behind};
use crate::script::convert::{Scripted, at, choice, count, flag, integer, known_keys, number, text};
use crate::table::{Cell, Table};

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<GapFit>("GapFit");
}

/// The options of each function, with their meanings.
pub(in crate::script) const OPTIONS: [(&str, &[(&str, &str)]); 8] = [
    ("steady", &STEADY_OPTIONS),
    ("fit_gap", &FIT_OPTIONS),
    ("predictions", &PREDICTION_OPTIONS),
    ("collapse", &METRIC_OPTIONS),
    ("variance", &METRIC_OPTIONS),
    ("alternatives", &METRIC_OPTIONS),
    ("curve_fit", &CURVE_OPTIONS),
    ("stationarity", &STATIONARITY_OPTIONS),
];

const STEADY_OPTIONS: [(&str, &str); 5] = [
    ("last", "the last epochs used, at most the last third of the run; default 50"),
    ("statistic", "\"median\" or \"mean\"; default \"median\""),
    ("drop_spikes", "whether a spike at the end of a run with batches ≥ 1,000 is cut off; default true"),
    ("tolerance", "a relative drift of the losses over these epochs that counts as none; default 0.05"),
    ("level", "a larger one is none either where noise makes it with this probability; default 0.01"),
];

const FIT_OPTIONS: [(&str, &str); 5] = [
    ("x", "the column of temperatures; default \"temperature\""),
    ("y", "the column to fit: \"gap\", \"accuracy_gap\", \"test_loss\", …; default \"gap\""),
    ("by", "a column: a table with a fit for each of its values, and one for all rows (null)"),
    ("bootstrap", "fits to data drawn again, for 95 % intervals, such as 1000; default none"),
    ("seed", "what decides the draws; default 1"),
];

const PREDICTION_OPTIONS: [(&str, &str); 3] = [
    ("level", "the level of the tests; default 0.05"),
    ("draws", "draws of the bootstrap for the optimum's interval; default 2000"),
    ("seed", "what decides them; default 1"),
];

const METRIC_OPTIONS: [(&str, &str); 1] = [("y", "the column; default \"gap\"")];

const STATIONARITY_OPTIONS: [(&str, &str); 1] =
    [("last", "the share of a run whose measured epochs are averaged; default 0.5")];

const CURVE_OPTIONS: [(&str, &str); 1] =
    [("sigma", "the error of each point, up to a common factor; default equal")];

/// The options of a steady state.
pub(super) fn steady_options(options: &Map) -> Result<SteadyOptions> {
    known_keys("steady", options, STEADY_OPTIONS.map(|(name, _)| name))?;
    let mut found = SteadyOptions::default();
    for (key, value) in options {
        match key.as_str() {
            "last" => found.last = u32::try_from(count(key, value)?).unwrap_or(u32::MAX),
            "statistic" => found.statistic = choice(key, &Statistic::ALL, value)?,
            "drop_spikes" => found.drop_spikes = flag(key, value)?,
            "tolerance" => found.tolerance = number(key, value)?,
            _ => found.level = number(key, value)?,
        }
    }
    Ok(found)
}

/// Draws of a bootstrap.
fn draws(key: &str, value: &Dynamic) -> Result<usize> {
    /// More would tell nothing more, and are kept in memory.
    const MOST: usize = 1_000_000;
    match count(key, value)? {
        draws if draws > MOST => {
            Err(Error::invalid(format!("{key}: expected at most {MOST} draws, found {draws}")))
        }
        draws => Ok(draws),
    }
}

/// Estimates of a table, in loops over small functions: an interrupt leaves them behind.
fn apart<T: Send + 'static>(
    call: &str,
    table: &Table,
    work: impl FnOnce(&Table) -> Result<T> + Send + 'static,
) -> Result<T> {
    let table = table.clone();
    leave_behind(call, move || work(&table))
}

/// A fit, or a table of fits where `by` is given.
fn fitted(table: &Table, options: &Map) -> Result<Dynamic> {
    known_keys("fit_gap", options, FIT_OPTIONS.map(|(name, _)| name))?;
    let mut found = FitOptions::default();
    let mut by = None;
    for (key, value) in options {
        match key.as_str() {
            "x" => found.x = text(key, value)?,
            "y" => found.y = text(key, value)?,
            "by" => by = Some(text(key, value)?),
            "bootstrap" => found.bootstrap = draws(key, value)?,
            _ => found.seed = integer(key, value)?,
        }
    }
    match by {
        None => apart("fit_gap", table, move |table| fit_columns(table, &found)).map(Dynamic::from),
        Some(by) => {
            apart("fit_gap", table, move |table| fits(&by, fit_by(table, &by, &found)?, found.bootstrap > 0))
                .map(Dynamic::from)
        }
    }
}

/// A row per fit; `problem` says why there is none, or what the data do not show.
fn fits(by: &str, groups: Vec<GroupFit>, intervals: bool) -> Result<Table> {
    let names = ["a", "b", "c", "a_error", "b_error", "c_error", "r2"];
    let bounds = ["a_low", "a_high", "b_low", "b_high", "c_low", "c_high"];
    let bounds = if intervals { &bounds[..] } else { &[] };
    let names: Vec<String> = [by]
        .iter()
        .chain(&names)
        .chain(bounds)
        .chain(&["n", "problem"])
        .map(|&name| name.to_owned())
        .collect();
    let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
    for group in groups {
        let mut row = vec![group.value];
        if let Ok(fit) = &group.fit {
            let numbers = [fit.a, fit.b, fit.c, fit.a_error, fit.b_error, fit.c_error, fit.r2];
            row.extend(numbers.map(float));
            if let Some(bootstrap) = &fit.bootstrap {
                let ends = (0..3).map(|k| bootstrap.interval(k)).flat_map(|(low, high)| [low, high]);
                row.extend(ends.map(float));
            }
        }
        row.resize(names.len() - 2, Cell::Null);
        row.push(Cell::Int(group.n as i64));
        row.push(match group.fit {
            Ok(fit) => fit.remark().map_or(Cell::Null, |remark| Cell::Text(remark.to_owned())),
            Err(error) => Cell::Text(error.to_string()),
        });
        columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    Table::from_cells(&names, &columns)
}

fn prediction_options(options: &Map) -> Result<PredictionOptions> {
    known_keys("predictions", options, PREDICTION_OPTIONS.map(|(name, _)| name))?;
    let mut found = PredictionOptions::default();
    for (key, value) in options {
        match key.as_str() {
            "level" => found.level = number(key, value)?,
            "draws" => found.draws = draws(key, value)?,
            _ => found.seed = integer(key, value)?,
        }
    }
    Ok(found)
}

/// The draws of a fit's bootstrap, which `what` comes from.
fn draws_of<'a>(fit: &'a GapFit, what: &str) -> Result<&'a Bootstrap> {
    fit.bootstrap.as_deref().ok_or_else(|| {
        Error::invalid(match fit.spreadless {
            true => format!("the fit has no {what}: {}", crate::analysis::SPREADLESS),
            false => format!("the fit has no {what}; ask for it with fit_gap(table, #{{bootstrap: 1000}})"),
        })
    })
}

/// One end of a parameter's bootstrap interval.
fn bound(fit: &GapFit, parameter: usize, high: bool) -> Result<f64> {
    let (low, top) = draws_of(fit, "interval")?.interval(parameter);
    Ok(if high { top } else { low })
}

fn one_metric(call: &str, options: &Map) -> Result<String> {
    known_keys(call, options, METRIC_OPTIONS.map(|(name, _)| name))?;
    options.get("y").map_or(Ok("gap".to_owned()), |value| text("y", value))
}

/// A table of named columns, given row by row.
fn rows<const N: usize>(names: [&str; N], rows: Vec<[Cell; N]>) -> Result<Table> {
    let columns: Vec<Vec<Cell>> =
        (0..N).map(|column| rows.iter().map(|row| row[column].clone()).collect()).collect();
    Table::from_cells(&names.map(str::to_owned), &columns)
}

fn float(value: f64) -> Cell {
    if value.is_nan() { Cell::Null } else { Cell::Float(value) }
}

fn verdicts(steady: &Table, options: &Map) -> Result<Table> {
    let options = prediction_options(options)?;
    let row = |found: Prediction| {
        [
            Cell::Text(found.name.to_owned()),
            Cell::Text(found.metric.to_owned()),
            Cell::Text(found.verdict.name().to_owned()),
            float(found.value),
            float(found.low),
            float(found.high),
            float(found.p),
            Cell::Int(found.runs as i64),
            Cell::Int(found.left_out as i64),
            Cell::Text(found.says),
        ]
    };
    let names = ["prediction", "metric", "verdict", "value", "low", "high", "p", "runs", "left_out", "says"];
    let found = apart("predictions", steady, move |steady| judge(steady, &options))?;
    rows(names, found.into_iter().map(row).collect())
}

fn collapsed(steady: &Table, options: &Map) -> Result<Table> {
    let y = one_metric("collapse", options)?;
    let found = apart("collapse", steady, move |steady| compare(steady, &y))?;
    let names = [
        "metric",
        "verdict",
        "effect",
        "low",
        "high",
        "f",
        "p",
        "temperatures",
        "settings",
        "runs",
        "paired",
    ];
    let row = [
        Cell::Text(found.metric),
        Cell::Text(found.verdict.name().to_owned()),
        float(found.effect),
        float(found.effect_low),
        float(found.effect_high),
        float(found.f),
        float(found.p),
        Cell::Int(found.temperatures as i64),
        Cell::Int(found.settings as i64),
        Cell::Int(found.runs as i64),
        Cell::Bool(found.paired),
    ];
    rows(names, vec![row])
}

fn shares(steady: &Table, options: &Map) -> Result<Table> {
    let row = |found: Share| {
        let source = Cell::Text(found.source.to_owned());
        let pairs = Cell::Int(found.pairs as i64);
        [source, float(found.variance), float(found.share), float(found.alone), pairs]
    };
    let y = one_metric("variance", options)?;
    let found = apart("variance", steady, move |steady| spread(steady, &y))?;
    rows(["source", "variance", "share", "alone", "pairs"], found.into_iter().map(row).collect())
}

fn forms(table: &Table, options: &Map) -> Result<Table> {
    let y = one_metric("alternatives", options)?;
    let found = apart("alternatives", table, move |table| {
        let (x, y) = (table.floats("temperature")?, table.floats(&y)?);
        let (x, y): (Vec<f64>, Vec<f64>) =
            x.into_iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite()).unzip();
        compare_forms(&x, &y)
    })?;
    let row = |found: crate::analysis::Alternative| {
        let form = Cell::Text(found.form.to_owned());
        [
            form,
            Cell::Int(found.parameters as i64),
            float(found.r2),
            float(found.aicc),
            float(found.delta_aicc),
        ]
    };
    let names = ["form", "parameters", "r2", "aicc", "delta_aicc"];
    rows(names, found.into_iter().map(row).collect())
}

fn at_the_end(epochs: &Table, options: SteadyOptions) -> Result<Table> {
    apart("steady", epochs, move |epochs| estimate(epochs, &options))
}

fn late(epochs: &Table, n: usize) -> Result<Table> {
    apart("last_quarter", epochs, move |epochs| quarter(epochs, n))
}

fn at_rest(epochs: &Table, options: &Map) -> Result<Table> {
    known_keys("stationarity", options, STATIONARITY_OPTIONS.map(|(name, _)| name))?;
    let last = options.get("last").map_or(Ok(0.5), |value| number("last", value))?;
    apart("stationarity", epochs, move |epochs| rest(epochs, last))
}

fn numbers(name: &str, values: &Array) -> Result<Vec<f64>> {
    let one = |(index, value)| {
        check_at(index)?;
        number(name, value)
    };
    values.iter().enumerate().map(one).collect()
}

/// Parameters of a formula: the normal equations of more cannot be interrupted.
const MOST_FITTED: usize = 100;

fn curve(
    context: &NativeCallContext,
    formula: &FnPtr,
    [xs, ys, p0]: [Array; 3],
    options: &Map,
) -> Scripted<Map> {
    let mut failed = None;
    let mut call = |x: f64, p: &[f64]| -> Result<f64> {
        let p: Array = p.iter().copied().map(Dynamic::from).collect();
        match formula.call_within_context::<Dynamic>(context, (x, p)) {
            Ok(value) => number("the formula's value", &value),
            Err(error) => {
                failed = Some(error);
                Err(Error::invalid("curve_fit: the formula failed"))
            }
        }
    };
    let mut fit = || {
        known_keys("curve_fit", options, CURVE_OPTIONS.map(|(name, _)| name))?;
        let sigma = options.get("sigma").map(|sigma| match sigma.clone().try_cast::<Array>() {
            Some(sigma) => numbers("sigma", &sigma),
            None => Err(Error::invalid("curve_fit: sigma: expected an array of numbers, one per point")),
        });
        let (xs, ys, p0) = (numbers("xs", &xs)?, numbers("ys", &ys)?, numbers("p0", &p0)?);
        if p0.len() > MOST_FITTED {
            return Err(Error::invalid(format!(
                "curve_fit: p0: expected at most {MOST_FITTED} parameters, found {}",
                p0.len()
            )));
        }
        fit_curve(&mut call, &xs, &ys, &p0, sigma.transpose()?.as_deref())
    };
    let fitted = fit();
    if let Some(error) = failed {
        return Err(error);
    }
    let fit = fitted.map_err(|error| at(context, error))?;
    let array = |values: Vec<f64>| Dynamic::from(values.into_iter().map(Dynamic::from).collect::<Array>());
    Ok(Map::from_iter([
        ("problem".into(), fit.problem().map_or(Dynamic::UNIT, Dynamic::from)),
        ("p".into(), array(fit.p)),
        ("p_error".into(), array(fit.errors)),
        ("r2".into(), fit.r2.into()),
        ("n".into(), (fit.n as i64).into()),
    ]))
}

#[export_module]
pub mod functions {
    /// The paper's predictions A, B and C (section 3.1) on a steady-state table, a row each: `verdict` (holds, fails,
    /// undecided) and `says`, in words. `value` is Kendall's tau with T (A, C) or the best T (B, with its 95 % interval `low`, `high`);
    /// `p` the probability of data that speak so strongly for the prediction where it is wrong: of such a fall (A), an optimum
    /// within the range (B), such a rise (C). `left_out` are runs whose metric is not finite. Of one row per run: `.steady()` first.
    ///
    /// ```
    /// let runs = sweep(#{
    ///     data: digits().take(200), model: linear(), optimizer: sgd(#{ weight_decay: 0.1 }),
    ///     lr: [0.1, 0.2, 0.4], batch: [10, 20], seed: 1..=3, epochs: 30,
    /// }).run("results/demo");
    /// let steady = runs.steady();
    /// predictions(steady).select(["prediction", "metric", "verdict", "p", "says"])
    /// ```
    #[rhai_fn(return_raw)]
    pub fn predictions(context: NativeCallContext, steady: Table) -> Scripted<Table> {
        verdicts(&steady, &Map::new()).map_err(|error| at(&context, error))
    }

    /// The same with options: level, draws, seed.
    #[rhai_fn(name = "predictions", return_raw)]
    pub fn predictions_with(context: NativeCallContext, steady: Table, options: Map) -> Scripted<Table> {
        verdicts(&steady, &options).map_err(|error| at(&context, error))
    }

    /// Whether runs are at rest, by the stationarity relations of Appendix A (Eqs. 33 to 37) on what was measured along them: both sides
    /// averaged over the measured epochs of the last half (five at least), with standard errors, and a `verdict`: at rest, moving or undecided;
    /// of Eq. 33, how fast |θ|² changes, equal or differs. Train with `measure: ["gradient", "hessian"]`; the relations are plain SGD's with a
    /// constant schedule and order: "replacement", and `note` says where that is not so.
    ///
    /// ```
    /// let runs = sweep(#{
    ///     data: digits().take(200), model: linear(), optimizer: sgd(#{ weight_decay: 0.1 }), order: "replacement",
    ///     lr: [0.05, 0.1], batch: 10, epochs: 30, measure: #{ what: ["gradient", "hessian"], every: 1 },
    /// }).run("results/demo");
    /// stationarity(runs).select(["temperature", "equation", "left", "right", "residual_error", "verdict"])
    /// ```
    #[rhai_fn(return_raw)]
    pub fn stationarity(context: NativeCallContext, epochs: Table) -> Scripted<Table> {
        at_rest(&epochs, &Map::new()).map_err(|error| at(&context, error))
    }

    /// The same over another part of the runs: last, a share of them.
    #[rhai_fn(name = "stationarity", return_raw)]
    pub fn stationarity_of(context: NativeCallContext, epochs: Table, options: Map) -> Scripted<Table> {
        at_rest(&epochs, &options).map_err(|error| at(&context, error))
    }

    /// How well the paper's Eq. 1 and other falling forms (its parts, a power law, a logarithm, any falling curve) describe the gap over
    /// the temperature: `r2` of the means, Akaike's criterion `aicc`, and how far a form is `behind` the best.
    ///
    /// ```
    /// let steady = table(#{
    ///     temperature: [2e-4, 3e-4, 5e-4, 8e-4, 1e-3, 2e-3, 4e-3, 8e-3],
    ///     gap: [0.52, 0.42, 0.31, 0.27, 0.25, 0.2, 0.17, 0.12],
    /// });
    /// alternatives(steady)
    /// ```
    #[rhai_fn(return_raw)]
    pub fn alternatives(context: NativeCallContext, steady: Table) -> Scripted<Table> {
        forms(&steady, &Map::new()).map_err(|error| at(&context, error))
    }

    /// The same for the column `y`.
    #[rhai_fn(name = "alternatives", return_raw)]
    pub fn alternatives_of(context: NativeCallContext, steady: Table, options: Map) -> Scripted<Table> {
        forms(&steady, &options).map_err(|error| at(&context, error))
    }

    /// Whether runs of different lr and batch lie together where their temperatures are equal (section 3.2 of the paper), for the gap: a
    /// test (F, p) and the spread of settings in units of that of runs (`effect`, with a 95 % interval). It holds where the interval is
    /// below 1 and fails where it is above. `paired`: settings share their seeds, and the unit is the spread of runs about what their seed
    /// does to all settings.
    ///
    /// ```
    /// let runs = sweep(#{
    ///     data: digits().take(200), model: linear(), optimizer: sgd(#{ weight_decay: 0.1 }),
    ///     lr: [0.1, 0.2, 0.4], batch: [10, 20], seed: 1..=3, epochs: 30,
    /// }).run("results/demo");
    /// collapse(runs.steady())
    /// ```
    #[rhai_fn(return_raw)]
    pub fn collapse(context: NativeCallContext, steady: Table) -> Scripted<Table> {
        collapsed(&steady, &Map::new()).map_err(|error| at(&context, error))
    }

    /// The same for the column `y`.
    #[rhai_fn(name = "collapse", return_raw)]
    pub fn collapse_of(context: NativeCallContext, steady: Table, options: Map) -> Scripted<Table> {
        collapsed(&steady, &options).map_err(|error| at(&context, error))
    }

    /// How much of the gap's spread comes from the split, the initial weights and the order of the examples (the averages of the paper's
    /// section 2.1): `share` with what a seed does together with others, `alone` without; and from their interactions. The sweep varies
    /// them apart: seed: #{split: 1..=3, init: 1..=3, order: 1..=3}, or two of the three.
    ///
    /// ```
    /// let runs = sweep(#{
    ///     data: digits().take(200), model: linear(), lr: 0.1, batch: 20,
    ///     seed: #{ split: 1..=3, init: 1..=3, order: 1..=2 }, epochs: 10,
    /// }).run("results/demo");
    /// variance(runs.steady())
    /// ```
    #[rhai_fn(return_raw)]
    pub fn variance(context: NativeCallContext, steady: Table) -> Scripted<Table> {
        shares(&steady, &Map::new()).map_err(|error| at(&context, error))
    }

    /// The same for the column `y`.
    #[rhai_fn(name = "variance", return_raw)]
    pub fn variance_of(context: NativeCallContext, steady: Table, options: Map) -> Scripted<Table> {
        shares(&steady, &options).map_err(|error| at(&context, error))
    }

    /// Fits a formula |x, p| of x and an array of parameters to points, from the parameters `p0`, by least squares: a
    /// map of `p`, their standard errors `p_error`, `r2` and `n`. Of a parameter that the points do not determine the error is NaN, and
    /// `problem` says so.
    ///
    /// ```
    /// let temperatures = [1e-3, 2e-3, 4e-3, 8e-3];
    /// let gaps = [0.24, 0.2, 0.16, 0.13];
    /// curve_fit(|t, p| p[0] * t ** p[1], temperatures, gaps, [0.05, -0.3])
    /// ```
    #[rhai_fn(return_raw)]
    pub fn curve_fit(
        context: NativeCallContext,
        formula: FnPtr,
        xs: Array,
        ys: Array,
        p0: Array,
    ) -> Scripted<Map> {
        curve(&context, &formula, [xs, ys, p0], &Map::new())
    }

    /// The same with options: `sigma`, the error of each point.
    #[rhai_fn(name = "curve_fit", return_raw)]
    pub fn curve_fit_with(
        context: NativeCallContext,
        formula: FnPtr,
        xs: Array,
        ys: Array,
        p0: Array,
        options: Map,
    ) -> Scripted<Map> {
        curve(&context, &formula, [xs, ys, p0], &options)
    }

    /// One row per run, its steady state (section 3.2 and Appendix E of the paper): the parameters and the median of each metric over the
    /// last 50 epochs (at most the last third of the run), `epochs_used`, and whether its losses and accuracies have stopped moving:
    /// `converged`, with the larger relative change of the two losses over these epochs, `drift`. Where the last 7 epochs' train loss is
    /// above that of the last 25, at batches of 1,000 or more, the run's end moves back to where that begins: `spiked`, by `epochs_cut`.
    /// That happens to every other healthy run, by a few epochs.
    ///
    /// ```
    /// let runs = sweep(#{
    ///     data: digits().take(200), model: linear(), optimizer: sgd(#{ weight_decay: 0.1 }),
    ///     lr: [0.1, 0.2, 0.4], batch: 20, epochs: 30,
    /// }).run("results/demo");
    /// runs.steady().select(["temperature", "gap", "epochs_used", "converged", "drift"])
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn steady(context: NativeCallContext, epochs: &mut Table) -> Scripted<Table> {
        at_the_end(epochs, SteadyOptions::default()).map_err(|error| at(&context, error))
    }

    /// The same with options: last, statistic, drop_spikes, tolerance, level.
    #[rhai_fn(name = "steady", return_raw, pure)]
    pub fn steady_with(context: NativeCallContext, epochs: &mut Table, options: Map) -> Scripted<Table> {
        steady_options(&options)
            .and_then(|options| at_the_end(epochs, options))
            .map_err(|error| at(&context, error))
    }

    /// 20 evenly spaced epochs of the last quarter of each run of an epochs table (the paper's Figure 7).
    ///
    /// ```
    /// let runs = sweep(#{
    ///     data: digits().take(200), model: linear(), lr: [0.05, 0.1], batch: 20, epochs: 16,
    /// }).run("results/demo");
    /// runs.last_quarter().select(["lr", "epoch", "test_loss", "test_loss_std"])
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn last_quarter(context: NativeCallContext, epochs: &mut Table) -> Scripted<Table> {
        late(epochs, 20).map_err(|error| at(&context, error))
    }

    /// `n` evenly spaced epochs of the last quarter of each run; all of them where there are no more.
    #[rhai_fn(name = "last_quarter", return_raw, pure)]
    pub fn last_quarter_of(context: NativeCallContext, epochs: &mut Table, n: i64) -> Scripted<Table> {
        count("last_quarter", &n.into()).and_then(|n| late(epochs, n)).map_err(|error| at(&context, error))
    }

    /// Fits the paper's Eq. 1, gap = (a/T + b) exp(−T/c) with positive a, b, c, to the columns `temperature` and `gap`.
    ///
    /// ```
    /// let steady = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13] });
    /// fit_gap(steady)
    /// ```
    #[rhai_fn(return_raw)]
    pub fn fit_gap(context: NativeCallContext, table: Table) -> Scripted<Dynamic> {
        fitted(&table, &Map::new()).map_err(|error| at(&context, error))
    }

    /// Fits Eq. 1 to the columns `x` and `y`; with `bootstrap`, with intervals; with `by`, a table of fits, one for
    /// each value of that column and one for all rows.
    #[rhai_fn(name = "fit_gap", return_raw)]
    pub fn fit_gap_with(context: NativeCallContext, table: Table, options: Map) -> Scripted<Dynamic> {
        fitted(&table, &options).map_err(|error| at(&context, error))
    }

    /// The strength of the 1/T term.
    #[rhai_fn(get = "a", pure)]
    pub fn a(fit: &mut GapFit) -> f64 {
        fit.a
    }

    /// The level at high temperature.
    #[rhai_fn(get = "b", pure)]
    pub fn b(fit: &mut GapFit) -> f64 {
        fit.b
    }

    /// The temperature of the decay; infinite where the data show none.
    #[rhai_fn(get = "c", pure)]
    pub fn c(fit: &mut GapFit) -> f64 {
        fit.c
    }

    /// The standard error of a.
    #[rhai_fn(get = "a_error", pure)]
    pub fn a_error(fit: &mut GapFit) -> f64 {
        fit.a_error
    }

    /// The standard error of b.
    #[rhai_fn(get = "b_error", pure)]
    pub fn b_error(fit: &mut GapFit) -> f64 {
        fit.b_error
    }

    /// The standard error of c.
    #[rhai_fn(get = "c_error", pure)]
    pub fn c_error(fit: &mut GapFit) -> f64 {
        fit.c_error
    }

    /// The lower end of the 95 % bootstrap interval of a.
    #[rhai_fn(get = "a_low", return_raw, pure)]
    pub fn a_low(context: NativeCallContext, fit: &mut GapFit) -> Scripted<f64> {
        bound(fit, 0, false).map_err(|error| at(&context, error))
    }

    /// The upper end of the 95 % bootstrap interval of a.
    #[rhai_fn(get = "a_high", return_raw, pure)]
    pub fn a_high(context: NativeCallContext, fit: &mut GapFit) -> Scripted<f64> {
        bound(fit, 0, true).map_err(|error| at(&context, error))
    }

    /// The lower end of the 95 % bootstrap interval of b.
    #[rhai_fn(get = "b_low", return_raw, pure)]
    pub fn b_low(context: NativeCallContext, fit: &mut GapFit) -> Scripted<f64> {
        bound(fit, 1, false).map_err(|error| at(&context, error))
    }

    /// The upper end of the 95 % bootstrap interval of b.
    #[rhai_fn(get = "b_high", return_raw, pure)]
    pub fn b_high(context: NativeCallContext, fit: &mut GapFit) -> Scripted<f64> {
        bound(fit, 1, true).map_err(|error| at(&context, error))
    }

    /// The lower end of the 95 % bootstrap interval of c.
    #[rhai_fn(get = "c_low", return_raw, pure)]
    pub fn c_low(context: NativeCallContext, fit: &mut GapFit) -> Scripted<f64> {
        bound(fit, 2, false).map_err(|error| at(&context, error))
    }

    /// The upper end of the 95 % bootstrap interval of c.
    #[rhai_fn(get = "c_high", return_raw, pure)]
    pub fn c_high(context: NativeCallContext, fit: &mut GapFit) -> Scripted<f64> {
        bound(fit, 2, true).map_err(|error| at(&context, error))
    }

    /// The 95 % bootstrap interval of the fitted curve of Eq. 1 at a temperature: #{low, high}.
    ///
    /// ```
    /// let steady = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13] });
    /// let fit = fit_gap(steady, #{ bootstrap: 200 });
    /// fit.band(3e-3)
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn band(context: NativeCallContext, fit: &mut GapFit, temperature: Dynamic) -> Scripted<Map> {
        let ends = || {
            let t = number("temperature", &temperature)?;
            Ok(draws_of(fit, "band")?.band(t))
        };
        let (low, high) = ends().map_err(|error| at(&context, error))?;
        Ok(Map::from_iter([("low".into(), low.into()), ("high".into(), high.into())]))
    }

    /// The points that the fit used.
    #[rhai_fn(get = "n", pure)]
    pub fn n(fit: &mut GapFit) -> i64 {
        fit.n as i64
    }

    /// The share of the variance that the fit explains; NaN where the gap does not vary.
    #[rhai_fn(get = "r2", pure)]
    pub fn r2(fit: &mut GapFit) -> f64 {
        fit.r2
    }

    /// The gap that the fit of Eq. 1 gives at a temperature, or at each of an array of them.
    ///
    /// ```
    /// let steady = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13] });
    /// let fit = fit_gap(steady);
    /// fit.predict([1e-3, 3e-3, 0.01])
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn predict(context: NativeCallContext, fit: &mut GapFit, temperature: Dynamic) -> Scripted<Dynamic> {
        match temperature.read_lock::<Array>() {
            Some(values) => numbers("temperature", &values)
                .map(|values| values.into_iter().map(|t| Dynamic::from(fit.predict(t))).collect::<Array>())
                .map(Dynamic::from),
            None => number("temperature", &temperature).map(|t| fit.predict(t)).map(Dynamic::from),
        }
        .map_err(|error| at(&context, error))
    }

    /// The fit with its errors.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn fit_to_string(fit: &mut GapFit) -> String {
        fit.to_string()
    }

    /// The epochs that make runs of different temperature comparable (Appendices B and E of the paper):
    /// 300 · max(1, min(4, 1 + ¼ (2e-4/T − 1))).
    ///
    /// ```
    /// [5e-5, 1e-4, 2e-4, 1e-3].map(|t| paper_epochs(t))
    /// ```
    #[rhai_fn(return_raw)]
    pub fn paper_epochs(context: NativeCallContext, temperature: Dynamic) -> Scripted<i64> {
        number("temperature", &temperature)
            .and_then(epochs)
            .map(i64::from)
            .map_err(|error| at(&context, error))
    }
}
