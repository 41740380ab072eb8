"""The hyperparameters of a suite's optimizers: which are swept, and under which rule."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import located
from ..imported.arguments import check_hyper
from ..optimizer import Optimizer
from ..spec import HyperValue, UpdateRule

Hypers = Mapping[str, HyperValue]


def rules_of(optimizer: Optimizer, rules: Sequence[UpdateRule]) -> Sequence[UpdateRule]:
    """An import path has no canonical rule: it runs once, under the native one."""
    return ("native",) if optimizer.imported and rules else rules


def offered(optimizer: Optimizer, frameworks: Iterable[str]) -> list[str]:
    """Those of the frameworks for which runs are planned: of an import path, its own alone."""
    path = optimizer.imported
    return [name for name in frameworks if path is None or path.framework == name]


def swept(optimizer: Optimizer, name: str, value: Any) -> list[HyperValue]:
    """The values of a suite's hyperparameter: several of a list, unless a list is one value."""
    if not isinstance(value, list):
        return [value]
    nested = any(isinstance(each, list) for each in value)
    defaults = [known[name].default for known in optimizer.arguments.values() if name in known]
    if optimizer.imported and not nested and any(isinstance(each, tuple) for each in defaults):
        return [tuple(value)]
    return [tuple(each) if isinstance(each, list) else each for each in value]


def combinations(
    optimizer: Optimizer,
    rule: UpdateRule,
    hyper: Mapping[str, Any],
    frameworks: Sequence[str],
    place: str,
) -> Iterator[Hypers]:
    """Every combination of the values, as a specification holds it.

    frameworks: in which it runs. UserError, which begins with `place`, for an unknown name or an
    impossible value; under the native rule if no framework's class can take it."""
    values = [swept(optimizer, name, value) for name, value in hyper.items()]
    for combination in itertools.product(*values):
        given = dict(zip(hyper, combination, strict=True))
        with located(place):
            if rule == "canonical":
                yield optimizer.hypers(given)
            else:
                _check_native(optimizer, given, frameworks)
                yield given


def _check_native(optimizer: Optimizer, given: Hypers, frameworks: Sequence[str]) -> None:
    """ValueError if no framework can take it; some may be refused one by one, see the planner."""
    problems = [refusal(optimizer, name, given) for name in offered(optimizer, frameworks)]
    if problems and all(problems):
        raise ValueError(problems[0])


def refusal(optimizer: Optimizer, framework: str, given: Hypers) -> str:
    """Why the native class cannot take these, or "": see imported.arguments.check_hyper."""
    try:
        check_hyper(optimizer, framework, given)
    except ValueError as error:
        return str(error)
    return ""
