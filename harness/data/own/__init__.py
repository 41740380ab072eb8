"""Users' own data sets, from their functions to splits that workers share. Read this file first.

called: their function; reading: its answer as a table; frames, numbers, targets: the checks of it.
splitting: rows of the splits and folds. columns: filled, one-hot, standardised. kept: the files.
fits: whether a task can be trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from weakref import WeakSet

import numpy as np

from ...dataset import DataSet
from ...spec import TaskSpec
from .. import folds as folding
from ..values import Data
from . import columns, kept, numbers, splitting
from .called import refusal
from .fits import check
from .reading import SPLITS, read
from .table import Table

__all__ = [
    "can_fold",
    "check_fit",
    "content",
    "expect",
    "is_known",
    "is_recalled",
    "load",
    "names",
    "recall",
    "training_samples",
    "use",
]


class Prepared(NamedTuple):
    """The data set that a name stands for in this process."""

    of: DataSet
    entry: kept.Entry
    content: str


@dataclass
class _Known:
    """By name, folds included but in `sets`. expected: hashes of planned runs; recalled: of earlier
    ones. table: the last one read."""

    sets: dict[str, DataSet] = field(default_factory=dict)
    prepared: dict[str, Prepared] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    recalled: dict[str, str] = field(default_factory=dict)
    table: tuple[DataSet, Table] | None = None


_KNOWN = _Known()
# Those whose function has given the same twice.
_STEADY: WeakSet[DataSet] = WeakSet()


def use(sets: Mapping[str, DataSet]) -> bool:
    """Makes them known by name, from now on; whether that changes what a name stands for."""
    new = [name for name, of in sets.items() if _KNOWN.sets.get(name) is not of]
    _KNOWN.sets.update(sets)
    for name in [name for name in _KNOWN.expected if _base(name) in new]:
        del _KNOWN.expected[name]
    return bool(new)


def expect(name: str, content: str) -> None:
    """A planned run needs the data of this name with this content: load gives it or fails."""
    _KNOWN.expected[name] = content


def recall(name: str, content: str) -> None:
    """An earlier run had these data: `load` gives them if no file brings the name now."""
    _KNOWN.recalled[name] = content


def names() -> tuple[str, ...]:
    """Of all of them."""
    return tuple(_KNOWN.sets)


def is_known(name: str) -> bool:
    """Whether it is one of them or folds of one. ValueError: a number of folds out of range."""
    return _base(name) in _KNOWN.sets


def is_recalled(name: str) -> bool:
    """Whether it is not known, but an earlier run's data of this name are still kept."""
    return not is_known(name) and kept.is_kept(_KNOWN.recalled.get(name, ""))


def content(name: str) -> str:
    """The hash of its splits, which are then kept. UserError: see the modules of this folder."""
    return _KNOWN.recalled[name] if is_recalled(name) else _prepared(name).content


def load(name: str) -> Data:
    """The splits on their files. UserError: as `content`, or other content than was expected."""
    if is_recalled(name):
        return _opened(name, _KNOWN.recalled[name])
    of, wanted = _KNOWN.sets[_base(name)], _KNOWN.expected.get(name)
    if wanted and kept.is_kept(wanted):
        return _opened(name, wanted, of)
    found = _prepared(name).content
    if wanted not in (None, found):
        raise refusal(
            of,
            "its function gives other data here than when this sweep was planned; run it again, and"
            " on every machine with the same files",
        )
    return _opened(name, found, of)


def _opened(name: str, content: str, of: DataSet | None = None) -> Data:
    facts, splits = kept.opened(content)
    source, licence = (of.source, of.licence) if of else ("", "")
    return Data(name, splits, facts.classes, source, licence, content, facts.shape)


def training_samples(name: str) -> int:
    """The size of the training split. ValueError: there are no such folds."""
    if is_recalled(name):
        return kept.read_entry(_KNOWN.recalled[name]).rows["train"]
    found = folding.parse(name)
    if found is None or name in _KNOWN.prepared:
        return _prepared(name).entry.rows["train"]
    of = _KNOWN.sets[found[0]]
    return len(splitting.fold_rows(of, _table(of), found[1])["train"])


def check_fit(task: TaskSpec) -> None:
    """UserError if this task cannot be trained on its data, which are known here."""
    found = _prepared(task.data)
    check(task, found.of, found.entry)


def can_fold(name: str) -> bool:
    """Whether folds of it can be made."""
    of = _KNOWN.sets.get(name)
    return of is not None and splitting.can_fold(of) and not _table(of).parts


def _base(name: str) -> str:
    found = None if name in _KNOWN.sets else folding.parse(name)
    return found[0] if found else name


def _prepared(name: str) -> Prepared:
    """Calls the function, unless this process has; keeps what it gives, if that is new.

    New content is only kept if the function gives it a second time: else it would be new every
    time, and no result would ever be found again."""
    of, known = _KNOWN.sets[_base(name)], _KNOWN.prepared.get(name)
    if known and known.of is of:
        return known
    made = _made(name, of)
    if not kept.is_kept(made.content):
        if of not in _STEADY:
            content, made, _KNOWN.table = made.content, None, None  # type: ignore[assignment]
            made = _made(name, of)
            if made.content != content:
                raise refusal(
                    of,
                    "its function gave other data when it was called again; fix its random seed,"
                    " and sort what has no order",
                )
            _STEADY.add(of)
        kept.keep(made)
    if folding.parse(name) is None:
        # Only folds would read it again, and it may be large.
        _KNOWN.table = None
    _KNOWN.prepared[name] = Prepared(of, made.entry, made.content)
    return _KNOWN.prepared[name]


def _table(of: DataSet) -> Table:
    if _KNOWN.table is None or _KNOWN.table[0] is not of:
        _KNOWN.table = None
        _KNOWN.table = of, read(of)
    return _KNOWN.table[1]


def _made(name: str, of: DataSet) -> kept.Made:
    """The splits of this name, standardised, with their hash."""
    table, found = _table(of), folding.parse(name)
    rows = splitting.rows(of, table) if found is None else splitting.fold_rows(of, table, found[1])
    x, y = table.features.x, table.y
    fitted = columns.fit(of, table.features, rows["train"])
    if of.standardise_target and not table.classes:
        mean, spread = columns.moments(y, rows["train"])
        y = ((y - mean) / spread).astype(y.dtype)
    shape = (*x.shape[1:-1], fitted.width())
    pieces: dict[str, Callable[[], Iterator[np.ndarray]]] = {}
    arrays: dict[str, kept.KeptArray] = {}
    for split in SPLITS if rows["test"] is not rows["validation"] else SPLITS[:2]:
        flat = (len(rows[split]), int(np.prod(shape)))
        of_x, of_y = f"{split}_x", f"{split}_y"
        arrays[of_x] = kept.KeptArray(shape=flat, dtype=x.dtype.str)
        pieces[of_x] = partial(fitted.pieces, x, rows[split])
        arrays[of_y] = kept.KeptArray(shape=(len(rows[split]), *y.shape[1:]), dtype=y.dtype.str)
        pieces[of_y] = partial(numbers.chunks, y, rows[split])
    facts = kept.Entry(
        schema=kept.SCHEMA,
        classes=table.classes,
        labels=table.labels,
        shape=shape,
        largest=int(x.max()) if of.tokens else 0,
        arrays=arrays,
    )
    return kept.hashed(facts, pieces)
