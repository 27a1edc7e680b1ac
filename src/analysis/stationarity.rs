//! Whether a run is at rest: the stationarity relations of Appendix A on what was measured along it.
//!
//! At the stationary law of SGD's diffusion Eq. 33 is zero for every φ. With T = λ / B and averages over epochs:
//!
//! - Eq. 34, φ = r·θ: ⟨r·(∂U_ℓ + αθ)⟩ = 0
//! - Eqs. 34 and 35, φ = ½|θ|²: ⟨θ·(∂U_ℓ + αθ)⟩ = ½T ⟨Tr D + β²p⟩, fluctuation and dissipation
//! - the same for SGD itself at any λ, without the diffusion (Yaida 2018): ½λ ⟨|∂U_ℓ + αθ|² + Tr D / B⟩ + ½Tβ²p on the right
//! - Eq. 36, φ = U_ℓ: ⟨|∂U_ℓ|² + αθ·∂U_ℓ⟩ = ½T ⟨Tr H(D + β²)⟩
//! - Eq. 37, φ = U_e: ⟨∂U_e·∂U_ℓ + αθ·∂U_e⟩ = ½T ⟨Tr H_e(D + β²)⟩
//!
//! Away from rest the second line says how fast |θ|² changes, which is compared with how fast it did (Eq. 33).

use super::runs::by_run;
use crate::error::{Error, Result};
use crate::table::{Cell, Table};

/// Measured epochs of which an average and its error are made, at least.
const LEAST: usize = 5;

/// Standard errors that make a difference.
const WIDTH: f64 = 3.0;

/// A mean whose error is a larger share of the sides decides nothing.
const COARSE: f64 = 0.25;

/// Mean of values in the order of time, and its standard error: the scatter's, made wider by the correlation of
/// neighbours as of an autoregressive process.
fn mean_in_time(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let neighbours = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>();
    // Few values tell little of it: the estimate's own bias is about 1 / n.
    let correlation = if square > 0.0 { (neighbours / square + 1.0 / n).clamp(0.0, 0.9) } else { 0.0 };
    let error = (square / (n - 1.0) / n * (1.0 + correlation) / (1.0 - correlation)).sqrt();
    (mean, error)
}

/// The slope of values over times by least squares.
fn slope(times: &[f64], values: &[f64]) -> f64 {
    let n = times.len() as f64;
    let (t, v) = (times.iter().sum::<f64>() / n, values.iter().sum::<f64>() / n);
    let (mut top, mut bottom) = (0.0, 0.0);
    for (time, value) in times.iter().zip(values) {
        top += (time - t) * (value - v);
        bottom += (time - t).powi(2);
    }
    top / bottom
}

/// One relation at one epoch: left and right side.
type Relation = fn(&At) -> [f64; 2];

/// What a row of the epochs table says.
struct At<'a> {
    columns: &'a [(&'static str, Vec<f64>)],
    row: usize,
}

impl At<'_> {
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

fn zero_if_unused(at: &At, name: &str) -> f64 {
    if at.isotropic() == 0.0 { 0.0 } else { at.get(name) }
}

/// The relations of each run, a row each, averaged over the measured epochs of the last `share` of it.
///
/// `verdict` is *at rest* where the sides agree within three standard errors, *moving* where they do not, *undecided* where the error
/// is a quarter of the sides or more. Of Eq. 33 the sides are the measured and the expected change of ½|θ|² per update:
/// *equal* or *differs*. With momentum, a schedule or another optimizer the relations are not those of the algorithm: `note` says so.
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
    let at = |row: usize| At { columns: &columns, row };
    let (ids, optimizers) = (epochs.strings("run_id")?, epochs.strings("optimizer")?);
    let (schedules, orders) = (epochs.strings("schedule")?, epochs.strings("order")?);
    let names = [
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
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for run in by_run(epochs)? {
        let end = at(run[run.len() - 1]).get("epoch");
        let measured: Vec<usize> = run
            .into_iter()
            .filter(|&row| at(row).get("epoch") > (1.0 - share) * end && !at(row).get("grad_norm2").is_nan())
            .collect();
        if measured.len() < LEAST {
            return Err(Error::invalid(format!(
                "stationarity: {} measured epochs in the last {share} of the run {}, expected at least {LEAST}; train longer, or measure \
                 more often: measure: #{{what: [\"gradient\", \"hessian\"], every: 1}}",
                measured.len(),
                measured.first().map_or("", |&row| ids[row].as_str()),
            )));
        }
        let first = measured[0];
        let mut notes = Vec::new();
        if optimizers[first] != "sgd" {
            notes.push(format!("the relations are plain SGD's, not {}'s", optimizers[first]));
        }
        if schedules[first] != "constant" {
            notes.push("λ changes with the schedule".to_owned());
        }
        if orders[first] != "replacement" {
            notes.push(format!("Eq. 15 draws with replacement; batches were {}", orders[first]));
        }
        let note = notes.join("; ");
        let mut add = |equation: &str,
                       says: &str,
                       sides: Vec<[f64; 2]>,
                       verdict: &dyn Fn(f64, f64, f64) -> &'static str| {
            let side = |k: usize| sides.iter().map(|sides| sides[k]).collect::<Vec<_>>();
            let (left, left_error) = mean_in_time(&side(0));
            let (right, right_error) = mean_in_time(&side(1));
            let (residual, error) =
                mean_in_time(&sides.iter().map(|[left, right]| left - right).collect::<Vec<_>>());
            let float = |value: f64| if value.is_nan() { Cell::Null } else { Cell::Float(value) };
            rows.push(vec![
                Cell::Text(ids[first].clone()),
                float(at(first).get("temperature")),
                float(at(first).get("lr")),
                Cell::Int(at(first).get("batch") as i64),
                Cell::Text(equation.to_owned()),
                Cell::Text(says.to_owned()),
                float(left),
                float(left_error),
                float(right),
                float(right_error),
                float(residual),
                float(error),
                Cell::Text(verdict(residual, error, left.abs().max(right.abs())).to_owned()),
                Cell::Int(sides.len() as i64),
                Cell::Text(note.clone()),
            ]);
        };
        for (equation, says, relation) in RELATIONS {
            let sides: Vec<[f64; 2]> = measured.iter().map(|&row| relation(&at(row))).collect();
            // Of Eq. 34 no side has a size to compare an error with.
            let sized = equation != "34";
            add(equation, says, sides, &|residual, error, size| match () {
                () if residual.is_nan() => "not measured",
                () if residual.abs() > WIDTH * error => "moving",
                () if sized && error > COARSE * size => "undecided",
                () => "at rest",
            });
        }
        // One change between each two measured epochs, and what is expected at their ends.
        let changes: Vec<[f64; 2]> = measured
            .windows(2)
            .map(|pair| {
                let (before, after) = (at(pair[0]), at(pair[1]));
                let steps = [before.get("steps"), after.get("steps")];
                let squares = [before.get("theta_norm2"), after.get("theta_norm2")];
                let expected = |at: &At| -at.get("lr_now") * (at.dissipation() - at.fluctuation());
                [0.5 * slope(&steps, &squares), 0.5 * (expected(&before) + expected(&after))]
            })
            .collect();
        add(
            "33",
            "the change of ½|θ|² per update, and −λ times the residual",
            changes,
            &|residual, error, _| {
                if residual.is_nan() {
                    "not measured"
                } else if residual.abs() > WIDTH * error {
                    "differs"
                } else {
                    "equal"
                }
            },
        );
    }
    let columns: Vec<Vec<Cell>> =
        (0..names.len()).map(|column| rows.iter().map(|row| row[column].clone()).collect()).collect();
    Table::from_cells(&names.map(str::to_owned), &columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_correlated_values_are_those_of_a_process() {
        // A first-order process of correlation 0.7: the true error of the mean of 100 values.
        let mut rng = crate::rng::Rng::new(3, crate::rng::Stream::Bootstrap, 0);
        let (mut z, mut inside) = (0.0, 0);
        const RUNS: usize = 2000;
        for _ in 0..RUNS {
            let mut values = Vec::new();
            for _ in 0..100 {
                z = 0.7 * z + (1.0f64 - 0.49).sqrt() * rng.normal_pair().0;
                values.push(z);
            }
            let (mean, error) = mean_in_time(&values);
            inside += usize::from(mean.abs() < WIDTH * error);
        }
        let share = inside as f64 / RUNS as f64;
        assert!(share > 0.975, "{share} within three standard errors");
    }
}
