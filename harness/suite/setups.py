"""The hardware settings that a suite crosses, and the modes of its frameworks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..registry import Framework
from .file import SuiteFile, as_list


class Setup(NamedTuple):
    """Device, dtype and threads of a run (fields), and those of them that are swept (named)."""

    fields: dict[str, Any]
    named: dict[str, str | int]


def setups(content: SuiteFile) -> list[Setup]:
    """Every combination, each once."""
    keys = ("device", "dtype", "threads")
    swept = {key: list(dict.fromkeys(as_list(getattr(content, key)))) for key in keys}
    found = (dict(zip(keys, values, strict=True)) for values in itertools.product(*swept.values()))
    return [
        Setup(fields, {key: fields[key] for key in keys if len(swept[key]) > 1}) for fields in found
    ]


def modes_of(content: SuiteFile, framework: Framework, convergence: bool) -> Sequence[str]:
    """The modes in which a framework is trained (convergence) or timed."""
    if content.modes == "all":
        return framework.modes
    default = framework.convergence_mode if convergence else framework.modes[0]
    return content.modes.get(framework.name, [default])
