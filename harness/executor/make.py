"""The executor of the user's choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import Claim, Executor
from .local import LocalExecutor


@dataclass(frozen=True)
class Means:
    """With what runs are computed; the fields are as of LocalExecutor."""

    plugins: tuple[Path, ...] = ()
    interpreters: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 600.0
    workers: int = 0


def make_executor(means: Means, claim: Claim = lambda job: job) -> Executor:
    """An executor without jobs. Whoever makes it closes it."""
    return LocalExecutor(
        means.plugins, means.interpreters, means.timeout_s, means.workers, claim=claim
    )
