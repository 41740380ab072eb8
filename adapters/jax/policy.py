"""How a process is set up for a run: the device, 64-bit types, precision."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
from gradrace.spec import RunSpec

_CONFIG: Any = jax.config


def precision(run: RunSpec) -> AbstractContextManager[Any]:
    """64-bit types for float64 alone: they change Optax's bias corrections of float32."""
    wanted = run.dtype == "float64"
    # Each call of a compiled function compares a thread's own setting, 2% of a small step.
    return nullcontext() if _CONFIG.jax_enable_x64 == wanted else jax.enable_x64(wanted)


def gpus() -> list[jax.Device]:
    try:
        return jax.devices("gpu")
    except RuntimeError:
        return []


def device_of(kind: str) -> jax.Device:
    return jax.devices(kind)[0]


def policy(run: RunSpec) -> dict[str, str]:
    return {
        "jax_default_matmul_precision": str(_CONFIG.jax_default_matmul_precision),
        "jax_enable_x64": str(run.dtype == "float64"),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "donate_argnums": (
            "none" if run.mode == "nnx" else "parameters, optimizer state, statistics"
        ),
    }
