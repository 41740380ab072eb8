"""The checks of one implementation, in the process that holds its framework."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..adapters.numpy.instance import rule_maker
from ..errors import UserError
from ..errors import nearest as near
from ..importpath import ImportPath, plugin_of
from ..optimizer import Optimizer
from ..registry import Framework, Registry, import_adapter, load_registry
from ..spec import TaskSpec
from ..stepping.instance import Maker, MakerFacts
from . import battery, canonical
from .certificate import Subject
from .check import Check, Prepared
from .comparison import Probes, against, alike, nearest, probes
from .finding import Finding
from .request import Request
from .training import DESCENTS, Entrant, descent, race


@dataclass(frozen=True)
class _Subject:
    """What the checks of one implementation need.

    path: its import path. hyper: as the user gave them. arguments: of the class, whoever gave them.
    """

    registry: Registry
    path: ImportPath
    framework: Framework
    adapter: Adapter
    known: Optimizer | None
    hyper: Mapping[str, Any]
    arguments: Mapping[str, Any]
    maker: Maker
    facts: MakerFacts

    @property
    def entrant(self) -> Entrant:
        """In training."""
        optimizer = self.known or self.registry.optimizers[self.path.name]
        rate = self.facts.defaults.get(self.facts.rate_argument or "")
        if not self.known and isinstance(rate, int | float) and not isinstance(rate, bool):
            optimizer = replace(optimizer, learning_rate=float(rate))
        return Entrant(self.adapter, self.framework, optimizer, self.hyper)


def prepared(request: Request) -> Prepared:
    """Imports and makes the class. UserError: it cannot be, see CertifyingAdapter."""
    subject = _made(request)
    if request.probes_to:
        checks = [_probing(subject, Path(request.probes_to))]
    else:
        checks = [each for each in _checks(subject, request) if each.part in request.parts]
    described = _described(subject.facts, subject.arguments)
    return Prepared(described, _versions(subject.adapter, subject.facts), checks)


def _made(request: Request) -> _Subject:
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
    about = (registry, path, framework, adapter, known, request.hyper)
    return _Subject(*about, arguments, maker, facts)


def _checks(subject: _Subject, request: Request) -> Iterator[Check]:
    """All, in the order in which they are done."""
    optimizers, maker, known = subject.registry.optimizers, subject.maker, subject.known
    given = subject.arguments
    rule = optimizers[request.rule] if request.rule else known
    if rule:
        numbers = subject.hyper if known else {}
        yield Check("rule", f"is {rule.name}", lambda left_s: against(maker, rule, numbers, given))
    if known:
        about = (subject.registry, subject.adapter, subject.framework, known)
        yield Check("rule", canonical.NAME, lambda left_s: canonical.canonical(*about))
    if request.like:
        yield Check("rule", f"like {request.like}", lambda left_s: _alike(subject, request))
    yield Check("rule", "nearest known rule", lambda left_s: [nearest(maker, optimizers, given)])
    yield from battery.checks(maker, rule)
    for task in DESCENTS:
        yield Check("training", f"descent on {task.name}", partial(_descent, subject, task))
    yield Check("training", "race", partial(_race, subject))


def _descent(subject: _Subject, task: TaskSpec, left_s: float) -> list[Finding]:
    return [descent(subject.entrant, task, left_s)]


def _race(subject: _Subject, left_s: float) -> list[Finding]:
    return [race(subject.entrant, subject.registry.optimizers["adamw"], left_s)]


def _probing(subject: _Subject, file: Path) -> Check:
    """Writes the class's steps, for the process of the implementation that shall be like it."""

    def find(left_s: float) -> Iterator[Finding]:
        file.write_text(json.dumps(probes(subject.maker).to_json()), encoding="utf-8")
        yield Finding(part="rule", check="probes", outcome="passed", text="its steps are kept")

    return Check("rule", "probes", find)


def _alike(subject: _Subject, request: Request) -> Iterator[Finding]:
    if request.like_probes:
        content = json.loads(Path(request.like_probes).read_text(encoding="utf-8"))
        theirs = Probes.model_validate(content)
    else:
        theirs = probes(rule_maker(subject.registry.optimizers[request.like], {}))
    return alike(probes(subject.maker), theirs)


def _arguments(
    known: Optimizer | None, framework: Framework, hyper: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of the class; from our hyperparameters if it is a known optimizer's."""
    if not known:
        return dict(hyper)
    binding = known.bindings[framework.name]
    if not hyper:
        return dict(binding.native)
    if binding.native_target:
        raise UserError(f"--hyper: {binding.label} does not follow gradrace's {known.name}")
    try:
        return dict(binding.canonical(known.hypers(hyper)))
    except ValueError as error:
        raise UserError(f"--hyper: {error}") from None


def _check_names(facts: MakerFacts, arguments: Mapping[str, Any]) -> None:
    """A class may take any name and leave it unused; what its signature lacks is a mistake."""
    for name in arguments:
        if name == facts.rate_argument:
            raise UserError(f"--hyper {name}: each check chooses the learning rate; leave it out")
        if name not in facts.defaults:
            hint = near(name, facts.defaults)
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
