"""A user's own data: what comes out of each kind of answer, splits, and what is refused."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from gradrace import (
    AtRandom,
    ByTime,
    DataSet,
    Dense,
    Embedding,
    Fixed,
    Flatten,
    Grouped,
    Stratified,
    TaskSpec,
    UserError,
    data,
)
from gradrace.data import own
from gradrace.data.own import kept, reading, splitting
from gradrace.plugins.declared import check_data_set
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

N = 40
RNG = np.random.default_rng(5)
X, LABELS, NUMBERS = RNG.normal(3.0, 2.0, (N, 3)), np.arange(N) % 3, RNG.normal(size=N)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data folder, and a process that knows no data of users."""
    monkeypatch.setenv("GRADRACE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(own, "_KNOWN", own._Known())
    data.load.cache_clear()
    yield tmp_path / "data"
    data.load.cache_clear()


def made(answer: Any, name: str = "mine", **fields: Any) -> DataSet:
    load = answer if callable(answer) else lambda: answer
    return DataSet(name=name, load=load, **fields)


def loaded(answer: Any, **fields: Any) -> data.Data:
    of = made(answer, **fields)
    data.use({of.name: of})
    return data.load(of.name)


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": LABELS, **columns})


# -- what comes out


def test_features_are_standardised_by_the_training_rows_alone():
    found = loaded((X, LABELS))
    assert {name: len(split.y) for name, split in found.splits.items()} == {
        "train": 28,
        "validation": 6,
        "test": 6,
    }
    assert np.allclose(found.train.x.mean(axis=0), 0) and np.allclose(found.train.x.std(axis=0), 1)
    whole = np.concatenate([split.x for split in found.splits.values()])
    assert not np.allclose(whole.mean(axis=0), 0, atol=1e-3)
    rows = splitting.rows(made((X, LABELS)), reading.read(made((X, LABELS))))
    mean, spread = X[rows["train"]].mean(axis=0), X[rows["train"]].std(axis=0)
    for name, split in found.splits.items():
        assert np.allclose(split.x, (X[rows[name]] - mean) / spread, rtol=1e-8, atol=1e-8)
        assert np.array_equal(split.y, LABELS[rows[name]])


KINDS: dict[str, tuple[Any, dict[str, Any], str, tuple[int, ...], str]] = {
    "float32": ((X.astype("f4"), LABELS), {}, "<f4", (3,), "<i8"),
    "float64": ((X, LABELS), {}, "<f8", (3,), "<i8"),
    "other byte order": ((X.astype(">f8"), LABELS), {}, "<f8", (3,), "<i8"),
    "images of bytes": (
        (RNG.integers(0, 256, (N, 4, 5, 3), np.uint8), LABELS),
        {},
        "<f4",
        (4, 5, 3),
        "<i8",
    ),
    "series": ((RNG.normal(size=(N, 7, 2)), LABELS), {}, "<f8", (7, 2), "<i8"),
    "whole numbers": ((RNG.integers(0, 9, (N, 3)), LABELS), {}, "<f8", (3,), "<i8"),
    "truth": ((X > 3, LABELS), {}, "<f4", (3,), "<i8"),
    "lists": ((X.tolist(), LABELS.tolist()), {}, "<f8", (3,), "<i8"),
    "texts as labels": ((X, np.array(["c", "a", "b"])[LABELS]), {}, "<f8", (3,), "<i8"),
    "objects as labels": ((X, np.array(["c", "a", "b"], object)[LABELS]), {}, "<f8", (3,), "<i8"),
    "whole floats as labels": ((X, LABELS.astype(float)), {}, "<f8", (3,), "<i8"),
    "labels from 1": ((X, LABELS + 1), {}, "<f8", (3,), "<i8"),
    "a column of labels": ((X, LABELS[:, np.newaxis]), {}, "<f8", (3,), "<i8"),
    "tokens": (
        (RNG.integers(0, 9, (N, 6), np.uint16), LABELS),
        {"tokens": True},
        "<i8",
        (6,),
        "<i8",
    ),
    "numbers": ((X, NUMBERS), {"target": "number"}, "<f8", (3,), "<f8"),
    "numbers of float32": ((X, NUMBERS.astype("f4")), {"target": "number"}, "<f8", (3,), "<f4"),
    "several numbers": ((X, X[:, :2]), {"target": "number"}, "<f8", (3,), "<f8"),
    "whole numbers as numbers": ((X, LABELS), {"target": "number"}, "<f8", (3,), "<f8"),
    "a frame": (frame(), {"column": "kind"}, "<f8", (2,), "<i8"),
    "a frame beside y": ((frame(), LABELS), {}, "<f8", (3,), "<i8"),
    "a frame of float32": (
        frame().astype({"a": "f4", "b": "f4"}),
        {"column": "kind"},
        "<f4",
        (2,),
        "<i8",
    ),
    "a frame's truth": (frame(c=X[:, 2] > 3), {"column": "kind"}, "<f8", (3,), "<i8"),
    "a frame's own types": (frame().convert_dtypes(), {"column": "kind"}, "<f8", (2,), "<i8"),
    "a frame from arrow": (
        pa.Table.from_pandas(frame(c="xyz"[0])).to_pandas(types_mapper=pd.ArrowDtype),
        {"column": "kind", "categories": "one_hot"},
        "<f8",
        (3,),
        "<i8",
    ),
    "a frame's objects": (
        frame(c=pd.Series(LABELS, dtype=object)),
        {"column": "kind"},
        "<f8",
        (3,),
        "<i8",
    ),
    "two columns": (frame(), {"column": ("a", "b"), "target": "number"}, "<f8", (1,), "<f8"),
    "categories as labels": (
        frame(sort=pd.Categorical(np.array(["u", "v"])[LABELS % 2])),
        {"column": "sort"},
        "<f8",
        (3,),
        "<i8",
    ),
}


@pytest.mark.parametrize("case", KINDS)
def test_kinds_of_answers(case):
    answer, fields, x_type, shape, y_type = KINDS[case]
    found = loaded(answer, **fields)
    assert found.shape == shape and found.content
    for split in found.splits.values():
        assert (split.x.dtype.str, split.y.dtype.str) == (x_type, y_type)
        assert split.x.shape == (len(split.y), int(np.prod(shape)))
        assert np.isfinite(split.x).all()
        assert not split.x.flags.writeable and not isinstance(split.x, np.memmap)


def test_labels_become_numbers_in_sorted_order():
    texts = np.array(["c", "a", "b"])[LABELS]
    found = loaded((X, texts))
    rows = splitting.rows(made((X, texts)), reading.read(made((X, texts))))
    assert np.array_equal(np.array(["a", "b", "c"])[found.train.y], texts[rows["train"]])
    assert kept.read_entry(found.content).labels == ("a", "b", "c") and found.classes == 3


def test_labels_of_sequences_stay():
    y = RNG.integers(2, 9, (N, 6))
    found = loaded((RNG.integers(0, 9, (N, 6)), y), target="sequence", tokens=True)
    assert found.classes == y.max() + 1 and found.train.y.min() == y.min()
    texts = np.array(["n", "v"])[y % 2]
    assert loaded((X, texts), name="tags", target="sequence").classes == 2


def test_images_are_standardised_by_channel():
    images = RNG.normal([1.0, 10.0], [1.0, 5.0], (N, 4, 4, 2))
    x = loaded((images, LABELS)).train.x.reshape(-1, 2)
    assert np.allclose(x.mean(axis=0), 0) and np.allclose(x.std(axis=0), 1)


def test_numbers_are_standardised_only_if_declared():
    plain = loaded((X, NUMBERS + 9), target="number", standardise=False)
    assert plain.train.x.mean() > 1 and plain.train.y.mean() > 5
    scaled = loaded((X, NUMBERS + 9), name="b", target="number", standardise_target=True).train.y
    assert np.allclose(scaled.mean(), 0) and np.allclose(scaled.std(), 1)


@pytest.mark.parametrize(
    ("rule", "value"), [("mean", np.mean), ("median", np.median), (7.0, lambda values: 7.0)]
)
def test_missing_values_are_filled_by_the_training_rows(rule, value):
    x = X.copy()
    x[::7, 1] = np.nan
    of = made((x, LABELS), missing=rule, standardise=False)
    rows = splitting.rows(of, reading.read(of))
    train = x[rows["train"], 1]
    wanted = value(train[~np.isnan(train)])
    found = loaded((x, LABELS), missing=rule, standardise=False)
    for name, split in found.splits.items():
        gone = np.isnan(x[rows[name], 1])
        assert gone.any() or name != "train"
        assert np.allclose(split.x[gone, 1], wanted)
        assert np.array_equal(split.x[~gone], x[rows[name]][~gone])


def test_texts_become_columns_that_the_training_rows_choose():
    town = np.array(["x", "y", "z"])[np.arange(N) % 3].astype(object)
    town[[4, 5]] = None
    fixed = Fixed(range(30), range(30, 35), range(35, N))
    town[36] = "elsewhere"
    table = frame(town=town)[["a", "town", "b", "kind"]]
    found = loaded(table, column="kind", categories="one_hot", split=fixed, missing="mean")
    x = found.train.x
    assert x.shape[1] == 5 and set(np.unique(x[:, 1:4])) == {0.0, 1.0}
    hot = {"x": [1, 0, 0], "y": [0, 1, 0], "z": [0, 0, 1], None: [0, 0, 0], "elsewhere": [0, 0, 0]}
    for begin, split in ((0, "train"), (35, "test")):
        for row, values in enumerate(found.splits[split].x):
            assert values[1:4].tolist() == hot[town[begin + row]]
    assert np.allclose(x[:, 0].std(), 1) and np.allclose(x[:, 4].std(), 1)


def test_splits_that_are_given_stay_and_a_missing_validation_split_is_drawn():
    parts = {
        name: (X[rows], LABELS[rows])
        for name, rows in {
            "test": slice(30, N),
            "train": slice(0, 20),
            "validation": slice(20, 30),
        }.items()
    }
    found = loaded(parts, standardise=False)
    for name, (x, y) in parts.items():
        assert np.array_equal(found.splits[name].x, x) and np.array_equal(found.splits[name].y, y)
    del parts["validation"]
    drawn = loaded(parts, name="two", standardise=False, split=Stratified(validation=0.25))
    assert np.array_equal(drawn.splits["test"].x, X[30:]) and len(drawn.splits["validation"].y) == 5
    both = np.concatenate([drawn.train.x, drawn.splits["validation"].x])
    assert sorted(map(tuple, both)) == sorted(map(tuple, X[:20]))


def test_texts_of_splits_that_are_given_have_the_same_columns():
    parts = {
        "train": pd.DataFrame({"t": ["b", "a", "b", "a"], "y": [0, 1, 0, 1]}),
        "validation": pd.DataFrame({"t": ["a", "b"], "y": [1, 0]}),
        "test": pd.DataFrame({"t": ["b", "c"], "y": [0, 1]}),
    }
    found = loaded(parts, column="y", categories="one_hot")
    assert found.train.x.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]
    assert found.splits["validation"].x.tolist() == [[1, 0], [0, 1]]
    assert found.splits["test"].x.tolist() == [[0, 1], [0, 0]]


def test_what_the_rows_are_split_by_is_no_feature():
    table = frame(home=np.arange(N) // 4)
    assert loaded(table, column="kind", split=Grouped("home")).shape == (2,)
    assert loaded((X, LABELS), name="by_number", split=ByTime(1)).shape == (2,)
    assert loaded((X, LABELS, np.arange(N) // 4), name="third", split=Grouped()).shape == (3,)


# -- splits

SHARES = st.sampled_from([0.1, 0.15, 0.2, 0.3])


def split_of(x: Any, y: Any, way: Any, **fields: Any) -> dict[str, np.ndarray]:
    of = made((x, y), split=way, **fields)
    return dict(splitting.rows(of, reading.read(of)))


def check_parts(rows: dict[str, np.ndarray], whole: int) -> None:
    """No row in two splits, every row in one."""
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(whole))
    assert set(rows) == {"train", "validation", "test"} and all(map(len, rows.values()))


@settings(max_examples=60)
@given(st.integers(2, 4), st.integers(40, 120), SHARES, SHARES, st.integers(0, 9))
def test_every_class_has_its_share(classes, whole, validation, test, seed):
    y = np.random.default_rng(seed).permutation(np.arange(whole) % classes)
    rows = split_of(np.ones((whole, 1)), y, Stratified(validation=validation, test=test))
    check_parts(rows, whole)
    for split, share in (("validation", validation), ("test", test)):
        assert len(rows[split]) == max(1, round(share * whole))
        counts = np.bincount(y[rows[split]], minlength=classes)
        assert np.abs(counts - np.bincount(y) * len(rows[split]) / whole).max() <= 1 + 1e-9


@settings(max_examples=60)
@given(st.lists(st.integers(0, 12), min_size=20, max_size=80), SHARES, SHARES)
def test_groups_are_never_split(groups, validation, test):
    if len(set(groups)) < 3:
        groups = [*groups, 20, 21, 22]
    homes = np.array(groups)
    way = Grouped(homes, validation=validation, test=test)
    rows = split_of(np.ones((len(homes), 1)), np.arange(len(homes)) % 2, way)
    check_parts(rows, len(homes))
    inside = [set(homes[of]) for of in rows.values()]
    assert sum(map(len, inside)) == len(set(groups))


def test_groups_have_about_their_share():
    homes = np.arange(400) // 4
    rows = split_of(np.ones((400, 1)), np.arange(400) % 2, Grouped(homes))
    assert [len(rows[name]) for name in ("train", "validation", "test")] == [280, 60, 60]


@settings(max_examples=60)
@given(st.lists(st.integers(-5, 60), min_size=20, max_size=80), SHARES, SHARES)
def test_time_runs_from_training_to_test(times, validation, test):
    moments = np.array(times)
    way = ByTime(moments, validation=validation, test=test)
    try:
        rows = split_of(np.ones((len(moments), 1)), np.arange(len(moments)) % 2, way)
    except UserError as error:
        assert "times are too few" in str(error)
        return
    check_parts(rows, len(moments))
    train, held, last = (moments[rows[name]] for name in ("train", "validation", "test"))
    assert train.max() < held.min() and held.max() < last.min()


DAYS = pd.date_range("2026-01-01", periods=N)
TIMES = {
    "numbers": np.arange(N),
    "floats": np.arange(N) / 7,
    "dates": DAYS.to_numpy(),
    "texts": DAYS.strftime("%Y-%m-%d").to_numpy(object),
    "zones": DAYS.tz_localize("Europe/Berlin"),
}


@pytest.mark.parametrize("kind", TIMES)
def test_times_may_be_numbers_or_dates(kind):
    order = np.random.default_rng(0).permutation(N)
    table = frame(
        when=pd.Series(TIMES[kind]).iloc[order].to_numpy()
        if kind != "zones"
        else pd.Series(TIMES[kind]).iloc[order].reset_index(drop=True)
    )
    of = made(table, column="kind", split=ByTime("when"))
    rows = splitting.rows(of, reading.read(of))
    assert [sorted(order[rows[name]]) for name in ("train", "validation", "test")] == [
        list(range(28)),
        list(range(28, 34)),
        list(range(34, N)),
    ]


@settings(max_examples=30)
@given(st.integers(9, 60), SHARES, SHARES)
def test_rows_by_lot(whole, validation, test):
    rows = split_of(
        np.ones((whole, 1)), np.ones(whole), AtRandom(validation, test), target="number"
    )
    check_parts(rows, whole)


def test_fixed_rows_and_masks():
    mask = np.zeros(N, dtype=bool)
    mask[5:9] = True
    rows = split_of(X, LABELS, Fixed(train=[0, 2, 4, 1], validation=mask, test=np.array([20, 30])))
    assert {name: of.tolist() for name, of in rows.items()} == {
        "train": [0, 2, 4, 1],
        "validation": [5, 6, 7, 8],
        "test": [20, 30],
    }


@pytest.mark.parametrize("way", [Stratified(), AtRandom(), Grouped(np.arange(N) // 4)])
def test_folds_cover_every_row_once_and_keep_the_way_of_splitting(way):
    of = made((X, LABELS), split=way)
    table = reading.read(of)
    held = []
    for fold in range(4):
        rows = splitting.fold_rows(of, table, data.Folds(4, fold, 2, 1))
        outer = splitting.fold_rows(of, table, data.Folds(4, fold))
        held += outer["test"].tolist()
        inside = {*rows["train"].tolist(), *rows["validation"].tolist()}
        assert inside == set(outer["train"].tolist()), "a choice never sees the outer fold"
        for some in (rows, outer):
            assert not set(some["train"]) & set(some["validation"])
            if isinstance(way, Grouped):
                assert not set(way.by[some["train"]]) & set(way.by[some["validation"]])
    assert sorted(held) == list(range(N))


def test_folds_are_data_sets_of_their_own():
    data.use({"mine": made((X, LABELS), "mine")})
    found = data.load("mine.cv4-1")
    assert found.name == "mine.cv4-1" and len(found.train.y) == 30 == data.training_samples(
        "mine.cv4-1"
    )
    assert np.allclose(found.train.x.mean(axis=0), 0), "standardised by its own training rows"
    assert found.splits["test"].x is found.splits["validation"].x
    assert data.can_fold("mine") and not data.can_fold("mine.cv4-1")
    assert data.content("mine.cv4-1") != data.content("mine")


@pytest.mark.parametrize(
    ("answer", "way", "why"),
    [
        ((X, LABELS), ByTime(0), "folds would train on what comes later"),
        ((X, LABELS), Fixed(range(20), range(20, 30), range(30, N)), "its splits are given"),
        ({name: (X, LABELS) for name in ("train", "validation", "test")}, None, "are given"),
        ((X, LABELS), Grouped(np.arange(N) // 20), "4 folds need 4 groups; there are 2"),
    ],
)
def test_folds_that_cannot_be(answer, way, why):
    data.use({"mine": made(answer, "mine", split=way)})
    with pytest.raises(ValueError, match=why):
        data.training_samples("mine.cv4-1")


# -- what is refused


def holding(row: int, column: int, value: float, x: np.ndarray = X) -> np.ndarray:
    changed = np.array(x)
    changed[row, column] = value
    return changed


def rare() -> np.ndarray:
    return np.where(np.arange(N) == 17, 3, LABELS)


def raising() -> Any:
    return 1 / 0


def leaving() -> Any:
    raise SystemExit("no data today")


def _random() -> Any:
    return np.random.default_rng().normal(size=(N, 2)), LABELS


class Unready:
    """Values that a user forgot to turn into arrays."""


GIVEN = {"train": (X, LABELS), "validation": (X, LABELS), "test": (X, LABELS)}
OTHER_TEXTS = {
    "train": pd.DataFrame({"t": ["a", "b"] * 3, "y": [0, 1] * 3}),
    "validation": pd.DataFrame({"t": ["a", "b"], "y": [0, 1]}),
    "test": pd.DataFrame({"t": [1.0, 2.0], "y": [0, 1]}),
}
OUT = {"column": "kind"}
REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "raises": (raising, {}, "(test_own_data.py, line"),
    "raises, and says what": (raising, {}, "ZeroDivisionError: division by zero"),
    "leaves": (leaving, {}, "SystemExit: no data today"),
    "nothing": (lambda: None, {}, "gives nothing, not (x, y), a pandas frame"),
    "an object": (Unready(), {}, "gives a Unready, not (x, y)"),
    "an arrow table": (pa.table({"a": [1]}), {}, "gives a Table, not (x, y)"),
    "four arrays": ((X, LABELS, X, X), {}, "gives a tuple, not (x, y)"),
    "ragged": (([[1.0], [1.0, 2.0]], [0, 1]), {}, "x is no array: rows of different lengths"),
    "a number": ((3.0, LABELS), {}, "x is a single float, not an array of rows"),
    "one axis": ((X[:, 0], LABELS), {}, "x.reshape(-1, 1)"),
    "lengths": ((X, LABELS[:-1]), {}, "x has 40 rows, y has 39"),
    "length of by": ((X, LABELS, LABELS[:3]), {"split": Grouped()}, "x has 40 rows, by has 3"),
    "no rows": ((X[:0], LABELS[:0]), {}, "x is empty: its shape is (0, 3)"),
    "no features": ((X[:, :0], LABELS), {}, "x is empty: its shape is (40, 0)"),
    "an empty frame": (frame().iloc[:0], OUT, "0 rows and 2 features"),
    "two rows": ((X[:2], NUMBERS[:2]), {"target": "number"}, "2 rows are too few"),
    "sparse": ((csr_matrix(X), LABELS), {}, "x is a sparse matrix; give .toarray(), which takes"),
    "infinite": ((holding(7, 1, np.inf), LABELS), {}, "row 7, column 1: inf is too large"),
    "huge": ((holding(7, 1, 1e39), LABELS), {}, "row 7, column 1: 1e+39 is too large for float32"),
    "missing": ((holding(7, 1, np.nan), LABELS), {}, "row 7, column 1: missing; leave such rows"),
    "missing twice": (
        (holding(9, 0, np.nan, holding(7, 1, np.nan)), LABELS),
        {},
        "missing, and 1 more",
    ),
    "missing in a frame": (frame(c=holding(3, 0, np.nan)[:, 0]), OUT, "row 3, column c: missing"),
    "missing in an image": (
        (holding(3, 0, np.nan).reshape(N, 1, 3, 1), LABELS),
        {},
        "row 3, place [0, 0, 0]: missing",
    ),
    "masked": ((np.ma.masked_array(X, X[5, 2] == X), LABELS), {}, "row 5, column 2: missing"),
    "nothing to fill with": (
        (np.where(np.arange(3) == 1, np.nan, X), LABELS),
        {"missing": "mean"},
        "column 1 has no value in the training split",
    ),
    "texts": ((X.astype(str), LABELS), {}, "x holds texts or objects; make numbers of them"),
    "objects": ((X.astype(object), LABELS), {}, "x holds texts or objects"),
    "complex": ((X * 1j, LABELS), {}, "x holds complex numbers; give their parts"),
    "dates": ((DAYS.to_numpy().reshape(N, 1), LABELS), {}, "x holds dates"),
    "named fields": ((np.zeros(N, [("a", "f8"), ("b", "i4")]), LABELS), {}, "x has named fields"),
    "too large whole numbers": (
        (np.full((N, 2), 2**60), LABELS),
        {},
        "row 0, column 0: 1152921504606846976 is beyond 2^53",
    ),
    "tokens as floats": (
        (X, LABELS),
        {"tokens": True},
        "tokens are whole numbers [n, time], not float64",
    ),
    "tokens below 0": (
        (np.full((N, 2), -1), LABELS),
        {"tokens": True},
        "row 0, column 0: a token below 0, -1",
    ),
    "tokens too large": (
        (np.full((N, 2), 2**63, np.uint64), LABELS),
        {"tokens": True},
        "row 0, column 0: a token too large",
    ),
    "labels as halves": (
        (X, NUMBERS),
        {},
        'labels are whole numbers or texts, or set target="number"',
    ),
    "labels missing": (
        (X, np.where(LABELS == 2, np.nan, LABELS)),
        {},
        "y of row 2 is missing (13 in all)",
    ),
    "texts missing": (
        (X, np.where(LABELS == 2, None, "a")),
        {},
        "y of row 2 is missing (13 in all)",
    ),
    "labels missing in a frame": (
        frame(c=pd.array(np.where(LABELS == 1, pd.NA, LABELS), dtype="Int64")),
        {"column": "c"},
        "y of row 1 is missing",
    ),
    "one class": ((X, LABELS * 0), {}, "y has one class alone, 0"),
    "one-hot labels": ((X, np.eye(3)[LABELS]), {}, "of one-hot rows give y.argmax(axis=1)"),
    "no sequences": ((X, LABELS), {"target": "sequence"}, "labels of sequences are [n, time]"),
    "sequences below 0": (
        (X, np.full((N, 2), -1)),
        {"target": "sequence"},
        "y of row 0, column 0 is -1",
    ),
    "dates as labels": ((X, DAYS.to_numpy()), {}, "y is of type datetime64"),
    "texts as numbers": ((X, X[:, 0].astype(str)), {"target": "number"}, "must hold numbers"),
    "infinite numbers": (
        (X, holding(4, 0, np.inf)[:, :1]),
        {"target": "number"},
        "y of row 4 is inf",
    ),
    "missing numbers": (
        (X, holding(4, 0, np.nan)[:, 0]),
        {"target": "number"},
        "y of row 4 is missing",
    ),
    "a rare class": (
        (X, rare()),
        {},
        "class 3 has too few rows, 1 (one is row 17); 3 splits need 3",
    ),
    "a rare text": (
        (X, np.array(["a", "b", "c", "d"])[rare()]),
        {},
        "class d has too few rows, 1 (one is row 17)",
    ),
    "a split without room": (
        (X, np.arange(N) % 10),
        {"split": Stratified(validation=0.1)},
        "a split of 4 rows has no room for 10",
    ),
    "strata of several numbers": (
        (X, X),
        {"target": "number", "split": Stratified()},
        "y has 3 columns: Stratified needs by=",
    ),
    "few groups": (
        (X, LABELS),
        {"split": Grouped(LABELS % 2)},
        "2 groups are fewer than the 3 splits",
    ),
    "no groups": ((X, LABELS), {"split": Grouped()}, "split: Grouped needs what to split by"),
    "groups missing": (
        frame(c=np.where(LABELS == 1, None, "a")),
        {**OUT, "split": Grouped("c")},
        "row 1: nothing is given to split it by",
    ),
    "times missing": (
        frame(c=holding(4, 0, np.nan)[:, 0]),
        {**OUT, "split": ByTime("c")},
        "row 4: its time is missing",
    ),
    "dates missing": (
        frame(c=DAYS.where(DAYS[4] != DAYS)),
        {**OUT, "split": ByTime("c")},
        "row 4: its time is missing",
    ),
    "no times": (
        frame(c="soon"),
        {**OUT, "split": ByTime("c")},
        "split by time: expected numbers or dates",
    ),
    "one time": ((X, LABELS), {"split": ByTime(np.ones(N))}, "1 times are too few to split by"),
    "two axes of times": ((X, LABELS, X), {"split": ByTime()}, "one value a row is needed"),
    "a column of x that is not there": (
        (X, LABELS),
        {"split": Grouped(9)},
        "split by column 9 of x",
    ),
    "a name without a frame": ((X, LABELS), {"split": Grouped("a")}, "gives no pandas frame"),
    "a row of two splits": (
        (X, LABELS),
        {"split": Fixed(range(20), range(19, 30), range(30, N))},
        "row 19 stands in train and in validation",
    ),
    "a row twice": (
        (X, LABELS),
        {"split": Fixed([0, 0], [1], [2])},
        "row 0 stands in train and in train",
    ),
    "a row that is not there": (
        (X, LABELS),
        {"split": Fixed([0], [1], [40])},
        "test: there is no row 40",
    ),
    "an empty split": (
        (X, LABELS),
        {"split": Fixed([0], [], [1])},
        "validation: expected row numbers",
    ),
    "a wrong mask": (
        (X, LABELS),
        {"split": Fixed([0], [True] * 3, [1])},
        "or a mask of all 40 rows",
    ),
    "no target column": (frame(), {}, "a frame came; name the target: column=..."),
    "a wrong target column": (
        frame(),
        {"column": "kinds"},
        "has no column 'kinds' (did you mean 'kind'?)",
    ),
    "a wrong group column": (frame(), {**OUT, "split": Grouped("home")}, "has no column 'home'"),
    "a column twice": (
        pd.concat([frame(), frame()[["a"]]], axis=1),
        OUT,
        "two columns 'a'; rename one",
    ),
    "a column of texts": (frame(c="far"), OUT, "column c: texts such as 'far'; leave it out"),
    "a column of arrow texts": (
        frame(c=pd.array(["far"] * N, dtype=pd.ArrowDtype(pa.string()))),
        OUT,
        "column c: texts such as 'far'",
    ),
    "categories": (frame(c=pd.Categorical(["u"] * N)), OUT, 'set categories="one_hot"'),
    "names of rows": (
        pd.DataFrame({"c": [f"r{i}" for i in range(1200)], "kind": [0, 1] * 600}),
        {**OUT, "categories": "one_hot"},
        "column c: 1200 different texts; at most 1000",
    ),
    "a column of dates": (frame(c=DAYS), OUT, "column c: datetime64"),
    "a column of lengths of time": (frame(c=DAYS - DAYS[0]), OUT, "column c: timedelta64"),
    "a complex column": (frame(c=X[:, 0] * 1j), OUT, "column c: complex numbers"),
    "a column of lists": (frame(c=[[1]] * N), OUT, "column c: values of several kinds"),
    "a column of numbers and texts": (
        frame(c=["a", 1] * (N // 2)),
        OUT,
        "column c: values of several kinds",
    ),
    "an unknown split": (
        {**GIVEN, "valid": (X, LABELS)},
        {},
        "gives the split 'valid'; known: train",
    ),
    "no test split": ({"train": (X, LABELS)}, {}, "gives no split 'test'"),
    "splits twice": (GIVEN, {"split": AtRandom()}, "gives the splits; leave `split` out"),
    "a ragged split": (
        {**GIVEN, "test": ([[1.0], [1.0, 2.0]], [0, 1])},
        {},
        "split test: x is no array",
    ),
    "a missing value of a split": (
        {**GIVEN, "test": (holding(1, 2, np.nan), LABELS)},
        {},
        "split test: row 1, column 2: missing",
    ),
    "other widths": (
        {**GIVEN, "test": (X[:, :2], LABELS)},
        {},
        "samples of test have the shape (2,)",
    ),
    "other targets": ({**GIVEN, "test": (X, X)}, {"target": "number"}, "y of test has the shape"),
    "texts in one split": (
        OTHER_TEXTS,
        {"column": "y", "categories": "one_hot"},
        "column t holds texts in one split",
    ),
    "out of memory": (lambda: np.zeros((2**30, 2**20)), {}, "its function ran out of memory"),
    "out of memory later": (
        (np.broadcast_to(np.float16(0), (2**40, 2**5)), np.broadcast_to(0, 2**40)),
        {},
        "more memory is needed than there is (Unable to allocate",
    ),
    "a column without a frame": ((X, LABELS), OUT, "'kind' is named, but its function gives y"),
    "a third array that nobody takes": (
        (X, LABELS, LABELS),
        {"split": AtRandom()},
        "gives a third array, which split=AtRandom(...) does not take",
    ),
    "a third array beside a column": (
        (X, LABELS, LABELS),
        {"split": Grouped(0)},
        "gives a third array, which split=Grouped(...) does not take",
    ),
    "other data each time": (_random, {}, "gave other data when it was called again"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_on_is_refused_in_one_line(case, folder):
    answer, fields, message = REFUSED[case]
    with pytest.raises(UserError) as caught:
        loaded(answer, **fields)
    text = str(caught.value)
    assert message in text and text.startswith("data set mine: ") and "\n" not in text, text
    assert not list(folder.glob("own/*")), "nothing is left behind"


def test_a_second_call_that_gives_another_size_is_refused():
    sizes = iter((N, N - 1, N, N))
    with pytest.raises(UserError, match="other data when it was called again"):
        loaded(lambda: (X[: (n := next(sizes))], LABELS[:n]))


def test_what_the_function_prints_does_not_reach_standard_output(capfd):
    def load() -> Any:
        print("reading")
        os.write(1, b"natively\n")
        return X, LABELS

    loaded(load)
    out, err = capfd.readouterr()
    assert out == "" and "reading" in err and "natively" in err


def test_ctrl_c_passes():
    def load() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loaded(load)


DECLARED: dict[str, tuple[dict[str, Any], str]] = {
    "a path": ({"name": "../mine"}, "name: expected letters, digits"),
    "no name": ({"name": 3}, "data set 3: name: expected letters, digits"),
    "a long name": ({"name": "m" * 61}, "name: 61 characters; at most 60"),
    "ours": ({"name": "digits"}, "the name 'digits' is taken by a data set of gradrace"),
    "folds": ({"name": "mine.cv5-0"}, "name: 'mine.cv5-0' is the form of names of folds"),
    "no function": ({"load": (X, LABELS)}, "load: expected a function without arguments"),
    "arguments": ({"load": lambda path: None}, "load: expected a function without arguments"),
    "target": ({"target": "klass"}, 'target: expected "class", "number", "sequence"'),
    "column": ({"column": 3}, "column: expected the target's name in the frame"),
    "split": ({"split": "random"}, "split: expected one of AtRandom, Stratified, Grouped"),
    "share": ({"split": AtRandom(test=0)}, "split.test: expected a share between 0 and 1, not 0"),
    "shares": ({"split": AtRandom(0.5, 0.5)}, "split: validation and test take 1 of the rows"),
    "standardise": ({"standardise": "yes"}, "standardise: expected True, False or None"),
    "tokens": ({"tokens": True, "standardise": True}, "tokens cannot be standardised"),
    "labels": ({"standardise_target": True}, "labels cannot be standardised"),
    "missing": ({"missing": "medium"}, "not 'medium' (did you mean 'median'?)"),
    "missing by NaN": ({"missing": float("nan")}, "or a finite number, not nan"),
    "categories": ({"categories": "onehot"}, "(did you mean 'one_hot'?)"),
    "source": ({"source": None}, "source: expected text, not None"),
}


@pytest.mark.parametrize("case", DECLARED)
def test_a_wrong_declaration_names_its_field(case):
    fields, message = DECLARED[case]
    of = dataclasses.replace(made((X, LABELS)), **fields)
    with pytest.raises(UserError) as caught:
        check_data_set(of)
    assert message in str(caught.value), str(caught.value)


def test_right_declarations_pass():
    ways = [AtRandom(), Stratified("a"), Grouped("a"), ByTime("a"), Fixed([0], [1], [2]), None]
    for way in ways:
        check_data_set(made((X, LABELS), split=way))
    check_data_set(made((X, LABELS), target="number", standardise_target=True, missing=0))


# -- a task and its data


def task(**fields: Any) -> TaskSpec:
    plain = {
        "name": "t",
        "title": "T",
        "data": "mine",
        "input_shape": (3,),
        "batch_size": 4,
        "model": (Dense(units=3),),
        "steps": 4,
        "eval_every": 2,
        "target": 0.5,
        "target_origin": "made up",
    }
    return TaskSpec(**{**plain, **fields})


NUMBER_TASK = {"loss": "mean_squared_error", "metric": "r2"}
TOKENS = (RNG.integers(0, 9, (N, 6)), LABELS)
IMAGES = (RNG.normal(size=(N, 2, 4, 4)), LABELS)
FLAT = (Flatten(), Dense(units=3))
UNFIT: dict[str, tuple[Any, dict[str, Any], dict[str, Any], str]] = {
    "width": (
        (X[:, :2], LABELS),
        {},
        {},
        "input_shape is (3,), but a sample of mine has the shape (2,)",
    ),
    "order of axes": (
        IMAGES,
        {},
        {"input_shape": (4, 4, 2), "model": FLAT},
        "(height, width, channels)",
    ),
    "outputs": ((X, LABELS % 2), {}, {}, "needs 2 outputs; mine has 2 classes"),
    "binary": (
        (X, LABELS),
        {},
        {"model": (Dense(units=1),), "loss": "binary_cross_entropy"},
        "needs one output for two classes; mine has 3 classes",
    ),
    "labels for numbers": ((X, LABELS), {}, NUMBER_TASK, 'takes numbers; mine has target="class"'),
    "numbers for labels": (
        (X, NUMBERS),
        {"target": "number"},
        {},
        'takes labels; mine has target="number"',
    ),
    "targets a row": (
        (X, X[:, :2]),
        {"target": "number"},
        NUMBER_TASK,
        "has 3 outputs, but mine has 2 targets",
    ),
    "no embedding": (
        TOKENS,
        {"tokens": True},
        {"input_shape": (6,)},
        "must begin with an Embedding",
    ),
    "no tokens": (
        TOKENS,
        {},
        {"input_shape": (6,), "model": (Embedding(vocabulary=9, units=2), *FLAT)},
        "mine needs tokens=True",
    ),
    "vocabulary": (
        TOKENS,
        {"tokens": True},
        {"input_shape": (6,), "model": (Embedding(vocabulary=8, units=2), *FLAT)},
        "a vocabulary of 8, but mine holds the token 8; 9 are needed",
    ),
    "sequences": (
        (TOKENS[0], TOKENS[0]),
        {"tokens": True, "target": "sequence"},
        {"input_shape": (6,), "model": (Embedding(vocabulary=9, units=2), *FLAT)},
        "logits of the shape (3,), but labels of mine have (6,)",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_task_that_does_not_fit_its_data_is_refused(case):
    answer, fields, of_task, message = UNFIT[case]
    data.use({"mine": made(answer, **fields)})
    with pytest.raises(UserError) as caught:
        data.check_fit(task(**of_task))
    assert message in str(caught.value), str(caught.value)


FIT: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "plain": ((X, LABELS), {}, {}),
    "flat images": ((IMAGES[0], LABELS), {}, {"input_shape": (32,)}),
    "images without channels": (
        (RNG.normal(size=(N, 4, 4)), LABELS),
        {},
        {"input_shape": (4, 4, 1), "model": FLAT},
    ),
    "binary": ((X, LABELS % 2), {}, {"model": (Dense(units=1),), "loss": "binary_cross_entropy"}),
    "numbers": ((X, X), {"target": "number"}, NUMBER_TASK),
    "tokens": (
        TOKENS,
        {"tokens": True},
        {"input_shape": (6,), "model": (Embedding(vocabulary=9, units=2), *FLAT)},
    ),
    "sequences with a larger vocabulary": (
        (TOKENS[0], TOKENS[0]),
        {"tokens": True, "target": "sequence"},
        {"input_shape": (6,), "model": (Embedding(vocabulary=12, units=2), Dense(units=12))},
    ),
}


@pytest.mark.parametrize("case", FIT)
def test_a_task_that_fits(case):
    answer, fields, of_task = FIT[case]
    data.use({"mine": made(answer, **fields)})
    data.check_fit(task(**of_task))


# -- kept


def test_the_function_is_called_once_for_content_that_is_kept():
    calls = []

    def load() -> Any:
        calls.append(1)
        return X, LABELS

    first = loaded(load)
    assert len(calls) == 2, "new content is only kept if it comes twice"
    again = loaded(load)
    assert len(calls) == 3 and first.content == again.content


def test_only_the_arrays_count():
    content = loaded((X, LABELS)).content
    same = [loaded((X.copy(), LABELS), name="other", source="elsewhere", licence="CC0").content]
    assert same == [content]
    others = [
        loaded((holding(0, 0, 9.0), LABELS)).content,
        loaded((X, LABELS[::-1].copy())).content,
        loaded((X, LABELS), split=AtRandom()).content,
        loaded((X, LABELS), standardise=False).content,
        loaded((X.astype("f4"), LABELS)).content,
        loaded((X, np.array(["a", "b", "c"])[LABELS])).content,
    ]
    assert len({content, *others}) == 7


def test_the_entry_is_read_without_the_function():
    content = loaded((X, LABELS)).content
    of = made(raising)
    data.use({"mine": of})
    data.expect("mine", content)
    found = data.load("mine")
    assert found.content == content and len(found.train.y) == 28


def test_a_machine_without_the_entry_calls_the_function(folder):
    content = loaded((X, LABELS)).content
    shutil.rmtree(folder)
    data.use({"mine": made((X, LABELS))})
    data.expect("mine", content)
    assert data.load("mine").content == content
    shutil.rmtree(folder)
    data.use({"mine": made((X + 1, LABELS[::-1].copy()))})
    data.expect("mine", content)
    with pytest.raises(UserError, match="gives other data here than when this sweep was planned"):
        data.load("mine")


def change(file: Path, text: str | bytes) -> None:
    file.chmod(0o644)
    content = text.encode() if isinstance(text, str) else text
    file.write_bytes(content)


def edited(array: np.ndarray) -> Callable[[Path], None]:
    def damage(entry: Path) -> None:
        file = entry / "train_x.npy"
        file.unlink()
        np.save(file, array, allow_pickle=True)

    return damage


def linked(entry: Path) -> None:
    (entry / "train_x.npy").rename(entry / "elsewhere.npy")
    (entry / "train_x.npy").symlink_to(entry / "elsewhere.npy")


def led_away(entry: Path) -> None:
    text = (entry / "entry.json").read_text()
    (entry / "entry.json").write_text(text.replace('"train_x"', '"../train_x"'))


DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut off": (
        lambda e: change(e / "train_x.npy", (e / "train_x.npy").read_bytes()[:-8]),
        "cannot be read",
    ),
    "a file gone": (lambda e: (e / "train_x.npy").unlink(), "cannot be read"),
    "a pickle": (edited(np.array([{}], dtype=object)), "cannot be read"),
    "another shape": (edited(np.zeros((28, 2))), "holds <f8 of the shape (28, 2)"),
    "other numbers": (edited(np.zeros((28, 3))), "its arrays are not those of its name"),
    "a link": (linked, "it is a link"),
    "no JSON": (lambda e: (e / "entry.json").write_text("{"), "truncated or not JSON"),
    "a later version": (
        lambda e: (e / "entry.json").write_text('{"schema": 2}'),
        "schema 2 is newer",
    ),
    "a path": (led_away, "expected text like"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_entry_is_refused(case, folder):
    content = loaded((X, LABELS)).content
    damage, message = DAMAGED[case]
    damage(folder / "own" / content)
    data.load.cache_clear()
    with pytest.raises(UserError) as caught:
        data.load("mine")
    assert message in str(caught.value) and content in str(caught.value), str(caught.value)


def test_a_copied_entry_is_used_after_its_hash_was_compared(folder):
    content = loaded((X, LABELS)).content
    for file in (folder / "own" / content).iterdir():
        os.utime(file, (1, 1))
    data.load.cache_clear()
    assert data.load("mine").content == content


def test_entries_that_nobody_used_for_30_days_are_removed(folder):
    contents = [loaded((X + i, LABELS), standardise=False).content for i in range(3)]
    old = time.time() - 31 * 86_400
    for content in contents[:2]:
        os.utime(folder / "own" / content, (old, old))
    half = folder / "own" / f".{'0' * 32}-12345678"
    half.mkdir()
    os.utime(half, (time.time() - 2 * 86_400,) * 2)
    # To open it is to use it.
    kept.opened(contents[1])
    newest = loaded((X + 9, LABELS), standardise=False).content
    assert {each.name for each in (folder / "own").iterdir()} == {*contents[1:], newest}


def test_a_folder_that_cannot_hold_the_data_is_named(folder, monkeypatch):
    folder.write_text("a file")
    with pytest.raises(UserError, match=r"data cannot be kept there.*GRADRACE_DATA"):
        loaded((X, LABELS))
    folder.unlink()
    full = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr(kept.shutil, "disk_usage", lambda place: full)
    with pytest.raises(UserError, match="do not fit, 0.0 MB are free"):
        loaded((X, LABELS))


def test_an_earlier_run_s_data_are_there_without_its_file(folder):
    from gradrace.record import DataFacts, SplitRows

    content = loaded((X, LABELS)).content
    rows = SplitRows(train=28, validation=6, test=6)
    own._KNOWN.sets.clear()
    data.load.cache_clear()
    with pytest.raises(ValueError, match="no data set 'mine'"):
        data.load("mine")
    data.recall("mine", DataFacts(content=content, rows=rows, shape=(3,), classes=3))
    assert data.load("mine").content == content == data.content("mine")
    assert data.training_samples("mine") == 28
    shutil.rmtree(folder)
    data.load.cache_clear()
    with pytest.raises(ValueError, match="no data set 'mine'"):
        data.load("mine")
