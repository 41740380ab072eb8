"""A suite as benchmarks of asv's: their parameters, versions and results."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ...errors import UserError
from ...machine.identity import identity
from ...spec import Measure, RunSpec, hyper_text
from ..frame import Frames
from .tracks import FIGURES, Track, mode_of, tracks, version

# (benchmark, asv's BenchmarkResult, when it began in UTC, seconds it took)
Result = tuple[Mapping[str, Any], Any, datetime, float]


class Axis(NamedTuple):
    """A parameter of asv's benchmarks."""

    name: str
    of: Callable[[RunSpec], str]


class Benchmarks:
    """The figures of a suite as benchmarks `gradrace.<suite>.<figure>`: name -> description.

    scattered: how many cells have no figures, since several machines trained them: a median over
    the seeds of one would be another figure under the same name."""

    def __init__(self, frames: Frames, suite: str) -> None:
        self._frames = frames
        digests = frames.plans[suite].digests
        planned = [frames.records[digest] for digest in digests if digest in frames.records]
        self._specs = {record.digest: record.spec for record in planned}
        # Of no environment: every environment's cells lack them.
        self._skipped = {record.digest for record in planned if record.status == "skipped"}
        measures = {spec.measure for spec in self._specs.values()}
        self._axes = {measure: self._axes_of(measure) for measure in measures}
        names = [name for name, figure in FIGURES.items() if figure.measure in measures]
        self._names = {f"gradrace.{suite}.{name}": name for name in names}
        self._scattered, self.scattered = self._trained_apart()
        self.described = {full: self._describe(full, name) for full, name in self._names.items()}

    def results(self, members: set[str]) -> Iterator[Result]:
        """The results of the runs with these digests."""
        shown = members | self._skipped
        for full, name in self._names.items():
            benchmark, measure = self.described[full], FIGURES[name].measure
            specs = {d: s for d, s in self._of(measure) if d in shown - self._scattered}
            records = [self._frames.records[digest] for digest in specs if digest in members]
            if records:
                found = tracks(specs, self._frames, self._key(measure))[name]
                began = min(datetime.fromisoformat(record.started_at) for record in records)
                seconds = sum(record.wall_s for record in records)
                yield benchmark, _result(benchmark["params"], found), began, seconds

    def _trained_apart(self) -> tuple[set[str], int]:
        """The training runs of cells that several machines trained, and how many cells these
        are."""
        if "convergence" not in self._axes:
            return set(), 0
        cells = defaultdict[Hashable, list[str]](list)
        for digest, spec in self._of("convergence"):
            if digest not in self._skipped:
                cells[self._key("convergence")(spec), spec.device, spec.threads].append(digest)
        records = self._frames.records
        apart = [
            cell for cell in cells.values() if len({identity(records[d]).whole for d in cell}) > 1
        ]
        return {digest for cell in apart for digest in cell}, len(apart)

    def _of(self, measure: Measure) -> list[tuple[str, RunSpec]]:
        return [(digest, spec) for digest, spec in self._specs.items() if spec.measure == measure]

    def _axes_of(self, measure: Measure) -> tuple[Axis, ...]:
        """Task, framework with mode, and optimizer; schedules, variations and whatever else tells
        two cells apart. UserError if nothing that is known here does."""
        specs = [spec for _, spec in self._of(measure)]
        axes = _ALWAYS
        if len({(*_values(axes, s), s.schedule.label) for s in specs}) > len(
            {_values(axes, s) for s in specs}
        ):
            axes = (*axes, Axis("schedule", lambda spec: spec.schedule.label))
        if any(_variation(spec) for spec in specs):
            axes = (*axes, Axis("variation", _variation))
        for axis in _FURTHER:
            if any(len({axis.of(spec) for spec in alike}) > 1 for alike in _sharing(axes, specs)):
                axes = (*axes, axis)
        for one, other in (alike[:2] for alike in _sharing(axes, specs)):
            raise UserError(
                f"asv would have one cell for two: {one.id} and {other.id}; export their suites"
                " apart"
            )
        return axes

    def _key(self, measure: Measure) -> Callable[[RunSpec], tuple[str, ...]]:
        return lambda spec: tuple(repr(value) for value in _values(self._axes[measure], spec))

    def _describe(self, full: str, name: str) -> dict[str, Any]:
        figure = FIGURES[name]
        specs = [spec for _, spec in self._of(figure.measure)]
        axes = self._axes[figure.measure]
        return {
            "name": full,
            "pretty_name": f"{full} ({figure.title})",
            "code": figure.text,
            "type": "track",
            "unit": figure.unit,
            "version": version(figure, specs),
            "param_names": [axis.name for axis in axes],
            "params": [list(dict.fromkeys(repr(axis.of(spec)) for spec in specs)) for axis in axes],
            "setup_cache_key": None,
            "timeout": None,
        }


def _hyper(spec: RunSpec) -> str:
    return ",".join(f"{k}={hyper_text(v)}" for k, v in spec.optimizer.hyper.items())


_ALWAYS: tuple[Axis, ...] = (
    Axis("task", lambda spec: spec.task.name),
    Axis("mode", mode_of),
    Axis("optimizer", lambda spec: spec.optimizer.name),
)
# Tried in this order if cells share their parameters otherwise.
_FURTHER = (
    Axis("rule", lambda spec: spec.optimizer.rule),
    Axis("hyper", _hyper),
    Axis("batch_size", lambda spec: str(spec.task.batch_size)),
    Axis("dtype", lambda spec: spec.dtype),
    Axis("input", lambda spec: spec.input),
)


def _sharing(axes: Sequence[Axis], specs: Iterable[RunSpec]) -> list[list[RunSpec]]:
    """A spec each of two or more cells that share all these parameters and one environment."""
    found: dict[tuple[object, ...], dict[str, RunSpec]] = {}
    for spec in specs:
        cell = spec.model_copy(update={"seed": 0, "launch": 0, "variations": {}})
        alike = found.setdefault((*_values(axes, spec), spec.device, spec.threads), {})
        alike.setdefault(cell.model_dump_json(), spec)
    return [list(alike.values()) for alike in found.values() if len(alike) > 1]


def _values(axes: Iterable[Axis], spec: RunSpec) -> tuple[str, ...]:
    return tuple(axis.of(spec) for axis in axes)


def _variation(spec: RunSpec) -> str:
    """The run's variations, without those that are part of the environment."""
    varied = spec.variations.items()
    return ",".join(f"{key}={of}" for key, of in varied if key not in ("device", "threads"))


def _result(params: Sequence[Sequence[str]], found: Mapping[tuple[str, ...], Track]) -> Any:
    """One value a combination of parameters: a number, NaN for skipped, None for failed; samples
    if there are any."""
    from asv.runner import BenchmarkResult

    row = [found.get(key, Track("skipped")) for key in itertools.product(*params)]
    samples = [list(of.value) if isinstance(of.value, tuple) else None for of in row]
    counts = [1 if sample else None for sample in samples]
    return BenchmarkResult([_value(of) for of in row], samples, counts, 0, "", None)


def _value(of: Track) -> float | None:
    """asv takes the median of samples itself: in their place a number must only not be missing."""
    if of.status == "failed":
        return None
    return 0.0 if isinstance(of.value, tuple) else of.value
