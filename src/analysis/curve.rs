//! The fit of any formula by least squares.

use std::cell::RefCell;

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt, TerminationReason};
use nalgebra::storage::Owned;
use nalgebra::{DMatrix, DVector, Dyn};

use super::statistics::is_constant;
use crate::error::{Error, Result};
use crate::options::{DefaultValue, Kind, Opt};

/// The options of `curve_fit`.
pub const CURVE_OPTIONS: &[Opt] = &[Opt::new(
    "sigma",
    Kind::List(&Kind::NUMBER),
    DefaultValue::Absent("equal"),
    "the error of each point, up to a common factor",
)];

/// Parameters of a formula at most: the normal equations of more cannot be interrupted.
const MAX_PARAMETERS: usize = 100;

/// Fitted parameters with their standard errors, from s² (JᵀJ)⁻¹ with s² = SSR / (n − p), as
/// SciPy's `curve_fit`.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveFit {
    /// The parameters.
    pub p: Vec<f64>,
    /// Their standard errors; NaN of a parameter that the points do not determine.
    pub errors: Vec<f64>,
    /// 1 − (sum of squared residuals) / (sum of squares about the mean), weighed as the points are;
    /// NaN where the values do not vary.
    pub r2: f64,
    /// Points used.
    pub n: usize,
}

impl CurveFit {
    /// What the points do not tell, if anything.
    pub fn problem(&self) -> Option<String> {
        let unknown: Vec<String> =
            (0..self.p.len()).filter(|&k| self.errors[k].is_nan()).map(|k| format!("p[{k}]")).collect();
        let mut said = Vec::new();
        if !unknown.is_empty() {
            let they = unknown.join(", ");
            said.push(format!("the points do not determine {they}: other values fit as well"));
        }
        if self.r2.is_nan() {
            said.push("the values do not vary: R² is not defined".to_owned());
        }
        (!said.is_empty()).then(|| said.join("; "))
    }
}

/// A formula: x and parameters to y.
pub type Formula<'a> = dyn FnMut(f64, &[f64]) -> Result<f64> + 'a;

struct Residuals<'a, 'f> {
    formula: RefCell<&'a mut Formula<'f>>,
    /// The first error of the formula.
    error: RefCell<Option<Error>>,
    x: &'a [f64],
    y: &'a [f64],
    /// What a residual is divided by.
    sigma: &'a [f64],
    p: DVector<f64>,
}

/// Derivatives of the residuals by the parameters, a column each.
struct Derivatives {
    jacobian: DMatrix<f64>,
    /// The relative error of the worst column.
    accuracy: f64,
}

/// Central differences by one parameter, for one step.
struct Difference {
    column: DVector<f64>,
    /// The relative error that rounding makes of it.
    noise: f64,
    /// The largest change of a value, in units of the curve's size.
    seen: f64,
}

impl Residuals<'_, '_> {
    /// The curve in units of the points' errors.
    fn curve(&self, p: &[f64]) -> Option<DVector<f64>> {
        let mut formula = self.formula.borrow_mut();
        let values = self.x.iter().zip(self.sigma).map(|(&x, sigma)| Ok(formula(x, p)? / sigma));
        match values.collect::<Result<Vec<_>>>() {
            Ok(values) => Some(DVector::from_vec(values)),
            Err(error) => {
                self.error.borrow_mut().get_or_insert(error);
                None
            }
        }
    }

    /// The difference quotient for one step; with one side where the other leaves the formula's
    /// domain.
    fn difference(&self, here: &DVector<f64>, size: f64, k: usize, step: f64) -> Option<Difference> {
        let moved = |by: f64| {
            let mut p: Vec<f64> = self.p.iter().copied().collect();
            p[k] += by;
            Some((p[k], self.curve(&p)?))
        };
        let ((mut high, mut up), (mut low, mut down)) = (moved(step)?, moved(-step)?);
        let finite = |curve: &DVector<f64>| curve.iter().all(|value| value.is_finite());
        match (finite(&up), finite(&down)) {
            (true, false) => (low, down) = (self.p[k], here.clone()),
            (false, true) => (high, up) = (self.p[k], here.clone()),
            _ => {}
        }
        let change = up - down;
        // The largest of numbers leaves NaN out.
        let seen = if finite(&change) { change.amax() / size } else { f64::INFINITY };
        // The step that was made, which is not quite the one that was asked for.
        Some(Difference { column: change / (high - low), noise: f64::EPSILON / seen, seen })
    }

    /// The derivatives by one parameter. The step starts at the third root of the precision, in
    /// units of the parameter (MINPACK takes the square root, for one-sided differences). Near 0
    /// that is no measure, so the step shrinks while the curve changes by much, and grows while
    /// what is seen of a change is rounding, as long as what it finds agrees with what smaller
    /// steps found.
    fn by(&self, here: &DVector<f64>, size: f64, k: usize) -> Option<Difference> {
        /// Changes of the curve, in units of its size: of more than the first, curvature is in the
        /// difference.
        const MUCH: f64 = 1e-3;
        /// Of less than this, rounding is.
        const LITTLE: f64 = 1e-6;
        /// A larger step's difference is that of a smaller one within so many times the rounding of
        /// this.
        const AGREES: f64 = 8.0;
        const TRIES: usize = 40;
        let natural = if self.p[k] == 0.0 { 1.0 } else { self.p[k].abs() };
        let furthest = 1e3 * self.p.amax().max(1.0);
        let mut step = f64::EPSILON.cbrt() * natural;
        let mut found = self.difference(here, size, k, step)?;
        for _ in 0..TRIES {
            if found.seen > MUCH {
                step /= 100.0;
                found = self.difference(here, size, k, step)?;
                continue;
            }
            let factor = match found.seen {
                seen if seen >= LITTLE => break,
                0.0 => 1e4,
                seen if seen < 1e-12 => 100.0,
                _ => 10.0,
            };
            if found.seen == 0.0 && factor * step > furthest {
                break;
            }
            step *= factor;
            let next = self.difference(here, size, k, step)?;
            let apart = (&next.column - &found.column).amax() / next.column.amax();
            if next.seen > MUCH || apart > AGREES * found.noise {
                break;
            }
            found = next;
        }
        Some(found)
    }

    fn derivatives(&self) -> Option<Derivatives> {
        /// Where rounding is nothing, the step's size leaves an error of this order.
        const BEST: f64 = 1e-9;
        let here = self.curve(self.p.as_slice())?;
        let values = self.y.iter().zip(self.sigma).map(|(y, sigma)| y / sigma);
        let size = values.fold(here.amax(), |size, value| size.max(value.abs())).max(f64::MIN_POSITIVE);
        let columns: Vec<Difference> =
            (0..self.p.len()).map(|k| self.by(&here, size, k)).collect::<Option<_>>()?;
        let noise = columns.iter().filter(|found| found.seen > 0.0).map(|found| 16.0 * found.noise);
        let accuracy = noise.fold(BEST, f64::max);
        let columns: Vec<DVector<f64>> = columns.into_iter().map(|found| found.column).collect();
        Some(Derivatives { jacobian: DMatrix::from_columns(&columns), accuracy })
    }
}

impl LeastSquaresProblem<f64, Dyn, Dyn> for Residuals<'_, '_> {
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
        let values = self.y.iter().zip(self.sigma).map(|(y, sigma)| y / sigma);
        Some(curve - DVector::from_iterator(self.y.len(), values))
    }

    fn jacobian(&self) -> Option<DMatrix<f64>> {
        self.derivatives().map(|found| found.jacobian)
    }
}

/// Standard errors of parameters from the derivatives of the residuals by them, which are known to
/// the relative `accuracy`: s² (JᵀJ)⁻¹ with s² = SSR / (n − rank). NaN of a parameter that takes
/// part in a direction in which nothing changes: the data do not determine it.
pub(super) fn standard_errors(jacobian: &DMatrix<f64>, ssr: f64, accuracy: f64) -> Vec<f64> {
    /// A parameter's part in such a direction that is more than rounding.
    const PART: f64 = 1e-4;
    let (n, free) = jacobian.shape();
    // Columns may differ by many orders of magnitude: scale them first. With J = U S Vᵀ, (JᵀJ)⁻¹ =
    // V S⁻² Vᵀ.
    let norms: Vec<f64> = jacobian.column_iter().map(|column| column.norm().max(f64::MIN_POSITIVE)).collect();
    let scaled = DMatrix::from_fn(n, free, |row, k| jacobian[(row, k)] / norms[k]);
    let Some(svd) = scaled.iter().all(|value| value.is_finite()).then(|| scaled.svd(false, true)) else {
        return vec![f64::NAN; free];
    };
    let Some(directions) = svd.v_t else { return vec![f64::NAN; free] };
    let known = |direction: usize| svd.singular_values[direction] > accuracy;
    let rank = (0..free).filter(|&direction| known(direction)).count();
    let variance = ssr / (n - rank) as f64;
    let error = |k: usize| {
        let part = |direction: usize| directions[(direction, k)];
        if (0..free).any(|direction| !known(direction) && part(direction).abs() > PART) {
            return f64::NAN;
        }
        let along = (0..free).filter(|&direction| known(direction));
        let squares: f64 =
            along.map(|direction| (part(direction) / svd.singular_values[direction]).powi(2)).sum();
        (variance * squares).sqrt() / norms[k]
    };
    (0..free).map(error).collect()
}

/// Fits `formula` to points, from the parameters `start`. `sigma` are the points' errors up to a
/// common factor, where they are not equal: a point weighs 1/σ² (SciPy's `sigma`, with
/// `absolute_sigma` false).
pub fn curve_fit(
    formula: &mut Formula,
    x: &[f64],
    y: &[f64],
    start: &[f64],
    sigma: Option<&[f64]>,
) -> Result<CurveFit> {
    if start.len() > MAX_PARAMETERS {
        return Err(Error::invalid(format!(
            "curve_fit: p0: expected at most {MAX_PARAMETERS} parameters, found {}",
            start.len()
        )));
    }
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
    let residuals = Residuals {
        formula: RefCell::new(formula),
        error: RefCell::default(),
        x,
        y,
        sigma,
        p: DVector::from_column_slice(start),
    };
    let (solved, report) = LevenbergMarquardt::new().with_patience(1000).minimize(residuals);
    if let Some(error) = solved.error.borrow_mut().take() {
        return Err(error);
    }
    let no_fit = || {
        Error::invalid(format!(
            "curve_fit: no fit from {start:?} ({}); start nearer, or write parameters of similar size",
            ended(&report.termination)
        ))
    };
    let (Some(residuals), Some(Derivatives { jacobian, accuracy })) =
        (solved.residuals(), solved.derivatives())
    else {
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
        errors: standard_errors(&jacobian, ssr, accuracy),
        r2: if is_constant(y) { f64::NAN } else { 1.0 - ssr / total },
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

    /// SciPy's fits from starts that are hard for finite differences: parameters that are 0, or of
    /// very different sizes, or not determined (`make_curves.py`).
    #[test]
    fn hard_starts_and_undetermined_parameters_end_as_scipy_says() {
        #[derive(serde::Deserialize)]
        struct Stored {
            cases: Vec<Case>,
        }
        #[derive(serde::Deserialize)]
        struct Case {
            name: String,
            formula: String,
            x: Vec<f64>,
            y: Vec<f64>,
            start: Vec<f64>,
            p: Vec<Option<f64>>,
            errors: Vec<Option<f64>>,
            tolerance: f64,
        }
        let stored: Stored = serde_json::from_str(include_str!("../../tests/reference/curves.json")).unwrap();
        assert!(stored.cases.len() >= 12);
        for Case { name, formula, x, y, start, p, errors, tolerance } in stored.cases {
            let value = |x: f64, p: &[f64]| match formula.as_str() {
                "line" => p[0] + p[1] * x,
                "parabola" => p[0] + p[1] * x + p[2] * x * x,
                "decay" => p[0] * (-x * p[1]).exp(),
                "decay_to" => p[0] * (-x * p[1]).exp() + p[2],
                "peak" => p[0] * (-((x - p[1]) / p[2]).powi(2)).exp(),
                "sigmoid" => p[0] / (1.0 + (-(x - p[1]) / p[2]).exp()),
                "power" => p[0] * x.powf(p[1]),
                "wave" => p[0] * (p[1] * x + p[2]).sin(),
                "saturating" => p[0] * (1.0 - (-p[1] * x).exp()),
                "root" => (p[0] + p[1] * x).sqrt(),
                "twice" => (p[0] + p[1]) * x + p[2],
                "unused" => p[0] * x,
                "product" => p[0] * p[1] * x,
                other => panic!("{other}"),
            };
            let mut calls = 0;
            let mut counted = |x: f64, p: &[f64]| {
                calls += 1;
                Ok(value(x, p))
            };
            let fit = curve_fit(&mut counted, &x, &y, &start, None)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut unknown = Vec::new();
            for (k, (p, error)) in p.iter().zip(&errors).enumerate() {
                let (Some(p), Some(error)) = (p, error) else {
                    assert!(fit.errors[k].is_nan(), "{name}: p[{k}] has an error of {}", fit.errors[k]);
                    unknown.push(format!("p[{k}]"));
                    continue;
                };
                let (off, of_error) = ((fit.p[k] - p).abs() / error, fit.errors[k] / error - 1.0);
                assert!(off < tolerance, "{name}: p[{k}] is {}, SciPy {p} ± {error}", fit.p[k]);
                assert!(of_error.abs() < tolerance, "{name}: error {k} is {}, SciPy {error}", fit.errors[k]);
            }
            let said = fit.problem().unwrap_or_default();
            assert_eq!(said.is_empty(), unknown.is_empty(), "{name}: {said}");
            assert!(said.contains(&unknown.join(", ")), "{name}: {said}");
            assert!(calls < 200 * x.len() * start.len(), "{name}: {calls} calls for {} points", x.len());
        }
    }

    #[test]
    fn values_that_do_not_vary_have_no_r2() {
        let mut level = |_: f64, p: &[f64]| Ok(p[0]);
        for y in [[0.3; 4], [0.0; 4], [0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2]] {
            let fit = curve_fit(&mut level, &[1.0, 2.0, 3.0, 4.0], &y, &[1.0], None).unwrap();
            assert!((fit.p[0] - y[0]).abs() < 1e-9 && fit.r2.is_nan(), "{fit:?}");
            assert!(fit.problem().unwrap().contains("the values do not vary: R² is not defined"));
        }
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
