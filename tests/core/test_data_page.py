"""docs/data.md: its files are run as they stand there, on data made in the form that each reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from gradrace import data
from gradrace.data import own
from gradrace.registry import load_registry
from paths import ROOT
from tutorials import steps

FILES = {
    step.file: step.content
    for step in steps((ROOT / "docs" / "data.md").read_text(encoding="utf-8"))
    if step.file
}
RNG = np.random.default_rng(1)
N = 60


def houses(folder: Path) -> None:
    area = RNG.normal(100, 20, N)
    area[3] = np.nan
    table = {"area": area, "town": ["a", "b", "c"] * 20, "street": np.arange(N) // 4}
    pd.DataFrame({**table, "price": RNG.normal(size=N)}).to_csv(folder / "houses.csv", index=False)


def sensors(folder: Path) -> None:
    arrays = {"x": RNG.normal(size=(N, 3)), "y": np.arange(N) % 2, "time": RNG.permutation(N)}
    np.savez(folder / "sensors.npz", **arrays)


def reviews(folder: Path) -> None:
    for split in ("train", "test"):
        (folder / "reviews" / split).mkdir(parents=True)
        for shard in range(2):
            table = pa.table({"length": RNG.normal(size=N), "label": np.arange(N) % 2})
            file = folder / "reviews" / split / f"data-0000{shard}-of-00002.arrow"
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
                out.write_table(table)


def letters(folder: Path) -> None:
    raw = folder / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        images = RNG.integers(0, 256, N * 28 * 28).astype(np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(bytes(16) + images.tobytes())
        labels = (np.arange(N) % 26).astype(np.uint8)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(bytes(8) + (labels % 3).tobytes())


def digits28(folder: Path) -> None:
    arrays: dict[str, Any] = {}
    for part in ("train", "test"):
        arrays[f"x_{part}"] = RNG.integers(0, 256, (N, 28, 28)).astype(np.uint8)
        arrays[f"y_{part}"] = np.arange(N) % 3
    (folder / ".keras" / "datasets").mkdir(parents=True)
    np.savez(folder / ".keras" / "datasets" / "mnist.npz", **arrays)


MADE = {
    "houses": houses,
    "sensors": sensors,
    "reviews": reviews,
    "letters": letters,
    "digits28": digits28,
}
SHAPES = {
    "houses": (4,),
    "sensors": (3,),
    "reviews": (1,),
    "letters": (28, 28, 1),
    "digits28": (28, 28, 1),
}


def test_every_file_of_the_page_is_tried():
    assert {name.removesuffix(".py") for name in FILES} == set(MADE) == set(SHAPES)


@pytest.mark.parametrize("name", MADE)
def test_a_file_of_the_page_gives_its_data(name, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADRACE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(own, "_KNOWN", own._Known())
    data.load.cache_clear()
    frameworks = {"torch", "tensorflow", "jax"} & set(sys.modules)
    MADE[name](tmp_path)
    (tmp_path / f"{name}.py").write_text(FILES[f"{name}.py"])
    assert set(load_registry([tmp_path / f"{name}.py"]).data) == {name}
    found = data.load(name)
    assert found.shape == SHAPES[name]
    whole = 2 * len(found.splits["test"].y) if name in ("letters", "digits28", "reviews") else N
    assert sum(len(split.y) for split in found.splits.values()) == whole
    assert {"torch", "tensorflow", "jax"} & set(sys.modules) == frameworks
    data.load.cache_clear()
