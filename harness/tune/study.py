"""What a study is: what was asked (study.json), its searches, the runs of a trial, and the journal
of suggestions.

<output>/runs/<study>/study.json     what was asked
<output>/runs/<study>/trials.jsonl   every suggestion, written before it runs, one line each
<output>/runs/<study>/plan.json      and a folder a run: as of a suite, see store.py
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
    Device,
    Digest,
    Dtype,
    Frozen,
    Name,
    OptimizerSpec,
    RunSpec,
    ScheduleSpec,
    TaskSpec,
    canonical_json,
)
from .samplers import LEARNING, Search

SCHEMA = 1
# Seeds of training: trials use those from seed x 10000 on, tuned and default settings others, so
# that no seed that took part in a choice takes part in the score.
_BLOCK, _FRESH = 10_000, 5_000

Seeds = Annotated[int, Field(ge=1, le=_FRESH)]


class SpaceFile(Frozen):
    """optimizer.SearchSpace as JSON."""

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
    """What was asked: a search for every task x optimizer x framework (x outer fold).

    budget: trials of each search. seed: of the search; training seeds are derived from it. seeds:
    training seeds a trial;
    fresh_seeds: others, on which the tuned and the default settings are run. batch: how many trials
    are suggested at once, each without knowing how the others end. steps and batch_size replace the
    tasks' own. nested: (outer, inner) folds."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    tasks: tuple[Name, ...]
    optimizers: tuple[Name, ...]
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
    """The study whose runs lie in this folder; None where they are of no study. UserError where the
    file is not ours.
    """
    file = folder / "study.json"
    if not file.exists():
        return None
    return read_model(
        StudyFile, file, SCHEMA, "a gradrace study", "move it away to begin the study anew"
    )


def write_study(folder: Path, study: StudyFile) -> None:
    """Replaces study.json."""
    with writing(folder):
        replace_text(
            folder / "study.json",
            json.dumps(study.model_dump(mode="json", by_alias=True), indent=1) + "\n",
        )


@dataclass(frozen=True)
class Combination:
    """One search: what is trained where, and on which outer fold (None without nested
    cross-validation). known: the schedules by kind.
    """

    task: TaskSpec
    optimizer: Optimizer
    framework: Framework
    fold: int | None = None
    known: Mapping[str, Schedule] = field(default_factory=lambda: schedules.SCHEDULES)

    @property
    def key(self) -> tuple[str, str, str, int | None]:
        """Names this cell within its study."""
        return self.task.name, self.optimizer.name, self.framework.name, self.fold

    def search(self, study: StudyFile) -> Search:
        """What its sampler has to know. Frameworks and tasks are searched in the same places, as
        far as nothing is learnt.
        """
        stream = f"{self.optimizer.name}/{self.fold}"
        space = study.spaces[self.optimizer.name].space
        return Search(
            study.sampler, space, study.budget, study.seed, stream, higher_is_better(self.task)
        )

    def trial(self, study: StudyFile, number: int, settings: Mapping[str, float]) -> list[RunSpec]:
        """The runs of a trial: one for each training seed, and with nested cross-validation for
        each inner fold.
        """
        parts: Sequence[int | None] = range(study.nested[1]) if study.nested else [None]
        return [
            self._run(
                study,
                self._data(study, part),
                settings,
                seed,
                {"trial": number, **self._named(part)},
            )
            for part in parts
            for seed in study.trial_seeds()
        ]

    def scoring(
        self, study: StudyFile, settings: Mapping[str, float], called: str
    ) -> list[RunSpec]:
        """The runs that score settings: fresh seeds, test data."""
        place = self._data(study, None)
        return [
            self._run(study, place, settings, s, {"settings": called, **self._named(None)})
            for s in study.scoring_seeds()
        ]

    def defaults(self) -> dict[str, float]:
        """The settings that the optimizer's file declares."""
        return {RATE: self.optimizer.learning_rate}

    def _named(self, part: int | None) -> dict[str, int]:
        return {
            name: value
            for name, value in (("fold", self.fold), ("part", part))
            if value is not None
        }

    def _data(self, study: StudyFile, part: int | None) -> str:
        if study.nested is None or self.fold is None:
            return self.task.data
        outer, inner = study.nested
        folds = (
            data.Folds(outer, self.fold)
            if part is None
            else data.Folds(outer, self.fold, inner, part)
        )
        return folds.name(self.task.data)

    def _run(
        self,
        study: StudyFile,
        data_name: str,
        settings: Mapping[str, float],
        seed: int,
        variations: Mapping[str, int | str],
    ) -> RunSpec:
        hyper = self.optimizer.hypers(
            {name: value for name, value in settings.items() if name != RATE}
        )
        rate = settings.get(RATE, self.optimizer.learning_rate)
        return RunSpec(
            task=self.task.model_copy(update={"data": data_name}),
            optimizer=OptimizerSpec(name=self.optimizer.name, hyper=hyper),
            schedule=schedules.complete(
                ScheduleSpec(kind=study.schedule, base_lr=rate), self.known
            ),
            framework=self.framework.name,
            mode=self.framework.convergence_mode,
            seed=seed,
            dtype=study.dtype,
            device=study.device,
            threads=study.threads,
            variations=dict(variations),
        )


def higher_is_better(task: TaskSpec) -> bool:
    """Whether the validation metric is searched by; else the validation loss, where the metric
    would only repeat it.
    """
    return task.metric != "negative_loss"


class Suggestion(Frozen):
    """A line of the journal: a suggestion, and the digests of the runs that try it."""

    task: Name
    optimizer: Name
    framework: Name
    fold: int | None = None
    trial: NonNegativeInt
    way: str
    settings: dict[str, FiniteFloat]
    digests: tuple[Digest, ...]


class Journal:
    """Suggestions on disk, one JSON line each, in the order in which they were made.

    A last line that a kill cut short is taken away: what was never whole was never run.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "trials.jsonl"
        with writing(self._file):
            if not self._file.is_symlink():
                self._file.touch()
            with reading(self._file) as opened:
                content = opened.read()
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content:
                with self._file.open("r+b") as opened:
                    opened.truncate(len(whole))
        self.asked = tuple(self._read(whole.decode("utf-8", errors="replace")))

    def write(self, asked: Suggestion) -> None:
        """One line, in the file before anything runs."""
        with writing(self._file), self._file.open("a", encoding="utf-8") as opened:
            opened.write(canonical_json(asked.to_json()) + "\n")

    def _read(self, text: str) -> Iterator[Suggestion]:
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
            try:
                yield Suggestion.model_validate_json(line)
            except ValidationError as error:
                raise UserError(
                    f"{self._file}, line {number}: not a suggestion of gradrace"
                    f" ({first_problem(error)}); move the file away: runs that are finished are"
                    " found again"
                ) from None
