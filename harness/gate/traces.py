"""Traces of today: the working tree in an ordinary sweep, another side in its own process."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ExitCode, UserError
from ..executor import PlannedRun, Single
from ..importpath import Plugin, files_of
from ..machine.place import machine_type
from ..paired import Side
from ..paired.processes import side_path
from ..process import NoAnswer, ask
from ..record import FINAL, RunRecord
from ..spec import RunSpec, digest
from ..suite import entry_name, read_suite, with_named_timing
from ..sweep import Options, Sweep, execute, prepare
from ..sweep.reached import imported
from ..sweep.store import read_plan, stored
from ..sweep.stored import Stored
from .baseline import Baseline, Origin, ordered
from .trace import Trace, make_trace

Watching = Callable[[Single, int, int], None]

# Has no say in arithmetic, and many patch releases.
_NOT_COMPARED = ("python",)

# Run by another side's interpreter on its source. Interface between commits: every gradrace that
# may be a base must have these names, see tests/core/test_interface_between_commits.py.
ELSEWHERE = """
import json, sys
from pathlib import Path
asked = json.load(sys.stdin)
from gradrace.suite import make_suite
from gradrace.sweep import Options, execute, prepare
suite = make_suite(asked["suite"], asked["content"], asked["suite"])
output, keyword, timeout_s = Path(asked["output"]), asked["keyword"], asked["timeout_s"]
options = Options(output=output, keyword=keyword, timeout_s=timeout_s)
execute(prepare(suite, [Path(file) for file in asked["plugins"]], options))
print(json.dumps({"done": True}))
"""


@dataclass(frozen=True)
class Computed:
    """Ended runs by id: records, and the training losses float64[n] if a run has any."""

    records: Mapping[str, RunRecord]
    losses: Mapping[str, np.ndarray]

    @property
    def finished(self) -> tuple[RunRecord, ...]:
        """The runs that ended ok or diverged."""
        return tuple(record for record in self.records.values() if record.status in FINAL)


def versions_of(record: RunRecord) -> dict[str, str]:
    """Distribution -> version of the framework's arithmetic, without imports of plug-ins."""
    found = record.libraries
    left_out = {name for name in found if name in _NOT_COMPARED or imported(name) in record.sources}
    return {name: version for name, version in sorted(found.items()) if name not in left_out}


def converging(sweep: Sweep) -> tuple[PlannedRun, ...]:
    """The selected convergence runs."""
    return tuple(run for run in sweep.selected if run.spec.measure == "convergence")


def compute(sweep: Sweep, watch: Watching, twins: bool = False) -> Computed:
    """The sweep's convergence runs, afresh in a temporary folder; with `twins`, in float64.

    A float64 run has no twin; a twin that its framework cannot do is not among the finished."""
    runs = converging(sweep)
    if twins:
        runs = tuple(_twin(run) for run in runs if run.spec.dtype != "float64")
    if not runs:
        return Computed({}, {})
    with tempfile.TemporaryDirectory(prefix="gradrace-gate-") as folder:
        options = replace(sweep.options, output=Path(folder))
        execute(replace(sweep, plan=runs, selected=runs, options=options), watch)
        return _read(Path(folder), sweep.suite.name)


def compute_elsewhere(sweep: Sweep, side: Side, twins: bool = False) -> Computed:
    """The same runs on another side's interpreter, source and plug-ins; with `twins`, in float64.

    UserError (exit code 3) with the side's own last words if it cannot.
    """
    content = {**sweep.suite.content.model_dump(mode="json", exclude_unset=True), "timing": False}
    content |= {"dtype": "float64"} if twins else {}
    for kind, names in sweep.registry.loaded.items():
        given = content.get(kind, ())
        # A suite that names nothing else names them itself, and may not be left empty.
        content[kind] = _without(given, names) or (given if kind != "schedules" else [])
    if not content["schedules"]:
        # The suite's own, which is constant.
        del content["schedules"]
    with tempfile.TemporaryDirectory(prefix="gradrace-gate-") as folder:
        asked = {
            "suite": sweep.suite.name,
            "content": content,
            "output": folder,
            "keyword": sweep.options.keyword,
            "timeout_s": sweep.options.timeout_s,
            "plugins": [str(file) for file in files_of(side.plugins)],
        }
        _run_elsewhere(side, asked)
        return _read(Path(folder), sweep.suite.name)


def make_baseline(suite: str, computed: Computed, twins: Computed) -> Baseline:
    """The baseline of all finished runs. The band needs the twins."""
    twin_of = {_but_dtype(record.spec): name for name, record in twins.records.items()}
    kept = []
    for run in computed.finished:
        twin = twin_of.get(_but_dtype(run.spec), "")
        final = _final(twins.records.get(twin))
        kept.append(make_trace(run, computed.losses[run.spec.id], twins.losses.get(twin), final))
    origins = {
        run.spec.framework: Origin(
            machine_type=machine_type(run.spec.device), versions=versions_of(run)
        )
        for run in computed.finished
    }
    return Baseline(suite=suite, frameworks=origins, runs=ordered(kept))


def traces(computed: Computed) -> dict[str, Trace]:
    """Today's traces by id, for comparison; their bands say nothing."""
    return {run.spec.id: make_trace(run, computed.losses[run.spec.id]) for run in computed.finished}


def select(suite: str, plugins: Sequence[Plugin], options: Options) -> Sweep:
    """The suite's convergence runs, and its timing cells under the rule that its timing part names.

    The first launch of a cell stands for all of them."""
    # A trace is of a run by itself, whatever pays on this machine.
    options = replace(options, population="off")
    sweep = prepare(with_named_timing(read_suite(suite)), plugins, options)
    chosen = tuple(run for run in sweep.selected if run.spec.launch == 0)
    return replace(sweep, selected=chosen)


def _but_dtype(spec: RunSpec) -> str:
    """Equal for a run and its twin, even if the suite sweeps dtypes."""
    named = {key: value for key, value in spec.variations.items() if key != "dtype"}
    return spec.model_copy(update={"dtype": "float64", "variations": named}).model_dump_json()


def _twin(run: PlannedRun) -> PlannedRun:
    spec = run.spec.model_copy(update={"dtype": "float64"})
    return replace(run, spec=spec, digest=digest(spec, run.versions, run.sources))


def _read(folder: Path, suite: str) -> Computed:
    place = stored(folder, suite)
    found = [kept.record for kept in place.sound(read_plan(folder, suite).digests)]
    records = {record.spec.id: record for record in found}
    losses = {name: _losses(place, record) for name, record in records.items()}
    return Computed(records, {name: of for name, of in losses.items() if of is not None})


def _losses(place: Stored, record: RunRecord) -> np.ndarray | None:
    if "curve.parquet" not in record.artefacts:
        return None
    columns = place.arrays(record.digest, "curve")
    return None if columns is None else columns["value"][columns["series"] == "train_loss"]


def _final(record: RunRecord | None) -> float | None:
    return record.summary.final_validation_loss if record and record.summary else None


def _without(entries: Iterable[Any], names: Sequence[str]) -> list[Any]:
    """Without the names that the command line added: the other side adds its own."""
    return [entry for entry in entries if entry_name(entry) not in names]


def _run_elsewhere(side: Side, asked: Mapping[str, Any]) -> None:
    command = [side.python, "-P", "-c", ELSEWHERE]
    try:
        ask(command, side_path(side, os.environ), timeout_s=None, given=json.dumps(asked))
    except NoAnswer as error:
        raise UserError(
            f"{side.label}: its losses cannot be computed: {error}", ExitCode.NOTHING_MEASURED
        ) from None
