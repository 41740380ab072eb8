"""How a check is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .bench import Bench
from .said import Said


@dataclass(frozen=True)
class Inquiry:
    """One check, or a family with one function.

    refusing: a ValueError or NotImplementedError says no, which is an answer, not a failure; an
    error class of the optimizer's own package is one in any check.
    compares: it compares two courses, which tells nothing if equal instances differ. late: it is
    done after the others, as it takes longer."""

    name: str
    find: Callable[[Bench], Iterable[Said]]
    refusing: bool = False
    compares: bool = True
    late: bool = False
