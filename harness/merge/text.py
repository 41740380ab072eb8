"""A merge for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .outcome import Conflict, Merged, Sample, SuiteMerged

_SHOWN = 10


def lines(merged: Merged, dry_run: bool) -> Iterator[str]:
    """What was kept and from where, then what was not and why."""
    for suite in merged.suites:
        yield from _suite(suite)
    yield from merged.files
    if dry_run:
        yield f"dry run: nothing was written to {merged.output}"
    else:
        yield f"merged into {merged.output}; `gradrace report --output {merged.output}`"


def _suite(suite: SuiteMerged) -> Iterator[str]:
    taken = (f"{count} from {folder}" for folder, count in suite.taken.items() if count)
    yield f"{suite.suite}: {sum(suite.taken.values())} results ({', '.join(taken)})"
    if suite.missing:
        yield f"  {suite.missing} of {suite.planned} planned runs have no result yet"
    if suite.equal:
        yield f"  {suite.equal} more are copies with the same numbers"
    if suite.unfinished:
        yield f"  {suite.unfinished} failed or skipped tries gave way to another result"
    if suite.superseded:
        yield f"  {suite.superseded} skipped runs stand in the table under another digest"
    if suite.conflicts:
        yield from _conflicts(suite.conflicts)
    if suite.samples:
        yield from _samples(suite.samples)
    if suite.other_designs:
        count = len(suite.other_designs)
        yield (
            f"  {count} timed runs are not in the plan: their cells were timed in another way in an"
            " earlier folder"
        )
        yield from _listed(suite.other_designs)
    if suite.unsound:
        yield f"  left out, {len(suite.unsound)} unsound results:"
        yield from _listed(suite.unsound)


def _conflicts(conflicts: Sequence[Conflict]) -> Iterator[str]:
    known = [each.relative for each in conflicts if each.relative is not None]
    worst = f", by a relative difference of up to {max(known):.2g}" if known else ""
    yield f"  {len(conflicts)} conflicts: results of one run that are not equal{worst}"
    ordered = sorted(conflicts, key=lambda each: -(each.relative or float("inf")))
    yield from _listed([_conflict(each) for each in ordered])


def _conflict(each: Conflict) -> str:
    size = "" if each.relative is None else f", relative difference {each.relative:.2g}"
    return (
        f"{each.digest} {each.run}: {each.what}{size}; kept from"
        f" {_place(each.kept, each.kept_host)}, not from {_place(each.other, each.other_host)}"
    )


def _samples(samples: Sequence[Sample]) -> Iterator[str]:
    yield (
        f"  {len(samples)} timing or memory runs were measured twice; a folder holds one"
        " measurement of a run, so these stay in their folders:"
    )
    pairs: dict[tuple[str, str, str, str], int] = {}
    for each in samples:
        key = (each.other, each.other_host, each.kept, each.kept_host)
        pairs[key] = pairs.get(key, 0) + 1
    yield from _listed(
        [
            f"{count} of {_place(other, other_host)}; those of {_place(kept, kept_host)} are kept"
            for (other, other_host, kept, kept_host), count in pairs.items()
        ]
    )


def _place(folder: str, host: str) -> str:
    return f"{folder} (host {host})" if host else folder


def _listed(texts: Sequence[str]) -> Iterator[str]:
    yield from (f"    {text}" for text in texts[:_SHOWN])
    if len(texts) > _SHOWN:
        yield f"    … and {len(texts) - _SHOWN} more; --json has all"
