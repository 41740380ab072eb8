"""How a process is set up for a run: the device, 64-bit types, precision."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from contextlib import AbstractContextManager, nullcontext, suppress
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


def accelerator() -> dict[str, str]:
    """The CUDA that is installed and seen; see gradrace.adapter. JAX has it from a plugin."""
    plugins = (r for r in ("13", "12") if importlib.util.find_spec(f"jax_cuda{r}_plugin"))
    found = {"CUDA": next(plugins, ""), "install": "pip install 'jax[cuda13]' (or cuda12)"}
    try:
        cards = jax.devices("gpu")
    except RuntimeError as error:
        return found | {"no GPU": str(error).partition("\n")[0]}
    for number, card in enumerate(cards):
        capability = getattr(card, "compute_capability", "unknown")
        found[f"GPU {number}"] = f"{card.device_kind}, compute capability {capability}"
    # Such as "PJRT C API\ncuda 13000".
    known = re.search(r"cuda (\d+)", str(getattr(cards[0].client, "platform_version", "")))
    if known:
        found["CUDA"] = f"{int(known[1]) // 1000}.{int(known[1]) % 1000 // 10}"
    return found | {"cuDNN": _cudnn()}


def _cudnn() -> str:
    """The version that pip installed; the system's is not known to JAX' public functions."""
    for release in ("13", "12"):
        with suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(f"nvidia-cudnn-cu{release}")
    return ""


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
