//! The diffusions of SGD, by paths (`langevin.rs`) or by their density (`fokker_planck.rs`).

use super::Problem;
use super::chains::{CHAINS, LR, MOMENTUM, START};
use super::dynamics::{ALPHA, BETA, Dynamics, TEMPERATURE};
use super::fokker_planck::FokkerPlanckOptions;
use super::function::{LabFunction, LabRow, LabValue, SEED, rows_of};
use super::langevin::LangevinOptions;
use crate::error::{Error, Result};
use crate::optim::Form;
use crate::options::{Bounds, DefaultValue, Given, Kind, Opt};
use crate::table::Cell;

pub(super) const ENTRY: LabFunction = LabFunction {
    name: "lab::diffusion",
    returns: "any",
    doc: "The diffusions of SGD on one training set: Langevin's equations 17, 44 and 46 in the time t′ = λt by Euler \
          and Maruyama's steps (a map as of lab::sgd; an array of `step` shows the scheme's error), or the \
          Fokker-Planck equation 47 from a normal start (a table of θ: start, density, Eq. 18).",
    example: r#"let problem = lab::gaussian_mean(#{});
print(lab::diffusion(problem, #{ temperature: 0.1, step: [0.4, 0.2, 0.1] }));
lab::diffusion(problem, #{ method: "fokker-planck", temperature: 0.1, start: 1, time: 0.5 })"#,
    options: &[
        Opt::new(
            "method",
            Kind::Choice(&[("langevin", "a map"), (FOKKER_PLANCK, "a table")]),
            DefaultValue::Text("langevin"),
            "how it is solved",
        ),
        TEMPERATURE.axis(),
        ALPHA,
        BETA,
        Opt { doc: "μ of Eqs. 44 and 46, which need lr; 0 is Eq. 17", ..MOMENTUM.axis() },
        Opt { doc: "λ, which momentum knows apart from T", ..LR.axis().or(DefaultValue::Absent("T")) },
        Opt::new(
            "form",
            Kind::Choice(&[("pytorch", "Eq. 44"), ("sutskever", "Eq. 46")]),
            DefaultValue::Text("pytorch"),
            "how momentum is written",
        ),
        Opt::new(
            "printed",
            Kind::Flag,
            DefaultValue::Flag(false),
            "whether Eq. 44 has the sign of its noise as printed",
        ),
        Opt::new(
            "step",
            Kind::Number(Bounds::POSITIVE),
            DefaultValue::Absent("0.01; fokker-planck: 0.001"),
            "the step of t′",
        )
        .axis(),
        Opt::new(
            "time",
            Kind::Number(Bounds::POSITIVE),
            DefaultValue::Absent("100; fokker-planck: 1"),
            "how long, in t′ = λ · updates",
        ),
        CHAINS,
        START,
        Opt::new(
            "width",
            Kind::Number(Bounds::POSITIVE),
            DefaultValue::Number(0.1),
            "fokker-planck: the standard deviation of the start",
        ),
        Opt::new("points", Kind::Integer(10, 1_000_000), DefaultValue::Integer(2000), "fokker-planck: cells"),
        SEED,
    ],
    call: |problem, given| {
        let is_density = given.text("method")? == FOKKER_PLANCK;
        only_of_method(given, is_density)?;
        match is_density {
            true => fokker_planck(problem, given).map(LabValue::Table),
            false => langevin(problem, given).map(LabValue::Numbers),
        }
    },
};

const FOKKER_PLANCK: &str = "fokker-planck";

/// Refuses options that only the other method has.
fn only_of_method(given: &Given, is_density: bool) -> Result<()> {
    const OF_LANGEVIN: &[&str] = &["momentum", "lr", "form", "printed", "chains"];
    const OF_FOKKER_PLANCK: &[&str] = &["width", "points"];
    let (method, others) =
        if is_density { (FOKKER_PLANCK, OF_LANGEVIN) } else { ("langevin", OF_FOKKER_PLANCK) };
    match others.iter().find(|name| given.has(name)) {
        Some(name) => Err(Error::invalid(format!(
            "lab::diffusion: method \"{method}\" has no use for `{name}`; leave it out, or write the other method"
        ))),
        None => Ok(()),
    }
}

fn langevin(problem: &Problem, given: &Given) -> Result<Vec<LabRow>> {
    let temperature = given.number("temperature")?;
    let momentum = given.number("momentum")?;
    if momentum > 0.0 && !given.has("lr") {
        return Err(Error::invalid(
            "lab::diffusion: the option `lr` is missing: with momentum T alone does not say it all",
        ));
    }
    let options = LangevinOptions {
        lr: given.given_number("lr")?.unwrap_or(temperature),
        temperature,
        alpha: given.number("alpha")?,
        beta: given.number("beta")?,
        momentum,
        form: given.choice("form", &Form::ALL)?,
        printed: given.flag("printed")?,
        step: given.given_number("step")?.unwrap_or(0.01),
        time: given.given_number("time")?.unwrap_or(100.0),
        chains: given.count("chains")?,
        start: given.given_number("start")?,
        seed: given.integer("seed")?,
    };
    Ok(problem.langevin(&options)?.rows())
}

fn fokker_planck(problem: &Problem, given: &Given) -> Result<Vec<LabRow>> {
    let time = given.given_number("time")?.unwrap_or(1.0);
    let options = FokkerPlanckOptions {
        dynamics: Dynamics::read(given)?,
        start: given.given_number("start")?.unwrap_or(problem.centre()),
        width: given.number("width")?,
        time,
        steps: (time / given.given_number("step")?.unwrap_or(0.001)).round().clamp(4.0, 1e6) as usize,
        points: given.count("points")?,
        seed: given.integer("seed")?,
    };
    let found = problem.fokker_planck(&options)?;
    let points = found.theta.len();
    let columns = vec![
        ("theta", found.theta),
        ("start", found.start),
        ("density", found.density),
        ("stationary", found.stationary),
        ("mass_error", vec![found.mass_error; points]),
    ];
    Ok(rows_of(columns, Cell::Float))
}
