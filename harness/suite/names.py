"""Names that tell the runs of a suite apart; a run's identity is its specification."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import UserError
from ..spec import RunSpec, TaskSpec, hyper_text
from .variations import VARIATIONS

Setting = str | int | float
# Keys of a suite with several values that a run's id does not hold otherwise.
_FIELDS: Mapping[str, Callable[[RunSpec], Setting]] = {
    "device": lambda run: run.device,
    "dtype": lambda run: run.dtype,
    "threads": lambda run: run.threads,
    "batch_size": lambda run: run.task.batch_size,
    "train_fraction": lambda run: run.task.train_fraction,
}
# Names with another meaning in `RunSpec.variations`: a hyperparameter so called gets a prefix.
_TAKEN = {*_FIELDS, *VARIATIONS, "input", "groups", "draw", "trial", "settings", "fold", "part"}


def told_apart(runs: Iterable[RunSpec], file: str) -> tuple[RunSpec, ...]:
    """The runs, each once and in order, with `variations` that make their ids unique.

    A setting with several values over the runs of one task and optimizer is named in all of them.
    UserError names `file` and two different runs that cannot be told apart."""
    distinct = _distinct(runs)
    varied = _varied(distinct)
    return _checked([_named(run, varied[_group(run)]) for run in distinct], file)


def _distinct(runs: Iterable[RunSpec]) -> list[RunSpec]:
    """Without repetitions, whatever their names: 64 and [64] are the same hidden size."""
    # Thousands of runs share one task, most of their text. It is kept: its id must stay its own.
    tasks: dict[int, tuple[TaskSpec, str]] = {}
    kept: dict[tuple[str, str], RunSpec] = {}
    for run in runs:
        if id(run.task) not in tasks:
            tasks[id(run.task)] = run.task, run.task.model_dump_json()
        text = run.model_dump_json(exclude={"task", "variations"})
        kept.setdefault((tasks[id(run.task)][1], text), run)
    return list(kept.values())


def _group(run: RunSpec) -> Hashable:
    """The runs among which several values are named; a search's draws are named by number."""
    optimizer = run.optimizer
    return run.measure, run.task.name, optimizer.name, optimizer.rule, run.variations.get("draw")


def _varied(runs: Sequence[RunSpec]) -> Mapping[Hashable, list[str]]:
    """Group -> keys of `_values` that have several values in it, or that some of its runs lack."""
    seen: dict[Hashable, dict[str, list[Setting]]] = defaultdict(lambda: defaultdict(list))
    count = Counter(map(_group, runs))
    for run in runs:
        for key, value in _values(run):
            seen[_group(run)][key].append(value)
    return {
        group: [k for k, values in of.items() if len(set(values)) > 1 or len(values) < count[group]]
        for group, of in seen.items()
    }


def _values(run: RunSpec) -> Iterator[tuple[str, Setting]]:
    for name, field in _FIELDS.items():
        yield name, field(run)
    for name, value in run.optimizer.hyper.items():
        yield f"hyper.{name}", hyper_text(value) if isinstance(value, tuple | bool) else value


def _named(run: RunSpec, varied: Sequence[str]) -> RunSpec:
    """The run with these values among its variations, unless they say them already."""
    values, names = dict(_values(run)), dict(run.variations)
    for key in (key for key in varied if key in values):
        short = key.removeprefix("hyper.")
        names[short if key in _FIELDS or short not in _TAKEN else key] = values[key]
    return run if names == run.variations else run.model_copy(update={"variations": names})


def _checked(runs: list[RunSpec], file: str) -> tuple[RunSpec, ...]:
    known: dict[str, RunSpec] = {}
    for run in runs:
        other = known.setdefault(run.id, run)
        if other is not run:
            raise UserError(
                f"{file}: two different runs have the same name, {run.id}:"
                f" {_difference(other, run)}; give them in two suites"
            )
    return tuple(runs)


def _difference(a: RunSpec, b: RunSpec) -> str:
    """The first difference: 'optimizer.hyper.beta1 is 0.8 in one and 0.9 in the other'."""
    one, other = _flat(a.to_json()), _flat(b.to_json())
    key = next((key for key in [*one, *other] if one.get(key) != other.get(key)), "variations")
    return f"{key} is {one.get(key)!r} in one and {other.get(key)!r} in the other"


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {key: value}
    inner = (_flat(part, f"{key}.{name}".lstrip(".")) for name, part in value.items())
    return {place: each for found in inner for place, each in found.items()}
