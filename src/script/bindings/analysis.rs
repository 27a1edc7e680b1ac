//! Analysis in scripts.

use rhai::plugin::*;
use rhai::{Array, Dynamic, FnPtr, FuncRegistration, Map};

use super::entries::{comment, of_rhai};
use crate::analysis::{
    Analysis, Bootstrap, CURVE_OPTIONS, FUNCTIONS, GapFit, TableFunction, curve_fit as fit_curve,
    last_quarter as quarter, paper_epochs as epochs,
};
use crate::error::{Error, Result};
use crate::interrupt::{check_at, leave_behind};
use crate::script::convert::{Scripted, at, count, given, number};
use crate::table::Table;

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<GapFit>("GapFit");
}

/// Every function of the list, with and without options.
pub(super) fn add_functions(module: &mut Module) {
    for function in FUNCTIONS {
        let table = format!("{}: Table", function.table);
        FuncRegistration::new(function.name)
            .in_global_namespace()
            .with_comments([comment(function.doc, function.example, true)])
            .with_params_info([&table, of_rhai(function.returns)])
            .set_into_module(
                module,
                move |context: NativeCallContext, table: &mut Table| -> Scripted<Dynamic> {
                    called(function, table, &Map::new()).map_err(|error| at(&context, error))
                },
            );
        FuncRegistration::new(function.name)
            .in_global_namespace()
            .with_comments([format!("/// {}", function.doc_with_options)])
            .with_params_info([&table, "options: Map", of_rhai(function.returns)])
            .set_into_module(
                module,
                move |context: NativeCallContext, table: &mut Table, options: Map| -> Scripted<Dynamic> {
                    called(function, table, &options).map_err(|error| at(&context, error))
                },
            );
    }
}

/// Calls a function. It loops over small functions: an interrupt leaves it behind.
fn called(function: &'static TableFunction, table: &Table, options: &Map) -> Result<Dynamic> {
    let given = given(function.name, function.options, options)?;
    let table = table.clone();
    Ok(match leave_behind(function.name, move || (function.call)(&table, &given))? {
        Analysis::Table(table) => Dynamic::from(table),
        Analysis::Fit(fit) => Dynamic::from(*fit),
    })
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

fn late(epochs: &Table, n: usize) -> Result<Table> {
    let epochs = epochs.clone();
    leave_behind("last_quarter", move || quarter(&epochs, n))
}

fn numbers(name: &str, values: &Array) -> Result<Vec<f64>> {
    let one = |(index, value)| {
        check_at(index)?;
        number(name, value)
    };
    values.iter().enumerate().map(one).collect()
}

/// PointsToFit and the parameters that a fit starts from.
struct PointsToFit {
    xs: Array,
    ys: Array,
    p0: Array,
}

/// Not an entry of the list: the formula is the script's, and is called from this thread.
fn curve(context: &NativeCallContext, formula: &FnPtr, points: &PointsToFit, options: &Map) -> Scripted<Map> {
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
        let given = given("curve_fit", CURVE_OPTIONS, options)?;
        let sigma = given.has("sigma").then(|| given.numbers("sigma")).transpose()?;
        let PointsToFit { xs, ys, p0 } = points;
        let (xs, ys, p0) = (numbers("xs", xs)?, numbers("ys", ys)?, numbers("p0", p0)?);
        fit_curve(&mut call, &xs, &ys, &p0, sigma.as_deref())
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
    /// Fits a formula |x, p| of x and an array of parameters to points, from the parameters `p0`,
    /// by least squares: a map of `p`, their standard errors `p_error`, `r2` and `n`. Of a
    /// parameter that the points do not determine the error is NaN, and `problem` says so.
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
        curve(&context, &formula, &PointsToFit { xs, ys, p0 }, &Map::new())
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
        curve(&context, &formula, &PointsToFit { xs, ys, p0 }, &options)
    }

    /// 20 evenly spaced epochs of the last quarter of each run of an epochs table (the paper's
    /// Figure 7).
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

    /// `n` evenly spaced epochs of the last quarter of each run; all of them where there are no
    /// more.
    #[rhai_fn(name = "last_quarter", return_raw, pure)]
    pub fn last_quarter_of(context: NativeCallContext, epochs: &mut Table, n: i64) -> Scripted<Table> {
        count("last_quarter", &n.into()).and_then(|n| late(epochs, n)).map_err(|error| at(&context, error))
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
    /// let runs = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13] });
    /// let fit = fit_gap(runs, #{ bootstrap: 200 });
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
    /// let runs = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13] });
    /// let fit = fit_gap(runs);
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

    /// The epochs that make runs of different temperature comparable (Appendices B and E of the
    /// paper): 300 · max(1, min(4, 1 + ¼ (2e-4/T − 1))).
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
