"""Results of several folders in one. Read this file first: `merge` does it all.

`folders`: which folders may be merged. `source`: reads and verifies a suite in one of them.
`alike`: refuses suites, studies and versions that do not belong together. `rule`: which result of
a run is kept; `difference`: how two of them differ. `plans`: the plan of all. `copying` writes,
`beside` the files beside the runs. `outcome`: what was done; `text`: the same for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..sweep.store import PlanFile, suite_folder
from . import alike, beside, copying, folders, plans, rule
from .outcome import Merged, SuiteMerged
from .source import Found, Source, read, read_target

_SHOWN = 5


@dataclass(frozen=True)
class _Suite:
    """A suite that is ready to be written. sources: the target's own results first, if any."""

    name: str
    sources: tuple[Source, ...]
    chosen: rule.Chosen
    plan: PlanFile
    outcome: SuiteMerged


def merge(
    sources: Sequence[Path],
    output: Path,
    *,
    dry_run: bool = False,
    skip_unsound: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Merged:
    """Puts the results of these folders, which are only read, into `output`, which keeps its own.

    Everything is read and verified before anything is written. skip_unsound: leaves out runs whose
    files are not what they should be; else they are a UserError, as is everything that does not
    belong together. tell: hears what is done."""
    suites = folders.check(sources, output)
    read_suites = []
    for name, places in suites.items():
        tell(f"reading {name} in {', '.join(map(str, places))}")
        read_suites.append((name, _sources(name, places, output)))
    _check_sound([each for _, found in read_suites for each in found], skip_unsound)
    ready = [_prepared(name, found) for name, found in read_suites]
    files = beside.prepare(sources, output)
    if not dry_run:
        for suite in ready:
            tell(f"writing {suite.name} to {output}")
            copying.write(output, suite.name, suite.sources, suite.chosen.runs, suite.plan)
        beside.write(files, output)
    return Merged(output, tuple(map(str, sources)), tuple(s.outcome for s in ready), files.told)


def _sources(name: str, places: Sequence[Path], output: Path) -> tuple[Source, ...]:
    found = [read(place, name, number) for number, place in enumerate(places, 1)]
    own = read_target(output, name) if suite_folder(output, name).is_dir() else None
    return (own, *found) if own else tuple(found)


def _check_sound(sources: Sequence[Source], skip: bool) -> None:
    """UserError if runs are unsound and are not to be left out."""
    problems = [problem for source in sources for problem in source.unsound]
    if not problems or skip:
        return
    more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    listed = "".join(f"\n  {problem}" for problem in problems[:_SHOWN])
    raise UserError(
        f"nothing is merged: {len(problems)} unsound results. --skip-unsound leaves them out."
        f"{listed}{more}"
    )


def _prepared(name: str, sources: tuple[Source, ...]) -> _Suite:
    alike.check(name, sources)
    chosen = rule.choose(sources)
    superseded = alike.superseded(name, sources, chosen.runs)
    kept = {digest: of for digest, of in chosen.runs.items() if _stays(of, superseded)}
    plan, other_designs = plans.union(name, sources, kept, superseded)
    outcome = SuiteMerged(
        suite=name,
        planned=len(plan.digests),
        missing=sum(digest not in kept for digest in plan.digests),
        taken=_counts(sources, kept),
        equal=chosen.equal,
        unfinished=chosen.unfinished,
        conflicts=chosen.conflicts,
        samples=chosen.samples,
        superseded=len(superseded),
        other_designs=other_designs,
        unsound=tuple(problem for source in sources for problem in source.unsound),
    )
    runs = rule.Chosen(kept, chosen.equal, chosen.unfinished, chosen.conflicts, chosen.samples)
    return _Suite(name, sources, runs, plan, outcome)


def _stays(found: Found, superseded: frozenset[str]) -> bool:
    """Nothing of the target goes, though its plan may no longer name it."""
    return found.is_own or found.record.digest not in superseded


def _counts(sources: Sequence[Source], kept: dict[str, Found]) -> dict[str, int]:
    """Folder -> how many of the runs that are kept come from it."""
    counts = {str(source.output): 0 for source in sources}
    for found in kept.values():
        counts[str(found.output)] += 1
    return counts
