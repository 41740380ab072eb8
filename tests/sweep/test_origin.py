"""Two suites of one name in one results folder: the second does not take over the first's plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gradrace.errors import UserError
from gradrace.suite import built_in, make_suite, read_suite
from gradrace.suite.origin import BUILT_IN
from gradrace.sweep import Options, Outcome, execute, prepare
from gradrace.sweep.store import read_plan
from tiny import TINY, toml

SHORT = {"optimizers": ["sgd"], "seeds": 1, "steps": 4, "eval_every": 2, "timing": False}
SMALL: dict[str, Any] = {**TINY, **SHORT}


def write(file: Path, **changes: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(toml({**SMALL, **changes}))
    return file


def run(suite: Any, output: Path) -> Outcome:
    given = str(suite) if isinstance(suite, Path) else suite
    return execute(prepare(given, options=Options(output=output, workers=1)))


def refused(suite: Any, output: Path, *words: str) -> None:
    plan = output / "runs/s/plan.json"
    before = plan.read_bytes(), sorted(output.rglob("*"))
    with pytest.raises(UserError) as error:
        run(suite, output)
    assert error.value.exit_code == 2
    assert all(word in str(error.value) for word in ("--output", *words)), error.value
    after = plan.read_bytes(), sorted(output.rglob("*"))
    assert after == before, "nothing is lost, nothing is begun"


def test_another_file_of_the_same_name_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "a/s.toml")
    second = write(tmp_path / "b/s.toml", title="Another", optimizers=["adam"])
    assert run(first, tmp_path / "results").counts == {"ok": 1}
    refused(second, tmp_path / "results", str(first), str(second), "plan.json", "Rename")
    assert run(second, tmp_path / "others").counts == {"ok": 1}
    assert run(first, tmp_path / "results").cached == 1, "the first goes on"


def test_an_edited_file_goes_on_and_so_does_a_moved_or_copied_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "results"
    file = write(tmp_path / "a/s.toml")
    run(file, output)
    write(file, title="A better title", seeds=2)
    assert (run(file, output).cached, len(read_plan(output, "s").digests)) == (1, 2)
    monkeypatch.chdir(file.parent)
    assert run(Path("s.toml"), output).cached == 2, "a relative path is the same file"
    copy = write(tmp_path / "copy/s.toml", title="A better title", seeds=2)
    assert run(copy, output).cached == 2, "the same content"
    copy.unlink()
    moved = write(tmp_path / "c/s.toml", title="A better title", seeds=3)
    assert run(moved, output).cached == 2, "moved, then edited"
    moved.unlink()
    other = write(tmp_path / "d/s.toml", title="Something else")
    refused(other, output, str(moved), "A better title")
    (output / "runs/s/plan.json").unlink()
    assert run(tmp_path / "d/s.toml", output).cached == 1, "finished runs are found again"


def test_content_from_python_goes_on_and_takes_no_file_over(tmp_path: Path) -> None:
    output = tmp_path / "results"
    run(make_suite("s", SMALL), output)
    changed = make_suite("s", {**SMALL, "title": "New", "seeds": 2})
    assert run(changed, output).cached == 1, "a notebook's suite may change"
    refused(write(tmp_path / "s.toml", title="Of a file"), output, "a suite given from Python")


def test_what_a_command_line_changes_leaves_the_suite_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "s.toml", scales={"small": {"steps": 2}})
    run(file, tmp_path / "results")
    for options in (
        Options(scale="small"),
        Options(seeds=2),
        Options(clock_only=True, timing={"launches": 1}),
    ):
        assert prepare(str(file), options=options).suite.origin == read_suite(str(file)).origin


def test_a_built_in_suite_is_the_same_by_name_and_by_path() -> None:
    by_name, by_path = read_suite("paths"), read_suite(str(built_in()["paths"]))
    assert by_name.origin == by_path.origin and by_name.origin is not None
    assert by_name.origin.source == BUILT_IN


def test_a_plan_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    file = write(tmp_path / "s.toml")
    run(file, tmp_path / "results")
    plan = tmp_path / "results/runs/s/plan.json"
    text = plan.read_text()
    start = text.index(',\n "origin"')
    plan.write_text(text[:start] + "\n}\n")
    assert run(write(tmp_path / "b/s.toml", title="New"), tmp_path / "results").counts == {"ok": 1}


def test_a_study_is_not_taken_over_by_a_suite(tmp_path: Path) -> None:
    folder = tmp_path / "results/runs/s"
    folder.mkdir(parents=True)
    (folder / "study.json").write_text("{}")
    (folder / ".lock").touch()
    plan = '{"schema": 1, "suite": "s", "title": "t", "question": "", "digests": []}'
    (folder / "plan.json").write_text(plan)
    refused(write(tmp_path / "s.toml"), tmp_path / "results", "gradrace tune")
