//! Eq. 1 of the paper, gap = (a/T + b) e^(−T/c), as a curve that is fitted.

use super::groups::same;
use super::variable_projection::{Family, Mean, Separable, ShapedCurve, geometric};
use crate::error::{Error, Result};

/// Eq. 1.
pub(super) fn predict([a, b, c]: [f64; 3], t: f64) -> f64 {
    (a / t + b) * (-t / c).exp()
}

/// Derivatives of Eq. 1 by a, b, c.
pub(super) fn derivatives([a, b, c]: [f64; 3], t: f64) -> [f64; 3] {
    let decay = (-t / c).exp();
    [decay / t, decay, (a / t + b) * decay * t / (c * c)]
}

/// Eq. 1 with the shape 1/c, which is 0 where there is no decay.
pub(super) struct Eq1;

impl Family for Eq1 {
    fn basis(&self, t: f64, shape: f64) -> [f64; 2] {
        let decay = (-t * shape).exp();
        [decay / t, decay]
    }

    fn by_shape(&self, t: f64, shape: f64, [a, b]: [f64; 2]) -> f64 {
        -t * (a / t + b) * (-t * shape).exp()
    }
}

/// A c of more than this many times the highest temperature says nothing (e^(−T/c) is 1 to 1e-6)
/// and counts as infinite.
const INFINITE: f64 = 1e6;
/// No c below the lowest temperature over this is looked for: there e^(−T/c) is 5e-5 already.
const STEEPEST: f64 = 10.0;
/// Values of 1/c that are looked at before they are refined, about ten a decade.
const GRID: usize = 80;

/// Eq. 1 on these temperatures, ascending.
pub(super) fn eq1(t: Vec<f64>) -> Separable<'static, Eq1> {
    let mut grid = vec![0.0];
    if let [lowest, .., highest] = t[..] {
        grid.extend(geometric(1.0 / (INFINITE * highest), STEEPEST / lowest, GRID));
    }
    Separable::new(&Eq1, t, grid)
}

/// a, b and c of a curve.
pub(super) fn parameters(curve: ShapedCurve, highest: f64) -> [f64; 3] {
    let [a, b] = curve.coefficients;
    let c = 1.0 / curve.shape;
    [a, b, if c > INFINITE * highest { f64::INFINITY } else { c }]
}

/// The points that can be fitted: finite ones, at temperatures above 0.
pub(super) fn usable(temperature: &[f64], gap: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
    let (t, y): (Vec<f64>, Vec<f64>) =
        temperature.iter().zip(gap).filter(|(t, y)| t.is_finite() && y.is_finite()).unzip();
    if let Some(cold) = t.iter().find(|&&t| t <= 0.0) {
        return Err(Error::invalid(format!("fit_gap: a temperature is {cold}, expected numbers above 0")));
    }
    Ok((t, y))
}

/// The mean at each temperature, ascending.
pub(super) fn means(t: &[f64], y: &[f64]) -> Vec<Mean> {
    let mut points: Vec<(f64, f64)> = t.iter().copied().zip(y.iter().copied()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
        .chunk_by(|a, b| same(a.0, b.0))
        .map(|group| {
            let weight = group.len() as f64;
            Mean { t: group[0].0, value: group.iter().map(|(_, y)| y).sum::<f64>() / weight, weight }
        })
        .collect()
}
