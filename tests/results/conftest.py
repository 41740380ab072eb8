"""Fixtures of tests of stored results."""

from __future__ import annotations

from pathlib import Path

import pytest
from merging import run, write


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Folders a and b, with a run each that the other lacks, and the path of none yet.

    Of the run that both have, a's began first."""
    write(tmp_path / "a", [run(0), run(1)])
    write(tmp_path / "b", [run(1, hour=1), run(2)])
    return tmp_path / "a", tmp_path / "b", tmp_path / "c"
