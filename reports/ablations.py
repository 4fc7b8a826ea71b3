"""Ablations: what each change of a strategy's arguments does to its anytime curve (CoLLM-NAS, Figure 4)."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from reports import curve_figures
from reports.figures import INK
from reports.figures import measure_label
from reports.figures import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from reports.curves import Curve
    from reports.curves import Panel
    from reports.figures import Drawing
    from reports.load import Results

MOST = 6
"""Variants that are shown beside the original; more differ in an argument's value, not in a part of the strategy."""

# In inches: a panel without its legend, a letter and a line of the legend.
_WIDTH, _HEIGHT, _LETTER, _LINE = 4.1, 2.9, 0.088, 0.2
_COLUMNS = 3
# Letters of a text, and arguments of which values are given; with more of them the label of the entry has to do.
_LONGEST, _FEW = 40, 2


@dataclass(frozen=True)
class Change:
    """The variants of a strategy in which the same arguments have other values than in the original.

    Attributes:
        arguments: Their names.
        variants: The curve of each variant, and what is different in it: the values of up to two
            arguments, or its label.
    """

    arguments: tuple[str, ...]
    variants: tuple[tuple[Curve, str], ...]


@dataclass(frozen=True)
class Ablation:
    """One strategy and its variants on one benchmark.

    Attributes:
        panel: The curves of all strategies over distinct architectures.
        strategy: Registered name.
        original: The curve of the entry whose arguments most variants share.
        changes: What was changed, in the order of the sweep; of each up to :data:`MOST` variants.
        left_out: Changes with more variants than that.
    """

    panel: Panel
    strategy: str
    original: Curve
    changes: tuple[Change, ...]
    left_out: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"ablation-{self.panel.benchmark}-{self.original.strategy}"


def ablations(results: Results, panel: Panel) -> list[Ablation]:
    """The strategies of which a sweep has several entries with a finished run.

    Args:
        results: The runs.
        panel: What :func:`reports.curves.panels` gives over distinct architectures.
    """
    runs = results.runs[results.runs["benchmark"] == panel.benchmark]
    specs = runs.groupby("strategy", sort=False)["spec"].first()
    families: dict[str, list[Curve]] = {}
    for curve in panel.curves:
        families.setdefault(specs[curve.strategy]["strategy"]["name"], []).append(curve)
    made = [
        _ablation(
            panel, name, family, {curve.strategy: _arguments(specs[curve.strategy]) for curve in family}
        )
        for name, family in families.items()
        if len(family) > 1
    ]
    return [ablation for ablation in made if ablation.changes]


def draw(shown: Ablation) -> Drawing:
    """The curves as files, one panel per change, side by side."""
    return render(partial(figure, shown))


def describe(shown: Ablation) -> str:
    """What the figure shows."""
    curves = [shown.original, *(curve for change in shown.changes for curve, _ in change.variants)]
    band = ", with the 95 % bootstrap interval of the mean" if any(curve.runs > 1 for curve in curves) else ""
    left_out = "; ".join(" and ".join(arguments) for arguments in shown.left_out)
    return (
        f"{shown.original.strategy} on {shown.panel.title}, and its variants by what was changed, all else equal. "
        f"Validation {shown.panel.metric['name']} of the best architecture so far "
        f"({curve_figures.scored(shown.panel)}) over distinct architectures: mean over finished runs "
        f"({curve_figures.seeds(curves)}){band}."
        + (f" Not shown, with more than {MOST} variants: {left_out}." if left_out else "")
    )


def figure(shown: Ablation) -> Figure:
    """The same as a figure, while the style of all figures is set (:func:`reports.figures.render`)."""
    columns = min(_COLUMNS, len(shown.changes))
    rows = -(-len(shown.changes) // columns)
    curves = [shown.original, *(curve for change in shown.changes for curve, _ in change.variants)]
    texts = [
        shown.original.strategy,
        *(_short(text) for change in shown.changes for _, text in change.variants),
    ]
    width = max(_WIDTH, _LETTER * max(map(len, texts)) + 1.5)
    lines = 2 + max(len(change.variants) for change in shown.changes)
    made = Figure(
        figsize=(columns * width, rows * (_HEIGHT + lines * _LINE) + 0.4),
        # The ends of neighbouring axes stay apart.
        layout=ConstrainedLayoutEngine(w_pad=0.1),
    )
    grid = made.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, change in itertools.zip_longest(grid.flat, shown.changes):
        if change is None:
            axes.axis("off")
        else:
            _draw(axes, shown, change)
    grid[0, 0].set_ylim(*curve_figures.score_limits(shown.panel, curves))
    for axes in grid[:, 0]:
        axes.set_ylabel(measure_label(**shown.panel.metric, before="Best validation "))
    made.suptitle(f"{shown.panel.title}: {shown.strategy}", x=0.02, ha="left", fontsize=12)
    return made


def _draw(axes: Axes, shown: Ablation, change: Change) -> None:
    of = 1 + len(change.variants)
    curve_figures.draw_curve(axes, shown.original, 0, of)
    for number, (curve, text) in enumerate(change.variants, start=1):
        curve_figures.draw_curve(axes, curve, number, of, _short(text))
    curve_figures.draw_optimum(axes, shown.panel)
    axes.set_xlim(0, max(curve.x[-1] for curve in (shown.original, *(curve for curve, _ in change.variants))))
    curve_figures.scale_architectures(axes)
    axes.set_xlabel("Distinct architectures")
    axes.set_title(_title(change.arguments), fontsize=11)
    axes.grid(visible=True, color=INK, alpha=0.12, linewidth=0.6)
    # Each panel has its own, so that a colour stands for one thing where it is looked for.
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.2), frameon=False, fontsize=10, handlelength=3.2)


def _arguments(spec: Mapping[str, Any]) -> dict[str, str]:
    """Arguments as text, and what decides the replies of the models that they name."""
    params = {key: _text(value) for key, value in spec["strategy"]["params"].items()}
    return params | {f"model {name}": _text(model) for name, model in spec["models"].items()}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _ablation(
    panel: Panel, name: str, family: Sequence[Curve], arguments: Mapping[str, Mapping[str, str]]
) -> Ablation:
    def distance(curve: Curve) -> int:
        return sum(len(_changed(arguments[curve.strategy], arguments[other.strategy])) for other in family)

    original = min(family, key=distance)
    changes: dict[tuple[str, ...], list[tuple[Curve, str]]] = {}
    for curve in family:
        own = arguments[curve.strategy]
        # Which model was asked is said by the argument that names it.
        names = tuple(
            key for key in _changed(arguments[original.strategy], own) if not key.startswith("model ")
        )
        if names:
            settings = ", ".join(f"{key}: {own.get(key, 'none')}" for key in names)
            text = settings if len(names) <= _FEW else curve.strategy
            changes.setdefault(names, []).append((curve, text))
    shown = [Change(names, tuple(variants)) for names, variants in changes.items() if len(variants) <= MOST]
    left_out = tuple(names for names, variants in changes.items() if len(variants) > MOST)
    return Ablation(panel, name, original, tuple(shown), left_out)


def _changed(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    return [key for key in dict.fromkeys([*first, *second]) if first.get(key) != second.get(key)]


def _title(arguments: Sequence[str]) -> str:
    return _short(" and ".join(arguments)) if len(arguments) <= _FEW else f"{len(arguments)} arguments"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
