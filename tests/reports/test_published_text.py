"""Every number of the tables against the text of the papers, which is read here by other means.

The text was extracted from the papers' pages: a table is a line per row, its cells parted by tabs (ISTS: by spaces).
It is not part of the repository: without it there is nothing to compare.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reports.published import papers
from reports.published.printed import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reports.published.printed import PrintedTable

TEXTS = Path(__file__).resolve().parents[3] / "shared" / "papers"

# File, and what stands right before and right after the rows.
PLACES = {
    "collm-table1": (
        "collm_nas.md",
        "Method\tTop-1 (%)\tFLOPs (M)\tParams. (M)",
        "at the 330M FLOPs constraint",
    ),
    "collm-table2": ("collm_nas.md", "Method\tTop-1 (%)\tTop-5 (%)", "Table 3:"),
    "collm-table3": ("collm_nas.md", "Table 3: Test and validation accuracy", "This demonstrates"),
    "collm-table4": ("collm_nas.md", "Table 4: Performance comparison", "Table 5: Performance"),
    "collm-table5": ("collm_nas.md", "Table 5: Performance comparison", "original prompt on ImageNet"),
    "collm-table7": ("collm_nas.md", "ID\tArchitecture", "Table 7: Sampled"),
    "rz-table2": ("rz_nas.md", "Table 2. The test and validation accuracy", "for the error analysis"),
    "rz-table3": ("rz_nas.md", "Table 3. The correlation coefficients", "4.1. Performance Comparison"),
    "rz-table4": ("rz_nas.md", "Method\tTest Ei", "ability to select better"),
    "rz-table5": ("rz_nas.md", "Table 5. Top-1 test error", "4.2. Ablation Study"),
    "rz-table7": ("rz_nas.md", "Table 7. Perfromance comparison", "4.2.2."),
    "rz-table9": ("rz_nas.md", "⁴https://claude.ai/", "Table 9."),
    "rz-table10": ("rz_nas.md", "Table 10. Performance comparison", "generating natural language"),
    "lms-table2": ("lm_searcher.md", "Method\tClassification (In-domain)", "Table 2: Results"),
    "lms-table3": ("lm_searcher.md", "Method\tKvasir", "Table 3: Performance"),
    "lms-table4": ("lm_searcher.md", "Method\tCLIP-T", "Table 4: Performance"),
    "lms-table5": ("lm_searcher.md", "Model\tBase Model", "Table 5: Performance"),
    "lms-table6": ("lm_searcher.md", "Mapping\tCIFAR10", "Table 6: Ablation"),
    "lms-table7": ("lm_searcher.md", "Config\tCIFAR10", "Table 7: Performance"),
    "lms-table8": ("lm_searcher.md", "Method\tCIFAR10 \\uparrow", "Table 8: Performance"),
    "lms-table9": ("lm_searcher.md", "C Experimental Analysis", "Table 9: Comparison"),
    "lms-table10": ("lm_searcher.md", "(c) ImageNet-16 dataset", "Table 10: Correlation"),
    "ists-table2": ("ists.txt", "ISTS-COT ISTS-TOT", "Table 2: The spatial"),
    "ists-table3": ("ists.txt", "Search Evaluation", "Table 3: Summary"),
    "ists-table4": ("ists.txt", "Search Proj. Sim.", "Table 4: The efficiency"),
    "ists-table5": ("ists.txt", "Ablation ISTS", "Table 5: Ablation"),
    "ists-table6": ("ists.txt", "LLM LLaMA3 Qwen2", "Table 6:"),
}

# Numbers in running text, or in tables that the text tears apart: all of them, in order.
STREAMS = {
    "collm-table8": (
        "collm_nas.md",
        r"Architecture Description \|\n\|-+\|-+\|-+\|\n(?P<numbers>.*?)\n\nTable 8",
    ),
    "collm-appendix-f": (
        "collm_nas.md",
        r"Kendall.s τ values are (?P<numbers>.*?)\. This indicates",
    ),
    "collm-figure1": (
        "collm_nas.md",
        r"mean Kendall.s τ values of (?P<numbers>0\.\d+ on CIFAR-10 and 0\.\d+)",
    ),
    "collm-figure5": ("collm_nas.md", r"low CV of (?P<numbers>[\d.]+)%"),
    "rz-table6": (
        "rz_nas.md",
        r"GraSP\tZen-NAS\tZiCo.*?est Error\tRZ-NAS(?P<numbers>.*?Table 6\..*?)Table 7\.",
    ),
    "ists-table2-count": ("ists.txt", r"Count (?P<numbers>[\d ]+)"),
}

# In none of the forms above; read by eye: "from 2% to 7%" and "from 2% to 5%".
SENTENCES = {
    "rz-appendix-a4": (
        "rz_nas.md",
        ["increased exceptions from 2% to 7%", "exceptions from 2% to 5%"],
        [2, 7, 5],
    )
}

VALUE = re.compile(r"\s*-?\d[\d.]*\s*(±\s*[\d.]+\s*)?")
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")


def text_of(name: str) -> str:
    file = TEXTS / name
    if not file.exists():
        pytest.skip(f"the text of the paper, {name}, is not on this machine")
    return plain(file)


@cache
def plain(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    for pattern, by in (
        (r"\\textbf\{([^}]*)\}", r"\1"),
        (r"\{?\\pm\}?", " ± "),
        (r"\\dagger|[$◊♢†*\u2217]|\\diamond", ""),
    ):
        text = re.sub(pattern, by, text)
    return text


def numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in NUMBER.findall(text)]


def letters(text: str) -> str:
    """What is left of a name without citations and signs."""
    return (
        re.sub(r"[^\w+-]", "", re.sub(r"\((?=[A-Z][^)]*(\d{4}\w?|al\.)\)).*?\)", "", text)).lower().strip("-")
    )


def printed_rows(table: PrintedTable) -> Iterator[tuple[str, list[float], list[str]]]:
    """Name, numbers and words of each row; merged cells are empty below their first row."""
    known = table.numbers()
    for name, row in table.rows.items():
        found: list[float] = []
        for column, value in zip(table.columns, row.values, strict=True):
            if value is None or value == "ditto" or isinstance(value, Text):
                continue
            cell, _ = known[name, column]
            found += [cell.mean] if cell.spread is None else [cell.mean, cell.spread]
        yield name.rpartition(": ")[2], found, [v.text for v in row.values if isinstance(v, Text)]


def lines_of(key: str) -> list[str]:
    """The lines of a table's rows."""
    name, before, after = PLACES[key]
    _, _, rest = text_of(name).partition(re.sub(r"[*$]", "", before))
    assert rest, f"{before!r} is not in {name}"
    rows, found, _ = rest.partition(after)
    assert found, f"{after!r} is not in {name}"
    if name == "ists.txt":
        return [
            line for line in rows.splitlines() if re.match(r"(MAE|MAPE|RMSE|PEMS-\w+|METR-LA)\W? \d", line)
        ]
    return [line for line in rows.splitlines() if any(VALUE.fullmatch(cell) for cell in line.split("\t"))]


def test_every_table_is_compared():
    assert {*PLACES, *STREAMS, *SENTENCES} == set(papers.table_keys())


@pytest.mark.parametrize("key", [key for key in PLACES if not key.startswith("ists")])
def test_a_table_is_that_of_the_paper(key):
    _, table = papers.find_table(key)
    lines = lines_of(key)
    rows = list(printed_rows(table))
    assert len(lines) == len(rows), "\n".join(lines)
    for line, (name, expected, words) in zip(lines, rows, strict=True):
        cells = line.split("\t")
        at = next((i for i, cell in enumerate(cells) if letters(cell) == letters(name)), None)
        assert at is not None, f"{name!r} is not in {line!r}"
        rest = [cell.strip() for cell in cells[at + 1 :]]
        for word in words:
            # Bars of architectures are lost in the text.
            rest.remove(next(cell for cell in rest if re.sub(r"\W", "", cell) == re.sub(r"\W", "", word)))
        assert [n for cell in rest for n in numbers(cell)] == expected, line


@pytest.mark.parametrize("key", [key for key in PLACES if key.startswith("ists")])
def test_a_table_of_ists_is_that_of_the_paper(key):
    _, table = papers.find_table(key)
    rows = list(printed_rows(table))
    lines = lines_of(key)
    assert len(lines) == len(rows), "\n".join(lines)
    for line, (name, expected, _) in zip(lines, rows, strict=True):
        first, _, rest = line.partition(" ")
        assert first.rstrip("*") in name.split()
        assert numbers(rest.replace("/", " ").replace("%", " ")) == expected


@pytest.mark.parametrize("key", STREAMS)
def test_numbers_of_running_text_are_those_of_the_paper(key):
    _, table = papers.find_table(key)
    name, pattern = STREAMS[key]
    match = re.search(pattern, text_of(name), re.DOTALL)
    assert match is not None
    expected = []
    for _, found, words in printed_rows(table):
        expected += found + [number for word in words for number in numbers(word)]
    there = re.sub(r"Table 6\.[^\n]*", "", match["numbers"]).replace("CIFAR-10", "")
    assert numbers(there) == expected


@pytest.mark.parametrize("key", SENTENCES)
def test_numbers_of_sentences_are_those_of_the_paper(key):
    _, table = papers.find_table(key)
    name, sentences, expected = SENTENCES[key]
    for sentence in sentences:
        assert sentence in text_of(name)
    assert [number for _, found, _ in printed_rows(table) for number in found] == expected
