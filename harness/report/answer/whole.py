"""The first screen, put together."""

from __future__ import annotations

from markupsafe import Markup

from ..builder import Builder
from ..content import Answer
from ..tables.standings import standings
from ..tables.step_costs import step_costs
from . import ahead, alike, amount, price
from .headline import headline
from .matrix import matrix
from .picture import picture


def answer(builder: Builder) -> Answer:
    """The answer of a suite's numbers: see content.Answer. Every suite has one."""
    stand = standings(builder.frames, builder.suite)
    costs = step_costs(builder.frames, builder.suite)
    leads = ahead.reply(builder, stand)
    said = (leads, price.reply(builder, costs), alike.reply(builder), amount.reply(builder))
    small = picture(builder, stand, costs, small=True)
    return Answer(
        headline=headline(builder, stand, costs),
        replies=tuple(reply for reply in said if reply),
        picture=picture(builder, stand, costs),
        matrix=matrix(builder, stand) if len(stand) else None,
        thumbnail=small.svg if small else Markup(),
    )
