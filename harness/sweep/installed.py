"""Versions of frameworks, in this Python or in another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache

from ..errors import UserError
from ..process import NoAnswer, ask
from ..registry import Framework

_WHAT_IS_INSTALLED = """
import importlib.metadata, json, sys
installed = {}
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


@cache
def _versions_elsewhere(python: str, requires: tuple[str, ...]) -> dict[str, str] | None:
    """UserError if that interpreter cannot be asked or has no gradrace."""
    names = [name for requirement in requires for name in requirement.split("|")]
    command = [python, "-c", _WHAT_IS_INSTALLED, "gradrace", *names]
    try:
        installed = ask(command, os.environ, timeout_s=60)
    except NoAnswer as error:
        raise UserError(f"--python: {python} cannot be used: {error}") from None
    if installed.pop("gradrace", None) is None:
        raise UserError(
            f"--python: {python} has no gradrace; install it there as well (pip install gradrace)"
        )
    complete = all(any(name in installed for name in each.split("|")) for each in requires)
    return {name: str(version) for name, version in installed.items()} if complete else None
