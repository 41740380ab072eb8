"""The sources and versions that the files of users and plug-ins lead to."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path

from ..optimizer import Optimizer
from ..registry import Registry
from ..sources import Reach, reach

# Computes every run, beside its framework.
CORE = ("numpy", "scikit-learn")


def imported(distribution: str) -> str:
    """The key in a run's sources for the version of a distribution that a plug-in imports."""
    return f"distribution {distribution}"


def reach_of(
    registry: Registry,
    files: Iterable[Path],
    optimizers: Iterable[Optimizer],
    framework: str,
    python: str | None = None,
) -> Reach:
    """All that these files, and the optimizers' bindings to the framework, lead to.

    Functions that are the targets of other frameworks alone are left out."""
    files, optimizers = list(files), list(optimizers)
    mine = [each.bindings[framework] for each in optimizers if framework in each.bindings]
    targets = [binding.target for binding in mine]
    paths = [path for b in mine for path in (b.target, b.native_target, b.evaluation)]
    others = [
        binding.target
        for each in optimizers
        for name, binding in each.bindings.items()
        if name != framework and binding.target not in targets
    ]
    modules = [registry.modules[file] for file in files if file in registry.modules]
    return reach(
        [file for file in files if file not in registry.modules],
        [*(path for path in paths if isinstance(path, str)), *modules],
        [line for target in others if (line := _first_line(target))],
        [*distributions(registry), *CORE],
        python,
    )


def distributions(registry: Registry) -> set[str]:
    """The distributions of all frameworks."""
    required = [each for f in registry.frameworks.values() for each in f.requires]
    return {name for each in required for name in each.split("|")}


def _first_line(target: object) -> tuple[str, int] | None:
    """File and first line of a function, below functools.cache and the like; None for others."""
    try:
        code = getattr(inspect.unwrap(target), "__code__", None) if callable(target) else None
    # It wraps itself.
    except ValueError:
        return None
    return (code.co_filename, code.co_firstlineno) if code else None
