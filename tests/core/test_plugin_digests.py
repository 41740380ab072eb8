"""A run's digest and record hold all that a user's file reaches by imports, and nothing else."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gradrace import sweep
from gradrace.executor.local import unfinished
from gradrace.plugins import imports
from gradrace.record import RunRecord
from gradrace.suite import make_suite
from gradrace.sweep.store import read_records
from tiny import TINY

PATH = "from pathlib import Path"
SHORT = {"optimizers": ["sgd"], "seeds": 1, "steps": 4, "eval_every": 4}
MINE = """
{top}
import numpy as np
from gradrace import Binding, Optimizer, ReferenceRule

def for_torch():
    {torch}
    return None

def for_optax():
    {jax}
    return None

def update(p, g, state, lr, t, hyper):
    {inside}
    return p - lr * g, state

MINE = Optimizer(name="mine", title="Mine", paper="-", learning_rate=0.1, hyper={{}},
                 bindings={{{bindings}}}, rule=ReferenceRule(lambda p, hyper: {{}}, update))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with a local package, an installed distribution on the path, and data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lib").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    value = "VALUE = 1\n"
    about = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\n"
    write = {
        "lib/helper.py": "SCALE = 1.0\n",
        "lib/deeper.py": "import helper\n",
        "lib/pack/__init__.py": "",
        "lib/pack/rules.py": "from . import inner\nclass Rule: pass\n",
        **dict.fromkeys(("lib/pack/inner.py", "lib/pack/unused.py"), value),
        **dict.fromkeys(("vendor/far.py", "lib/space/below/module.py", "beside.py"), value),
        "lib/pack/table.txt": "1\n",
        "lib/pack/reader.py": f"{PATH}\nT = Path(__file__).with_name('table.txt')\n",
        "lib/shipped/__init__.py": "",
        "lib/shipped-1.0.dist-info/METADATA": about.format("shipped") + "Requires-Dist: below>=1\n",
        "lib/below-1.0.dist-info/METADATA": about.format("below"),
        "data/table.csv": "1,2\n",
        "plain.txt": "1\n",
        "notes.md": "nothing\n",
    }
    for name, text in write.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    imports._modules_to_distributions.cache_clear()
    yield tmp_path
    imports._modules_to_distributions.cache_clear()


def write(folder: Path, **parts: str) -> Path:
    """The user's file, made of these parts."""
    usual = {"top": "", "inside": "pass", "torch": "pass", "jax": "pass", "bindings": ""}
    (folder / "mine.py").write_text(MINE.format(**usual | parts))
    return folder / "mine.py"


def planned(folder: Path, framework: str = "numpy", python: str | None = None, **parts: str):
    """The run of the user's optimizer as a driver plans it."""
    dtype = "float64" if framework == "numpy" else "float32"
    content = {**TINY, "optimizers": ["sgd"], "seeds": 1, "timing": False}
    content |= {"dtype": dtype, "frameworks": [framework]}
    options = sweep.Options(interpreters={framework: python} if python else {})
    runs = sweep.prepare(make_suite("tiny", content), [write(folder, **parts)], options).plan
    return next(run for run in runs if run.spec.optimizer.name == "mine")


def swept(folder: Path, **changes):
    """A sweep of the user's optimizer alone, ready to run."""
    options = sweep.Options(output=folder / "out", keyword="mine")
    suite = make_suite("tiny", {**TINY, **SHORT, **changes})
    return sweep.prepare(suite, [folder / "mine.py"], options)


def edit(file: Path, text: str) -> None:
    file.write_text(text)
    importlib.invalidate_caches()


DATA_TABLE, TEXT_TABLE = "data/table.csv", "lib/pack/table.txt"
BY_PATH = "sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'vendor')); import far"
# Parts of the user's file, and the file that they reach.
REACHED = {
    "the file itself": ({}, "mine.py"),
    "at the top": ({"top": "import helper"}, "lib/helper.py"),
    "in a function": ({"inside": "import helper"}, "lib/helper.py"),
    "in a condition": (
        {"inside": "\n    if t > 5:\n        from helper import SCALE"},
        "lib/helper.py",
    ),
    "of an import": ({"inside": "import deeper"}, "lib/helper.py"),
    "a part of a package": ({"inside": "from pack import rules"}, "lib/pack/rules.py"),
    "a package's own file": ({"inside": "import pack.rules as r"}, "lib/pack/__init__.py"),
    "relative": ({"inside": "from pack.rules import Rule"}, "lib/pack/inner.py"),
    "star": ({"top": "from pack import *"}, "lib/pack/unused.py"),
    "without __init__": ({"inside": "import space.below.module"}, "lib/space/below/module.py"),
    "by name": (
        {"inside": "import importlib; importlib.import_module('pack.rules')"},
        "lib/pack/rules.py",
    ),
    "by a computed name": (
        {"inside": "n = 'pack.rules'; import importlib; importlib.import_module(n)"},
        "lib/pack/rules.py",
    ),
    "beside the file": ({"top": "import beside"}, "beside.py"),
    "data": ({"top": "open('plain.txt').read()"}, "plain.txt"),
    "data beside": (
        {"top": f"{PATH}; T = (Path(__file__).parent / 'data' / 'table.csv').read_text()"},
        DATA_TABLE,
    ),
    "data of a pattern": ({"top": f"{PATH}; D = list(Path('data').glob('*.csv'))"}, DATA_TABLE),
    "data of a folder": ({"top": f"{PATH}; D = Path(__file__).parent / 'data'"}, DATA_TABLE),
    "data of a package": (
        {"inside": "from importlib.resources import files; files('pack').joinpath('table.txt')"},
        TEXT_TABLE,
    ),
    "data of a package, by its own module": ({"inside": "import pack.reader"}, TEXT_TABLE),
    "from a folder put on the path": (
        {"top": "import os, sys", "inside": BY_PATH},
        "vendor/far.py",
    ),
    "text that is executed": ({"top": "exec(open('beside.py').read())"}, "beside.py"),
    "a shipped package": ({"inside": "import shipped"}, "lib/shipped-1.0.dist-info/METADATA"),
    "a package that a shipped one requires": (
        {"inside": "import shipped"},
        "lib/below-1.0.dist-info/METADATA",
    ),
}


@pytest.mark.parametrize("case", REACHED)
def test_what_is_reached_changes_the_digest(folder, case):
    parts, file = REACHED[case]
    before, again = planned(folder, **parts), planned(folder, **parts)
    assert before.digest == again.digest
    text = (folder / file).read_text()
    if file == "mine.py":
        parts = {"inside": "lr = lr * 1.0"}
    else:
        version = "dist-info" in file
        edited = text.replace("Version: 1.0", "Version: 0.9") if version else f"{text}\n# edited\n"
        edit(folder / file, edited)
    after = planned(folder, **parts)
    assert after.digest != before.digest
    old, new = ({**run.sources, **run.versions} for run in (before, after))
    assert new.items() - old.items(), "the record names the change"


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"top": "import helper"},
        {"inside": "from pack.rules import Rule"},
        {"inside": "import shipped"},
        {"inside": "open('notes.md', 'w')"},
        {"inside": "import numpy as np; np.save('notes.md', p)"},
        {"inside": "'*'"},
        {"inside": "x = dict(data='data')"},
    ],
)
def test_what_is_not_reached_leaves_the_digest(folder, parts):
    before = planned(folder, **parts)
    for name in ("lib/pack/unused.py", "notes.md", "data/table.csv", "lib/space/below/module.py"):
        edit(folder / name, "# edited\n")
    assert planned(folder, **parts).digest == before.digest


def test_the_record_names_distributions_and_files(folder):
    run = planned(folder, top="import helper", inside="import shipped; import not_there_at_all")
    assert run.versions["shipped"] == "1.0" and run.versions["below"] == "1.0"
    assert run.versions["not_there_at_all"] == "not installed"
    assert {"mine", "helper", "shipped"} <= run.sources.keys()
    assert "torch" not in run.versions, "of the frameworks only the run's own is listed"


def test_a_package_that_is_removed_or_installed_changes_the_digest(folder):
    before = planned(folder, inside="import shipped")
    for part in ("shipped/__init__.py", "shipped-1.0.dist-info/METADATA"):
        (folder / "lib" / part).unlink()
    (folder / "lib" / "shipped").rmdir()
    (folder / "lib" / "shipped-1.0.dist-info").rmdir()
    importlib.invalidate_caches()
    imports._modules_to_distributions.cache_clear()
    after = planned(folder, inside="import shipped")
    assert after.digest != before.digest and after.versions["shipped"] == "not installed"


def test_an_installed_package_counts_by_its_version(tmp_path, monkeypatch):
    """Its files, maybe thousands, are not read. One from a folder counts by its file list too."""
    site = tmp_path / "env" / "site-packages"
    info = site / "big-1.0.dist-info"
    (site / "big").mkdir(parents=True)
    info.mkdir()
    (site / "big" / "__init__.py").write_text("import nowhere_to_be_found\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Big\nVersion: 1.0\n")
    (info / "RECORD").write_text("big/__init__.py,sha256=1,1\n")
    monkeypatch.syspath_prepend(str(site))
    request = {"files": [], "names": ["big.Mine"], "left_out": [], "known": []}
    imports._modules_to_distributions.cache_clear()
    found = {"files": {}, "paths": [], "versions": {"big": "1.0"}, "gradrace": []}
    assert imports.reached(request) == found
    (info / "direct_url.json").write_text("{}")
    first = imports.reached(request)["versions"]["big"]
    (info / "RECORD").write_text("big/__init__.py,sha256=2,1\n")
    second = imports.reached(request)["versions"]["big"]
    assert first.startswith("1.0 (") and second.startswith("1.0 (") and first != second
    imports._modules_to_distributions.cache_clear()


BOTH = "'torch': Binding(for_torch), 'jax': Binding(for_optax)"


@pytest.mark.parametrize(
    ("parts", "torch", "jax"),
    [
        ({"torch": "import helper", "bindings": BOTH}, True, False),
        ({"jax": "import helper", "bindings": BOTH}, False, True),
        ({"bindings": "'torch': Binding('helper.Mine')"}, True, False),
        ({"bindings": "'jax': Binding('optax.sgd', native_target='helper.Mine')"}, False, True),
        ({"bindings": "'torch': Binding('torch.optim.SGD', evaluation='helper.at')"}, True, False),
    ],
)
def test_a_binding_counts_for_its_framework(folder, registry, parts, torch, jax):
    for framework, expected in (("torch", torch), ("jax", jax)):
        before = planned(folder, framework=framework, **parts)
        edit(folder / "lib" / "helper.py", f"SCALE = 2.0  # {framework}\n")
        changed = planned(folder, framework=framework, **parts).digest != before.digest
        assert changed == expected, framework


def test_another_interpreter_is_asked_what_it_would_find(folder, monkeypatch):
    request = {"files": [str(folder / "mine.py")], "names": ["pack.rules"]}
    request |= {"left_out": [], "known": []}
    (folder / "mine.py").write_text("import helper\n")
    here = imports.reached(request)
    text = Path(imports.__file__).read_text()
    env = {**os.environ, "PYTHONPATH": str(folder / "lib")}
    there = subprocess.run(
        [sys.executable, "-c", text],
        **{"input": json.dumps(request), "env": env, "cwd": folder},
        **{"capture_output": True, "text": True, "check": True},
    )
    assert json.loads(there.stdout) == here
    assert set(here["files"]) == {"mine", "helper", "pack", "pack.rules", "pack.inner"}


def test_a_framework_with_an_interpreter_of_its_own_is_planned_there(folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(folder / "lib"))
    here = planned(folder, top="import helper", inside="import shipped")
    there = planned(folder, top="import helper", inside="import shipped", python=sys.executable)
    assert (here.sources, here.versions) == (there.sources, there.versions)
    # The other interpreter has another version of the package.
    other = folder / "other"
    (other / "shipped-2.0.dist-info").mkdir(parents=True)
    (other / "shipped").mkdir()
    (other / "shipped" / "__init__.py").write_text("")
    meta = "Metadata-Version: 2.1\nName: shipped\nVersion: 2.0\n"
    (other / "shipped-2.0.dist-info" / "METADATA").write_text(meta)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(other), str(folder / "lib")]))
    elsewhere = planned(folder, top="import helper", inside="import shipped", python=sys.executable)
    assert elsewhere.versions["shipped"] == "2.0" and elsewhere.digest != here.digest


def test_odd_names_of_files_are_found_again_in_the_record(folder):
    (folder / "od\x1bd\u202e.txt").write_text("1")
    run = planned(folder, top="open('od\\x1bd\\u202e.txt')")
    assert any(name.startswith("od\\x1bd") for name in run.sources)
    record = RunRecord.model_validate(unfinished(run, "skipped", "x").record.to_json())
    assert record.sources == run.sources


DATA = """
import numpy as np
from gradrace import AtRandom, DataSet, Dense, TaskSpec

def load():
    x = np.loadtxt("%s", delimiter=",", ndmin=2)
    return x, np.arange(len(x)) % 2

DATA = DataSet(name="made_up", load=load, split=AtRandom())
TASK = TaskSpec(name="made_up", title="Made up", data="made_up", input_shape=(2,),
model=(Dense(units=2),), batch_size=2,
                steps=4, eval_every=2, target=0.5, target_origin="made up")
"""


def test_the_content_of_data_that_a_plugin_brings_is_part_of_the_digest(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADRACE_DATA", str(tmp_path / "data"))
    (tmp_path / "values.csv").write_text("1,2\n3,4\n5,6\n7,8\n9,10\n")
    # The name is put together when the data are read, so that no text of the file names it.
    (tmp_path / "task.py").write_text(DATA.replace('"%s"', f"'{tmp_path}' + '/values' + '.csv'"))
    content = {**TINY, **SHORT, "timing": False, "eval_every": 2}

    def digests(tasks):
        suite = make_suite("tiny", {**content, "tasks": tasks})
        return [run.digest for run in sweep.prepare(suite, [tmp_path / "task.py"]).plan]

    before, ours = digests(["made_up"]), digests(["digits_mlp", "made_up"])[0]
    assert before == digests(["made_up"])
    (tmp_path / "task.py").write_text((tmp_path / "task.py").read_text() + "# A remark.\n")
    assert before == digests(["made_up"]), "the file's text is not the data"
    (tmp_path / "values.csv").write_text("1,2\n3,4\n5,7\n7,8\n9,10\n")
    assert digests(["made_up"]) != before
    assert digests(["digits_mlp", "made_up"])[0] == ours, "our own data have not changed"


def test_a_stale_result_is_not_taken_and_a_fresh_one_is(folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(folder / "lib"))
    write(folder, inside="import helper; g = g * helper.SCALE")

    def run():
        outcome = sweep.execute(swept(folder, timing=False))
        records = read_records(folder / "out", "tiny")
        mine = [record for record in records if record.spec.optimizer.name == "mine"]
        return outcome.cached, mine[-1].sources["helper"]

    first, again = run(), run()
    (folder / "lib" / "helper.py").write_text("SCALE = 0.0\n")
    third = run()
    assert (first[0], again[0], third[0]) == (0, 1, 0)
    assert first[1] == again[1]


def test_a_file_that_is_edited_while_the_sweep_runs_gives_no_result(folder):
    write(folder)
    ready = swept(folder)
    write(folder, inside="lr = lr / 2")
    sweep.execute(ready)
    found = {(record.status, record.reason) for record in read_records(folder / "out", "tiny")}
    assert found == {("failed", "mine.py was edited after this sweep was planned; run it again")}
    again = sweep.execute(swept(folder))
    assert again.cached == 0 and again.counts["ok"] == len(ready.selected)
