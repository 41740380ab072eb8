"""The search itself: suggest, write down, run, look again; then score the winner and the defaults
on fresh seeds.

Nothing here remembers what a kill would lose. A suggestion is in the journal before it runs, an
outcome is a run's record in the store, and the next suggestion follows from these two alone; so the
same command goes on where it stopped, and ends with what it would have ended with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..executor import Event, Executor, Finished, Job, PlannedRun
from ..executor.local import LocalExecutor, unfinished
from ..executor.queue import side_by_side
from ..machine import usable_cores
from ..record import FINAL, RunRecord
from ..registry import Registry
from ..spec import RunSpec
from ..sweep import with_log
from ..sweep.planner import Planner
from ..sweep.store import PlanFile, Store
from .samplers import LEARNING, Told, suggest, trials
from .study import (
    Combination,
    Journal,
    StudyFile,
    Suggestion,
    higher_is_better,
    read_study,
    write_study,
)
from .trials import Trial, best_of, chance_level, judged, told

Watch = Callable[[Event, int, int], None]


@dataclass(frozen=True)
class StudyPlace:
    """Where a study is kept and how it is run. workers: see sweep.Options."""

    output: Path
    name: str
    registry: Registry
    interpreters: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 600.0
    workers: int = 0


def execute(
    study: StudyFile,
    cells: Sequence[Combination],
    place: StudyPlace,
    watch: Watch = lambda event, done, total: None,
) -> StudyFile:
    """Does what is left of a study and returns it as it is kept, with the batch that it was begun
    with.

    KeyboardInterrupt passes through after the workers are stopped; everything finished is kept.
    """
    with Store(place.output, place.name) as store:
        before = read_study(store.folder)
        if before is None and store.plan() is not None:
            raise UserError(
                f"{store.folder}: holds the results of a suite; give the study another name with"
                " --name"
            )
        if before is not None:
            _check_goes_on(store.folder, before, study)
        study = in_batches(study, before, len(cells), place.workers)
        write_study(store.folder, study)
        store.discard_unfinished()
        executor = LocalExecutor(
            place.registry.plugins, place.interpreters, place.timeout_s, place.workers
        )
        try:
            _Study(study, cells, place, store, executor, watch).run()
        finally:
            executor.close()
    return study


def _check_goes_on(folder: Path, before: StudyFile, study: StudyFile) -> None:
    """UserError if the study in this folder has searches that this one has not: its report would
    lose them.
    """
    for key in ("tasks", "optimizers", "frameworks"):
        lost = [name for name in getattr(before, key) if name not in getattr(study, key)]
        if lost:
            raise UserError(
                f"{folder}: holds a study of the {key} {', '.join(getattr(before, key))}, and this"
                f" one leaves out {', '.join(lost)}; name them too, or give this study another name"
                " with --name"
            )


def in_batches(study: StudyFile, before: StudyFile | None, cells: int, workers: int) -> StudyFile:
    """The study with how many trials are suggested at once: enough for all workers where the
    sampler learns from trials, and what it was begun with where it goes on, so that the number of
    workers does not change it. Others: all at once."""
    if study.sampler not in LEARNING:
        return study.model_copy(update={"batch": study.budget})
    if before is not None and before.sampler == study.sampler:
        return study.model_copy(update={"batch": before.batch})
    wanted = workers or side_by_side(len(usable_cores()), study.threads)
    return study.model_copy(update={"batch": max(1, math.ceil(wanted / cells))})


class _Study:
    """All searches of a study on one executor."""

    def __init__(
        self,
        study: StudyFile,
        cells: Sequence[Combination],
        place: StudyPlace,
        store: Store,
        executor: Executor,
        watch: Watch,
    ) -> None:
        self._store, self._executor, self._watch = store, executor, watch
        self._planner = Planner(place.registry, place.interpreters)
        journal = Journal(store.folder)
        self._searches = [_Search(study, cell, self._planner, journal) for cell in cells]
        self._owner: dict[str, _Search] = {}
        self._waiting: set[str] = set()
        self._study, self._name = study, place.name
        self._done = 0

    def run(self) -> None:
        """Until every search has its trials and its scores."""
        for search in self._searches:
            self._hand_out(search)
        while self._waiting:
            for event in self._executor.events():
                self._heard(event)
                if isinstance(event, Finished):
                    # A search goes on as soon as it can; it does not wait for the others.
                    self._hand_out(self._owner[event.run.digest])
        self._write_plan()

    def _heard(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._done += 1
            self._waiting.discard(event.run.digest)
            self._store.write(event.result)
            self._owner[event.run.digest].take(event.result.record)
        self._watch(event, self._done, sum(search.total for search in self._searches))

    def _hand_out(self, search: _Search) -> None:
        """Gives the executor what the search can do now, and goes on by itself where that is
        finished already.
        """
        while due := search.due():
            self._write_plan()
            for run in due:
                self._owner[run.digest] = search
                if record := self._kept(run):
                    self._done += 1
                    search.take(record)
                elif reason := self._planner.missing(run.spec):
                    self._heard(Finished(run, unfinished(run, "skipped", reason)))
                else:
                    self._waiting.add(run.digest)
                    self._executor.submit(Job((with_log(run, self._store),)))

    def _kept(self, run: PlannedRun) -> RunRecord | None:
        """The record of a run that is over. A trial that failed stays one; scores are tried again."""
        record = self._store.kept(run)
        if record is None:
            return None
        counts = record.status in FINAL or (
            record.status != "skipped" and "trial" in run.spec.variations
        )
        return record if counts else None

    def _write_plan(self) -> None:
        digests = tuple(digest for search in self._searches for digest in search.digests)
        title = f"{' and '.join(self._study.tasks)}, tuned: {', '.join(self._study.optimizers)}"
        question = (
            f"What does each optimizer reach with a budget of {self._study.budget} trials"
            f" ({self._study.sampler}), and how much better than its default settings is that?"
        )
        self._store.write_plan(
            PlanFile(suite=self._name, title=title, question=question, digests=digests)
        )


class _Search:
    """One search. It hands out runs when it can tell what to do, and takes their records."""

    def __init__(
        self, study: StudyFile, cell: Combination, planner: Planner, journal: Journal
    ) -> None:
        self._study, self._cell, self._planner, self._journal = study, cell, planner, journal
        self._search = cell.search(study)
        self._budget = trials(self._search)
        self._way = study.way(cell.optimizer.name)
        self._asked: dict[int, tuple[dict[str, float], list[PlannedRun]]] = {}
        self._scoring: list[PlannedRun] | None = None
        self._records: dict[str, RunRecord] = {}
        self._begun = {line.trial: line for line in journal.asked if self._is_mine(line)}

    @property
    def total(self) -> int:
        """How many runs it takes, as far as that is known."""
        scoring = 2 * self._study.fresh_seeds if self._scoring is None else len(self._scoring)
        return (
            len(self._asked) if self._scoring is not None else self._budget
        ) * self._study.runs_a_trial + scoring

    @property
    def digests(self) -> Iterator[str]:
        """Of all runs handed out, trials first, in their order."""
        for _, runs in self._asked.values():
            yield from (run.digest for run in runs)
        yield from (run.digest for run in self._scoring or ())

    def take(self, record: RunRecord) -> None:
        """The outcome of one of its runs."""
        self._records[record.digest] = record

    def due(self) -> list[PlannedRun]:
        """Runs to be done now: the next batch of trials once the last is over, then those that
        score. Empty while it waits for records, and at the end."""
        if self._scoring is not None or any(digest not in self._records for digest in self.digests):
            return []
        ended = self._ended()
        skipped = any(trial.state == "skipped" for trial in ended)
        if len(self._asked) < self._budget and not skipped:
            last = min(self._budget, len(self._asked) + self._study.batch)
            before = told(ended, higher_is_better(self._cell.task), chance_level(self._cell.task))
            return [
                run for number in range(len(self._asked), last) for run in self._ask(number, before)
            ]
        self._scoring = (
            [] if skipped else [self._planner.plan(spec) for spec in self._scores(ended)]
        )
        return self._scoring

    def _ask(self, number: int, before: list[Told]) -> list[PlannedRun]:
        """The runs of a new trial, or of one that was suggested earlier; `before` grows by it."""
        line = self._begun.get(number)
        settings = dict(line.settings) if line else suggest(self._search, number, before)
        runs = [
            self._planner.plan(spec) for spec in self._cell.trial(self._study, number, settings)
        ]
        digests = tuple(run.digest for run in runs)
        if line and line.digests != digests:
            # Versions or sources are others now, so what was learnt from is, too: everything from
            # here on is asked anew.
            self._begun = {}
            return self._ask(number, before)
        if not line:
            task, optimizer, framework, fold = self._cell.key
            self._journal.write(
                Suggestion(
                    task=task,
                    optimizer=optimizer,
                    framework=framework,
                    fold=fold,
                    trial=number,
                    way=self._way,
                    settings=settings,
                    digests=digests,
                )
            )
        self._asked[number] = settings, runs
        before.append(Told(settings, None, running=True))
        return runs

    def _ended(self) -> list[Trial]:
        return [
            judged(number, settings, [self._records[run.digest] for run in runs])
            for number, (settings, runs) in self._asked.items()
        ]

    def _scores(self, ended: list[Trial]) -> Iterator[RunSpec]:
        best = best_of(ended, higher_is_better(self._cell.task))
        if best is not None:
            yield from self._cell.scoring(self._study, best.settings, "tuned")
        yield from self._cell.scoring(self._study, self._cell.defaults(), "default")

    def _is_mine(self, line: Suggestion) -> bool:
        return (
            line.task,
            line.optimizer,
            line.framework,
            line.fold,
        ) == self._cell.key and line.way == self._way
