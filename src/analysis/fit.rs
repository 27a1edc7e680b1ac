//! The fit of Eq. 1, gap = (a/T + b) e^(−T/c) with positive a, b, c, by least squares.

use std::sync::Arc;

use nalgebra::DMatrix;

use super::bootstrap::{Bootstrap, SeededGaps, draw_again};
use super::curve::standard_errors;
use super::eq1::{derivatives, eq1, means, parameters, predict, usable};
use super::statistics::is_constant;
use crate::error::{Error, Result};

/// The fitted parameters of Eq. 1 with their standard errors.
#[derive(Clone, Debug, PartialEq)]
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
    /// 1 − (sum of squared residuals) / (sum of squares about the mean); NaN where the gap does not
    /// vary.
    pub r2: f64,
    /// Points used.
    pub n: usize,
    /// Fits of data drawn again, where they were asked for and the runs differ.
    pub bootstrap: Option<Arc<Bootstrap>>,
    /// Whether they were asked for and there is nothing to draw: runs that differ by chance alone
    /// do not differ.
    pub spreadless: bool,
    /// Rows of runs that are not converged, where the table says so.
    pub unconverged: usize,
}

/// Why a bootstrap has nothing to draw.
pub(crate) const SPREADLESS: &str =
    "runs that differ in seeds alone have the same gap, so that nothing says how certain the fit is";

impl GapFit {
    /// What the data do not show of Eq. 1, if anything: a parameter is at the end of its range
    /// then.
    pub fn remark(&self) -> Option<&'static str> {
        if self.r2.is_nan() {
            return Some("the gap does not vary: R² is not defined, and there are no errors");
        }
        if self.spreadless {
            return Some("no intervals: runs that differ in seeds alone have the same gap");
        }
        match (self.a == 0.0, self.b == 0.0, self.c.is_infinite()) {
            (true, _, true) => Some("no fall with T: a = 0, c = ∞"),
            (true, ..) => Some("no 1/T term: a = 0"),
            (_, true, _) => Some("no level: b = 0"),
            (_, _, true) => Some("no decay: c = ∞"),
            _ => None,
        }
    }

    /// The fitted gap at a temperature.
    pub fn predict(&self, temperature: f64) -> f64 {
        predict([self.a, self.b, self.c], temperature)
    }
}

/// Temperatures of a fit: both parts of the curve are kept at each of them for every c of the grid.
const MAX_TEMPERATURES: usize = 100_000;

/// Fits Eq. 1 to gaps at temperatures. Points that are not finite are left out.
pub fn fit_gap(temperature: &[f64], gap: &[f64]) -> Result<GapFit> {
    let (t, y) = usable(temperature, gap)?;
    let means = means(&t, &y);
    if means.len() > MAX_TEMPERATURES {
        return Err(Error::invalid(format!(
            "fit_gap: {} temperatures, expected at most {MAX_TEMPERATURES}; average neighbours first",
            means.len()
        )));
    }
    if t.len() < 4 || means.len() < 3 {
        return Err(Error::invalid(format!(
            "fit_gap: expected at least 4 points at 3 temperatures to fit a, b and c, found {} at {}",
            t.len(),
            means.len()
        )));
    }
    let (values, weights): (Vec<f64>, Vec<f64>) = means.iter().map(|mean| (mean.value, mean.weight)).unzip();
    let curve = eq1(means.iter().map(|mean| mean.t).collect()).fit(&values, &weights);
    Ok(summary(&t, &y, parameters(curve, means[means.len() - 1].t)))
}

/// Fits Eq. 1, and again to `draws` bootstrap samples, which `seed` decides. Runs with the same
/// text in `seeds` are drawn together; without it each is drawn alone. Where runs do not differ by
/// chance there are no samples.
pub fn fit_gap_bootstrap(
    temperature: &[f64],
    gap: &[f64],
    seeds: Option<&[String]>,
    draws: usize,
    seed: i64,
) -> Result<GapFit> {
    if draws < 100 {
        return Err(Error::invalid(format!(
            "fit_gap: bootstrap is {draws}, expected at least 100 draws for a 95 % interval, better 1000"
        )));
    }
    let fit = fit_gap(temperature, gap)?;
    let data = SeededGaps { temperature, gap, seeds };
    Ok(match draw_again(data, [fit.a, fit.b, fit.c], draws, seed)? {
        Some(bootstrap) => GapFit { bootstrap: Some(Arc::new(bootstrap)), ..fit },
        None => GapFit { spreadless: true, ..fit },
    })
}

/// Standard errors from s² (JᵀJ)⁻¹ with s² = SSR / (n − p), as SciPy's `curve_fit` gives them.
fn summary(t: &[f64], y: &[f64], p: [f64; 3]) -> GapFit {
    let n = t.len();
    let free = if p[2].is_finite() { 3 } else { 2 };
    let jacobian = DMatrix::from_fn(n, free, |row, column| derivatives(p, t[row])[column]);
    let ssr: f64 = t.iter().zip(y).map(|(&t, &y)| (predict(p, t) - y).powi(2)).sum();
    let mean = y.iter().sum::<f64>() / n as f64;
    let total: f64 = y.iter().map(|y| (y - mean).powi(2)).sum();
    // Where the gap does not vary, nothing says how certain anything is.
    let constant = is_constant(y);
    let errors = match constant {
        true => Vec::new(),
        false => standard_errors(&jacobian, ssr, n as f64 * f64::EPSILON),
    };
    let error = |k: usize| errors.get(k).copied().unwrap_or(f64::NAN);
    GapFit {
        a: p[0],
        b: p[1],
        c: p[2],
        a_error: error(0),
        b_error: error(1),
        c_error: error(2),
        r2: if constant { f64::NAN } else { 1.0 - ssr / total },
        n,
        bootstrap: None,
        spreadless: false,
        unconverged: 0,
    }
}

impl std::fmt::Display for GapFit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use crate::table::number;
        let short = |value: f64| if value.is_infinite() { "∞".to_owned() } else { number(value) };
        let line = |name, k: usize, value: f64, error: f64| {
            let interval = match &self.bootstrap {
                Some(bootstrap) => {
                    let (low, high) = bootstrap.interval(k);
                    format!(" (95 %: {} to {})", short(low), short(high))
                }
                None => String::new(),
            };
            if value.is_infinite() {
                format!("  {name} = ∞ (the data show no decay){interval}")
            } else if error.is_nan() {
                format!("  {name} = {}{interval}", number(value))
            } else {
                format!("  {name} = {} ± {}{interval}", number(value), number(error))
            }
        };
        write!(f, "gap = (a/T + b) exp(−T/c), {} points, ", self.n)?;
        match self.r2.is_nan() {
            true => writeln!(f, "the gap does not vary: R² is not defined")?,
            false => writeln!(f, "R² = {:.4}", self.r2)?,
        }
        writeln!(f, "{}", line("a", 0, self.a, self.a_error))?;
        writeln!(f, "{}", line("b", 1, self.b, self.b_error))?;
        write!(f, "{}", line("c", 2, self.c, self.c_error))?;
        if self.spreadless {
            write!(f, "\n  no intervals: {SPREADLESS}")?;
        }
        match self.unconverged {
            0 => Ok(()),
            runs => {
                write!(
                    f,
                    "\n  {runs} of the {} runs are not converged; .filter(\"converged\") leaves them out",
                    self.n
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::eq1::Eq1;
    use super::super::variable_projection::{Family, ShapedCurve};
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
    fn more_temperatures_than_memory_holds_are_refused() {
        let t: Vec<f64> = (1..=100_001).map(f64::from).collect();
        let error = fit_gap(&t, &t).unwrap_err().to_string();
        assert!(error.contains("100001 temperatures, expected at most 100000"), "{error}");
    }

    #[test]
    fn fits_agree_with_scipy() {
        let stored: Stored = serde_json::from_str(include_str!("../../tests/reference/fits.json")).unwrap();
        assert!(stored.cases.len() >= 10);
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
                    Some(stored) => close(what, found, stored, 1e-6),
                    None => assert!(what == "c_error" && case.c.is_none(), "{}: {what}", case.name),
                }
            }
        }
    }

    #[test]
    fn derivatives_agree_with_finite_differences() {
        let p = [2e-5, 0.08, 5e-3];
        for t in [2e-4, 1e-3, 6e-3] {
            for k in 0..3 {
                let step = p[k] * 1e-6;
                let (mut up, mut down) = (p, p);
                up[k] += step;
                down[k] -= step;
                let numeric = (predict(up, t) - predict(down, t)) / (2.0 * step);
                let exact = derivatives(p, t)[k];
                assert!((numeric - exact).abs() < 1e-7 * exact.abs(), "{k} {t}");
            }
        }
        // The derivative by the shape 1/c, where c may be infinite.
        for shape in [0.0, 200.0] {
            let by = |shape: f64| ShapedCurve { coefficients: [2e-5, 0.08], shape }.at(&Eq1, 1e-3);
            let numeric = (by(shape + 1e-3) - by(shape - 1e-3)) / 2e-3;
            assert!((numeric / Eq1.by_shape(1e-3, shape, [2e-5, 0.08]) - 1.0).abs() < 1e-7);
        }
    }

    #[test]
    fn too_few_points_are_refused() {
        assert!(fit_gap(&[1e-3, 2e-3], &[0.1, 0.2]).is_err());
        assert!(fit_gap(&[1e-3, -2e-3, 1e-2, 1e-1], &[0.1, 0.2, 0.1, 0.1]).is_err());
    }

    #[test]
    fn gaps_that_do_not_fall_or_are_negative_have_a_fit_at_the_bounds() {
        let t = [1e-3, 2e-3, 4e-3, 8e-3];
        let rising = fit_gap(&t, &[0.1, 0.2, 0.3, 0.4]).unwrap();
        assert!(rising.a == 0.0 && (rising.b - 0.25).abs() < 1e-12 && rising.c.is_infinite(), "{rising}");
        let negative = fit_gap(&t, &[-0.1, -0.1, -0.2, -0.1]).unwrap();
        assert_eq!((negative.a, negative.b), (0.0, 0.0));
    }
}
