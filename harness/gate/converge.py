"""The gate's losses: computed today, and compared with the baseline or the base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import ExitCode, UserError
from ..machine.place import machine_type
from ..paired import Side
from ..spec import Device
from ..sweep import Sweep, matches
from . import Check, Comparability, Convergence
from .baseline import Baseline, file_of, merged, read, write
from .check import check_run, check_seeds, comparability, unchecked, unfinished
from .trace import Trace
from .traces import (
    Computed,
    Watching,
    compute,
    compute_elsewhere,
    converging,
    make_baseline,
    traces,
    versions_of,
)


def update(sweep: Sweep, watch: Watching) -> tuple[Path, Baseline, Computed]:
    """Computes the suite's traces and float64 twins afresh and writes the baseline.

    Runs not selected keep their lines. UserError (exit code 3) if no run finished; the file is then
    left alone.
    """
    file = file_of(sweep.options.output, sweep.suite.name)
    kept = read(file)
    computed = compute(sweep, watch)
    if not computed.finished:
        raise UserError(
            f"{file}: nothing to keep: {_why_nothing(computed)}", ExitCode.NOTHING_MEASURED
        )
    fresh = make_baseline(sweep.suite.name, computed, compute(sweep, watch, twins=True))
    baseline = merged(_still_planned(kept, sweep), fresh)
    write(file, baseline)
    return file, baseline, computed


def converge(
    sweep: Sweep, watch: Watching, base: Side | None = None, elsewhere: Side | None = None
) -> Convergence:
    """The suite's runs against its baseline file, or against `base` if there is no such file.

    elsewhere: the side that today's runs are computed on, if it is not the working tree but another
    interpreter or commit; they are compared with `base` whatever files there are.
    UserError (exit code 3) if there is nothing to compare with.
    """
    if not converging(sweep):
        raise UserError(
            f"{sweep.suite.name}: no convergence runs are selected", ExitCode.NOTHING_MEASURED
        )
    file = file_of(sweep.options.output, sweep.suite.name)
    kept = None if elsewhere else read(file)
    if kept is None and base is None:
        raise UserError(
            f"{file}: no baseline yet; make one with `gradrace baseline update {sweep.suite.name}`"
            " and commit it",
            ExitCode.NOTHING_MEASURED,
        )
    computed = compute_elsewhere(sweep, elsewhere) if elsewhere else compute(sweep, watch)
    if kept is not None:
        return _checked(str(file), kept, computed, sweep, _OF_A_FILE)
    assert base is not None, "looked at above"
    before = compute_elsewhere(sweep, base)
    if not before.finished:
        raise UserError(
            f"{base.label}: no run finished: {_why_nothing(before)}", ExitCode.NOTHING_MEASURED
        )
    twins = compute_elsewhere(sweep, base, twins=True) if elsewhere else Computed({}, {})
    baseline = make_baseline(sweep.suite.name, before, twins)
    return _checked(f"{base.label}, computed beside today's", baseline, computed, sweep, _OF_A_SIDE)


class _Words(NamedTuple):
    """The notes on runs that only one side has."""

    new: str
    gone: str


_OF_A_FILE = _Words(
    "not in the baseline yet; `gradrace baseline update` adds it",
    "in the baseline, no longer in the suite (or made with --load); on purpose? `gradrace baseline"
    " update` drops it",
)
_OF_A_SIDE = _Words(
    "the base has no losses of such a run",
    "only the base has such a run: another learning rate or mode?",
)


def _checked(
    against: str, baseline: Baseline, computed: Computed, sweep: Sweep, words: _Words
) -> Convergence:
    known, today = baseline.by_id, traces(computed)
    how = _comparabilities(baseline, computed)
    checks = [_one(name, known, today, computed, how, words.new) for name in computed.records]
    planned = {run.spec.id for run in sweep.plan}
    for trace in baseline.runs:
        if trace.id not in planned and matches(trace.id, sweep.options.keyword):
            gone = unchecked(trace.id, trace.framework, words.gone)
            checks.append(gone.model_copy(update={"verdict": "changed"}))
    in_band = {name for name, found in how.items() if found.mode == "band"}
    banded = [trace for trace in baseline.runs if trace.framework in in_band]
    every = {name: record.spec.task.eval_every for name, record in computed.records.items()}
    checks += check_seeds(banded, today, every)
    return Convergence(
        against=against,
        frameworks=tuple(how[name] for name in sorted(how)),
        checks=tuple(checks),
        machine_type=machine_type(_device(sweep)),
    )


def _one(
    name: str,
    known: Mapping[str, Trace],
    today: Mapping[str, Trace],
    computed: Computed,
    how: Mapping[str, Comparability],
    new: str,
) -> Check:
    """One run of today: compared if it finished and the other side has it."""
    framework = computed.records[name].spec.framework
    if name not in today:
        return unfinished(computed.records[name])
    if name not in known:
        return unchecked(name, framework, new)
    return check_run(known[name], today[name], how[framework])


def _comparabilities(baseline: Baseline, computed: Computed) -> dict[str, Comparability]:
    """Framework -> how its runs are compared, if it has a finished run and a baseline."""
    found = {}
    for record in computed.finished:
        name = record.spec.framework
        if name in baseline.frameworks and name not in found:
            place = machine_type(record.spec.device)
            found[name] = comparability(name, baseline.frameworks[name], versions_of(record), place)
    return found


def _still_planned(kept: Baseline | None, sweep: Sweep) -> Baseline | None:
    """An earlier baseline without the runs that the suite no longer has."""
    if kept is None:
        return None
    planned = {run.spec.id for run in sweep.plan}
    runs = tuple(trace for trace in kept.runs if trace.id in planned)
    return kept.model_copy(update={"runs": runs})


def _device(sweep: Sweep) -> Device:
    return "gpu" if any(run.spec.device == "gpu" for run in converging(sweep)) else "cpu"


def _why_nothing(computed: Computed) -> str:
    reasons = dict.fromkeys(
        f"{record.status}: {record.reason}" for record in computed.records.values()
    )
    return "; ".join(reasons) or "no run is selected"
