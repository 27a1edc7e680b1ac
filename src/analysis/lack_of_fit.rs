//! Is a curve off the means by more than their spread explains?
//!
//! The means of the temperatures are compared with the curve fitted to them, each weighed by one
//! over its variance. How large that sum of squares is by chance, where every temperature has its
//! own spread and few runs to know it from, comes from the parametric bootstrap (Krishnamoorthy, Lu
//! and Mathew 2007, for equal means; here for a curve, along its tangent): means and variances are
//! drawn from normal and chi-squared distributions, and weighed and fitted in the same way.

use nalgebra::{DMatrix, DVector};

use super::eq1::{Eq1, eq1};
use super::groups::Levels;
use super::variable_projection::Family;
use crate::rng::{Rng, Stream};

/// The probability of means so far off the nearest curve of Eq. 1 by chance. None where seeds do
/// not differ, or at no more temperatures than the curve has parameters.
pub(super) fn lack_of_fit(levels: &Levels, draws: usize, seed: i64) -> Option<f64> {
    let known: Vec<(usize, f64, f64)> = (0..levels.t.len())
        .filter_map(|level| levels.error(level).map(|(variance, free)| (level, variance, free)))
        .collect();
    let largest = known.iter().map(|(_, variance, _)| *variance).fold(0.0, f64::max);
    if largest == 0.0 {
        return None;
    }
    // Seeds that agree by chance do not make a mean exact.
    let variances: Vec<f64> = known.iter().map(|(_, variance, _)| variance.max(1e-9 * largest)).collect();
    let t: Vec<f64> = known.iter().map(|(level, ..)| levels.t[*level]).collect();
    let means: Vec<f64> = known.iter().map(|(level, ..)| levels.means[*level]).collect();
    let weights: Vec<f64> = variances.iter().map(|variance| largest / variance).collect();
    let fit = eq1(t.clone()).fit(&means, &weights);
    // Parameters at their bounds are not free.
    let [a, b] = fit.coefficients;
    let mut columns: Vec<DVector<f64>> = Vec::new();
    let mut add = |column: &dyn Fn(f64) -> f64| {
        columns.push(DVector::from_iterator(t.len(), t.iter().map(|&t| column(t))))
    };
    if a > 0.0 {
        add(&|t| Eq1.basis(t, fit.shape)[0]);
    }
    if b > 0.0 {
        add(&|t| Eq1.basis(t, fit.shape)[1]);
    }
    if fit.shape > 0.0 && a + b > 0.0 {
        add(&|t| Eq1.by_shape(t, fit.shape, fit.coefficients));
    }
    if columns.len() >= t.len() {
        return None;
    }
    let off = |values: &[f64], variances: &[f64]| {
        let root = DVector::from_iterator(t.len(), variances.iter().map(|variance| variance.sqrt().recip()));
        let y = DVector::from_column_slice(values).component_mul(&root);
        let scaled: Vec<DVector<f64>> = columns
            .iter()
            .map(|column| column.component_mul(&root))
            .map(|column| column.normalize())
            .collect();
        if scaled.is_empty() {
            return y.norm_squared();
        }
        let q = DMatrix::from_columns(&scaled).qr().q();
        (&y - &q * (q.transpose() * &y)).norm_squared()
    };
    let found: f64 = (0..t.len()).map(|at| (means[at] - fit.at(&Eq1, t[at])).powi(2) / variances[at]).sum();
    let larger = (0..draws as u64)
        .filter(|&draw| {
            let mut rng = Rng::new(seed, Stream::Bootstrap, draw);
            let mut normal = || rng.normal_pair().0;
            let drawn: Vec<f64> = variances.iter().map(|variance| variance.sqrt() * normal()).collect();
            let spreads: Vec<f64> = variances
                .iter()
                .zip(&known)
                .map(|(variance, (_, _, free))| {
                    variance * (0..*free as usize).map(|_| normal().powi(2)).sum::<f64>() / free
                })
                .collect();
            off(&drawn, &spreads) >= found
        })
        .count();
    Some((larger as f64 + 1.0) / (draws as f64 + 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::groups::Point;
    use super::super::simulated::{SimulatedRuns, draw, rate};
    use super::*;

    const SETS: i64 = 300;

    fn rejected(design: SimulatedRuns, value: impl Fn(f64) -> f64) -> f64 {
        let rejects = |seed: i64| {
            lack_of_fit(&Levels::new(&draw(seed, design, &value)), 300, 1).is_some_and(|p| p < 0.05)
        };
        (0..SETS).filter(|&seed| rejects(seed)).count() as f64 / SETS as f64
    }

    fn eq1(t: f64) -> f64 {
        (1e-5 / t + 0.05) * (-t / 0.02).exp()
    }

    #[test]
    fn a_true_curve_is_rejected_at_the_stated_rate_however_runs_spread() {
        for design in SimulatedRuns::all(0.005) {
            let found = rejected(design, eq1);
            assert!(found < rate(0.05), "{design:?}: {found}");
        }
    }

    #[test]
    fn another_curve_is_rejected() {
        let found = rejected(SimulatedRuns::even(0.003), |t| if t < 1e-3 { 0.1 } else { 0.02 });
        assert!(found > 0.95, "{found}");
    }

    #[test]
    fn without_temperatures_or_seeds_to_spare_there_is_no_test() {
        let points = draw(1, SimulatedRuns::even(1e-4), eq1);
        let test = |is: &dyn Fn(&Point) -> bool| {
            let some: Vec<Point> = points.iter().filter(|point| is(point)).cloned().collect();
            lack_of_fit(&Levels::new(&some), 300, 1)
        };
        assert!(test(&|_| true).is_some());
        assert!(test(&|point| point.temperature < 1e-3).is_none());
        assert!(test(&|point| point.seed == "0").is_none());
    }
}
