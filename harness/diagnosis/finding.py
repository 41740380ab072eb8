"""Findings: the sentences of the rules on a run."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Rule = Literal[
    "diverged",
    "exploding gradients",
    "oscillating",
    "at chance",
    "too slow",
    "vanishing gradients",
    "dead units",
    "over-fitting",
    "validation loss rose",
    "under-fitting",
    "plateaued",
    "recovered spike",
    "healthy",
    "unjudged",
]
# error: the run is of no use. warning: something to change. note: worth knowing. none: all is well.
Severity = Literal["error", "warning", "note", "none"]
RULES: tuple[Rule, ...] = get_args(Rule)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


class Finding(NamedTuple):
    """`step`: the update at which it began; `reason` one sentence with its numbers."""

    rule: Rule
    severity: Severity
    step: int
    reason: str
