"""One check of a certificate, before it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .certificate import Subject
from .finding import Finding, Part


class Check(NamedTuple):
    """A named piece of work; `find` is called with the seconds that are left for all checks.

    A worker says its name before it begins: if the optimizer kills the process there, that check
    has failed, and another process goes on with the next. So a check is small, it may find several
    things, and its findings have its part."""

    part: Part
    name: str
    find: Callable[[float], Iterable[Finding]]


@dataclass(frozen=True)
class Prepared:
    """An imported and made class, and the checks that fit it. versions: see Certificate."""

    subject: Subject
    versions: dict[str, str]
    checks: Sequence[Check]
