"""How often the gate's clocks err here: gates of equal sides, and of a side slowed on purpose.

A gate's launches are kept, and the stop rule is applied to them afterwards under every threshold.
It is replayed launch by launch, by the code that decides real gates (`paired.run.search`) and with
the clock's readings of that time; a gate takes launches until the rule has ended under every
threshold. So each threshold sees exactly what a gate under it would have seen: looks, confirmation,
budget. The thresholds share launches, so their figures are not independent."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, FiniteFloat, model_validator

from ..jsonfile import read_model, replace_text, writing
from ..machine.place import machine_type
from ..paired import Decision, Pair, Side, StopRule
from ..paired.measure import Launch, Launcher, Outcome
from ..paired.processes import Failure
from ..paired.run import MeasuredPair, search
from ..spec import Frozen
from ..sweep import Sweep
from ..turns import turn
from ..version import version
from .timing import pairs

SCHEMA = 1
Watch = Callable[[str], None]


class Gate(Frozen):
    """One gate of one cell. slowdown: the share added to every step of b; 0 for equal sides.

    log_ratios, cpu_log_ratios: of every launch, in order. ended_s: the end of each, in seconds
    since the gate began. decisions: threshold (as text) -> verdict. launches: threshold -> launches
    until that verdict."""

    cell: str
    framework: str
    slowdown: FiniteFloat
    started_at: str
    machine_type: str
    versions: dict[str, str]
    gradrace: str = Field(default_factory=version)
    rule: StopRule
    log_ratios: tuple[float, ...]
    cpu_log_ratios: tuple[float, ...]
    ended_s: tuple[FiniteFloat, ...]
    contended: int
    decisions: dict[str, Decision]
    launches: dict[str, int]
    reason: str = ""

    @model_validator(mode="after")
    def _launches_are_there(self) -> Self:
        """Every verdict has its threshold and its launches."""
        for name, decision in self.decisions.items():
            try:
                good = 0.0 < float(name) < 1.0
            except ValueError:
                good = False
            if not good:
                raise ValueError(f"decisions: {name!r} is no threshold")
            if decision in _SAYING and not 1 <= self.launches.get(name, 0) <= len(self.ended_s):
                raise ValueError(f"launches: threshold {name} has none of {len(self.ended_s)}")
        return self


class CalibrationFile(Frozen):
    """All gates measured so far, oldest first."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    gates: tuple[Gate, ...] = ()


class ErrorRate(NamedTuple):
    """Verdicts of all gates with this slowdown, under this threshold; suspected ones count as
    inconclusive.

    low, high: the 95% interval of the rate of regressions (Clopper & Pearson 1934, exact).
    """

    threshold: float
    slowdown: float
    gates: int
    regressions: int
    improvements: int
    inconclusive: int
    low: float
    high: float
    longest_s: float


def file_in(output: Path) -> Path:
    """The file in a folder of results."""
    return output / "calibration.json"


def read(output: Path) -> CalibrationFile:
    """The gates kept there, or none. UserError names a file that is not ours, or newer."""
    file = file_in(output)
    if not file.exists():
        return CalibrationFile()
    return read_model(CalibrationFile, file, SCHEMA, "a calibration", "move it away")


def add(output: Path, gate: Gate) -> None:
    """Writes one more gate at once: no end of the process loses it."""
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    with turn(file_in(output)), writing(output):
        gates = (*read(output).gates, gate)
        lines = ",\n".join(f"  {json.dumps(each.to_json())}" for each in gates)
        replace_text(file_in(output), f'{{\n "schema": {SCHEMA},\n "gates": [\n{lines}\n ]\n}}\n')


def here(output: Path) -> tuple[Gate, ...]:
    """The gates of this type of machine."""
    return tuple(gate for gate in read(output).gates if gate.machine_type == machine_type())


def calibrate(
    sweep: Sweep,
    gates: int,
    slowdowns: Sequence[float],
    thresholds: Sequence[float],
    rule: StopRule,
    watch: Watch,
) -> None:
    """So many gates of each slowdown, in turn over the timing cells; each is kept as it ends."""
    cells = pairs(sweep)
    side = Side("working tree", sys.executable, plugins=sweep.registry.plugins)
    for number, slowdown in itertools.product(range(gates), slowdowns):
        pair = cells[number % len(cells)]
        sides = f"{slowdown:.0%} slower" if slowdown else "equal sides"
        about = f"gate {number + 1} of {gates}, {pair.name}, {sides}"
        watch(about)
        found = measure(pair, side, slowdown, thresholds, rule, watch)
        add(sweep.options.output, found)
        verdicts = ", ".join(
            f"{verdict} at {float(name):.0%}" for name, verdict in found.decisions.items()
        )
        watch(f"{about}: {found.reason or verdicts}, {found.ended_s[-1]:.0f} s")


def measure(
    pair: Pair,
    side: Side,
    slowdown: float,
    thresholds: Sequence[float],
    rule: StopRule,
    watch: Watch,
) -> Gate:
    """One gate of `side` against itself, b slowed down by that share of a step.

    Each threshold replaces rule.threshold and has the whole budget for itself."""
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    slowed = replace(side, label=f"{side.label}, slowed", slowdown=slowdown)
    launcher = Launcher([pair], side, slowed, rule.pairs)
    outcomes, ended, found = _launch_until_decided(
        lambda: launcher([0])[0], thresholds, rule, watch
    )
    launches = [outcome for outcome in outcomes if isinstance(outcome, Launch)]
    failure = next((outcome.reason for outcome in outcomes if isinstance(outcome, Failure)), "")
    return Gate(
        cell=pair.name,
        framework=pair.a.framework,
        slowdown=slowdown,
        started_at=started,
        machine_type=machine_type(pair.a.device),
        versions=launcher.versions[0],
        rule=rule,
        log_ratios=tuple(launch.log_ratio for launch in launches),
        cpu_log_ratios=tuple(launch.cpu_log_ratio for launch in launches),
        ended_s=tuple(ended),
        contended=sum(launch.contended for launch in launches),
        decisions={_name(each): replayed.pair.decision for each, replayed in found.items()},
        launches={_name(each): replayed.launches for each, replayed in found.items()},
        reason=failure,
    )


class Replayed(NamedTuple):
    """The pair at the end of the rule, and the launches taken until then."""

    pair: MeasuredPair
    launches: int


class _OutOfLaunches(Exception):
    """The rule wants another launch than there are."""


def replay(
    outcomes: Sequence[Outcome], ended_s: Sequence[float], rule: StopRule
) -> Replayed | None:
    """The rule applied to these launches of one pair; None if it wants more of them.

    ended_s: the end of each launch, in seconds since the gate began."""
    taken = 0

    def launch(_: Sequence[int]) -> Mapping[int, Outcome]:
        nonlocal taken
        if taken == len(outcomes):
            raise _OutOfLaunches
        taken += 1
        return {0: outcomes[taken - 1]}

    try:
        (pair,) = search(1, launch, rule, clock=lambda: ended_s[taken - 1] if taken else 0.0)
    except _OutOfLaunches:
        return None
    return Replayed(pair, taken)


def _launch_until_decided(
    launch: Callable[[], Outcome], thresholds: Sequence[float], rule: StopRule, watch: Watch
) -> tuple[list[Outcome], list[float], dict[float, Replayed]]:
    outcomes: list[Outcome] = []
    ended: list[float] = []
    found: dict[float, Replayed] = {}
    began = time.monotonic()
    while len(found) < len(thresholds):
        watch(f"launch {len(outcomes) + 1}")
        outcomes.append(launch())
        ended.append(time.monotonic() - began)
        for threshold in thresholds:
            if threshold in found:
                continue
            at = replay(outcomes, ended, rule.model_copy(update={"threshold": threshold}))
            found |= {threshold: at} if at else {}
    return outcomes, ended, found


def rates(gates: Sequence[Gate]) -> list[ErrorRate]:
    """One for each threshold and slowdown. Gates with a failed side are left out."""
    pairs = sorted({(float(t), gate.slowdown) for gate in gates for t in gate.decisions})
    found = (_rate(gates, threshold, slowdown) for threshold, slowdown in pairs)
    return [rate for rate in found if rate]


def _rate(gates: Sequence[Gate], threshold: float, slowdown: float) -> ErrorRate | None:
    from ..statistics.aggregates import share_of_runs

    name, alike = _name(threshold), [gate for gate in gates if gate.slowdown == slowdown]
    own = [gate for gate in alike if gate.decisions.get(name) in _SAYING]
    if not own:
        return None
    counts = Counter(gate.decisions[name] for gate in own)
    slower, faster = counts["regression"], counts["improvement"]
    unsure = counts["inconclusive"] + counts["suspected"]
    _, low, high, _ = share_of_runs(slower, len(own))
    longest = max(gate.ended_s[gate.launches[name] - 1] for gate in own)
    return ErrorRate(threshold, slowdown, len(own), slower, faster, unsure, low, high, longest)


_SAYING: tuple[Decision, ...] = ("regression", "improvement", "inconclusive", "suspected", "ok")


def quoted(output: Path, threshold: float) -> str:
    """A gate's reliability on this type of machine, at the nearest threshold that was measured."""
    gates = here(output)
    known = sorted({rate.threshold for rate in rates(gates)}, key=lambda t: abs(t - threshold))
    if not known:
        return (
            "not calibrated on this type of machine: `gradrace calibrate` measures false alarms and"
            " power"
        )
    said = "; ".join(_sentence(rate) for rate in rates(gates) if rate.threshold == known[0])
    first, last = (gate.started_at[:10] for gate in (gates[0], gates[-1]))
    return f"{said}; threshold {known[0]:.0%}, measured {first} to {last}"


def _sentence(rate: ErrorRate) -> str:
    if rate.slowdown == 0:
        alarms = "1 false alarm" if rate.regressions == 1 else f"{rate.regressions} false alarms"
        return (
            f"{alarms} in {rate.gates} A/A gates of one cell (95% interval of the rate"
            f" {rate.low:.1%} to {rate.high:.1%})"
        )
    return f"{rate.slowdown:.0%} slower found in {rate.regressions} of {rate.gates}"


def rows(found: Sequence[ErrorRate]) -> list[dict[str, Any]]:
    """Rows of a table."""
    return [
        {
            "threshold": f"{rate.threshold:.0%}",
            "b is slower by": f"{rate.slowdown:.0%}" if rate.slowdown else "nothing (A/A)",
            "gates": rate.gates,
            "called a regression": rate.regressions,
            "rate [95%]": f"{rate.regressions / rate.gates:.1%} [{rate.low:.1%}, {rate.high:.1%}]",
            "called an improvement": rate.improvements,
            "inconclusive": rate.inconclusive,
            "longest gate": f"{rate.longest_s:.0f} s",
        }
        for rate in found
    ]


def _name(threshold: float) -> str:
    return f"{threshold:g}"
