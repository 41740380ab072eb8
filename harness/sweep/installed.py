"""Versions of frameworks, in this Python or in another one."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from functools import cache

from ..errors import UserError
from ..optimizer import Binding
from ..plugins.imports import NOT_INSTALLED
from ..process import NoAnswer, ask
from ..registry import Framework
from .reached import CORE

_WHAT_IS_INSTALLED = """
import importlib.metadata, json, platform, sys
installed = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try: installed[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError: pass
print(json.dumps(installed))
"""


def versions_of(framework: Framework, interpreters: Mapping[str, str]) -> dict[str, str] | None:
    """Distribution -> version in the framework's interpreter; None if it is not installed."""
    if framework.name not in interpreters:
        return framework.versions()
    return _versions_elsewhere(interpreters[framework.name], framework.requires)


def core_of(framework: Framework, interpreters: Mapping[str, str]) -> dict[str, str]:
    """Versions of the framework's Python, and of what gradrace itself computes with there."""
    python = interpreters.get(framework.name)
    if python is None:
        own = {name: importlib.metadata.version(name) for name in CORE}
        return {**own, "python": platform.python_version()}
    found = _installed_in(python, CORE)
    return {name: found.get(name, NOT_INSTALLED) for name in (*CORE, "python")}


def packages_of(binding: Binding, python: str | None) -> dict[str, str]:
    """Version of each distribution that a binding requires, in this Python or in another one;
    NOT_INSTALLED for one that is not there."""
    if python is None:
        return {name: _version_here(name) for name in binding.requires}
    found = _installed_in(python, binding.requires) if binding.requires else {}
    return {name: found.get(name, NOT_INSTALLED) for name in binding.requires}


def _version_here(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return NOT_INSTALLED


def _versions_elsewhere(python: str, requires: tuple[str, ...]) -> dict[str, str] | None:
    """UserError if that interpreter cannot be asked or has no gradrace."""
    names = tuple(name for requirement in requires for name in requirement.split("|"))
    installed = _installed_in(python, names)
    complete = all(any(name in installed for name in each.split("|")) for each in requires)
    return {name: installed[name] for name in names if name in installed} if complete else None


@cache
def _installed_in(python: str, names: tuple[str, ...]) -> dict[str, str]:
    """Those of these distributions that an interpreter has, and the version of its Python.

    UserError as of `_versions_elsewhere`."""
    command = [python, "-c", _WHAT_IS_INSTALLED, "gradrace", *names]
    try:
        installed = ask(command, os.environ, timeout_s=60)
    except NoAnswer as error:
        raise UserError(f"--python: {python} cannot be used: {error}") from None
    if installed.pop("gradrace", None) is None:
        raise UserError(
            f"--python: {python} has no gradrace; install it there as well, as you did here"
        )
    return {name: str(version) for name, version in installed.items()}
