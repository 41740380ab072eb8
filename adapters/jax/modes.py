"""How JAX is driven: jit, scan or nnx.

jit: one call of a compiled function a step, over arrays alone, as most JAX code does. scan: all
steps of a `train` call in one compiled loop, the same updates without the cost of calling. nnx:
as Flax teaches, an `nnx.jit`-compiled step changes an `nnx.Module` and an `nnx.Optimizer` in place,
which costs a small model six times a step of jit (docs/benchmarks.md: what mode nnx costs).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import NamedTuple

from gradrace.adapters.jax.functional import FunctionalPrograms
from gradrace.adapters.jax.module import NnxPrograms
from gradrace.adapters.jax.program import ProgramRecipe, Programs


class Mode(NamedTuple):
    """A mode's programs, and whether one call takes many steps."""

    programs: Callable[[ProgramRecipe], Programs]
    looped: bool = False


MODES: Mapping[str, Mode] = {
    "jit": Mode(partial(FunctionalPrograms, looped=False)),
    "scan": Mode(partial(FunctionalPrograms, looped=True), looped=True),
    "nnx": Mode(NnxPrograms),
}


def traced(recipe: ProgramRecipe) -> Programs:
    """Programs that have compiled nothing yet."""
    return MODES[recipe.mode].programs(recipe)


@lru_cache(maxsize=32)
def kept(recipe: ProgramRecipe) -> Programs:
    """Those of earlier sessions if there are some. TypeError for a recipe that cannot be hashed."""
    return traced(recipe)
