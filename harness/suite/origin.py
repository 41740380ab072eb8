"""Where a suite comes from: two suites of one name must not take over each other's results."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..spec import Frozen, canonical_json

BUILT_IN = "the built-in suite"


class Origin(Frozen):
    """source: a file's absolute path, BUILT_IN, or "" for content from Python.

    content: 24 hex digits of all that the suite says, before a command line changes it."""

    source: str
    title: str
    content: str

    @classmethod
    def of(cls, source: str, content: dict[str, Any]) -> Origin:
        """From JSON values."""
        text = canonical_json(content)
        return cls(
            source=source,
            title=str(content["title"]),
            content=hashlib.sha256(text.encode()).hexdigest()[:24],
        )

    @property
    def named(self) -> str:
        """For people."""
        return self.source or "a suite given from Python"

    def continues(self, old: Origin) -> bool:
        """Whether this is the same suite as `old`: the same file, edited or not, the same content
        elsewhere, or the same title if the old file is gone."""
        if self.source == old.source or self.content == old.content:
            return True
        gone = old.source not in ("", BUILT_IN) and not Path(old.source).exists()
        return gone and self.title == old.title


def check_same(folder: Path, old: Origin | None, new: Origin | None) -> None:
    """UserError if the results in this folder are of another suite.

    None: the origin is not known, as in plans of earlier versions."""
    if old is None or new is None or new.continues(old):
        return
    raise UserError(
        f"{folder}: holds the results of another suite of this name, {old.named} ({old.title!r});"
        f" this one is {new.named} ({new.title!r}). Rename one of them, or keep its results apart"
        f" with --output. If it is the same suite in a new place, remove {folder / 'plan.json'}:"
        " finished runs are kept and found again"
    )
