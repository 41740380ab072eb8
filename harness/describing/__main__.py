"""Reads optimizers' classes in a process of their framework: `python -m gradrace.describing torch`.

Standard input: {"plugins": [text], "optimizers": {name: hyper}}. The last line of standard output:
{name: Answer}, see `answer`. A package may print while it is imported: that goes to standard
error."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import inspect
import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from ..binding import target_of
from ..errors import UserError
from ..imported.aliases import learning_rate_argument
from ..imported.signature import arguments_of, settable
from ..importpath import ImportPath, plugin_of
from ..optimizer import Optimizer
from ..plugins.absent import missing_package
from ..registry import Registry, load_registry

_LONGEST = 600


def main() -> None:
    """Answers, and ends at once, whatever threads a package has left."""
    answers = os.dup(1)
    os.dup2(2, 1)
    request = json.loads(sys.stdin.read())
    registry = load_registry([plugin_of(text) for text in request["plugins"]])
    hook = _hook(registry, sys.argv[1])
    found = {
        name: _answer(registry.optimizers[name], sys.argv[1], hook, hyper)
        for name, hyper in request["optimizers"].items()
    }
    os.write(answers, f"\n{json.dumps(found)}\n".encode())
    sys.stderr.flush()
    os._exit(0)


def _hook(registry: Registry, framework: str) -> Any:
    """The module `imported` of the framework's adapter. UserError: it has none."""
    module = registry.frameworks[framework].module
    try:
        return importlib.import_module(f"{module}.imported")
    except ModuleNotFoundError as error:
        if module and error.name != f"{module}.imported":
            raise
        raise UserError(f"{framework} takes no optimizers by import path") from None


def _answer(
    optimizer: Optimizer, framework: str, hook: Any, hyper: Mapping[str, Any]
) -> dict[str, Any]:
    """Whatever a package does when it is imported, even leaving Python, is an answer."""
    try:
        return _read(optimizer, framework, hook, hyper)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if package := missing_package(error):
            return {"absent": package}
        return {"problem": _said(error)}


def _said(error: BaseException) -> str:
    try:
        text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    # A package's exception may have no text.
    except Exception:
        text = ""
    if isinstance(error, UserError | ValueError) and text:
        return text[:_LONGEST]
    return f"its import raises {type(error).__name__}{': ' * bool(text)}{text}"[:_LONGEST]


def _read(
    optimizer: Optimizer, framework: str, hook: Any, hyper: Mapping[str, Any]
) -> dict[str, Any]:
    target = target_of(optimizer.bindings[framework], "native")
    every = {
        name: dataclasses.replace(each, required=each.required and name not in hook.SUPPLIED)
        for name, each in arguments_of(target, hook.GIVEN).items()
    }
    known, rate = settable(every), learning_rate_argument(every)
    default: Any = every[rate].default if rate else None
    number = type(default) in (int, float) and default > 0
    return {
        "arguments": {name: dataclasses.asdict(each) for name, each in known.items()},
        "learning_rate": float(default) if number else None,
        **(_origin(optimizer.imported) if optimizer.imported else {}),
        "problem": _problem(target, hook, rate, known, hyper) if optimizer.imported else "",
    }


def _problem(
    target: Any, hook: Any, rate: str | None, known: Mapping[str, Any], hyper: Mapping[str, Any]
) -> str:
    if inspect.isabstract(target):
        return f"abstract: it does not define {', '.join(sorted(target.__abstractmethods__))}"
    required = {name for name, argument in known.items() if argument.required}
    if not inspect.isclass(target) and required - set(hyper):
        # It cannot be called yet; whoever plans a run with it says so.
        return ""
    given = {name: value for name, value in hyper.items() if name in required}
    if problem := str(hook.problem_of(target, given)):
        return problem[:_LONGEST]
    if hook.RATE and rate != hook.RATE:
        has = f"its learning rate is {rate!r}" if rate else "it has no argument for a learning rate"
        return f"{has}, and only {hook.RATE!r} can be set"
    return ""


def _origin(path: ImportPath) -> dict[str, str]:
    """Distribution and version of the package that a path names."""
    if path.file:
        return {}
    top = path.dotted.partition(".")[0]
    names = _distributions().get(top)
    if not names:
        return {"distribution": top}
    return {"distribution": names[0], "version": importlib.metadata.version(names[0])}


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


if __name__ == "__main__":
    main()
