"""What the curves and norms of a run say about its learning rate, its fit and its gradients: arrays
in, findings out.
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

# Runs with these outcomes have a curve that is whole, or ends where it went wrong.
JUDGED = ("ok", "diverged")
_COLUMNS = ("digest", "rule", "severity", "step", "reason")


def diagnose(course: Course, norms: Norms | None = None) -> list[Finding]:
    """Findings, the gravest first; where nothing is found amiss, one that says `healthy`, or
    `unjudged` of a curve too short to say so. Never empty. Norms add what only gradients show."""
    # What gradients show comes before what curves show of equal gravity: it is nearer to the cause.
    found = [
        *(judge_gradients(course.task, norms) if norms is not None else ()),
        *judge_curves(course),
    ]
    amiss = sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
    return amiss or [course.unremarkable()]


def diagnose_run(
    record: RunRecord, curve: Mapping[str, Any] | None, norms: Mapping[str, Any] | None = None
) -> list[Finding]:
    """Findings on a stored run, of the columns of its curve and norms; none where it has no whole
    curve (see JUDGED).
    """
    if curve is None or record.spec.measure != "convergence" or record.status not in JUDGED:
        return []
    taken = None if norms is None else Norms(**{name: norms[name] for name in Norms.DTYPES})
    return diagnose(course_of(record, curve), taken)


def of(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a finding on the suite's trained runs, in the plan's order: digest, rule, severity,
    step, reason.
    """
    import pandas as pd

    digests = list(
        dict.fromkeys(str(d) for d in frames.plans[suite].digests if str(d) in frames.records)
    )
    curves, norms = _by_digest(frames.curves, digests), _by_digest(frames.norms, digests)
    rows = [
        (digest, *finding)
        for digest in digests
        for finding in diagnose_run(frames.records[digest], curves(digest), norms(digest))
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"step": "int64"})


def _by_digest(table: pd.DataFrame, digests: list[str]) -> Callable[[str], dict[str, Any] | None]:
    """From a digest to the columns of its run, None if it has none. One run at a time: all at once
    are many objects.
    """
    import pandas as pd

    # Texts are few and repeat: they are kept as the number of a text.
    texts = {
        name: pd.factorize(table[name], use_na_sentinel=False)
        for name in table
        if name != "digest" and not pd.api.types.is_numeric_dtype(table[name])
    }
    columns = {
        name: texts[name][0] if name in texts else table[name].to_numpy()
        for name in table
        if name != "digest"
    }
    words = {name: pd.Index(found[1]).to_numpy(dtype=object) for name, found in texts.items()}
    wanted, groups = set(digests), table.groupby("digest", sort=False, observed=True).indices
    rows = {str(digest): at for digest, at in groups.items() if digest in wanted}

    def of_run(digest: str) -> dict[str, Any] | None:
        if digest not in rows:
            return None
        # A run that stands in several suites was loaded several times.
        found = pd.DataFrame(
            {name: column[rows[digest]] for name, column in columns.items()}
        ).drop_duplicates()
        return {
            name: words[name][found[name]] if name in words else found[name].to_numpy()
            for name in found
        }

    return of_run
