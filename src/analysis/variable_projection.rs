//! Least squares for curves with two coefficients and one shape: y = a·u(t, s) + b·v(t, s), a and b
//! never negative.
//!
//! For a given shape s the best a and b are linear (variable projection; Golub and Pereyra 1973),
//! so that only s has to be searched: where the sum of squares stops falling along s. Every such
//! place between two neighbours of a grid is found by bisection, and the best one is the answer,
//! without a start to choose.

/// Observations of one temperature: least squares asks no more of them than their mean and their
/// number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mean {
    pub(super) t: f64,
    pub(super) value: f64,
    pub(super) weight: f64,
}

/// A family of curves.
pub(super) trait Family {
    /// u and v at a position and shape.
    fn basis(&self, t: f64, shape: f64) -> [f64; 2];

    /// The derivative of the curve by its shape.
    fn by_shape(&self, t: f64, shape: f64, coefficients: [f64; 2]) -> f64;
}

/// A family on given positions, with u and v at every shape of the grid.
pub(super) struct Separable<'a, F> {
    family: &'a F,
    t: Vec<f64>,
    grid: Vec<f64>,
    /// For each shape of the grid, u and v at each position.
    bases: Vec<Vec<[f64; 2]>>,
}

/// A curve of the family: its coefficients and its shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ShapedCurve {
    pub(super) coefficients: [f64; 2],
    pub(super) shape: f64,
}

/// Halvings of an interval between two shapes: beyond what a float resolves.
const HALVINGS: usize = 60;

impl<'a, F: Family> Separable<'a, F> {
    /// `grid` is ascending; its ends are the bounds of the shape.
    pub(super) fn new(family: &'a F, t: Vec<f64>, grid: Vec<f64>) -> Self {
        let bases = grid.iter().map(|&shape| t.iter().map(|&t| family.basis(t, shape)).collect()).collect();
        Self { family, t, grid, bases }
    }

    /// The curve nearest to a mean at each position, which weighs as much as its observations.
    pub(super) fn fit(&self, values: &[f64], weights: &[f64]) -> ShapedCurve {
        let slope = |basis: &[[f64; 2]], shape: f64| {
            let [a, b] = linear(basis, values, weights);
            let slope: f64 = basis
                .iter()
                .zip(&self.t)
                .zip(values.iter().zip(weights))
                .map(|(([u, v], &t), (value, weight))| {
                    weight * (a * u + b * v - value) * self.family.by_shape(t, shape, [a, b])
                })
                .sum();
            slope
        };
        let slopes: Vec<f64> =
            self.bases.iter().zip(&self.grid).map(|(basis, &shape)| slope(basis, shape)).collect();
        let last = self.grid.len() - 1;
        let mut places: Vec<f64> = Vec::new();
        if slopes[0] >= 0.0 {
            places.push(self.grid[0]);
        }
        if slopes[last] <= 0.0 {
            places.push(self.grid[last]);
        }
        for step in 0..last {
            if slopes[step] < 0.0 && slopes[step + 1] >= 0.0 {
                let (mut low, mut high) = (self.grid[step], self.grid[step + 1]);
                for _ in 0..HALVINGS {
                    let middle = (low + high) / 2.0;
                    if middle <= low || middle >= high {
                        break;
                    }
                    if slope(&self.basis(middle), middle) < 0.0 { low = middle } else { high = middle }
                }
                places.push((low + high) / 2.0);
            }
        }
        let curve =
            |shape: f64| ShapedCurve { coefficients: linear(&self.basis(shape), values, weights), shape };
        places
            .into_iter()
            .map(curve)
            .min_by(|one, other| {
                self.squares(one, values, weights).total_cmp(&self.squares(other, values, weights))
            })
            .unwrap_or_else(|| curve(self.grid[0]))
    }

    fn basis(&self, shape: f64) -> Vec<[f64; 2]> {
        self.t.iter().map(|&t| self.family.basis(t, shape)).collect()
    }

    fn squares(&self, curve: &ShapedCurve, values: &[f64], weights: &[f64]) -> f64 {
        let at = |t: f64| curve.at(self.family, t);
        self.t.iter().zip(values).zip(weights).map(|((&t, y), w)| w * (at(t) - y).powi(2)).sum()
    }
}

impl ShapedCurve {
    /// The curve at a position.
    pub(super) fn at(&self, family: &impl Family, t: f64) -> f64 {
        let [u, v] = family.basis(t, self.shape);
        self.coefficients[0] * u + self.coefficients[1] * v
    }
}

/// The a and b of least squares, neither negative.
fn linear(basis: &[[f64; 2]], values: &[f64], weights: &[f64]) -> [f64; 2] {
    let [mut uu, mut uv, mut vv, mut uy, mut vy] = [0.0; 5];
    for (([u, v], y), w) in basis.iter().zip(values).zip(weights) {
        uu += w * u * u;
        uv += w * u * v;
        vv += w * v * v;
        uy += w * u * y;
        vy += w * v * y;
    }
    let alone = |xy: f64, xx: f64| if xx > 0.0 { (xy / xx).max(0.0) } else { 0.0 };
    if uu > 0.0 && vv > 0.0 {
        // What v has that u has not, summed by itself: the difference of products would lose
        // digits.
        let (mut rest, mut rest_y) = (0.0, 0.0);
        for (([u, v], y), w) in basis.iter().zip(values).zip(weights) {
            let own = v - uv / uu * u;
            rest += w * own * own;
            rest_y += w * own * y;
        }
        let b = rest_y / rest;
        let a = (uy - b * uv) / uu;
        if rest > 1e-24 * vv && a >= 0.0 && b >= 0.0 {
            return [a, b];
        }
    }
    // With one at its bound the other has its own minimum; the better of the two.
    let (a, b) = (alone(uy, uu), alone(vy, vv));
    if a * uy >= b * vy { [a, 0.0] } else { [0.0, b] }
}

/// `n` shapes from `low` to `high`, each the same multiple of the one before.
pub(super) fn geometric(low: f64, high: f64, n: usize) -> Vec<f64> {
    (0..n).map(|step| low * (high / low).powf(step as f64 / (n - 1) as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_those_of_least_squares_and_never_negative() {
        let basis = [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]];
        let one = [1.0; 3];
        let close = |found: [f64; 2], expected: [f64; 2]| {
            assert!(
                (0..2).all(|k| (found[k] - expected[k]).abs() < 1e-12),
                "{found:?}, expected {expected:?}"
            );
        };
        close(linear(&basis, &[3.0, 5.0, 7.0], &one), [2.0, 1.0]);
        // A point that counts twice is two points.
        close(
            linear(&basis, &[3.0, 5.0, 8.0], &[1.0, 1.0, 2.0]),
            linear(&[basis[0], basis[1], basis[2], basis[2]], &[3.0, 5.0, 8.0, 8.0], &[1.0; 4]),
        );
        // y = 4 − x: the best without a negative slope is the mean.
        close(linear(&basis, &[3.0, 2.0, 1.0], &one), [0.0, 2.0]);
        // y = x − 1: through the origin.
        close(linear(&basis, &[0.0, 1.0, 2.0], &one), [8.0 / 14.0, 0.0]);
        close(linear(&basis, &[-1.0, -1.0, -2.0], &one), [0.0, 0.0]);
    }
}
