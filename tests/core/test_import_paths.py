"""Import paths: their text, what a signature tells, and what the native rule hands to a class."""

from __future__ import annotations

import functools
import os
import re
import string
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from gradrace.describing import asking, described
from gradrace.describing.asking import ask_about
from gradrace.describing.space import numbers_of, space_of
from gradrace.errors import UserError
from gradrace.imported.arguments import check_hyper, native_arguments
from gradrace.imported.optimizers import optimizer_of
from gradrace.imported.signature import arguments_of, settable
from gradrace.importpath import ImportPath, is_import_path, plugin_of
from gradrace.optimizer import Argument, Range
from gradrace.registry import load_registry
from gradrace.spec import OptimizerSpec
from gradrace.suite import expand, make_suite, with_paths
from gradrace.suite.checks import check_paths
from gradrace.tune.space import spaces_of
from hypothesis import given
from hypothesis import strategies as st
from tiny import TINY

TEXTS = {
    "torch:schedulefree.AdamWScheduleFree": "torch:schedulefree.AdamWScheduleFree",
    "optax:optax.contrib.muon": "jax:optax.contrib.muon",
    "keras:keras.optimizers.Lion": "tensorflow:keras.optimizers.Lion",
    "torch:./mine.py:Mine": "torch:mine.py:Mine",
    "torch:/a/b/my file.py:Outer.Inner": "torch:my file.py:Outer.Inner",
}


@pytest.mark.parametrize(("text", "name"), TEXTS.items())
def test_a_path_has_a_name_and_travels_as_a_text(text, name):
    path = ImportPath.parse(text)
    assert is_import_path(text) and path.name == name
    assert OptimizerSpec(name=path.name).name == name
    assert plugin_of(str(path)) == path == plugin_of(str(Path(str(path))))


PART = st.text(string.ascii_letters + "_", min_size=1, max_size=6)
DOTTED = st.lists(PART, min_size=2, max_size=4).map(".".join)


@given(st.sampled_from(["torch", "jax", "numpy"]), DOTTED, st.none() | PART)
def test_every_path_is_read_back(framework, dotted, file):
    path = ImportPath(framework, dotted, Path(f"{file}.py") if file else None)
    assert ImportPath.parse(str(path)) == path


NO_PATHS = {
    "torch:": "no import path; expected FRAMEWORK:package.Class",
    "torch:Adam": "no import path",
    "torch:a b.c": "no import path",
    "torch:mine.txt:Mine": "no import path",
    ":a.b": "no import path",
    "torch:my(1).py:Mine": "the file's name may have letters",
    "torch:a." + "b" * 200: "at most 200",
}


@pytest.mark.parametrize(("text", "message"), NO_PATHS.items(), ids=lambda text: text[:20])
def test_another_text_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        ImportPath.parse(text)


# -- signatures


class Base:
    def __init__(self, params, defaults, maximize=False, **others):
        pass


# A mutable default, as some packages have it.
LIST = [0.9, 0.99]


class Derived(Base):
    def __init__(self, params, lr=0.1, betas=LIST, *, needed, kind="a", thing=object, **others):
        pass


class Strict(Base):
    def __init__(self, params, lr=None):
        pass


def test_arguments_follow_keywords_to_the_bases():
    found = arguments_of(Derived, given=1)
    assert [*found] == ["lr", "betas", "needed", "kind", "thing", "maximize"]
    assert found["betas"] == Argument((0.9, 0.99), shown="[0.9, 0.99]")
    assert found["needed"].required and not found["maximize"].required
    assert found["thing"].default is None and found["thing"].shown == "<class 'object'>"
    assert [*arguments_of(Strict, given=1)] == ["lr"]
    assert [*settable(found)] == [name for name in found if name != "lr"]


def test_a_first_argument_without_a_name_is_given_as_well():
    def factory(params, /, lr, eps=1.0):
        pass

    assert [*arguments_of(factory, given=1)] == ["lr", "eps"]


def test_arguments_of_functions_and_partials():
    def factory(learning_rate, b1=0.9, scale=(None, 2.0)):
        pass

    found = arguments_of(functools.partial(factory, b1=0.5))
    assert found["learning_rate"].required and found["b1"].default == 0.5
    assert found["scale"].default == (None, 2.0)


# -- arguments of the native rule

TORCH = {
    "adam": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False},
    "adagrad": {"eps": 1e-10, "initial_accumulator_value": 0},
    "rmsprop": {"alpha": 0.99, "eps": 1e-8},
    "adafactor": {"beta2_decay": -0.8, "eps": (None, 1e-3), "d": 1.0},
    "lbfgs": {"history_size": 100},
}
# The hyperparameter, and the arguments that it becomes, or the message.
NATIVE = [
    ("adam", {"epsilon": 0.1}, {"eps": 0.1}),
    ("adam", {"beta1": 0.8}, {"betas": (0.8, 0.999)}),
    ("adam", {"beta1": 0.8, "beta2": 0.9}, {"betas": (0.8, 0.9)}),
    ("adam", {"betas": (0.1, 0.2), "amsgrad": True}, {"betas": (0.1, 0.2), "amsgrad": True}),
    ("adagrad", {"epsilon": 0.1}, {"eps": 0.1}),
    ("rmsprop", {"epsilon": 0.1, "rho": 0.5}, {"eps": 0.1, "alpha": 0.5}),
    ("adafactor", {"epsilon2": 0.1, "clip": 2.0}, {"eps": (None, 0.1), "d": 2.0}),
    ("adafactor", {"beta2_decay": -0.7}, {"beta2_decay": -0.7}),
    ("adafactor", {"decay_exponent": 0.7}, "no argument 'decay_exponent'.*beta2_decay"),
    ("lbfgs", {"memory": 3}, {"history_size": 3}),
    ("adam", {"epsilom": 0.1}, "no argument 'epsilom' .did you mean 'epsilon'"),
    ("adam", {"betas": 0.1}, r"betas takes a list such as \[0.9, 0.999\]"),
    ("adam", {"beta1": (0.1, 0.2)}, "beta1 takes a number"),
    ("adam", {"beta1": 0.5, "betas": (0.1, 0.2)}, "beta1 and betas are the same argument"),
    ("adam", {"lr": 0.5}, "lr is no entry of hyper, but of learning_rate"),
]


@pytest.mark.parametrize(("name", "hyper", "wanted"), NATIVE, ids=str)
def test_a_number_goes_to_the_librarys_own_argument(registry, name, hyper, wanted):
    optimizer = registry.optimizers[name]
    known = {key: Argument(value, shown=str(value)) for key, value in TORCH[name].items()}
    binding = optimizer.bindings["torch"]
    if isinstance(wanted, str):
        with pytest.raises(ValueError, match=wanted):
            native_arguments(hyper, optimizer, binding, known)
        return
    assert native_arguments(hyper, optimizer, binding, known) == {**binding.native, **wanted}


def imported(**arguments: Argument):
    """An import path that a framework was asked about, with these arguments."""
    optimizer = optimizer_of(ImportPath.parse("torch:pack.Mine"))
    numbers = numbers_of(arguments)
    return replace(
        optimizer,
        learning_rate=0.1,
        hyper=numbers,
        space=space_of(0.1, numbers),
        arguments={"torch": arguments},
    )


BETAS = Argument((0.9, 0.99))


def test_an_import_path_takes_entries_by_their_meaning():
    optimizer = imported(betas=BETAS, inner=Argument(required=True))
    check_hyper(optimizer, "torch", {"beta2": 0.5, "inner": "a"})
    with pytest.raises(ValueError, match=r"pack.Mine needs inner; give it in hyper"):
        check_hyper(optimizer, "torch", {"beta2": 0.5})
    with pytest.raises(ValueError, match=r"no argument 'beta3'.*did you mean 'beta"):
        check_hyper(optimizer, "torch", {"beta3": 0.5, "inner": "a"})


# -- search spaces

DECAYS = {None: (5e-3, 1.0), 0: (5e-3, 1.0), 0.01: (0.001, 0.1)}


@pytest.mark.parametrize(("default", "wanted"), DECAYS.items())
def test_a_search_space_follows_from_the_signature(default, wanted):
    optimizer = imported(betas=BETAS, weight_decay=Argument(default), fast=Argument(True))
    ranges = optimizer.space.ranges
    assert [*ranges] == ["learning_rate", "weight_decay", "beta1", "beta2"]
    assert ranges["learning_rate"] == Range(0.001, 10.0, log=True)
    assert (ranges["weight_decay"].low, ranges["weight_decay"].high) == pytest.approx(wanted)
    assert ranges["beta2"].below_one and "fast" not in optimizer.hyper


SPACES = """
["torch:pack.Mine"]
beta1 = { low = 0.01, high = 0.2, log = true, below_one = true }
[sgd]
learning_rate = { low = 0.1, high = 0.2 }
"""


def test_a_file_gives_whole_spaces_and_changes_go_on_top(registry, tmp_path):
    (tmp_path / "spaces.toml").write_text(SPACES)
    optimizers = [imported(betas=BETAS), registry.optimizers["adam"]]
    changes = ["torch:pack.Mine.beta2=0.5;learning_rate=0.1..0.2", str(tmp_path / "spaces.toml")]
    found = spaces_of(optimizers, changes)
    mine = found["torch:pack.Mine"]
    assert mine.ranges["beta1"] == Range(0.01, 0.2, log=True, below_one=True)
    assert [*mine.ranges] == ["beta1", "beta2", "learning_rate"]
    assert mine.source.startswith("spaces.toml (changed: ")
    assert {"learning_rate", "beta1"} < {*found["adam"].ranges}


BAD_SPACES = {
    "adam = ": "not valid TOML",
    "adam = 3": "adam: expected a table of ranges",
    "[adam]\nbeta1 = 3": "adam.beta1: ",
    "[adam]\nbeta1 = { low = 0.1, hihg = 1 }": "adam.beta1: .*did you mean 'high'",
    "[adam]\nbetta1 = { low = 0.1, high = 1 }": "no hyperparameter 'betta1' .did you mean 'beta1'",
    "[sgd]": "no table of adam",
}


@pytest.mark.parametrize(("text", "message"), BAD_SPACES.items(), ids=lambda text: text[:30])
def test_a_mistake_in_a_file_of_spaces_is_named(registry, tmp_path, text, message):
    (tmp_path / "spaces.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        spaces_of([registry.optimizers["adam"]], [str(tmp_path / "spaces.toml")])


# -- suites


def planned_with(optimizer, **changes):
    """The runs of the tiny suite with this optimizer, whose class is not asked for again."""
    suite, _ = with_paths(make_suite("tiny", {**TINY, "timing": False, "seeds": 1, **changes}))
    registry = load_registry([ImportPath.parse("torch:pack.Mine")])
    optimizers = {**registry.optimizers, "torch:pack.Mine": optimizer}
    return expand(suite, replace(registry, optimizers=optimizers))


SWEPT = [
    ({"betas": [0.5, 0.6]}, [(0.5, 0.6)]),
    ({"betas": [[0.5, 0.6], [0.7, 0.8]]}, [(0.5, 0.6), (0.7, 0.8)]),
    ({"eps": [0.1, 0.2]}, [0.1, 0.2]),
    ({"kind": ["a", "b"]}, ["a", "b"]),
    ({"fast": [True, False]}, [True, False]),
]


@pytest.mark.parametrize(("hyper", "wanted"), SWEPT, ids=str)
def test_a_list_is_a_value_if_the_default_is_one(hyper, wanted):
    known = {"eps": Argument(1e-8), "kind": Argument("a"), "fast": Argument(True)}
    entry = {"name": "torch:pack.Mine", "hyper": hyper}
    runs = planned_with(imported(betas=BETAS, **known), frameworks=["torch"], optimizers=[entry])
    assert [next(iter(run.optimizer.hyper.values())) for run in runs] == wanted
    assert len({run.id for run in runs}) == len(runs)
    assert all(type(value) is not bool for run in runs for value in run.variations.values())


def test_an_import_path_runs_once_natively_in_its_own_framework():
    runs = planned_with(
        imported(),
        frameworks=["numpy", "torch"],
        optimizers=["sgd", "torch:pack.Mine"],
        convergence={"rule": ["canonical", "native"]},
        timing={"launches": 1},
    )
    mine = [run for run in runs if run.optimizer.name == "torch:pack.Mine"]
    assert {(run.framework, run.optimizer.rule) for run in mine} == {("torch", "native")}
    assert [run.measure for run in mine].count("convergence") == 1


def test_an_unknown_argument_names_file_and_key():
    entry = {"name": "torch:pack.Mine", "hyper": {"betta1": 0.5}}
    with pytest.raises(UserError, match=r"optimizers: torch:pack.Mine.*did you mean 'beta1'"):
        planned_with(imported(betas=BETAS), frameworks=["torch"], optimizers=[entry])


def test_a_suite_without_the_framework_says_so():
    suite = make_suite("tiny", {**TINY, "optimizers": ["torch:pack.Mine"]})
    suite, paths = with_paths(suite)
    with pytest.raises(UserError, match=r"optimizers: torch:pack.Mine: .*frameworks lack torch"):
        check_paths(suite, paths)
    check_paths(suite, paths, ["torch"])


# -- questions to a framework's process

FILES = {
    "mine.py": """
        import torch
        print("hello")
        print('{"torch:mine.py:Mine": {"problem": "a lie"}}')
        class Mine(torch.optim.SGD):
            def __init__(self, params, lr=None, extra=0.5, **kwargs):
                super().__init__(params, lr, **kwargs)
        class NotOne: pass
        def make(params, lr=0.2, betas=(0.9, 0.99)):
            return torch.optim.Adam(params, lr, betas)
        def nothing(params, lr=0.2): return None
        """,
    "leaves.py": "import sys; sys.exit(3)",
    "raises.py": "raise RuntimeError('no way')",
    "needs.py": "import not_there_at_all",
}
# Path -> the problem; of those that `described` refuses.
PROBLEMS = {
    "torch:./mine.py:NotOne": "no optimizer: it is no torch.optim.Optimizer",
    "torch:./mine.py:nothing": "no optimizer: it gives a NoneType",
    "torch:./mine.py:Min": "it has no 'Min' .did you mean 'Mine'",
    "torch:leaves.X": "raises SystemExit",
    "torch:raises.X": "raises RuntimeError: no way",
    "torch:torch.optm.Adam": "torch has no 'optm' .did you mean 'optim'",
    "torch:torch.optim.Adm": "torch.optim has no 'Adm' .did you mean 'Adam'",
    "torch:torch.nn.Linear": "no optimizer",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What torch's process says of all of them; it is started once."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("paths")
    for name, text in FILES.items():
        (folder / name).write_text(textwrap.dedent(text))
    before = Path.cwd()
    os.chdir(folder)
    try:
        good = ["torch:./mine.py:Mine", "torch:./mine.py:make", "torch:torch.optim.AdamW"]
        paths = [ImportPath.parse(text) for text in [*good, *PROBLEMS, "torch:needs.X"]]
        yield ask_about("torch", {path.name: {} for path in paths}, paths)
    finally:
        os.chdir(before)


def test_a_class_tells_its_arguments_and_learning_rate(answers):
    adamw = answers["torch:torch.optim.AdamW"]
    assert adamw.learning_rate == 1e-3 and adamw.distribution == "torch" and adamw.version
    assert adamw.arguments["betas"].default == (0.9, 0.999)
    mine, made = answers["torch:mine.py:Mine"], answers["torch:mine.py:make"]
    assert not mine.problem and mine.learning_rate is None and "momentum" in mine.arguments
    assert "params" not in mine.arguments and "lr" not in mine.arguments
    assert not made.problem and made.learning_rate == 0.2


@pytest.mark.parametrize(("text", "problem"), PROBLEMS.items())
def test_a_path_that_leads_to_no_optimizer_is_named(answers, text, problem):
    assert re.search(problem, answers[ImportPath.parse(text).name].problem)


def test_a_package_that_is_not_there_is_no_mistake(answers):
    assert answers["torch:needs.X"].absent == "not_there_at_all"


def test_a_package_that_never_ends_its_import_is_given_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(asking, "_TIMEOUT_S", 1.0)
    Path("hangs.py").write_text("import time\nwhile True: time.sleep(1)\n")
    path = ImportPath.parse("torch:hangs.X")
    problem = ask_about("torch", {path.name: {}}, [path])[path.name].problem
    assert "gave no answer within 1 s" in problem


def test_a_package_that_ends_the_process_costs_itself_alone(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    Path("dies.py").write_text("import os; os._exit(3)")
    paths = [ImportPath.parse(text) for text in ("torch:dies.X", "torch:torch.optim.SGD")]
    found = ask_about("torch", {path.name: {} for path in paths}, paths)
    assert "exit code 3" in found["torch:dies.X"].problem
    assert not found["torch:torch.optim.SGD"].problem
    with pytest.raises(UserError, match=r"torch:dies.X: it could not be looked at: .*exit code 3"):
        described(load_registry(paths))
