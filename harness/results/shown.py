"""Results in short: a line for a terminal, a small table for a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import pandas as pd

# Names of one kind that are spelt out.
_MOST = 8
_HEADS = ("Suite", "Runs", "Tasks", "Frameworks", "Optimizers", "Seeds")
_CELL = "padding:.25em .8em;text-align:left;vertical-align:top"


def line(runs: pd.DataFrame) -> str:
    """'<Frames of quick: 96 runs (94 ok, 2 diverged), 3 tasks, 3 frameworks, 4 optimizers>'."""
    suites = [*map(str, dict.fromkeys(runs["suite"]))]
    kinds = ", ".join(_count(runs, name) for name in ("task", "framework", "optimizer"))
    return f"<Frames of {_listed(suites) or 'nothing'}: {_runs(runs)}, {kinds}>"


def html(runs: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """A table with a row for each suite, that needs no stylesheet. titles: of the suites."""
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in _HEADS)
    rows = [
        _row(str(suite), of, titles.get(str(suite), ""))
        for suite, of in runs.groupby("suite", sort=False)
    ]
    body = "".join(rows) or f'<tr><td style="{_CELL}" colspan="{len(_HEADS)}">no runs</td></tr>'
    return f'<table style="border-collapse:collapse"><tr>{head}</tr>{body}</table>'


def _row(suite: str, runs: pd.DataFrame, title: str) -> str:
    trained = runs[runs["measure"] == "convergence"]
    seeds = sorted(set(trained["seed"]))
    names = [_listed([*map(str, dict.fromkeys(runs[of]))]) for of in _NAMED]
    texts = [_runs(runs), *names, str(len(seeds))]
    cells = [f"<strong>{escape(suite)}</strong><br>{escape(title)}", *map(escape, texts)]
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


_NAMED = ("task", "framework", "optimizer")


def _runs(runs: pd.DataFrame) -> str:
    counts = runs.drop_duplicates("digest")["status"].value_counts()
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{counts.sum()} runs ({said})" if len(counts) else "0 runs"


def _count(runs: pd.DataFrame, name: str) -> str:
    count = runs[name].nunique()
    return f"{count} {name}{'' if count == 1 else 's'}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
