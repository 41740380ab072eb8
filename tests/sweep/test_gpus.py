"""Several cards: each worker sees one of them, and its records say which."""

from __future__ import annotations

import textwrap

import pytest
import tiny
from gradrace import machine
from gradrace.executor import local
from gradrace.executor.environment import environment
from gradrace.machine import gpu_label, visible_gpus
from gradrace.sweep import Options, planner

CARDS = [["0", "GPU-aa", "NVIDIA H100"], ["1", "GPU-bb", "NVIDIA H100"], ["2", "GPU-cc", "RTX, 1"]]


@pytest.fixture(autouse=True)
def cards(monkeypatch):
    """Three, as nvidia-smi would list them; the environment of this process names none."""
    names = ["index", "uuid", "name"]
    rows = lambda *wanted: [[row[names.index(name)] for name in wanted] for row in CARDS]
    monkeypatch.setattr(machine, "gpu_properties", rows)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpu_label.cache_clear()
    yield
    gpu_label.cache_clear()


@pytest.mark.parametrize(
    ("named", "visible", "label"),
    [
        (None, ("0", "1", "2"), "NVIDIA H100, index 0"),
        ("1", ("1",), "NVIDIA H100, index 1"),
        ("2, 0", ("2", "0"), "RTX, 1, index 2"),
        ("GPU-bb", ("GPU-bb",), "NVIDIA H100, index 1"),
        ("1,-1,0", ("1",), "NVIDIA H100, index 1"),
        ("1,1", ("1",), "NVIDIA H100, index 1"),
        ("", (), ""),
        ("-1", (), ""),
        ("7", ("7",), ""),
    ],
)
def test_the_cards_that_a_process_may_use(monkeypatch, named, visible, label):
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == visible and gpu_label() == label


def test_a_worker_s_environment_names_its_card_alone(make_run):
    run = make_run().model_copy(update={"device": "gpu"})
    assert environment(run, "2")["CUDA_VISIBLE_DEVICES"] == "2"
    assert environment(run, "2")["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert "CUDA_VISIBLE_DEVICES" not in environment(run), "one card: the user's own setting holds"
    assert environment(make_run(), "2")["CUDA_VISIBLE_DEVICES"] == ""


PLUGIN = textwrap.dedent("""
    import os, pathlib, sys, time
    from gradrace import Optimizer, ReferenceRule
    FOLDER = pathlib.Path(__file__).parent / "seen"
    def update(p, g, state, lr, t, hyper):
        if sys.argv[0].endswith("worker/__main__.py"):
            (FOLDER / f"{os.getpid()}-{os.environ.get('CUDA_VISIBLE_DEVICES', 'all')}").touch()
            # Until the other workers have begun too; else the run ends by its timeout.
            while len(list(FOLDER.iterdir())) < WORKERS:
                time.sleep(0.01)
        return p - lr * g, state
    O = Optimizer(
        name="mine", title="Mine", paper="-", learning_rate=0.1, hyper={}, bindings={},
        rule=ReferenceRule(init=lambda p, hyper: {}, update=update))
""")


def seen(folder, monkeypatch, workers, visible):
    """Process and card of each worker of a sweep of six runs on the referee."""
    (folder / "seen").mkdir()
    (folder / "mine.py").write_text(PLUGIN.replace("WORKERS", str(workers)))
    monkeypatch.setattr(planner, "lacks_gpu", lambda: False)
    monkeypatch.setattr(local, "visible_gpus", lambda: visible)
    options = Options(output=folder, workers=4, timeout_s=60)
    changes = {"optimizers": ["mine"], "device": "gpu", "seeds": 6, "steps": 2, "eval_every": 2}
    outcome, _ = tiny.swept(folder, [folder / "mine.py"], options, **changes)
    assert outcome.counts == {"ok": 6}
    return [file.name.split("-", 1)[1] for file in (folder / "seen").iterdir()]


def test_a_framework_has_one_worker_a_card(tmp_path, monkeypatch):
    assert sorted(seen(tmp_path, monkeypatch, 3, ("0", "2", "5"))) == ["0", "2", "5"]


def test_one_card_has_one_worker(tmp_path, monkeypatch):
    assert seen(tmp_path, monkeypatch, 1, ("0",)) == ["all"]
