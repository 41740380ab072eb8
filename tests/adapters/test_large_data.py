"""Data sets that a process keeps, and memory that may be handed to a framework."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from gradrace.adapters.large_data import Placing, aligned, fixed, pieces, rows_at_once
from gradrace.data import Data, Split
from gradrace.layers import Dense, build

KINDS = ("float32", "float64", "int32")


def data(name: str) -> Data:
    split = Split(np.zeros((4, 2)), np.zeros(4, np.int64))
    return Data(name, dict.fromkeys(("train", "validation", "test"), split), 2, "made here")


def test_the_last_data_set_is_kept_and_another_as_long_as_somebody_holds_it():
    placing, made = Placing[str](), []

    def place(of: Data, key: str = "x"):
        return placing.placed(of, key, lambda: made.append((of.name, key)) or f"{of.name} {key}")

    one, two = data("one"), data("two")
    first = place(one)
    assert place(one) is first and first.value == "one x"
    assert place(one, "y").value == "one y"
    # A session that is still open shares with the next one.
    place(two)
    assert place(one) is first
    assert made == [("one", "x"), ("one", "y"), ("two", "x")]
    place(two)
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None
    place(one)
    assert made[-1] == ("one", "x")


def test_equal_names_of_other_data_are_told_apart():
    placing = Placing[int]()
    found = [placing.placed(data("same"), "x", lambda n=n: n).value for n in range(3)]
    assert found == [0, 1, 2]


def test_only_memory_that_nobody_writes_into_is_handed_over(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(48.0).reshape(16, 3))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert fixed(mapped) and fixed(np.asarray(mapped).reshape(16, 3, 1))
    assert not fixed(np.zeros((64, 64)))
    assert not fixed(mapped.T)
    assert not fixed(mapped[1:]), "its memory begins elsewhere"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 3), (1,), (5, 7), (4, 3, 2, 1)])
def test_a_copy_begins_where_frameworks_want_it(kind, shape):
    given = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    copy = aligned(given, kind)
    assert not copy.size or copy.ctypes.data % 64 == 0
    assert copy.flags.c_contiguous
    assert copy.dtype == kind and np.array_equal(copy, given)
    assert not np.shares_memory(copy, given)


def test_rows_at_once_follow_the_widest_layer_and_the_lanes():
    narrow, wide = (build((Dense(units=units),), (8,)) for units in (10, 2**20))
    assert rows_at_once(narrow, 4096, 4) == 4096
    assert rows_at_once(wide, 4096, 4) == 64
    assert rows_at_once(wide, 4096, 8) == 32
    assert rows_at_once(wide, 4096, 4, lanes=32) == 2
    assert rows_at_once(wide, 4096, 4, lanes=1024) == 1


def test_pieces_cover_every_row_once():
    assert pieces(5, 2) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert pieces(4, 4) == [slice(0, 4)] and pieces(0, 4) == [slice(0, 0)]
