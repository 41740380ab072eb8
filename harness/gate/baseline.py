"""Baselines on disk: results/baselines/<suite>.json, small, sorted, a run a line, so that a pull
request shows what changed.

Numbers have as many digits as give them back exactly: 9 for float32, 17 for float64.
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
    """What computed a framework's lines: the versions of all that computes, and the type of machine
    (place.py).
    """

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
        """A merge of two versions by hand may have kept both lines of a run."""
        if twice := [
            name for name, count in Counter(trace.id for trace in self.runs).items() if count > 1
        ]:
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
    """Where a suite's baseline lies in a folder of results. UserError for a name that could leave
    that folder.
    """
    if not SUITE_NAME.fullmatch(suite):
        raise UserError(
            f"{suite!r} cannot name a baseline: letters, digits, '-' and '_' only, 80 at most"
        )
    return output / "baselines" / f"{suite}.json"


def read(file: Path) -> Baseline | None:
    """The baseline there; None where there is none. UserError where it is unreadable, not ours, or
    of a newer schema.
    """
    if not file.exists():
        return None
    return read_model(Baseline, file, SCHEMA, "a baseline", "run `gradrace baseline update`")


def write(file: Path, baseline: Baseline) -> None:
    """Replaces the file as a whole."""
    with writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, text(baseline))


def merged(kept: Baseline | None, fresh: Baseline) -> Baseline:
    """The fresh traces, and those kept of other runs.

    UserError where a framework's kept lines were made by other versions or on another machine than
    its fresh ones."""
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
    origins = {
        **{name: kept.frameworks[name] for name in {trace.framework for trace in others}},
        **fresh.frameworks,
    }
    return Baseline(suite=fresh.suite, frameworks=origins, runs=ordered([*others, *fresh.runs]))


def ordered(traces: Iterable[Trace]) -> tuple[Trace, ...]:
    """By id."""
    return tuple(sorted(traces, key=lambda trace: trace.id))


def text(baseline: Baseline) -> str:
    """JSON with one framework and one run a line."""
    head = {
        "schema": baseline.schema_version,
        "suite": baseline.suite,
        "recorded": baseline.recorded,
    }
    lines = [f' "{key}": {json.dumps(value)},' for key, value in head.items()]
    origins = [
        f"  {json.dumps(name)}: {_plain(origin.to_json())}"
        for name, origin in sorted(baseline.frameworks.items())
    ]
    runs = [f"  {_line(trace)}" for trace in baseline.runs]
    body = [
        *lines,
        ' "frameworks": {',
        ",\n".join(origins),
        " },",
        ' "runs": [',
        ",\n".join(runs),
        " ]",
    ]
    return "\n".join(["{", *body, "}", ""])


def _line(trace: Trace) -> str:
    """What has its default is left out; losses have the digits that their dtype needs."""
    given = trace.model_dump(mode="json", exclude_defaults=True)
    losses = given.pop("losses")
    digits = 17 if trace.dtype == "float64" else 9
    numbers = ",".join(repr(x) if trace.dtype == "float64" else f"{x:.{digits}g}" for x in losses)
    return f'{_plain(given)[:-1]}, "losses": [{numbers}]}}'


def _plain(value: Any) -> str:
    return json.dumps(value, separators=(", ", ": "), allow_nan=False)
