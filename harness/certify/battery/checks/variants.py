"""Other ways to compute the same: fused, foreach, capturable, compiled."""

from __future__ import annotations

from collections.abc import Iterator

from ....stepping.instance import NotApplicable
from ..bench import Bench
from ..inquiry import Inquiry
from ..said import Raised, Said, not_applicable, told


def _variants(bench: Bench) -> Iterator[Said]:
    names = bench.maker.variants()
    if not names:
        yield not_applicable("It has one way to compute.")
    for name in names:
        yield _variant(bench, name)


def _variant(bench: Bench, name: str) -> Said:
    scenario = bench.scenario(making=bench.making(variant=name))
    check = f"variant {name}"
    try:
        found = bench.differs(bench.run(scenario))
    except NotApplicable as reason:
        return Said("not applicable", str(reason), check=check)
    except Raised as raised:
        return Said("failed", f"It raises {told(raised.error)}", shown=scenario, check=check)
    if bench.close(found):
        size = found.size if found else 0.0
        return Said("passed", "It computes the same as the plain one.", size, check=check)
    assert found
    text = f"It computes something else than the plain one, {found}."
    return Said("failed", text, found.size, scenario, check=check)


CHECKS = (Inquiry("variants", _variants, late=True),)
