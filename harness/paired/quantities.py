"""The quantities that can be compared: how launches of each are taken, and what must not go
unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, get_args

from ..errors import ExitCode, UserError, nearest
from ..machine.energy import Counter, Meter, find
from ..spec import Device
from . import Pair, Quantity, Side, StopRule, fresh
from .measure import BLOCK_S, BlockRule, Launcher, Outcome

QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
# The change that must not go unnoticed, if the user names none (docs/ci.md has the reasons).
THRESHOLDS: Mapping[Quantity, float] = {
    "step": 0.05,
    "first_call": 0.1,
    "memory": 0.05,
    "energy": 0.05,
}
# A block is this many ticks of the counter of energy: a tick at either end is then 1%.
_TICKS = 100
# If ticks are long (a GPU's): seconds of a block at most, and of all blocks of a side in a launch.
_LONGEST_BLOCK_S, _LONGEST_LAUNCH_S = 2.0, 8.0
_FEWEST_BLOCKS = 4
# Both sides hold the GPU.
_HOLDERS = 2

# The counter of a device, or the reason why there is none.
Find = Callable[[Device], Counter | str]


def quantity_of(text: str) -> Quantity:
    """The quantity of this name, as --measure takes it. UserError if there is none."""
    for quantity in QUANTITIES:
        if quantity == text:
            return quantity
    known = ", ".join(QUANTITIES)
    raise UserError(f"--measure {text}: choose one of {known}{nearest(text, QUANTITIES)}")


class Launches(Protocol):
    """Takes launches of pairs, by index; `versions` of both sides are known after the first."""

    versions: tuple[dict[str, str], dict[str, str]]

    def __call__(self, cells: Sequence[int]) -> Mapping[int, Outcome]: ...


def launcher(
    quantity: Quantity,
    pairs: Sequence[Pair],
    sides: tuple[Side, Side],
    rule: StopRule,
    breakdown: bool = False,
) -> Launches:
    """What takes launches of this quantity. breakdown: also the parts of a step, of steps alone.

    UserError: too few cores. Exit code 3: energy of a device that has no counter here."""
    match quantity:
        case "first_call":
            return fresh.FreshLauncher(pairs, *sides, fresh.first_call, thrown_away=1)
        case "memory":
            return fresh.FreshLauncher(pairs, *sides, fresh.memory)
        case "energy":
            return _of_energy(pairs, sides, rule)
    return Launcher(pairs, *sides, rule.pairs, breakdown)


def check(quantity: Quantity, pairs: Sequence[Pair], counter: Find | None = None) -> None:
    """UserError (exit code 3) if this machine cannot measure the quantity for one of the pairs."""
    if quantity == "energy":
        _counters(pairs, counter or _counter)


def _of_energy(
    pairs: Sequence[Pair], sides: tuple[Side, Side], rule: StopRule, counter: Find | None = None
) -> Launcher:
    counters = _counters(pairs, counter or _counter)
    ticks = max(found.tick_s for found in counters.values())
    block_s = max(BLOCK_S, min(_TICKS * ticks, _LONGEST_BLOCK_S))
    blocks = max(_FEWEST_BLOCKS, min(rule.pairs, int(_LONGEST_LAUNCH_S / block_s)))
    # Blocks are longer than those that are timed, and so is their table of batches.
    long = BlockRule(block_s, most_steps=400_000, most_entries=2**24)
    joules = {device: partial(Meter, found) for device, found in counters.items()}
    return Launcher(pairs, *sides, blocks, rule=long, joules=lambda device: joules[device]())


def _counters(pairs: Sequence[Pair], counter: Find) -> dict[Device, Counter]:
    """By device. UserError (exit code 3) for one without a counter."""
    found: dict[Device, Counter] = {}
    for device in dict.fromkeys(run.device for pair in pairs for run in (pair.a, pair.b)):
        counts = counter(device)
        if isinstance(counts, str):
            raise UserError(
                f"--measure energy: the energy of the {device} cannot be measured here: {counts}",
                ExitCode.NOTHING_MEASURED,
            )
        found[device] = counts
    return found


def _counter(device: Device) -> Counter | str:
    return find(device, holders=_HOLDERS)
