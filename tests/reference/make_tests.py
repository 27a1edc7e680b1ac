"""Writes tests.json: statistics with known answers, by SciPy.

    python make_tests.py
"""

import json
from pathlib import Path

import numpy as np
from scipy import optimize, stats

HERE = Path(__file__).resolve().parent


def kendall(x, y):
    found = stats.kendalltau(x, y, method="asymptotic")
    return {"x": x.tolist(), "y": y.tolist(), "tau": found.statistic, "p": found.pvalue}


def weighted_line():
    """A decay with errors of different size, by `curve_fit` with `sigma`."""
    rng = np.random.default_rng(3)
    x = np.linspace(0, 3, 12)
    sigma = 0.02 + 0.1 * rng.random(12)
    y = 2 * np.exp(-x / 1.5) + sigma * rng.standard_normal(12)
    tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
    p, covariance = optimize.curve_fit(
        lambda x, a, b: a * np.exp(-x / b), x, y, [2.0, 1.5], sigma, method="trf",
        jac=lambda x, a, b: np.stack([np.exp(-x / b), a * x / b**2 * np.exp(-x / b)], axis=1),
        **tight,
    )
    return {
        "x": x.tolist(), "y": y.tolist(), "sigma": sigma.tolist(),
        "p": p.tolist(), "errors": np.sqrt(np.diag(covariance)).tolist(),
    }


def main():
    rng = np.random.default_rng(1)
    levels = np.repeat(np.arange(6.0), 5)
    n = len(levels)
    groups = [rng.standard_normal(size).round(6).tolist() for size in (4, 7, 3)]
    written = {
        "kendall": [
            kendall(rng.random(12), rng.random(12)),
            kendall(levels, levels + rng.standard_normal(n)),
            kendall(levels, -levels + 2 * rng.standard_normal(n)),
            # Ties in both.
            kendall(levels, np.round(levels / 2 + rng.standard_normal(n))),
        ],
        "noncentral_f": [
            [f, d1, d2, lam, stats.ncf.cdf(f, d1, d2, lam) if lam > 0 else stats.f.cdf(f, d1, d2)]
            for f, d1, d2, lam in [
                (1.2, 3, 18, 0), (1.2, 3, 18, 2.5), (4, 1, 6, 9), (0.3, 5, 40, 12),
                (60, 3, 18, 150), (900, 3, 30, 2500), (8000, 3, 30, 20000),
            ]
        ],
        "f_oneway": {"groups": groups, "f": stats.f_oneway(*groups).statistic},
        "weighted": weighted_line(),
    }
    (HERE / "tests.json").write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
