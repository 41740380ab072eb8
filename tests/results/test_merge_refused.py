"""What `gradrace merge` refuses, or leaves out if told so: nothing is written before."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from foreign import edit, set_columns, to_fifo, to_link
from gradrace.merge import merge
from gradrace.record import Memory, RunResult
from gradrace.spec import RunSpec, digest, is_digest_of
from gradrace.sweep.store import read_plan, stored
from gradrace.worker.draft import Draft
from merging import (
    call,
    kept,
    origin,
    run,
    skipped,
    timed,
    tree,
    write,
)
from runner import FOREIGN

# -- what belongs together

NOT_INSTALLED = {"versions": {"python": "3", "not installed": "jax"}}


def test_a_skipped_run_gives_way_to_the_run_itself(tmp_path: Path) -> None:
    write(tmp_path / "a", [skipped(0, **NOT_INSTALLED), run(1)])
    write(tmp_path / "b", [run(0), run(1)])
    write(tmp_path / "d", [skipped(0, **NOT_INSTALLED | {"sources": {}})])
    for order in itertools.permutations("abd"):
        output = tmp_path / "".join(order)
        (suite,) = merge([tmp_path / each for each in order], output).suites
        plan = read_plan(output, "s")
        assert suite.superseded == 2 and suite.missing == 0
        assert {*plan.digests} == {run(0).record.digest, run(1).record.digest} == {*kept(output)}
    (suite,) = merge([tmp_path / "d", tmp_path / "a"], tmp_path / "c").suites
    assert (suite.superseded, len(read_plan(tmp_path / "c", "s").digests)) == (1, 2)


SAME = [
    (origin("S", source="/home/you/s.toml"), origin("S", "1" * 24)),
    (origin("S"), origin("Another title", source="/mnt/s.toml")),
    (origin("S", source="the built-in suite"), origin("T", "1" * 24, "the built-in suite")),
    (origin("S"), {}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_suite_from_two_paths(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any]
) -> None:
    write(tmp_path / "a", [run(0)], **one)
    write(tmp_path / "b", [run(1)], **other)
    merge([tmp_path / "b", tmp_path / "a"], tmp_path / "c")
    assert len(kept(tmp_path / "c")) == 2
    assert read_plan(tmp_path / "c", "s").origin in (one["origin"], other.get("origin"))


Runs = Iterable[RunResult]
# What lies in a and in b, plans included, and words of the refusal.
STRANGERS: list[tuple[Runs, dict[str, Any], Runs, dict[str, Any], list[str]]] = [
    (
        [run(0)],
        origin("One"),
        [run(1)],
        origin("Two", "1" * 24),
        ["two suites of one name", "'One'", "'Two'", "Rename the folder runs/s"],
    ),
    (
        [run(0)],
        {},
        [run(1, versions={"made_up": "2"})],
        {},
        ["library made_up: 1 in", "2 in", "equal versions"],
    ),
    ([run(0)], {}, [run(0, sources={"loop": "9"})], {}, ["source loop: 0 in"]),
    (
        [run(0, versions={"made_up": "1", "plugin": "1"})],
        {},
        [run(0)],
        {},
        ["version plugin: 1, none", run(0).record.spec.id],
    ),
    ([timed(0)], {}, [timed(1, versions={"made_up": "2"})], {}, ["library made_up"]),
]


@pytest.mark.parametrize(("one", "plan", "other", "other_plan", "words"), STRANGERS)
def test_what_does_not_belong_together_is_refused(
    tmp_path: Path,
    one: Sequence[RunResult],
    plan: dict[str, Any],
    other: Sequence[RunResult],
    other_plan: dict[str, Any],
    words: list[str],
) -> None:
    write(tmp_path / "a", one, **plan)
    write(tmp_path / "b", other, **other_plan)
    for order in (["a", "b"], ["b", "a"]):
        done = call(*(tmp_path / each for each in order), "-o", tmp_path / "c")
        assert done.exit_code == 2 and not (tmp_path / "c").exists(), done.output
        if order == ["a", "b"]:
            assert all(word in done.output for word in words), done.output
    done = call(tmp_path / "a", "-o", tmp_path / "b")
    assert done.exit_code == 2, "nor into a folder of the other"


def test_runs_that_a_plan_no_longer_names_are_kept_and_may_be_of_other_versions(
    tmp_path: Path,
) -> None:
    old = run(0, versions={"made_up": "0"})
    digests = (run(0).record.digest,)
    write(tmp_path / "a", [old, run(0)], digests=digests)
    write(tmp_path / "b", [run(0)])
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert len(kept(tmp_path / "c")) == 2 and read_plan(tmp_path / "c", "s").digests == digests


def test_trained_runs_may_be_of_another_version_than_timed_ones(tmp_path: Path) -> None:
    write(tmp_path / "a", [run(0)])
    write(tmp_path / "b", [timed(0, versions={"made_up": "2"})])
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert len(read_plan(tmp_path / "c", "s").digests) == 2


# -- records


def false_spec(folder: Path) -> None:
    file = folder / "run.json"
    edit(file, spec={**json.loads(file.read_text())["spec"], "seed": 99})


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def shortened(folder: Path) -> None:
    columns = {"step": [0], "series": ["train_loss"], "value": [1.0]}
    set_columns(folder / "curve.parquet", **columns)


def moved(folder: Path) -> None:
    elsewhere = folder.rename(folder.with_name("moved"))
    folder.symlink_to(elsewhere)


# A change of a run's folder, and words of the message.
FALSE: list[tuple[Callable[[Path], Any], str]] = [
    (false_spec, "is false"),
    (lambda folder: edit(folder / "run.json", versions={"made_up": "2"}), "is false"),
    (lambda folder: edit(folder / "run.json", sources={}), "is false"),
    (lambda folder: edit(folder / "run.json", digest="a" * 24), "the record of another run"),
    (lambda folder: edit(folder / "run.json", schema=99), "is newer than this gradrace reads"),
    (lambda folder: (folder / "run.json").write_text('{"schema": 1, "di'), "truncated or not JSON"),
    (lambda folder: cut(folder / "curve.parquet"), "curve.parquet is cut off"),
    (
        lambda folder: (folder / "curve.parquet").write_bytes(b"PAR1 in between PAR1"),
        "curve.parquet: cannot be read",
    ),
    (lambda folder: (folder / "curve.parquet").unlink(), "curve.parquet is missing"),
    (shortened, "1 losses of run"),
    (moved, "is a link, which is not followed"),
    (lambda folder: to_link(folder / "curve.parquet", "/etc/passwd"), "cannot be read"),
    (lambda folder: to_link(folder / "log.txt", "/etc/passwd"), "log.txt: cannot be read"),
    (lambda folder: to_link(folder / "run.json", "/etc/passwd"), "a folder, link"),
    (lambda folder: to_fifo(folder / "log.txt"), "log.txt: cannot be read"),
]


@pytest.mark.parametrize(("change", "words"), FALSE)
def test_a_false_record_is_refused_or_left_out(
    two: tuple[Path, Path, Path], change: Callable[[Path], Any], words: str
) -> None:
    a, b, c = two
    change(b / "runs/s" / run(2).record.digest)
    done = call(a, b, "-o", c)
    assert done.exit_code == 2 and words in done.output and str(b) in done.output, done.output
    assert not any(word in done.output for word in FOREIGN) and not c.exists()
    done = call(a, b, "-o", c, "--skip-unsound")
    assert done.exit_code == 0 and words in done.output, done.output
    assert {*kept(c)} == {run(0).record.digest, run(1).record.digest}
    assert "1 of 3 planned runs have no result yet" in done.output
    assert "root:" not in "".join(map(str, tree(c).values()))


def in_population(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        content = json.loads((folder / "records.json").read_text())
        change(content)
        (folder / "records.json").write_text(json.dumps(content))

    return make


POPULATIONS = [
    (in_population(lambda content: content["records"][0]["spec"].update(seed=99)), "is false", 1),
    (in_population(lambda content: content.update(schema=99)), "is newer than", 0),
    (lambda folder: cut(folder / "curve.parquet"), "cannot be read", 0),
    (moved, "is a link, which is not followed", 0),
    (lambda folder: to_link(folder / "log.txt", "/etc/passwd"), "log.txt: cannot be read", 0),
]


@pytest.mark.parametrize(("change", "words", "left"), POPULATIONS)
def test_a_false_population_is_refused_or_left_out(
    tmp_path: Path, change: Callable[[Path], Any], words: str, left: int
) -> None:
    write(tmp_path / "a", [run(0)])
    write(tmp_path / "b", [run(1), run(2)], together=True)
    (folder,) = stored(tmp_path / "b", "s").populations()
    change(folder)
    done = call(tmp_path / "a", tmp_path / "b", "-o", tmp_path / "c")
    assert done.exit_code == 2 and words in done.output and not (tmp_path / "c").exists()
    done = call(tmp_path / "a", tmp_path / "b", "-o", tmp_path / "c", "--skip-unsound")
    assert done.exit_code == 0 and len(kept(tmp_path / "c")) == 1 + left, done.output


def test_an_unsound_result_in_the_target_makes_room(two: tuple[Path, Path, Path]) -> None:
    a, b, _ = two
    cut(b / "runs/s" / run(1).record.digest / "curve.parquet")
    assert call(a, "-o", b).exit_code == 2
    assert call(a, "-o", b, "--skip-unsound").exit_code == 0
    assert len(kept(b)) == 3, "all are sound"


@pytest.mark.parametrize("together", [False, True])
def test_records_of_an_earlier_version_are_read_and_stay_as_they_were(
    tmp_path: Path, together: bool
) -> None:
    """Of a version that did not know lanes yet: its digests do not count them."""
    results = [run(0), run(1)]
    write(tmp_path / "a", results, together=together)
    for file in (tmp_path / "a/runs/s").rglob("*.json"):
        content = json.loads(file.read_text())
        for part in (content, content.get("head", {})):
            for name in ("lanes", "input"):
                part.get("spec", {}).pop(name, None)
        if file.name != "plan.json":
            file.write_text(json.dumps(content))
    names = {}
    for result in results:
        spec = result.record.spec.to_json()
        del spec["lanes"], spec["input"]
        old = RunSpec.model_validate(spec)
        text = json.dumps(
            {"spec": spec, "versions": {"made_up": "1"}, "sources": {"loop": "0"}},
            sort_keys=True,
            separators=(",", ":"),
        )
        names[result.record.digest] = old_digest(text)
        assert is_digest_of(old_digest(text), old, {"made_up": "1"}, {"loop": "0"})
    rename(tmp_path / "a/runs/s", names)
    write(tmp_path / "b", [run(5)])
    # Part of it is in the target: then it is taken out of its population.
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    merge([tmp_path / "c"], tmp_path / "d")
    assert {*names.values()} < {*kept(tmp_path / "d")}
    assert kept(tmp_path / "d") == kept(tmp_path / "c")


def old_digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:24]


def rename(suite: Path, names: dict[str, str]) -> None:
    """Gives runs other digests: in texts, in columns, and their folders."""
    import pyarrow
    import pyarrow.parquet as parquet

    for file in [*suite.rglob("*.json")]:
        text = file.read_text()
        for old, new in names.items():
            text = text.replace(old, new)
        file.write_text(text)
    for file in suite.glob("population-*/*.parquet"):
        table = parquet.read_table(file)
        column = pyarrow.array([names[each] for each in table["digest"].to_pylist()])
        parquet.write_table(table.set_column(0, "digest", column), file)
    for old, new in names.items():
        if (suite / old).exists():
            (suite / old).rename(suite / new)


def test_a_record_keeps_the_versions_of_its_digest(make_run: Any, tmp_path: Path) -> None:
    """A worker in another Python may find other versions than the plan."""
    spec, planned_ = make_run(), {"numpy": "1.0", "made_up": "1"}
    name = digest(spec, planned_, {})
    given = {"spec": spec.to_json(), "digest": name, "versions": planned_, "sources": {}}
    given["log"] = str(tmp_path / "log.txt")
    draft = Draft(given, {"numpy": "2.0", "further": "3", "made_up": "1"}, 0.0)
    record = draft.measured(Memory(imported_bytes=1, peak_bytes=1, method="none")).record
    assert is_digest_of(name, record.spec, record.versions, record.sources)
    assert record.reported == {"numpy": "2.0", "further": "3"}
    assert record.libraries == {"numpy": "2.0", "made_up": "1", "further": "3"}


# -- folders


def linked_runs(a: Path, b: Path, c: Path) -> tuple[Path, ...]:
    (b / "runs").rename(b / "elsewhere")
    (b / "runs").symlink_to(b / "elsewhere")
    return a, b, c


def linked_suite(a: Path, b: Path, c: Path) -> tuple[Path, ...]:
    (b / "runs/t").symlink_to(a / "runs/s")
    return a, b, c


def named(suite: str) -> Callable[[Path, Path, Path], tuple[Path, ...]]:
    def make(a: Path, b: Path, c: Path) -> tuple[Path, ...]:
        (b / "runs/s").rename(b / "runs" / suite)
        return a, b, c

    return make


def linked(a: Path, b: Path, c: Path) -> tuple[Path, ...]:
    (a.parent / "link").symlink_to(a)
    return a, a.parent / "link", c


def newer_plan(a: Path, b: Path, c: Path) -> tuple[Path, ...]:
    edit(b / "runs/s/plan.json", schema=2)
    return a, b, c


def of_links(name: str) -> Callable[[Path, Path, Path], tuple[Path, ...]]:
    def make(a: Path, b: Path, c: Path) -> tuple[Path, ...]:
        to_link(b / name, "/etc/passwd")
        return a, b, c

    return make


# Sources and the target after a change, and words of the refusal.
FOLDERS: list[tuple[Callable[[Path, Path, Path], tuple[Path, ...]], str]] = [
    (lambda a, b, c: (a, b.parent / "nowhere", c), "no such folder"),
    (lambda a, b, c: (a, b / "runs", c), "no results there"),
    (lambda a, b, c: (a, a / "runs/s/plan.json", c), "no results there"),
    (lambda a, b, c: (a, a, c), "the same folder"),
    (lambda a, b, c: (a, a / "." / ".." / "a", c), "the same folder"),
    (linked, "the same folder"),
    (lambda a, b, c: (a, b, a), "both a source and --output"),
    (lambda a, b, c: (a, b, a / "all"), "sources are only read"),
    (lambda a, b, c: (a, b, b / "runs" / "s"), "sources are only read"),
    (lambda a, b, c: (b, a, a / "runs/s/plan.json"), "not a folder"),
    (linked_runs, "runs: a link, which is not followed"),
    (linked_suite, "t: a link, which is not followed"),
    (named(".s"), "cannot name a suite"),
    (named("s\x1b[2J"), "cannot name a suite"),
    (named("a" * 81), "cannot name a suite"),
    (newer_plan, "is newer than this gradrace reads"),
    (of_links("runs/s/plan.json"), "plan.json: cannot be read"),
    (of_links("runs/s/study.json"), "study.json: cannot be read"),
    (of_links("verify.json"), "verify.json: cannot be read"),
    (of_links("lanes.json"), "lanes.json: cannot be read"),
]


@pytest.mark.parametrize(("change", "words"), FOLDERS)
def test_folders_that_cannot_be_merged(
    two: tuple[Path, Path, Path], change: Callable[..., tuple[Path, ...]], words: str
) -> None:
    *sources, output = change(*two)
    before = tree(two[0].parent)
    done = call(*sources, "-o", output)
    assert done.exit_code == 2 and words in done.output, done.output
    assert tree(two[0].parent) == before and "\x1b" not in done.output


def test_a_source_among_the_targets_results_is_refused(two: tuple[Path, Path, Path]) -> None:
    a, b, c = two
    (c / "runs").mkdir(parents=True)
    a.rename(c / "runs" / "a")
    assert "lies among the results" in call(c / "runs/a", b, "-o", c).output
    (c / "runs/a").rename(c / "a")
    assert call(c / "a", b, "-o", c).exit_code == 0, "beside them it may lie"
