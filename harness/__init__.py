"""gradrace: which optimizer, in which framework, at what cost, and is the comparison fair?

The public names are loaded when first used: `import gradrace` costs nothing and needs no framework.

Front doors: `cli` (the commands), `api` (the same from Python) and `plot` (figures). The words that
everything is said in, in the order to read them: `spec` (a task, an optimizer, a run), `dataset` (a
user's own data), `layers`, `objective` (losses, metrics, penalties), `optimizer`, `schedule` and
`schedules`, `roles` (which optimizer trains which parameters), `binding` (an optimizer's class in a
framework), `importpath` (an optimizer without a file of ours), `plan` (weights, batches and rates
of a run), `record` (its result), `shared` (many records as one value), `adapter` (the boundary to
the frameworks). Ground: `registry` finds what there is, `sources` finds the files that enter a
digest, `jsonfile` reads and writes, `turns` keeps processes from changing one thing at once,
`strict` is the base of all models, `limits` their upper limits, `git` the user's repository;
`doors` lets packages be called; `errors`, `version`, and `probe`, which loads one framework and
prints what it sees. docs/architecture.md has the folders.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

# The list of public names: type checkers read these imports, and so does `_homes`.
if TYPE_CHECKING:
    from . import plot as plot
    from .adapter import Adapter as Adapter
    from .adapter import Differentials as Differentials
    from .adapter import LanesImpossible as LanesImpossible
    from .adapter import Metrics as Metrics
    from .adapter import Part as Part
    from .adapter import Population as Population
    from .adapter import PopulationAdapter as PopulationAdapter
    from .adapter import Session as Session
    from .adapter import Unsupported as Unsupported
    from .api.comparing import compare as compare
    from .api.running import run as run
    from .api.running import time as time
    from .api.tuning import tune as tune
    from .api.verifying import verify as verify
    from .binding import Bound as Bound
    from .binding import bind as bind
    from .binding import unavailable as unavailable
    from .dataset import AtRandom as AtRandom
    from .dataset import ByTime as ByTime
    from .dataset import DataSet as DataSet
    from .dataset import Fixed as Fixed
    from .dataset import Grouped as Grouped
    from .dataset import Stratified as Stratified
    from .errors import UserError as UserError
    from .layers import Activation as Activation
    from .layers import AvgPool2D as AvgPool2D
    from .layers import BatchNorm as BatchNorm
    from .layers import BuiltLayer as BuiltLayer
    from .layers import Conv2D as Conv2D
    from .layers import Dense as Dense
    from .layers import Dropout as Dropout
    from .layers import Embedding as Embedding
    from .layers import Flatten as Flatten
    from .layers import GroupNorm as GroupNorm
    from .layers import Gru as Gru
    from .layers import Layer as Layer
    from .layers import LayerNorm as LayerNorm
    from .layers import Lstm as Lstm
    from .layers import MaxPool2D as MaxPool2D
    from .layers import Parameter as Parameter
    from .layers import Point as Point
    from .layers import SimpleRnn as SimpleRnn
    from .layers import build as build
    from .optimizer import Argument as Argument
    from .optimizer import Binding as Binding
    from .optimizer import Hyper as Hyper
    from .optimizer import HyperCorrection as HyperCorrection
    from .optimizer import Optimizer as Optimizer
    from .optimizer import Range as Range
    from .optimizer import RateCorrection as RateCorrection
    from .optimizer import ReferenceRule as ReferenceRule
    from .optimizer import SearchSpace as SearchSpace
    from .optimizer import StateCorrection as StateCorrection
    from .plan import RunInputs as RunInputs
    from .plan import Weights as Weights
    from .plan import dropout_masks as dropout_masks
    from .results.frame import Frames as Frames
    from .results.frame import load as load
    from .schedule import Schedule as Schedule
    from .schedule import ScheduleParam as ScheduleParam
    from .spec import OptimizerSpec as OptimizerSpec
    from .spec import ParameterGroup as ParameterGroup
    from .spec import RunSpec as RunSpec
    from .spec import ScheduleSpec as ScheduleSpec
    from .spec import TaskSpec as TaskSpec
    from .version import __version__ as __version__


# Public names that are packages. Those of functions in `api` can be called as these: see `doors`.
_PACKAGES = ("plot", "tune", "verify")


@functools.cache
def _homes() -> dict[str, str]:
    """Public name -> the module that holds it, as this file's own text says."""
    import ast
    from pathlib import Path

    tree = ast.parse(Path(__file__).read_bytes())
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level)
    return {name.name: f".{node.module or name.name}" for node in imports for name in node.names}


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes()})


# Hidden from type checkers, which would take any name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            return [*_homes()]
        if name not in _homes():
            raise AttributeError(f"module 'gradrace' has no attribute {name!r}")
        if name in _PACKAGES:
            return importlib.import_module(f".{name}", __name__)
        return getattr(importlib.import_module(_homes()[name], __name__), name)
