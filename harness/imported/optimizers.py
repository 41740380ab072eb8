"""The Optimizer that stands for an import path."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import near_miss
from ..importpath import ImportPath
from ..optimizer import Binding, Optimizer
from ..plugins.executed import run_file


@dataclass(frozen=True)
class _InFile:
    """Gives the class of a user's file, in the worker that holds its framework."""

    path: ImportPath

    @property
    def label(self) -> str:
        """The name to show a reader, for Binding.label."""
        return self.path.name.partition(":")[2]

    def __call__(self) -> Callable[..., Any]:
        assert self.path.file, "it is the path of a file"
        found: Any = run_file(self.path.file)
        for part in self.path.dotted.split("."):
            if not hasattr(found, part):
                known = [name for name in dir(found) if not name.startswith("_")]
                raise ValueError(f"{self.path.file}: it has no {part!r}{near_miss(part, known)}")
            found = getattr(found, part)
        return found


def optimizer_of(path: ImportPath) -> Optimizer:
    """The optimizer of a path as a worker needs it: its class alone, under the native rule.

    `learning_rate` is NaN: only the framework knows the default."""
    binding = Binding(_InFile(path) if path.file else path.dotted)
    return Optimizer(
        name=path.name,
        title=path.name,
        paper="",
        learning_rate=math.nan,
        hyper={},
        bindings={path.framework: binding},
        imported=path,
    )


# The file of an optimizer whose class an installed package holds.
HERE = sys.modules[__name__].__file__ or ""
