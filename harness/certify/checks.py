"""The checks of one implementation, in the process that holds its framework."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..adapter import Adapter
from ..errors import UserError, nearest
from ..importpath import ImportPath, plugin_of
from ..optimizer import Optimizer
from ..registry import Framework, Registry, import_adapter, load_registry
from ..stepping.instance import Maker, MakerFacts
from . import canonical
from .certificate import Subject
from .check import Check, Prepared
from .request import Request


@dataclass(frozen=True)
class _Subject:
    """What the checks of one implementation need. rule: the optimizer that it claims to be."""

    registry: Registry
    framework: Framework
    adapter: Adapter
    maker: Maker
    known: Optimizer | None
    rule: Optimizer | None


def prepared(request: Request) -> Prepared:
    """Imports and makes the class. UserError: it cannot be, see CertifyingAdapter."""
    registry = load_registry([plugin_of(text) for text in request.plugins])
    path = ImportPath.parse(request.path)
    framework = registry.frameworks[path.framework]
    adapter = import_adapter(framework)
    if not hasattr(adapter, "maker"):
        raise UserError(f"the adapter of {framework.title} cannot step an optimizer by itself")
    known = registry.optimizers[request.known] if request.known else None
    arguments = _arguments(known, framework, request.hyper)
    maker = adapter.maker(path, arguments)
    facts = maker.facts()
    if not known:
        _check_names(facts, arguments)
    rule = registry.optimizers[request.rule] if request.rule else known
    subject = _Subject(registry, framework, adapter, maker, known, rule)
    return Prepared(
        _described(facts, arguments),
        _versions(adapter, facts),
        [each for each in _checks(subject) if each.part in request.parts],
    )


def _checks(subject: _Subject) -> Iterator[Check]:
    if subject.known:
        about = (subject.registry, subject.adapter, subject.framework, subject.known)
        yield Check("rule", canonical.NAME, lambda left_s: canonical.canonical(*about))


def _arguments(
    known: Optimizer | None, framework: Framework, hyper: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of the class; from our hyperparameters if it is a known optimizer's."""
    if not known:
        return dict(hyper)
    binding = known.bindings[framework.name]
    try:
        given = known.hypers(hyper)
    except ValueError as error:
        raise UserError(f"--hyper: {error}") from None
    if binding.native_target:
        # The canonical rule is built of parts, whose arguments are not those of the class.
        return dict(binding.native)
    return dict(binding.canonical(given))


def _check_names(facts: MakerFacts, arguments: Mapping[str, Any]) -> None:
    """A class may take any name and leave it unused; what its signature lacks is a mistake."""
    for name in arguments:
        if name == facts.rate_argument:
            raise UserError(f"--hyper {name}: each check chooses the learning rate; leave it out")
        if name not in facts.defaults:
            hint = nearest(name, facts.defaults)
            raise UserError(f"--hyper {name}: {facts.label} has no argument of that name{hint}")


def _described(facts: MakerFacts, arguments: Mapping[str, Any]) -> Subject:
    return Subject(
        label=facts.label,
        distribution=facts.distribution,
        rate_argument=facts.rate_argument,
        arguments=_plain(arguments),
        defaults=_plain({k: v for k, v in facts.defaults.items() if k not in arguments}),
        drive=facts.drive,
        inner=facts.inner,
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """In JSON's types; others, and what is no finite number, as their text."""
    found = json.loads(json.dumps(dict(values), default=repr))
    return {key: repr(v) if isinstance(v, float) and v != v else v for key, v in found.items()}


def _versions(adapter: Adapter, facts: MakerFacts) -> dict[str, str]:
    name, _, version = facts.distribution.rpartition(" ")
    own = {name: version} if name else {}
    return {**own, **adapter.versions(), "Python": platform.python_version()}
