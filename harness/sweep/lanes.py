"""Which runs are trained many at once, a lane each, and in programs of how many lanes.

A program's number of lanes is part of a run's specification, as it may change the last bits. So it
follows from the suite and the machine alone, never from the runs that happen to be left to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, FiniteFloat, PositiveInt

from .. import limits
from ..errors import UserError
from ..jsonfile import read_model, replace_text, writing
from ..machine import gpu_properties
from ..machine.place import machine_type
from ..spec import POPULATION, Frozen, RunSpec
from ..strict import given
from ..turns import turn
from ..worker.memory import lane_bytes
from .jobs import shape

# auto, off, or a number of lanes
Population = str | int

# With fewer runs of one shape, compiling a program for many costs more than it saves.
LEAST_RUNS = 8
# On an H100, 1,024 small configurations take .30 ms each in 1,024 lanes and .41 ms in 128: more
# lanes gain little, and wait longer for the last run of a sweep.
MOST_LANES = 128
# Of a device's memory for one program. The rest is for data, compilers and other workers.
_MEMORY_SHARE = 0.5
# Lanes pay on a CPU if they take this share of the time of single runs, or less.
_PAYS = 0.9


class Measured(Frozen):
    """How long runs of one shape took in lanes, as a share of their time one by one.

    task, optimizer: of one of these runs, for people."""

    machine_type: str
    framework: str
    shape: str
    task: str
    optimizer: str
    lanes: PositiveInt
    runs: PositiveInt
    share: FiniteFloat = Field(gt=0.0)

    @property
    def of(self) -> tuple[str, str]:
        """What was measured: the machine's type and the shape."""
        return self.machine_type, self.shape

    @property
    def pays(self) -> bool:
        """Whether `auto` takes the lanes."""
        return self.share <= _PAYS


class MeasuredFile(Frozen):
    """All that was measured in this folder of results, on any machine; the latest counts."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    measured: tuple[Measured, ...] = ()


def check_population(choice: object) -> None:
    """UserError unless it is auto, off or a number of lanes."""
    if choice in ("auto", "off"):
        return
    if isinstance(choice, int) and not isinstance(choice, bool) and 1 <= choice <= limits.LANES:
        return
    raise UserError(
        f"--population {given(choice)}: expected auto, off, or a number of lanes from 1 to"
        f" {limits.LANES}"
    )


def in_lanes(
    specs: Sequence[RunSpec], choice: Population, single_modes: Mapping[str, str], output: Path
) -> tuple[RunSpec, ...]:
    """The runs, with those in mode `population` that are to be trained in lanes.

    single_modes: framework -> the mode that trains its runs one by one; other modes were asked for
    and stay."""
    if choice == "off":
        return tuple(specs)
    able = [spec for spec in specs if _can_share(spec, single_modes)]
    lanes_of = _chosen(able, output) if choice == "auto" else lambda spec: int(choice)
    found = {id(spec): lanes_of(spec) for spec in able}
    return tuple(_spread(spec, found.get(id(spec), 0)) for spec in specs)


def read_measured(output: Path) -> MeasuredFile:
    """What was measured in this folder of results; nothing if there is no such file."""
    file = output / "lanes.json"
    if not file.exists():
        return MeasuredFile()
    return read_model(MeasuredFile, file, 1, "gradrace's times of lanes", "remove it")


def add_measured(output: Path, found: Measured) -> None:
    """Keeps a measurement in place of an earlier one of the same machine and shape."""
    _change(output, lambda kept: (*(each for each in kept if each.of != found.of), found))


def complete_measured(output: Path, more: Sequence[Measured]) -> None:
    """Adds those of machines and shapes that the folder lacks; the first of several counts."""

    def added(kept: Sequence[Measured]) -> tuple[Measured, ...]:
        found = {each.of: each for each in reversed([*kept, *more])}
        return tuple(reversed(found.values()))

    _change(output, added)


def _change(output: Path, change: Callable[[Sequence[Measured]], tuple[Measured, ...]]) -> None:
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    with turn(output / "lanes.json"):
        found = MeasuredFile(measured=change(read_measured(output).measured))
        with writing(output):
            replace_text(
                output / "lanes.json", found.model_dump_json(by_alias=True, indent=1) + "\n"
            )


def _can_share(spec: RunSpec, single_modes: Mapping[str, str]) -> bool:
    trained = spec.measure == "convergence" and spec.mode == single_modes[spec.framework]
    alone = spec.diagnose or spec.optimizer.groups
    return trained and spec.input == "resident" and not alone


def _spread(spec: RunSpec, lanes: int) -> RunSpec:
    return spec.model_copy(update={"mode": POPULATION, "lanes": lanes}) if lanes else spec


def _chosen(specs: Sequence[RunSpec], output: Path) -> Callable[[RunSpec], int]:
    """The lanes of a run under `auto`; 0 to train it by itself."""
    on_cpu, on_gpu = _paying(output), any(spec.device == "gpu" for spec in specs)
    if not on_cpu and not on_gpu:
        return lambda spec: 0
    shapes = {id(spec): shape(spec) for spec in specs}
    counts = Counter(shapes.values())
    device_bytes = int(_gpu_bytes() * _MEMORY_SHARE) if on_gpu else 0

    def lanes(spec: RunSpec) -> int:
        own = shapes[id(spec)]
        if counts[own] < LEAST_RUNS:
            return 0
        return on_cpu.get(own, 0) if spec.device == "cpu" else lanes_that_fit(spec, device_bytes)

    return lanes


def _paying(output: Path) -> dict[str, int]:
    """Shape -> lanes, if it was measured on a machine of this type that they pay."""
    measured, here = read_measured(output).measured, machine_type()
    paying = (each for each in measured if each.machine_type == here and each.pays)
    return {each.shape: each.lanes for each in paying}


def lanes_that_fit(spec: RunSpec, device_bytes: int) -> int:
    """The largest power of two of lanes that fit into this memory, by an estimate on the safe side.

    0 if those are too few to be worth it; MOST_LANES if they are more."""
    fitting = min(MOST_LANES, device_bytes // lane_bytes(spec))
    lanes = 1 << max(0, fitting.bit_length() - 1)
    return lanes if lanes >= LEAST_RUNS else 0


def _gpu_bytes() -> int:
    """The memory of the smallest GPU; 0 if that is not known."""
    mebibytes = [row[0] for row in gpu_properties("memory.total")]
    return min((int(text) for text in mebibytes if text.isdigit()), default=0) << 20
