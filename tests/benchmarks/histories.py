"""How often steps and drift are found in made-up histories, and how often clean ones are flagged.

    python tests/benchmarks/histories.py [--histories 100] [--cells 12] [--nights 60]
        [--rho 0] [--noise FILE] [--every-night | --power] [--seed 20261128]

Each history is a page of cells whose nights vary as tests/helpers/made_nights.py says, or, with
--noise, as in a file of nights.py: launches are drawn from real nights of real pairs. Then one cell
is changed. Prints a row a change: in how many histories it was found in this cell, as what, how far
its place is off, how often the 95% limits hold the true size, and in how many histories another
cell was flagged. --every-night looks at the page from the eighth night on, every night, and counts
clean histories that are ever flagged. --power prints how often changes of several sizes are found
if nights are normal and 1% apart. Nothing is asserted.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from gradrace.history.detect import FEWEST_NIGHTS, Change
from gradrace.history.detect.search import detect
from made_nights import Nights, level, noise, page

# name -> what made_nights.level adds: kind, size, and begin and end as shares of the nights.
CHANGES = {
    "nothing": ("clean", 0.0, 0.0, 0.0),
    "drift of 10% in ten steps of 1%": ("stairs", 0.10, 0.0, 0.0),
    "drift of 5% in ten steps of 0.5%": ("stairs", 0.05, 0.0, 0.0),
    "drift of 10% in a sixth of the nights": ("ramp", 0.10, 0.4, 0.57),
    "step of 5%": ("step", 0.05, 0.6, 0.0),
    "step of 5% five nights ago": ("step", 0.05, -5.0, 0.0),
    "step of 2%": ("step", 0.02, 0.5, 0.0),
    "5% for ten nights": ("bump", 0.05, 0.5, 0.67),
}
Make = Callable[[np.random.Generator], Nights]


def maker(given: Namespace) -> Make:
    """A function that draws one cell's nights."""
    if given.noise is None:
        return lambda rng: noise(rng, given.nights, given.rho)
    nights = [json.loads(line)["cells"] for line in given.noise.read_text().splitlines()]

    def drawn(rng: np.random.Generator) -> Nights:
        cell = rng.choice(sorted(nights[0]))
        chosen = [np.array(nights[n][cell]) for n in rng.integers(len(nights), size=given.nights)]
        # Which side is slower is chance: a night and its mirror image are as likely.
        signs = rng.choice([-1.0, 1.0], given.nights)
        values = np.array([each.mean() for each in chosen]) * signs
        return values, np.array([each.std(ddof=1) / np.sqrt(len(each)) for each in chosen])

    return drawn


def pages(given: Namespace, make: Make) -> Iterator[list[Nights]]:
    """Clean histories, the same for every change."""
    rng = np.random.default_rng(given.seed)
    for _ in range(given.histories):
        yield [make(rng) for _ in range(given.cells)]


def added(change: tuple[str, float, float, float], nights: int) -> np.ndarray:
    """To the log ratios of the first cell."""
    kind, size, begin, end = change
    first = nights + int(begin) if begin < 0 else round(begin * nights)
    return level(nights, kind, size, first, round(end * nights))


def row(name: str, given: Namespace, make: Make) -> str:
    """A line of the table."""
    change = added(CHANGES[name], given.nights)
    kinds, other, off, held = Counter[str](), 0, list[int](), Counter[bool]()
    for cells in pages(given, make):
        values, errors = cells[0]
        found = detect(page([(values + change, errors), *cells[1:]]))
        mine = [each for each in found if each.series == 0]
        other += len(mine) < len(found)
        kinds[" and ".join(each.kind for each in mine) or "not found"] += 1
        if len(mine) == 1 and change.any():
            off.append(_off(mine[0], change))
            held[mine[0].low <= np.exp(change[-1]) <= mine[0].high] += 1
    lost = kinds.pop("not found", 0)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
    place = f"{np.median(off):g} ({np.quantile(off, 0.9):g})" if off else ""
    limits = f"{held[True]} of {held.total()}" if held else ""
    hits = given.histories - lost
    return f"| {name} | {hits} | {told} | {place} | {limits} | {other} |"


def _off(found: Change, change: np.ndarray) -> int:
    """Nights between the middle of the change and that of what was found."""
    middle = int(np.argmax(np.abs(change) >= np.abs(change[-1]) / 2))
    return abs(round((found.first + found.last + 1) / 2) - middle)


def ever_flagged(given: Namespace, make: Make) -> int:
    """Clean histories that are flagged at any night."""
    return sum(
        any(
            detect(page([(values[:night], errors[:night]) for values, errors in cells]))
            for night in range(FEWEST_NIGHTS, given.nights + 1)
        )
        for cells in pages(given, make)
    )


# Kind, last nights that are changed (0: ten steps over all nights), sizes.
POWER = {
    "step in the middle": ("step", 30, (0.014, 0.016, 0.018, 0.020)),
    "step five nights ago": ("step", 5, (0.025, 0.030, 0.035, 0.040)),
    "ten equal steps": ("stairs", 0, (0.025, 0.030, 0.035, 0.040)),
}


def power(given: Namespace) -> None:
    """Prints how often each size is found in the one cell that changes."""

    def make(rng: np.random.Generator) -> Nights:
        return rng.normal(0.0, 0.01, given.nights), np.full(given.nights, np.nan)

    for name, (kind, last, sizes) in POWER.items():
        for size in sizes:
            change = level(given.nights, kind, size, given.nights - last)
            hits = 0
            for cells in pages(given, make):
                changed = (cells[0][0] + change, cells[0][1])
                found = detect(page([changed, *cells[1:]]))
                hits += any(each.series == 0 for each in found)
            print(f"{name}, {size:.1%}: found in {hits} of {given.histories}", flush=True)


def main() -> None:
    """Prints the table, or the figures of --every-night or --power."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=100)
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--rho", type=float, default=0.0, help="from one night to the next")
    parser.add_argument("--noise", type=Path, help="a file of nights.py")
    parser.add_argument("--every-night", action="store_true")
    parser.add_argument("--power", action="store_true")
    parser.add_argument("--seed", type=int, default=20261128)
    given = parser.parse_args()
    make = maker(given)
    if given.every_night:
        print(f"{ever_flagged(given, make)} of {given.histories} clean histories were ever flagged")
        return
    if given.power:
        power(given)
        return
    print("| Change | Found | As | Nights off: median (90%) | Limits hold the size | Others |")
    print("|---|---|---|---|---|---|")
    for name in CHANGES:
        print(row(name, given, make), flush=True)


if __name__ == "__main__":
    main()
