"""What cannot be right in the numbers of papers, or what a reader should know: within a table, a paper, between papers.

A finding is no judgement: two papers may quote two versions of a third. What is compared is what the files of
:mod:`reports.published.papers` say of the numbers.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING
from typing import get_args

from reports.published import contradictions
from reports.published import plausibility
from reports.published.arithmetic import wrong_arithmetic
from reports.published.comparable import NASBENCH201_BEST
from reports.published.comparable import Scores
from reports.published.finding import Kind
from reports.published.papers import PAPERS
from reports.published.papers import load_paper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.published.comparable import Bests
    from reports.published.finding import Finding
    from reports.published.papers import Paper

_CHECKS = (
    plausibility.impossible_values,
    plausibility.impossible_spreads,
    contradictions.different_numbers,
    contradictions.same_numbers_in_two_spaces,
    contradictions.same_numbers_of_two_methods,
    wrong_arithmetic,
    contradictions.incomparable_columns,
    plausibility.no_spread,
)


def check(papers: Sequence[Paper] | None = None, best: Bests | None = None) -> list[Finding]:
    """All findings, by kind, each kind in the order of the papers.

    Args:
        papers: Papers to check, each within itself and against the others; all that there are by default.
        best: What is known of whole search spaces; :data:`~reports.published.comparable.NASBENCH201_BEST` by default.
    """
    scores = Scores(
        [load_paper(name) for name in PAPERS] if papers is None else papers,
        NASBENCH201_BEST if best is None else best,
    )
    found = chain.from_iterable(check_one(scores) for check_one in _CHECKS)
    return sorted(found, key=lambda finding: get_args(Kind).index(finding.kind))
