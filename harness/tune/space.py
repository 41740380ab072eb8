"""Search spaces: published, changed by the user, and mapped to coordinates and grids."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from .. import limits
from ..errors import UserError, nearest
from ..importpath import ImportPath, is_import_path
from ..jsonfile import first_problem, read_text
from ..optimizer import Optimizer, Range, SearchSpace
from ..plugins.space import RATE, RangeFile, at, check, free, limits_of, published, turned

_FORM = (
    "NAME=LOW..HIGH[,log][,below_one] or NAME=VALUE, joined by ';', such as"
    " 'learning_rate=1e-4..1e-1,log;beta1=0.9'"
)


def spaces_of(optimizers: Iterable[Optimizer], changes: Iterable[str]) -> dict[str, SearchSpace]:
    """By optimizer, the space with the user's changes, checked.

    A change is NAME=LOW..HIGH[,log][,below_one], or NAME=VALUE, which fixes it; ';' joins several.
    It holds for every optimizer with a hyperparameter of this name, or for one alone as
    OPTIMIZER.NAME=.... FILE.toml instead gives whole spaces, see `_of_file`. UserError for another
    form, an unknown name, and a space that is empty, reversed or outside of its optimizer's values.
    """
    named = {optimizer.name: optimizer for optimizer in optimizers}
    found = {name: published(optimizer) for name, optimizer in named.items()}
    texts = list[str]()
    for given in changes:
        if given.endswith(".toml"):
            found |= _of_file(Path(given), named)
        else:
            texts += given.split(";")
    for text in map(str.strip, texts):
        if not text:
            continue
        owner, name, change = _parse(text)
        for each in _meant(owner, name, text, named):
            old = found[each]
            kept = old.source.partition(" (changed: ")[0]
            found[each] = SearchSpace({**old.ranges, name: change}, f"{kept} (changed: {name})")
    for name, space in found.items():
        check(space, named[name])
    return found


def _of_file(file: Path, named: Mapping[str, Optimizer]) -> dict[str, SearchSpace]:
    """The whole spaces of a TOML file: [adam] or ["torch:package.Class"], and in it a range for
    each hyperparameter: beta1 = { low = 0.01, high = 0.2, log = true, below_one = true }.

    Tables of optimizers that are not searched are left out."""
    found = {}
    for name, table in _tables(file).items():
        path = ImportPath.parse(name).name if is_import_path(name) else name
        if path in named:
            ranges = {hyper: _range(file, f"{name}.{hyper}", table[hyper]) for hyper in table}
            found[path] = SearchSpace(ranges, file.name)
    if not found:
        raise UserError(f"--space {file}: no table of {' or '.join(named)}")
    return found


def _tables(file: Path) -> dict[str, dict[str, Any]]:
    try:
        content = tomllib.loads(read_text(file, limits.SUITE_BYTES))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"--space {file}: not valid TOML: {error}") from None
    for name, table in content.items():
        if not isinstance(table, dict):
            raise UserError(f"--space {file}: {name}: expected a table of ranges")
    return content


def _range(file: Path, place: str, given: Any) -> Range:
    known = RangeFile.model_fields
    for key in given if isinstance(given, dict) else ():
        if key not in known:
            raise UserError(f"--space {file}: {place}: unknown key {key!r}{nearest(key, known)}")
    try:
        return RangeFile.model_validate(given).range
    except ValidationError as error:
        raise UserError(f"--space {file}: {place}: {first_problem(error)}") from None


def _parse(text: str) -> tuple[str, str, Range]:
    """(optimizer or '', hyperparameter, range)."""
    key, equals, value = (part.strip() for part in text.partition("="))
    bounds, *flags = (part.strip() for part in value.split(","))
    unknown = [flag for flag in flags if flag not in ("log", "below_one")]
    low, dots, high = bounds.partition("..")
    if not equals or not re.fullmatch(r"[\w.:+ -]+", key) or unknown:
        raise UserError(f"--space {text!r}: expected {_FORM}")
    try:
        limits = float(low), float(high) if dots else float(low)
    except ValueError:
        raise UserError(
            f"--space {text!r}: {bounds!r} is not a range of numbers; expected {_FORM}"
        ) from None
    owner, _, name = key.rpartition(".")
    return owner, name, Range(*limits, log="log" in flags, below_one="below_one" in flags)


def _meant(owner: str, name: str, text: str, named: Mapping[str, Optimizer]) -> list[str]:
    if owner and owner not in named:
        raise UserError(f"--space {text!r}: no optimizer {owner!r} here{nearest(owner, named)}")
    asked = [owner] if owner else list(named)
    meant = [each for each in asked if name == RATE or name in named[each].hyper]
    if not meant:
        known = {RATE, *(hyper for each in asked for hyper in named[each].hyper)}
        raise UserError(f"--space {text!r}: no hyperparameter {name!r}{nearest(name, known)}")
    return meant


def settings(space: SearchSpace, inner: Mapping[str, float]) -> dict[str, float]:
    """Values of all hyperparameters of the space, from the coordinates of the free ones."""
    values = {name: inner.get(name, given.low) for name, given in space.ranges.items()}
    return {
        name: turned(value) if space.ranges[name].below_one else float(value)
        for name, value in values.items()
    }


def coordinate(given: Range, value: float) -> float:
    """A value's place in its range: 1 - value if that is below one; rounding never leaves it."""
    return float(np.clip(turned(value) if given.below_one else value, given.low, given.high))


def grid(space: SearchSpace, budget: int) -> list[dict[str, float]]:
    """Points of an even grid, at most `budget` of them, as coordinates.

    Every free hyperparameter gets as many points as the others or one more, the first ones of the
    space first; two and more include both ends, a single one stands in the middle.
    """
    names = list(free(space))
    counts = dict.fromkeys(names, 1)
    while room := [name for name in names if _product(counts, name) <= budget]:
        counts[min(room, key=lambda name: counts[name])] += 1
    axes = [np.linspace(0, 1, n) if n > 1 else np.array([0.5]) for n in counts.values()]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(names))
    ranges = free(space)
    return [
        {name: at(ranges[name], share) for name, share in zip(names, point, strict=True)}
        for point in points
    ]


def _product(counts: Mapping[str, int], grown: str) -> int:
    return math.prod(count + (name == grown) for name, count in counts.items())


def contains(wide: SearchSpace, narrow: SearchSpace, at_values: Mapping[str, float]) -> bool:
    """Whether the wide space, at these values, holds every point of the narrow one."""

    def covers(name: str, low: float, high: float) -> bool:
        if name not in wide.ranges:
            return False
        least, most = limits_of(wide.ranges[name])
        return least <= low and high <= most

    ranges = {name: limits_of(given) for name, given in narrow.ranges.items()}
    points = {name: (value, value) for name, value in at_values.items()}
    return all(covers(name, *limits) for name, limits in (*ranges.items(), *points.items()))
