"""Whether the comparison is fair: verdicts, and the agreement of the frameworks' curves here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import pandas as pd

from .. import tables, text
from ..builder import Builder
from ..content import Reply
from ..fairness import Fairness, fairness
from . import words

QUESTION = "Is it fair?"
# The order in which words of a verdict are told, and how.
_SAID = {
    "FAILED": "FAILED",
    "equal": "equal",
    "equal, by parts": "equal by parts",
    "differs by definition": "differing by definition",
    "unavailable": "unavailable",
    "not verified": "not verified",
}


def reply(builder: Builder) -> Reply:
    """What was verified of this suite, and how far its own canonical runs agree."""
    records = [builder.frames.records[digest] for digest in builder.runs["digest"]]
    frameworks = builder.runs["framework"].nunique()
    fair = fairness(records, builder.frames.verified, builder.registry)
    alike = tables.agreement(builder.frames, builder.suite)
    says = [said for said in (_verdicts(fair), _alike(alike)) if said]
    if frameworks < 2:
        says.insert(0, "One framework: nothing to compare between frameworks.")
    elif not says:
        says = ["Nothing here tells whether the frameworks compute the same."]
    return Reply(QUESTION, tuple(says), tuple(_cautions(fair, alike, frameworks)), _anchor(builder))


def _verdicts(fair: Fairness) -> str:
    """'Verified: 30 of 36 comparisons equal, 6 equal by parts.'"""
    counts = Counter(finding.word for row in fair.rows for finding in row.findings)
    total = sum(counts.values())
    told = [f"{counts[word]:,} {said}" for word, said in _SAID.items() if counts[word]]
    if not told or set(counts) == {"not verified"}:
        return ""
    return f"Verified, of {text.plural(total, 'comparison')}: {', '.join(told)}."


def _alike(rows: pd.DataFrame) -> str:
    """'12 of 12 canonical settings agree between frameworks in these very runs: the first 10
    training losses differ by at most 8e-06, mean validation losses later by 11%.'"""
    if rows.empty:
        return ""
    settings = text.plural(len(rows), "canonical setting")
    said = f"{int(rows['agree'].sum())} of {settings} agree between frameworks in these very runs"
    first, worst, apart = rows["first"].max(), rows["worst"].max(), []
    if math.isfinite(first):
        steps = int(rows["first_steps"].max())
        apart.append(f"the first {steps} training losses differ by at most {first:.0e}")
    if math.isfinite(worst):
        apart.append(f"mean validation losses later by {text.significant(100 * worst, 2)}%")
    return f"{said}{': ' * bool(apart)}{', '.join(apart)}."


def _cautions(fair: Fairness, rows: pd.DataFrame, frameworks: int) -> Iterator[str]:
    counts = Counter(finding.word for row in fair.rows for finding in row.findings)
    if counts["FAILED"]:
        yield f"{counts['FAILED']} of {sum(counts.values())} comparisons FAILED."
    if len(apart := rows[~rows["agree"].astype(bool)]):
        named = [
            f"{words.name(row['series'])} on {row['task']}" for row in apart.to_dict("records")
        ]
        yield f"The frameworks' curves part: {words.listed(named)}."
    if frameworks > 1 and not set(counts) - {"not verified"}:
        yield "Not verified: gradrace verify proves that the frameworks compute the same."


def _anchor(builder: Builder) -> str:
    return f"{builder.suite}-fairness"
