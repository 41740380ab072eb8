"""The verdict of one check of `gradrace certify`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..spec import Frozen
from ..strict import LONG_TEXT

Outcome = Literal["passed", "failed", "not applicable"]
Part = Literal["rule", "battery", "training"]


class Finding(Frozen):
    """One line of a certificate.

    check: its name, the same for every optimizer: "zero gradients". text: one sentence with the
    measured sizes. size: the measured figure that decided; None if there is none. script:
    reproduces a failure without gradrace."""

    part: Part
    check: str
    outcome: Outcome
    text: str
    size: float | None = None
    script: Annotated[str, Field(max_length=LONG_TEXT)] = ""
