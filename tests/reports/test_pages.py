"""Pages as a reader sees them, in a browser: nothing is cut off, tables can be sorted, dark is dark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from reports.build import build_report
from reports.papers.build import build_papers
from tests.reports.browser import look_at
from tests.reports.conftest import Folder
from tests.reports.conftest import call
from tests.reports.conftest import llm

if TYPE_CHECKING:
    from pathlib import Path

# Clicks on the head of the test scores, twice, and what the first column then says of the rows.
SORT = """() => {
  const heads = table => [...[...table.tHead.rows].at(-1).cells];
  const isTest = head => head.textContent.startsWith("Test");
  const table = [...document.querySelectorAll("table.sortable")].find(table => heads(table).some(isTest));
  const head = heads(table).find(isTest);
  const rows = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent.trim());
  const seen = [rows()];
  for (const _ of [1, 2]) { head.click(); seen.push(rows()); }
  return {seen, sorted: head.getAttribute("aria-sort")};
}"""


def brightness(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2, 1.4.3)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A report with long names, three strategies, a run that failed and one that asked a model."""
    strategies = ["random_search", "clever", "a-strategy-of-a-very-long-name-that-somebody-chose-in-haste"]
    folder = Folder(tmp_path / "s", strategies, range(3))
    changes, timings = llm(call("used"), call("not JSON"))
    for seed, ncodes in enumerate(("00 11", "12 00", "01 20")):
        folder.run("random_search", seed, ncodes)
        folder.run("clever", seed, "22 21 02", changes={0: changes}, timings={0: timings})
    folder.run(strategies[2], 0, "10 11")
    trace = "Traceback (most recent call last):\n" + "x" * 400
    folder.run(strategies[2], 1, "00", status="failed", error=trace)
    return build_report(folder.path).page


@pytest.mark.parametrize("dark", [False, True])
def test_a_report_fits_a_desktop_and_a_phone_in_light_and_dark(page, tmp_path, dark):
    for name, looked in look_at(page, tmp_path / "browser", dark=dark).items():
        assert looked["overflow"] <= 0, name
        assert looked["fetched"] == [], name
        ink, paper = brightness(looked["ink"]), brightness(looked["paper"])
        assert (ink > paper) is dark
        # The contrast that WCAG asks of text at its strictest.
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 7


def test_a_click_on_a_head_sorts_and_the_optimum_stays_last(page, tmp_path):
    looked = look_at(page, tmp_path / "browser", ask=SORT)
    for name in looked:
        planned, up, down = looked[name]["asked"]["seen"]
        assert planned[:2] == ["random_search", "clever"]
        assert planned[-1] == up[-1] == down[-1] == "Optimum"
        # Test means: 51.3, 60.3 or less, and 51.
        assert up[:-1] == down[-2::-1]
        assert set(up) == set(planned)
        assert looked[name]["asked"]["sorted"] == "descending"
        assert down[0] == "clever"


def test_the_tables_of_papers_fit_a_phone(tmp_path):
    folder = Folder(tmp_path / "results" / "s", benchmark={"name": "cells", "params": {}})
    folder.run("random_search", 0, "444444")
    looked = look_at(build_papers(tmp_path / "results").page, tmp_path / "browser")
    assert {name: looked[name]["overflow"] for name in looked} == {"desktop": 0, "phone": 0}
    # Wide tables scroll by themselves.
    assert looked["phone"]["wide"] > looked["desktop"]["wide"]
