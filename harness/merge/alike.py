"""Refuses what does not belong into one table: other suites and studies of the same name, and runs
that other code or other libraries computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from ..errors import UserError
from ..spec import canonical_json
from ..suite.origin import BUILT_IN, Origin
from .source import Found, Source

_SHOWN = 4
# A user's schedule has other rates under other parameters.
_NOT_COMPARED = "rates "
# A framework, and whether it is timed: `gradrace time` keeps trained runs of an earlier version.
_Group = tuple[str, bool]
# Library or file -> its versions or hashes.
_Makers = dict[str, set[str]]


def check(suite: str, sources: Sequence[Source]) -> None:
    """UserError that names two folders and what in them differs."""
    for one, other in combinations(sources, 2):
        _check_suites(suite, one, other)
        _check_studies(suite, one, other)
        _check_makers(suite, one, other)


def _check_suites(suite: str, one: Source, other: Source) -> None:
    first, second = (source.plan.origin if source.plan else None for source in (one, other))
    if first and second and not _same(first, second):
        raise UserError(
            f"{suite}: {one.output} holds results of {first.named} ({first.title!r}), and"
            f" {other.output} of {second.named} ({second.title!r}): two suites of one name. Rename"
            f" the folder runs/{suite} of one of them, or merge them into folders of their own"
        )


def _same(one: Origin, other: Origin) -> bool:
    """Whether two suites are one. Where its file lies says nothing: machines have other paths."""
    built_in = one.source == other.source == BUILT_IN
    return built_in or one.content == other.content or one.title == other.title


def _check_studies(suite: str, one: Source, other: Source) -> None:
    mend = f"Rename the folder runs/{suite} of one of them, or merge them into folders of their own"
    if one.study is None or other.study is None:
        for with_study, without in ((one, other), (other, one)):
            if with_study.study and without.plan and without.plan.origin:
                raise UserError(
                    f"{suite}: a study of `gradrace tune` in {with_study.output}, and a suite in"
                    f" {without.output}. {mend}"
                )
        return
    journals = (one.study.journal, other.study.journal)
    goes_on = journals[0].startswith(journals[1]) or journals[1].startswith(journals[0])
    if one.study.request != other.study.request or not goes_on:
        raise UserError(
            f"{suite}: {one.output} and {other.output} hold two different studies of this name:"
            " their suggestions do not go on from each other, and cannot be one search."
            f" {mend}; or leave one of them out"
        )


def _check_makers(suite: str, one: Source, other: Source) -> None:
    first, second = _makers(one), _makers(other)
    different = [
        line
        for group in first
        if group in second
        for line in _different(one.output, first[group], other.output, second[group])
    ]
    if different:
        raise _refused(suite, one, other, dict.fromkeys(different))


def _makers(source: Source) -> dict[_Group, _Makers]:
    """What computed the runs of the table. Those that were skipped were not computed."""
    found: dict[_Group, _Makers] = {}
    for run in _computed(source):
        record = run.record
        of = found.setdefault((record.spec.framework, run.is_clocked), {})
        for name, version in record.versions.items():
            of.setdefault(f"library {name}", set()).add(version)
        for name, version in record.sources.items():
            if not name.startswith(_NOT_COMPARED):
                of.setdefault(f"source {name}", set()).add(version)
    return found


def _computed(source: Source) -> Iterator[Found]:
    there = (source.runs[digest] for digest in source.planned if digest in source.runs)
    return (run for run in there if run.record.status != "skipped")


def _different(a: Path, first: _Makers, b: Path, second: _Makers) -> Iterator[str]:
    for name in first.keys() & second.keys():
        if first[name].isdisjoint(second[name]):
            one, other = (", ".join(sorted(of)) for of in (first[name], second[name]))
            yield f"{name}: {one} in {a}, {other} in {b}"


def _refused(suite: str, one: Source, other: Source, lines: Iterable[str]) -> UserError:
    listed = sorted(lines)
    shown = "".join(f"\n  {line}" for line in listed[:_SHOWN])
    more = f"\n  … and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return UserError(
        f"{suite}: the runs in {one.output} and {other.output} were computed by different code or"
        f" libraries, and must not stand in one table:{shown}{more}\nRun the suite in both places"
        " with equal versions, or merge them into folders of their own and look at both with"
        " `gradrace compare`"
    )


def superseded(
    suite: str, sources: Sequence[Source], chosen: Mapping[str, Found]
) -> frozenset[str]:
    """Digests of skipped runs that stand in the table under another digest as well: a framework is
    not installed in one place, say, and is in another. The first stays if all were skipped.

    UserError if a run that was not skipped has two digests."""
    of_spec: dict[str, list[str]] = {}
    planned = dict.fromkeys(digest for source in sources for digest in source.planned)
    for digest in planned:
        if digest in chosen:
            text = canonical_json(chosen[digest].record.spec.to_json())
            of_spec.setdefault(text, []).append(digest)
    gone: set[str] = set()
    for digests in of_spec.values():
        computed = [d for d in digests if chosen[d].record.status != "skipped"]
        stays = computed or digests[:1]
        if len(stays) > 1:
            _check_one_plan(suite, sources, chosen, stays)
        gone.update(set(digests) - set(stays))
    return frozenset(gone)


def _check_one_plan(
    suite: str, sources: Sequence[Source], chosen: Mapping[str, Found], digests: Sequence[str]
) -> None:
    """UserError unless one folder's own plan names all of them."""
    if any(set(digests) <= set(source.planned) for source in sources):
        return
    one, other = (
        next(source for source in sources if digest in source.planned) for digest in digests[:2]
    )
    raise _refused(suite, one, other, _lines(chosen[digests[0]], chosen[digests[1]]))


def _lines(one: Found, other: Found) -> Iterator[str]:
    yield f"run {one.record.spec.id}"
    for kind in ("versions", "sources"):
        first, second = (dict(getattr(each.record, kind)) for each in (one, other))
        for name in first.keys() | second.keys():
            if first.get(name) != second.get(name):
                a, b = (of.get(name, "none") for of in (first, second))
                yield f"{kind.removesuffix('s')} {name}: {a}, {b}"
