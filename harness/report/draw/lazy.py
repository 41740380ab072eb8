"""Drawing functions that are imported when a figure is drawn: a report whose figures are kept from
an earlier one loads no matplotlib."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Drawn:
    """A drawing function by module and name. It can be pickled, hashed and called."""

    module: str
    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Imports and calls it; returns its figure."""
        return getattr(importlib.import_module(self.module), self.name)(*args, **kwargs)


@dataclass(frozen=True)
class Lazy:
    """A module of draw, by its name here: `convergence = Lazy("convergence")` stands for the import
    of it, and `convergence.over_time` for the function."""

    module: str

    def __getattr__(self, name: str) -> Drawn:
        if name.startswith("__"):
            raise AttributeError(name)
        return Drawn(f"{__package__}.{self.module}", name)
