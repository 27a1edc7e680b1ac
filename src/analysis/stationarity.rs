//! Whether a run is at rest: the stationarity relations of Appendix A on what was measured along
//! it.
//!
//! At the stationary law of SGD's diffusion Eq. 33 is zero for every φ. With T = λ / B and averages
//! over epochs:
//!
//! - Eq. 34, φ = r·θ: ⟨r·(∂U_ℓ + αθ)⟩ = 0
//! - Eqs. 34 and 35, φ = ½|θ|²: ⟨θ·(∂U_ℓ + αθ)⟩ = ½T ⟨Tr D + β²p⟩, fluctuation and dissipation
//! - the same for SGD itself at any λ, without the diffusion (Yaida 2018): ½λ ⟨|∂U_ℓ + αθ|² + Tr D
//!   / B⟩ + ½Tβ²p on the right
//! - Eq. 36, φ = U_ℓ: ⟨|∂U_ℓ|² + αθ·∂U_ℓ⟩ = ½T ⟨Tr H(D + β²)⟩
//! - Eq. 37, φ = U_e: ⟨∂U_e·∂U_ℓ + αθ·∂U_e⟩ = ½T ⟨Tr H_e(D + β²)⟩
//!
//! Away from rest the second line says how fast |θ|² changes, which is compared with how fast it
//! did (Eq. 33).

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::function::{Analysis, TableFunction, table_of};
use super::runs::by_run;
use crate::error::{Error, Result};
use crate::options::{Bounds, DefaultValue, Kind, Opt};
use crate::table::{Cell, Table};

pub(super) const ENTRY: TableFunction = TableFunction {
    name: "stationarity",
    table: "epochs",
    returns: "Table",
    doc: "Whether runs are at rest, by the stationarity relations of Appendix A (Eqs. 33 to 37) on what was \
          measured along them: both sides averaged over the measured epochs of the last half (five at least), \
          with standard errors, and a `verdict`: at rest, moving or undecided; of Eq. 33, how fast |θ|² changes, \
          equal or differs. Train with `measure: [\"gradient\", \"hessian\"]`; the relations are plain SGD's with \
          a constant schedule and order: \"replacement\", and `note` says where that is not so.",
    example: r#"let runs = sweep(#{
    data: digits().take(200), model: linear(), optimizer: sgd(#{ weight_decay: 0.1 }), order: "replacement",
    lr: [0.05, 0.1], batch: 10, epochs: 30, measure: #{ what: ["gradient", "hessian"], every: 1 },
}).run("results/demo");
stationarity(runs).select(["temperature", "equation", "left", "right", "residual_error", "verdict"])"#,
    doc_with_options: "The same over another part of the runs: last, a share of them.",
    options: &[Opt::new(
        "last",
        Kind::Number(Bounds { low: 0.0, above: true, high: 1.0, below: false }),
        DefaultValue::Number(0.5),
        "the share of a run whose measured epochs are averaged",
    )],
    call: |epochs, given| stationarity(epochs, given.number("last")?).map(Analysis::Table),
};

/// Measured epochs of which an average and its error are made, at least.
const MIN_EPOCHS: usize = 5;

/// How often sides that agree may be called apart.
const LEVEL: f64 = 0.003;

/// A difference that is a smaller share of the sides is none.
const SMALL: f64 = 0.1;

/// An interval that is a larger share of the sides decides nothing.
const COARSE: f64 = 0.3;

/// A mean over time.
struct TimeMean {
    value: f64,
    /// Its standard error.
    error: f64,
    /// How far it must be from another number to differ from it at [`LEVEL`].
    apart: f64,
    /// Half of its 95 % interval.
    interval: f64,
}

impl TimeMean {
    /// Of a difference of sides of a size: whether they agree, differ, or neither is known.
    fn verdict(&self, size: f64, [same, differs]: [&'static str; 2]) -> &'static str {
        match () {
            () if !self.error.is_finite() => "not measured",
            () if self.value.abs() > self.apart.max(SMALL * size) => differs,
            () if self.interval < COARSE * size => same,
            () => "undecided",
        }
    }
}

/// Mean of values in the order of time by the method of batch means: neighbours are correlated,
/// means of long stretches hardly. Few stretches, because slow motion under the noise of the
/// measurements is not seen in the correlation of neighbours.
fn mean_in_time(values: &[f64]) -> TimeMean {
    let n = values.len();
    let batches = match n {
        0..15 => 3,
        15..60 => 4,
        _ => 5,
    };
    let bound = |batch: usize| batch * n / batches;
    let means: Vec<f64> = (0..batches)
        .map(|batch| {
            let part = &values[bound(batch)..bound(batch + 1)];
            part.iter().sum::<f64>() / part.len() as f64
        })
        .collect();
    let value = values.iter().sum::<f64>() / n as f64;
    let m = batches as f64;
    let centre = means.iter().sum::<f64>() / m;
    let variance = means.iter().map(|mean| (mean - centre).powi(2)).sum::<f64>() / (m - 1.0);
    let error = (variance / m).sqrt();
    let half = |level: f64| {
        StudentsT::new(0.0, 1.0, m - 1.0).map_or(f64::NAN, |t| error * t.inverse_cdf(1.0 - 0.5 * level))
    };
    TimeMean { value, error, apart: half(LEVEL), interval: half(0.05) }
}

/// One relation at one epoch: left and right side.
type Relation = fn(&MeasuredRow) -> [f64; 2];

/// What a row of the epochs table says.
struct MeasuredRow<'a> {
    columns: &'a [(&'static str, Vec<f64>)],
    row: usize,
}

impl MeasuredRow<'_> {
    fn get(&self, name: &str) -> f64 {
        self.columns.iter().find(|(known, _)| *known == name).map_or(f64::NAN, |(_, values)| values[self.row])
    }

    fn temperature(&self) -> f64 {
        self.get("lr_now") / self.get("batch")
    }

    fn isotropic(&self) -> f64 {
        self.get("noise").powi(2)
    }

    /// θ·(∂U + αθ).
    fn dissipation(&self) -> f64 {
        self.get("theta_grad") + self.get("weight_decay") * self.get("theta_norm2")
    }

    /// ½λ(|∂U + αθ|² + Tr D / B) + ½Tβ²p.
    fn fluctuation(&self) -> f64 {
        let alpha = self.get("weight_decay");
        let drift = self.get("grad_norm2")
            + 2.0 * alpha * self.get("theta_grad")
            + alpha * alpha * self.get("theta_norm2");
        0.5 * self.get("lr_now") * (drift + self.get("noise_trace") / self.get("batch"))
            + 0.5 * self.temperature() * self.isotropic() * self.get("parameters")
    }
}

const NEEDED: [&str; 17] = [
    "epoch",
    "steps",
    "lr_now",
    "batch",
    "weight_decay",
    "noise",
    "parameters",
    "grad_norm2",
    "theta_norm2",
    "theta_grad",
    "drift_along",
    "noise_trace",
    "test_grad_dot",
    "theta_test_grad",
    "hessian_trace",
    "hessian_noise",
    "test_hessian_noise",
];

const RELATIONS: [(&str, &str, Relation); 5] = [
    ("34", "r·(∂U + αθ) and 0", |at| [at.get("drift_along"), 0.0]),
    ("35", "θ·(∂U + αθ) and ½T Tr(D + β²)", |at| {
        let noise = at.get("noise_trace") + at.isotropic() * at.get("parameters");
        [at.dissipation(), 0.5 * at.temperature() * noise]
    }),
    ("35, SGD itself", "θ·(∂U + αθ) and ½λ⟨|g + αθ|²⟩ + ½Tβ²p", |at| {
        [at.dissipation(), at.fluctuation()]
    }),
    ("36", "|∂U|² + αθ·∂U and ½T Tr H(D + β²)", |at| {
        let left = at.get("grad_norm2") + at.get("weight_decay") * at.get("theta_grad");
        let curved = at.get("hessian_noise") + at.isotropic() * zero_if_unused(at, "hessian_trace");
        [left, 0.5 * at.temperature() * curved]
    }),
    ("37", "∂U_e·∂U + αθ·∂U_e and ½T Tr H_e(D + β²)", |at| {
        let left = at.get("test_grad_dot") + at.get("weight_decay") * at.get("theta_test_grad");
        let curved = at.get("test_hessian_noise") + at.isotropic() * zero_if_unused(at, "test_hessian_trace");
        [left, 0.5 * at.temperature() * curved]
    }),
];

fn zero_if_unused(at: &MeasuredRow, name: &str) -> f64 {
    if at.isotropic() == 0.0 { 0.0 } else { at.get(name) }
}

/// The relations of each run, a row each, averaged over the measured epochs of the last `share` of
/// it.
///
/// `verdict` is *moving* where the sides differ by more than chance (0.3 %, Student's t of the
/// means of three to five stretches) and by more than a tenth, *at rest* where they do not and the
/// 95 % interval is narrower than three tenths of them, else *undecided*. Eq. 34 along one
/// direction has no size: where it is not moving, it is *undecided*. Of Eq. 33 the sides are the
/// measured and the expected change of ½|θ|² per update: *equal*, *differs* or *undecided*. With
/// momentum, a schedule or another optimizer the relations are not those of the algorithm: `note`
/// says so.
///
/// # Errors
///
/// Where the table has no measured columns, or a run has fewer than five measured epochs there.
pub fn stationarity(epochs: &Table, share: f64) -> Result<Table> {
    if !(share > 0.0 && share <= 1.0) {
        return Err(Error::invalid(format!(
            "stationarity: last is {share}, expected a share of the run above 0, at most 1"
        )));
    }
    let known = epochs.columns();
    if !known.contains(&"grad_norm2") {
        return Err(Error::invalid(
            "stationarity: the table has no measured columns; train with measure: [\"gradient\", \"hessian\"]",
        ));
    }
    let more = ["test_hessian_trace", "temperature", "momentum", "lr"];
    let columns: Vec<(&'static str, Vec<f64>)> =
        NEEDED.into_iter().chain(more).map(|name| Ok((name, epochs.floats(name)?))).collect::<Result<_>>()?;
    let at = |row: usize| MeasuredRow { columns: &columns, row };
    let (ids, optimizers) = (epochs.strings("run_id")?, epochs.strings("optimizer")?);
    let (schedules, orders) = (epochs.strings("schedule")?, epochs.strings("order")?);
    let mut rows = Vec::new();
    for run in by_run(epochs)? {
        let end = at(run[run.len() - 1]).get("epoch");
        let measured: Vec<usize> = run
            .into_iter()
            .filter(|&row| at(row).get("epoch") > (1.0 - share) * end && !at(row).get("grad_norm2").is_nan())
            .collect();
        if measured.len() < MIN_EPOCHS {
            return Err(Error::invalid(format!(
                "stationarity: {} measured epochs in the last {share} of the run {}, expected at least {MIN_EPOCHS}; train longer, or measure \
                 more often: measure: #{{what: [\"gradient\", \"hessian\"], every: 1}}",
                measured.len(),
                measured.first().map_or("", |&row| ids[row].as_str()),
            )));
        }
        let first = measured[0];
        let note = note(&optimizers[first], &schedules[first], &orders[first]);
        for compared in compared(&columns, &measured) {
            let side = |k: usize| compared.sides.iter().map(|sides| sides[k]).collect::<Vec<_>>();
            let (left, right) = (mean_in_time(&side(0)), mean_in_time(&side(1)));
            let apart: Vec<f64> = compared.sides.iter().map(|[left, right]| left - right).collect();
            let apart = mean_in_time(&apart);
            let size = if compared.has_size { left.value.abs().max(right.value.abs()) } else { 0.0 };
            rows.push([
                Cell::Text(ids[first].clone()),
                Cell::number(at(first).get("temperature")),
                Cell::number(at(first).get("lr")),
                Cell::Int(at(first).get("batch") as i64),
                Cell::Text(compared.equation.to_owned()),
                Cell::Text(compared.says.to_owned()),
                Cell::number(left.value),
                Cell::number(left.error),
                Cell::number(right.value),
                Cell::number(right.error),
                Cell::number(apart.value),
                Cell::number(apart.error),
                Cell::Text(apart.verdict(size, compared.verdicts).to_owned()),
                Cell::Int(compared.sides.len() as i64),
                Cell::Text(note.clone()),
            ]);
        }
    }
    table_of(NAMES, rows)
}

const NAMES: [&str; 15] = [
    "run_id",
    "temperature",
    "lr",
    "batch",
    "equation",
    "says",
    "left",
    "left_error",
    "right",
    "right_error",
    "residual",
    "residual_error",
    "verdict",
    "measured",
    "note",
];

/// Why the relations are not those of a run's algorithm; empty where they are.
fn note(optimizer: &str, schedule: &str, order: &str) -> String {
    let mut notes = Vec::new();
    if optimizer != "sgd" {
        notes.push(format!("the relations are plain SGD's, not {optimizer}'s"));
    }
    if schedule != "constant" {
        notes.push("λ changes with the schedule".to_owned());
    }
    if order != "replacement" {
        notes.push(format!("Eq. 15 draws with replacement; batches were {order}"));
    }
    notes.join("; ")
}

/// Two sides along a run.
struct Compared {
    equation: &'static str,
    says: &'static str,
    /// Left and right, in the order of time.
    sides: Vec<[f64; 2]>,
    /// Whether the sides have a size by which their difference is judged.
    has_size: bool,
    /// What is said of sides that agree, and of those that do not.
    verdicts: [&'static str; 2],
}

/// What is compared at the measured rows of a run.
fn compared(columns: &[(&'static str, Vec<f64>)], measured: &[usize]) -> Vec<Compared> {
    let at = |row: usize| MeasuredRow { columns, row };
    let relation = |(equation, says, relation): (&'static str, &'static str, Relation)| Compared {
        equation,
        says,
        sides: measured.iter().map(|&row| relation(&at(row))).collect(),
        has_size: equation != "34",
        verdicts: ["at rest", "moving"],
    };
    // One change between each two measured epochs, and what is expected of an update at their
    // ends.
    let expected = |at: &MeasuredRow| -at.get("lr_now") * (at.dissipation() - at.fluctuation());
    let sides = measured
        .windows(2)
        .map(|pair| {
            let (before, after) = (at(pair[0]), at(pair[1]));
            let difference = |name: &str| after.get(name) - before.get(name);
            let change = 0.5 * difference("theta_norm2") / difference("steps");
            [change, 0.5 * (expected(&before) + expected(&after))]
        })
        .collect();
    let of_norm = Compared {
        equation: "33",
        says: "the change of ½|θ|² per update, and −λ times the residual",
        sides,
        has_size: true,
        verdicts: ["equal", "differs"],
    };
    RELATIONS.into_iter().map(relation).chain([of_norm]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slow motion under white noise, and short windows: false alarms stay rare.
    #[test]
    fn intervals_of_correlated_values_hold_the_mean() {
        const RUNS: usize = 2000;
        let mut rng = crate::rng::Rng::new(3, crate::rng::Stream::Bootstrap, 0);
        for (n, correlation, noise, most) in [
            (5, 0.0f64, 0.0, 0.01),
            (10, 0.9, 0.0, 0.05),
            (20, 0.9, 1.0, 0.04),
            (50, 0.95, 2.0, 0.03),
            (100, 0.7, 0.0, 0.012),
        ] {
            let outside = (0..RUNS)
                .filter(|_| {
                    let mut z = rng.normal_pair().0;
                    let values: Vec<f64> = (0..n)
                        .map(|_| {
                            let (step, measured) = rng.normal_pair();
                            z = correlation * z + (1.0 - correlation * correlation).sqrt() * step;
                            z + noise * measured
                        })
                        .collect();
                    let mean = mean_in_time(&values);
                    mean.value.abs() > mean.apart
                })
                .count();
            let share = outside as f64 / RUNS as f64;
            assert!(share < most, "{share} of series of {n} with correlation {correlation} outside");
        }
    }

    /// Both sides of every relation of two runs with steady numbers, by hand: T = 0.05, α = 0.1, β
    /// = 0.5, six parameters.
    #[test]
    fn the_sides_of_every_relation() {
        const EPOCHS: usize = 20;
        let steady = [
            ("lr_now", 0.2),
            ("lr", 0.2),
            ("batch", 4.0),
            ("temperature", 0.05),
            ("weight_decay", 0.1),
            ("noise", 0.5),
            ("parameters", 6.0),
            ("momentum", 0.0),
            ("grad_norm2", 2.0),
            ("theta_grad", 0.7),
            ("test_grad_dot", 1.1),
            ("theta_test_grad", 0.4),
            ("hessian_trace", 5.0),
            ("hessian_noise", 2.5),
            ("test_hessian_noise", 2.2),
            ("test_hessian_trace", 4.0),
        ];
        let mut columns: Vec<(String, Vec<Cell>)> = Vec::new();
        let mut add = |name: &str, of: &dyn Fn(usize, f64) -> Cell| {
            let cells = [0, 1].into_iter().flat_map(|run| (0..EPOCHS).map(move |k| (run, k as f64)));
            columns.push((name.to_owned(), cells.map(|(run, epoch)| of(run, epoch)).collect()));
        };
        let text = |text: &str| Cell::Text(text.to_owned());
        for (name, value) in steady {
            add(name, &|_, _| Cell::Float(value));
        }
        add("run_id", &|run, _| text(["moving", "resting"][run]));
        add("epoch", &|_, epoch| Cell::Int(epoch as i64 + 1));
        add("steps", &|_, epoch| Cell::Int(10 * (epoch as i64 + 1)));
        // 3 in the mean.
        add("theta_norm2", &|_, epoch| Cell::Float(3.0 + 0.01 * (epoch - 9.5)));
        add("drift_along", &|_, epoch| Cell::Float(if epoch % 2.0 == 0.0 { 0.01 } else { -0.01 }));
        add("noise_trace", &|run, _| Cell::Float([1.5, 38.5][run]));
        add("optimizer", &|run, _| text(["sgd", "adam"][run]));
        add("schedule", &|run, _| text(["constant", "cosine"][run]));
        add("order", &|run, _| text(["replacement", "shuffle"][run]));
        let (names, cells): (Vec<String>, Vec<Vec<Cell>>) = columns.into_iter().unzip();
        let found = stationarity(&Table::from_cells(&names, &cells).unwrap(), 1.0).unwrap();
        let rows = [
            ("34", 0.0, 0.0, "undecided"),
            ("35", 1.0, 0.075, "moving"),
            // ½·0.2·(2 + 0.14 + 0.03 + 1.5/4) + ½·0.05·0.25·6.
            ("35, SGD itself", 1.0, 0.292, "moving"),
            ("36", 2.07, 0.09375, "moving"),
            ("37", 1.14, 0.08, "moving"),
            ("33", 0.0005, -0.1416, "differs"),
            ("34", 0.0, 0.0, "undecided"),
            ("35", 1.0, 1.0, "at rest"),
            ("35, SGD itself", 1.0, 1.217, "moving"),
            ("36", 2.07, 0.09375, "moving"),
            ("37", 1.14, 0.08, "moving"),
            ("33", 0.0005, 0.0434, "differs"),
        ];
        let [equations, verdicts, notes] =
            ["equation", "verdict", "note"].map(|name| found.strings(name).unwrap());
        let [left, right, residual] = ["left", "right", "residual"].map(|name| found.floats(name).unwrap());
        assert_eq!(found.floats("measured").unwrap()[0], EPOCHS as f64);
        for (k, (equation, l, r, verdict)) in rows.into_iter().enumerate() {
            assert_eq!((equations[k].as_str(), verdicts[k].as_str()), (equation, verdict));
            for (found, known) in [(left[k], l), (right[k], r), (residual[k], l - r)] {
                assert!((found - known).abs() < 1e-12, "Eq. {equation}: {found}, expected {known}");
            }
            let expected = if k < 6 {
                ""
            } else {
                "the relations are plain SGD's, not adam's; λ changes with the schedule; Eq. 15 draws with replacement; batches were shuffle"
            };
            assert_eq!(notes[k], expected);
        }
        let last = stationarity(&Table::from_cells(&names, &cells).unwrap(), 0.25).unwrap();
        assert_eq!(last.floats("measured").unwrap()[0], 5.0);
    }

    /// TimeMean, error and intervals of batch means: Student's t with 3 degrees of freedom has
    /// 3.182 at 95 %, 8.891 at 99.7 %.
    #[test]
    fn means_of_four_stretches() {
        // The means of the stretches are 1, 3, 2 and 4.
        let values: Vec<f64> = [1.0, 3.0, 2.0, 4.0]
            .into_iter()
            .flat_map(|mean| [mean - 0.5, mean + 0.5, mean, mean + 0.25, mean - 0.25])
            .collect();
        let found = mean_in_time(&values);
        let error = (5.0f64 / 3.0 / 4.0).sqrt();
        assert!((found.value - 2.5).abs() < 1e-12 && (found.error - error).abs() < 1e-12);
        assert!((found.interval / error - 3.182).abs() < 1e-3, "{}", found.interval / error);
        assert!((found.apart / error - 8.891).abs() < 1e-2, "{}", found.apart / error);
    }
}
