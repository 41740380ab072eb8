"""Looks never repeat, keep their place, and names fit."""

from __future__ import annotations

import pandas as pd
import pytest
from gradrace.report.draw import looks, names
from hypothesis import given, settings
from hypothesis import strategies as st

COUNTS = st.integers(1, 600)


def are_distinct(styles: looks.Looks) -> None:
    """By line alone (colour and dash), and by mark alone (colour and marker)."""
    assert len({(look.color, str(look.dash)) for look in styles.values()}) == len(styles)
    assert len({(look.color, str(look.marker)) for look in styles.values()}) == len(styles)


@settings(max_examples=25, deadline=None)
@given(COUNTS)
def test_no_two_of_any_number_of_names_look_alike(count):
    styles = looks.looks(f"name{i}" for i in range(count))
    assert len(styles) == count
    are_distinct(styles)


def runs(optimizers: int, variants: int) -> pd.DataFrame:
    rows = [(f"o{i}", f"v{j}") for i in range(optimizers) for j in range(variants)]
    table = pd.DataFrame(rows, columns=["optimizer", "variant"])
    return table.assign(series=table["optimizer"] + " · " + table["variant"])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 14))
def test_no_two_series_look_alike(optimizers, variants):
    table = runs(optimizers, variants)
    styles = looks.series_looks(table, [f"o{i}" for i in range(optimizers)])
    assert list(styles) == list(table["series"])
    are_distinct(styles)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14))
def test_no_two_setups_look_alike(frameworks, modes):
    rows = [(f"f{i}", f"f{i} (m{j})") for i in range(frameworks) for j in range(modes)]
    table = pd.DataFrame(rows, columns=["framework", "setup"])
    are_distinct(looks.setup_looks(table, [f"f{i}" for i in range(frameworks)]))


def test_a_name_looks_the_same_if_others_follow_it():
    few, many = looks.looks("abc"), looks.looks("abcdefghijklmnop")
    assert all(many[name] == look for name, look in few.items())


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("adam", "adam"),
        ("step (every=0.3333333333333333, factor=0.1)", "step (every=0.3333…, factor=0.1)"),
        ("lr 0.00012345678e-7", "lr 0.00012345678e-7"),
        ("a" * 30 + "b" * 30, "a" * 25 + "…" + "b" * 18),
    ],
)
def test_long_names_lose_their_middle(name, short):
    assert names.short(name) == short
    assert len(short) <= 44


def test_names_that_would_read_the_same_are_numbered():
    long = [f"{'a' * 40}{i}{'b' * 40}" for i in range(3)]
    found = names.shortened([*long, "adam"])
    assert len(set(found.values())) == 4 and all(len(name) <= 44 for name in found.values())
