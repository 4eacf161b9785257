#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The usual Python for what `vmae eval` computes: scikit-learn in a loop over resamples, DeLong's test in numpy, MedPy's hd95. One line of JSON.

Times the calculation alone, on the cases that `vmae bench --eval` makes up. Of the resamples, --sample are drawn, and the time is scaled to --resamples.
"""
import argparse
import json
import math
import multiprocessing
import resource
import time

import numpy


def uniform(k):
    """The numbers of `vmae bench --eval` (SplitMix64)."""
    bits = (k.astype(numpy.uint64) + numpy.uint64(1)) * numpy.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return ((bits ^ (bits >> numpy.uint64(31))) >> numpy.uint64(11)).astype(float) * 2.0**-53


def make_finding(finding, cases):
    k = numpy.arange(3 * finding * cases, 3 * (finding + 1) * cases, 3)
    labels = (uniform(k) < 0.1).astype(int)
    scores = 0.7 * uniform(k + 1) + 0.3 * labels
    return labels, scores, 0.5 * scores + 0.5 * uniform(k + 2)


def make_ellipsoid(x, y, z, size):
    k, j, i = numpy.ogrid[:300, :512, :512]
    return 2 * (i - x) ** 2 + 3 * (j - y) ** 2 + 5 * (k - z) ** 2 < size


def resample_aurocs(findings, cases, seeds):
    """The AUROC of every finding, and behind them their mean, for every resample."""
    from sklearn.metrics import roc_auc_score
    rows = []
    for seed in seeds:
        drawn = numpy.random.default_rng(seed).integers(0, cases, cases)
        aurocs = [roc_auc_score(labels[drawn], scores[drawn]) for labels, scores, _ in findings]
        rows.append([*aurocs, float(numpy.mean(aurocs))])
    return rows


def bootstrap(findings, args):
    from sklearn.metrics import roc_auc_score
    value = float(numpy.mean([roc_auc_score(labels, scores) for labels, scores, _ in findings]))
    work = [(findings, args.cases, seeds) for seeds in numpy.array_split(numpy.arange(args.sample), args.threads)]
    if args.threads == 1:
        start = time.perf_counter()
        rows = resample_aurocs(*work[0])
        seconds = time.perf_counter() - start
    else:
        with multiprocessing.Pool(args.threads) as pool:
            pool.map(time.sleep, [0.2] * args.threads, 1)  # all have started
            start = time.perf_counter()
            rows = sum(pool.starmap(resample_aurocs, work, 1), [])
            seconds = time.perf_counter() - start
    low, high = numpy.percentile([row[-1] for row in rows], [2.5, 97.5])
    return {"seconds": seconds * args.resamples / args.sample, "value": value, "low": low, "high": high}


def midranks(values):
    order = numpy.argsort(values)
    ordered = values[order]
    starts = numpy.flatnonzero(numpy.r_[True, ordered[1:] != ordered[:-1]])
    counts = numpy.diff(numpy.r_[starts, len(values)])
    ranks = numpy.empty(len(values))
    ranks[order] = numpy.repeat(starts + (counts + 1) / 2, counts)
    return ranks


def delong_test(finding):
    """The fast algorithm (Sun and Xu 2014): AUROCs and their covariance by midranks."""
    start = time.perf_counter()
    labels, *models = finding
    aurocs, of_positives, of_negatives = [], [], []
    for scores in models:
        positive, negative = scores[labels == 1], scores[labels == 0]
        m, n = len(positive), len(negative)
        every = midranks(numpy.concatenate([positive, negative]))
        aurocs.append(every[:m].sum() / m / n - (m + 1) / 2 / n)
        of_positives.append((every[:m] - midranks(positive)) / n)
        of_negatives.append(1 - (every[m:] - midranks(negative)) / m)
    covariance = numpy.cov(of_positives) / m + numpy.cov(of_negatives) / n
    difference = aurocs[0] - aurocs[1]
    sd = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "value": difference / sd, "low": difference - 1.959963984540054 * sd, "high": difference + 1.959963984540054 * sd}


def hd95():
    from medpy.metric.binary import hd95
    prediction, truth = make_ellipsoid(255, 246, 153, 25000), make_ellipsoid(260, 240, 150, 24000)
    start = time.perf_counter()
    value = float(hd95(prediction, truth, voxelspacing=(1.5, 0.75, 0.75)))
    return {"seconds": time.perf_counter() - start, "value": value, "low": None, "high": None}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--eval", required=True, choices=["auroc", "findings", "delong", "hd95"])
    parser.add_argument("--cases", type=int, default=100000)
    parser.add_argument("--findings", type=int, default=14)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="processes of the bootstrap")
    args = parser.parse_args()
    if args.eval == "hd95":
        result = hd95()
    elif args.eval == "delong":
        result = delong_test(make_finding(0, args.cases))
    else:
        result = bootstrap([make_finding(f, args.cases) for f in range(args.findings if args.eval == "findings" else 1)], args)
    kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (args.threads if args.threads > 1 else 0)
    print(json.dumps({**result, "peak_rss_mb": kb / 1024}))


if __name__ == "__main__":
    main()
