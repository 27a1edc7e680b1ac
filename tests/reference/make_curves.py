"""Writes curves.json: fits of formulas by SciPy, from starts that are hard for finite differences.

    python make_curves.py

Derivatives by complex steps, which are exact to rounding. Parameters are polished by Gauss-Newton until they stay; standard
errors are those of SciPy's `curve_fit` with these derivatives, where it has any. Where the points do not determine a
parameter, its error is null, and those of the others come from the directions that are determined.
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit

HERE = Path(__file__).resolve().parent

FORMULAS = {
    "line": lambda x, p: p[0] + p[1] * x,
    "parabola": lambda x, p: p[0] + p[1] * x + p[2] * x * x,
    "decay": lambda x, p: p[0] * np.exp(-x * p[1]),
    "decay_to": lambda x, p: p[0] * np.exp(-x * p[1]) + p[2],
    "peak": lambda x, p: p[0] * np.exp(-(((x - p[1]) / p[2]) ** 2)),
    "sigmoid": lambda x, p: p[0] / (1 + np.exp(-(x - p[1]) / p[2])),
    "power": lambda x, p: p[0] * x ** p[1],
    "wave": lambda x, p: p[0] * np.sin(p[1] * x + p[2]),
    "saturating": lambda x, p: p[0] * (1 - np.exp(-p[1] * x)),
    "root": lambda x, p: np.sqrt(p[0] + p[1] * x),
    "twice": lambda x, p: (p[0] + p[1]) * x + p[2],
    "unused": lambda x, p: p[0] * x + 0 * p[1],
    "product": lambda x, p: p[0] * p[1] * x,
}


def jacobian(f, x, p):
    step = 1e-30
    columns = []
    for k in range(len(p)):
        moved = np.array(p, dtype=complex)
        moved[k] += 1j * step * max(abs(p[k]), 1e-20)
        columns.append(np.imag(f(x, moved)) / (step * max(abs(p[k]), 1e-20)))
    return np.stack(columns, axis=1)


def case(name, formula, x, y, start, near, tolerance=1e-6):
    f = FORMULAS[formula]
    p = np.array(near, dtype=float)
    singular = formula in ("twice", "unused", "product")
    for _ in range(200):
        scaled = jacobian(f, x, p)
        norms = np.linalg.norm(scaled, axis=0)
        norms[norms == 0] = 1
        step = np.linalg.lstsq(scaled / norms, y - f(x, p), rcond=1e-9)[0] / norms
        p = p + step
        if np.all(np.abs(step) <= 1e-14 * np.abs(p)):
            break
    residuals = y - f(x, p)
    scaled = jacobian(f, x, p)
    norms = np.linalg.norm(scaled, axis=0)
    norms[norms == 0] = 1
    _, s, directions = np.linalg.svd(scaled / norms)
    known = s > 1e-9
    # A parameter in a direction of no change is not determined.
    lost = np.any(np.abs(directions[~known]) > 1e-4, axis=0)
    variance = residuals @ residuals / (len(x) - known.sum())
    errors = np.sqrt(variance * ((directions[known] / s[known, None]) ** 2).sum(axis=0)) / norms
    assert singular == bool(lost.any()), name
    if not singular:
        found, covariance = curve_fit(
            lambda x, *p: f(x, p), x, y, p * (1 + 1e-6), jac=lambda x, *p: jacobian(f, x, p), method="lm",
            ftol=1e-15, xtol=1e-15, gtol=0, maxfev=10_000,
        )
        theirs = np.sqrt(np.diag(covariance))
        assert np.all(np.abs(found - p) < 1e-5 * theirs), (name, found, p)
        assert np.allclose(theirs, errors, rtol=1e-5), (name, theirs, errors)
    print(f"{name:24}", p, errors)
    return {
        "name": name, "formula": formula, "x": x.tolist(), "y": y.tolist(), "start": list(map(float, start)),
        "p": [None if gone else value for value, gone in zip(p, lost)],
        "errors": [None if gone else value for value, gone in zip(errors, lost)],
        "tolerance": tolerance,
    }


def main():
    rng = np.random.default_rng(24)

    def noisy(formula, x, p, noise):
        clean = FORMULAS[formula](x, p)
        return clean + noise * np.max(np.abs(clean)) * rng.standard_normal(len(x))

    five = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    wide = np.linspace(-3, 3, 15)
    up = np.linspace(0, 4, 20)
    misra = np.array([77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0])
    volume = np.array([10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78])
    even = wide**2 - np.mean(wide**2)
    cases = [
        # The mean of y is 0, and so is the first parameter.
        case("line_through_zero", "line", five, np.array([-3.9, -2.2, 0.2, 1.8, 4.1]), [0, 0], [0, 2]),
        case("line_flat", "line", wide, even / 7, [0, 0], [0, 0]),
        case("parabola_of_zeros", "parabola", wide, np.sin(5 * wide), [0, 0, 0], [0, 0, 0]),
        case("line_of_large_x", "line", 1e8 * up, noisy("line", 1e8 * up, [2.0, 3e-8], 0.01), [0, 0], [2, 3e-8]),
        case("line_of_small_y", "line", up, noisy("line", up, [2e-8, 3e-8], 0.01), [0, 0], [2e-8, 3e-8]),
        case("decay_1e8", "decay", 1e8 * up, noisy("decay", 1e8 * up, [1e8, 1e-8], 0.01), [3e7, 3e-9], [1e8, 1e-8]),
        case("decay_to_zero", "decay_to", up, noisy("decay_to", up, [2, 1.1, 0], 0.01), [1, 0.5, 0], [2, 1.1, 0]),
        case("decay_to_a_million", "decay_to", up, noisy("decay_to", up, [2e2, 1.1, 1e6], 1e-6), [100, 0.5, 9e5],
             [2e2, 1.1, 1e6], 1e-4),
        case("peak_at_zero", "peak", wide, noisy("peak", wide, [2, 0, 1.2], 0.02), [1, 0, 1], [2, 0, 1.2]),
        case("sigmoid", "sigmoid", wide, noisy("sigmoid", wide, [3, 0, 0.5], 0.02), [1, 0, 1], [3, 0, 0.5]),
        case("power", "power", 1e-3 * (1 + up), noisy("power", 1e-3 * (1 + up), [5e-6, -1.3], 0.02), [1e-5, -1],
             [5e-6, -1.3]),
        case("wave_of_phase_zero", "wave", up, noisy("wave", up, [2, 1.5, 0], 0.02), [1, 1.4, 0], [2, 1.5, 0]),
        # NIST's Misra1a; its certified values are 238.94212918 ± 2.7070075241 and 5.5015643181e-4 ±
        # 7.2668688436e-6.
        case("misra1a", "saturating", misra, volume, [500, 1e-4], [238.94, 5.5e-4]),
        case("root_from_the_edge", "root", up, noisy("root", up, [0.5, 1.5], 0.01), [0, 1], [0.5, 1.5]),
        case("twice_the_slope", "twice", up, noisy("line", up, [1, 2], 0.02), [0, 0, 0], [1, 1, 1]),
        case("unused", "unused", up, noisy("line", up, [0, 2], 0.02), [0, 0], [2, 0]),
        case("product", "product", up, noisy("line", up, [0, 2], 0.02), [1, 1], [1, 2]),
    ]
    nist = next(found for found in cases if found["name"] == "misra1a")
    assert np.allclose(nist["p"], [238.94212918, 5.5015643181e-4], rtol=1e-9)
    assert np.allclose(nist["errors"], [2.7070075241, 7.2668688436e-6], rtol=1e-8)
    (HERE / "curves.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
