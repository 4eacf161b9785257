#!/usr/bin/env python3
"""Paired tests and bootstrap intervals by scipy and numpy, as oracles for src/stats. Writes paired_tests.json and bootstrap_intervals.json beside itself.

usage: python3 make_paired_tests.py     (scipy 1.17)
"""
import json
from pathlib import Path

import numpy as np
from scipy import stats

HERE = Path(__file__).resolve().parent


def holm(p):
    """From the definition: reject step by step; the corrected p-value is the smallest level at which the hypothesis is rejected."""
    corrected = []
    for i in range(len(p)):
        before = [j for j in range(len(p)) if (p[j], j) <= (p[i], i)]
        corrected.append(min(1.0, max(p[j] * sum((p[k], k) >= (p[j], j) for k in range(len(p))) for j in before)))
    return corrected


def paired(random):
    sizes = [1, 2, 3, 5, 8, 10, 13, 14, 20, 35, 50, 51, 80, 200]
    for n in sizes:
        for digits in (1, 2, 15):  # of few digits: ties and zeros
            a = np.round(random.beta(8, 2, n), digits)
            b = np.round(a - random.normal(0.02, 0.08, n), digits)
            d = a - b
            t = stats.ttest_rel(a, b) if n > 1 and d.std() > 1e-12 else None
            w = stats.wilcoxon(a, b, zero_method="wilcox", correction=False, method="auto") if np.any(d != 0) else None
            yield {"a": a.tolist(), "b": b.tolist(), "t": t and [float(t.statistic), float(t.pvalue)], "wilcoxon": w and [float(w.statistic), float(w.pvalue)]}


def intervals(random):
    for k in range(12):
        n = [5, 12, 30, 80][k % 4]
        values = random.gamma(1.5, 1, n)
        drawn = np.array([np.mean(values[random.integers(n, size=n)]) for _ in range(199)]).round(3)  # rounded: ties with the estimate
        estimate = float(np.round(values.mean(), 3))
        left_out = np.array([np.delete(values, i).mean() for i in range(n)])
        u = left_out.mean() - left_out
        a = float((u**3).sum() / (6 * (u**2).sum()**1.5))
        level = [0.95, 0.9, 0.99][k % 3]
        bias = stats.norm.ppf(((drawn < estimate).sum() + (drawn <= estimate).sum()) / (2 * drawn.size))
        z = stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
        bca = np.quantile(drawn, stats.norm.cdf(bias + (bias + z) / (1 - a * (bias + z))))
        yield {"values": values.tolist(), "resampled": drawn.tolist(), "estimate": estimate, "acceleration": a, "level": level, "bca": bca.tolist(),
               "percentile": np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]).tolist()}


def scipy_intervals(random):
    """Two samples, as strata are: scipy's BCa of a difference of means from many resamples; comparable up to chance."""
    def difference(x, y, axis=-1):
        return np.mean(x, axis=axis) - np.mean(y, axis=axis)

    for n in (15, 40):
        x, y = random.gamma(0.7, 1, n), random.normal(2, 0.5, 2 * n)
        result = stats.bootstrap((x, y), difference, n_resamples=100000, method="BCa", random_state=random)
        plain = stats.bootstrap((x, y), difference, method="percentile", bootstrap_result=result, n_resamples=0)
        left_out = [np.array([difference(np.delete(x, i), y) for i in range(x.size)]), np.array([difference(x, np.delete(y, i)) for i in range(y.size)])]
        u = [(one.mean() - one) * (one.size - 1) / one.size for one in left_out]
        a = sum((one**3).sum() for one in u) / (6 * sum((one**2).sum() for one in u)**1.5)
        yield {"acceleration": float(a), "x": x.tolist(), "y": y.tolist(), "bca": list(map(float, result.confidence_interval)), "percentile": list(map(float, plain.confidence_interval)),
               "standard_error": float(result.standard_error)}


def write(name, value):
    lines = ",\n".join(f'"{key}": [\n' + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries) + "\n]" for key, entries in value.items())
    (HERE / name).write_text("{" + lines + "}\n")


def main():
    random = np.random.default_rng(7)
    p_values = [[0.01, 0.04, 0.03, 0.005], [0.5], [0.02, 0.02, 0.02], [1.0, 0.9, 0.6]] + [random.beta(0.4, 2, n).tolist() for n in (5, 12, 30)]
    write("paired_tests.json", {"paired": list(paired(random)), "holm": [{"p": p, "corrected": holm(p)} for p in p_values]})
    write("bootstrap_intervals.json", {"given": list(intervals(random)), "scipy": list(scipy_intervals(random))})


if __name__ == "__main__":
    main()
