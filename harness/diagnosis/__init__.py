"""Judges a run by its curves and norms: learning rate, fit, gradients. Arrays in, findings out.

Read `finding` (the rules' names) and `course` (a run as the rules read it) first; `curves` and
`gradients` hold the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..record import Norms, RunRecord
from .course import Course, course_of
from .curves import judge as judge_curves
from .finding import RULES, SEVERITIES, Finding, Rule, Severity
from .gradients import judge as judge_gradients

if TYPE_CHECKING:
    import pandas as pd

    from ..results.frame import Frames

__all__ = [
    "JUDGED",
    "RULES",
    "SEVERITIES",
    "Course",
    "Finding",
    "Rule",
    "Severity",
    "diagnose",
    "diagnose_run",
    "of",
]

# Runs with these outcomes have a curve that is whole, or ends with the failure.
JUDGED = ("ok", "diverged")
_COLUMNS = ("digest", "rule", "severity", "step", "reason")


def diagnose(course: Course, norms: Norms | None = None) -> list[Finding]:
    """Findings, the gravest first; if no rule speaks, `healthy`, or `unjudged` of a curve that is
    too short. Never empty. Norms add findings that only gradients show."""
    # Of equal gravity, gradients come before curves: they are nearer to the cause.
    found = [] if norms is None else judge_gradients(course.task, norms)
    found += judge_curves(course)
    amiss = sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
    return amiss or [course.unremarkable()]


def diagnose_run(
    record: RunRecord, curve: Mapping[str, Any] | None, norms: Mapping[str, Any] | None = None
) -> list[Finding]:
    """Findings on a stored run, from the columns of its curve and norms; none if it has no whole
    curve (see JUDGED)."""
    if curve is None or record.spec.measure != "convergence" or record.status not in JUDGED:
        return []
    taken = None if norms is None else Norms(**{name: norms[name] for name in Norms.DTYPES})
    return diagnose(course_of(record, curve), taken)


def of(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a finding on the suite's trained runs, in the plan's order: digest, rule, severity,
    step, reason."""
    import pandas as pd

    planned = dict.fromkeys(map(str, frames.plans[suite].digests))
    digests = [digest for digest in planned if digest in frames.records]
    curves, norms = _by_digest(frames.curves, digests), _by_digest(frames.norms, digests)
    rows = [
        (digest, *finding)
        for digest in digests
        for finding in diagnose_run(frames.records[digest], curves(digest), norms(digest))
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"step": "int64"})


def _by_digest(table: pd.DataFrame, digests: list[str]) -> Callable[[str], dict[str, Any] | None]:
    """From a digest to the columns of its run, None if it has none. One run at a time: all at once
    are many objects."""
    import pandas as pd

    # A run of several suites may have been loaded several times.
    table = table.drop_duplicates()
    columns: dict[str, Any] = {}
    # Texts are few and repeat: a column holds their numbers.
    words: dict[str, Any] = {}
    for name in table.columns.drop("digest"):
        if pd.api.types.is_numeric_dtype(table[name]):
            columns[name] = table[name].to_numpy()
        else:
            columns[name], found = pd.factorize(table[name], use_na_sentinel=False)
            words[name] = pd.Index(found).to_numpy(dtype=object)
    wanted, groups = set(digests), table.groupby("digest", sort=False, observed=True).indices
    rows = {str(digest): at for digest, at in groups.items() if digest in wanted}

    def columns_of(digest: str) -> dict[str, Any] | None:
        if digest not in rows:
            return None
        known = {name: column[rows[digest]] for name, column in columns.items()}
        return known | {name: texts[known[name]] for name, texts in words.items()}

    return columns_of
