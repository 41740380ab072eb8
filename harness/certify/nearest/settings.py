"""The numbers that a class is asked at, in its own arguments and in a rule's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ...imported.aliases import Place, places
from ...optimizer import Optimizer
from ...stepping.instance import Maker, MakerFacts
from .scenes import LARGE_RATE, RATE

# Far from every default, unlike each other, and exact in float32.
PROBING: Mapping[str, float] = {
    "beta1": 0.875,
    "beta2": 0.96875,
    "beta3": 0.9375,
    "momentum": 0.75,
    "rho": 0.90625,
    "epsilon": 2.0**-9,
    "weight_decay": 0.125,
}
_SWITCHED = ("momentum", "weight_decay")
_FLAGS = ("nesterov", "amsgrad", "centered", "use_bias_correction", "decoupled_weight_decay")
# Meanings that one rule calls so and another so.
_STANDS_IN: Mapping[str, str] = {
    "beta1": "momentum",
    "momentum": "beta1",
    "beta2": "rho",
    "rho": "beta2",
}


class Setting(NamedTuple):
    """arguments: of the class. values: the same numbers, by their meaning."""

    arguments: Mapping[str, Any]
    values: Mapping[str, float]


def facts_of(maker: Maker, arguments: Mapping[str, Any]) -> MakerFacts:
    """The class's facts, its defaults with these arguments over them."""
    facts = maker.facts()
    return replace(facts, defaults={**facts.defaults, **arguments})


def own(facts: MakerFacts) -> dict[str, float]:
    """The class's own numbers by meaning, the learning rate left out; None counts as 0."""
    found = _places(facts)
    values = {meaning: place.value(facts.defaults) for meaning, place in found.items()}
    return {meaning: float(value or 0.0) for meaning, value in values.items() if _is_number(value)}


def setting(facts: MakerFacts, values: Mapping[str, float]) -> Setting:
    """The class at these values, as far as it has arguments for them; the others at its own."""
    found = _places(facts)
    expressed = {meaning: value for meaning, value in values.items() if meaning in found}
    arguments: dict[str, Any] = {}
    for meaning, value in expressed.items():
        _put(arguments, facts.defaults, found[meaning], value)
    return Setting(arguments, {**own(facts), **expressed})


def probing(facts: MakerFacts, switched_on: bool = False) -> Setting:
    """The class at values far from its defaults.

    A weight decay or momentum of 0 stays so unless it is switched on; other numbers of 0 stay."""
    mine = own(facts)
    return setting(
        facts,
        {
            meaning: value
            for meaning, value in PROBING.items()
            if mine.get(meaning) or (switched_on and meaning in mine and meaning in _SWITCHED)
        },
    )


def off(facts: MakerFacts) -> list[str]:
    """The arguments that are 0 by default and can be switched on."""
    mine = own(facts)
    found = _places(facts)
    return [found[meaning].argument for meaning in _SWITCHED if mine.get(meaning) == 0.0]


def flags(facts: MakerFacts) -> list[str]:
    """The arguments that turn the class into another rule, and are off by default."""
    return [name for name in _FLAGS if facts.defaults.get(name) is False]


def rate_of(facts: MakerFacts) -> float:
    """The learning rate to step with: a large one for a class whose default is large."""
    default = facts.defaults.get(facts.rate_argument or "")
    return LARGE_RATE if _is_number(default) and default and default >= 0.5 else RATE


def hyper_of(optimizer: Optimizer, asked: Setting, facts: MakerFacts) -> dict[str, float] | None:
    """The rule's hyperparameters for a class at this setting; None if they are impossible for it.

    Those that the class has no number for are the rule's own, but for a weight decay of 0."""
    found = {name: _of(optimizer, name, asked, facts) for name in optimizer.hyper}
    found |= _bound_numbers(optimizer, asked, facts)
    given = {name: value for name, value in found.items() if value is not None}
    none = {"weight_decay": 0.0} if "weight_decay" in optimizer.hyper else {}
    try:
        return optimizer.hypers({**none, **given})
    except ValueError:
        return None


def _of(optimizer: Optimizer, name: str, asked: Setting, facts: MakerFacts) -> float | None:
    """As `number`, but a number that the rule has another name for is that one's alone."""
    if _STANDS_IN.get(name) in optimizer.hyper and name not in asked.values:
        return None
    return number(name, asked, facts)


def number(name: str, asked: Setting, facts: MakerFacts) -> float | None:
    """The class's number of this meaning, or of a like one (momentum for beta1), or its argument of
    this name, `initial_accumulator_value` included for `initial_accumulator`; None if it has none.
    """
    known = _first(asked.values, (name, _STANDS_IN.get(name, "")))
    return known if known is not None else _argument(name, {**facts.defaults, **asked.arguments})


def _bound_numbers(optimizer: Optimizer, asked: Setting, facts: MakerFacts) -> dict[str, float]:
    """By our own binding of the class: the argument that takes a hyperparameter as it is."""
    framework = binding_of(optimizer, facts)
    if framework is None:
        return {}
    arguments = {**facts.defaults, **asked.arguments}
    found = {}
    for name, hyper in optimizer.hyper.items():
        mark = min(max(_MARK, hyper.low), hyper.high)
        given = optimizer.bindings[framework].canonical(optimizer.hypers({name: mark}))
        place = next((p for key in given if (p := _holding(given, key, mark))), None)
        if place and place.argument in arguments and _is_number(place.value(arguments)):
            found[name] = float(place.value(arguments) or 0.0)
    return found


# A number that nobody has as a default.
_MARK = 0.6180339887


def _holding(arguments: Mapping[str, Any], key: str, mark: float) -> Place | None:
    value = arguments[key]
    if isinstance(value, tuple):
        return next((Place(key, i) for i, each in enumerate(value) if each == mark), None)
    return Place(key) if value == mark else None


def arguments_of(
    optimizer: Optimizer, hyper: Mapping[str, float], facts: MakerFacts
) -> tuple[dict[str, Any], list[str]]:
    """The class's arguments for a rule's hyperparameters, and those that it has no argument for.

    Weight decay that the rule lacks is turned off. Our own binding of the class says more."""
    arguments, complete = _bound(optimizer, hyper, facts)
    if complete:
        return arguments, []
    found = _places(facts)
    wanted = {**({"weight_decay": 0.0} if "weight_decay" in found else {}), **hyper}
    lacking = []
    for name, value in wanted.items():
        other = _STANDS_IN.get(name, "")
        stands_in = found.get(other) if other not in optimizer.hyper else None
        if place := found.get(name) or stands_in:
            if value or place.value(facts.defaults) is not None:
                _put(arguments, facts.defaults, place, value)
        elif (argument := _named(name, facts.defaults)) is not None:
            arguments[argument] = value
        else:
            lacking.append(name)
    return arguments, lacking


def binding_of(optimizer: Optimizer, facts: MakerFacts) -> str | None:
    """The framework for which the optimizer's file names this very class."""
    for framework, binding in optimizer.bindings.items():
        if facts.label in (binding.label, f"{framework}:{binding.label}"):
            return framework
    return None


def _bound(
    optimizer: Optimizer, hyper: Mapping[str, float], facts: MakerFacts
) -> tuple[dict[str, Any], bool]:
    """Arguments of our own binding of the class, and whether they say all.

    With a correction beside the class they do not: it is left out here."""
    framework = binding_of(optimizer, facts)
    if framework is None:
        return {}, False
    binding = optimizer.bindings[framework]
    if binding.native_target or not isinstance(binding.target, str):
        return {}, False
    if binding.corrections:
        return dict(binding.native), False
    return binding.canonical(hyper), True


def _places(facts: MakerFacts) -> dict[str, Place]:
    found = places(facts.defaults)
    found.pop("learning_rate", None)
    return {m: place for m, place in found.items() if _is_number(place.value(facts.defaults))}


def _put(arguments: dict[str, Any], defaults: Mapping[str, Any], place: Place, value: Any) -> None:
    if place.entry is None:
        arguments[place.argument] = value
        return
    entries = list(arguments.get(place.argument, defaults[place.argument]))
    entries[place.entry] = value
    arguments[place.argument] = tuple(entries)


def _argument(name: str, arguments: Mapping[str, Any]) -> float | None:
    argument = _named(name, arguments)
    value = arguments[argument] if argument else None
    return float(value) if value is not None and _is_number(value) else None


def _named(name: str, arguments: Iterable[str]) -> str | None:
    return next((key for key in arguments if key in (name, f"{name}_value")), None)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _first(values: Mapping[str, float], names: Iterable[str]) -> float | None:
    return next((values[name] for name in names if name in values), None)
