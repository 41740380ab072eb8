"""How much memory a worker takes: what a dry run says, and when a worker is replaced."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import tiny
from gradrace.data import Data, Split
from gradrace.registry import import_adapter
from gradrace.sweep import Options, needs
from gradrace.worker import memory, resident
from gradrace.worker.__main__ import Worker

MIB = 2**20


def data(tmp_path, mapped: bool, rows: int = 1000) -> Data:
    """100 float32 features of so many rows in all."""
    x = np.zeros((rows, 100), np.float32)
    if mapped:
        np.save(tmp_path / "x.npy", x)
        x = np.asarray(np.load(tmp_path / "x.npy", mmap_mode="r"))
    y = np.zeros(rows, np.int64)
    y.flags.writeable = not mapped
    parts = {"train": slice(0, 700), "validation": slice(700, 850), "test": slice(850, rows)}
    return Data("x", {name: Split(x[at], y[at]) for name, at in parts.items()}, 2, "made here")


@pytest.mark.parametrize(("dtype", "copy"), [("float32", 4), ("float64", 8), ("bfloat16", 2)])
def test_a_worker_holds_one_copy_and_arrays_that_are_no_memory_maps(tmp_path, dtype, copy):
    assert memory.data_bytes(data(tmp_path, mapped=True), dtype) == 1000 * 100 * copy
    own = 1000 * 100 * (4 + copy) + 1000 * 8
    assert memory.data_bytes(data(tmp_path, mapped=False), dtype) == own


def test_pages_of_a_memory_map_are_no_workers_own(tmp_path):
    size = 64 * MIB
    np.save(tmp_path / "x.npy", np.ones(size // 8))
    before, held = memory.private_bytes(), resident.resident_bytes()
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert mapped.sum() == len(mapped)
    assert resident.resident_bytes() - held > 0.8 * size
    assert memory.private_bytes() - before < 0.2 * size


@pytest.mark.parametrize(("private", "outgrown"), [(1500, False), (1501, True)])
def test_a_worker_is_not_replaced_for_the_size_of_its_data(
    registry, make_run, monkeypatch, private, outgrown
):
    """Another worker would hold the data too, and be replaced after each run for ever."""
    adapter = import_adapter(registry.frameworks["numpy"])
    worker = Worker(registry, adapter, io.BytesIO())
    monkeypatch.setattr("gradrace.worker.__main__.redirect_output", lambda log: None)
    monkeypatch.setattr(memory, "data_bytes", lambda data, dtype: 1000)
    monkeypatch.setattr(memory, "private_bytes", lambda: private)
    planned = {"digest": "0" * 24, "versions": {}, "sources": {}, "log": ""}
    assert worker.do([{"spec": make_run().to_json(), **planned}], 500) is outgrown


@pytest.fixture
def sweep(tmp_path):
    """A tiny suite of two frameworks."""
    options = Options(output=tmp_path, workers=3)
    return tiny.planned(tmp_path, options=options, frameworks=["numpy", "jax"])


def test_a_dry_run_says_the_memory_of_a_worker_of_each_framework(sweep):
    found = {need.framework: need for need in needs.needs(sweep)}
    assert {*found} == {"numpy", "jax"}
    frameworks = sweep.registry.frameworks
    for name, need in found.items():
        assert need.bytes > frameworks[name].memory_mib * MIB + need.data_bytes > 0
    assert found["jax"].bytes > found["numpy"].bytes
    (told,) = needs.sentences(list(found.values()), sweep)
    assert told.startswith("memory of a worker: about ") and "data set digits" in told


def test_a_framework_that_states_no_memory_is_left_out(sweep):
    frameworks = dict(sweep.registry.frameworks)
    frameworks["jax"] = replace(frameworks["jax"], memory_mib=None)
    known = replace(sweep, registry=replace(sweep.registry, frameworks=frameworks))
    assert {need.framework for need in needs.needs(known)} == {"numpy"}
    assert needs.sentences([], sweep) == []


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (300 * MIB, ""),
        (299 * MIB, "Caution: 3 workers of 100 MiB exceed the 299 MiB of this machine; -j 2 "),
        (99 * MIB, "-j 1 starts one"),
    ],
)
def test_workers_that_exceed_the_machine_are_a_caution(sweep, monkeypatch, machine, words):
    here = needs.this_machine().model_copy(update={"memory_bytes": machine})
    monkeypatch.setattr(needs, "this_machine", lambda: here)
    need = needs.Need("numpy", 100 * MIB, "digits", MIB)
    told = needs.sentences([need], sweep)[1:]
    assert len(told) == bool(words) and words in "".join(told)
    elsewhere = replace(sweep, options=replace(sweep.options, executor="ray"))
    assert len(needs.sentences([need], elsewhere)) == 1


def test_larger_batches_lanes_and_models_take_more(sweep, make_run):
    def size(**changed):
        run = make_run()
        task = run.task.model_copy(update=changed.pop("task", {}))
        spec = run.model_copy(update={"task": task, **changed})
        planned = replace(sweep.selected[0], spec=spec)
        (need,) = needs.needs(replace(sweep, selected=(planned,)))
        return need.bytes

    usual = size()
    assert size(task={"batch_size": 512}) > usual
    assert size(task={"steps": 10**6}) > usual
    assert size(mode="population", lanes=8) > usual
    assert size(dtype="float32") < size(dtype="float64")
