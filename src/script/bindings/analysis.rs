//! Estimates in scripts.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Map};

use crate::analysis::{
    GapFit, Statistic, SteadyOptions, fit_gap as fit, paper_epochs as epochs, steady as estimate,
};
use crate::error::Result;
use crate::script::convert::{Scripted, at, choice, count, flag, known_keys, number, text};
use crate::table::Table;

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

#[export_module]
pub mod functions {
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
