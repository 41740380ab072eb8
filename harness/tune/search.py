"""The search itself: suggest, write down, run; then score winner and defaults on fresh seeds.

A kill loses nothing: a suggestion is in the journal before it runs, an outcome is a run's record in
the store, and the next suggestion follows from these two alone. So the same command goes on after
a kill, to the same end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import UserError
from ..executor import Event, Executor, Finished, Job, PlannedRun, Single, one_by_one
from ..executor.local import unfinished
from ..executor.make import LOCAL, Means, check_executor, make_executor
from ..executor.queue import side_by_side
from ..machine import usable_cores
from ..record import FINAL, RunRecord
from ..registry import Registry
from ..spec import POPULATION, RunSpec
from ..sweep import keep, with_logs
from ..sweep.jobs import jobs
from ..sweep.lanes import LEAST_RUNS, Population, in_lanes
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

Watch = Callable[[Single, int, int], None]


@dataclass(frozen=True)
class StudyPlace:
    """The folder and the means of a study. workers, population, executor, address: see
    sweep.Options."""

    output: Path
    name: str
    registry: Registry
    interpreters: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 600.0
    workers: int = 0
    population: Population = "auto"
    executor: str = LOCAL
    address: str = ""


def execute(
    study: StudyFile,
    combinations: Sequence[Combination],
    place: StudyPlace,
    watch: Watch = lambda event, done, total: None,
) -> StudyFile:
    """Does the rest of a study and returns it as it is kept, with its first batch size.

    KeyboardInterrupt passes through after the workers are stopped; everything finished is kept.
    """
    check_executor(place.executor, place.address)
    with Store(place.output, place.name) as store:
        before = read_study(store.folder)
        if before is None and store.plan() is not None:
            raise UserError(
                f"{store.folder}: holds the results of a suite; give the study another name with"
                " --name"
            )
        if before is not None:
            _check_goes_on(store.folder, before, study)
        combinations = [_with_lanes(study, each, place) for each in combinations]
        lanes = max(each.lanes for each in combinations)
        study = study.model_copy(update={"lanes": lanes})
        study = in_batches(study, before, len(combinations), place.workers)
        write_study(store.folder, study)
        store.discard_unfinished()
        means = Means(
            *(place.registry.plugins, place.interpreters, place.timeout_s, place.workers),
            *(place.executor, place.address),
        )
        executor = make_executor(means)
        try:
            _Study(study, combinations, place, store, executor, watch).run()
        finally:
            executor.close()
    return study


def _check_goes_on(folder: Path, before: StudyFile, study: StudyFile) -> None:
    """UserError if the folder's study has further searches: its report would lose them."""
    for key in ("tasks", "optimizers", "frameworks"):
        kept = getattr(before, key)
        lost = [name for name in kept if name not in getattr(study, key)]
        if lost:
            raise UserError(
                f"{folder}: holds a study of the {key} {', '.join(kept)}, and this one leaves out"
                f" {', '.join(lost)}; name them too, or give this study another name with --name"
            )


def in_batches(
    study: StudyFile, before: StudyFile | None, combinations: int, workers: int
) -> StudyFile:
    """The study with its `batch`, the number of trials suggested at once.

    If the sampler learns, enough for all workers and to fill the lanes, or as begun: another number
    of workers must not change a study. Else all at once."""
    if study.sampler not in LEARNING:
        return study.model_copy(update={"batch": study.budget})
    if before is not None and before.sampler == study.sampler:
        return study.model_copy(update={"batch": before.batch})
    wanted = workers or side_by_side(len(usable_cores()), study.threads)
    batch = max(1, math.ceil(wanted / combinations), study.lanes // study.runs_a_trial)
    return study.model_copy(update={"batch": batch})


def _with_lanes(study: StudyFile, combination: Combination, place: StudyPlace) -> Combination:
    """The search with its number of lanes, by the runs that it would train at once."""
    trial = combination.trial(study, 0, combination.defaults())
    learns = study.sampler in LEARNING and study.budget > 1
    at_once = [spec for spec in trial for _ in range(LEAST_RUNS if learns else study.budget)]
    modes = {combination.framework.name: combination.framework.convergence_mode}
    chosen = in_lanes(at_once[: max(LEAST_RUNS, 1)], place.population, modes, place.output)
    lanes = chosen[0].lanes if chosen[0].mode == POPULATION else 0
    return replace(combination, lanes=lanes)


class _Study:
    """All searches of a study on one executor."""

    def __init__(
        self,
        study: StudyFile,
        combinations: Sequence[Combination],
        place: StudyPlace,
        store: Store,
        executor: Executor,
        watch: Watch,
    ) -> None:
        self._store, self._executor, self._watch = store, executor, watch
        self._planner = Planner(place.registry, place.interpreters, place.executor == LOCAL)
        journal = Journal(store.folder)
        self._searches = [
            _Search(study, combination, self._planner, journal) for combination in combinations
        ]
        self._owner: dict[str, _Search] = {}
        self._waiting: set[str] = set()
        self._study, self._name = study, place.name
        self._frameworks = place.registry.frameworks
        self._done = 0

    def run(self) -> None:
        """Until every search has its trials and its scores."""
        for search in self._searches:
            self._hand_out(search)
        while self._waiting:
            for event in self._executor.events():
                self._heard(event)
                for each in one_by_one(event):
                    if isinstance(each, Finished):
                        # A search does not wait for the others.
                        self._hand_out(self._owner[each.run.digest])
        self._write_plan()

    def _heard(self, event: Event) -> None:
        keep(self._store, event)
        for each in one_by_one(event):
            if isinstance(each, Finished):
                self._done += 1
                self._waiting.discard(each.run.digest)
                self._owner[each.run.digest].take(each.result.record)
            self._watch(each, self._done, sum(search.total for search in self._searches))

    def _hand_out(self, search: _Search) -> None:
        """Gives the executor the search's runs that are due; goes on at once with kept records."""
        while due := search.due():
            self._write_plan()
            todo: list[PlannedRun] = []
            for run in due:
                self._owner[run.digest] = search
                if record := self._kept(run):
                    self._done += 1
                    search.take(record)
                elif reason := self._planner.missing(run.spec):
                    self._heard(Finished(run, unfinished(run, "skipped", reason)))
                else:
                    self._waiting.add(run.digest)
                    todo.append(run)
            for job in jobs(todo, self._frameworks) if search.lanes else map(_by_itself, todo):
                self._executor.submit(with_logs(job, self._store))

    def _kept(self, run: PlannedRun) -> RunRecord | None:
        """The record of a run that is over. A failed trial stays failed; scores are tried again."""
        record, is_trial = self._store.kept(run), "trial" in run.spec.variations
        if record is None or record.status in FINAL:
            return record
        return record if is_trial and record.status != "skipped" else None

    def _write_plan(self) -> None:
        digests = tuple(digest for search in self._searches for digest in search.digests)
        study = self._study
        title = f"{' and '.join(study.tasks)}, tuned: {', '.join(study.optimizers)}"
        question = (
            f"What does each optimizer reach with a budget of {study.budget} trials"
            f" ({study.sampler}), and how much better than its default settings is that?"
        )
        plan = PlanFile(suite=self._name, title=title, question=question, digests=digests)
        self._store.write_plan(plan)


def _by_itself(run: PlannedRun) -> Job:
    return Job((run,))


class _Search:
    """One search: hands out the runs that are due, and takes their records."""

    def __init__(
        self, study: StudyFile, combination: Combination, planner: Planner, journal: Journal
    ) -> None:
        self._study, self._combination, self._planner, self._journal = (
            study,
            combination,
            planner,
            journal,
        )
        self._search = combination.search(study)
        self._budget = trials(self._search)
        self._way = study.way(combination.optimizer.name)
        self._asked: dict[int, tuple[dict[str, float], list[PlannedRun]]] = {}
        self._scoring: list[PlannedRun] | None = None
        self._records: dict[str, RunRecord] = {}
        self._begun = {line.trial: line for line in journal.asked if self._is_mine(line)}

    @property
    def lanes(self) -> int:
        """Of the programs that train its runs; 0 for one by one."""
        return self._combination.lanes

    @property
    def total(self) -> int:
        """Number of its runs, as far as it is known."""
        if self._scoring is None:
            return self._budget * self._study.runs_a_trial + 2 * self._study.fresh_seeds
        return len(self._asked) * self._study.runs_a_trial + len(self._scoring)

    @property
    def digests(self) -> Iterator[str]:
        """The digests of all runs handed out, in order, trials first."""
        for _, runs in self._asked.values():
            yield from (run.digest for run in runs)
        yield from (run.digest for run in self._scoring or ())

    def take(self, record: RunRecord) -> None:
        """The outcome of one of its runs."""
        self._records[record.digest] = record

    def due(self) -> list[PlannedRun]:
        """The next batch of trials once the last is over, then the runs that score.

        Empty while it waits for records, and at the end."""
        if self._scoring is not None or any(digest not in self._records for digest in self.digests):
            return []
        ended = self._ended()
        skipped = any(trial.state == "skipped" for trial in ended)
        if len(self._asked) < self._budget and not skipped:
            last = min(self._budget, len(self._asked) + self._study.batch)
            before = told(
                ended,
                higher_is_better(self._combination.task),
                chance_level(self._combination.task),
            )
            numbers = range(len(self._asked), last)
            return [run for number in numbers for run in self._ask(number, before)]
        specs = [] if skipped else self._scores(ended)
        self._scoring = [self._planner.plan(spec) for spec in specs]
        return self._scoring

    def _ask(self, number: int, before: list[Told]) -> list[PlannedRun]:
        """The runs of a trial, new or suggested earlier; `before` grows by it."""
        line = self._begun.get(number)
        settings = dict(line.settings) if line else suggest(self._search, number, before)
        specs = self._combination.trial(self._study, number, settings)
        runs = [self._planner.plan(spec) for spec in specs]
        digests = tuple(run.digest for run in runs)
        if line and line.digests != digests:
            # Versions or sources have changed, and so has what was learnt: ask anew from here on.
            self._begun = {}
            return self._ask(number, before)
        if not line:
            names = ("task", "optimizer", "framework", "fold")
            key = dict(zip(names, self._combination.key, strict=True))
            found = {"trial": number, "way": self._way, "settings": settings, "digests": digests}
            self._journal.write(Suggestion.model_validate(key | found))
        self._asked[number] = settings, runs
        before.append(Told(settings, None, running=True))
        return runs

    def _ended(self) -> list[Trial]:
        return [
            judged(number, settings, [self._records[run.digest] for run in runs])
            for number, (settings, runs) in self._asked.items()
        ]

    def _scores(self, ended: list[Trial]) -> Iterator[RunSpec]:
        best = best_of(ended, higher_is_better(self._combination.task))
        if best is not None:
            yield from self._combination.scoring(self._study, best.settings, "tuned")
        yield from self._combination.scoring(self._study, self._combination.defaults(), "default")

    def _is_mine(self, line: Suggestion) -> bool:
        key = (line.task, line.optimizer, line.framework, line.fold)
        return key == self._combination.key and line.way == self._way
