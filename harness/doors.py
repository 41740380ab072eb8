"""Packages that are also functions: `gradrace.verify(...)` beside `gradrace.verify.cases`.

Whenever Python imports a package, it sets it as an attribute of its parent, and a function of that
name is lost. So the package itself can be called: it hands over to the function of gradrace.api.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

# Package -> the module below gradrace.api that has the function of that name.
_MODULES = {"verify": "verifying", "tune": "tuning"}


class CallablePackage(ModuleType):
    """A package that is called as the function of its name in gradrace.api."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function of this name; see `help(gradrace.api.verifying.verify)` and the like."""
        return _function(self)(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        """Of the function, for help and completion."""
        return inspect.signature(_function(self))


def open_door(package: str) -> None:
    """Lets a package of gradrace (by its full name) be called."""
    sys.modules[package].__class__ = CallablePackage


def _function(package: ModuleType) -> Callable[..., Any]:
    parent, _, name = package.__name__.rpartition(".")
    function: Callable[..., Any] = getattr(
        importlib.import_module(f"{parent}.api.{_MODULES[name]}"), name
    )
    return function
