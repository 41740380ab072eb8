"""gradrace: which optimizer, in which framework, at what cost, and is the comparison fair?

The public names are loaded when first used, so that `import gradrace` costs nothing and needs no
framework."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__

_PUBLIC = {
    "run": "api",
    "load": "results.frame",
    "Frames": "results.frame",
    "Binding": "optimizer",
    "Hyper": "optimizer",
    "HyperCorrection": "optimizer",
    "Optimizer": "optimizer",
    "Range": "optimizer",
    "RateCorrection": "optimizer",
    "ReferenceRule": "optimizer",
    "SearchSpace": "optimizer",
    "StateCorrection": "optimizer",
    "Param": "schedule",
    "Schedule": "schedule",
    "TaskSpec": "spec",
    "OptimizerSpec": "spec",
    "ScheduleSpec": "spec",
    "RunSpec": "spec",
    "UserError": "errors",
}

__all__ = [
    "Binding",
    "Frames",
    "Hyper",
    "HyperCorrection",
    "Optimizer",
    "OptimizerSpec",
    "Param",
    "Range",
    "RateCorrection",
    "ReferenceRule",
    "RunSpec",
    "Schedule",
    "ScheduleSpec",
    "SearchSpace",
    "StateCorrection",
    "TaskSpec",
    "UserError",
    "__version__",
    "load",
    "run",
]

if TYPE_CHECKING:
    from .api import run
    from .errors import UserError
    from .optimizer import (
        Binding,
        Hyper,
        HyperCorrection,
        Optimizer,
        Range,
        RateCorrection,
        ReferenceRule,
        SearchSpace,
        StateCorrection,
    )
    from .results.frame import Frames, load
    from .schedule import Param, Schedule
    from .spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gradrace' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
