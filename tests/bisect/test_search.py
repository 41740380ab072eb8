"""The next version that a bisection tests, on made-up rows of versions."""

from __future__ import annotations

import math

import pytest
from gradrace.bisect.search import MOST_CHANGES, Span, Spent, choose, search
from hypothesis import given
from hypothesis import strategies as st


class Row:
    """Levels of versions 0 to n - 1; a version that is None cannot be run."""

    def __init__(self, levels, most=10**6):
        self.levels, self.asked, self.most = levels, [], most

    def place(self, index, span):
        if len(self.asked) == self.most:
            raise Spent
        assert index not in self.asked, "each version is tested once"
        assert span.older < index < span.newer
        self.asked.append(index)
        level = self.levels[index]
        if level is None:
            return "skipped"
        ends = {self.levels[span.newer]: "newer", self.levels[span.older]: "older"}
        return ends.get(level, "neither")

    def size(self, span):
        return abs(self.levels[span.newer] - self.levels[span.older])

    def search(self, **given):
        return search(len(self.levels) - 1, self.place, self.size, **given)


@pytest.mark.parametrize("culprit", range(1, 33))
def test_one_change_in_32_commits_takes_five_tests(culprit):
    row = Row([0.0] * culprit + [1.0] * (33 - culprit))
    found = row.search()
    assert found.ends == [Span(culprit - 1, culprit)] and not found.rest and not found.open
    assert len(row.asked) == 5


def test_ten_thousand_commits_take_fourteen_tests():
    row = Row([0.0] * 7001 + [1.0] * 3000)
    assert row.search().ends == [Span(7000, 7001)] and len(row.asked) <= 14


@pytest.mark.parametrize(
    "levels, ends, rest",
    [
        # Half here and half there.
        ([0, 0, 1, 1, 1, 2, 2], [(1, 2), (4, 5)], []),
        # Slower, and partly mended.
        ([0, 0, 5, 5, 5, 2, 2], [(1, 2), (4, 5)], []),
        # The ends of a dip are found, since its middle is like neither end.
        ([0, 0, 0, -3, -3, 1, 1], [(2, 3), (4, 5)], []),
        # A version like GOOD after one like BAD: one of the changes is found.
        ([0, 1, 1, 0, 0, 0, 1], [(5, 6)], []),
        # More changes than are followed: the smallest is left.
        ([0, 10, 20, 30, 31], [(0, 1), (1, 2), (2, 3)], [(3, 4)]),
    ],
)
def test_several_changes(levels, ends, rest):
    found = Row(levels).search()
    assert (found.ends, found.rest) == (ends, rest) and len(found.ends) <= MOST_CHANGES


def test_small_changes_are_not_followed():
    row = Row([0, 0, 0.1, 0.1, 1, 1])
    found = row.search(worth=lambda span: row.size(span) > 0.5)
    assert found.ends == [Span(3, 4)] and found.rest == [Span(0, 2)]


@pytest.mark.parametrize(
    "levels, ends",
    [
        ([0, None, None, None, 1], [(0, 4)]),
        ([0, 0, None, 1, 1], [(1, 3)]),
        ([0, None, 0, 1, None, 1, 1], [(2, 3)]),
        ([0, 1], [(0, 1)]),
    ],
)
def test_versions_that_cannot_be_run_are_stepped_around(levels, ends):
    assert Row(levels).search().ends == ends


def test_a_long_stretch_that_cannot_be_run_is_left_after_a_few_tests():
    row = Row([0.0] * 900 + [None] * 50 + [1.0] * 51)
    assert row.search().ends == [Span(899, 950)]
    # All 50 in between are asked once the span is theirs alone; elsewhere it takes a few.
    assert len(row.asked) < 50 + 25


def test_what_was_searched_when_the_time_ended_is_told():
    row = Row([0.0] * 20 + [1.0] * 13, most=2)
    found = row.search()
    assert not found.ends and found.open == [Span(16, 24)]


@given(st.lists(st.sampled_from([0, 1, 3, None]), max_size=40))
def test_every_change_that_is_named_is_one(levels):
    row = Row([0, *levels, 4])
    found = row.search()
    assert found.ends
    for older, newer in found.ends:
        assert row.levels[older] != row.levels[newer]
        assert all(row.levels[i] is None for i in range(older + 1, newer))
    known = sum(level is not None for level in levels)
    limit = MOST_CHANGES * (math.ceil(math.log2(known + 2)) + 1)
    assert sum(row.levels[i] is not None for i in row.asked) <= limit + known // 2 + MOST_CHANGES


@pytest.mark.parametrize(
    "skipped, wanted", [((), 8), ((8,), 4), ((8, 4), 12), ((8, 4, 12), 2), (range(1, 16), None)]
)
def test_after_skips_other_places_are_tried(skipped, wanted):
    assert choose(Span(0, 16), set(skipped)) == wanted
