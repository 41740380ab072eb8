"""Profiles in real processes, run by the NumPy reference: what is found, and what goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gradrace.errors import UserError
from gradrace.paired import Side, choose
from gradrace.registry import load_registry
from gradrace.why.kept import cell_folder, keep_traces
from gradrace.why.measure import (
    folder_name,
    only_few,
    profile_of,
    profiled_steps,
    profiler_file,
    take_profiles,
)
from gradrace.why.process import NoProfile
from tiny import TINY, toml

SUITE = {key: TINY[key] for key in ("title", "tasks", "frameworks", "dtype")}
SUITE |= {"convergence": False, "timing": {"rule": "canonical", "warmup_steps": 5}}
SUITE |= {"optimizers": ["sgd"]}

PROFILERS = {
    "good": """
        train(steps)
        sync()
        (folder / "t.json").write_text("{}")
        return {"ops": [{"name": "mm", "part": "forward", "calls": 2, "host_s": 1e-6}],
                "counts": {"copies": 3}, "traces": ["t.json"]}""",
    "raises": """
        raise ImportError("no profiler in this release")""",
    "outside": """
        return {"traces": ["../../t.json"], "notes": ["n" * 50]}""",
    "dies": """
        import os; os._exit(9)""",
}


def profiler(folder, kind):
    file = folder / f"{kind}.py"
    file.write_text(f"def profile(train, sync, steps, folder):{PROFILERS[kind]}\n")
    return file


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "tiny.toml").write_text(toml(SUITE))
    registry = load_registry()
    (found,) = choose.same_cells(registry, choose.SuiteFilter(str(tmp_path / "tiny.toml")))
    return found


SIDES = (Side("old", sys.executable), Side("new", sys.executable))


def test_both_sides_are_profiled_and_only_the_last_launch_keeps_its_traces(tmp_path, pair):
    file = profiler(tmp_path, "good")
    found = take_profiles(pair, SIDES, (file, None), 2, tmp_path / "out")
    assert found.failure is None and [len(found.a), len(found.b)] == [2, 2]
    a, b = found.a[-1], found.b[-1]
    assert a.traces == ("t.json",) and (tmp_path / "out" / "A" / "t.json").is_file()
    assert a.ops[0].host_s == 1e-6 and a.counts["copies"] == 3 and a.counts["compilations"] == 0
    assert a.steps % 10 == 0 and 0 < a.step_s < 1 and a.wall_s > 0
    assert not b.ops and "no profiler here" in b.notes[0] and b.wall_s > 0


@pytest.mark.parametrize(
    "kind, note, failure",
    [
        ("raises", "the profiler failed: ImportError: no profiler in this release", None),
        ("outside", "n" * 50, None),
        ("dies", None, "old: the process died: exit code 9"),
    ],
)
def test_a_profiler_that_breaks_is_a_note_or_a_reason(tmp_path, pair, kind, note, failure):
    file = profiler(tmp_path, kind)
    found = take_profiles(pair, SIDES, (file, file), 1, tmp_path / "out")
    if failure:
        assert str(found.failure).startswith(failure) and not found.a
    else:
        assert found.failure is None and found.a[0].notes == (note,) and not found.a[0].traces


class Liar:
    """A process whose profiler answers this."""

    def __init__(self, answer):
        self._answer = answer

    def ask(self, request):
        return {"profile": self._answer}


@pytest.mark.parametrize(
    "answer, said",
    [
        ({"steps": 20, "ops": [{"name": "mm", "calls": -1}]}, "ops.0.calls"),
        ({"steps": 20, "ops": "many"}, "ops"),
        ({"steps": 20, "ops": [{"name": "mm", "part": "sideways"}]}, "ops.0.part"),
        ({"steps": 20, "counts": {"copies": float("nan")}}, "counts.copies"),
        ({"steps": 20, "more": 1}, "more"),
        (None, ""),
    ],
)
def test_an_answer_that_is_no_profile_is_refused_with_its_place(tmp_path, answer, said):
    with pytest.raises(NoProfile, match=f"the profiler's answer: {said}"):
        profile_of(Liar(answer), None, 20, tmp_path)


def test_traces_of_timed_cells_are_kept_and_a_reason_is_given_if_not(tmp_path, pair):
    registry = load_registry()
    lines = list(keep_traces([pair.a], registry, {}, tmp_path / "profiles"))
    files = [Path(line.removeprefix("trace: ")) for line in lines]
    assert len(files) >= 1 and all(file.stat().st_size for file in files)
    assert {file.parent for file in files} == {tmp_path / "profiles" / cell_folder(pair.a)}
    assert cell_folder(pair.a) == "digits_mlp-numpy-reference-sgd-canonical-constant-lr0.1"
    (tmp_path / "a file").write_text("")
    (refused,) = keep_traces([pair.a], registry, {}, tmp_path / "a file")
    assert "no trace of" in refused and "cannot be written" in refused


def test_frameworks_without_a_profiler(tmp_path):
    registry = load_registry()
    known = {name for name, each in registry.frameworks.items() if profiler_file(each)}
    assert known == {"torch", "jax", "tensorflow", "numpy"}


def test_lengths_and_names():
    assert [profiled_steps(s) for s in (0.0, 1e-6, 0.0301, 0.2, 9.0)] == [100, 100, 30, 20, 20]
    assert folder_name("a/b|c batch32") == "a-b-c-batch32" and folder_name("/..") == "cell"


def test_too_many_cells_are_refused_by_name(pair):
    only_few([pair], 1, "gradrace why")
    with pytest.raises(UserError, match="explains 1 cells at most, and 2 match; name one with -k"):
        only_few([pair, pair], 1, "gradrace why")
