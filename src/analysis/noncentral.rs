//! The noncentral F distribution: of an F statistic where the groups do differ.

use statrs::distribution::{ContinuousCDF, FisherSnedecor, Normal};
use statrs::function::beta::{beta_reg, ln_beta};
use statrs::function::gamma::ln_gamma;

use crate::error::{Error, Result};

/// Above this noncentrality the sum over a Poisson distribution gives way to an approximation.
const LARGE: f64 = 1e4;
/// Weights of the sum that are left out are below this share of the largest.
const NEGLIGIBLE: f64 = 1e-16;

/// The probability of a statistic of at most `f`, with `d1` and `d2` degrees of freedom and
/// noncentrality λ: the mean of central distributions over a Poisson number with mean λ/2 (Johnson,
/// Kotz and Balakrishnan 1995, chapter 30); for a large λ a central F with the same first two
/// moments of its numerator (Patnaik 1949).
pub(super) fn noncentral_f(f: f64, d1: f64, d2: f64, lambda: f64) -> Result<f64> {
    if lambda > LARGE {
        let own = (d1 + lambda).powi(2) / (d1 + 2.0 * lambda);
        let central = FisherSnedecor::new(own, d2).map_err(|error| Error::invalid(error.to_string()))?;
        return Ok(central.cdf(f * d1 / (d1 + lambda)));
    }
    let x = d1 * f / (d1 * f + d2);
    let mean = lambda / 2.0;
    if x <= 0.0 || x >= 1.0 || mean == 0.0 {
        return Ok(if x >= 1.0 { 1.0 } else { beta_reg(d1 / 2.0, d2 / 2.0, x.max(0.0)) });
    }
    // Outwards from the largest weight. The neighbours of both factors follow from each other: I(a
    // + 1, b) = I(a, b) − step(a) with step(a) = xᵃ (1 − x)ᵇ / (a B(a, b)).
    let middle = mean.floor();
    let weight = (middle * mean.ln() - mean - ln_gamma(middle + 1.0)).exp();
    let (a, b) = (d1 / 2.0 + middle, d2 / 2.0);
    let share = beta_reg(a, b, x);
    let step = (a * x.ln() + b * (1.0 - x).ln() - a.ln() - ln_beta(a, b)).exp();
    let enough = NEGLIGIBLE * weight;
    let mut sum = weight * share;
    let (mut j, mut w, mut i, mut s) = (middle, weight, share, step);
    while w > enough {
        i -= s;
        s *= x * (d1 / 2.0 + j + b) / (d1 / 2.0 + j + 1.0);
        j += 1.0;
        w *= mean / j;
        sum += w * i;
    }
    (j, w, i, s) = (middle, weight, share, step);
    while j > 0.0 && w > enough {
        s *= (d1 / 2.0 + j) / (x * (d1 / 2.0 + j - 1.0 + b));
        i += s;
        w *= j / mean;
        j -= 1.0;
        sum += w * i;
    }
    Ok(sum)
}

/// The noncentrality for which `f` is at the quantile `p`; 0 where it is below that quantile of the
/// central distribution already (an interval for λ by inversion; Steiger 2004).
pub(super) fn noncentrality(f: f64, d1: f64, d2: f64, p: f64) -> Result<f64> {
    if !f.is_finite() {
        return Ok(f64::INFINITY);
    }
    let above = |lambda: f64| Ok::<bool, Error>(noncentral_f(f, d1, d2, lambda)? > p);
    if !above(0.0)? {
        return Ok(0.0);
    }
    // A start beyond the answer: the normal approximation of the statistic, doubled until it is.
    let mut high = d1 * f + Normal::standard().inverse_cdf(0.999).powi(2);
    while above(high)? {
        high *= 2.0;
    }
    let mut low = 0.0;
    while high - low > 1e-10 * high {
        let middle = (low + high) / 2.0;
        if above(middle)? { low = middle } else { high = middle }
    }
    Ok((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Stored {
        noncentral_f: Vec<[f64; 5]>,
    }

    #[test]
    fn probabilities_agree_with_scipy() {
        let stored: Stored = serde_json::from_str(include_str!("../../tests/reference/tests.json")).unwrap();
        assert!(stored.noncentral_f.len() >= 6);
        for [f, d1, d2, lambda, p] in stored.noncentral_f {
            let found = noncentral_f(f, d1, d2, lambda).unwrap();
            let tolerance = if lambda > LARGE { 1e-3 } else { 1e-9 };
            assert!((found - p).abs() < tolerance, "{f} {d1} {d2} {lambda}: {found} instead of {p}");
            // And back, where the probability is one that can be inverted.
            if lambda > 0.0 && (1e-3..0.999).contains(&p) && lambda <= LARGE {
                let back = noncentrality(f, d1, d2, p).unwrap();
                assert!((back / lambda - 1.0).abs() < 1e-6, "{back} instead of {lambda}");
            }
        }
        assert_eq!(noncentrality(0.5, 3.0, 10.0, 0.975).unwrap(), 0.0);
    }
}
