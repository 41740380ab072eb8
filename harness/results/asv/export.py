"""Stored results as files of asv, without timing anything again: asv's `show`, `compare` and
`publish` then read them.

Everything is written by asv's own classes. A suite becomes the benchmarks
`gradrace.<suite>.<figure>`, which asv's own runs never write, so that the two live side by side. An
environment of asv's is one set of versions on one device with one number of threads: it gets a file
of its own, and an upgrade of one framework leaves the others' histories whole. Each machine has a
folder of its own there."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import ExitCode, UserError, nearest
from ...machine.identity import Identity, identities, is_here, names
from ...record import RunRecord
from ...sweep.store import suites_in
from .. import frame
from .benchmarks import Benchmarks
from .folder import Commit, Environment, Folder


class Exported(NamedTuple):
    """The files of results that were written, for which commit, how many planned runs have no
    result yet, and how many cells have no figures since several machines trained them."""

    files: tuple[Path, ...]
    commit: str
    unfinished: int
    scattered: int


def export(
    output: Path,
    suites: Sequence[str],
    to: Path,
    commit: str = "HEAD",
    repo: Path = Path(),
    machine: str | None = None,
) -> Exported:
    """Writes the results of these suites, all by default, as those of `commit` into `to`, a results
    folder of asv's.

    What `to` holds is kept: other benchmarks, commits and environments. Results of each machine are
    filed under its host's name, those of this machine under the name that asv gives it; `machine`
    is another name for the only machine. UserError if there is nothing to export, for `machine` if
    there are several, for a repository or commit that is not there, and for a folder that is not
    asv's."""
    _need_asv()
    frames = frame.load(output, *_known(output, suites))
    done = [record for record in frames.records.values() if record.status != "skipped"]
    if not done:
        names = ", ".join(frames.plans)
        raise UserError(
            f"{output}: every run of {names} was skipped; nothing to export",
            ExitCode.NOTHING_MEASURED,
        )
    by_machine = _machines(output, done, machine)
    at = _resolve(repo, commit)
    folder = Folder(to)
    described = _described(folder, by_machine, machine)
    suites_of = [Benchmarks(frames, suite) for suite in frames.plans]
    for each in described.values():
        folder.add(each)
    folder.describe({name: of for found in suites_of for name, of in found.described.items()})
    files = []
    for measured_on, records in by_machine.items():
        for environment, members in _environments(records).items():
            results = itertools.chain.from_iterable(found.results(members) for found in suites_of)
            files.append(folder.write(environment, at, described[measured_on], results))
    planned = {digest for plan in frames.plans.values() for digest in plan.digests}
    scattered = sum(found.scattered for found in suites_of)
    return Exported(tuple(files), at.hash, len(planned - set(frames.records)), scattered)


def _need_asv() -> None:
    try:
        import asv.results  # noqa: F401
    except ImportError:
        raise UserError(
            "asv is not installed; its files are written by its own code: pip install gradrace[asv]"
        ) from None


def _known(output: Path, suites: Sequence[str]) -> tuple[str, ...]:
    there = suites_in(output)
    for suite in suites:
        if suite not in there:
            raise UserError(f"{output}: no results of a suite {suite!r}{nearest(suite, there)}")
    return tuple(dict.fromkeys(suites)) or there


def _machines(
    output: Path, records: Sequence[RunRecord], name: str | None
) -> dict[Identity, list[RunRecord]]:
    """The records of each machine, whichever of its cards computed them."""
    found: dict[Identity, list[RunRecord]] = {}
    machines = identities(records)
    for record in records:
        found.setdefault(machines[record.digest].whole, []).append(record)
    if name is not None and len(found) > 1:
        raise UserError(
            f"{output}: results of {len(found)} machines ({'; '.join(names(found).values())}), and"
            f" --machine {name!r} is the name of one; without it each is filed under its host's"
            " name, or name the suites that are of one"
        )
    return found


def _described(
    folder: Folder, by_machine: Mapping[Identity, Sequence[RunRecord]], name: str | None
) -> dict[Identity, dict[str, str]]:
    """asv's descriptions of these machines. UserError if two would have one folder."""
    found: dict[Identity, dict[str, str]] = {}
    named = names(by_machine)
    for measured_on, records in by_machine.items():
        described = folder.machine(records[0].machine, is_here(records[0]), name)
        for other, taken in found.items():
            if taken["machine"] == described["machine"]:
                raise UserError(
                    f"asv would have one name, {taken['machine']!r}, for two machines:"
                    f" {named[other]}; {named[measured_on]}; name the suites that are of one"
                )
        found[measured_on] = described
    return found


def _resolve(repo: Path, commit: str) -> Commit:
    """Full hash, and the author's date as asv takes it."""
    command = ["git", "-C", str(repo), "show", "--no-patch", "--format=%H %at"]
    command += ["--end-of-options", f"{commit}^{{commit}}", "--"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except FileNotFoundError:
        raise UserError(
            "git is not installed; it looks up the commit that results are filed under"
        ) from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()
        raise UserError(
            f"--commit {commit}: no such commit in {repo.resolve()}"
            f" ({said[0] if said else 'git failed'}); --repo names the repository"
        ) from None
    return Commit(found[0], int(found[1]) * 1000)


def _environments(records: Sequence[RunRecord]) -> dict[Environment, set[str]]:
    """The digests of each environment. A failed run may know fewer versions: it belongs to the
    environment that agrees with those it knows."""
    found: dict[Environment, set[str]] = {}
    for record in sorted(records, key=lambda r: -len(r.libraries)):
        spec, known = record.spec, set(record.libraries.items())
        own = Environment(tuple(sorted(known)), spec.device, spec.threads)
        same = (e for e in found if e[1:] == own[1:] and known <= set(e.versions))
        found.setdefault(next(same, own), set()).add(record.digest)
    return found
