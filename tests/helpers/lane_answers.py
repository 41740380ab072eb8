"""Answers of the programs that hold populations against single runs, once a test process."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from programs import printed, printed_once


@cache
def yardstick(framework: str, *pairs: str) -> dict[str, Any]:
    """See lanes.py."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        printed("lanes.py", framework, str(out), *pairs)
        return dict(np.load(out))


def found(program: str, checks: Collection[str]) -> dict[str, str]:
    """Check -> "", or the failure. The program has these checks and no others."""
    said: dict[str, str] = json.loads(printed_once(program).splitlines()[-1])
    assert set(said) == set(checks)
    return said
