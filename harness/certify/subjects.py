"""What the user named, as import paths: an import path, or a name with a class in each library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import UserError, nearest
from ..importpath import ImportPath, is_import_path
from ..optimizer import Binding, Optimizer
from ..registry import Registry

# The referee's rules are what implementations are compared with.
_NO_LIBRARY = "numpy"


@dataclass(frozen=True)
class Named:
    """An implementation that was asked for. known: the optimizer whose class it is, or ""."""

    path: ImportPath
    known: str = ""


def named(text: str, registry: Registry, frameworks: Sequence[str] = ()) -> tuple[Named, ...]:
    """The implementations of an import path or name. frameworks: only these; all by default.

    UserError: no such name or framework, or no library's class to check."""
    for framework in frameworks:
        if framework not in registry.frameworks:
            hint = nearest(framework, registry.frameworks)
            raise UserError(f"--framework: no framework {framework!r}{hint}")
    if is_import_path(text):
        return (_imported(text, registry, frameworks),)
    if text not in registry.optimizers:
        raise UserError(
            f"no optimizer {text!r}{nearest(text, registry.optimizers)}; an import path such as"
            " torch:torch.optim.AdamW names any other"
        )
    found = tuple(_known(registry.optimizers[text], frameworks))
    if not found:
        where = f" in {', '.join(frameworks)}" if frameworks else ""
        raise UserError(f"{text}: no library has a class of it{where}; give an import path")
    return found


def claimed(name: str, registry: Registry, option: str = "--rule") -> Optimizer:
    """The optimizer of this name. UserError if there is none, or it has no NumPy rule.

    option: of the command line, that names it."""
    rules = {key: each for key, each in registry.optimizers.items() if each.rule}
    if name not in rules:
        without = "; it has no NumPy rule" if name in registry.optimizers else ""
        raise UserError(f"{option} {name}: no known rule{without}{nearest(name, rules)}")
    return rules[name]


def _imported(text: str, registry: Registry, frameworks: Sequence[str]) -> Named:
    path = ImportPath.parse(text)
    if path.framework not in registry.frameworks:
        hint = nearest(path.framework, registry.frameworks)
        raise UserError(f"{text}: no framework {path.framework!r}{hint}")
    if frameworks and path.framework not in frameworks:
        raise UserError(f"{text}: it is of {path.framework}; leave --framework out")
    if path.file and not path.file.is_file():
        raise UserError(f"{text}: no such file: {path.file}")
    return Named(path)


def _known(optimizer: Optimizer, frameworks: Sequence[str]) -> Iterator[Named]:
    if optimizer.imported:
        yield Named(optimizer.imported)
        return
    for framework, binding in optimizer.bindings.items():
        dotted = _class_of(binding)
        if dotted and framework != _NO_LIBRARY and framework in (frameworks or (framework,)):
            yield Named(ImportPath(framework, dotted), optimizer.name)


def _class_of(binding: Binding) -> str | None:
    """The library's own class; None if gradrace or a user's file builds the optimizer."""
    if binding.native_target:
        return binding.native_target
    return binding.target if isinstance(binding.target, str) else None
