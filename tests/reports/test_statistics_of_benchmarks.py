"""Statistics over several benchmarks against published examples, scipy, and resamples taken one by one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy import stats

from reports import statistics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

# Ranks of four variants of C4.5 on 14 data sets: Demšar (2006), Table 6.
C45 = {
    "C4.5": [4, 1, 4, 4, 4, 1, 3, 2.5, 4, 2.5, 4, 3, 4, 3],
    "C4.5+m": [3, 2, 1, 1, 2, 2.5, 2, 2.5, 3, 2.5, 2.5, 2, 1, 1],
    "C4.5+cf": [2, 3, 2, 3, 3, 4, 4, 4, 2, 2.5, 1, 4, 2, 4],
    "C4.5+m+cf": [1, 4, 3, 2, 1, 2.5, 1, 1, 1, 2.5, 2.5, 1, 3, 2],
}


def table(
    scores: Mapping[str, Sequence[Sequence[float]]], *, higher_is_better: bool | Mapping[str, bool] = True
) -> statistics.ScoreTable:
    """A table of the runs of each strategy on benchmarks a, b, c, ..."""
    rows = [
        {"strategy": strategy, "benchmark": chr(ord("a") + b), "score": score}
        for strategy, benchmarks in scores.items()
        for b, runs in enumerate(benchmarks)
        for score in runs
    ]
    return statistics.ScoreTable.from_frame(
        pd.DataFrame(rows), value="score", higher_is_better=higher_is_better
    )


@pytest.fixture
def c45() -> statistics.ScoreTable:
    # Ranks stand for the scores: AUCs are printed with too few digits to give them all.
    return table({name: [[rank] for rank in ranks] for name, ranks in C45.items()}, higher_is_better=False)


def noise(runs: int, benchmarks: int, seed: int, mean: float = 0.0) -> list[list[float]]:
    return np.random.default_rng(seed).normal(mean, 1, (benchmarks, runs)).round(1).tolist()


def test_a_table_says_what_it_lacks():
    frame = pd.DataFrame(
        [
            ("x", "a", 1.0),
            ("x", "a", math.nan),
            ("x", "b", 2.0),
            ("y", "b", 3.0),
            ("y", "b", 4.0),
            ("z", "a", math.nan),
        ],
        columns=["strategy", "benchmark", "score"],
    )
    made = statistics.ScoreTable.from_frame(frame, value="score", higher_is_better=True)
    assert made.runs.tolist() == [[1, 1], [0, 2], [0, 0]]
    assert made.left_out == (
        "On a there is no score of y, z.",
        "On a runs without a score are left out: x (1 of 2).",
        "On b there is no score of z.",
        "Strategies differ in their number of runs: 1 to 2 on b.",
    )
    complete = made.complete()
    assert (complete.strategies, complete.benchmarks) == (("x", "y"), ("b",))
    assert complete.left_out[-2:] == (
        "z has no score on any benchmark and is left out.",
        "a is left out, because there is no score of y.",
    )


def test_an_unknown_strategy_is_named_with_the_known_ones():
    with pytest.raises(KeyError, match="no strategy 'w', only x"):
        table({"x": [[1.0]]}).of("w")


def test_normalised_scores_by_hand():
    # On b, lower is better. On c the floor is no worse than the best, and of d nothing is known.
    given = table(
        {"x": [[90, 80], [3], [1], [1]]}, higher_is_better={"a": True, "b": False, "c": True, "d": True}
    )
    made = given.normalised({"a": 100, "b": 1, "c": 5}, {"a": 80, "b": 5, "c": 5})
    assert made.benchmarks == ("a", "b")
    assert made.values[0].tolist() == [[0.5, 1.0], [0.5, pytest.approx(math.nan, nan_ok=True)]]
    assert not made.higher_is_better.any()
    assert [sentence.split(" is ")[0] for sentence in made.left_out] == ["c", "d"]


def test_interquartile_mean_by_hand():
    # Of eight, two are cut off at either end; of five, one.
    assert statistics.interquartile_mean([[1, 2, 3, 4], [5, 6, 7, 100]]) == 4.5
    assert statistics.interquartile_mean([0, 1, 5, 9, math.nan, 80]) == 5
    assert math.isnan(statistics.interquartile_mean([math.nan]))


def test_aggregates_of_unequal_benchmarks_by_hand():
    made = table({"x": [[1, 3], [10, 20, 30, 40]]})
    assert statistics.aggregate(made, "x", "mean").estimate.value == (2 + 25) / 2
    # 1, 3, 10, 20, 30, 40 less one at either end.
    assert statistics.aggregate(made, "x").estimate.value == 63 / 4


def test_a_strategy_that_is_missing_on_a_benchmark_is_told():
    made = statistics.aggregate(table({"x": [[1.0, 2.0], []], "y": [[1.0], [2.0]]}), "x")
    assert made.benchmarks == ("a",)
    assert made.left_out[-1] == "Not over b, where x has no score."
    nothing = statistics.probability_of_improvement(table({"x": [[1.0], []], "y": [[], [2.0]]}), "x", "y")
    assert nothing.benchmarks == ()
    assert math.isnan(nothing.estimate.value)
    assert nothing.left_out[-1] == "Not over a, b, where x or y has no score."


def test_single_runs_have_no_interval():
    made = table({"x": [[1.0], [2.0]], "y": [[3.0], [1.0]]})
    for result in (statistics.aggregate(made, "x"), statistics.probability_of_improvement(made, "x", "y")):
        assert not math.isnan(result.estimate.value)
        assert math.isnan(result.estimate.low)


@pytest.mark.parametrize("statistic", ["mean", "interquartile mean"])
def test_stratified_intervals_agree_with_resamples_taken_one_by_one(statistic):
    scores = noise(9, 4, 1)
    made = statistics.aggregate(table({"x": scores}), "x", statistic, resamples=4000)
    compute = np.mean if statistic == "mean" else statistics.interquartile_mean
    rng = np.random.default_rng(5)
    replicates = [compute([rng.choice(runs, len(runs)) for runs in scores]) for _ in range(4000)]
    assert made.estimate.value == pytest.approx(compute(scores))
    assert made.estimate.low == pytest.approx(np.quantile(replicates, 0.025), abs=0.03)
    assert made.estimate.high == pytest.approx(np.quantile(replicates, 0.975), abs=0.03)


def test_probability_of_improvement_is_the_u_statistic_of_scipy():
    first, second = noise(9, 4, 1, 0.3), noise(6, 4, 2)
    made = statistics.probability_of_improvement(table({"x": first, "y": second}), "x", "y", resamples=3000)

    def share(x, y):
        return np.mean(
            [stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(x, y, strict=True)]
        )

    rng = np.random.default_rng(5)
    replicates = [
        share(
            [rng.choice(runs, len(runs)) for runs in first], [rng.choice(runs, len(runs)) for runs in second]
        )
        for _ in range(400)
    ]
    assert made.estimate.value == pytest.approx(share(first, second))
    assert made.estimate.low == pytest.approx(np.quantile(replicates, 0.025), abs=0.04)
    assert made.estimate.high == pytest.approx(np.quantile(replicates, 0.975), abs=0.04)


def test_probability_of_improvement_heeds_the_direction_and_ties():
    scores = {"x": [[1.0, 2.0], [5.0]], "y": [[2.0, 2.0], [5.0]]}
    # On a: 1 loses twice, 2 ties twice; on b a tie.
    upwards = statistics.probability_of_improvement(table(scores), "x", "y").estimate.value
    assert upwards == (0.25 + 0.5) / 2
    down = table(scores, higher_is_better={"a": False, "b": True})
    assert statistics.probability_of_improvement(down, "x", "y").estimate.value == (0.75 + 0.5) / 2
    assert statistics.probability_of_improvement(table(scores), "x", "x").estimate.value == 0.5


def test_how_many_are_drawn_at_a_time_changes_nothing(monkeypatch):
    made = table({"x": noise(9, 4, 1), "y": noise(6, 4, 2)})

    def all_results():
        ranks = statistics.average_ranks(made)
        return (
            statistics.aggregate(made, "x").estimate,
            statistics.aggregate(made, "x", "mean").estimate,
            ranks.low.tolist(),
            ranks.high.tolist(),
        )

    before = all_results()
    monkeypatch.setattr("reports.statistics.resampling._AT_A_TIME", 1000)
    assert all_results() == before


def test_ranks_and_friedmans_test_of_a_published_example(c45):
    test = statistics.rank_test(c45)
    # Demšar (2006), Section 3.2.3 and Table 6: without a correction for ties, 9.28 and 3.69.
    assert test.ranks.average.tolist() == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    uncorrected = 12 * 14 / (4 * 5) * ((test.ranks.average**2).sum() - 4 * 5**2 / 4)
    assert uncorrected == pytest.approx(9.28, abs=0.005)
    assert 13 * uncorrected / (14 * 3 - uncorrected) == pytest.approx(3.69, abs=0.005)
    # With it, as in scipy.
    assert test.chi_square == pytest.approx(stats.friedmanchisquare(*C45.values()).statistic)
    assert test.f_ratio == pytest.approx(13 * test.chi_square / (14 * 3 - test.chi_square))
    assert test.method == "Iman-Davenport"
    assert test.p_value < 0.05
    assert test.critical_difference == pytest.approx(1.25, abs=0.005)
    # No two are told apart by Nemenyi's test: 3.143 less 1.964 is less than 1.25.
    assert test.cliques == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)
    expected = posthoc_nemenyi_friedman(np.array(list(C45.values())).T).to_numpy()
    assert np.array_equal(test.p_pairs, expected)


@pytest.mark.parametrize(("strategies", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_demsars_table_5(strategies, q):
    by_hand = q * math.sqrt(strategies * (strategies + 1) / (6 * 14))
    assert statistics.critical_difference(strategies, 14) == pytest.approx(by_hand, abs=1e-3)


def test_of_few_benchmarks_all_permutations_are_taken():
    # The same order on all three: of the 6**3 permutations, 6 are as far apart.
    test = statistics.rank_test(table({s: [[i + 10.0 * b] for b in range(3)] for i, s in enumerate("xyz")}))
    assert test.method == "permutation"
    assert test.p_value == pytest.approx(6 / 216)
    assert test.ranks.average.tolist() == [3, 2, 1]


def test_cliques_are_the_largest_stretches_below_the_critical_difference():
    # Ranks 1, 2, ..., 6 on every one of 20 benchmarks, and a critical difference of 1.69.
    test = statistics.rank_test(table({s: [[-i]] * 20 for i, s in enumerate("uvwxyz")}))
    assert 1 < test.critical_difference < 2
    assert test.cliques == (("u", "v"), ("v", "w"), ("w", "x"), ("x", "y"), ("y", "z"))


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ({"x": [[1], [2]], "y": [[2], [1]]}, "at least 3 strategies, and 2"),
        ({"x": [[1]], "y": [[2]], "z": [[3]]}, "at least 2 benchmarks; 1"),
        ({"x": [[1], [2]], "y": [[1], [2]], "z": [[1], [2]]}, "equal scores on every benchmark"),
        ({"x": [[1], []], "y": [[], [2]], "z": [[1], [2]]}, "at least 2 benchmarks; 0"),
    ],
)
def test_where_there_is_no_rank_test_it_says_why(scores, reason):
    test = statistics.rank_test(table(scores))
    assert reason in test.reason
    assert math.isnan(test.p_value)
    assert test.cliques == ()


def test_equal_scores_have_equal_ranks_in_any_order_and_number():
    # Sums of these differ in their last bits.
    first, second = [0.1], [0.1] * 3
    assert np.mean(first) != np.mean(second)
    ranks = statistics.average_ranks(table({"x": [first], "y": [second], "z": [[0.0]]}))
    assert ranks.ranks[:, 0].tolist() == [1.5, 1.5, 3]


def test_intervals_of_ranks_are_of_runs():
    certain = statistics.average_ranks(table({"x": [[5, 6]], "y": [[1, 2]]}))
    assert certain.low.tolist() == certain.high.tolist() == [1, 2]
    open_race = statistics.average_ranks(table({"x": [[1, 4]], "y": [[2, 3]]}))
    assert open_race.low.tolist() == [1, 1]
    assert open_race.high.tolist() == [2, 2]


def test_signed_rank_test_of_a_published_example():
    # Differences of two variants of C4.5 on 14 data sets: Demšar (2006), Table 2. There, R- is 12 and R+ 93.
    given = [5, -8, 17, 33, 6, -5, 7, 0, 63, 0, 22, 47, 9, 21]
    test = statistics.paired_test(given, np.zeros(14), higher_is_better=True)
    assert (test.pairs, test.wins, test.losses, test.median_difference) == (14, 10, 2, 8)
    assert stats.wilcoxon(given, zero_method="zsplit").statistic == 12
    assert test.p_value == pytest.approx(stats.wilcoxon(given, zero_method="zsplit").pvalue, abs=0.005)
    assert test.p_value < 0.05
    other = statistics.paired_test(given, np.zeros(14), higher_is_better=False)
    assert (other.wins, other.losses, other.p_value) == (2, 10, test.p_value)


def test_exact_p_value_of_pairs_that_all_agree():
    test = statistics.paired_test(
        [2, 4, 6, 8, 10, math.nan, 13], [1, 2, 3, 4, 5, 6, 7], higher_is_better=True
    )
    assert test.p_value == 2 / 2**6
    assert test.left_out == ("1 of 7 pairs lack a score and are left out.",)


def test_too_few_pairs_allow_no_test():
    test = statistics.paired_test([2, 4, 6], [1, 2, 3], higher_is_better=True)
    assert math.isnan(test.p_value)
    assert test.reason == "3 pairs are too few: no result could reach p = 0.05, which takes 6."


def test_many_pairs_use_the_normal_approximation():
    difference = np.random.default_rng(0).normal(0.3, 1, 60)
    test = statistics.paired_test(difference, np.zeros(60), higher_is_better=True)
    expected = stats.wilcoxon(difference, zero_method="zsplit", method="asymptotic").pvalue
    assert test.p_value == pytest.approx(expected)


def test_strategies_over_benchmarks_are_corrected_together():
    base = [[float(b)] for b in range(8)]
    better, worse = [[b + 1 + b / 10] for b in range(8)], [[b - 1 - b / 10] for b in range(8)]
    tests = statistics.compare_over_benchmarks(
        table({"base": base, "better": better, "worse": worse, "short": base[:2]}), "base"
    )
    # Each is as far apart as eight pairs can be, 2 / 2**8, and two are tested; the third has too few pairs.
    assert tests["better"].p_value == tests["worse"].p_value == 2 * 2 / 2**8
    assert tests["short"].reason.startswith("2 pairs are too few")
    assert "On c there is no score of short." in tests["short"].left_out


def test_benchmarks_of_both_directions_are_not_paired():
    made = table({"x": [[1], [2]], "y": [[1], [2]]}, higher_is_better={"a": True, "b": False})
    with pytest.raises(ValueError, match="normalise the table"):
        statistics.compare_over_benchmarks(made, "x")
