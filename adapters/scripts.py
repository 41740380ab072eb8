"""Scenarios as the lines of a script: what adapters' scripts have in common."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from gradrace.stepping.scenario import Action, Evaluate, Reload, Scenario, SetRate, Step

# Of a line that is one call and not a part of the head.
_WORDS: Mapping[type, str] = {Reload: "reload", Evaluate: "evaluate", SetRate: "set_rate"}


def joined(imports: Iterable[str], parts: Iterable[str], scenario: Scenario) -> str:
    """The script: imports, then the parts, then a line for each action."""
    head = "\n\n\n".join(part.strip("\n") for part in parts)
    body = "\n".join([head, "", "", *_lines(scenario.actions)])
    lines = [*imports, "import numpy as np"]
    # Arrays are written with these two words.
    words = [word for word in ("inf", "nan") if re.search(rf"\b{word}\b", body)]
    lines += [f"from numpy import {', '.join(words)}"] if words else []
    # "from" behind "import", as people sort them.
    return "\n".join([*sorted(dict.fromkeys(lines), key=_rank), "", f"{body}\n"])


def uses(scenario: Scenario, kind: type) -> bool:
    """Whether an action of this kind is among the scenario's."""
    return any(isinstance(action, kind) for action in scenario.actions)


def arrays_text(arrays: Mapping[str, np.ndarray | None]) -> str:
    """A dictionary of NumPy arrays, in float64's shortest digits."""
    return "{" + ", ".join(f"{name!r}: {_text(value)}" for name, value in arrays.items()) + "}"


def _lines(actions: Iterable[Action]) -> Iterator[str]:
    for line, same in itertools.groupby(_line(action) for action in actions):
        count = len(list(same))
        if count > 1:
            yield f"for _ in range({count}):"
            yield f"    {line}"
        else:
            yield line


def _line(action: Action) -> str:
    if isinstance(action, Step):
        return f"step({arrays_text(action.gradients)})"
    given = repr(float(action.rate)) if isinstance(action, SetRate) else ""
    return f"{_WORDS[type(action)]}({given})"


def _text(value: np.ndarray | None) -> str:
    if value is None:
        return "None"
    array = np.asarray(value, dtype=np.float64)
    if not array.size:
        return f"np.zeros({array.shape})"
    first = array.flat[0]
    # Zeros of both signs are equal, but no full array.
    if array.size > 2 and len({each.hex() for each in array.flat}) == 1:
        return f"np.full({array.shape}, {float(first)!r})"
    return f"np.array({array.tolist()!r})"


def _rank(line: str) -> tuple[bool, bool, str]:
    # A changed sys.path comes before what is found by it.
    return not line.startswith(("import sys", "sys.")), line.startswith("from"), line
