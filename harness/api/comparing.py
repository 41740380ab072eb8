"""Comparisons from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from ..results.frame import Frames


def compare(  # noqa: PLR0913 - the options of `gradrace compare`, by keyword
    first: str | Path | Frames | None = None,
    second: str | Path | Frames | None = None,
    *,
    suite: str = "quick",
    keyword: str = "",
    a: Mapping[str, object] | None = None,
    b: Mapping[str, object] | None = None,
    a_python: str | None = None,
    b_python: str | None = None,
    base: str | None = None,
    head: str | None = None,
    a_load: str | Path | None = None,
    b_load: str | Path | None = None,
    load: Sequence[str | Path] = (),
    measure: str = "step",
    threshold: float | None = None,
    budget_s: float = 180.0,
    alpha: float = 0.05,
    launches: int = 6,
    breakdown: bool | None = None,
    allow_dirty: bool = False,
) -> pd.DataFrame:
    """Judges two sides, run in turns on one core, or stored results, as `gradrace compare`.

    first, second: stored results, as folders or Frames; then a row for each cell and figure: cell,
    figure, a, b, change, verdict, note. Otherwise the sides of the command line: a and b
    (`a={"framework": "torch"}, b={"framework": "jax"}`), base and head, interpreters or files; then
    a row for each cell: cell, decision, reason, ratio (b / a) with low and high, both values,
    launches and so on. measure: step (seconds a step), first_call (seconds), memory (bytes by which
    the process grows) or energy (joules a step).

    Raises gradrace.UserError for anything misspelt, or if nothing is comparable."""
    import pandas as pd

    from ..commands import compare as command

    if first is not None or second is not None:
        return _stored(first, second, threshold)
    arguments = command.Arguments(
        first=None,
        second=None,
        suite=suite,
        keyword=keyword,
        a=_choice(a),
        b=_choice(b),
        a_python=a_python,
        b_python=b_python,
        base=base,
        head=head,
        a_load=_path(a_load),
        b_load=_path(b_load),
        load=tuple(map(Path, load)),
        measure=measure,
        threshold=threshold,
        budget_s=budget_s,
        alpha=alpha,
        launches=launches,
        breakdown=breakdown,
        allow_dirty=allow_dirty,
        strict=False,
        show_all=True,
        quiet=True,
        as_json=True,
    )
    result, _ = command.judged(arguments)
    return pd.DataFrame([cell.model_dump(mode="json") for cell in result.cells])


def _stored(
    first: str | Path | Frames | None, second: str | Path | Frames | None, threshold: float | None
) -> pd.DataFrame:
    from ..commands.compare import STORED_THRESHOLD
    from ..errors import UserError
    from ..results import compare as stored

    if first is None or second is None:
        raise UserError("compare: two results belong together: a base, and what is judged")
    allowed = STORED_THRESHOLD if threshold is None else threshold
    return stored.compare(_frames(first), _frames(second), allowed).rows


def _frames(side: str | Path | Frames) -> Frames:
    from ..results import frame

    return side if isinstance(side, frame.Frames) else frame.load(side)


def _choice(cells: Mapping[str, object] | None) -> tuple[str, ...]:
    return tuple(f"{key}={value}" for key, value in (cells or {}).items())


def _path(file: str | Path | None) -> Path | None:
    return None if file is None else Path(file)
