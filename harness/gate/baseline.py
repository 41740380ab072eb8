"""Baselines on disk: results/baselines/<suite>.json, sorted, a run a line, for readable diffs.

Numbers have the digits that give them back exactly: 9 for float32, 17 for float64.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ..errors import UserError
from ..jsonfile import read_model, replace_text, writing
from ..spec import Frozen
from ..sweep.store import SUITE_NAME
from .trace import DENSE, SPARSE, Trace

SCHEMA = 1
RECORDED = f"losses of steps 0 to {DENSE - 1}, then of every {SPARSE}th"


class Origin(Frozen):
    """The versions and the type of machine that computed a framework's lines."""

    machine_type: str
    versions: dict[str, str]


class Baseline(Frozen):
    """The traces of a suite, sorted by id, with each framework's origin."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    suite: str
    recorded: str = RECORDED
    frameworks: dict[str, Origin]
    runs: tuple[Trace, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        """A merge by hand may have kept both lines of a run."""
        counts = Counter(trace.id for trace in self.runs)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"{twice[0]} stands there twice")
        return self

    @model_validator(mode="after")
    def _origins_are_known(self) -> Self:
        """Every run's framework has its versions."""
        if unknown := [trace for trace in self.runs if trace.framework not in self.frameworks]:
            raise ValueError(f"{unknown[0].id}: no versions of {unknown[0].framework} are stated")
        return self

    @property
    def by_id(self) -> Mapping[str, Trace]:
        """Id -> trace."""
        return {trace.id: trace for trace in self.runs}


def file_of(output: Path, suite: str) -> Path:
    """A suite's baseline in a folder of results. UserError if its name could leave that folder."""
    if not SUITE_NAME.fullmatch(suite):
        raise UserError(
            f"{suite!r} cannot name a baseline: letters, digits, '-' and '_' only, 80 at most"
        )
    return output / "baselines" / f"{suite}.json"


def read(file: Path) -> Baseline | None:
    """The baseline there, or None. UserError if it is unreadable, not ours, or newer."""
    if not file.exists():
        return None
    return read_model(Baseline, file, SCHEMA, "a baseline", "run `gradrace baseline update`")


def write(file: Path, baseline: Baseline) -> None:
    """Replaces the file as a whole."""
    with writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, text(baseline))


def merged(kept: Baseline | None, fresh: Baseline) -> Baseline:
    """The fresh traces, and the kept ones of other runs.

    UserError if other versions or another machine made a framework's kept lines."""
    if kept is None:
        return fresh
    names = fresh.by_id.keys()
    others = [trace for trace in kept.runs if trace.id not in names]
    for name in {trace.framework for trace in others} & fresh.frameworks.keys():
        if kept.frameworks[name] != fresh.frameworks[name]:
            raise UserError(
                f"the baseline's other runs of {name} were made with other versions or on another"
                f" machine; update all of {name} together: gradrace baseline update {fresh.suite}"
                f" -k {name}-"
            )
    origins = {trace.framework: kept.frameworks[trace.framework] for trace in others}
    return Baseline(
        suite=fresh.suite,
        frameworks=origins | fresh.frameworks,
        runs=ordered([*others, *fresh.runs]),
    )


def ordered(traces: Iterable[Trace]) -> tuple[Trace, ...]:
    """By id."""
    return tuple(sorted(traces, key=lambda trace: trace.id))


def text(baseline: Baseline) -> str:
    """JSON with one framework and one run a line."""
    schema, suite, recorded = map(
        json.dumps, (baseline.schema_version, baseline.suite, baseline.recorded)
    )
    origins = ",\n".join(
        f"  {json.dumps(name)}: {_plain(origin.to_json())}"
        for name, origin in sorted(baseline.frameworks.items())
    )
    runs = ",\n".join(f"  {_line(trace)}" for trace in baseline.runs)
    return (
        f'{{\n "schema": {schema},\n "suite": {suite},\n "recorded": {recorded},\n'
        f' "frameworks": {{\n{origins}\n }},\n "runs": [\n{runs}\n ]\n}}\n'
    )


def _line(trace: Trace) -> str:
    """Without defaults; losses have the digits that their dtype needs."""
    given = trace.model_dump(mode="json", exclude_defaults=True)
    losses = given.pop("losses")
    numbers = ",".join(repr(x) if trace.dtype == "float64" else f"{x:.9g}" for x in losses)
    return f'{_plain(given)[:-1]}, "losses": [{numbers}]}}'


def _plain(value: Any) -> str:
    return json.dumps(value, separators=(", ", ": "), allow_nan=False)
