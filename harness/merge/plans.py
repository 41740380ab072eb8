"""The plan of the merged suite: the runs of all folders, in the order of the folders."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..spec import canonical_json
from ..sweep.store import PlanFile
from .source import Found, Source


def union(
    suite: str,
    sources: Sequence[Source],
    runs: Mapping[str, Found],
    superseded: Collection[str],
) -> tuple[PlanFile, tuple[str, ...]]:
    """The plan, and the ids of timed runs that are not in it because of their design.

    Launches of two designs (blocks, steps a block, ...) are not launches of one cell: the design of
    the first folder that timed the cell stays. Title and question are the first folder's, too."""
    plans = [source.plan for source in sources if source.plan]
    clocked = dict.fromkeys(digest for plan in plans for digest in plan.clocked)
    others = _of_other_designs(clocked, runs)
    left_out = {*superseded, *others}
    digests = dict.fromkeys(digest for plan in plans for digest in plan.digests)
    plan = PlanFile(
        suite=suite,
        title=plans[0].title,
        question=plans[0].question,
        digests=tuple(digest for digest in digests if digest not in left_out),
        clocked=tuple(digest for digest in clocked if digest not in left_out),
        clock_only=any(plan.clock_only for plan in plans)
        and not any(plan.clocked for plan in plans if not plan.clock_only),
        origin=next((plan.origin for plan in plans if plan.origin), None),
    )
    return plan, tuple(runs[digest].record.spec.id for digest in others)


def _of_other_designs(clocked: Collection[str], runs: Mapping[str, Found]) -> list[str]:
    designs: dict[str, str] = {}
    others = []
    for digest in clocked:
        spec = runs[digest].record.spec if digest in runs else None
        if spec is None or spec.timing is None:
            continue
        cell = spec.model_dump(mode="json", exclude={"timing", "launch"})
        design = spec.timing.model_dump_json()
        if designs.setdefault(canonical_json(cell), design) != design:
            others.append(digest)
    return others
