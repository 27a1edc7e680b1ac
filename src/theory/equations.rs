//! Every equation of section 2 and Appendices A, C and D as its two sides, on an ensemble of data
//! sets.
//!
//! Where the paper's own formula has a slip, a row with a prime (24′, 25′) has it mended;
//! `docs/theory.md` tells of each.
//!
//! g has the gauge that is asked for. Eqs. 25 and 26 need a v that does not depend on T: they
//! always use [`Gauge::Reference`].

use super::ensemble::Field::{A, Density as Rho, Test, Train, TrainSquare, V};
use super::ensemble::{Averages, Ensemble};
use super::law::Law;
use super::potential::{Gauge, Potential, normalised, zip};
use super::sides::Claim::{ApproximateBound, Approximation, Bound, Equal};
use super::sides::{Claim, EquationCheck};

/// One row: number, words, claim, left side, right side.
type EquationRow = (&'static str, &'static str, Claim, f64, f64);

/// What the equations are made of besides the potential.
struct Quantities<'a> {
    averages: &'a Averages<'a>,
    /// Examples in a training set.
    n: f64,
    /// 2 / T.
    b: f64,
    /// Ū and σ_l at every θ.
    loss: Vec<f64>,
    sigma_l: Vec<f64>,
    /// σ_ρ² at every θ.
    rho_variance: Vec<f64>,
    /// ⟨⟨Ū⟩⟩.
    test_loss: f64,
    train_loss: f64,
    gap: f64,
    /// The gap with the test loss of the population.
    exact_gap: f64,
}

impl<'a> Quantities<'a> {
    fn new(averages: &'a Averages<'a>) -> Self {
        let ensemble = averages.ensemble();
        let population = &ensemble.population;
        let loss: Vec<f64> = population.iter().map(|one| one.loss).collect();
        let test_loss = averages.over_mean_density(loss.iter().copied());
        let train_loss = averages.scalar(|one| one.train);
        Self {
            averages,
            n: ensemble.n as f64,
            b: 2.0 / ensemble.dynamics.temperature,
            loss,
            sigma_l: population.iter().map(|one| one.loss_variance.max(0.0).sqrt()).collect(),
            rho_variance: averages.covariance(Rho, Rho),
            test_loss,
            train_loss,
            gap: averages.scalar(|one| one.test - one.train),
            exact_gap: test_loss - train_loss,
        }
    }

    fn integral(&self, values: &[f64]) -> f64 {
        self.averages.ensemble().grid.integral(values.iter().copied())
    }

    fn over(&self, values: &[f64]) -> f64 {
        self.averages.over_mean_density(values.iter().copied())
    }

    /// The mean under the density of this logarithm; NaN where that has no integral.
    fn mean_under(&self, log: &[f64], values: &[f64]) -> f64 {
        normalised(self.averages, log)
            .map_or(f64::NAN, |density| self.integral(&zip(&density, values, |r, value| r * value)))
    }

    /// Eqs. 2 to 7, of the averages themselves.
    fn averages(&self) -> Vec<EquationRow> {
        let Self { averages, n, sigma_l, rho_variance, .. } = self;
        let Self { test_loss, train_loss, gap, .. } = *self;
        let integral = |values: &[f64]| self.integral(values);
        let over = |values: &[f64]| self.over(values);
        let population = &averages.ensemble().population;
        let covariance = integral(&averages.covariance(Rho, Train));
        let squares: Vec<f64> =
            population.iter().map(|one| one.loss.powi(2) + one.loss_variance / n).collect();
        vec![
            (
                "2",
                "f = U_ℓ²: total average, covariance and averages apart",
                Equal,
                averages.scalar(|one| one.train_square),
                integral(&averages.covariance(Rho, TrainSquare)) + over(&squares),
            ),
            ("3", "train loss", Equal, train_loss, covariance + test_loss),
            ("4", "test loss", Equal, averages.scalar(|one| one.test), test_loss),
            ("4", "∫Cov_D(ρ, U_e)dθ is 0", Equal, integral(&averages.covariance(Rho, Test)), 0.0),
            ("5", "gap", Equal, gap, integral(&averages.covariance(Rho, Test)) - covariance),
            ("6", "gap as a covariance", Equal, gap, -covariance),
            (
                "7",
                "the bound of the gap",
                Bound,
                gap.abs(),
                integral(&zip(rho_variance, sigma_l, |variance, sigma| variance.max(0.0).sqrt() * sigma))
                    / n.sqrt(),
            ),
        ]
    }

    /// Eqs. 9 to 14 and 21 to 24, with the potential in one gauge.
    fn log_normal(&self, p: &Potential) -> Vec<EquationRow> {
        let Self { averages, loss, sigma_l, rho_variance, .. } = self;
        let Self { n, b, test_loss, gap, exact_gap, .. } = *self;
        let integral = |values: &[f64]| self.integral(values);
        let over = |values: &[f64]| self.over(values);
        let mean_under = |log: &[f64], values: &[f64]| self.mean_under(log, values);
        let rho = averages.mean(Rho);
        let mut rows: Vec<EquationRow> = Vec::new();
        // ⟨⟨ḡ⟩⟩ = ⟨g⟩ − ∫Cov(ρ, g): free of the bias that one data set's ρ with its own g would
        // bring.
        let cov_v = integral(&averages.covariance(Rho, V));
        let cov_a = integral(&averages.covariance(Rho, A));
        let (v, a) = (averages.scalar(|one| one.v), averages.scalar(|one| one.a));
        rows.push(("9", "effective potential", Bound, b * v + a, b * (v - cov_v) + a - cov_a));
        rows.push(("21", "the same for SGD", Bound, v + a / b, v - cov_v + (a - cov_a) / b));

        let half_g2: Vec<f64> = p.g2.iter().map(|g2| 0.5 * g2).collect();
        let log_normal = zip(&half_g2, &p.g, |half, g| half - g);
        rows.push(("10", "ρ̄ log-normal: test loss", Approximation, test_loss, mean_under(&log_normal, loss)));
        rows.push((
            "10",
            "σ_ρ²: integral",
            Approximation,
            integral(rho_variance),
            integral(&zip(rho, &p.g2, |rho, g2| rho * rho * g2.exp_m1())),
        ));
        let eleven = |f: &dyn Fn(f64) -> f64| {
            over(&zip(sigma_l, &p.g2, |sigma, g2| sigma * f(g2.max(0.0)))) / n.sqrt()
        };
        rows.push(("11", "bound, log-normal", ApproximateBound, gap.abs(), eleven(&|g2| g2.exp_m1().sqrt())));
        rows.push((
            "11",
            "bound where σ_g² ≫ 1",
            ApproximateBound,
            gap.abs(),
            eleven(&|g2| (0.5 * g2).exp()),
        ));
        rows.push(("11", "bound where σ_g² ≪ 1", ApproximateBound, gap.abs(), eleven(&f64::sqrt)));

        let u2 = averages.covariance(Train, Train);
        let extra: Vec<f64> = zip(&u2, loss, |u2, u| 0.125 * (u2 / (u * u)).powi(2));
        let first: Vec<f64> = zip(&p.gu, loss, |gu, u| gu / u);
        let thirteen = |exponent: &[f64]| over(&zip(loss, exponent, |u, e| -u * (-e).exp_m1()));
        let both = zip(&first, &extra, |a, b| a + b);
        rows.push(("13", "gap, log-normal (Eq. 12)", Approximation, exact_gap, thirteen(&both)));
        rows.push(("13′", "without σ_u⁴ / 8Ū⁴", Approximation, exact_gap, thirteen(&first)));
        rows.push(("13", "gap in the interpolation regime", Approximation, exact_gap, test_loss));
        let small_extra = over(&zip(&extra, loss, |extra, u| extra * u));
        rows.push((
            "13",
            "gap where the exponent is ≪ 1",
            Approximation,
            exact_gap,
            over(&p.gu) + small_extra,
        ));
        rows.push((
            "14",
            "test loss, interpolation and σ_g² ≫ 1",
            ApproximateBound,
            test_loss,
            eleven(&|g2| (0.5 * g2).exp()),
        ));
        rows.push((
            "22",
            "the same by v and a",
            Approximation,
            exact_gap,
            b * over(&p.vu) + over(&p.au) + small_extra,
        ));
        let without: Vec<f64> = zip(&p.v2, &p.a2, |v2, a2| b * b * v2 + a2);
        let printed = |f: &dyn Fn(f64) -> f64| {
            over(&zip(sigma_l, &without, |sigma, g2| sigma * f(g2.max(0.0)))) / n.sqrt()
        };
        rows.push((
            "23",
            "as 14, without σ_va",
            ApproximateBound,
            test_loss,
            printed(&|g2| (0.5 * g2).exp()),
        ));
        rows.push(("24", "as 11 (σ_g² ≪ 1), without σ_va", ApproximateBound, gap.abs(), printed(&f64::sqrt)));
        rows.push(("24′", "with σ_va", ApproximateBound, gap.abs(), eleven(&f64::sqrt)));
        rows
    }

    /// Eqs. 25 to 27: ρ̄ of SGD and derivatives by T.
    fn of_sgd(&self) -> Vec<EquationRow> {
        let Self { averages, loss, .. } = self;
        let Self { b, test_loss, .. } = *self;
        let mean_under = |log: &[f64], values: &[f64]| self.mean_under(log, values);
        let q = Potential::new(averages, Gauge::Reference);
        let mut rows: Vec<EquationRow> = Vec::new();
        let exponent = |factor: f64| -> Vec<f64> {
            let squares = zip(&q.v2, &q.a2, |v2, a2| 0.5 * (b * b * v2 + a2));
            let with = zip(&squares, &q.va, |sum, va| sum + factor * va);
            zip(&with, &q.g, |sum, g| sum - g)
        };
        rows.push(("25", "ρ̄ of SGD: test loss", Approximation, test_loss, mean_under(&exponent(1.0), loss)));
        rows.push(("25′", "with 2σ_va / T", Approximation, test_loss, mean_under(&exponent(b), loss)));
        // Eq. 25′ at another β = 2/T: the derivatives of Eq. 26 by differences, and by its formula.
        let log_at = |b: f64| -> Vec<f64> {
            (0..q.v.len())
                .map(|i| b * (0.5 * b * q.v2[i] - q.v[i] + q.va[i]) + 0.5 * q.a2[i] - averages.mean(A)[i])
                .collect()
        };
        let w = |b: f64| -> Vec<f64> { (0..q.v.len()).map(|i| q.v[i] - b * q.v2[i] - q.va[i]).collect() };
        let slope = |f: &dyn Fn(f64) -> f64| (f(b * 1.0001) - f(b * 0.9999)) / (0.0002 * b);
        let own = |values: &[f64]| mean_under(&log_at(b), values);
        let cov_u = |values: &[f64]| own(&zip(loss, values, |u, value| u * value)) - own(loss) * own(values);
        let by_formula = 0.5 * b * b * (cov_u(&zip(&q.v, &q.va, |v, va| v - va)) - b * cov_u(&q.v2));
        let by_difference = -0.5 * b * b * slope(&|b| mean_under(&log_at(b), loss));
        rows.push(("26", "∂_T of the test loss, ρ̄ of Eq. 25′", Equal, by_difference, by_formula));
        let spread = |values: &[f64]| own(&zip(values, values, |a, b| a * b)) - own(values).powi(2);
        let second = slope(&|b| mean_under(&log_at(b), &w(b)));
        rows.push(("26", "−∂²_β ln Z̄ as printed (footnote 2)", Approximation, second, -spread(&w(b))));
        rows.push(("26′", "with −⟨⟨σ_v²⟩⟩", Equal, second, -spread(&w(b)) - own(&q.v2)));
        rows.push((
            "27",
            "∂_T of the train loss",
            Equal,
            averages.scalar(|one| one.train_slope),
            averages.scalar(|one| 0.5 * b * b * (one.v_train - one.v * one.train)),
        ));
        rows
    }

    /// Eqs. 34 to 37 (Appendix A), which hold at rest.
    fn relations(&self) -> Vec<EquationRow> {
        let averages = self.averages;
        let mut rows: Vec<EquationRow> = Vec::new();
        let drift = |part: usize| averages.scalar(|one| one.drift[part]);
        rows.push(("34", "⟨U′ + αθ⟩ is 0: its parts up and down", Equal, drift(0), drift(1)));
        const RELATIONS: [(&str, &str); 3] = [
            ("35", "fluctuation and dissipation"),
            ("36", "train loss at rest"),
            ("37", "test loss at rest"),
        ];
        for (k, (number, says)) in RELATIONS.into_iter().enumerate() {
            let side = |side: usize| averages.scalar(|one| one.relations[k][side]);
            rows.push((number, says, Equal, side(0), side(1)));
        }
        rows
    }

    /// Eqs. 52 to 54 (Appendices C and D).
    fn approximations<L: Law>(&self, law: &L, p: &Potential) -> Vec<EquationRow> {
        let Self { averages, b, test_loss, exact_gap, .. } = *self;
        let mean_under = |log: &[f64], values: &[f64]| self.mean_under(log, values);
        let mut rows: Vec<EquationRow> = Vec::new();
        let minus_g: Vec<f64> = p.g.iter().map(|g| -g).collect();
        let under = |values: &[f64]| mean_under(&minus_g, values);
        rows.push(("52", "gap, delta method (Eq. 51)", Approximation, exact_gap, under(&p.gu)));
        rows.push(("53", "the same by v and a", Approximation, exact_gap, b * under(&p.vu) + under(&p.au)));
        rows.push(("54", "test loss by curvature", Approximation, test_loss, by_curvature(law, averages)));
        rows
    }
}

/// Both sides of every equation, from averages over data sets.
fn rows<L: Law>(law: &L, averages: &Averages, gauge: Gauge) -> Vec<EquationRow> {
    let quantities = Quantities::new(averages);
    let p = Potential::new(averages, gauge);
    [
        quantities.averages(),
        quantities.log_normal(&p),
        quantities.of_sgd(),
        quantities.relations(),
        quantities.approximations(law, &p),
    ]
    .concat()
}

/// Eq. 54, which without a shift of distributions is Eq. 55, too: ρ̄ as a mixture with a part for
/// each minimum of Ū. NaN where no minimum lies where ρ̄ is.
fn by_curvature<L: Law>(law: &L, averages: &Averages) -> f64 {
    let ensemble = averages.ensemble();
    let (grid, rho) = (&ensemble.grid, averages.mean(Rho));
    let u = |point: usize| ensemble.population[point].loss;
    let inner = 1..grid.points() - 1;
    let minima: Vec<usize> = inner.clone().filter(|&i| u(i) < u(i - 1) && u(i) <= u(i + 1)).collect();
    if minima.is_empty() {
        return f64::NAN;
    }
    let mut edges = vec![0];
    for pair in minima.windows(2) {
        edges.push((pair[0]..pair[1]).max_by(|&a, &b| u(a).total_cmp(&u(b))).unwrap_or(pair[0]));
    }
    edges.push(grid.points());
    let mut sum = 0.0;
    for (part, &minimum) in edges.windows(2).zip(&minima) {
        let moment = |power: i32, about: f64| {
            let points = part[0]..part[1];
            grid.part(points.clone(), points.map(|i| rho[i] * (grid.at(i) - about).powi(power)))
        };
        let weight = moment(0, 0.0);
        if weight < 1e-12 {
            continue;
        }
        // The minimum itself, between the neighbours of the grid's point: a golden section.
        let (mut low, mut high) = (grid.at(minimum - 1), grid.at(minimum + 1));
        let share = 0.5 * (3.0 - 5f64.sqrt());
        while high - low > 1e-9 * (1.0 + low.abs()) {
            let (left, right) = (low + share * (high - low), high - share * (high - low));
            if law.population(left).loss < law.population(right).loss { high = right } else { low = left }
        }
        let at = 0.5 * (low + high);
        let mean = moment(1, 0.0) / weight;
        let variance = moment(2, mean) / weight;
        let there = law.population(at);
        sum += weight * (there.loss + 0.5 * there.curvature * (variance + (mean - at).powi(2)));
    }
    sum
}

/// Where assumptions fail, by equation.
fn assumptions<L: Law>(law: &L, averages: &Averages, gauge: Gauge) -> Vec<(&'static str, String)> {
    let p = Potential::new(averages, gauge);
    let ensemble = averages.ensemble();
    let rho = averages.mean(Rho);
    let over = |values: &[f64]| averages.over_mean_density(values.iter().copied());
    let loss: Vec<f64> = ensemble.population.iter().map(|one| one.loss).collect();
    let g2 = over(&p.g2);
    let u2 = averages.covariance(Train, Train);
    let exponent = over(&zip(
        &zip(&p.gu, &loss, |gu, u| gu / u),
        &zip(&u2, &loss, |u2, u| 0.125 * (u2 / (u * u)).powi(2)),
        |a, b| a + b,
    ));
    let mut found = Vec::new();
    let log = zip(&p.g2, &p.g, |g2, g| 0.5 * g2 - g);
    if normalised(averages, &log).is_none() {
        let note = "Z̄ of Eq. 10 is not finite: ½σ_g² − ḡ grows towards an end of the grid, where g is 40";
        found.push(("10", note.to_owned()));
    }
    let q = Potential::new(averages, Gauge::Reference);
    let log = zip(&q.g2, &q.g, |g2, g| 0.5 * g2 - g);
    if normalised(averages, &log).is_none() {
        let note = "Z̄ of Eq. 25 is not finite: the exponent grows towards an end of the grid";
        found.extend(["25", "25′", "26", "26′"].map(|row| (row, note.to_owned())));
    }
    if by_curvature(law, averages).is_nan() {
        found.push(("54", "no minimum of Ū lies where ρ̄ is".to_owned()));
    }
    if g2 > 0.1 {
        let note = format!("σ_g² is {g2:.3} on average, not ≪ 1");
        found.extend(["11 bound where σ_g² ≪ 1", "24", "24′"].map(|row| (row, note.clone())));
    }
    if g2 < 10.0 {
        let note = format!("σ_g² is {g2:.3} on average, not ≫ 1");
        found.extend(["11 bound where σ_g² ≫ 1", "14", "23"].map(|row| (row, note.clone())));
    }
    if exponent > 0.1 {
        let note = format!("the exponent of Eq. 12 is {exponent:.3} on average, not ≪ 1");
        found.extend(["13 gap where the exponent is ≪ 1", "22"].map(|row| (row, note.clone())));
    }
    if exponent < 3.0 {
        let note = format!("the exponent of Eq. 12 is {exponent:.3} on average, not ≫ 1");
        found.extend(["13 gap in the interpolation regime", "14", "23"].map(|row| (row, note.clone())));
    }
    // Where ρ̄ is, not where it is not.
    let largest = rho.iter().copied().fold(0.0, f64::max);
    let bad = (0..loss.len()).any(|i| rho[i] > 1e-6 * largest && u2[i] > 4.0 * loss[i] * loss[i]);
    let negative = (0..loss.len()).any(|i| rho[i] > 1e-6 * largest && loss[i] <= 0.0);
    if negative {
        let note = "Ū is not positive where ρ̄ is: the paper assumes l ≥ 0";
        found.extend(["13", "13′", "22"].map(|row| (row, note.to_owned())));
    } else if bad {
        let note = "σ_u² / Ū² exceeds 4 where ρ̄ is: the delta method's Var(ln U_ℓ) is negative there";
        found.extend(["13", "13′"].map(|row| (row, note.to_owned())));
    }
    found
}

/// Every equation with its sides and errors.
pub(super) fn sides<L: Law>(law: &L, ensemble: &Ensemble, gauge: Gauge) -> Vec<EquationCheck> {
    let all = ensemble.all();
    let labels = rows(law, &all, gauge);
    let numbers = ensemble.estimates(|averages| {
        let rows = rows(law, averages, gauge);
        rows.iter().flat_map(|(_, _, _, left, right)| [*left, *right, left - right]).collect()
    });
    let notes = assumptions(law, &all, gauge);
    labels
        .into_iter()
        .zip(numbers.chunks(3))
        .map(|((equation, says, claim, ..), numbers)| EquationCheck {
            equation,
            says,
            claim,
            left: numbers[0],
            right: numbers[1],
            difference: numbers[2],
            assumptions: notes
                .iter()
                .filter(|(row, _)| *row == equation || *row == format!("{equation} {says}"))
                .map(|(_, note)| note.as_str())
                .collect::<Vec<_>>()
                .join("; "),
        })
        .collect()
}
