"""Writes theory.json: both sides of every equation of `lab::check`, with the jackknife's errors.

    python make_theory.py

Written from the paper's text with NumPy and SciPy, not from kelvin's code, and by other means: points
θ = c + s(u + u³), Simpson's rule, Gauss-Legendre nodes for v, Gauss-Hermite or Gauss-Legendre nodes for the
population, derivatives by T by Richardson's extrapolation. The data sets are stored, so that nothing depends on random
numbers. Every number is computed on two ranges of θ; one that the range changes (a partition function that is infinite,
say) is stored as null. A row holds the left and the right side, the errors of both and of their difference, and the share up
to which both ranges agree.
"""

import json
from pathlib import Path

import numpy as np
from scipy.integrate import quad, simpson
from scipy.optimize import minimize_scalar
from scipy.special import expit

HERE = Path(__file__).resolve().parent
BLOCKS = 20
rng = np.random.default_rng(7)


class Regression:
    """l = ½(y − xθ)², x ~ N(0, 1), y ~ N(wx, s²)."""

    centre, span, minima = 1.0, 1.0, [1.0]

    def draw(self, *shape):
        x = rng.normal(size=shape)
        return np.stack([x, x + rng.normal(size=shape)], axis=-1)

    def loss(self, theta, e):
        return 0.5 * (e[..., 1] - e[..., 0] * theta) ** 2

    def gradient(self, theta, e):
        return e[..., 0] * (e[..., 0] * theta - e[..., 1])

    def curvature(self, theta, e):
        return e[..., 0] ** 2 + 0 * theta

    def expectation(self, f):
        x, w = np.polynomial.hermite_e.hermegauss(12)
        w = w / w.sum()
        e = np.stack([np.repeat(x, 12), np.repeat(x, 12) + np.tile(x, 12)], axis=-1)
        return np.tensordot(np.outer(w, w).ravel(), f(e), axes=1)


class Well:
    """l = ¼(θ² − 1)² + xθ, x ~ N(0.1, 1)."""

    centre, span, minima = 0.0, 1.0, [-1.0, 1.0]

    def draw(self, *shape):
        return np.stack([0.1 + rng.normal(size=shape), np.zeros(shape)], axis=-1)

    def loss(self, theta, e):
        return 0.25 * (theta**2 - 1) ** 2 + e[..., 0] * theta

    def gradient(self, theta, e):
        return theta**3 - theta + e[..., 0]

    def curvature(self, theta, e):
        return 3 * theta**2 - 1 + 0 * e[..., 0]

    def expectation(self, f):
        x, w = np.polynomial.hermite_e.hermegauss(12)
        return np.tensordot(w / w.sum(), f(np.stack([0.1 + x, 0 * x], axis=-1)), axes=1)


class Logistic:
    """l = ln(1 + e^(−mθ)), m = yx: x ~ N(0, 1), y = ±1 with P(y = 1) = expit(x)."""

    centre, span, minima = 1.0, 2.0, [1.0]

    def draw(self, *shape):
        x = rng.normal(size=shape)
        y = np.where(rng.uniform(size=shape) < expit(x), 1.0, -1.0)
        return np.stack([x * y, np.zeros(shape)], axis=-1)

    def loss(self, theta, e):
        return np.logaddexp(0.0, -e[..., 0] * theta)

    def gradient(self, theta, e):
        return -e[..., 0] * expit(-e[..., 0] * theta)

    def curvature(self, theta, e):
        return e[..., 0] ** 2 * expit(e[..., 0] * theta) * expit(-e[..., 0] * theta)

    def expectation(self, f):
        # Panels of Gauss-Legendre nodes: no Hermite polynomial is the logistic function.
        x, w = np.polynomial.legendre.leggauss(20)
        edges = np.linspace(-12, 12, 49)
        half = 0.25
        m = (edges[:-1, None] + half + half * x).ravel()
        p = np.tile(half * w, 48) * 2 * np.exp(-0.5 * m**2) / np.sqrt(2 * np.pi) * expit(m)
        return np.tensordot(p, f(np.stack([m, 0 * m], axis=-1)), axes=1)


class Spurious:
    """l = ½θ² + x e^(−(θ − 1)²/2w²), x ~ N(0, 3²), w = 0.3."""

    centre, span, minima = 0.0, 1.0, [0.0]

    def draw(self, *shape):
        return np.stack([3.0 * rng.normal(size=shape), np.full(shape, 0.3)], axis=-1)

    def bump(self, theta):
        return np.exp(-((theta - 1) ** 2) / (2 * 0.3**2))

    def loss(self, theta, e):
        return 0.5 * theta**2 + e[..., 0] * self.bump(theta)

    def gradient(self, theta, e):
        return theta - e[..., 0] * (theta - 1) / 0.3**2 * self.bump(theta)

    def curvature(self, theta, e):
        return 1 + e[..., 0] * ((theta - 1) ** 2 / 0.3**4 - 1 / 0.3**2) * self.bump(theta)

    def expectation(self, f):
        x, w = np.polynomial.hermite_e.hermegauss(12)
        return np.tensordot(w / w.sum(), f(np.stack([3.0 * x, 0 * x], axis=-1)), axes=1)


class Case:
    """Everything of one case on one grid: arrays [data set, point]."""

    def __init__(self, law, train, test, temperature, alpha, beta, reach, cells=3000):
        self.law, self.n, self.T = law, train.shape[1], temperature
        u = np.linspace(-1, 1, 2 * cells + 1) * reach
        at = lambda u: law.centre + law.span * (u + u**3)
        by_u = lambda u: law.span * (1 + 3 * u**2)
        self.u, self.theta, self.weight, self.middle = u, at(u), by_u(u), cells
        theta = self.theta
        expect = lambda f: law.expectation(lambda e: f(theta[None, :], e[:, None, :]))
        self.U = expect(law.loss)
        self.C = expect(law.curvature)
        self.sigma_l = np.sqrt(expect(lambda t, e: (law.loss(t, e) - self.U) ** 2))
        self.edges = self.parts()
        # Eq. 19 by five nodes in each cell, and a: (D + β²)∂a = ∂D is ln(D + β²).
        x, w = np.polynomial.legendre.leggauss(5)
        h = u[1] - u[0]
        nodes = (u[:-1, None] + 0.5 * h * (1 + x)).ravel()

        def noise(examples, theta):
            g = np.stack([law.gradient(theta, e) for e in examples])
            return g.mean(axis=0), g.var(axis=0) + beta**2

        fields = {name: [] for name in ("rho", "u", "u2", "e", "v", "a", "c")}
        scalars = {name: [] for name in (
            "train", "square", "test", "v", "a", "vu", "slope", "down", "up", "l35", "r35", "l36", "r36", "l37", "r37")}
        for examples, tests in zip(train, test):
            gradient, d = noise(examples, at(nodes))
            rate = (gradient + alpha * at(nodes)) / d * by_u(nodes)
            v = np.concatenate([[0], np.cumsum((rate.reshape(-1, 5) @ w) * 0.5 * h)])
            v -= v[self.middle]
            gradient, d = noise(examples, theta)
            a = np.log(d / d[self.middle])
            loss = np.mean([law.loss(theta, e) for e in examples], axis=0)
            curvature = np.mean([law.curvature(theta, e) for e in examples], axis=0)
            test_loss, test_gradient, test_curvature = (
                np.mean([f(theta, e) for e in tests], axis=0) for f in (law.loss, law.gradient, law.curvature))

            def density(temperature):
                g = 2 * v / temperature + a
                rho = np.exp(g.min() - g)
                z = self.integral(rho)
                return rho / z, np.log(z) - g.min()

            rho, log_z = density(self.T)
            under = lambda f: self.integral(rho * f)
            at_t = lambda t: self.integral(density(t)[0] * loss)
            drift = gradient + alpha * theta
            for name, value in dict(rho=rho, u=loss, u2=loss**2, e=test_loss, v=v, a=a,
                                    c=np.full_like(v, 0.5 * self.T * log_z)).items():
                fields[name].append(value)
            for name, value in dict(
                train=under(loss), square=under(loss**2), test=under(test_loss), v=under(v), a=under(a),
                vu=under(v * loss), slope=slope(at_t, self.T),
                down=under(np.where(drift > 0, drift, 0)), up=under(np.where(drift < 0, -drift, 0)),
                l35=2 * under(drift * (theta - under(theta))), r35=self.T * under(d),
                l36=under(gradient**2) + alpha * under(theta * gradient), r36=self.T / 2 * under(curvature * d),
                l37=under(test_gradient * gradient) + alpha * under(theta * test_gradient),
                r37=self.T / 2 * under(test_curvature * d),
            ).items():
                scalars[name].append(value)
        self.fields = {name: np.array(values) for name, values in fields.items()}
        self.scalars = {name: np.array(values) for name, values in scalars.items()}

    def parts(self):
        """The highest point between each two minima of Ū, and the minima."""
        bounded = lambda f, low, high: minimize_scalar(f, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        u = lambda theta: float(self.law.expectation(lambda e: self.law.loss(theta, e)))
        self.minima = [bounded(u, near - 0.4, near + 0.4) for near in self.law.minima]
        between = [bounded(lambda t: -u(t), a, b) for a, b in zip(self.minima, self.minima[1:])]
        self.at_minima = [(u(m), float(self.law.expectation(lambda e: self.law.curvature(m, e)))) for m in self.minima]
        return [-np.inf, *between, np.inf]

    def integral(self, values):
        return simpson(values * self.weight, x=self.u)

    def rows(self, keep, gauge):
        """Both sides of every equation, averaged over some of the data sets; those of Eq. 26 after them."""
        law, T, n, U, sigma_l = self.law, self.T, self.n, self.U, self.sigma_l
        field = {name: values[keep] for name, values in self.fields.items()}
        mean = {name: values[keep].mean() for name, values in self.scalars.items()}
        rho, train, test = field["rho"], field["u"], field["e"]
        integral = self.integral

        def cov(x, y):
            return ((x - x.mean(axis=0)) * (y - y.mean(axis=0))).sum(axis=0) / (len(x) - 1)

        rho_bar = rho.mean(axis=0)
        over = lambda f: integral(rho_bar * f)
        gap = mean["test"] - mean["train"]
        test_loss = over(U)
        exact = test_loss - mean["train"]
        covariance = integral(cov(rho, train))
        rows = {}
        rows["2: f = U_ℓ²: total average, covariance and averages apart"] = (
            mean["square"], integral(cov(rho, field["u2"])) + over(U**2 + sigma_l**2 / n))
        rows["3: train loss"] = mean["train"], covariance + test_loss
        rows["4: test loss"] = mean["test"], test_loss
        rows["4: ∫Cov_D(ρ, U_e)dθ is 0"] = integral(cov(rho, test)), 0.0
        rows["5: gap"] = gap, integral(cov(rho, test)) - covariance
        rows["6: gap as a covariance"] = gap, -covariance
        rows["7: the bound of the gap"] = abs(gap), integral(np.sqrt(cov(rho, rho)) * sigma_l) / np.sqrt(n)

        # Eq. 9: ⟨g⟩ averaged against ⟨⟨ḡ⟩⟩, without the bias of one data set's ρ with its own g.
        own_v, own_a = integral(cov(rho, field["v"])), integral(cov(rho, field["a"]))
        rows["9: effective potential"] = (
            2 / T * mean["v"] + mean["a"], 2 / T * (mean["v"] - own_v) + mean["a"] - own_a)
        rows["21: the same for SGD"] = (
            mean["v"] + T / 2 * mean["a"], mean["v"] - own_v + T / 2 * (mean["a"] - own_a))

        def potential(gauge):
            v = field["v"] + field["c"] if gauge == "normalised" else field["v"]
            return v, field["a"], 2 / T * v + field["a"]

        v, a, g = potential(gauge)
        g_bar, g2, gu, u2 = g.mean(axis=0), cov(g, g), cov(g, train), cov(train, train)

        def normalised(log):
            weight = np.exp(log - log.max())
            if max(weight[0], weight[-1]) > 1e-6:
                return np.full_like(log, np.nan)
            return weight / integral(weight)

        rows["10: ρ̄ log-normal: test loss"] = test_loss, integral(normalised(g2 / 2 - g_bar) * U)
        rows["10: σ_ρ²: integral"] = integral(cov(rho, rho)), integral(rho_bar**2 * (np.exp(g2) - 1))
        bound = lambda f: over(sigma_l * f) / np.sqrt(n)
        rows["11: bound, log-normal"] = abs(gap), bound(np.sqrt(np.exp(g2) - 1))
        rows["11: bound where σ_g² ≫ 1"] = abs(gap), bound(np.exp(g2 / 2))
        rows["11: bound where σ_g² ≪ 1"] = abs(gap), bound(np.sqrt(g2))
        # 0 / 0 where the population's loss is 0.
        fourth = u2**2 / (8 * U**4) if np.abs(U).min() > 1e-12 else np.nan
        rows["13: gap, log-normal (Eq. 12)"] = exact, over(U * (1 - np.exp(-gu / U - fourth)))
        rows["13′: without σ_u⁴ / 8Ū⁴"] = exact, over(U * (1 - np.exp(-gu / U)))
        rows["13: gap in the interpolation regime"] = exact, test_loss
        rows["13: gap where the exponent is ≪ 1"] = exact, over(U * (gu / U + fourth))
        rows["14: test loss, interpolation and σ_g² ≫ 1"] = test_loss, bound(np.exp(g2 / 2))
        vu, au = cov(v, train), cov(a, train)
        rows["22: the same by v and a"] = (
            exact, 2 / T * over(vu) + over(au) + over(u2**2 / U**3) / 8)
        v2, a2, va = cov(v, v), cov(a, a), cov(v, a)
        rows["23: as 14, without σ_va"] = test_loss, bound(np.exp(2 / T**2 * v2 + a2 / 2))
        rows["24: as 11 (σ_g² ≪ 1), without σ_va"] = (
            abs(gap), 2 / T * bound(np.sqrt(v2 + T**2 / 4 * a2)))
        rows["24′: with σ_va"] = abs(gap), 2 / T * bound(np.sqrt(v2 + T * va + T**2 / 4 * a2))

        w, a, _ = potential("reference")
        w_bar, a_bar, w2, a2, wa = w.mean(axis=0), a.mean(axis=0), cov(w, w), cov(a, a), cov(w, a)
        printed = normalised(-2 / T * w_bar - a_bar + 2 / T**2 * w2 + a2 / 2 + wa)
        mended = lambda T: normalised(-2 / T * w_bar - a_bar + 2 / T**2 * w2 + a2 / 2 + 2 / T * wa)
        rows["25: ρ̄ of SGD: test loss"] = test_loss, integral(printed * U)
        rows["25′: with 2σ_va / T"] = test_loss, integral(mended(T) * U)
        under = lambda f: integral(mended(T) * f)
        cov_theta = lambda f, h: under(f * h) - under(f) * under(h)
        rows["26: ∂_T of the test loss, ρ̄ of Eq. 25′"] = (
            slope(lambda t: integral(mended(t) * U), T),
            2 / T**2 * cov_theta(U, w_bar - wa) - 4 / T**3 * cov_theta(U, w2))
        of_beta = lambda beta: integral(mended(2 / beta) * (w_bar - beta * w2 - wa))
        second = slope(of_beta, 2 / T)
        here = w_bar - 2 / T * w2 - wa
        variance = cov_theta(here, here)
        rows["26: −∂²_β ln Z̄ as printed (footnote 2)"] = second, -variance
        rows["26′: with −⟨⟨σ_v²⟩⟩"] = second, -variance - under(w2)

        rows["27: ∂_T of the train loss"] = (
            mean["slope"],
            2 / T**2 * np.mean(self.scalars["vu"][keep] - self.scalars["v"][keep] * self.scalars["train"][keep]))
        rows["34: ⟨U′ + αθ⟩ is 0: its parts up and down"] = mean["down"], mean["up"]
        rows["35: fluctuation and dissipation"] = mean["l35"], mean["r35"]
        rows["36: train loss at rest"] = mean["l36"], mean["r36"]
        rows["37: test loss at rest"] = mean["l37"], mean["r37"]
        at_mean = normalised(-g_bar)
        rows["52: gap, delta method (Eq. 51)"] = exact, integral(at_mean * gu)
        rows["53: the same by v and a"] = exact, 2 / T * integral(at_mean * vu) + integral(at_mean * au)
        curved = 0.0
        for k, (at, (depth, curvature)) in enumerate(zip(self.minima, self.at_minima)):
            inside = (self.theta >= self.edges[k]) & (self.theta < self.edges[k + 1])
            moment = lambda f: integral(np.where(inside, rho_bar * f, 0.0))
            weight = moment(1.0)
            mu = moment(self.theta) / weight
            sigma = moment((self.theta - mu) ** 2) / weight
            curved += weight * (depth + curvature / 2 * sigma + curvature / 2 * (mu - at) ** 2)
        rows["54: test loss by curvature"] = test_loss, curved

        cov_bar = lambda f: over(U * f) - over(U) * over(f)
        best = [2 * cov_bar(w2) / cov_bar(w_bar - wa), 2 * cov_bar(w2) / cov_bar(w_bar)]
        return list(rows), np.array([*rows.values(), [test_loss, 0.0], [best[0], best[1]]])

    def columns(self):
        """What `lab::ensemble` says at the centre, with Z = 1."""
        at = {name: values[:, self.middle] for name, values in self.fields.items()}
        g = -np.log(at["rho"])
        cov = lambda x, y: np.cov(x, y)[0, 1]
        return {
            "mean_density": at["rho"].mean(), "sigma_density": at["rho"].std(ddof=1),
            "population_loss": self.U[self.middle], "sigma_loss": self.sigma_l[self.middle],
            "mean_train_loss": at["u"].mean(), "sigma_train_loss": at["u"].std(ddof=1),
            "covariance": cov(at["rho"], at["u"]), "mean_g": g.mean(), "sigma_g": g.std(ddof=1),
            "mean_v": np.mean(at["v"] + at["c"]), "covariance_g_train_loss": cov(g, at["u"]),
        }

    def table(self, gauge):
        """Names; left, right, and the errors of both and of their difference."""
        index = np.arange(len(self.fields["rho"]))
        names, values = self.rows(index >= 0, gauge)
        with_difference = lambda values: np.column_stack([values, values[:, 0] - values[:, 1]])
        without = np.stack(
            [with_difference(self.rows(index % BLOCKS != block, gauge)[1]) for block in range(BLOCKS)])
        errors = np.sqrt((BLOCKS - 1) * without.var(axis=0))
        return names, np.column_stack([values, errors])


def slope(f, x, share=4e-3):
    """f′(x) by central differences of three steps, extrapolated."""
    first = [(f(x * (1 + h)) - f(x * (1 - h))) / (2 * h * x) for h in (share, share / 2, share / 4)]
    second = [(4 * b - a) / 3 for a, b in zip(first, first[1:])]
    return (16 * second[1] - second[0]) / 15


def compared(near, far):
    """What both ranges agree on: left, right, three errors, and the share up to which they agree."""
    scale = np.abs(far)
    # An identity's difference is rounding.
    noise = 1e-9 * scale[:2].max()
    share = np.abs(near - far) / np.maximum(scale, noise)
    known = np.isfinite(share) & (share < 1e-4) & ((scale > noise) | (far == 0))
    row = [float(f"{x:.10g}") if ok else None for x, ok in zip(far, known)]
    return [*row, float(f"{max(share[known], default=0):.0e}")]


def main():
    # Another quadrature as a witness of the nodes.
    logistic = Logistic()
    density = lambda m: 2 * np.exp(-0.5 * m * m) / np.sqrt(2 * np.pi) * expit(m)
    known = quad(lambda m: density(m) * np.logaddexp(0, -0.7 * m), -12, 12, epsabs=1e-13)[0]
    assert abs(known - logistic.expectation(lambda e: logistic.loss(0.7, e))) < 1e-12
    cases = [
        ("linear_regression", Regression(), 300, 0.1, 0.1, 0.3, (4.0, 4.5)),
        ("double_well", Well(), 200, 0.1, 0.01, 0.2, (1.1, 1.3)),
        ("logistic", Logistic(), 100, 0.3, 0.1, 0.3, (1.6, 1.8)),
        ("spurious_minimum", Spurious(), 10, 0.15, 0.02, 0.5, (1.1, 1.2)),
    ]
    stored = []
    for name, law, n, temperature, alpha, beta, reaches in cases:
        train, test = (np.round(law.draw(40, size), 2) for size in (n, 5))
        near, far = (Case(law, train, test, temperature, alpha, beta, reach) for reach in reaches)
        used = 2 if train[..., 1].any() else 1
        flat = lambda sets: [[float(x) for e in one for x in e[:used]] for one in sets]
        gauges = {}
        for gauge in ("normalised", "reference"):
            (names, a), (_, b) = near.table(gauge), far.table(gauge)
            rows = [compared(x, y) for x, y in zip(a, b)]
            *sides, loss, best = rows
            gauges[gauge] = dict(zip(names, sides))
            print(name, gauge)
            for one, row in zip([*names, "test loss", "T of Eq. 26"], rows):
                print("  ", one, row)
        stored.append({
            "problem": name, "temperature": temperature, "alpha": alpha, "beta": beta,
            "train": flat(train), "test": flat(test), "checks": gauges,
            "optimum": [loss[0], *best[:2]], "columns": {name: float(f"{x:.10g}") for name, x in far.columns().items()},
        })
    text = json.dumps(stored, ensure_ascii=False, separators=(",", ":")).replace("],", "],\n")
    (HERE / "theory.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
