"""A study: its request, its searches, the runs of a trial, and the journal of suggestions.

<output>/runs/<study>/study.json     the request
<output>/runs/<study>/trials.jsonl   every suggestion, written before it runs, one a line
<output>/runs/<study>/plan.json      and a folder a run, as for a suite: see sweep/store.py
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from .. import data, schedules
from ..errors import UserError
from ..jsonfile import first_problem, read_model, reading, replace_text, writing
from ..optimizer import Optimizer, SearchSpace
from ..plugins.space import RATE, RangeFile
from ..registry import Framework
from ..schedule import Schedule
from ..spec import (
    POPULATION,
    Device,
    Digest,
    Dtype,
    Frozen,
    Name,
    OptimizerName,
    OptimizerSpec,
    RunSpec,
    ScheduleSpec,
    TaskSpec,
    canonical_json,
)
from .samplers import LEARNING, Search

SCHEMA = 1
# Training seeds: trials use those from seed x 10000 on; the scores of tuned and default settings
# use later ones, which took part in no choice.
_BLOCK, _FRESH = 10_000, 5_000

Seeds = Annotated[int, Field(ge=1, le=_FRESH)]


class SpaceFile(Frozen):
    """optimizer.SearchSpace as a file holds it."""

    ranges: dict[str, RangeFile]
    source: str

    @property
    def space(self) -> SearchSpace:
        """The value itself."""
        return SearchSpace({name: kept.range for name, kept in self.ranges.items()}, self.source)

    @classmethod
    def of(cls, space: SearchSpace) -> SpaceFile:
        """Back from `space`."""
        ranges = {name: RangeFile(**asdict(given)) for name, given in space.ranges.items()}
        return cls(ranges=ranges, source=space.source)


class StudyFile(Frozen):
    """The request: a search for every task x optimizer x framework (x outer fold).

    budget: trials of each search. seed: of the search; training seeds are derived from it. seeds:
    training seeds a trial. fresh_seeds: others, for the scores of tuned and default settings.
    batch: trials suggested at once, none knowing how the others end; at least as many as there are
    lanes. lanes: the most of any search, 0 if all runs are trained one by one. steps and batch_size
    replace the tasks' own. nested: (outer, inner) folds."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    tasks: tuple[Name, ...]
    optimizers: tuple[OptimizerName, ...]
    frameworks: tuple[Name, ...]
    sampler: str
    budget: PositiveInt
    seed: NonNegativeInt = 0
    seeds: Seeds = 1
    fresh_seeds: Seeds = 5
    schedule: str = "constant"
    steps: PositiveInt | None = None
    batch_size: PositiveInt | None = None
    batch: PositiveInt = 1
    lanes: NonNegativeInt = 0
    nested: tuple[Annotated[int, Field(ge=2)], Annotated[int, Field(ge=2)]] | None = None
    dtype: Dtype = "float32"
    device: Device = "cpu"
    threads: PositiveInt = 1
    spaces: dict[str, SpaceFile]

    @property
    def runs_a_trial(self) -> int:
        """One a training seed, and of these one an inner fold."""
        return self.seeds * (self.nested[1] if self.nested else 1)

    def trial_seeds(self) -> range:
        """Seeds that trials are trained with."""
        return range(self.seed * _BLOCK, self.seed * _BLOCK + self.seeds)

    def scoring_seeds(self) -> range:
        """Seeds that no trial has had."""
        return range(self.seed * _BLOCK + _FRESH, self.seed * _BLOCK + _FRESH + self.fresh_seeds)

    def way(self, optimizer: str) -> str:
        """12 hex digits that change with whatever changes a suggestion for this optimizer."""
        asked: dict[str, Any] = {
            "sampler": self.sampler,
            "seed": self.seed,
            "space": self.spaces[optimizer].to_json(),
        }
        if self.sampler in LEARNING:
            asked["batch"] = self.batch
        if self.sampler == "grid":
            asked["budget"] = self.budget
        return hashlib.sha256(canonical_json(asked).encode()).hexdigest()[:12]


def read_study(folder: Path) -> StudyFile | None:
    """The study whose runs lie in this folder, or None. UserError if the file is not ours."""
    file, mend = folder / "study.json", "move it away to begin the study anew"
    return read_model(StudyFile, file, SCHEMA, "a gradrace study", mend) if file.exists() else None


def write_study(folder: Path, study: StudyFile) -> None:
    """Replaces study.json."""
    content = study.model_dump(mode="json", by_alias=True)
    with writing(folder):
        replace_text(folder / "study.json", json.dumps(content, indent=1) + "\n")


@dataclass(frozen=True)
class Combination:
    """Task, optimizer, framework and outer fold (None if not nested) of one search.

    known: the schedules by kind. lanes: of the programs that train its runs; 0 for one by one.
    """

    task: TaskSpec
    optimizer: Optimizer
    framework: Framework
    fold: int | None = None
    known: Mapping[str, Schedule] = field(default_factory=lambda: schedules.SCHEDULES)
    lanes: int = 0

    @property
    def key(self) -> tuple[str, str, str, int | None]:
        """Its names within the study."""
        return self.task.name, self.optimizer.name, self.framework.name, self.fold

    def search(self, study: StudyFile) -> Search:
        """The search, for its sampler: if it does not learn, all tasks get the same points."""
        stream = f"{self.optimizer.name}/{self.fold}"
        space, higher = study.spaces[self.optimizer.name].space, higher_is_better(self.task)
        return Search(study.sampler, space, study.budget, study.seed, stream, higher)

    def trial(self, study: StudyFile, number: int, settings: Mapping[str, float]) -> list[RunSpec]:
        """The runs of a trial: one for each training seed, and if nested for each inner fold."""
        parts: Sequence[int | None] = range(study.nested[1]) if study.nested else [None]
        return [
            self._run(study, settings, seed, part, {"trial": number})
            for part in parts
            for seed in study.trial_seeds()
        ]

    def scoring(
        self, study: StudyFile, settings: Mapping[str, float], called: str
    ) -> list[RunSpec]:
        """The runs that score settings: fresh seeds, test data."""
        return [
            self._run(study, settings, seed, None, {"settings": called})
            for seed in study.scoring_seeds()
        ]

    def defaults(self) -> dict[str, float]:
        """The settings that the optimizer's file declares."""
        return {RATE: self.optimizer.learning_rate}

    def _data(self, study: StudyFile, part: int | None) -> str:
        if study.nested is None or self.fold is None:
            return self.task.data
        outer, inner = study.nested
        inside = () if part is None else (inner, part)
        return data.Folds(outer, self.fold, *inside).name(self.task.data)

    def _spec(self, hyper: Mapping[str, float]) -> OptimizerSpec:
        """Under the canonical rule with all hyperparameters; an import path has these alone."""
        name, path = self.optimizer.name, self.optimizer.imported
        if path:
            known = self.optimizer.arguments.get(path.framework, {})
            whole = {key for key, each in known.items() if type(each.default) is int}
            # A class may count with it: 10.0 would not do.
            chosen = {
                key: int(value) if key in whole and value == int(value) else value
                for key, value in hyper.items()
            }
            return OptimizerSpec(name=name, rule="native", hyper=chosen)
        return OptimizerSpec(name=name, hyper=self.optimizer.hypers(hyper))

    def _run(
        self,
        study: StudyFile,
        settings: Mapping[str, float],
        seed: int,
        part: int | None,
        named: dict[str, str | int | float],
    ) -> RunSpec:
        folds = {"fold": self.fold, "part": part}
        named |= {name: number for name, number in folds.items() if number is not None}
        hyper = {name: value for name, value in settings.items() if name != RATE}
        rate = settings.get(RATE, self.optimizer.learning_rate)
        schedule = ScheduleSpec(kind=study.schedule, base_lr=rate)
        return RunSpec(
            task=self.task.model_copy(update={"data": self._data(study, part)}),
            optimizer=self._spec(hyper),
            schedule=schedules.complete(schedule, self.known),
            framework=self.framework.name,
            mode=POPULATION if self.lanes else self.framework.convergence_mode,
            lanes=self.lanes or 1,
            seed=seed,
            dtype=study.dtype,
            device=study.device,
            threads=study.threads,
            variations=named,
        )


def higher_is_better(task: TaskSpec) -> bool:
    """Whether the search follows the validation metric, not the loss (if that is the metric)."""
    return task.metric != "negative_loss"


class Suggestion(Frozen):
    """A line of the journal, with the digests of the runs that try it."""

    task: Name
    optimizer: OptimizerName
    framework: Name
    fold: int | None = None
    trial: NonNegativeInt
    way: str
    settings: dict[str, FiniteFloat]
    digests: tuple[Digest, ...]


class Journal:
    """Suggestions on disk in their order, one JSON line each.

    A last line that a kill cut short is removed: it was never run.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "trials.jsonl"
        with writing(self._file):
            if not self._file.is_symlink():
                self._file.touch()
            with reading(self._file) as opened:
                content = opened.read()
            whole = _whole_lines(content)
            if whole != content:
                with self._file.open("r+b") as opened:
                    opened.truncate(len(whole))
        self.asked = tuple(_suggestions(self._file, whole))

    def write(self, asked: Suggestion) -> None:
        """Adds a line, before anything runs."""
        with writing(self._file), self._file.open("a", encoding="utf-8") as opened:
            opened.write(canonical_json(asked.to_json()) + "\n")


def read_journal(folder: Path) -> bytes:
    """The journal as it lies there, without a last line that was cut short; b"" if there is none.

    UserError: a line is not a suggestion of gradrace."""
    file = folder / "trials.jsonl"
    if not file.is_symlink() and not file.exists():
        return b""
    with reading(file) as opened:
        whole = _whole_lines(opened.read())
    for _ in _suggestions(file, whole):
        pass
    return whole


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def _suggestions(file: Path, content: bytes) -> Iterator[Suggestion]:
    text = content.decode("utf-8", errors="replace")
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        try:
            yield Suggestion.model_validate_json(line)
        except ValidationError as error:
            raise UserError(
                f"{file}, line {number}: not a suggestion of gradrace"
                f" ({first_problem(error)}); move the file away: runs that are finished are"
                " found again"
            ) from None
