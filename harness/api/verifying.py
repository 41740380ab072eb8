"""Verification from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def verify(
    keyword: str = "",
    *,
    quick: bool = False,
    long: bool = False,
    frameworks: Sequence[str] = (),
    dtype: str = "float64",
    device: str = "cpu",
    load: Sequence[str | Path] = (),
    output: str | Path = "results",
) -> pd.DataFrame:
    """Proves that the frameworks compute the same as each other and as a NumPy referee, as
    `gradrace verify`, and keeps the verdicts under `output`, where the report finds them.

    Returns a row a verdict: level, case, task, optimizer, rule, a and b (the two sides), verdict
    (equal, differs by definition, unavailable or FAILED), worst (the largest scaled difference),
    tolerance, reason. keyword: words such as "updates adam !native"; quick: a representative part,
    within a minute; the others are as the options of the command line.

    Raises gradrace.UserError for anything misspelt, or if nothing is selected."""
    import pandas as pd

    from ..commands.verify import checked_device, checked_words, loadable
    from ..verify import VerifyOptions, driver, file
    from ..verify.cases import Selection

    words = checked_words(keyword, dtype)
    names = (frameworks,) if isinstance(frameworks, str) else tuple(frameworks)
    selection = Selection(words, quick, long, names, checked_device(device))
    registry = loadable([Path(each) for each in load])
    found = driver.verify(registry, VerifyOptions(selection))
    file.write(Path(output), found, registry)
    rows = [
        {
            **{"level": each.level, "case": each.case, "task": each.task},
            **{"optimizer": each.optimizer, "rule": each.rule},
            **{"a": each.a.label, "b": each.b.label, "verdict": each.verdict},
            **{"worst": each.worst, "tolerance": each.tolerance, "reason": each.reason},
        }
        for each in found.verdicts
    ]
    return pd.DataFrame(rows)
