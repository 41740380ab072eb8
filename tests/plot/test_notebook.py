"""The example notebook runs, and shows what a reader of it sees."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import nbformat
import notebooks
import pytest
from paths import ROOT

FILE = ROOT / "docs" / "notebook.ipynb"
# Bytes of all pictures together.
MOST = 300_000


def shown(notebook: nbformat.NotebookNode) -> list[dict[str, str]]:
    """What each code cell shows: the data of its results by MIME type."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = [[out for out in cell.outputs if "data" in out] for cell in cells]
    return [dict(outs[0].data) if outs else {} for outs in found]


@pytest.fixture(scope="module")
def kept() -> nbformat.NotebookNode:
    return nbformat.read(FILE, as_version=4)


def test_its_pictures_are_small_and_name_no_machine(kept):
    pictures = [base64.b64decode(each["image/png"]) for each in shown(kept) if "image/png" in each]
    assert len(pictures) == 5 and sum(map(len, pictures)) <= MOST
    text = re.sub(r'"image/png": "[^"]*"', "", FILE.read_text(encoding="utf-8"))
    assert not re.search(r"site-packages|/home/|/tmp/|Traceback", text)


@pytest.mark.slow
def test_it_runs_and_shows_what_it_has_shown(kept, tmp_path: Path):
    again = notebooks.executed(FILE, tmp_path)
    assert (tmp_path / "convergence.pdf").read_bytes().startswith(b"%PDF")
    for before, now in zip(shown(kept), shown(again), strict=True):
        assert before.keys() == now.keys()
        if "image/png" not in now:
            # Names alone: rounding may differ between machines.
            assert words(before.get("text/plain", "")) == words(now.get("text/plain", ""))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z_=]{3,}", text)
