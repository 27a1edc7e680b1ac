//! The module `lab`: the paper's theory on problems that can be solved.

use std::rc::Rc;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map};

use crate::decimal;
use crate::error::{Error, Result};
use crate::interrupt::leave_behind;
use crate::optim::Form;
use crate::script::axes::Axes;
use crate::script::convert::{Scripted, at, choice, count, flag, integer, known_keys, number};
use crate::table::{Cell, Table};
use crate::theory::{
    ChainOptions, DataSet, DoubleWell, Dynamics, EnsembleOptions, Estimate, FokkerPlanckOptions, Gauge,
    GaussianMean, LangevinOptions, LinearRegression, Logistic, Moment, Problem, Side, SpuriousMinimum,
    Stationary,
};

/// A problem in scripts.
pub(super) type ProblemHandle = Rc<Problem>;

/// The options of each function of the module, with their meanings.
pub(in crate::script) const OPTIONS: [(&str, &[(&str, &str)]); 15] = [
    (
        "lab::gaussian_mean",
        &[
            ("mean", "the mean of x; default 0"),
            ("sigma", "its standard deviation; default 1"),
            ("n", "examples in a training set; default 20"),
        ],
    ),
    (
        "lab::linear_regression",
        &[
            ("n", "examples in a training set; default 50"),
            ("dim", "parameters, 1 to 16; default 1; with more lab::gap, lab::check and lab::sgd alone"),
            ("noise", "the standard deviation of y about w·x; default 1"),
            ("weight", "|w|, spread over all features; default 1"),
            ("spread", "the standard deviation of the last feature (the first one's is 1); default 1"),
        ],
    ),
    (
        "lab::double_well",
        &[
            ("tilt", "the mean of x; default 0.1"),
            ("sigma", "its standard deviation; default 1"),
            ("n", "examples in a training set; default 50"),
        ],
    ),
    (
        "lab::logistic",
        &[("slope", "the true weight; default 1"), ("n", "examples in a training set; default 50")],
    ),
    (
        "lab::spurious_minimum",
        &[
            ("width", "the width of the minimum at 1; default 0.3"),
            ("mean", "the mean of x; default 0"),
            ("sigma", "its standard deviation; default 3"),
            ("n", "examples in a training set; default 10"),
        ],
    ),
    ("lab::data", &[DATASET, ("set", "\"train\" or \"test\"; default \"train\""), SEED]),
    ("lab::density", &[TEMPERATURE, ALPHA, BETA, DATASET, SEED]),
    ("lab::ensemble", &[TEMPERATURE, ALPHA, BETA, DATASETS, TEST, GAUGE, SEED]),
    ("lab::gap", &[TEMPERATURE, ALPHA, BETA, DATASETS, TEST, SEED]),
    ("lab::check", &[TEMPERATURE, ALPHA, BETA, DATASETS, TEST, GAUGE, SEED]),
    (
        "lab::optimum",
        &[
            ("from", "the lowest temperature; required"),
            ("to", "the highest one; required"),
            ("points", "temperatures between them, equidistant in ln T; default 25"),
            ALPHA,
            BETA,
            DATASETS,
            SEED,
        ],
    ),
    ("lab::sgd", &[LR, BATCH, ALPHA, BETA, MOMENTUM, STEPS, BURN, CHAINS, START, SEED]),
    (
        "lab::histogram",
        &[
            LR,
            BATCH,
            ALPHA,
            BETA,
            MOMENTUM,
            STEPS,
            BURN,
            CHAINS,
            START,
            SEED,
            ("low", "the lower end of the bins; required"),
            ("high", "the upper end; required"),
            ("bins", "how many; default 60"),
        ],
    ),
    (
        "lab::relaxation",
        &[
            ("temperature", "T = lr / batch; required"),
            ("lr", "λ, of which T makes the batch; an array: a run for each; required"),
            ("time", "how long, in t′ = λ · updates; default 5"),
            ("times", "rows, equidistant in t′; default 10"),
            ALPHA,
            BETA,
            MOMENTUM,
            ("chains", "independent chains; default 1024"),
            START,
            SEED,
        ],
    ),
    (
        "lab::diffusion",
        &[
            ("method", "\"langevin\" (a map) or \"fokker-planck\" (a table); default \"langevin\""),
            ("temperature", "T; required"),
            ALPHA,
            BETA,
            ("momentum", "μ of Eqs. 44 and 46, which need lr; default 0, which is Eq. 17"),
            ("lr", "λ, which momentum knows apart from T"),
            ("form", "\"pytorch\" (Eq. 44) or \"sutskever\" (Eq. 46)"),
            ("printed", "true: Eq. 44 with the sign of its noise as printed; default false"),
            ("step", "the step of t′; default 0.01 (fokker-planck: 0.001)"),
            ("time", "how long, in t′ = λ · updates; default 100 (fokker-planck: 1)"),
            CHAINS,
            START,
            ("width", "fokker-planck: the standard deviation of the start; default 0.1"),
            ("points", "fokker-planck: cells; default 2000"),
            SEED,
        ],
    ),
];

const TEMPERATURE: (&str, &str) = ("temperature", "T = lr / batch, such as 0.1; required");
const ALPHA: (&str, &str) = ("alpha", "α, the weight decay; default 0");
const BETA: (&str, &str) = ("beta", "β, the isotropic noise; default 0");
const DATASET: (&str, &str) = ("dataset", "which data set of the seed; default 0");
const DATASETS: (&str, &str) = ("datasets", "data sets that are averaged over; default 1000");
const TEST: (&str, &str) = ("test", "examples in a test set; default as many as in a training set");
const GAUGE: (&str, &str) = (
    "gauge",
    "\"normalised\" (g holds ln Z) or \"reference\" (v and a vanish at one θ); default \"normalised\"",
);
const SEED: (&str, &str) = ("seed", "what decides all draws; default 1");
const LR: (&str, &str) = ("lr", "λ, such as 0.1; T is lr / batch; required");
const BATCH: (&str, &str) = ("batch", "B, drawn with replacement; default 1");
const MOMENTUM: (&str, &str) = ("momentum", "μ of Eq. 16; default 0");
const STEPS: (&str, &str) = ("steps", "updates of each chain; default 10000");
const BURN: (&str, &str) = ("burn", "updates before the statistics begin; default a fifth");
const CHAINS: (&str, &str) = ("chains", "independent chains; default 64");
const START: (&str, &str) = (
    "start",
    "where they start; default the problem's centre: the true parameter, or 0 between the two minima",
);

/// Names the types as scripts see them, and gives scripts the module.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<ProblemHandle>("Problem");
    engine.register_static_module("lab", rhai::exported_module!(functions).into());
    engine.register_global_module(rhai::exported_module!(properties).into());
}

/// The options of a call, of which only those in its list may be given.
struct Given<'a> {
    call: &'static str,
    map: &'a Map,
}

impl<'a> Given<'a> {
    fn new(call: &'static str, map: &'a Map) -> Result<Self> {
        let known = OPTIONS.iter().find(|(name, _)| *name == call).map(|(_, list)| *list).unwrap_or_default();
        known_keys(call, map, known.iter().map(|(name, _)| *name))?;
        Ok(Self { call, map })
    }

    fn number(&self, key: &str, default: f64) -> Result<f64> {
        self.map.get(key).map_or(Ok(default), |value| number(key, value))
    }

    fn required(&self, key: &str) -> Result<f64> {
        let missing = || Error::invalid(format!("{}: the option `{key}` is missing", self.call));
        number(key, self.map.get(key).ok_or_else(missing)?)
    }

    fn optional(&self, key: &str) -> Result<Option<f64>> {
        self.map.get(key).map(|value| number(key, value)).transpose()
    }

    fn count(&self, key: &str, default: usize) -> Result<usize> {
        self.map.get(key).map_or(Ok(default), |value| count(key, value))
    }

    fn seed(&self) -> Result<i64> {
        self.map.get("seed").map_or(Ok(1), |value| integer("seed", value))
    }

    fn gauge(&self) -> Result<Gauge> {
        self.map.get("gauge").map_or(Ok(Gauge::Normalised), |value| choice("gauge", &Gauge::ALL, value))
    }

    fn dynamics(&self) -> Result<Dynamics> {
        Ok(Dynamics {
            temperature: self.required("temperature")?,
            alpha: self.number("alpha", 0.0)?,
            beta: self.number("beta", 0.0)?,
        })
    }

    fn ensemble(&self) -> Result<EnsembleOptions> {
        self.ensemble_at(self.dynamics()?)
    }

    fn ensemble_at(&self, dynamics: Dynamics) -> Result<EnsembleOptions> {
        Ok(EnsembleOptions {
            dynamics,
            datasets: self.count("datasets", 1000)?,
            test: self.map.get("test").map(|value| count("test", value)).transpose()?,
            seed: self.seed()?,
        })
    }

    fn chains(&self) -> Result<ChainOptions> {
        Ok(ChainOptions {
            lr: self.required("lr")?,
            batch: self.count("batch", 1)?,
            alpha: self.number("alpha", 0.0)?,
            beta: self.number("beta", 0.0)?,
            momentum: self.number("momentum", 0.0)?,
            steps: self.count("steps", 10_000)?,
            burn: self.map.get("burn").map(|value| count("burn", value)).transpose()?,
            chains: self.count("chains", 64)?,
            start: self.optional("start")?,
            seed: self.seed()?,
        })
    }
}

/// Rows of a table that a call may make: each cell is kept apart until the table is made.
const MOST_ROWS: usize = 1_000_000;

/// Does work with a problem that an interrupt leaves behind.
fn apart<T: Send + 'static>(
    call: &str,
    problem: &Problem,
    work: impl FnOnce(&Problem) -> Result<T> + Send + 'static,
) -> Result<T> {
    let problem = problem.clone();
    leave_behind(call, move || work(&problem))
}

/// A row: names and values.
type Row = Vec<(String, Cell)>;

/// Options of which some are axes: the rows of every combination, with the axes' values in front. Without an
/// axis the rows alone.
fn over_axes(
    call: &'static str,
    options: &Map,
    axes: &[&str],
    rows: &dyn Fn(&Given) -> Result<Vec<Row>>,
) -> Result<(Vec<Row>, bool)> {
    Given::new(call, options)?;
    let mut product = Axes::new(call, "settings");
    let (mut fixed, mut shown) = (Map::new(), Vec::new());
    for (key, value) in options {
        if !axes.contains(&key.as_str()) {
            fixed.insert(key.clone(), value.clone());
            continue;
        }
        let values = product.add(key, value)?;
        if values.len() > 1 || !value.is_int() && !value.is_float() && !value.is_string() {
            shown.push(key.as_str());
        }
    }
    let settings = product.product((fixed, Row::new()), |(map, row), key, value| {
        map.insert(key.into(), value.clone());
        if shown.contains(&key) {
            row.push((key.to_owned(), Cell::Float(number(key, value).unwrap_or(f64::NAN))));
        }
        Ok(())
    })?;
    let count = settings.len();
    let mut all = Vec::new();
    for (map, front) in settings {
        crate::interrupt::check()?;
        let rows = rows(&Given { call, map: &map })?;
        if rows.len().saturating_mul(count) > MOST_ROWS {
            return Err(Error::invalid(format!(
                "{call}: {count} settings of {} rows each: expected at most {MOST_ROWS} rows; shorten an axis",
                rows.len()
            )));
        }
        for (number, row) in rows.into_iter().enumerate() {
            crate::interrupt::check_at(number)?;
            all.push(front.iter().cloned().chain(row).collect());
        }
    }
    Ok((all, !shown.is_empty()))
}

fn table_of(rows: &[Row]) -> Result<Table> {
    let names: Vec<String> =
        rows.first().map(|row| row.iter().map(|(name, _)| name.clone()).collect()).unwrap_or_default();
    let columns: Vec<Vec<Cell>> =
        (0..names.len()).map(|column| rows.iter().map(|row| row[column].1.clone()).collect()).collect();
    Table::from_cells(&names, &columns)
}

fn columns_of(columns: Vec<(&'static str, Vec<f64>)>) -> Result<Table> {
    let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let cells: Vec<Vec<Cell>> =
        columns.into_iter().map(|(_, values)| values.into_iter().map(Cell::Float).collect()).collect();
    Table::from_cells(&names, &cells)
}

fn dynamic(cell: &Cell) -> Dynamic {
    match cell {
        Cell::Null => Dynamic::UNIT,
        Cell::Bool(value) => (*value).into(),
        Cell::Int(value) => (*value).into(),
        Cell::Float(value) => (*value).into(),
        Cell::Text(value) => value.clone().into(),
    }
}

/// A table where there was an axis; else a map, of numbers for one row and of arrays for several (one per
/// parameter).
fn map_or_table((rows, has_axis): (Vec<Row>, bool)) -> Result<Dynamic> {
    if has_axis {
        return table_of(&rows).map(Dynamic::from);
    }
    let mut map = Map::new();
    for (column, (name, _)) in rows.first().into_iter().flatten().enumerate() {
        let values: Array = rows.iter().map(|row| dynamic(&row[column].1)).collect();
        let value = if let [value] = values.as_slice() { value.clone() } else { values.into() };
        map.insert(name.as_str().into(), value);
    }
    map.remove("parameter");
    Ok(map.into())
}

fn float(value: f64) -> Cell {
    if value.is_nan() { Cell::Null } else { Cell::Float(value) }
}

fn cell(name: &str, value: f64) -> (String, Cell) {
    (name.to_owned(), float(value))
}

fn pair(name: &str, Estimate { value, error }: Estimate) -> [(String, Cell); 2] {
    [cell(name, value), cell(&format!("{name}_error"), error)]
}

fn gap_rows(problem: &Problem, given: &Given) -> Result<Vec<Row>> {
    let options = given.ensemble()?;
    let found = apart(given.call, problem, move |problem| problem.gap(&options))?;
    let none = Estimate { value: f64::NAN, error: f64::NAN };
    let estimates = [
        ("gap", found.gap),
        ("covariance", found.covariance),
        ("bound", found.bound.unwrap_or(none)),
        ("difference", found.difference),
        ("train_loss", found.train_loss),
        ("test_loss", found.test_loss),
    ];
    // What is compared comes first: a table that is too wide hides what is in the middle.
    let mut row: Row = estimates[..3].iter().map(|(name, estimate)| cell(name, estimate.value)).collect();
    row.extend(estimates[..3].iter().map(|(name, estimate)| cell(&format!("{name}_error"), estimate.error)));
    row.extend(estimates[3..].iter().flat_map(|(name, estimate)| pair(name, *estimate)));
    row.push(("datasets".to_owned(), Cell::Int(found.datasets as i64)));
    Ok(vec![row])
}

fn check_rows(problem: &Problem, given: &Given) -> Result<Vec<Row>> {
    let row = |side: Side| {
        let text = |name: &str, text: &str| (name.to_owned(), Cell::Text(text.to_owned()));
        vec![
            text("equation", side.equation),
            cell("left", side.left.value),
            cell("right", side.right.value),
            cell("standard_error", side.difference.error),
            text("verdict", &side.verdict()),
            text("says", side.says),
            cell("difference", side.difference.value),
            text("assumptions", &side.assumptions),
        ]
    };
    let (options, gauge) = (given.ensemble()?, given.gauge()?);
    let sides = apart(given.call, problem, move |problem| problem.check_equations(&options, gauge))?;
    Ok(sides.into_iter().map(row).collect())
}

/// A row per parameter: what was found and what is expected.
fn stationary_rows(found: &Stationary) -> Vec<Row> {
    let of = |known: &Option<(Vec<f64>, Vec<f64>)>, parameter: usize| {
        known.as_ref().map_or([f64::NAN; 2], |(mean, variance)| [mean[parameter], variance[parameter]])
    };
    let row = |parameter: usize| {
        let mut row = vec![("parameter".to_owned(), Cell::Int(parameter as i64 + 1))];
        row.extend(pair("mean", found.mean[parameter]));
        row.extend(pair("variance", found.variance[parameter]));
        row.push(cell("r_hat", found.r_hat[parameter]));
        // Exact where that is known, else of the diffusion.
        let (exact, diffusion) = (of(&found.exact, parameter), of(&found.diffusion, parameter));
        let expected = if found.exact.is_some() { exact } else { diffusion };
        row.push(cell("expected_mean", expected[0]));
        row.push(cell("expected_variance", expected[1]));
        row.push(cell("diffusion_variance", diffusion[1]));
        row
    };
    (0..found.mean.len()).map(row).collect()
}

fn sgd_rows(problem: &Problem, given: &Given) -> Result<Vec<Row>> {
    let options = given.chains()?;
    let temperature = decimal::ratio(options.lr, options.batch as u64);
    let mut rows = stationary_rows(&apart(given.call, problem, move |problem| problem.sgd(&options))?);
    for row in &mut rows {
        row.push(cell("temperature", temperature));
    }
    Ok(rows)
}

fn relaxation_rows(problem: &Problem, given: &Given) -> Result<Vec<Row>> {
    let (temperature, lr) = (given.required("temperature")?, given.required("lr")?);
    let batch = (lr / temperature).round();
    if !(batch >= 1.0 && (batch * temperature / lr - 1.0).abs() < 1e-9) {
        let below = (lr / temperature).floor().max(1.0) as u64;
        return Err(Error::invalid(format!(
            "lr: expected a multiple of the temperature {temperature}, of which the batch is made, found {lr}; the nearest are {} and {}",
            decimal::product(temperature, below),
            decimal::product(temperature, below.saturating_add(1)),
        )));
    }
    let (time, times) = (given.number("time", 5.0)?, given.count("times", 10)?);
    let steps = (time / lr).round();
    if !(steps >= times as f64 && steps < 1e15) {
        return Err(Error::invalid(format!(
            "time: expected at least lr · times = {}, found {time}",
            decimal::product(lr, times as u64)
        )));
    }
    let options = ChainOptions {
        lr,
        batch: batch as usize,
        alpha: given.number("alpha", 0.0)?,
        beta: given.number("beta", 0.0)?,
        momentum: given.number("momentum", 0.0)?,
        steps: steps as usize,
        burn: Some(0),
        chains: given.count("chains", 1024)?,
        start: given.optional("start")?,
        seed: given.seed()?,
    };
    let row = |moment: Moment| {
        let mut row = vec![
            ("batch".to_owned(), Cell::Int(batch as i64)),
            ("steps".to_owned(), Cell::Int(moment.steps as i64)),
            cell("time", decimal::product(lr, moment.steps as u64)),
        ];
        row.extend(pair("mean", moment.mean));
        row.extend(pair("variance", moment.variance));
        row
    };
    let moments = apart(given.call, problem, move |problem| problem.relaxation(&options, times))?;
    Ok(moments.into_iter().map(row).collect())
}

fn langevin_rows(problem: &Problem, given: &Given) -> Result<Vec<Row>> {
    let temperature = given.required("temperature")?;
    let momentum = given.number("momentum", 0.0)?;
    if momentum > 0.0 && !given.map.contains_key("lr") {
        return Err(Error::invalid(
            "lab::diffusion: the option `lr` is missing: with momentum T alone does not say it all",
        ));
    }
    let options = LangevinOptions {
        lr: given.number("lr", temperature)?,
        temperature,
        alpha: given.number("alpha", 0.0)?,
        beta: given.number("beta", 0.0)?,
        momentum,
        form: given.map.get("form").map_or(Ok(Form::Pytorch), |value| choice("form", &Form::ALL, value))?,
        printed: given.map.get("printed").map_or(Ok(false), |value| flag("printed", value))?,
        step: given.number("step", 0.01)?,
        time: given.number("time", 100.0)?,
        chains: given.count("chains", 64)?,
        start: given.optional("start")?,
        seed: given.seed()?,
    };
    apart(given.call, problem, move |problem| problem.langevin(&options)).map(|found| stationary_rows(&found))
}

/// Refuses options of lab::diffusion that only the other method has.
fn only_of_method(options: &Map, is_density: bool) -> Result<()> {
    const OF_LANGEVIN: &[&str] = &["momentum", "lr", "form", "printed", "chains"];
    const OF_FOKKER_PLANCK: &[&str] = &["width", "points"];
    let (method, others) =
        if is_density { ("fokker-planck", OF_LANGEVIN) } else { ("langevin", OF_FOKKER_PLANCK) };
    match others.iter().find(|name| options.contains_key(**name)) {
        Some(name) => Err(Error::invalid(format!(
            "lab::diffusion: method \"{method}\" has no use for `{name}`; leave it out, or write the other method"
        ))),
        None => Ok(()),
    }
}

fn fokker_planck(problem: &Problem, given: &Given) -> Result<Table> {
    let time = given.number("time", 1.0)?;
    let options = FokkerPlanckOptions {
        dynamics: given.dynamics()?,
        start: given.number("start", problem.centre())?,
        width: given.number("width", 0.1)?,
        time,
        steps: (time / given.number("step", 0.001)?).round().clamp(4.0, 1e6) as usize,
        points: given.count("points", 2000)?,
        seed: given.seed()?,
    };
    let found = apart(given.call, problem, move |problem| problem.fokker_planck(&options))?;
    let points = found.theta.len();
    columns_of(vec![
        ("theta", found.theta),
        ("start", found.start),
        ("density", found.density),
        ("stationary", found.stationary),
        ("mass_error", vec![found.mass_error; points]),
    ])
}

fn optimum(problem: &Problem, given: &Given) -> Result<Map> {
    let dynamics = Dynamics {
        temperature: given.required("from")?,
        alpha: given.number("alpha", 0.0)?,
        beta: given.number("beta", 0.0)?,
    };
    let options = given.ensemble_at(dynamics)?;
    let (from, to) = (given.required("from")?, given.required("to")?);
    let points = given.count("points", 25)?;
    let found = apart(given.call, problem, move |problem| problem.optimum(&options, from, to, points))?;
    let mut map = Map::from_iter([("says".into(), found.says().into())]);
    for (name, estimate) in
        [("measured", found.measured), ("predicted", found.predicted), ("approximate", found.approximate)]
    {
        let (value, error) = estimate.map_or((Dynamic::UNIT, Dynamic::UNIT), |estimate| {
            (estimate.value.into(), estimate.error.into())
        });
        map.insert(name.into(), value);
        map.insert(format!("{name}_error").into(), error);
    }
    let columns = columns_of(vec![
        ("temperature", found.temperatures),
        ("test_loss", found.test_loss.iter().map(|one| one.value).collect()),
        ("test_loss_error", found.test_loss.iter().map(|one| one.error).collect()),
        ("right_side", found.right_side.iter().map(|sides| sides[0]).collect()),
        ("right_side_approximate", found.right_side.iter().map(|sides| sides[1]).collect()),
    ])?;
    map.insert("table".into(), Dynamic::from(columns));
    Ok(map)
}

fn made(problem: Problem) -> Result<ProblemHandle> {
    problem.check()?;
    Ok(Rc::new(problem))
}

/// Properties and texts of a problem.
#[export_module]
mod properties {
    /// Examples in a training set.
    #[rhai_fn(get = "n", pure)]
    pub fn n(problem: &mut ProblemHandle) -> i64 {
        problem.n() as i64
    }

    /// Parameters.
    #[rhai_fn(get = "dim", pure)]
    pub fn dim(problem: &mut ProblemHandle) -> i64 {
        problem.dim() as i64
    }

    /// A problem in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn problem_to_string(problem: &mut ProblemHandle) -> String {
        problem.label()
    }
}

#[export_module]
mod functions {
    /// The mean of a normal law, l = ½(θ − x)²: everything has a closed form, and the gap is σ²/n at every T and β where α = 0.
    ///
    /// ```
    /// lab::gap(lab::gaussian_mean(#{ mean: 0, sigma: 1, n: 20 }), #{ temperature: 0.1 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn gaussian_mean(context: NativeCallContext, options: Map) -> Scripted<ProblemHandle> {
        let make = || {
            let given = Given::new("lab::gaussian_mean", &options)?;
            let default = GaussianMean::default();
            made(Problem::GaussianMean(GaussianMean {
                mean: given.number("mean", default.mean)?,
                sigma: given.number("sigma", default.sigma)?,
                n: given.count("n", default.n)?,
            }))
        };
        make().map_err(|error| at(&context, error))
    }

    /// Linear regression, l = ½(y − x·θ)², with noise D that is quadratic in θ; the stationary moments solve linear equations.
    ///
    /// ```
    /// let problem = lab::linear_regression(#{ n: 50, dim: 3, noise: 1 });
    /// lab::sgd(problem, #{ lr: 0.05, batch: 2 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn linear_regression(context: NativeCallContext, options: Map) -> Scripted<ProblemHandle> {
        let make = || {
            let given = Given::new("lab::linear_regression", &options)?;
            let default = LinearRegression::default();
            made(Problem::LinearRegression(LinearRegression {
                n: given.count("n", default.n)?,
                dim: given.count("dim", default.dim)?,
                noise: given.number("noise", default.noise)?,
                weight: given.number("weight", default.weight)?,
                spread: given.number("spread", default.spread)?,
            }))
        };
        make().map_err(|error| at(&context, error))
    }

    /// Two minima, l = ¼(θ² − 1)² + xθ: the noise is the same everywhere, the better minimum depends on the training set.
    ///
    /// ```
    /// let problem = lab::double_well(#{ tilt: 0.1, sigma: 1, n: 50 });
    /// plot(lab::density(problem, #{ temperature: 0.2 })).x("theta").y("density").show()
    /// ```
    #[rhai_fn(return_raw)]
    pub fn double_well(context: NativeCallContext, options: Map) -> Scripted<ProblemHandle> {
        let make = || {
            let given = Given::new("lab::double_well", &options)?;
            let default = DoubleWell::default();
            made(Problem::DoubleWell(DoubleWell {
                tilt: given.number("tilt", default.tilt)?,
                sigma: given.number("sigma", default.sigma)?,
                n: given.count("n", default.n)?,
            }))
        };
        make().map_err(|error| at(&context, error))
    }

    /// Logistic regression with one weight, l = ln(1 + e^(−yθx)): the noise depends on θ.
    ///
    /// ```
    /// lab::check(lab::logistic(#{ n: 50 }), #{ temperature: 0.1, datasets: 200 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn logistic(context: NativeCallContext, options: Map) -> Scripted<ProblemHandle> {
        let make = || {
            let given = Given::new("lab::logistic", &options)?;
            let default = Logistic::default();
            made(Problem::Logistic(Logistic {
                slope: given.number("slope", default.slope)?,
                n: given.count("n", default.n)?,
            }))
        };
        make().map_err(|error| at(&context, error))
    }

    /// A minimum that only training sets have, l = ½θ² + x e^(−(θ − 1)²/2w²): noise drives SGD out of it, so that the gap falls with T
    /// and the test loss has a best temperature. Needs beta > 0.
    ///
    /// ```
    /// lab::optimum(lab::spurious_minimum(#{}), #{ from: 0.02, to: 1, points: 9, datasets: 200, beta: 0.5 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn spurious_minimum(context: NativeCallContext, options: Map) -> Scripted<ProblemHandle> {
        let make = || {
            let given = Given::new("lab::spurious_minimum", &options)?;
            let default = SpuriousMinimum::default();
            made(Problem::SpuriousMinimum(SpuriousMinimum {
                width: given.number("width", default.width)?,
                mean: given.number("mean", default.mean)?,
                sigma: given.number("sigma", default.sigma)?,
                n: given.count("n", default.n)?,
            }))
        };
        make().map_err(|error| at(&context, error))
    }

    /// A training set or the test set that goes with it, an example per row: x, or x and y, or what alone matters of them, yx. Arrays of
    /// dataset and seed are axes.
    ///
    /// ```
    /// lab::data(lab::linear_regression(#{ n: 5 }), #{ dataset: [0, 1] })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn data(context: NativeCallContext, problem: ProblemHandle, options: Map) -> Scripted<Table> {
        let rows = |given: &Given| {
            let set = given
                .map
                .get("set")
                .map_or(Ok(DataSet::Train), |value| choice("set", &DataSet::ALL, value))?;
            let (seed, dataset) = (given.seed()?, given.count("dataset", 0)? as u64);
            let columns = apart(given.call, &problem, move |problem| problem.data(seed, dataset, set))?;
            let row = |row: usize| columns.iter().map(|(name, values)| cell(name, values[row])).collect();
            Ok((0..problem.n()).map(row).collect())
        };
        let make = || table_of(&over_axes("lab::data", &options, &["dataset", "seed"], &rows)?.0);
        make().map_err(|error| at(&context, error))
    }

    /// Eq. 18 on one training set, a row per θ: train loss, gradient, noise D, v, a (Eqs. 19 and 20, 0 near the minimum of the
    /// population loss) and the density ρ(θ|x). Arrays of temperature and dataset are axes.
    ///
    /// ```
    /// let densities = lab::density(lab::double_well(#{}), #{ temperature: [0.05, 0.2, 0.8] });
    /// plot(densities).x("theta").y("density").color("temperature").show()
    /// ```
    #[rhai_fn(return_raw)]
    pub fn density(context: NativeCallContext, problem: ProblemHandle, options: Map) -> Scripted<Table> {
        let rows = |given: &Given| {
            let (dynamics, seed) = (given.dynamics()?, given.seed()?);
            let dataset = given.count("dataset", 0)? as u64;
            let columns =
                apart(given.call, &problem, move |problem| problem.density(&dynamics, seed, dataset))?;
            let row = |row: usize| columns.iter().map(|(name, values)| cell(name, values[row])).collect();
            Ok((0..columns[0].1.len()).map(row).collect())
        };
        let make = || table_of(&over_axes("lab::density", &options, &["temperature", "dataset"], &rows)?.0);
        make().map_err(|error| at(&context, error))
    }

    /// Averages over data sets, a row per θ: ρ̄ (`mean_density`), its log-normal approximation (Eq. 10), the population loss, means and
    /// standard deviations over data sets, and Cov_D(ρ, U) (`covariance`), whose integral is minus the gap. An array of temperatures is
    /// an axis.
    ///
    /// ```
    /// let table = lab::ensemble(lab::double_well(#{}), #{ temperature: 0.2, datasets: 200 });
    /// plot(table).x("theta").y("mean_density").show()
    /// ```
    #[rhai_fn(return_raw)]
    pub fn ensemble(context: NativeCallContext, problem: ProblemHandle, options: Map) -> Scripted<Table> {
        let rows = |given: &Given| {
            let (options, gauge) = (given.ensemble()?, given.gauge()?);
            let columns = apart(given.call, &problem, move |problem| problem.ensemble(&options, gauge))?;
            let row = |row: usize| columns.iter().map(|(name, values)| cell(name, values[row])).collect();
            Ok((0..columns[0].1.len()).map(row).collect())
        };
        let make = || table_of(&over_axes("lab::ensemble", &options, &["temperature"], &rows)?.0);
        make().map_err(|error| at(&context, error))
    }

    /// The gap of a problem, averaged over data sets: `gap` measured, `covariance` = −∫Cov(ρ, U)dθ (Eq. 6), their `difference`, the
    /// `bound` of Eq. 7, `train_loss` and `test_loss`, each with its standard error. Arrays of temperature, alpha, beta and datasets are axes: then it
    /// is a table. All settings share their data sets, so their errors go together.
    ///
    /// ```
    /// let gaps = lab::gap(lab::logistic(#{ n: 50 }), #{ temperature: [0.05, 0.2, 0.8], datasets: 200 });
    /// print(gaps);
    /// plot(gaps).x("temperature").y("gap").log_x().show()
    /// ```
    #[rhai_fn(return_raw)]
    pub fn gap(context: NativeCallContext, problem: ProblemHandle, options: Map) -> Scripted<Dynamic> {
        let axes = ["temperature", "alpha", "beta", "datasets"];
        over_axes("lab::gap", &options, &axes, &|given| gap_rows(&problem, given))
            .and_then(map_or_table)
            .map_err(|error| at(&context, error))
    }

    /// Every equation of the paper's section 2 and of its Appendices A, C and D on a problem: `left` and `right` side, their
    /// `difference` and its standard error, a `verdict`, and where its `assumptions` fail. Identities are *equal* within five standard
    /// errors or *differ*, bounds *hold* or *fail*, approximations *agree within their error* (two standard errors), are *off by x %* or *fail*; what
    /// is infinite or has no finite error is *not defined* or *not decided*. Rows with a prime have a slip of the paper mended (docs/theory.md).
    /// Arrays of temperature, alpha and beta are axes. With several parameters: Eqs. 3, 4, 6 and 35.
    ///
    /// ```
    /// let rows = lab::check(lab::gaussian_mean(#{}), #{ temperature: 0.1, datasets: 200 });
    /// rows.select(["equation", "says", "left", "right", "verdict"])
    /// ```
    #[rhai_fn(return_raw)]
    pub fn check(context: NativeCallContext, problem: ProblemHandle, options: Map) -> Scripted<Table> {
        let axes = ["temperature", "alpha", "beta"];
        over_axes("lab::check", &options, &axes, &|given| check_rows(&problem, given))
            .and_then(|(rows, _)| table_of(&rows))
            .map_err(|error| at(&context, error))
    }

    /// The best temperature: where the test loss is smallest (`measured`), where Eq. 26 holds (`predicted`), and where it does without
    /// σ_va (`approximate`), with standard errors, () where it is not within the range; `says` tells it in words, `table` has the test
    /// loss at each temperature.
    ///
    /// ```
    /// lab::optimum(lab::double_well(#{ tilt: 0.1 }), #{ from: 0.02, to: 2, points: 9, datasets: 200 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn optimum(context: NativeCallContext, problem: ProblemHandle, options: Map) -> Scripted<Map> {
        let make = || super::optimum(&problem, &Given::new("lab::optimum", &options)?);
        make().map_err(|error| at(&context, error))
    }

    /// SGD itself (Eqs. 15 and 16) on one training set, many chains at once: `mean` and `variance` of θ with standard errors from
    /// the chains, `expected_variance` (exact where the loss is quadratic, else Eq. 18's) and `diffusion_variance`. With several
    /// parameters arrays. `r_hat` above 1.1: the chains have not mixed (too few steps, or two minima). With momentum the diffusion needs
    /// λ ≪ (1 − μ)². Arrays of lr, batch, alpha, beta and momentum are axes: then it is a table.
    ///
    /// ```
    /// lab::sgd(lab::gaussian_mean(#{}), #{ lr: [0.01, 0.1, 0.5], batch: 1, alpha: 0.1 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn sgd(context: NativeCallContext, problem: ProblemHandle, options: Map) -> Scripted<Dynamic> {
        let axes = ["lr", "batch", "alpha", "beta", "momentum"];
        over_axes("lab::sgd", &options, &axes, &|given| sgd_rows(&problem, given))
            .and_then(map_or_table)
            .map_err(|error| at(&context, error))
    }

    /// How often SGD was in each bin of θ, as a density, beside Eq. 18 (`stationary`).
    ///
    /// ```
    /// let bins = lab::histogram(lab::double_well(#{}), #{ lr: 0.1, low: -2, high: 2, steps: 20000 });
    /// plot(bins).x("theta").y("density").show()
    /// ```
    #[rhai_fn(return_raw)]
    pub fn histogram(context: NativeCallContext, problem: ProblemHandle, options: Map) -> Scripted<Table> {
        let make = || {
            let given = Given::new("lab::histogram", &options)?;
            let (low, high) = (given.required("low")?, given.required("high")?);
            let (options, bins) = (given.chains()?, given.count("bins", 60)?);
            let [theta, density, stationary] =
                apart(given.call, &problem, move |problem| problem.histogram(&options, low, high, bins))?;
            columns_of(vec![("theta", theta), ("density", density), ("stationary", stationary)])
        };
        make().map_err(|error| at(&context, error))
    }

    /// Runs of one temperature with different learning rates in the time t′ = λ · updates (Appendix B): mean and variance of θ over
    /// chains that all start at one place. Plain SGD agrees at equal t′, SGD with momentum does not. Times are rounded to whole updates.
    ///
    /// ```
    /// lab::relaxation(lab::double_well(#{}), #{ temperature: 0.01, lr: [0.01, 0.04], start: 0.5, time: 2, times: 4 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn relaxation(context: NativeCallContext, problem: ProblemHandle, options: Map) -> Scripted<Table> {
        over_axes("lab::relaxation", &options, &["lr", "temperature", "momentum"], &|given| {
            relaxation_rows(&problem, given)
        })
        .and_then(|(rows, _)| table_of(&rows))
        .map_err(|error| at(&context, error))
    }

    /// The diffusions of SGD on one training set: Langevin's equations 17, 44 and 46 in the time t′ = λt by Euler and Maruyama's
    /// steps (a map as of lab::sgd; an array of `step` shows the scheme's error), or the Fokker-Planck equation 47 from a normal start
    /// (a table of θ: start, density, Eq. 18).
    ///
    /// ```
    /// let problem = lab::gaussian_mean(#{});
    /// print(lab::diffusion(problem, #{ temperature: 0.1, step: [0.4, 0.2, 0.1] }));
    /// lab::diffusion(problem, #{ method: "fokker-planck", temperature: 0.1, start: 1, time: 0.5 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn diffusion(context: NativeCallContext, problem: ProblemHandle, options: Map) -> Scripted<Dynamic> {
        const METHODS: [(&str, bool); 2] = [("langevin", false), ("fokker-planck", true)];
        let make = || {
            let given = Given::new("lab::diffusion", &options)?;
            let is_density =
                given.map.get("method").map_or(Ok(false), |value| choice("method", &METHODS, value))?;
            super::only_of_method(&options, is_density)?;
            if is_density {
                return super::fokker_planck(&problem, &given).map(Dynamic::from);
            }
            let axes = ["temperature", "step", "momentum", "lr"];
            over_axes("lab::diffusion", &options, &axes, &|given| langevin_rows(&problem, given))
                .and_then(map_or_table)
        };
        make().map_err(|error| at(&context, error))
    }
}
