"""The summary of a suite as a small table, for papers: LaTeX with booktabs, Markdown or CSV."""

from __future__ import annotations

import re

import pandas as pd

from ..output.escaping import csv_table, for_markdown, one_line, visible
from ..report import tables
from ..results.frame import Frames

_SPECIAL = {
    **{each: f"\\{each}" for each in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{"µ": r"\textmu{}", "±": r"\textpm{}", "×": r"\texttimes{}", "–": "--", "—": "---"},
    **{"∞": r"\(\infty\)", "≥": r"\(\geq\)", "τ": r"\(\tau\)", "²": r"\textsuperscript{2}"},
    **{"·": r"\textperiodcentered{}", "[": "{[}", "]": "{]}"},
}
_NUMBER = re.compile(r"[><≥ ]*[-+−]?[\d.,]+(e[-+]?\d+)?%?|—|")


def text(frames: Frames, suite: str, suffix: str) -> str:
    """The summary in the form of this suffix: .tex, .csv or .md."""
    table = tables.summary_compact(frames, suite)
    if suffix == ".csv":
        return csv_table(table).to_csv(index=False, lineterminator="\n")
    return _markdown(table) if suffix == ".md" else latex(table)


def latex(table: pd.DataFrame) -> str:
    """A tabular of texts with the rules of booktabs; columns of numbers are set to the right, and
    a rule stands between tasks."""
    columns = "".join("r" if _is_numeric(table[name]) else "l" for name in table)
    lines = [
        "% \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _line(map(str, table.columns)),
        "\\midrule",
    ]
    before = None
    for row in table.itertuples(index=False):
        if before is not None and row[0] != before:
            lines.append("\\midrule")
        lines.append(_line(map(str, row)))
        before = row[0]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def escaped(text: str) -> str:
    """One line that LaTeX sets as the text."""
    return "".join(_SPECIAL.get(each, each) for each in one_line(visible(text)))


def _line(cells: map[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _is_numeric(column: pd.Series) -> bool:
    return all(_NUMBER.fullmatch(str(value)) for value in column)


def _markdown(table: pd.DataFrame) -> str:
    heads = [for_markdown(str(name)) for name in table.columns]
    marks = ["--:" if _is_numeric(table[name]) else "---" for name in table]
    rows = [[for_markdown(str(cell)) for cell in row] for row in table.itertuples(index=False)]
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, marks, *rows)]
    return "\n".join([*lines, ""])
