//! Estimates in scripts.

use rhai::plugin::*;
use rhai::{Array, Dynamic, FnPtr, Map};

use crate::analysis::{
    GapFit, Prediction, Share, Statistic, SteadyOptions, collapse as compare, curve_fit as fit_curve,
    fit_gap as fit, paper_epochs as epochs, predictions as judge, steady as estimate, variance as spread,
};
use crate::error::{Error, Result};
use crate::script::convert::{Scripted, at, choice, count, flag, known_keys, number, text};
use crate::table::{Cell, Table};

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<GapFit>("GapFit");
}

fn steady_options(options: &Map) -> Result<SteadyOptions> {
    known_keys("steady", options, ["last", "statistic", "drop_spikes"])?;
    let mut found = SteadyOptions::default();
    for (key, value) in options {
        match key.as_str() {
            "last" => found.last = u32::try_from(count(key, value)?).unwrap_or(u32::MAX),
            "statistic" => found.statistic = choice(key, &Statistic::ALL, value)?,
            _ => found.drop_spikes = flag(key, value)?,
        }
    }
    Ok(found)
}

fn fit_columns(table: &Table, options: &Map) -> Result<GapFit> {
    known_keys("fit_gap", options, ["x", "y"])?;
    let column = |key: &str, default: &str| {
        let name = options.get(key).map_or(Ok(default.to_owned()), |value| text(key, value))?;
        table.floats(&name)
    };
    fit(&column("x", "temperature")?, &column("y", "gap")?)
}

fn one_metric(call: &str, options: &Map) -> Result<String> {
    known_keys(call, options, ["y"])?;
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

fn verdicts(steady: &Table) -> Result<Table> {
    let row = |found: Prediction| {
        [
            Cell::Text(found.name.to_owned()),
            Cell::Text(found.metric.to_owned()),
            Cell::Text(found.verdict.name().to_owned()),
            float(found.value),
            float(found.low),
            float(found.high),
            float(found.p),
            Cell::Text(found.says),
        ]
    };
    let names = ["prediction", "metric", "verdict", "value", "low", "high", "p", "says"];
    rows(names, judge(steady)?.into_iter().map(row).collect())
}

fn collapsed(steady: &Table, options: &Map) -> Result<Table> {
    let found = compare(steady, &one_metric("collapse", options)?)?;
    let names = ["metric", "verdict", "effect", "low", "high", "f", "p", "temperatures", "settings", "runs"];
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
    ];
    rows(names, vec![row])
}

fn shares(steady: &Table, options: &Map) -> Result<Table> {
    let row = |found: Share| {
        let source = Cell::Text(found.source.to_owned());
        [source, float(found.variance), float(found.share), Cell::Int(found.pairs as i64)]
    };
    let found = spread(steady, &one_metric("variance", options)?)?;
    rows(["source", "variance", "share", "pairs"], found.into_iter().map(row).collect())
}

fn numbers(name: &str, values: &Array) -> Result<Vec<f64>> {
    values.iter().map(|value| number(name, value)).collect()
}

#[export_module]
pub mod functions {
    /// The paper's predictions A, B and C (section 3.1) on a steady-state table, a row each: `verdict` (holds, fails,
    /// undecided), the number behind it with its interval, and `says`.
    #[rhai_fn(return_raw)]
    pub fn predictions(context: NativeCallContext, steady: Table) -> Scripted<Table> {
        verdicts(&steady).map_err(|error| at(&context, error))
    }

    /// Whether runs of different lr and batch lie together where their temperatures are equal, for the gap: a test (F, p)
    /// and the spread of settings in units of the seeds' (`effect`, with a 95 % interval).
    #[rhai_fn(return_raw)]
    pub fn collapse(context: NativeCallContext, steady: Table) -> Scripted<Table> {
        collapsed(&steady, &Map::new()).map_err(|error| at(&context, error))
    }

    /// The same for the column `y`.
    #[rhai_fn(name = "collapse", return_raw)]
    pub fn collapse_of(context: NativeCallContext, steady: Table, options: Map) -> Scripted<Table> {
        collapsed(&steady, &options).map_err(|error| at(&context, error))
    }

    /// How much of the gap's spread comes from the split, the initial weights and the order of the examples. The sweep
    /// varies them apart: seed: #{split: 1..=3, init: 1..=3, order: 1..=3}.
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
    /// map of `p`, their standard errors `p_error`, `r2` and `n`.
    #[rhai_fn(return_raw)]
    pub fn curve_fit(
        context: NativeCallContext,
        formula: FnPtr,
        xs: Array,
        ys: Array,
        p0: Array,
    ) -> Scripted<Map> {
        let mut failed = None;
        let mut call = |x: f64, p: &[f64]| -> Result<f64> {
            let p: Array = p.iter().copied().map(Dynamic::from).collect();
            match formula.call_within_context::<Dynamic>(&context, (x, p)) {
                Ok(value) => number("the formula's value", &value),
                Err(error) => {
                    failed = Some(error);
                    Err(Error::invalid("curve_fit: the formula failed"))
                }
            }
        };
        let points = || Ok((numbers("xs", &xs)?, numbers("ys", &ys)?, numbers("p0", &p0)?));
        let fitted = points().and_then(|(xs, ys, p0)| fit_curve(&mut call, &xs, &ys, &p0));
        if let Some(error) = failed {
            return Err(error);
        }
        let fit = fitted.map_err(|error| at(&context, error))?;
        let array =
            |values: Vec<f64>| Dynamic::from(values.into_iter().map(Dynamic::from).collect::<Array>());
        Ok(Map::from_iter([
            ("p".into(), array(fit.p)),
            ("p_error".into(), array(fit.errors)),
            ("r2".into(), fit.r2.into()),
            ("n".into(), (fit.n as i64).into()),
        ]))
    }

    /// One row per run: the parameters and the median of each metric over the last 50 epochs (at most the
    /// last third of the run), `epochs_used`, `spiked`.
    #[rhai_fn(return_raw, pure)]
    pub fn steady(context: NativeCallContext, epochs: &mut Table) -> Scripted<Table> {
        estimate(epochs, &SteadyOptions::default()).map_err(|error| at(&context, error))
    }

    /// One row per run: `last` (50 epochs), `statistic` ("median" or "mean"), `drop_spikes` (true).
    #[rhai_fn(name = "steady", return_raw, pure)]
    pub fn steady_with(context: NativeCallContext, epochs: &mut Table, options: Map) -> Scripted<Table> {
        steady_options(&options)
            .and_then(|options| estimate(epochs, &options))
            .map_err(|error| at(&context, error))
    }

    /// Fits Eq. 1, gap = (a/T + b) exp(−T/c) with positive a, b, c, to the columns `temperature` and `gap`.
    #[rhai_fn(return_raw)]
    pub fn fit_gap(context: NativeCallContext, table: Table) -> Scripted<GapFit> {
        fit_columns(&table, &Map::new()).map_err(|error| at(&context, error))
    }

    /// Fits Eq. 1 to the columns `x` and `y`.
    #[rhai_fn(name = "fit_gap", return_raw)]
    pub fn fit_gap_with(context: NativeCallContext, table: Table, options: Map) -> Scripted<GapFit> {
        fit_columns(&table, &options).map_err(|error| at(&context, error))
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

    /// The share of the variance that the fit explains.
    #[rhai_fn(get = "r2", pure)]
    pub fn r2(fit: &mut GapFit) -> f64 {
        fit.r2
    }

    /// The fitted gap at a temperature, or at each of an array of them.
    #[rhai_fn(return_raw, pure)]
    pub fn predict(context: NativeCallContext, fit: &mut GapFit, temperature: Dynamic) -> Scripted<Dynamic> {
        let one = |value: &Dynamic| number("temperature", value).map(|t| fit.predict(t));
        match temperature.clone().try_cast::<Array>() {
            Some(values) => values
                .iter()
                .map(|value| one(value).map(Dynamic::from))
                .collect::<Result<Array>>()
                .map(Dynamic::from),
            None => one(&temperature).map(Dynamic::from),
        }
        .map_err(|error| at(&context, error))
    }

    /// The fit with its errors.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn fit_to_string(fit: &mut GapFit) -> String {
        fit.to_string()
    }

    /// The epochs that make runs of different temperature comparable (Appendix E of the paper):
    /// 300 · max(1, min(4, 1 + ¼ (2e-4/T − 1))).
    #[rhai_fn(return_raw)]
    pub fn paper_epochs(context: NativeCallContext, temperature: Dynamic) -> Scripted<i64> {
        number("temperature", &temperature)
            .and_then(epochs)
            .map(i64::from)
            .map_err(|error| at(&context, error))
    }
}
