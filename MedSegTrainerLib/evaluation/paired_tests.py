"""Whether paired numbers differ: tests, effect sizes and intervals for the differences of one metric and class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 9999
FEWEST_TESTED = 2
FEWEST_CONCLUSIVE = 6  # below it Wilcoxon's p cannot be under 0.05, whatever the numbers are: 2 / 2**5 = 0.0625
FEW = 15  # below it neither the shape of the differences nor the ends of an interval are certain
EXACT_UP_TO = 50  # pairs; above it the normal approximation of Wilcoxon's distribution is as good
DECIMALS = 12  # differences that are equal but for rounding errors are ties


@dataclass(frozen=True, kw_only=True)
class PairedResult:
    """What the differences (B minus A) of n pairs tell; None where it is not defined.

    low, high: bootstrap interval of the mean difference. p_wilcoxon, p_t: two-sided. rank_biserial: -1 to 1, the
    share of rank sums that speaks for B above A less the share that speaks for the opposite. cohen_dz: mean over
    standard deviation of the differences. above, below, equal: pairs in which B is above A, below it, the same.
    """

    n: int
    mean: float | None
    std: float | None
    median: float | None
    low: float | None
    high: float | None
    p_wilcoxon: float | None
    p_t: float | None
    rank_biserial: float | None
    cohen_dz: float | None
    above: int
    below: int
    equal: int


def compare_pairs(differences: Sequence[float], *, seed: int, resamples: int = RESAMPLES) -> PairedResult:
    """Tests and effect sizes for differences B minus A, one a case.

    Tests need two pairs and the interval six, since from fewer it would be far too narrow; t test, dz and interval
    need differences that differ.
    Sources: Wilcoxon 1945, doi:10.2307/3001968; rank-biserial correlation for matched pairs, Kerby 2014,
    doi:10.2466/11.IT.3.1; dz, Lakens 2013, doi:10.3389/fpsyg.2013.00863; BCa interval, Efron 1987,
    doi:10.1080/01621459.1987.10478410.
    """
    values = np.round(np.asarray(differences, dtype=np.float64), DECIMALS)
    n = values.size
    above, below = int((values > 0).sum()), int((values < 0).sum())
    enough = n >= FEWEST_TESTED
    varied = enough and bool(np.ptp(values))
    low, high = _interval(values, seed, resamples) if varied and n >= FEWEST_CONCLUSIVE else (None, None)
    std = (float(values.std(ddof=1)) if varied else 0.0) if enough else None
    mean = float(values.mean()) if n else None
    return PairedResult(
        n=n,
        mean=mean,
        std=std,
        median=float(np.median(values)) if n else None,
        low=low,
        high=high,
        p_wilcoxon=wilcoxon_p(values) if enough else None,
        p_t=float(stats.ttest_1samp(values, 0).pvalue) if varied else None,
        rank_biserial=rank_biserial(values),
        cohen_dz=mean / std if varied and mean is not None and std else None,
        above=above,
        below=below,
        equal=n - above - below,
    )


def wilcoxon_p(differences: np.ndarray) -> float:
    """Two-sided p of the signed-rank test; pairs without a difference are left out, and 1 when none remains.

    Exact up to 50 pairs, with ties too, where scipy's would fall back to the approximation or, in its older
    versions, take a distribution that has none: all 2^n signs of the mid-ranks are counted.
    """
    nonzero = differences[differences != 0]
    if not nonzero.size:
        return 1.0
    if nonzero.size > EXACT_UP_TO:
        return float(stats.wilcoxon(nonzero, method="asymptotic", correction=True).pvalue)
    ranks = np.rint(2 * stats.rankdata(np.abs(nonzero))).astype(int)  # mid-ranks are halves
    ways = np.zeros(ranks.sum() + 1)
    ways[0] = 1.0
    for rank in ranks:
        ways[rank:] = ways[rank:] + ways[:-rank]
    positive = int(ranks[nonzero > 0].sum())
    smaller = min(positive, int(ranks.sum()) - positive)
    return float(min(1.0, 2 * ways[: smaller + 1].sum() / ways.sum()))


def rank_biserial(differences: np.ndarray) -> float | None:
    """(sum of the ranks above 0 - sum of those below) / sum of all ranks; None without any difference."""
    nonzero = differences[differences != 0]
    if not nonzero.size:
        return None
    ranks = stats.rankdata(np.abs(nonzero))
    return float((ranks * np.sign(nonzero)).sum() / ranks.sum())


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """p values corrected for being several, by Holm's step-down method; None stays None and does not count.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    defined = sorted((p, name) for name, p in p_values.items() if p is not None)
    corrected: dict[str, float | None] = dict.fromkeys(p_values)
    largest = 0.0
    for rank, (p, name) in enumerate(defined):
        largest = max(largest, min(1.0, (len(defined) - rank) * p))
        corrected[name] = largest
    return corrected


def _interval(values: np.ndarray, seed: int, resamples: int) -> tuple[float | None, float | None]:
    """Bias-corrected and accelerated bootstrap interval of the mean; the same for the same seed."""
    result = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=np.random.default_rng(seed),
        batch=1000,
    )
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    return (low, high) if np.isfinite([low, high]).all() else (None, None)
