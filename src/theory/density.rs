//! The stationary density of plain SGD's diffusion on one training set, Eq. 18 with Eqs. 19 and 20,
//! by quadrature.
//!
//! In one dimension a = ln(D + β²), and v is the integral of (U′ + αθ) / (D + β²). Eq. 19 puts its
//! lower end at −∞, where the integral of a potential that holds θ in diverges; only differences
//! matter, so here v and a vanish at a fixed θ.

use super::dynamics::{ALPHA, BETA, Dynamics, TEMPERATURE};
use super::function::{LabFunction, LabValue, SEED, rows_of};
use super::law::{DataSetKey, ExampleSet, Law, Local, Region};
use super::problem::{DATASET, with_law};
use super::{Problem, each_law};
use crate::error::{Error, Result};
use crate::table::Cell;

pub(super) const ENTRY: LabFunction = LabFunction {
    name: "lab::density",
    returns: "Table",
    doc: "Eq. 18 on one training set, a row per θ: train loss, gradient, noise D, v, a (Eqs. 19 and 20, 0 near the \
          minimum of the population loss) and the density ρ(θ|x). Arrays of temperature and dataset are axes.",
    example: r#"let densities = lab::density(lab::double_well(#{}), #{ temperature: [0.05, 0.2, 0.8] });
plot(densities).x("theta").y("density").color("temperature").show()"#,
    options: &[TEMPERATURE.axis(), ALPHA, BETA, DATASET.axis(), SEED],
    call: |problem, given| {
        let dynamics = Dynamics::read(given)?;
        let columns = problem.density(&dynamics, given.integer("seed")?, given.count("dataset")? as u64)?;
        Ok(LabValue::Table(rows_of(columns, Cell::number)))
    },
};

/// Points θ = c + s sinh(u) with equidistant u: equidistant about c, ever further apart beyond s,
/// for densities that fall like a power. Integrals are trapezoidal sums over u, which converge
/// faster than any power of the step where the integrand vanishes at both ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    theta: Vec<f64>,
    /// dθ/du times the step of u.
    weights: Vec<f64>,
}

/// Points at most: memory, not precision, ends here.
const MAX_POINTS: usize = 1 << 17;

/// e^−DEPTH times the largest density is where a density ends.
const DEPTH: f64 = 40.0;

impl Grid {
    /// Points about `centre`, which is one of them where it lies in the range; beyond the distance
    /// `span` they grow apart.
    pub(super) fn new(low: f64, high: f64, Region { centre, span }: Region, points: usize) -> Self {
        let (from, to) = (((low - centre) / span).asinh(), ((high - centre) / span).asinh());
        let step = (to - from) / (points - 1) as f64;
        let first = (from / step).floor();
        let u = (0..points).map(|point| step * (point as f64 + first));
        let (theta, weights) = u.map(|u| (centre + span * u.sinh(), step * span * u.cosh())).unzip();
        Self { theta, weights }
    }

    /// Equidistant points.
    pub(super) fn uniform(low: f64, step: f64, points: usize) -> Self {
        Self {
            theta: (0..points).map(|point| step.mul_add(point as f64, low)).collect(),
            weights: vec![step; points],
        }
    }

    pub(super) fn points(&self) -> usize {
        self.theta.len()
    }

    /// The value of a point.
    pub(super) fn at(&self, point: usize) -> f64 {
        self.theta[point]
    }

    pub(super) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.theta.iter().copied()
    }

    /// ∫ f dθ.
    pub(super) fn integral(&self, values: impl IntoIterator<Item = f64>) -> f64 {
        self.part(0..self.points(), values)
    }

    /// The same over some of the points; the values are those of these points.
    pub(super) fn part(&self, points: std::ops::Range<usize>, values: impl IntoIterator<Item = f64>) -> f64 {
        self.weights[points].iter().zip(values).map(|(weight, value)| weight * value).sum()
    }

    /// The point nearest to θ.
    pub(super) fn nearest(&self, theta: f64) -> usize {
        let after = self.theta.partition_point(|value| *value < theta);
        let candidates = [after.saturating_sub(1), after.min(self.points() - 1)];
        if theta - self.at(candidates[0]) < self.at(candidates[1]) - theta {
            candidates[0]
        } else {
            candidates[1]
        }
    }

    /// The running integral of values from the first point, by polynomials through six neighbours.
    fn running_integral(&self, values: &[f64]) -> Vec<f64> {
        let f: Vec<f64> = values.iter().zip(&self.weights).map(|(value, weight)| value * weight).collect();
        let n = f.len();
        let mut sum = 0.0;
        let mut sums = Vec::with_capacity(n);
        sums.push(sum);
        for i in 0..n - 1 {
            sum += if i >= 2 && i + 3 < n {
                (802.0 * (f[i] + f[i + 1]) - 93.0 * (f[i - 1] + f[i + 2]) + 11.0 * (f[i - 2] + f[i + 3]))
                    / 1440.0
            } else if i < 2 {
                (9.0 * f[i] + 19.0 * f[i + 1] - 5.0 * f[i + 2] + f[i + 3]) / 24.0
            } else {
                (9.0 * f[i + 1] + 19.0 * f[i] - 5.0 * f[i - 1] + f[i - 2]) / 24.0
            };
            sums.push(sum);
        }
        sums
    }
}

impl ExampleSet {
    /// Loss, its derivatives and the noise at each point of a grid.
    pub(super) fn at_each<L: Law>(&self, grid: &Grid) -> Result<Vec<Local>> {
        let at = |theta: f64| {
            crate::interrupt::check()?;
            Ok(self.at::<L>(theta))
        };
        grid.values().map(at).collect()
    }
}

/// Eq. 18 on a grid.
pub(super) struct Density {
    /// What the training set says at each point.
    pub(super) local: Vec<Local>,
    /// Eq. 19; 0 at the reference point.
    pub(super) v: Vec<f64>,
    /// Eq. 20; 0 at the reference point.
    pub(super) a: Vec<f64>,
    /// ρ(θ|x).
    pub(super) density: Vec<f64>,
    /// ln ∫ e^{−2v/T − a} dθ.
    pub(super) log_z: f64,
    /// By how much half as many points change the partition function, relatively.
    pub(super) z_error: f64,
}

impl Density {
    /// The density on a grid; `reference` is the point where v and a vanish.
    pub(super) fn new<L: Law>(
        sample: &ExampleSet,
        dynamics: &Dynamics,
        grid: &Grid,
        reference: usize,
    ) -> Result<Self> {
        let Dynamics { temperature, alpha, beta } = *dynamics;
        let local = sample.at_each::<L>(grid)?;
        let noise: Vec<f64> = local.iter().map(|local| local.noise + beta * beta).collect();
        if let Some(point) = noise.iter().position(|noise| *noise <= f64::MIN_POSITIVE) {
            return Err(Error::invalid(format!(
                "D + β² is {:.1e} at θ = {:.3e}: Eq. 18 divides by it; the {} examples of the training set have the same gradient \
                 there, so write beta > 0, or more examples",
                noise[point],
                grid.at(point),
                sample.examples.len()
            )));
        }
        let slope: Vec<f64> = local
            .iter()
            .zip(&noise)
            .zip(grid.values())
            .map(|((local, noise), theta)| (local.gradient + alpha * theta) / noise)
            .collect();
        let mut v = grid.running_integral(&slope);
        let at_reference = v[reference];
        v.iter_mut().for_each(|v| *v -= at_reference);
        let a: Vec<f64> = noise.iter().map(|value| (value / noise[reference]).ln()).collect();
        let g: Vec<f64> = v.iter().zip(&a).map(|(v, a)| 2.0 * v / temperature + a).collect();
        let least = g.iter().copied().fold(f64::INFINITY, f64::min);
        let mut density: Vec<f64> = g.iter().map(|g| (least - g).exp()).collect();
        let z = grid.integral(density.iter().copied());
        if !(z > 0.0 && z.is_finite()) {
            return Err(Error::invalid(format!(
                "Eq. 18 cannot be normalised: its partition function is {z}"
            )));
        }
        let every_second =
            density.iter().zip(&grid.weights).step_by(2).map(|(density, weight)| 2.0 * weight * density);
        let z_error = (every_second.sum::<f64>() / z - 1.0).abs();
        density.iter_mut().for_each(|density| *density /= z);
        Ok(Self { local, v, a, density, log_z: z.ln() - least, z_error })
    }

    /// ⟨f⟩: the mean of values under the density.
    pub(super) fn mean(&self, grid: &Grid, values: impl IntoIterator<Item = f64>) -> f64 {
        grid.integral(self.density.iter().zip(values).map(|(density, value)| density * value))
    }
}

/// Mean and variance of θ on a training set.
pub(super) fn moments<L: Law>(law: &L, sample: &ExampleSet, dynamics: &Dynamics) -> Result<(f64, f64)> {
    let (grid, reference) = grid_for(law, std::slice::from_ref(sample), dynamics)?;
    let density = Density::new::<L>(sample, dynamics, &grid, reference)?;
    let mean = density.mean(&grid, grid.values());
    Ok((mean, density.mean(&grid, grid.values().map(|theta| (theta - mean).powi(2)))))
}

/// Where the density of a training set is not negligible: g is followed from the problem's centre
/// to both sides, in steps that grow, until it has risen by [`DEPTH`].
fn support<L: Law>(law: &L, sample: &ExampleSet, dynamics: &Dynamics) -> Result<(f64, f64)> {
    /// Spans that are looked at in any case: there may be another minimum.
    const NEAR: f64 = 2.5;
    /// Spans that are looked at at most.
    const FAR: f64 = 1e6;
    let Dynamics { temperature, alpha, beta } = *dynamics;
    let Region { centre, span } = law.region();
    let at = |theta: f64| {
        let local = sample.at::<L>(theta);
        let noise = local.noise + beta * beta;
        ((local.gradient + alpha * theta) / noise, noise)
    };
    let (slope_here, noise_here) = at(centre);
    let mut seen = vec![(centre, noise_here.ln())];
    let mut least = noise_here.ln();
    for sign in [-1.0, 1.0] {
        let (mut theta, mut slope, mut v, mut step) = (centre, slope_here, 0.0, 0.01 * span);
        loop {
            let (middle, end) = (at(theta + 0.5 * sign * step), at(theta + sign * step));
            v += sign * step / 6.0 * (slope + 4.0 * middle.0 + end.0);
            theta += sign * step;
            slope = end.0;
            crate::interrupt::check()?;
            let g = 2.0 * v / temperature + end.1.ln();
            let away = (theta - centre).abs() / span;
            if !g.is_finite() && end.1 > f64::MIN_POSITIVE {
                return Err(Error::invalid(format!(
                    "Eq. 18: numbers overflow at θ = {theta:.1e}; write smaller ones"
                )));
            }
            if !g.is_finite() && away <= NEAR {
                // D + β² is 0: the density on the grid says where.
                seen.push((theta, least));
                break;
            }
            if g.is_finite() {
                least = least.min(g);
                seen.push((theta, g));
            }
            if away > NEAR && g > least + DEPTH {
                break;
            }
            if away > FAR || !g.is_finite() {
                let reason = match () {
                    () if end.1 > 100.0 * noise_here => Reason::NoiseGrows,
                    () if sign * slope > 0.0 => Reason::TooHot,
                    () => Reason::NotHeldIn,
                };
                return Err(not_normalisable(theta, g - least, reason));
            }
            step *= 1.02;
        }
    }
    seen.sort_by(|a, b| a.0.total_cmp(&b.0));
    let inside = |(_, g): &(f64, f64)| *g < least + DEPTH;
    let first = seen.iter().position(inside).unwrap_or(0).saturating_sub(1);
    let last = (seen.iter().rposition(inside).unwrap_or(seen.len() - 1) + 1).min(seen.len() - 1);
    Ok((seen[first].0, seen[last].0))
}

/// What lets a density reach beyond all bounds.
enum Reason {
    NoiseGrows,
    TooHot,
    NotHeldIn,
}

/// Why there is no density on a grid.
fn not_normalisable(theta: f64, rise: f64, reason: Reason) -> Error {
    let reason = match reason {
        Reason::NoiseGrows => {
            "the noise D grows with θ, so that the density falls no faster than a power of θ; write a lower temperature"
        }
        Reason::TooHot => "at this temperature nothing holds θ in; write a lower one",
        Reason::NotHeldIn => {
            "the loss alone does not hold θ in on this training set (for a logistic regression: it is separable), so write \
             alpha > 0"
        }
    };
    let rise =
        if rise.is_finite() { format!("rises by {rise:.1} only") } else { "falls without end".to_owned() };
    Error::invalid(format!(
        "Eq. 18 cannot be normalised: from its least value to θ = {theta:.1e} the potential g {rise}, where a rise of {DEPTH} is wanted; \
         {reason}"
    ))
}

/// A grid on which the densities of all training sets are known, with partition functions that half
/// as many points change by less than 1e-10, and the reference point nearest to the problem's own.
pub(super) fn grid_for<L: Law>(
    law: &L,
    samples: &[ExampleSet],
    dynamics: &Dynamics,
) -> Result<(Grid, usize)> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for sample in samples {
        crate::interrupt::check()?;
        let (from, to) = support(law, sample, dynamics)?;
        (low, high) = (low.min(from), high.max(to));
    }
    let grid = |points: usize| Grid::new(low, high, law.region(), points);
    let mut points = 401;
    for sample in samples {
        crate::interrupt::check()?;
        loop {
            let grid = grid(points);
            let density = Density::new::<L>(sample, dynamics, &grid, grid.nearest(law.region().centre))?;
            if density.z_error < 1e-10 {
                break;
            }
            if points > MAX_POINTS / 2 {
                return Err(Error::invalid(format!(
                    "Eq. 18: the partition function has not converged with {points} points of θ (half of them change it by {:.1e}); \
                     write a higher temperature",
                    density.z_error
                )));
            }
            points = 2 * points - 1;
        }
    }
    // v is of the sixth order only.
    let grid = grid(2 * points - 1);
    let reference = grid.nearest(law.region().centre);
    Ok((grid, reference))
}

impl Problem {
    /// Eq. 18 on training set `index` of a seed: θ, U_ℓ, U′, D, v, a and ρ, a column each.
    ///
    /// # Errors
    ///
    /// As of [`Problem::gap`]; with more than one parameter.
    pub fn density(
        &self,
        dynamics: &Dynamics,
        seed: i64,
        index: u64,
    ) -> Result<Vec<(&'static str, Vec<f64>)>> {
        self.check()?;
        dynamics.check()?;
        with_law!(self, "lab::density", law => {
            density_of(law, &ExampleSet::draw(law, &DataSetKey::train(self.n(), seed, index)), dynamics)
        })
    }
}

impl Problem {
    /// Mean and variance of each parameter under the stationary law of Eq. 17 on training set 0 of
    /// a seed.
    pub(super) fn diffusion_moments(&self, dynamics: &Dynamics, seed: i64) -> Result<(Vec<f64>, Vec<f64>)> {
        if let Some(data) = self.quadratic(seed) {
            return Ok(data.diffusion(dynamics)?.diagonal());
        }
        let (mean, variance) = each_law!(self, law => {
            moments(law, &ExampleSet::draw(law, &DataSetKey::train(self.n(), seed, 0)), dynamics)
        })?;
        Ok((vec![mean], vec![variance]))
    }
}

fn density_of<L: Law>(
    law: &L,
    sample: &ExampleSet,
    dynamics: &Dynamics,
) -> Result<Vec<(&'static str, Vec<f64>)>> {
    let (grid, reference) = grid_for(law, std::slice::from_ref(sample), dynamics)?;
    let density = Density::new::<L>(sample, dynamics, &grid, reference)?;
    let local = |of: fn(&Local) -> f64| density.local.iter().map(of).collect();
    Ok(vec![
        ("theta", grid.values().collect()),
        ("train_loss", local(|one| one.loss)),
        ("gradient", local(|one| one.gradient)),
        ("noise", local(|one| one.noise)),
        ("v", density.v.clone()),
        ("a", density.a.clone()),
        ("density", density.density.clone()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::{DoubleWell, GaussianMean, LinearRegression, Logistic};

    fn density<L: Law>(law: &L, n: usize, dynamics: &Dynamics) -> (ExampleSet, Grid, Density) {
        let sample = ExampleSet::draw(law, &DataSetKey::train(n, 3, 0));
        let (grid, reference) = grid_for(law, std::slice::from_ref(&sample), dynamics).unwrap();
        let density = Density::new::<L>(&sample, dynamics, &grid, reference).unwrap();
        (sample, grid, density)
    }

    #[test]
    fn the_running_integral_of_a_cubic_is_exact() {
        let grid = Grid::uniform(-1.0, 0.4, 8);
        let values: Vec<f64> = grid.values().map(|x| 4.0 * x.powi(3) - 3.0 * x * x + 1.0).collect();
        for (x, sum) in grid.values().zip(grid.running_integral(&values)) {
            let primitive = |x: f64| x.powi(4) - x.powi(3) + x;
            assert!((sum - primitive(x) + primitive(-1.0)).abs() < 1e-12, "{x}: {sum}");
        }
    }

    #[test]
    fn of_the_gaussian_mean_it_is_normal_with_the_known_moments() {
        for (temperature, alpha, beta) in
            [(0.01, 0.0, 0.0), (0.3, 0.5, 0.0), (1e-6, 0.1, 2.0), (5.0, 0.0, 1.0)]
        {
            let dynamics = Dynamics { temperature, alpha, beta };
            let (sample, grid, density) = density(&GaussianMean::default(), 20, &dynamics);
            let n = sample.examples.len() as f64;
            let x = sample.examples.iter().map(|example| example[0]);
            let mean = x.clone().sum::<f64>() / n;
            let s2 = x.map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            assert!(
                density.z_error < 1e-10
                    && (density.mean(&grid, grid.values().map(|_| 1.0)) - 1.0).abs() < 1e-12
            );
            let (found, variance) = moments(&GaussianMean::default(), &sample, &dynamics).unwrap();
            let expected = temperature * (s2 + beta * beta) / (2.0 * (1.0 + alpha));
            assert!((found - mean / (1.0 + alpha)).abs() < 1e-9, "mean {found} at T = {temperature}");
            assert!((variance / expected - 1.0).abs() < 1e-9, "variance {variance}, expected {expected}");
        }
    }

    /// J = 0 (Eq. 48): the density satisfies ½T ∂((D + β²)ρ) = −(U′ + αθ)ρ, by finite differences.
    fn current<L: Law>(law: &L, dynamics: &Dynamics) -> f64 {
        let (_, grid, density) = density(law, 50, dynamics);
        let flow = |point: usize| {
            0.5 * dynamics.temperature
                * (density.local[point].noise + dynamics.beta.powi(2))
                * density.density[point]
        };
        let largest = density.density.iter().copied().fold(0.0, f64::max);
        (2..grid.points() - 2)
            .map(|i| {
                let derivative = (8.0 * (flow(i + 1) - flow(i - 1)) - flow(i + 2) + flow(i - 2))
                    / (12.0 * grid.weights[i]);
                let drift = density.local[i].gradient + dynamics.alpha * grid.at(i);
                (derivative + drift * density.density[i]).abs() / largest
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn the_probability_current_vanishes_on_all_problems() {
        let dynamics = Dynamics { temperature: 0.1, alpha: 0.01, beta: 0.2 };
        let regression = LinearRegression { dim: 1, ..LinearRegression::default() };
        for current in [
            current(&GaussianMean::default(), &dynamics),
            current(&DoubleWell::default(), &dynamics),
            current(&Logistic::default(), &dynamics),
            current(&regression, &dynamics),
        ] {
            assert!(current < 1e-5, "{current}");
        }
    }

    #[test]
    fn what_cannot_be_normalised_says_why() {
        let dynamics = Dynamics { temperature: 0.1, alpha: 0.0, beta: 0.5 };
        let separable = ExampleSet { examples: vec![[0.5, 0.0], [1.0, 0.0]] };
        let error = grid_for(&Logistic::default(), &[separable], &dynamics).unwrap_err().to_string();
        assert!(error.contains("cannot be normalised") && error.contains("alpha > 0"), "{error}");
        let alone = ExampleSet { examples: vec![[0.5, 0.0]] };
        let dynamics = Dynamics { beta: 0.0, ..dynamics };
        let error = grid_for(&GaussianMean::default(), &[alone], &dynamics).unwrap_err().to_string();
        assert!(error.contains("beta > 0"), "{error}");
        let hot = Dynamics { temperature: 50.0, alpha: 0.0, beta: 0.0 };
        let regression = LinearRegression { dim: 1, ..LinearRegression::default() };
        let sample = ExampleSet::draw(&regression, &DataSetKey::train(50, 1, 0));
        let error = grid_for(&regression, &[sample], &hot).unwrap_err().to_string();
        assert!(error.contains("a power of θ; write a lower temperature"), "{error}");
    }
}
