//! The fit of Eq. 1, gap = (a/T + b) e^(−T/c) with positive a, b, c, by least squares.

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::storage::Owned;
use nalgebra::{DMatrix, DVector, Dyn, OMatrix, U3, Vector3};

use super::curve::standard_errors;
use crate::error::{Error, Result};

/// The fitted parameters of Eq. 1 with their standard errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GapFit {
    /// The strength of the 1/T term, in units of gap · temperature.
    pub a: f64,
    /// The level at high temperature, in units of the gap.
    pub b: f64,
    /// The temperature of the exponential decay; infinite where the data show none.
    pub c: f64,
    /// Standard error of `a`.
    pub a_error: f64,
    /// Standard error of `b`.
    pub b_error: f64,
    /// Standard error of `c`; NaN where `c` is infinite.
    pub c_error: f64,
    /// 1 − (sum of squared residuals) / (sum of squares about the mean).
    pub r2: f64,
    /// Points used.
    pub n: usize,
}

impl GapFit {
    /// The fitted gap at a temperature.
    pub fn predict(&self, temperature: f64) -> f64 {
        model(&Vector3::new(self.a, self.b, self.c), temperature)
    }
}

fn model(p: &Vector3<f64>, t: f64) -> f64 {
    (p[0] / t + p[1]) * (-t / p[2]).exp()
}

/// Derivatives of the model by a, b, c.
fn derivatives(p: &Vector3<f64>, t: f64) -> Vector3<f64> {
    let decay = (-t / p[2]).exp();
    Vector3::new(decay / t, decay, (p[0] / t + p[1]) * decay * t / (p[2] * p[2]))
}

/// Least squares in the logarithms of a, b, c, which keeps them positive.
struct Problem<'a> {
    t: &'a [f64],
    gap: &'a [f64],
    logs: Vector3<f64>,
}

impl LeastSquaresProblem<f64, Dyn, U3> for Problem<'_> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, U3>;
    type ParameterStorage = Owned<f64, U3>;

    fn set_params(&mut self, logs: &Vector3<f64>) {
        self.logs = *logs;
    }

    fn params(&self) -> Vector3<f64> {
        self.logs
    }

    fn residuals(&self) -> Option<DVector<f64>> {
        let p = self.logs.map(f64::exp);
        let residuals = self.t.iter().zip(self.gap).map(|(&t, &gap)| model(&p, t) - gap);
        Some(DVector::from_iterator(self.t.len(), residuals))
    }

    fn jacobian(&self) -> Option<OMatrix<f64, Dyn, U3>> {
        let p = self.logs.map(f64::exp);
        let mut jacobian = OMatrix::<f64, Dyn, U3>::zeros(self.t.len());
        for (row, &t) in self.t.iter().enumerate() {
            let by_log = derivatives(&p, t).component_mul(&p);
            jacobian.set_row(row, &by_log.transpose());
        }
        Some(jacobian)
    }
}

/// Beyond this many times the highest temperature c says nothing: e^(−T/c) is 1 to 1e-6.
const INFINITE: f64 = 1e6;

/// Fits Eq. 1 to gaps at temperatures. Points that are not finite are left out.
pub fn fit_gap(temperature: &[f64], gap: &[f64]) -> Result<GapFit> {
    let (t, y): (Vec<f64>, Vec<f64>) = temperature
        .iter()
        .zip(gap)
        .filter(|(t, y)| t.is_finite() && y.is_finite())
        .map(|(&t, &y)| (t, y))
        .unzip();
    if let Some(cold) = t.iter().find(|&&t| t <= 0.0) {
        return Err(Error::invalid(format!("fit_gap: a temperature is {cold}, expected numbers above 0")));
    }
    let mut distinct = t.clone();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    if t.len() < 4 || distinct.len() < 3 {
        return Err(Error::invalid(format!(
            "fit_gap: expected at least 4 points at 3 temperatures to fit a, b and c, found {} at {}",
            t.len(),
            distinct.len()
        )));
    }
    let highest = distinct[distinct.len() - 1];
    let sum = |p: &Vector3<f64>| -> f64 { t.iter().zip(&y).map(|(&t, &y)| (model(p, t) - y).powi(2)).sum() };
    // For a given c the best a and b are linear; the best starts of a scan over c are polished.
    let scale = y.iter().map(|y| y.abs()).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let floor = Vector3::new(1e-9 * scale * distinct[0], 1e-9 * scale, 0.0);
    let mut starts: Vec<Vector3<f64>> = (0..40)
        .map(|step| {
            let c = distinct[0] * 0.1 * (1e4 * highest / distinct[0]).powf(f64::from(step) / 39.0);
            linear(&t, &y, c).sup(&floor)
        })
        .collect();
    starts.sort_by(|p, q| sum(p).total_cmp(&sum(q)));
    starts.truncate(8);
    let mut best: Option<Vector3<f64>> = None;
    for start in starts {
        let problem = Problem { t: &t, gap: &y, logs: start.map(f64::ln) };
        let (solved, _) = LevenbergMarquardt::new().with_patience(1000).minimize(problem);
        let p = solved.logs.map(f64::exp);
        if p.iter().all(|value| value.is_finite()) && best.is_none_or(|best| sum(&p) < sum(&best)) {
            best = Some(p);
        }
    }
    let flat = linear(&t, &y, f64::INFINITY).sup(&floor);
    let p = match best {
        Some(p) if p[2] < INFINITE * highest && sum(&p) < sum(&flat) => p,
        _ => flat,
    };
    summary(&t, &y, p)
}

/// The a and b of least squares for a given c, neither negative.
fn linear(t: &[f64], y: &[f64], c: f64) -> Vector3<f64> {
    let rows = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { t.iter().map(|&t| f(t) * (-t / c).exp()).collect() };
    let (u, v) = (rows(&|t| 1.0 / t), rows(&|_| 1.0));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (uu, uv, vv, uy, vy) = (dot(&u, &u), dot(&u, &v), dot(&v, &v), dot(&u, y), dot(&v, y));
    let determinant = uu * vv - uv * uv;
    let (a, b) = ((uy * vv - vy * uv) / determinant, (vy * uu - uy * uv) / determinant);
    match (a > 0.0, b > 0.0) {
        (true, true) => Vector3::new(a, b, c),
        // With one at its bound the other has its own minimum.
        (true, _) => Vector3::new((uy / uu).max(0.0), 0.0, c),
        _ => Vector3::new(0.0, (vy / vv).max(0.0), c),
    }
}

/// Standard errors from s² (JᵀJ)⁻¹ with s² = SSR / (n − p), as SciPy's `curve_fit` gives them.
fn summary(t: &[f64], y: &[f64], p: Vector3<f64>) -> Result<GapFit> {
    let n = t.len();
    let free = if p[2].is_finite() { 3 } else { 2 };
    let jacobian = DMatrix::from_fn(n, free, |row, column| derivatives(&p, t[row])[column]);
    let ssr: f64 = t.iter().zip(y).map(|(&t, &y)| (model(&p, t) - y).powi(2)).sum();
    let mean = y.iter().sum::<f64>() / n as f64;
    let total: f64 = y.iter().map(|y| (y - mean).powi(2)).sum();
    let errors = standard_errors(&jacobian, ssr).unwrap_or_default();
    let error = |k: usize| errors.get(k).copied().unwrap_or(f64::NAN);
    Ok(GapFit {
        a: p[0],
        b: p[1],
        c: p[2],
        a_error: error(0),
        b_error: error(1),
        c_error: error(2),
        r2: 1.0 - ssr / total,
        n,
    })
}

impl std::fmt::Display for GapFit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use crate::table::number;
        let line = |name, value: f64, error: f64| {
            if value.is_infinite() {
                format!("  {name} = ∞ (the data show no decay)")
            } else {
                format!("  {name} = {} ± {}", number(value), number(error))
            }
        };
        writeln!(f, "gap = (a/T + b) exp(−T/c), {} points, R² = {:.4}", self.n, self.r2)?;
        writeln!(f, "{}", line("a", self.a, self.a_error))?;
        writeln!(f, "{}", line("b", self.b, self.b_error))?;
        write!(f, "{}", line("c", self.c, self.c_error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Stored {
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        t: Vec<f64>,
        gap: Vec<f64>,
        a: f64,
        b: f64,
        c: Option<f64>,
        se_a: Option<f64>,
        se_b: Option<f64>,
        se_c: Option<f64>,
        r2: f64,
    }

    #[test]
    fn fits_agree_with_scipy() {
        let stored: Stored = serde_json::from_str(include_str!("../../tests/reference/fits.json")).unwrap();
        assert!(stored.cases.len() >= 6);
        for case in stored.cases {
            let fit = fit_gap(&case.t, &case.gap).unwrap();
            let close = |what: &str, found: f64, expected: f64, tolerance: f64| {
                let error = (found - expected).abs() / expected.abs().max(1e-12);
                assert!(error < tolerance, "{}: {what} is {found}, SciPy says {expected}", case.name);
            };
            close("a", fit.a, case.a, 1e-6);
            close("b", fit.b, case.b, 1e-6);
            close("r2", fit.r2, case.r2, 1e-9);
            match case.c {
                Some(c) => close("c", fit.c, c, 1e-6),
                None => assert!(fit.c.is_infinite() && fit.c_error.is_nan(), "{}: {}", case.name, fit.c),
            }
            for (what, found, stored) in [
                ("a_error", fit.a_error, case.se_a),
                ("b_error", fit.b_error, case.se_b),
                ("c_error", fit.c_error, case.se_c),
            ] {
                match stored {
                    Some(0.0) => assert!(found < 1e-9, "{}: {what} is {found}", case.name),
                    Some(stored) => close(what, found, stored, 1e-5),
                    None => {}
                }
            }
        }
    }

    #[test]
    fn derivatives_agree_with_finite_differences() {
        let p = Vector3::new(2e-5, 0.08, 5e-3);
        for t in [2e-4, 1e-3, 6e-3] {
            for k in 0..3 {
                let step = p[k] * 1e-6;
                let (mut up, mut down) = (p, p);
                up[k] += step;
                down[k] -= step;
                let numeric = (model(&up, t) - model(&down, t)) / (2.0 * step);
                let exact = derivatives(&p, t)[k];
                assert!((numeric - exact).abs() < 1e-7 * exact.abs(), "{k} {t}");
            }
        }
    }

    #[test]
    fn too_few_points_are_refused() {
        assert!(fit_gap(&[1e-3, 2e-3], &[0.1, 0.2]).is_err());
        assert!(fit_gap(&[1e-3, -2e-3, 1e-2, 1e-1], &[0.1, 0.2, 0.1, 0.1]).is_err());
    }
}
