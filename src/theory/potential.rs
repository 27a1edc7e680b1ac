//! The potential g = 2v/T + a of Eq. 18 with its averages over data sets, in one of two gauges.
//!
//! The approximations take g up to a constant that depends on the data set, and "ignore the
//! stochasticity in Z". With [`Gauge::Normalised`] g includes ln Z, so that Z = 1 and nothing is
//! ignored; [`Gauge::Reference`] lets v and a vanish at a fixed θ instead.

use super::ensemble::Averages;
use super::ensemble::Field::{A, Constant, Train, V};
use crate::options::{DefaultValue, Kind, Opt};

/// Which constant g has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Z = 1 on every training set.
    Normalised,
    /// v and a vanish at the minimum of Ū.
    Reference,
}

impl Gauge {
    /// Every choice with its name in scripts.
    pub const ALL: [(&'static str, Self); 2] =
        [("normalised", Self::Normalised), ("reference", Self::Reference)];
}

/// The option `gauge`.
pub(super) const GAUGE: Opt = Opt::new(
    "gauge",
    Kind::Choice(&[("normalised", "g holds ln Z"), ("reference", "v and a vanish at one θ")]),
    DefaultValue::Text("normalised"),
    "which constant g has",
);

/// g and its averages in one gauge, at every θ.
pub(super) struct Potential {
    /// Averages ḡ, v̄.
    pub(super) g: Vec<f64>,
    pub(super) v: Vec<f64>,
    /// σ_g², σ_v², σ_a², σ_{v,a}.
    pub(super) g2: Vec<f64>,
    pub(super) v2: Vec<f64>,
    pub(super) a2: Vec<f64>,
    pub(super) va: Vec<f64>,
    /// σ_{g,u}, σ_{v,u}, σ_{a,u}.
    pub(super) gu: Vec<f64>,
    pub(super) vu: Vec<f64>,
    pub(super) au: Vec<f64>,
}

pub(super) fn zip(values: &[f64], others: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    values.iter().zip(others).map(|(a, b)| f(*a, *b)).collect()
}

impl Potential {
    pub(super) fn new(averages: &Averages, gauge: Gauge) -> Self {
        let temperature = averages.ensemble().dynamics.temperature;
        let b = 2.0 / temperature;
        let cov = |one, other| averages.covariance(one, other);
        let (a2, au) = (cov(A, A), cov(Train, A));
        let (v, v2, va, vu) = match gauge {
            Gauge::Reference => (averages.mean(V).to_vec(), cov(V, V), cov(V, A), cov(Train, V)),
            // v + ½T ln Z.
            Gauge::Normalised => {
                let add = |one: Vec<f64>, other: Vec<f64>| zip(&one, &other, |a, b| a + b);
                let constants = averages.scalar(|one| one.constant);
                let squares = averages.scalar(|one| one.constant * one.constant);
                let n = averages.datasets();
                let constant_variance = n / (n - 1.0) * (squares - constants * constants);
                let v2 = zip(&cov(V, V), &cov(V, Constant), |v2, vc| v2 + 2.0 * vc + constant_variance);
                (
                    averages.mean(V).iter().map(|v| v + constants).collect(),
                    v2,
                    add(cov(V, A), cov(A, Constant)),
                    add(cov(Train, V), cov(Train, Constant)),
                )
            }
        };
        let g = zip(&v, averages.mean(A), |v, a| b * v + a);
        let gu = zip(&vu, &au, |vu, au| b * vu + au);
        let g2 = zip(&zip(&v2, &a2, |v2, a2| b * b * v2 + a2), &va, |sum, va| sum + 2.0 * b * va);
        Self { g, v, g2, v2, a2, va, gu, vu, au }
    }
}

/// A density from its logarithm; none where that grows towards an end of the grid, so that there is
/// no integral.
pub(super) fn normalised(averages: &Averages, log: &[f64]) -> Option<Vec<f64>> {
    let largest = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let density: Vec<f64> = log.iter().map(|log| (log - largest).exp()).collect();
    let z = averages.ensemble().grid.integral(density.iter().copied());
    let ends = density[0].max(density[density.len() - 1]);
    (ends < 1e-6).then(|| density.into_iter().map(|density| density / z).collect())
}
