"""`import gradrace`: what it exports, and that it costs nothing until it is used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import get_args

import gradrace
import pytest
from gradrace import adapter, layers, optimizer, schedule

NAMES = gradrace.__all__


@pytest.mark.parametrize("name", NAMES)
def test_a_listed_name_is_the_one_in_its_module(name):
    if name in gradrace._PACKAGES:
        assert getattr(gradrace, name) is importlib.import_module(f"gradrace.{name}")
        return
    home = importlib.import_module(gradrace._homes()[name], "gradrace")
    assert getattr(gradrace, name) is getattr(home, name)
    made_in = getattr(getattr(gradrace, name), "__module__", home.__name__)
    assert made_in == home.__name__ or not made_in.startswith("gradrace"), "exported by its maker"


@pytest.mark.parametrize("module", [adapter, optimizer, schedule], ids=lambda m: m.__name__)
def test_every_public_class_of_a_plug_in_s_modules_is_listed(module):
    own = {n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__}
    classes = {name for name in own if isinstance(getattr(module, name), type)}
    assert classes - set(NAMES) == set()


def test_every_kind_of_layer_is_listed():
    kinds = {kind.__name__ for kind in get_args(get_args(layers.Layer)[0])}
    assert len(kinds) >= 14 and kinds <= set(NAMES)


def test_dir_and_star_give_all_names():
    assert set(NAMES) <= set(dir(gradrace)) and "__version__" in dir(gradrace)
    found: dict[str, object] = {}
    exec("from gradrace import *", found)
    assert set(NAMES) <= set(found)
    assert not hasattr(gradrace, "nothing_like_this")


@pytest.mark.parametrize("name, module", [("verify", "verifying"), ("tune", "tuning")])
@pytest.mark.parametrize(
    "before",
    [
        "pass",
        "gradrace.{0}",
        "import gradrace.{0}",
        "import gradrace.{0}.text",
        "from gradrace.{0}.text import *",
        "from gradrace import {0}",
        "import gradrace.api.{1}",
        "gradrace.{0}; import gradrace.{0}.text; gradrace.run",
    ],
)
def test_a_package_is_the_function_of_its_name_whatever_was_imported_before(name, module, before):
    code = (
        f"import inspect, gradrace; {before.format(name, module)};"
        f" from gradrace.api.{module} import {name} as function;"
        f" assert inspect.signature(gradrace.{name}) == inspect.signature(function);"
        f" import gradrace.{name}.text as text; assert gradrace.{name}.text is text\n"
        f"try:\n    gradrace.{name}(no_such=1)\n"
        f"except TypeError as error:\n    assert '{name}()' in str(error), error\n"
        f"else:\n    raise SystemExit('called with anything')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_it_loads_nothing_else():
    code = "import sys; old = set(sys.modules); import gradrace; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("gradrace")} == {"gradrace"}
    assert {name.partition(".")[0] for name in loaded} <= {*sys.stdlib_module_names, "gradrace"}
