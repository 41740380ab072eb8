"""Computes cases of `gradrace verify` with one fault after another planted.

`python tests/helpers/plant.py FRAMEWORK OUT.npz`, because one process holds one framework.
Saves `<fault>|<case>|<mode>|<array>`, the honest answers under the fault 'honest', and errors as
`...|error`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
from faults import FAULTS, Planting
from gradrace.registry import Framework, import_adapter, load_registry
from gradrace.spec import POPULATION
from gradrace.verify.cases import (
    BITS_STEPS,
    Case,
    PopulationCase,
    TrajectoryCase,
    by_id,
    everything,
)
from gradrace.verify.compute import compute, modes

STEPS = 12


def shortened(case: Case) -> Case:
    """A fault shows in its first steps, or not at all."""
    if isinstance(case, PopulationCase):
        # All of one length: some compile every length anew.
        half = BITS_STEPS // 2 if case.replaced_from else 0
        return replace(case, steps=BITS_STEPS, replaced_from=half)
    if not isinstance(case, TrajectoryCase):
        return case
    half = STEPS // 2 if case.replaced_from else 0
    return replace(case, steps=STEPS, modes="convergence", replaced_from=half)


def cases() -> dict[str, Case]:
    """The cases that faults name."""
    table = by_id(list(everything(load_registry())))
    return {fault.case: shortened(table[fault.case]) for fault in FAULTS}


def forget(framework: str) -> None:
    """Compiled code of earlier sessions was traced without the fault, or with it."""
    package = f"gradrace.adapters.{framework}"
    for module in [each for name, each in sys.modules.items() if name.startswith(package)]:
        for key, value in list(vars(module).items()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()
            elif key == "_IDLE":
                value.clear()


def faulty_modes(case: Case, framework: Framework) -> tuple[str, ...]:
    """The modes in which a fault is computed; the other sides of populations stay honest."""
    return (POPULATION,) if isinstance(case, PopulationCase) else modes(case, framework)


def main() -> None:
    """All faults of the framework, and its honest answers to the same cases."""
    framework, out = load_registry().frameworks[sys.argv[1]], sys.argv[2]
    adapter, registry, table = import_adapter(framework), load_registry(), cases()
    arrays: dict[str, Any] = {}
    faults = [fault for fault in FAULTS if fault.framework == framework.name]
    # Those outside of compiled programs first: they run the programs of the honest answers.
    for fault in (None, *sorted(faults, key=lambda fault: fault.compiled)):
        own = [fault.case] if fault else sorted({each.case for each in faults})
        with ExitStack() as undo:
            planting = Planting(framework.name, adapter, dict(registry.optimizers), undo)
            if fault and fault.compiled:
                forget(framework.name)
            if fault:
                fault.plant(planting)
            for name in own:
                for mode in (faulty_modes if fault else modes)(table[name], framework):
                    key = f"{fault.name if fault else 'honest'}|{name}|{mode}"
                    try:
                        found = compute(table[name], adapter, framework, mode, planting.optimizers)
                    except Exception as error:
                        found = {"error": np.array(repr(error))}
                    arrays |= {f"{key}|{name}": np.asarray(value) for name, value in found.items()}
    np.savez(out, **arrays)


if __name__ == "__main__":
    main()
