"""Tests of whether strategies differ, corrected for how many are tested."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from reports.statistics.samples import Floats
    from reports.statistics.score_table import ScoreTable

SIGNIFICANCE = 0.05
_EXACT_UP_TO = 20
# Up to so many pairs, signs are permuted, exactly where that takes few permutations.
_PERMUTED_UP_TO = 50
_PERMUTATIONS = 9999


def holm(p_values: Sequence[float]) -> Floats:
    """P-values corrected for their number by Holm's step-down method (1979)."""
    return np.asarray(multipletests(np.asarray(p_values, dtype=float), method="holm")[1])


@dataclass(frozen=True)
class Comparison:
    """Strategies against the best baseline.

    Attributes:
        reference: Label of the baseline with the best mean; ``None`` where there is none.
        n_reference: Its number of runs.
        n: Number of runs of each other strategy.
        p_values: Corrected p-value of each strategy that could be tested.
        needed: Runs per strategy from which a test could reject at all.
    """

    reference: str | None
    n_reference: int
    n: Mapping[str, int]
    p_values: Mapping[str, float]
    needed: int


def smallest_p(n: int, m: int) -> float:
    """The smallest two-sided p-value that the Mann-Whitney U test can give for two samples without ties."""
    return 2 / math.comb(n + m, n) if n and m else 1.0


def compare_with_best_baseline(
    scores: Mapping[str, ArrayLike], baselines: Sequence[str], *, higher_is_better: bool
) -> Comparison:
    """Two-sided Mann-Whitney U tests of every strategy against the best baseline, Holm-corrected.

    Runs of two strategies with the same seed share nothing, so the test is the unpaired one. Samples of up to
    20 runs are permuted, exactly where that takes few permutations and seeded where not, for ties are common
    on a table; larger ones use the normal approximation. A comparison whose smallest possible p-value, times
    the number of comparisons, exceeds 0.05 is not made: it could only ever say "no difference".

    Args:
        scores: Strategy label to the final scores of its runs, ``(runs,)``.
        baselines: Labels that may be the reference.
        higher_is_better: Direction of the scores.
    """
    samples = {label: np.asarray(values, dtype=float) for label, values in scores.items() if np.size(values)}
    sign = 1 if higher_is_better else -1
    known = [label for label in baselines if label in samples]
    reference = max(known, key=lambda label: sign * samples[label].mean(), default=None)
    others = [label for label in samples if label != reference]
    n = {label: len(samples[label]) for label in others}
    needed = next(k for k in range(2, 100) if smallest_p(k, k) * max(len(others), 1) <= SIGNIFICANCE)
    if reference is None:
        return Comparison(None, 0, n, {}, needed)
    best = samples[reference]
    possible = [o for o in others if smallest_p(n[o], len(best)) * len(others) <= SIGNIFICANCE]
    raw = [_mann_whitney(samples[label], best) for label in possible]
    p_values = dict(zip(possible, holm(raw).tolist(), strict=True))
    return Comparison(reference, len(best), n, p_values, needed)


def _mann_whitney(a: Floats, b: Floats) -> float:
    if max(len(a), len(b)) > _EXACT_UP_TO:
        return float(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)
    method = stats.PermutationMethod(n_resamples=_PERMUTATIONS, rng=np.random.default_rng(0))
    return float(stats.mannwhitneyu(a, b, method=method).pvalue)


@dataclass(frozen=True)
class PairedTest:
    """Two strategies compared pair by pair.

    Attributes:
        pairs: Number of pairs.
        wins: Pairs in which the first is better.
        losses: Pairs in which it is worse; in all others they are equal.
        median_difference: Of the first minus the second, in the unit of the scores.
        p_value: Two-sided p-value of Wilcoxon's signed-rank test; NaN where it was not made.
        reason: Why it was not made; empty where it was.
        left_out: What is not in the test, one sentence each.
    """

    pairs: int
    wins: int
    losses: int
    median_difference: float
    p_value: float
    reason: str
    left_out: tuple[str, ...]


def smallest_paired_p(pairs: int) -> float:
    """The smallest two-sided p-value that the signed-rank test can give for so many pairs."""
    return min(1.0, 2.0 ** (1 - pairs))


def paired_test(
    first: ArrayLike, second: ArrayLike, *, higher_is_better: bool, comparisons: int = 1
) -> PairedTest:
    """Wilcoxon's signed-rank test of paired scores, as Demšar (2006, Section 3.1.3) recommends it for two methods.

    What belongs together must be a fact of the experiment:

    - A benchmark makes a pair: the mean scores of two strategies on it. :func:`compare_over_benchmarks` does that.
    - A seed makes a pair only where it gives both the same luck: two scorers on the same sample of architectures, or
    two
      variants of a strategy that share their first population. Two strategies that only share the number of a seed
      share nothing; for them use :func:`compare_with_best_baseline`, or pairs are made by chance and the test believes
      in a precision that is not there.

    Equal pairs count half for either side, as in that paper. Up to 50 pairs, signs are permuted, exactly where that
    takes fewer than 10,000 permutations (13 pairs) and seeded where not, for ties are common; more use the normal
    approximation. The test assumes that differences are symmetric about their median. Where the smallest possible
    p-value, times the number of comparisons, exceeds 0.05, it is not made: it could only ever say "no difference".

    Args:
        first: ``(pairs,)``; a pair with a NaN is left out.
        second: ``(pairs,)``.
        higher_is_better: Direction of the scores.
        comparisons: How many tests are made together.
    """
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    known = difference[~np.isnan(difference)]
    n, without = len(known), len(difference) - len(known)
    left_out = (f"{without} of {len(difference)} pairs lack a score and are left out.",) if without else ()
    p_value, reason = math.nan, ""
    if smallest_paired_p(n) * comparisons > SIGNIFICANCE:
        needed = next(k for k in range(2, 100) if smallest_paired_p(k) * comparisons <= SIGNIFICANCE)
        reason = f"{n} pairs are too few: no result could reach p = {SIGNIFICANCE:g}, which takes {needed}."
    else:
        p_value = _signed_rank(known)
    better = known if higher_is_better else -known
    return PairedTest(
        n,
        int((better > 0).sum()),
        int((better < 0).sum()),
        float(np.median(known)) if n else math.nan,
        p_value,
        reason,
        left_out,
    )


def compare_over_benchmarks(table: ScoreTable, reference: str) -> dict[str, PairedTest]:
    """Every strategy against one that was chosen beforehand, paired by benchmark, Holm-corrected.

    The pairs are mean scores over runs. Scores of different benchmarks are ranked together, so give normalised ones
    (:meth:`ScoreTable.normalised`). Benchmarks of one search space that share most of their order, such as the data
    sets of NAS-Bench-201, are fewer than they seem.

    Args:
        table: Scores, all in one direction.
        reference: Label.

    Returns:
        Each other strategy to its test, with the corrected p-value.

    Raises:
        KeyError: The table has no such strategy.
        ValueError: Scores of some benchmarks are better when higher, and of others when lower.
    """
    if np.unique(table.higher_is_better).size > 1:
        raise ValueError("The benchmarks differ in the direction of their scores: normalise the table first.")
    table.of(reference)
    means = dict(zip(table.strategies, table.means, strict=True))
    others = [label for label in table.strategies if label != reference]
    tests = {
        label: paired_test(
            means[label],
            means[reference],
            higher_is_better=bool(table.higher_is_better.all()),
            comparisons=len(others),
        )
        for label in others
    }
    made = [label for label in others if not tests[label].reason]
    corrected = dict(zip(made, holm([tests[label].p_value for label in made]).tolist(), strict=True))
    return {
        label: replace(
            test, p_value=corrected.get(label, math.nan), left_out=(*table.left_out, *test.left_out)
        )
        for label, test in tests.items()
    }


def _signed_rank(difference: Floats) -> float:
    if not difference.any():
        return 1.0
    if len(difference) > _PERMUTED_UP_TO:
        return float(stats.wilcoxon(difference, zero_method="zsplit", method="asymptotic").pvalue)
    # Ranks stay when signs change, so they are taken once; scipy.stats.wilcoxon would take them in every permutation.
    signed_ranks = np.sign(difference) * stats.rankdata(np.abs(difference))
    result = stats.permutation_test(
        (signed_ranks,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_PERMUTATIONS,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)
