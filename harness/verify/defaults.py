"""`python -m gradrace.verify.defaults FRAMEWORK` prints a library's own defaults as JSON.

A process of its own, because it imports the classes that declarations and notes.py name.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from typing import Any

from ..registry import load_registry
from . import notes

# Arguments that are no hyperparameters, change no number, or are off by default everywhere.
_LEFT_OUT = """
    params self name kwargs foreach maximize capturable differentiable fused clipnorm clipvalue
    global_clipnorm use_ema ema_momentum ema_overwrite_frequency loss_scale_factor
    gradient_accumulation_steps mu_dtype accumulator_dtype mask weight_decay_mask dtype_momentum
    state_dtype rngs device dtype linesearch
"""


def main() -> None:
    """{"optimizers": {name: {argument: default}}, "notes": {path: {argument: default}}}."""
    framework, registry = sys.argv[1], load_registry()
    found: dict[str, dict[str, dict[str, str]]] = {"optimizers": {}, "notes": {}}
    for name, optimizer in registry.optimizers.items():
        binding = optimizer.bindings.get(framework)
        if binding:
            target = binding.native_target or binding.target
            made = _import(target) if isinstance(target, str) else target()
            found["optimizers"][name] = _defaults(made)
    for note in (*notes.LAYERS, *notes.LOSSES):
        path = note.paths.get(framework)
        if path and note.shown:
            every = _defaults(_import(path))
            found["notes"][path] = {name: every[name] for name in note.shown if name in every}
    print(json.dumps(found))


def _defaults(target: Any) -> dict[str, str]:
    parameters = inspect.signature(target).parameters.values()
    return {
        p.name: _shown(p.default)
        for p in parameters
        if p.default is not inspect.Parameter.empty
        and p.default is not None
        and p.name not in _LEFT_OUT.split()
    }


def _shown(value: Any) -> str:
    """Floats in short form; functions and the like by name."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return f"({', '.join(_shown(part) for part in value)})"
    return str(getattr(value, "__name__", value))


def _import(path: str) -> Any:
    """A dotted path through modules and attributes (flax.nnx.LayerNorm, keras.activations.gelu)."""
    parts = path.split(".")
    found = importlib.import_module(parts[0])
    for position, part in enumerate(parts[1:], start=1):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[: position + 1]))
        found = getattr(found, part)
    return found


if __name__ == "__main__":
    main()
