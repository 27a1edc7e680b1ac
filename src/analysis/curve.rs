//! The fit of any formula by least squares.

use std::cell::RefCell;

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt, TerminationReason};
use nalgebra::storage::Owned;
use nalgebra::{DMatrix, DVector, Dyn};

use crate::error::{Error, Result};

/// Fitted parameters with their standard errors, from s² (JᵀJ)⁻¹ with s² = SSR / (n − p), as SciPy's `curve_fit`.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveFit {
    /// The parameters.
    pub p: Vec<f64>,
    /// Their standard errors.
    pub errors: Vec<f64>,
    /// 1 − (sum of squared residuals) / (sum of squares about the mean), weighed as the points are.
    pub r2: f64,
    /// Points used.
    pub n: usize,
}

/// A formula: x and parameters to y.
pub type Formula<'a> = dyn FnMut(f64, &[f64]) -> Result<f64> + 'a;

struct Problem<'a, 'f> {
    formula: RefCell<&'a mut Formula<'f>>,
    /// The first error of the formula.
    error: RefCell<Option<Error>>,
    x: &'a [f64],
    y: &'a [f64],
    /// What a residual is divided by.
    sigma: &'a [f64],
    p: DVector<f64>,
}

impl Problem<'_, '_> {
    fn curve(&self, p: &[f64]) -> Option<Vec<f64>> {
        let mut formula = self.formula.borrow_mut();
        let values = self.x.iter().map(|&x| formula(x, p)).collect::<Result<Vec<_>>>();
        match values {
            Ok(values) => Some(values),
            Err(error) => {
                self.error.borrow_mut().get_or_insert(error);
                None
            }
        }
    }

    /// By central differences.
    fn derivatives(&self) -> Option<DMatrix<f64>> {
        let mut jacobian = DMatrix::zeros(self.x.len(), self.p.len());
        let scale = self.p.amax().max(f64::MIN_POSITIVE);
        for k in 0..self.p.len() {
            let size = if self.p[k] == 0.0 { scale.min(1.0) } else { self.p[k].abs() };
            let step = f64::EPSILON.cbrt() * size;
            let moved = |by: f64| {
                let mut p: Vec<f64> = self.p.iter().copied().collect();
                p[k] += by;
                self.curve(&p)
            };
            let (up, down) = (moved(step)?, moved(-step)?);
            for (row, (up, down)) in up.iter().zip(&down).enumerate() {
                jacobian[(row, k)] = (up - down) / (2.0 * step) / self.sigma[row];
            }
        }
        Some(jacobian)
    }
}

impl LeastSquaresProblem<f64, Dyn, Dyn> for Problem<'_, '_> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, Dyn>;
    type ParameterStorage = Owned<f64, Dyn>;

    fn set_params(&mut self, p: &DVector<f64>) {
        self.p.copy_from(p);
    }

    fn params(&self) -> DVector<f64> {
        self.p.clone()
    }

    fn residuals(&self) -> Option<DVector<f64>> {
        let curve = self.curve(self.p.as_slice())?;
        let residuals =
            curve.iter().zip(self.y).zip(self.sigma).map(|((curve, y), sigma)| (curve - y) / sigma);
        Some(DVector::from_iterator(curve.len(), residuals))
    }

    fn jacobian(&self) -> Option<DMatrix<f64>> {
        self.derivatives()
    }
}

/// Standard errors of parameters from the derivatives of the residuals by them: s² (JᵀJ)⁻¹ with s² = SSR / (n − p). None
/// where the data do not determine them.
pub(super) fn standard_errors(jacobian: &DMatrix<f64>, ssr: f64) -> Option<Vec<f64>> {
    let (n, free) = jacobian.shape();
    // Columns may differ by many orders of magnitude: scale them before inverting. With J = QR, (JᵀJ)⁻¹ = R⁻¹ R⁻ᵀ.
    let norms: Vec<f64> = jacobian.column_iter().map(|column| column.norm().max(f64::MIN_POSITIVE)).collect();
    let scaled = DMatrix::from_fn(n, free, |row, k| jacobian[(row, k)] / norms[k]);
    let r = scaled.qr().unpack_r();
    let determined = (0..free).all(|k| r[(k, k)].abs() > n as f64 * f64::EPSILON);
    let inverse = r.try_inverse().filter(|_| determined)?;
    let variance = ssr / (n - free) as f64;
    Some((0..free).map(|k| variance.sqrt() * inverse.row(k).norm() / norms[k]).collect())
}

/// Fits `formula` to points, from the parameters `start`. `sigma` are the points' errors up to a common factor, where they are not
/// equal: a point weighs 1/σ² (SciPy's `sigma`, with `absolute_sigma` false).
pub fn curve_fit(
    formula: &mut Formula,
    x: &[f64],
    y: &[f64],
    start: &[f64],
    sigma: Option<&[f64]>,
) -> Result<CurveFit> {
    if x.len() != y.len() || x.len() <= start.len() || start.is_empty() {
        return Err(Error::invalid(format!(
            "curve_fit: expected as many xs as ys and more of them than parameters, found {}, {} and {}",
            x.len(),
            y.len(),
            start.len()
        )));
    }
    if let Some(bad) = x.iter().chain(y).chain(start).find(|value| !value.is_finite()) {
        return Err(Error::invalid(format!("curve_fit: expected finite numbers, found {bad}")));
    }
    let equal = vec![1.0; x.len()];
    let sigma = sigma.unwrap_or(&equal);
    if sigma.len() != x.len() || sigma.iter().any(|sigma| !(*sigma > 0.0 && sigma.is_finite())) {
        return Err(Error::invalid(format!(
            "curve_fit: expected an error above 0 for each of {} points, found {sigma:?}",
            x.len()
        )));
    }
    let problem = Problem {
        formula: RefCell::new(formula),
        error: RefCell::default(),
        x,
        y,
        sigma,
        p: DVector::from_column_slice(start),
    };
    let (solved, report) = LevenbergMarquardt::new().with_patience(1000).minimize(problem);
    if let Some(error) = solved.error.borrow_mut().take() {
        return Err(error);
    }
    let no_fit = || {
        Error::invalid(format!(
            "curve_fit: no fit from {start:?} ({}); start nearer, or write parameters of similar size",
            ended(&report.termination)
        ))
    };
    let (Some(residuals), Some(jacobian)) = (solved.residuals(), solved.derivatives()) else {
        return Err(no_fit());
    };
    if !report.termination.was_successful() || !residuals.iter().all(|value| value.is_finite()) {
        return Err(no_fit());
    }
    let ssr = residuals.norm_squared();
    let weighed =
        |f: &dyn Fn(f64) -> f64| y.iter().zip(sigma).map(|(y, sigma)| f(*y) / (sigma * sigma)).sum::<f64>();
    let mean = weighed(&|y| y) / weighed(&|_| 1.0);
    let total = weighed(&|y| (y - mean).powi(2));
    Ok(CurveFit {
        p: solved.p.iter().copied().collect(),
        errors: standard_errors(&jacobian, ssr).unwrap_or_else(|| vec![f64::INFINITY; start.len()]),
        r2: 1.0 - ssr / total,
        n: x.len(),
    })
}

/// Why a search ended without a result.
fn ended(termination: &TerminationReason) -> &'static str {
    match termination {
        TerminationReason::LostPatience => {
            "it does not settle: the points may not say where the parameters lie"
        }
        TerminationReason::NoImprovementPossible(_) => "no step makes it better",
        TerminationReason::Numerical(_) | TerminationReason::User(_) => "the formula is not a number there",
        _ => "there is no search to make",
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
    }

    /// SciPy's `curve_fit` of Eq. 1 on the stored cases where it has finite errors.
    #[test]
    fn any_formula_is_fitted_as_scipy_does() {
        let stored: Stored = serde_json::from_str(include_str!("../../tests/reference/fits.json")).unwrap();
        let mut compared = 0;
        for case in stored.cases {
            let (Some(c), Some(se_a), Some(se_b), Some(se_c)) = (case.c, case.se_a, case.se_b, case.se_c)
            else {
                continue;
            };
            if se_a == 0.0 {
                continue;
            }
            let mut eq1 = |t: f64, p: &[f64]| Ok((p[0] / t + p[1]) * (-t / p[2]).exp());
            let start = [case.a * 1.3, case.b * 0.8, c * 1.2];
            let fit = curve_fit(&mut eq1, &case.t, &case.gap, &start, None).unwrap();
            for (found, expected) in fit.p.iter().zip([case.a, case.b, c]) {
                assert!((found / expected - 1.0).abs() < 1e-6, "{}: {found}, SciPy {expected}", case.name);
            }
            for (found, expected) in fit.errors.iter().zip([se_a, se_b, se_c]) {
                assert!(
                    (found / expected - 1.0).abs() < 1e-6,
                    "{}: error {found}, SciPy {expected}",
                    case.name
                );
            }
            compared += 1;
        }
        assert!(compared >= 3, "{compared}");
    }

    #[test]
    fn errors_of_the_formula_and_bad_points_are_told() {
        let mut fails = |_: f64, _: &[f64]| Err(Error::invalid("no such thing"));
        let error = curve_fit(&mut fails, &[1.0, 2.0], &[1.0, 2.0], &[1.0], None).unwrap_err();
        assert!(error.to_string().contains("no such thing"));
        let mut line = |x: f64, p: &[f64]| Ok(p[0] * x);
        assert!(curve_fit(&mut line, &[1.0], &[1.0], &[1.0], None).is_err());
        assert!(curve_fit(&mut line, &[1.0, f64::NAN], &[1.0, 2.0], &[1.0], None).is_err());
        let fit = curve_fit(&mut line, &[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0], &[0.0], None).unwrap();
        assert!((fit.p[0] - 2.0).abs() < 1e-9 && fit.r2 > 1.0 - 1e-12);
    }

    #[test]
    fn points_of_different_error_weigh_as_scipy_weighs_them() {
        #[derive(serde::Deserialize)]
        struct Stored {
            weighted: Weighted,
        }
        #[derive(serde::Deserialize)]
        struct Weighted {
            x: Vec<f64>,
            y: Vec<f64>,
            sigma: Vec<f64>,
            p: Vec<f64>,
            errors: Vec<f64>,
        }
        let stored: Stored = serde_json::from_str(include_str!("../../tests/reference/tests.json")).unwrap();
        let Weighted { x, y, sigma, p, errors } = stored.weighted;
        let mut decay = |x: f64, p: &[f64]| Ok(p[0] * (-x / p[1]).exp());
        let fit = curve_fit(&mut decay, &x, &y, &[1.0, 1.0], Some(&sigma)).unwrap();
        for (found, expected) in fit.p.iter().chain(&fit.errors).zip(p.iter().chain(&errors)) {
            assert!((found / expected - 1.0).abs() < 1e-6, "{found}, SciPy {expected}");
        }
        assert!(curve_fit(&mut decay, &x, &y, &[1.0, 1.0], Some(&sigma[1..])).is_err());
    }
}
