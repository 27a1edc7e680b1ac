//! Eq. 1 against other falling curves: which form describes a column best, and by how much?
//!
//! All forms are fitted by least squares to all runs and compared by Akaike's criterion for small
//! samples, AICc = n ln(SSR/n) + 2k + 2k(k + 1)/(n − k − 1), k parameters and the variance (Hurvich
//! and Tsai 1989); smaller is better, and a form that is behind by 10 has essentially no support
//! (Burnham and Anderson 2002). The isotonic regression is the best that any falling curve can do;
//! its levels count as parameters (Meyer and Woodroofe 2000).

use super::eq1::{Eq1, eq1, means};
use super::function::{Analysis, FOR_THE_METRIC, METRIC, TableFunction, table_of};
use super::isotonic::falling;
use super::statistics::is_constant;
use super::variable_projection::{Family, Mean, Separable, geometric};
use crate::error::{Error, Result};
use crate::table::Cell;

/// How well one form describes a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// The form.
    pub form: &'static str,
    /// Its free parameters: of the isotonic regression, its levels.
    pub parameters: usize,
    /// Its share of the variance of the means at each temperature, each weighed by its runs; NaN
    /// where they do not vary.
    pub r2: f64,
    /// Akaike's criterion.
    pub aicc: f64,
    /// How far it is behind the best form.
    pub delta_aicc: f64,
    /// Its value at each temperature, ascending.
    pub(super) curve: Vec<f64>,
}

pub(super) const ENTRY: TableFunction = TableFunction {
    name: "alternatives",
    table: "steady",
    returns: "Table",
    doc: "How well the paper's Eq. 1 and other falling forms (its parts, a power law, a logarithm, any falling \
          curve) describe the gap over the temperature: `r2` of the means, Akaike's criterion `aicc`, and \
          `delta_aicc`, how far a form is behind the best.",
    example: r#"let steady = table(#{
    temperature: [2e-4, 3e-4, 5e-4, 8e-4, 1e-3, 2e-3, 4e-3, 8e-3],
    gap: [0.52, 0.42, 0.31, 0.27, 0.25, 0.2, 0.17, 0.12],
});
alternatives(steady)"#,
    doc_with_options: FOR_THE_METRIC,
    options: &[METRIC],
    call: |steady, given| {
        let (x, y) = (steady.floats("temperature")?, steady.floats(&given.text("y")?)?);
        let (x, y): (Vec<f64>, Vec<f64>) =
            x.into_iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite()).unzip();
        let row = |found: Alternative| {
            [
                Cell::Text(found.form.to_owned()),
                Cell::Int(found.parameters as i64),
                Cell::number(found.r2),
                Cell::number(found.aicc),
                Cell::number(found.delta_aicc),
            ]
        };
        let names = ["form", "parameters", "r2", "aicc", "delta_aicc"];
        table_of(names, alternatives(&x, &y)?.into_iter().map(row).collect()).map(Analysis::Table)
    },
};

/// Names in tables.
pub(super) const EQ1: &str = "(a/T + b) exp(-T/c)";
pub(super) const INVERSE: &str = "a/T + b";
const POWER: &str = "a T^-p + b";
const LOGARITHM: &str = "b - a ln T";
const EXPONENTIAL: &str = "b exp(-T/c)";
pub(super) const ISOTONIC: &str = "isotonic";

/// a T^−p + b, with T in units of `unit` so that a and b have similar size.
struct Power {
    unit: f64,
}

impl Family for Power {
    fn basis(&self, t: f64, p: f64) -> [f64; 2] {
        [(t / self.unit).powf(-p), 1.0]
    }

    fn by_shape(&self, t: f64, p: f64, [a, _]: [f64; 2]) -> f64 {
        -a * (t / self.unit).ln() * (t / self.unit).powf(-p)
    }
}

/// b e^(−T/c) alone; the shape is 1/c.
struct Exponential;

impl Family for Exponential {
    fn basis(&self, t: f64, shape: f64) -> [f64; 2] {
        [0.0, (-t * shape).exp()]
    }

    fn by_shape(&self, t: f64, shape: f64, [_, b]: [f64; 2]) -> f64 {
        -t * b * (-t * shape).exp()
    }
}

/// b − a ln T, no less than 0 at the highest temperature.
struct Logarithm {
    highest: f64,
}

impl Family for Logarithm {
    fn basis(&self, t: f64, _: f64) -> [f64; 2] {
        [(self.highest / t).ln(), 1.0]
    }

    fn by_shape(&self, _: f64, _: f64, _: [f64; 2]) -> f64 {
        0.0
    }
}

/// Eq. 1 where c is infinite.
struct Inverse;

impl Family for Inverse {
    fn basis(&self, t: f64, _: f64) -> [f64; 2] {
        [1.0 / t, 1.0]
    }

    fn by_shape(&self, _: f64, _: f64, _: [f64; 2]) -> f64 {
        0.0
    }
}

/// Every form with how it describes `y` at temperatures `t`: Eq. 1, its parts, a power law, a
/// logarithm, and the isotonic regression.
pub fn alternatives(t: &[f64], y: &[f64]) -> Result<Vec<Alternative>> {
    let means = means(t, y);
    if means.len() < 3 || means[0].t <= 0.0 {
        return Err(Error::invalid(format!(
            "alternatives: expected finite values at three temperatures above 0 or more, found {}",
            means.len()
        )));
    }
    if is_constant(y) {
        return Err(Error::invalid(format!(
            "alternatives: all {} values are {}: no form describes them better than a constant",
            y.len(),
            y[0]
        )));
    }
    let (lowest, highest) = (means[0].t, means[means.len() - 1].t);
    let at = || means.iter().map(|mean| mean.t).collect::<Vec<f64>>();
    // Values of 1/c as those of Eq. 1, of p from nearly a logarithm to nearly a step.
    let decays = [vec![0.0], geometric(1e-6 / highest, 10.0 / lowest, 80)].concat();
    let power = Power { unit: (lowest * highest).sqrt() };
    let logarithm = Logarithm { highest };
    let mut found = vec![
        (EQ1, 3, curve(&Eq1, &eq1(at()), &means)),
        (INVERSE, 2, curve(&Inverse, &Separable::new(&Inverse, at(), vec![0.0]), &means)),
        (POWER, 3, curve(&power, &Separable::new(&power, at(), geometric(0.01, 10.0, 40)), &means)),
        (LOGARITHM, 2, curve(&logarithm, &Separable::new(&logarithm, at(), vec![0.0]), &means)),
        (EXPONENTIAL, 2, curve(&Exponential, &Separable::new(&Exponential, at(), decays), &means)),
    ];
    let (isotonic, levels) = falling(&means);
    found.push((ISOTONIC, levels, isotonic));

    let n = y.len() as f64;
    let mean = y.iter().sum::<f64>() / n;
    let weighed = |f: &dyn Fn(usize, &Mean) -> f64| {
        means.iter().enumerate().map(|(index, mean)| mean.weight * f(index, mean)).sum::<f64>()
    };
    let between = weighed(&|_, at| (at.value - mean).powi(2));
    let flat = is_constant(&means.iter().map(|mean| mean.value).collect::<Vec<_>>());
    let total: f64 = y.iter().map(|y| (y - mean).powi(2)).sum();
    let within = (total - between).max(0.0);
    let mut all: Vec<Alternative> = found
        .into_iter()
        .map(|(form, parameters, curve)| {
            let off = weighed(&|index, at| (curve[index] - at.value).powi(2));
            // Where a form is exact, rounding is what is left.
            let ssr = (within + off).max(f64::EPSILON.powi(2) * total).max(f64::MIN_POSITIVE);
            let k = parameters as f64 + 1.0;
            let few = n - k - 1.0;
            let aicc = match few > 0.0 {
                true => n * (ssr / n).ln() + 2.0 * k + 2.0 * k * (k + 1.0) / few,
                false => f64::INFINITY,
            };
            let r2 = if flat { f64::NAN } else { 1.0 - off / between };
            Alternative { form, parameters, r2, aicc, delta_aicc: 0.0, curve }
        })
        .collect();
    let best = all.iter().map(|form| form.aicc).fold(f64::INFINITY, f64::min);
    all.iter_mut().for_each(|form| form.delta_aicc = form.aicc - best);
    Ok(all)
}

/// The values of the nearest curve of a family.
fn curve<F: Family>(family: &F, separable: &Separable<F>, means: &[Mean]) -> Vec<f64> {
    let (values, weights): (Vec<f64>, Vec<f64>) = means.iter().map(|mean| (mean.value, mean.weight)).unzip();
    let fit = separable.fit(&values, &weights);
    means.iter().map(|mean| fit.at(family, mean.t)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    fn best(seed: i64, f: impl Fn(f64) -> f64) -> &'static str {
        let mut rng = Rng::new(seed, Stream::Synthetic, 0);
        let (t, y): (Vec<f64>, Vec<f64>) = (0..32)
            .map(|index| {
                let t = 2e-4 * 1.8f64.powi(index / 4);
                (t, f(t) + 0.002 * rng.normal_pair().0)
            })
            .unzip();
        let found = alternatives(&t, &y).unwrap();
        let isotonic = found.iter().find(|form| form.form == ISOTONIC).unwrap();
        assert!(found.iter().all(|form| form.r2 <= isotonic.r2 + 1e-9), "{found:?}");
        found.into_iter().find(|form| form.delta_aicc == 0.0).unwrap().form
    }

    /// Of 100 data sets nearly all are told from the others by the form that made them.
    #[test]
    fn the_form_that_made_the_data_is_found() {
        let share = |form, f: &dyn Fn(f64) -> f64| (0..100).filter(|&seed| best(seed, f) == form).count();
        assert!(share(EQ1, &|t| (2e-5 / t + 0.06) * (-t / 8e-3).exp()) > 90);
        assert!(share(INVERSE, &|t| 2e-5 / t + 0.06) > 80);
        assert!(share(POWER, &|t| 0.003 * t.powf(-0.4) + 0.01) > 80);
        assert!(share(LOGARITHM, &|t| 0.03 - 0.01 * (t / 2e-3).ln()) > 80);
        assert!(share(EXPONENTIAL, &|t| 0.1 * (-t / 4e-3).exp()) > 80);
        assert!(share(ISOTONIC, &|t| if t < 2e-3 { 0.1 } else { 0.02 }) > 90);
    }

    #[test]
    fn the_criterion_is_akaikes() {
        // Three temperatures, two runs each, one apart from the mean: the isotonic fit leaves SSR =
        // 6 · 0.25.
        let (t, y) = ([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [9.5, 8.5, 7.5, 6.5, 1.5, 0.5]);
        let found = alternatives(&t, &y).unwrap();
        let isotonic = found.iter().find(|form| form.form == ISOTONIC).unwrap();
        let expected = 6.0 * (1.5f64 / 6.0).ln() + 8.0 + 40.0;
        assert!((isotonic.aicc - expected).abs() < 1e-9 && isotonic.r2 == 1.0, "{isotonic:?}");
        assert!(alternatives(&t[..4], &y[..4]).is_err());
        // Nothing to explain: of no values that vary, or of no means that do.
        let error = alternatives(&t, &[0.5; 6]).unwrap_err().to_string();
        assert!(error.contains("all 6 values are 0.5"), "{error}");
        let flat = alternatives(&t, &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0]).unwrap();
        assert!(flat.iter().all(|form| form.r2.is_nan() && form.aicc.is_finite()));
    }
}
