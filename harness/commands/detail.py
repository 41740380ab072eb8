"""What `gradrace list KIND NAME` shows: one task, optimizer, schedule or suite in full."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError, nearest

if TYPE_CHECKING:
    from ..layers import Layer
    from ..optimizer import Binding, Optimizer, Range
    from ..registry import Registry
    from ..schedule import Schedule
    from ..spec import TaskSpec

# By name: a text, or a table of equal dicts.
Detail = dict[str, str | list[dict[str, str]]]


def detail(kind: str, name: str, registry: Registry) -> Detail:
    """The thing of this kind and name in full. UserError if there is none of that name."""
    if kind == "suites":
        from ..suite import built_in

        return _suite(_find(kind, name, built_in()))
    if kind == "tasks":
        return _task(_find(kind, name, registry.tasks))
    if kind == "schedules":
        return _schedule(_find(kind, name, registry.schedules))
    return _optimizer(_find(kind, name, registry.optimizers), registry)


def _find(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    if name in known:
        return known[name]
    raise UserError(f"no {kind.removesuffix('s')} called {name!r}{nearest(name, known)}")


def _task(task: TaskSpec) -> Detail:
    from ..layers import build

    built = build(task.model, task.input_shape)
    count = sum(_size(each.shape) for layer in built for each in layer.parameters)
    early = task.early_stopping
    return {
        **{"task": task.name, "title": task.title, "data": task.data},
        "input shape": _shape(task.input_shape),
        "parameters": f"{count:,}",
        **{"loss": task.loss, "metric": task.metric},
        "target": f"{task.target:g} ({task.target_origin})",
        **{"batch": str(task.batch_size), "steps": str(task.steps)},
        "evaluated every": f"{task.eval_every} steps",
        **({"stops early": f"after {early.patience} evaluations without gain"} if early else {}),
        "layers": [_layer(layer) for layer in task.model],
    }


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for each in shape:
        size *= each
    return size


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _layer(layer: Layer) -> dict[str, str]:
    fields = layer.model_dump(mode="json")
    kind = str(fields.pop("kind", type(layer).__name__.lower()))
    return {"layer": kind, "settings": ", ".join(f"{k}={v}" for k, v in fields.items())}


def _schedule(schedule: Schedule) -> Detail:
    from ..spec import number_text

    rows = [
        {
            "parameter": name,
            "default": number_text(each.default),
            "range": _between(each.low, each.high),
            "meaning": each.meaning,
        }
        for name, each in schedule.params.items()
    ]
    shown: Detail = {"schedule": schedule.name, "what": schedule.summary, "source": schedule.source}
    return {**shown, "parameters": rows}


def _between(low: float, high: float) -> str:
    if high == float("inf"):
        return "any" if low == -high else f"from {low:g}"
    return f"{low:g} to {high:g}"


def _suite(file: Path) -> Detail:
    """The texts and lists of its file; tables of a file become 'convergence.rule'."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    return {"suite": file.stem, "file": str(file), **_flat("", content)}


def _flat(prefix: str, content: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= _flat(f"{prefix}{key}.", value)
        else:
            found[prefix + key] = _toml_text(value)
    return found


def _toml_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_toml_text, value))
    if isinstance(value, dict):
        return " ".join(f"{key}={_toml_text(of)}" for key, of in value.items())
    return str(value)


def _optimizer(optimizer: Optimizer, registry: Registry) -> Detail:
    ranges = optimizer.space.ranges if optimizer.space else {}
    hyper = [
        {
            "hyperparameter": name,
            "default": f"{each.default:g}",
            "range": _between(each.low, each.high),
            "searched in": _range(ranges.get(name)),
            "meaning": each.meaning,
        }
        for name, each in optimizer.hyper.items()
    ]
    shown = {
        **{"optimizer": optimizer.name, "title": optimizer.title, "paper": optimizer.paper},
        "rule": _rule(optimizer),
        "learning rate": f"{optimizer.learning_rate:g}",
        "searched in": _range(ranges.get("learning_rate")),
        "ranges by": optimizer.space.source if optimizer.space else "",
        "needs": ", ".join(_needs(optimizer)),
        "note": optimizer.note,
        "absent": optimizer.absent,
    }
    frameworks = [_bound(optimizer, name) for name in registry.frameworks if name != "numpy"]
    corrections = [
        {"framework": framework, "correction": each.name, "why": each.why}
        for framework, binding in optimizer.bindings.items()
        for each in binding.corrections
    ]
    return {
        **{name: text for name, text in shown.items() if text},
        "hyperparameters": hyper,
        "classes": frameworks,
        "corrections": corrections,
    }


def _needs(optimizer: Optimizer) -> list[str]:
    wanted = {
        "tensors in canonical layout": optimizer.per_tensor,
        "full batches": optimizer.full_batch,
    }
    return [name for name, needed in wanted.items() if needed]


def _rule(optimizer: Optimizer) -> str:
    """Where the reference rule is written."""
    if optimizer.rule is None:
        return "none: it runs under the native rule alone"
    code = getattr(optimizer.rule.update, "__code__", None)
    if code is None:
        return "in NumPy"
    return f"{code.co_filename}:{code.co_firstlineno}"


def _range(found: Range | None) -> str:
    if found is None:
        return ""
    low, high = found.low, found.high
    if found.below_one:
        low, high = 1.0 - high, 1.0 - low
    log = " of 1 - value" if found.below_one else ""
    return f"{low:g} to {high:g}" + (f", by log{log}" if found.log else "")


def _bound(optimizer: Optimizer, framework: str) -> dict[str, str]:
    """The class in one framework, how it is called under each rule, and its limits."""
    binding = optimizer.bindings.get(framework)
    if binding is None:
        return {"framework": framework, "class": "not available", "canonical": "", "native": ""}
    canonical = optimizer.differs.get(framework)
    return {
        "framework": framework,
        "class": _classes(binding),
        "canonical": f"no: {canonical}" if canonical else _canonical(optimizer, binding),
        "native": _arguments(binding.native) or "the library's defaults",
    }


def _classes(binding: Binding) -> str:
    built = binding.target if isinstance(binding.target, str) else "a recipe of gradrace"
    other = f"; canonical: {built}" if binding.native_target else ""
    needs = f"; needs {', '.join(binding.requires)}" if binding.requires else ""
    return f"{binding.label}{other}{needs}"


def _canonical(optimizer: Optimizer, binding: Binding) -> str:
    """The arguments for the default hyperparameters."""
    try:
        return _arguments(binding.canonical(optimizer.hypers({}))) or "no arguments"
    except Exception:
        # A user's function; the run says what is wrong with it.
        return "arguments cannot be shown"


def _arguments(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in given.items())
