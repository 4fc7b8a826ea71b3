"""The report as one HTML page that needs no network: style and figures are inside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from jinja2 import Environment
from jinja2 import PackageLoader
from jinja2 import StrictUndefined
from markupsafe import Markup

from reports.figures import INK
from reports.figures import PALETTE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence

    from reports.conversation import Conversation
    from reports.formats import Sheet
    from reports.load import Results
    from reports.papers.sheet import PaperTable

_TRACEBACK_LINES = 15


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        name: Unique within the page.
        svg: The SVG file.
        caption: What it shows.
        fills: Whether it takes all of the width that it is given, or no more than its own.
        alone: Whether nothing stands beside it.
    """

    name: str
    svg: bytes
    caption: str
    fills: bool = True
    alone: bool = False


@dataclass(frozen=True)
class Section:
    """What the page says of one benchmark.

    Attributes:
        sheet: Its table.
        facts: What is true of the whole table, as name and text.
        pictures: Its figures.
        lacks_test: Whether there are no test scores.
    """

    sheet: Sheet
    facts: Sequence[tuple[str, str]]
    pictures: Sequence[Picture]
    lacks_test: bool


QUESTIONS = (
    ("What was reached?", ("headline",)),
    ("How soon?", ("anytime",)),
    ("What about other measures?", ("measures",)),
    ("Do language models know it by heart?", ("first-proposals", "by-heart")),
    ("Can a language model rank?", ("ranking",)),
    ("What did it cost?", ("costs", "seconds")),
    ("Were the replies usable?", ("validity",)),
)
"""What a reader asks, and the tables over the whole sweep that answer; the first stands before the benchmarks."""


@dataclass(frozen=True)
class Answer:
    """A question with the tables that answer it."""

    question: str
    sheets: tuple[Sheet, ...]

    @property
    def anchor(self) -> str:
        """Name of its place on the page."""
        return f"sweep-{self.sheets[0].name}"


def answers(sheets: Sequence[Sheet]) -> list[Answer]:
    """The tables of a sweep, by question."""
    named = {sheet.name: sheet for sheet in sheets}
    found = [
        Answer(question, tuple(named.pop(name) for name in names if name in named))
        for question, names in QUESTIONS
    ]
    assert not named, f"no question is answered by {', '.join(named)}"
    return [answer for answer in found if answer.sheets]


def page(
    results: Results,
    sections: Sequence[Section],
    sheets: Sequence[Sheet],
    pictures: Mapping[str, Sequence[Picture]],
    *,
    papers: Sequence[PaperTable],
    conversation: Conversation | None,
    seconds: Sheet | None,
) -> str:
    """The page of a sweep of searches.

    Args:
        results: The runs.
        sections: One per benchmark.
        sheets: Tables over the whole sweep.
        pictures: Figures of these tables, by their names.
        papers: Tables of papers of which the sweep measured a number.
        conversation: The first calls of a language model.
        seconds: What was measured; no other part of the page differs between a sweep and its replay, but the times
            and machines of the runs.
    """
    runs = results.runs
    answered = answers(sheets)
    return render(
        "report.html.j2",
        title=results.name,
        results=results,
        sections=sections,
        headline=[answer for answer in answered if answer.question == QUESTIONS[0][0]],
        answers=[answer for answer in answered if answer.question != QUESTIONS[0][0]],
        sheet_pictures=pictures,
        papers=papers,
        conversation=conversation,
        seconds=seconds,
        statuses=runs["status"].value_counts(sort=False).to_dict(),
        facts=_facts(results),
        strategies=_strategies(results),
        failed=[
            (run.path, _tail(run.error)) for run in runs.itertuples() if run.status == "failed" or run.error
        ],
        unfinished=[
            (run.path, run.trials, run.parked)
            for run in runs.itertuples()
            if run.status in {"running", "parked"}
        ],
        lacks_test=[section.sheet.name for section in sections if section.lacks_test],
    )


def render(template: str, **content: Any) -> str:
    """A page by the name of its template, with what that shows."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["inline"] = _inline
    return environment.get_template(template).render(**content)


def made_by(sessions: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Versions, commits and machines of the processes that made something, as name and text."""
    versions: dict[str, list[str]] = {}
    sessions = list(sessions)
    for session in sessions:
        for package, version in session.get("versions", {}).items():
            known = versions.setdefault(package, [])
            if version not in known:
                known.append(version)
    return [
        ("Versions", ", ".join(f"{package} {' / '.join(found)}" for package, found in versions.items())),
        ("Commit", distinct(_commit(s.get("git")) for s in sessions)),
        ("Machine", distinct(_machine(s.get("host")) for s in sessions)),
    ]


def _facts(results: Results) -> list[tuple[str, str]]:
    """What is true of the sweep as a whole, as name and text."""
    records = list(results.runs["record"])
    # A run that was resumed may have been made by several versions, on several machines.
    sessions = [session for record in records for session in record.get("sessions") or [record]]
    started = [r["started"] for r in records if r.get("started")]
    ended = [r["ended"] for r in records if r.get("ended")]
    facts = [
        ("Data", distinct(f"{r['data']['source']}, digest {r['data']['digest']}" for r in records)),
        ("Search space", distinct(r.get("space") for r in records)),
        *made_by(sessions),
        ("First run started", min(started, default="")),
        ("Last run ended", max(ended, default="")),
    ]
    return [(name, text) for name, text in facts if text]


def settings(params: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> str:
    """Parameters, and what decides the replies of the models that they name."""
    parts = [f"{key} = {value}" for key, value in params.items()]
    for name, model in models.items():
        parts.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in model.items()))
    return "; ".join(parts)


def distinct(texts: Iterable[str | None]) -> str:
    """Different texts, in their order."""
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _commit(git: dict[str, Any] | None) -> str | None:
    if not git:
        return None
    return f"{git['commit']}{' with uncommitted changes' if git.get('changed') else ''}"


def _machine(host: dict[str, Any] | None) -> str | None:
    return f"{host['cpus']} CPUs, {host['platform']}" if host else None


def _strategies(results: Results) -> list[tuple[str, str, str]]:
    """Label, registered name and parameters of each strategy that has run, models among them."""
    found = []
    for label, group in results.runs.groupby("strategy", sort=False):
        texts = dict.fromkeys(_parameters(spec) for spec in group["spec"])
        names = dict.fromkeys(spec["strategy"]["name"] for spec in group["spec"])
        found.append((str(label), " / ".join(names), " / ".join(texts)))
    return found


def _parameters(spec: dict[str, Any]) -> str:
    return settings(spec["strategy"]["params"], spec.get("models", {})) or "defaults"


def _tail(error: str | None) -> str:
    return "\n".join((error or "no traceback was kept").rstrip().splitlines()[-_TRACEBACK_LINES:])


def _inline(picture: Picture) -> Markup:
    """The SVG as an element of the page, in the page's colours, with identifiers that are its own."""
    text = picture.svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r'(?<=\bid=")|(?<=href="#)|(?<=url\(#)', f"{picture.name}-", text)
    text = text.replace(INK, "var(--ink)")
    for i, colour in enumerate(PALETTE, start=1):
        text = text.replace(colour, f"var(--series-{i})")
    label = Markup.escape(picture.caption)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1))
