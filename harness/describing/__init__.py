"""Fills in what only a framework knows of optimizers that come by import paths: `described`.

`asking` starts `python -m gradrace.describing`, which looks at the classes in a process of their
framework and gives an `answer`; `space` makes a search space of a signature."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..errors import UserError
from ..optimizer import Argument, Optimizer
from ..registry import Registry
from .answer import Answer
from .asking import ask_about
from .space import LEARNING_RATE, numbers_of, space_of


def described(
    registry: Registry,
    interpreters: Mapping[str, str] | None = None,
    hypers: Mapping[str, Mapping[str, Any]] | None = None,
    natives: Iterable[tuple[str, str]] = (),
) -> Registry:
    """The registry with every import path's optimizer complete: learning rate, arguments, title,
    search space; one process is started for each framework that has any.

    hypers: name -> what a user sets of it. natives: framework and name of other optimizers whose
    native class is looked at too, for `arguments`. A package that is not installed makes an
    optimizer `absent`. UserError for a path that leads to no optimizer."""
    named, hypers = defaultdict[str, list[str]](list), hypers or {}
    for name, optimizer in registry.optimizers.items():
        if optimizer.imported:
            named[optimizer.imported.framework].append(name)
    for framework, name in natives:
        named[framework].append(name)
    optimizers = dict(registry.optimizers)
    for framework, names in named.items():
        python = (interpreters or {}).get(framework)
        asked = {name: hypers.get(name, {}) for name in dict.fromkeys(names)}
        for name, answer in ask_about(framework, asked, registry.plugins, python).items():
            optimizers[name] = _filled(optimizers[name], framework, answer)
    return replace(registry, optimizers=optimizers)


def _filled(optimizer: Optimizer, framework: str, answer: Answer) -> Optimizer:
    arguments = {name: each.argument for name, each in answer.arguments.items()}
    if not optimizer.imported:
        # Its run says what is wrong with it, if anything.
        if answer.problem or answer.absent:
            return optimizer
        return replace(optimizer, arguments={**optimizer.arguments, framework: arguments})
    if answer.problem:
        raise UserError(f"{optimizer.imported}: {answer.problem}")
    if answer.absent:
        reason = f"not installed: {answer.absent} (pip install {answer.absent})"
        return replace(optimizer, learning_rate=LEARNING_RATE, paper=reason, absent=reason)
    return _complete(optimizer, framework, answer, arguments)


def _complete(
    optimizer: Optimizer, framework: str, answer: Answer, arguments: Mapping[str, Argument]
) -> Optimizer:
    rate, numbers = answer.learning_rate or LEARNING_RATE, numbers_of(arguments)
    source = f"{answer.distribution} {answer.version}".strip()
    said = "" if answer.learning_rate else f"; no default learning rate, so {LEARNING_RATE:g}"
    label = optimizer.bindings[framework].label
    return replace(
        optimizer,
        title=label.rpartition(".")[2].rpartition(":")[2],
        paper=f"{source}: {label}{said}" if source else f"{label}{said}",
        learning_rate=rate,
        hyper=numbers,
        space=space_of(rate, numbers),
        arguments={framework: arguments},
    )
