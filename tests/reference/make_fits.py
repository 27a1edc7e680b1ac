"""Writes fits.json: stored fits of gap = (a/T + b) exp(-T/c) with a, b, c > 0.

    python make_fits.py

SciPy's least squares, polished until the gradient is at rounding, from many
starts, so that each stored fit is the global minimum and good to about eight
digits. The last cases have no finite c: their best fit is the limit a/T + b.
"""

import itertools
import json
from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit

HERE = Path(__file__).resolve().parent
TIGHT = {"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-14, "max_nfev": 20_000}


def eq1(t, a, b, c):
    return (a / t + b) * np.exp(-t / c)


def eq1_jacobian(t, a, b, c):
    decay = np.exp(-t / c)
    return np.stack([decay / t, decay, (a / t + b) * decay * t / c**2], axis=1)


def straight(t, gap):
    """The two-parameter fit a/T + b, by linear least squares."""
    columns = np.stack([1 / t, np.ones_like(t)], axis=1)
    scale = np.linalg.norm(columns, axis=0)
    solution = np.linalg.lstsq(columns / scale, gap, rcond=None)[0]
    return solution / scale


def squares(t, gap, p):
    return np.sum((gap - eq1(t, *p)) ** 2)


def fit(t, gap):
    """The best (a, b, c), over starts spread around the scales of the data."""
    a0, b0 = np.min(t * gap), np.median(np.abs(gap))
    results = []
    for fa, fb, fc in itertools.product((0.1, 1, 10), (0.1, 1), (0.1, 1, 10, 100)):
        start = np.array([a0 * fa, b0 * fb, t.max() * fc])
        # Divided by the start, so that the three have one scale; positive by log.
        p = np.zeros(3)
        for _ in range(3):  # restarted from its own answer until it stays
            p, _ = curve_fit(
                lambda t, *q: eq1(t, *(start * np.exp(q))),
                t,
                gap,
                p0=p,
                jac=lambda t, *q: eq1_jacobian(t, *(start * np.exp(q)))
                * (start * np.exp(q)),
                bounds=(-60, 60),  # a guard against overflow, far from any answer
                x_scale=1.0,
                **TIGHT,
            )
        p = start * np.exp(p)
        results.append((squares(t, gap, p), p))
    results.sort(key=lambda r: r[0])
    best = results[0][1]
    # How many starts agree; the rest ended in the flat region of large c.
    agree = sum(np.allclose(p, best, rtol=1e-6) for _, p in results)
    return best, agree, len(results)


def errors(t, gap, p):
    """Standard errors of a, b, c: sqrt of the diagonal of s2 (J'J)^-1."""
    jacobian = eq1_jacobian(t, *p)
    s2 = squares(t, gap, p) / (len(t) - 3)
    scale = np.linalg.norm(jacobian, axis=0)
    scaled = jacobian / scale
    return np.sqrt(s2 * np.diag(np.linalg.inv(scaled.T @ scaled))) / scale


def r2(gap, model):
    return 1 - np.sum((gap - model) ** 2) / np.sum((gap - gap.mean()) ** 2)


def noisy(seed, t, truth, noise):
    rng = np.random.default_rng(seed)
    return eq1(t, *truth) * (1 + noise * rng.standard_normal(len(t)))


def finite_case(name, t, gap):
    p, agree, starts = fit(t, gap)
    jacobian = eq1_jacobian(t, *p)
    residual = gap - eq1(t, *p)
    # Zero at a stationary point: the cosines of residual and model directions.
    if np.linalg.norm(residual) > 1e-9 * np.linalg.norm(gap):
        scale = np.linalg.norm(jacobian, axis=0) * np.linalg.norm(residual)
        assert np.all(np.abs(jacobian.T @ residual) / scale < 1e-6), name
        # SciPy's own covariance, of a, b, c themselves.
        options = {"method": "trf", "x_scale": p, **TIGHT}
        _, covariance = curve_fit(eq1, t, gap, p, jac=eq1_jacobian, **options)
        assert np.allclose(np.sqrt(np.diag(covariance)), errors(t, gap, p), rtol=1e-6)
    two = straight(t, gap)
    assert squares(t, gap, p) < squares(t, gap, [*two, np.inf]), f"{name}: infinite c"
    a, b, c = p
    se_a, se_b, se_c = errors(t, gap, p)
    print(f"{name:12} {agree}/{starts} starts agree", p, np.array([se_a, se_b, se_c]) / p)
    return {
        "name": name,
        "t": t.tolist(),
        "gap": gap.tolist(),
        "a": a,
        "b": b,
        "c": c,
        "se_a": se_a,
        "se_b": se_b,
        "se_c": se_c,
        "r2": r2(gap, eq1(t, *p)),
    }


def infinite_case(name, t, gap):
    a, b = straight(t, gap)
    assert a > 0 and b > 0
    p, _, _ = fit(t, gap)
    limit = squares(t, gap, [a, b, np.inf])
    # Every finite c is worse than the limit, up to rounding at a huge c.
    assert squares(t, gap, p) >= limit * (1 - 1e-9) and p[2] > 1e3 * t.max(), (p, name)
    print(f"{name:12} c -> {p[2]:.3g}", a, b)
    # SciPy's own errors of the two parameters, in units of the answer.
    columns = np.stack([a / t, np.full_like(t, b)], axis=1)
    scaled = curve_fit(
        lambda t, u, v: a * u / t + b * v, t, gap, [1.0, 1.0],
        jac=lambda t, u, v: columns, method="trf", **TIGHT,
    )
    assert np.allclose(scaled[0], 1, rtol=1e-7), scaled[0]
    se_a, se_b = np.sqrt(np.diag(scaled[1])) * [a, b]
    return {
        "name": name,
        "t": t.tolist(),
        "gap": gap.tolist(),
        "a": a,
        "b": b,
        "c": None,
        "se_a": se_a,
        "se_b": se_b,
        "r2": r2(gap, a / t + b),
    }


def main():
    usual = (2e-5, 0.08, 5e-3)
    grid = np.geomspace(2e-4, 6e-3, 40)
    cases = []

    t = np.geomspace(2e-4, 2e-2, 15)
    cases.append(finite_case("clean", t, eq1(t, *usual)))

    cases.append(finite_case("noisy", grid, noisy(1, grid, usual, 0.03)))

    # One temperature by several (lr, batch): points that share their T.
    t = np.repeat(np.geomspace(3e-4, 8e-3, 8), [1, 2, 5, 3, 1, 4, 2, 3])
    cases.append(finite_case("equal_t", t, noisy(2, t, usual, 0.05)))

    t = np.geomspace(1e-5, 1e-3, 30)
    cases.append(finite_case("small_t", t, noisy(3, t, (3e-6, 0.9, 6e-4), 0.04)))

    # T stops at c/20, so the exponential is hardly seen under the noise.
    t = np.geomspace(1e-4, 2e-3, 25)
    cases.append(finite_case("weak_c", t, noisy(4, t, (2e-5, 0.1, 4e-2), 0.02)))

    # Sizes and noise of an accuracy gap, three runs at each temperature.
    t = np.repeat(np.geomspace(2e-4, 1.2e-2, 9), 3)
    rng = np.random.default_rng(6)
    gap = eq1(t, 6e-6, 0.055, 3e-2) + 0.002 * rng.standard_normal(len(t))
    cases.append(finite_case("accuracy_gap", t, gap))

    # Sizes and noise of a test loss over the temperatures where it falls.
    t = np.repeat(np.geomspace(1e-4, 4e-3, 8), 4)
    rng = np.random.default_rng(7)
    loss = eq1(t, 1.5e-5, 0.32, 2e-2) + 0.006 * rng.standard_normal(len(t))
    cases.append(finite_case("test_loss", t, loss))

    # Bent upwards against a/T + b, where exp(-T/c) can only bend downwards.
    cases.append(infinite_case("infinite_c", grid, 2e-5 / grid + 0.08 + 3 * grid))
    rng = np.random.default_rng(5)
    gap = (2e-5 / grid + 0.08 + 3 * grid) * (1 + 0.01 * rng.standard_normal(len(grid)))
    cases.append(infinite_case("infinite_c_noisy", grid, gap))

    # A test loss that rises again beyond its optimum.
    rng = np.random.default_rng(8)
    loss = 2e-5 / grid + 0.25 + 12 * grid + 0.005 * rng.standard_normal(len(grid))
    cases.append(infinite_case("test_loss_rises", grid, loss))

    (HERE / "fits.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
