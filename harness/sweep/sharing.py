"""Several drivers in one results folder: which runs are this one's, and which the others do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..errors import UserError
from ..executor import Job, PlannedRun
from ..record import FINAL, RunRecord
from .drivers.heartbeat import DriverFile
from .drivers.quiet import Quiet
from .store import PlanFile, Store

# Claimed by the driver that times, for its machine.
_TIMING = "timing"
# Names that an error mentions, before "and more".
_MOST = 3


class Sharing:
    """This driver's part of a sweep. records: those of its runs that were there at its start.

    sharded: the user has shared out the runs, those that are timed as well; else one machine times
    all of them."""

    def __init__(
        self, store: Store, quiet: Quiet, records: Mapping[str, RunRecord], sharded: bool
    ) -> None:
        self._store, self._claims, self._quiet = store, store.claims, quiet
        self._before = {digest: _try(record) for digest, record in records.items()}
        self._sharded = sharded
        self._logs: dict[str, PlannedRun] = {}

    def claim(self, job: Job) -> Job:
        """See executor.Claim. The runs that are granted have their logs.

        Waits for other drivers on this machine if this job, or theirs, is timed."""
        if job.alone and not self._may_time():
            return job.of(())
        again = {run.digest for run in job.runs if run.digest in self._claims.held}
        mine = {*self._claims.take([run.digest for run in job.runs])}
        fresh = [run for run in job.runs if run.digest in mine - again]
        self._store.look_again(fresh)
        done = [run.digest for run in fresh if self.outcome(run)]
        self._claims.release(done)
        granted = [run for run in job.runs if run.digest in mine.difference(done)]
        if granted:
            self._quiet.hold(job.alone)
        return self._with_logs(job.of(granted), again)

    def kept(self) -> None:
        """Results were written: others may time if this driver has no run in flight."""
        if not self._claims.held.keys() - {_TIMING}:
            self._quiet.release()

    def outcomes(self, runs: Sequence[PlannedRun]) -> Iterator[tuple[PlannedRun, RunRecord]]:
        """Those of these runs that other drivers have done by now, with their records."""
        if runs:
            self._store.look_again(runs)
        for run in runs:
            if record := self.outcome(run):
                yield run, record

    def outcome(self, run: PlannedRun) -> RunRecord | None:
        """The record of a run that another driver has done since this one began; else None.

        One that another machine could not do counts only if this one cannot either."""
        record = self._store.kept(run)
        if record is None or record.status in FINAL:
            return record
        tried = record.status != "skipped" and _try(record) != self._before.get(run.digest)
        return record if tried else None

    def others_have(self, runs: Sequence[PlannedRun]) -> dict[str, str]:
        """Digests of runs in the hands of other living drivers -> the driver, for people."""
        names = self._claims.holders([run.digest for run in runs])
        timed = [run.digest for run in runs if run.spec.measure != "convergence"]
        if timed and (name := self._timing_elsewhere()):
            names |= dict.fromkeys(timed, name)
        return {digest: self._named(name) for digest, name in names.items()}

    def _may_time(self) -> bool:
        return self._sharded or not self._timing_elsewhere()

    def _timing_elsewhere(self) -> str:
        """The driver that times on another machine; "" if this machine may time."""
        if self._sharded or self._claims.take([_TIMING]):
            return ""
        name = self._claims.holders([_TIMING]).get(_TIMING, "")
        holder = self._store.driver.look(name)
        return name if holder and holder.place.host != self._store.driver.host else ""

    def _named(self, name: str) -> str:
        found = self._store.driver.look(name)
        return found.named if found else name

    def _with_logs(self, job: Job, again: set[str]) -> Job:
        """Runs that were granted before keep the log that they have."""
        new = [run for run in job.runs if run.digest not in again]
        if job.lanes and new:
            log = self._store.shared_log([run.digest for run in new]).resolve()
            logged = [replace(run, log=log) for run in new]
        else:
            logged = [replace(run, log=self._store.log_file(run.digest).resolve()) for run in new]
        self._logs |= {run.digest: run for run in logged}
        return job.of([self._logs[run.digest] for run in job.runs])


def check_agrees(
    plan: PlanFile,
    before: PlanFile | None,
    others: Iterable[DriverFile],
    versions: Mapping[str, str],
    sources: Mapping[str, str],
) -> None:
    """UserError if drivers at work have runs that this plan lacks: their results would be lost to
    its report. It names the other files and versions."""
    other = next(iter(others), None)
    if other is None or before is None or not {*before.digests} - {*plan.digests}:
        return
    differing = [
        *(f"{_source(name)} there" for name in _differing(sources, other.sources)),
        *(
            f"{name} is {other.versions.get(name, 'absent')} there and"
            f" {versions.get(name, 'absent')} here"
            for name in _differing(versions, other.versions)
        ),
    ]
    more = ", and more" if len(differing) > _MOST else ""
    why = ", ".join(differing[:_MOST]) + more or "its tasks, seeds or settings are others"
    raise UserError(
        f"another gradrace ({other.named}) is at work on other runs of this suite: {why}; wait for"
        " it, or use --output"
    )


def _source(name: str) -> str:
    """For people: a key of PlannedRun.sources, a module's name unless it says its kind."""
    return f"{name} is another one" if " " in name else f"the file of {name} is another one"


def _differing(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*here, *there} if here.get(name) != there.get(name))


def _try(record: RunRecord) -> tuple[str, str]:
    """Tells one try of a run from another."""
    return record.driver, record.started_at
