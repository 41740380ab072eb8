"""Schedule-free optimizers of Optax: which tensors a user evaluates, found by the state."""

from __future__ import annotations

from typing import Any

import jax
import optax

_STATE = optax.contrib.ScheduleFreeState


def evaluated(state: Any, parameters: Any) -> Any:
    """optax.contrib.schedule_free_eval_params if the state is schedule-free's, at any depth; else
    the parameters."""
    found = [leaf for leaf in jax.tree.leaves(state, is_leaf=_is_state) if _is_state(leaf)]
    if len(found) != 1:
        return parameters
    return optax.contrib.schedule_free_eval_params(found[0], parameters)


def _is_state(value: Any) -> bool:
    return isinstance(value, _STATE)
