"""A suite's run verifies its own cells: once for each set of runs, versions and sources."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..executor.make import LOCAL
from ..importpath import is_import_path
from ..jsonfile import writing
from ..registry import Registry
from ..sources import hashes
from ..spec import POPULATION, canonical_json
from ..sweep import Sweep
from ..sweep.drivers.quiet import Quiet
from ..turns import turn
from . import stamp

if TYPE_CHECKING:
    from .cases import Case, Selection
    from .verdict import VerifyFile

# `make race` ends within four and a half minutes on two cores.
BUDGET_S = 45.0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Verified:
    """What is known about a suite's cells: failures in a line each; says: what else is to be told,
    in sentences; computed: how many cases were computed just now."""

    failures: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    computed: int = 0


def verify_suite(
    sweep: Sweep, tell: Tell = lambda line: None, budget_s: float = BUDGET_S
) -> Verified:
    """Verifies the cells of the selected runs, unless that is done, and keeps the verdicts.

    It waits until no driver of this folder times anything on this machine. tell: hears what is
    verified and how long that may take. UserError: the folder cannot be written."""
    if sweep.options.executor != LOCAL:
        return Verified(says=("not verified: other machines computed this (--executor ray)",))
    output, key = sweep.options.output, _key(sweep)
    if (kept := stamp.find(output, key)) is not None:
        return Verified(failures=kept)
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    with Quiet(output) as quiet, turn(stamp.file_in(output)):
        quiet.hold(alone=False)
        if (kept := stamp.find(output, key)) is not None:
            return Verified(failures=kept)
        found = _verified(sweep, tell, budget_s)
        stamp.keep(output, key, found.failures)
    return found


def is_done(sweep: Sweep) -> bool:
    """Whether `verify_suite` would compute nothing."""
    local = sweep.options.executor == LOCAL
    return not local or stamp.find(sweep.options.output, _key(sweep)) is not None


def expected_s(sweep: Sweep) -> float:
    """How long `verify_suite` would take; 0 if it would compute nothing."""
    if is_done(sweep):
        return 0.0
    _, missing, earlier = _missing(sweep)
    return min(_expected_s(sweep, missing, earlier), BUDGET_S) if missing else 0.0


def _key(sweep: Sweep) -> str:
    """Digests tell the runs, their versions and their sources; the rest is the verification."""
    made = {
        "runs": sorted(run.digest for run in sweep.selected),
        "source": hashes([Path(__file__).with_name("driver.py")]),
    }
    return hashlib.sha256(canonical_json(made).encode()).hexdigest()


def _missing(sweep: Sweep) -> tuple[Selection, list[Case], VerifyFile | None]:
    """The suite's selection, its cases without a verdict that holds, and all kept verdicts that
    hold."""
    from ..sweep.installed import versions_of
    from . import cases, cells, file
    from .current import current
    from .driver import sources

    registry, interpreters = sweep.registry, sweep.options.interpreters
    wanted = cells.selection(registry, [run.spec for run in sweep.selected])
    if not wanted.cells:
        return wanted, [], None
    try:
        earlier = file.read(sweep.options.output)
    except UserError:
        earlier = None
    if earlier:
        frameworks = (registry.frameworks[name] for name in wanted.frameworks)
        now = {each.name: versions_of(each, interpreters) or {} for each in frameworks}
        earlier = current(earlier, registry, now, sources(registry))
    missing = _without(earlier, cases.table(registry, wanted), registry, wanted.frameworks)
    return wanted, missing, earlier


def _without(
    kept: VerifyFile | None, cases: Sequence[Case], registry: Registry, names: Sequence[str]
) -> list[Case]:
    """The cases of which some pair of these frameworks has no verdict."""
    from .cells import sides
    from .judge import compared

    known = {verdict.key for verdict in kept.verdicts} if kept else set()
    return [
        case
        for case in cases
        if not all(
            (case.level, case.name, one.label, other.label) in known
            for one, other in compared(case, sides(case, registry, names))
        )
    ]


def _expected_s(sweep: Sweep, missing: list[Case], earlier: VerifyFile | None) -> float:
    from . import cells, estimate
    from .compared import compared_runs

    names = cells.frameworks(compared_runs([run.spec for run in sweep.selected]))
    return estimate.seconds(missing, sweep.registry, names, earlier.costs if earlier else {})


def _verified(sweep: Sweep, tell: Tell, budget_s: float) -> Verified:
    from . import estimate, file
    from .driver import VerifyOptions, verify
    from .odd import failures

    wanted, missing, whole = _missing(sweep)
    if not wanted.cells:
        return Verified(says=("nothing to verify: NumPy alone is compared with nobody",))
    says = _unproven(sweep)
    if missing:
        expected = estimate.text(_expected_s(sweep, missing, whole))
        tell(
            f"verifying the cells of this suite: {len(missing)} cases, about {expected}, at most"
            f" {budget_s:.0f} s (--no-verify turns this off)"
        )
        options = VerifyOptions(
            replace(wanted, cells=tuple(case.id for case in missing)),
            interpreters=sweep.options.interpreters,
            deadline=time.monotonic() + budget_s,
        )
        found = verify(sweep.registry, options)
        whole = file.write(sweep.options.output, found, sweep.registry)
        if left := _without(whole, missing, sweep.registry, wanted.frameworks):
            says.append(
                f"{len(left)} of {len(missing)} cases were not finished after {budget_s:.0f} s and"
                " are left out: `gradrace verify` does all"
            )
    ids = set(wanted.cells)
    of_suite = [v for v in whole.verdicts if f"{v.level}/{v.case}" in ids] if whole else []
    return Verified(tuple(failures(of_suite)), tuple(says), len(missing))


def _unproven(sweep: Sweep) -> list[str]:
    """What the verdicts do not speak about."""
    specs = [run.spec for run in sweep.selected]
    found = []
    if any(spec.device == "gpu" for spec in specs):
        found.append("verified on the CPU alone: `gradrace verify --device gpu` proves the GPU")
    if any(spec.mode == POPULATION for spec in specs):
        found.append(
            "lanes of populations are not verified here: `gradrace verify -k populations` compares"
            " them with single runs"
        )
    paths = dict.fromkeys(name for s in specs for name in s.optimizer.names if is_import_path(name))
    for name in paths:
        found.append(f"{name} has no rule to be verified against: `gradrace certify {name}`")
    return found
