"""Critical-difference diagrams: what stands in them, that nothing overlaps, and equal bytes in any process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from reports import critical_difference
from reports import statistics


def rank_test(strategies: int, benchmarks: int) -> statistics.RankTest:
    """Of strategies with names of many lengths, the first ones the best, but not everywhere."""
    rng = np.random.default_rng(strategies)
    names = [f"strategy_{'x' * (7 * i % 12)}{i}" for i in range(strategies)]
    rows = [
        {"strategy": name, "benchmark": f"b{b}", "score": score}
        for i, name in enumerate(names)
        for b in range(benchmarks)
        for score in rng.normal(-4 * i / strategies, 1, 5)
    ]
    return statistics.rank_test(
        statistics.ScoreTable.from_frame(pd.DataFrame(rows), value="score", higher_is_better=True)
    )


def digest() -> str:
    drawing = critical_difference.draw(rank_test(8, 12), "Eight strategies")
    return hashlib.sha256(drawing.png + drawing.svg + drawing.pdf).hexdigest()


@pytest.mark.parametrize(("strategies", "benchmarks"), [(3, 3), (8, 12), (20, 15)])
def test_names_and_ranks_stand_in_it_and_nothing_overlaps(strategies, benchmarks):
    test = rank_test(strategies, benchmarks)
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        made = critical_difference.figure(test, "A title")
        FigureCanvasAgg(made).draw()
    axes = made.axes[0]
    texts = [*axes.texts, *axes.get_xticklabels(), made._suptitle]
    said = [text.get_text().strip() for text in texts]
    for name, rank in zip(test.ranks.strategies, test.ranks.average, strict=True):
        assert f"{name}  {rank:.2f}" in said or f"{rank:.2f}  {name}" in said
    assert f"CD = {test.critical_difference:.2f}" in said
    boxes = [text.get_window_extent() for text in texts]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    page = made.bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in boxes)


def test_a_bar_joins_each_clique():
    test = rank_test(8, 12)
    average = dict(zip(test.ranks.strategies, test.ranks.average, strict=True))
    axes = critical_difference.figure(test, "A title").axes[0]
    bars = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 4]
    expected = [(average[clique[0]], average[clique[-1]]) for clique in test.cliques]
    assert len(expected) > 1
    assert np.allclose(sorted((min(bar), max(bar)) for bar in bars), sorted(expected))


def test_equal_bytes_in_a_process_with_other_hashes():
    code = "from tests.reports.test_critical_difference import digest; print(digest())"
    other = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == digest()


def test_what_cannot_be_tested_cannot_be_drawn():
    with pytest.raises(ValueError, match="at least 2 benchmarks"):
        critical_difference.draw(rank_test(4, 1), "A title")


def test_the_caption_says_what_is_compared():
    said = critical_difference.describe(rank_test(3, 3))
    assert "over 3 benchmarks (b0, b1, b2)" in said
    assert "CD = 1.91" in said
