"""Folders of made-up results for tests of `gradrace merge`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import many
import numpy as np
from gradrace.cli import app
from gradrace.machine import this_machine
from gradrace.record import Curve, Machine, RunRecord, RunResult, Summary
from gradrace.spec import TimingSpec, digest
from gradrace.suite.origin import Origin
from gradrace.sweep.store import PlanFile, Store, stored
from runner import limited
from typer.testing import CliRunner

HOUR = "2026-01-01T{:02d}:00:00+00:00"


def on(host: str) -> Machine:
    """This machine under another name."""
    return this_machine().model_copy(update={"host": host})


def run(number: int, host: str = "one", hour: int = 0, **fields: Any) -> RunResult:
    """A training run by itself; `versions` and `sources` enter its digest."""
    spec = fields.pop("spec", None) or many.spec_of(number, mode="scan", lanes=1)
    versions = fields.pop("versions", {"made_up": "1"})
    sources = fields.pop("sources", {"loop": "0"})
    usual = {"digest": digest(spec, versions, sources), "versions": versions, "sources": sources}
    usual |= {"machine": on(host), "started_at": HOUR.format(hour), "lanes": spec.lanes}
    return many.result_of(spec, **{**usual, **fields})


def skipped(number: int, **fields: Any) -> RunResult:
    """A run that this machine cannot do."""
    made = run(number, status="skipped", reason="not installed", summary=None, **fields)
    return replace(made, curve=None)


def timed(launch: int, blocks: int = 4, **fields: Any) -> RunResult:
    """A launch of one cell; `blocks` is its design."""
    clock = TimingSpec(blocks=blocks)
    spec = many.spec_of(0, mode="jit", lanes=1, measure="timing", timing=clock, launch=launch)
    made = run(0, spec=spec, summary=None, **fields)
    ones = np.full(blocks, 1000 + launch, dtype=np.int64)
    return replace(made, curve=None, blocks=many.Blocks(*[ones] * 5, np.array(["step"] * blocks)))


def write(
    output: Path, runs: Sequence[RunResult], together: bool = False, **plan: Any
) -> dict[str, RunResult]:
    """A folder of results with these runs of the suite `s`, or of `suite`."""
    suite = plan.pop("suite", "s")
    clocked = [each for each in runs if each.record.spec.measure != "convergence"]
    usual: dict[str, Any] = {"suite": suite, "title": "S", "question": ""}
    usual["digests"] = tuple(each.record.digest for each in runs)
    usual["clocked"] = tuple(each.record.digest for each in clocked)
    with Store(output, suite) as store:
        if together:
            store.write_many(runs)
        else:
            for each in runs:
                store.write(each)
        store.write_plan(PlanFile(**{**usual, **plan}))
    return {each.record.digest: each for each in runs}


def kept(output: Path, suite: str = "s") -> dict[str, RunRecord]:
    """All records that are there, whatever the plan; they must be sound."""
    place = stored(output, suite)
    return {found.record.digest: found.record for found in place.sound(place.digests())}


def tree(folder: Path) -> dict[str, bytes]:
    """All files and their contents."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def call(*arguments: str | Path) -> Any:
    """`gradrace merge` with these arguments, in this process."""
    with limited(60):
        return CliRunner().invoke(app, ["merge", *map(str, arguments)])


def curve(last: float) -> Curve:
    """Falls evenly, but for the last training loss."""
    losses = np.linspace(2.0, 1.0, many.TASK.steps)
    losses[-1] = last
    return Curve(losses, np.array([0, 20]), np.ones(2), np.ones(2))


def trained(last: float = 1.0, **fields: Any) -> RunResult:
    """Always the same run, with its own last loss."""
    summary = Summary(steps_done=many.TASK.steps, test_loss=fields.pop("test_loss", 0.5))
    return replace(run(7, summary=summary, **fields), curve=curve(last))


OK, DIVERGED = trained(host="ok", hour=5), trained(host="diverged", hour=6, status="diverged")
FAILED = replace(run(7, host="failed", hour=1, status="failed", summary=None), curve=None)
LATER = replace(run(7, host="later", hour=2, status="timeout", summary=None), curve=None)
SKIPPED = skipped(7, host="skipped", hour=0)
EARLIER = trained(host="earlier", hour=4)


def origin(title: str, content: str = "0" * 24, source: str = "/home/me/s.toml") -> dict[str, Any]:
    """The origin of a suite, as a field of its plan."""
    return {"origin": Origin(source=source, title=title, content=content)}
