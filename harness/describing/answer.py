"""What a framework's process says of an optimizer's class; it is untrusted, and so a model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FiniteFloat

from ..optimizer import Argument
from ..spec import Frozen, HyperScalar

Text = Annotated[str, Field(max_length=1000)]


class ArgumentAnswer(Frozen):
    """optimizer.Argument as JSON."""

    default: HyperScalar | tuple[HyperScalar | None, ...] | None = None
    required: bool = False
    shown: Annotated[str, Field(max_length=400)] = ""

    @property
    def argument(self) -> Argument:
        """The value itself."""
        return Argument(self.default, self.required, self.shown)


class Answer(Frozen):
    """The native class of an optimizer, as its framework's process sees it.

    arguments: those that a user may set, by name. learning_rate: its default, None if it has none.
    distribution, version: of the package; "" for a user's file. problem: why it is none that can be
    driven; absent: the package that it needs and that is not installed; "" otherwise."""

    arguments: dict[str, ArgumentAnswer] = {}
    learning_rate: FiniteFloat | None = None
    distribution: Text = ""
    version: Text = ""
    problem: Text = ""
    absent: Text = ""
