"""Which arguments of a library's class the hyperparameters of the native rule are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..errors import nearest
from ..optimizer import Argument, Binding, Optimizer
from ..spec import HyperValue
from . import aliases
from .aliases import Place

Arguments = Mapping[str, Argument]


def native_arguments(
    hyper: Mapping[str, HyperValue], optimizer: Optimizer, binding: Binding, known: Arguments
) -> dict[str, Any]:
    """Keyword arguments of the native class: the binding's own, and the hyperparameters over them.

    A value is handed over as it is. An entry of a tuple leaves the other entries at the library's
    default. known: the class's arguments. ValueError names a hyperparameter that is none of them,
    and two that are the same."""
    found, taken = dict(binding.native), list[tuple[str, Place]]()
    for name, value in hyper.items():
        for place in _places(name, optimizer, binding, known):
            _check_apart(optimizer, name, place, taken)
            taken.append((name, place))
            _check_form(optimizer, place, name, value, known)
            found[place.argument] = _with(found, place, value, known)
    return found


def _check_apart(
    optimizer: Optimizer, name: str, place: Place, taken: Iterable[tuple[str, Place]]
) -> None:
    for other, at in taken:
        whole = None in (place.entry, at.entry)
        if at == place or (at.argument == place.argument and whole):
            raise ValueError(f"{optimizer.name}: {other} and {name} are the same argument")


def _places(name: str, optimizer: Optimizer, binding: Binding, known: Arguments) -> list[Place]:
    """Of an import path an argument comes first, of our own optimizers a hyperparameter."""
    ours = [] if optimizer.imported else _moved(name, optimizer, binding, known)
    meant = aliases.places(_defaults(known)).get(name)
    if ours:
        return [meant] if meant in ours else ours
    if name in known:
        return [Place(name)]
    if meant:
        return [meant]
    if name in ("learning_rate", "lr"):
        raise ValueError(f"{optimizer.name}: {name} is no entry of hyper, but of learning_rate")
    others = aliases_of(known) if optimizer.imported else optimizer.hyper
    choices = [each for each in (*known, *others) if each != name]
    raise ValueError(
        f"{optimizer.name}: {binding.label} has no argument {name!r}{nearest(name, choices)}"
    )


def aliases_of(known: Arguments) -> dict[str, Place]:
    """Meaning -> place, for meanings that have a name of their own: beta1 of betas."""
    places = aliases.places(_defaults(known))
    return {name: place for name, place in places.items() if name not in known}


def _moved(name: str, optimizer: Optimizer, binding: Binding, known: Arguments) -> list[Place]:
    """The arguments that hold the hyperparameter's number under the canonical rule.

    One that holds another number made of it, such as -decay, is left out: the user knows the
    library's argument by its own name."""
    if name not in optimizer.hyper:
        return []
    before = {key: each.default for key, each in optimizer.hyper.items()}
    for other in _others(optimizer, name):
        try:
            plain, moved = binding.canonical(before), binding.canonical({**before, name: other})
        # A user's function may raise anything.
        except Exception:
            return []
        found = [
            place
            for argument in moved
            if argument in known
            for place in _holding(argument, plain.get(argument), moved[argument], other)
        ]
        if found:
            return found
    return []


def _others(optimizer: Optimizer, name: str) -> Iterator[float]:
    """Numbers that the hyperparameter may be, and that nothing else is by chance; one is whole."""
    hyper = optimizer.hyper[name]
    tried = [hyper.default * 0.8765432, hyper.default * 1.1234567 + 0.0123456]
    if float(hyper.default).is_integer():
        tried.append(hyper.default + 3.0)
    yield from (other for other in tried if hyper.low <= other <= hyper.high)


def _holding(argument: str, plain: Any, moved: Any, number: float) -> list[Place]:
    if isinstance(moved, tuple | list):
        entries = enumerate(moved)
        return [Place(argument, place) for place, entry in entries if entry == number]
    return [Place(argument)] if moved == number != plain else []


def _defaults(known: Arguments) -> dict[str, Any]:
    return {name: argument.default for name, argument in known.items()}


def _check_form(
    optimizer: Optimizer, place: Place, name: str, value: HyperValue, known: Arguments
) -> None:
    default = known[place.argument].default
    if place.entry is None and isinstance(default, tuple) and not isinstance(value, tuple):
        raise ValueError(f"{optimizer.name}: {name} takes a list such as {list(default)}")
    if place.entry is not None and (isinstance(value, bool | str | tuple)):
        raise ValueError(f"{optimizer.name}: {name} takes a number, not {value!r}")


def _with(found: Mapping[str, Any], place: Place, value: HyperValue, known: Arguments) -> Any:
    """The argument's value with this one in its place."""
    if place.entry is None:
        return value
    entries = list(found.get(place.argument) or known[place.argument].default or ())
    entries[place.entry] = value
    return tuple(entries)


def missing_arguments(given: Mapping[str, Any], known: Arguments) -> list[str]:
    """Names of required arguments that nobody gave."""
    return [name for name, each in known.items() if each.required and name not in given]


def check_hyper(optimizer: Optimizer, framework: str, hyper: Mapping[str, HyperValue]) -> None:
    """ValueError if the native class lacks one of these, or needs more than these.

    Nothing is checked if the class was not looked at, see Optimizer.arguments."""
    known = optimizer.arguments.get(framework)
    if known is None:
        return
    binding = optimizer.bindings[framework]
    found = native_arguments(hyper, optimizer, binding, known)
    if missing := missing_arguments(found, known):
        lacks = " and ".join(missing)
        raise ValueError(f"{optimizer.name}: {binding.label} needs {lacks}; give it in hyper")
