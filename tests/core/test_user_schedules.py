"""Schedules of users' files: what their functions answer, refusals, the places of built-in ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from gradrace import Schedule, sweep
from gradrace import ScheduleParam as Param
from gradrace.commands.list import catalogue
from gradrace.errors import UserError
from gradrace.gate import traces
from gradrace.paired import Side, choose
from gradrace.plan import make_plan
from gradrace.registry import load_registry
from gradrace.report import tables
from gradrace.report.tables import schedules as section
from gradrace.results import frame
from gradrace.schedules import SCHEDULES, complete, fingerprint, same_rates, table
from gradrace.spec import ScheduleSpec
from gradrace.suite import make_suite
from gradrace.sweep.store import read_arrays, read_records
from gradrace.tune import prepare as asking
from gradrace.verify.cases import Selection, everything
from gradrace.verify.cases import table as cases_of
from gradrace.verify.driver import VerifyOptions, verify
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT
from tiny import TINY

HEAD = (
    "import functools, math, random\nimport numpy as np\n"
    "from gradrace import Schedule, ScheduleParam as Param\n"
)
PULSE = """
def pulse(step, steps, width):
    return np.where(step < width * steps, 1.0, 0.5)

PULSE = Schedule("pulse", "the base rate, then half of it", pulse, {"width": Param(0.5, high=1.0)})
"""
EXAMPLE = ROOT / "examples" / "my_schedule.py"


def write(folder, text, name="mine.py"):
    (folder / name).write_text(HEAD + text)
    return folder / name


def schedule_of(folder, function, fields="{}"):
    """The schedule `mine` of a file, whose function is this expression."""
    file = write(folder, f"MINE = Schedule('mine', '-', {function}, {fields})\n")
    return load_registry([file]).schedules["mine"]


def rates(schedule, steps, **params):
    spec = ScheduleSpec(kind=schedule.name, base_lr=0.1, params=params)
    return table(spec, steps, {schedule.name: schedule})


def suite(schedules, **fields):
    content = {**TINY, "optimizers": ["sgd"], "seeds": 1, "timing": False, "schedules": schedules}
    return make_suite("tiny", {**content, **fields})


def plan(folder, schedules, **fields):
    return sweep.prepare(suite(schedules, **fields), [folder / "mine.py"])


def run(folder, prepared):
    options = sweep.Options(output=folder / "out")
    return sweep.execute(
        sweep.Sweep(prepared.suite, prepared.registry, options, prepared.plan, prepared.selected)
    )


# -- what a function may give


def whole(function: str) -> str:
    """A function as text; one that is not whole is the body of one of step and steps."""
    given = function.startswith(("lambda", "functools.", "type("))
    return function if given else f"lambda step, steps: {function}"


UNDERSTOOD = {
    "an array of an array": ("1 - step / steps", [1, 0.75, 0.5, 0.25]),
    "a number of a step": ("1.0 if step < 2 else 0.5", [1, 1, 0.5, 0.5]),
    "math of a step": ("math.sqrt(step)", [0, 1, math.sqrt(2), math.sqrt(3)]),
    "whole steps": ("[4, 3, 2, 1][step]", [4, 3, 2, 1]),
    "a number for all": ("0.5", [0.5] * 4),
    "a table": ("[4, 3, 2, 1]", [4, 3, 2, 1]),
    "a shorter table": ("(1.0, 0.5)", [1, 0.5, 0.5, 0.5]),
    "a longer table": ("np.arange(9.0)", [0, 1, 2, 3]),
    "a longer table, bad after the run": ("lambda s, n: [1, 1, 1, 1, np.nan]", [1, 1, 1, 1]),
    "a table of one": ("[0.5]", [0.5] * 4),
    "float32": ("np.float32(0.5) + 0 * step.astype('f4')", [0.5] * 4),
    "truth": ("step < 2", [1, 1, 0, 0]),
    "a partial function": ("functools.partial(lambda step, steps, x: x + 0 * step, x=2)", [2] * 4),
    "a cached one": ("functools.cache(lambda step, steps: 1.0 + step)", [1, 2, 3, 4]),
    "an object": (
        "type('F', (), {'__call__': lambda self, step, steps: 1.0 + step})()",
        [1, 2, 3, 4],
    ),
    "the steps themselves": ("step", [0, 1, 2, 3]),
    "its argument, changed": ("step.__iadd__(1)", [1, 2, 3, 4]),
}


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_what_a_function_may_give(tmp_path, case):
    function, factors = UNDERSTOOD[case]
    found = rates(schedule_of(tmp_path, whole(function)), 4)
    assert found.dtype == np.float64 and found == pytest.approx(0.1 * np.array(factors), rel=1e-6)


@given(steps=st.integers(1, 60), power=st.floats(0.1, 3.0), warmup=st.floats(0.0, 70.0))
def test_of_a_step_or_of_all_steps_is_the_same(steps, power, warmup):
    params = {"power": Param(1.0)}
    one = Schedule("s", "-", lambda t, n, power: math.pow(1 - t / n, power), params)
    all_ = Schedule("s", "-", lambda t, n, power: (1 - t / n) ** power, params)
    given_ = {"power": power, "warmup": warmup}
    assert rates(one, steps, **given_) == pytest.approx(rates(all_, steps, **given_), rel=1e-12)


@given(steps=st.integers(1, 40), length=st.integers(1, 60), warmup=st.integers(0, 50))
def test_a_table_is_cut_or_holds_its_last_value_after_the_warm_up(steps, length, warmup):
    values = np.linspace(1.0, 2.0, length)
    found = rates(Schedule("s", "-", lambda t, n: values), steps, warmup=float(warmup)) / 0.1
    assert len(found) == steps
    for step, factor in enumerate(found):
        if step < warmup:
            assert factor == pytest.approx((step + 1) / warmup)
        else:
            assert factor == pytest.approx(values[min(step - warmup, length - 1)])


@pytest.mark.parametrize(
    ("own_warmup", "given_", "asked"),
    [
        (True, {"warmup": 4.0}, (10, 10, {"warmup": 4.0})),
        (True, {}, (10, 10, {"warmup": 3.0})),
        (False, {"warmup": 4.0}, (6, 6, {})),
        (False, {}, (7, 7, {})),
        (False, {"warmup": 0.0}, (10, 10, {})),
        (False, {"warmup": 12.0}, (1, 1, {})),
    ],
)
def test_the_function_is_asked_for_the_rest_of_the_run_or_does_the_rise(own_warmup, given_, asked):
    seen = []

    def function(step, steps, **params):
        seen.append((len(step), steps, params))
        return np.ones_like(step)

    schedule = Schedule("s", "-", function, {"warmup": Param(3.0)}, own_warmup=own_warmup)
    assert len(rates(schedule, 10, **given_)) == 10
    assert seen == [asked, asked]


# -- what is refused

WRONG = {
    "nan": ("np.where(step == 7, np.nan, 1)", "step 7 of 20: the factor is nan"),
    "infinite": ("1 / (10 - step)", "step 10 of 20: the factor is inf"),
    "negative": ("1 - step / 4", "step 5 of 20: the factor is -0.25"),
    "nan at one step": ("[1, math.nan][step == 3]", "step 3 of 20: the factor"),
    "complex": ("1j * step", "step 0 of 20: the factor is 0j; expected a number"),
    "text": ("'high'", "step 0 of 20: the factor is 'high'"),
    "nothing": ("None", "step 0 of 20: the factor is None"),
    "two dimensions": ("np.ones((3, 20))", "an array of shape [3, 20] for 20"),
    "a column": ("np.ones((20, 1))", "an array of shape [20, 1] for 20 steps"),
    "an empty table": ("[]", "an array of shape [0] for 20 steps"),
    "ragged": ("[[1], [1, 2]]", "the factor is [[1], [1, 2]]"),
    "an exception": ("missing", "step 0 of 20: NameError: name 'missing'"),
    "at one step": ("[1.0] * 9 + [0][step]", "step 0 of 20: TypeError"),
    "a table that ends": (
        "[1.0, 0.5, 0.2][step]",
        "step 3 of 20: IndexError: list index out of range",
    ),
    "for arrays alone, and broken": (
        "step[:0] / len(missing)",
        "(with an array of steps, NameError: name 'missing'",
    ),
    "exit": ("exit(3)", "step 0 of 20: SystemExit: 3"),
    "chance": ("random.random()", "two equal calls gave"),
    "chance in an array": ("np.random.rand(steps)", "two equal calls gave"),
    "a counter": (
        "lambda step, steps, seen=[]: seen.append(1) or 0 * step + len(seen)",
        "step 0 of 20: two equal calls gave 1 and 2",
    ),
    "one array, changed": (
        "lambda step, steps, kept=np.zeros(20): kept.__iadd__(1)",
        "step 0 of 20: two equal calls gave 1 and 2",
    ),
    "nan the second time": (
        "lambda step, steps, seen=[]: seen.append(1) or [0.5, math.nan][len(seen) > 1] + 0 * step",
        "two equal calls gave 0.5 and nan",
    ),
    "too large": ("1e308 + 0 * step", "a rate is infinite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_function_is_an_error_with_schedule_step_and_place(tmp_path, monkeypatch, case):
    body, message = WRONG[case]
    function = whole(body)
    monkeypatch.chdir(tmp_path)
    write(tmp_path, f"\nMINE = Schedule('mine', '-',\n    {function})\n")
    optimizers = [{"name": "sgd", "learning_rate": 100.0}]
    with pytest.raises(UserError) as caught:
        plan(tmp_path, ["mine"], optimizers=optimizers)
    text = str(caught.value)
    assert message in text and len(text.splitlines()) == 1 and caught.value.exit_code == 2
    assert text.startswith("mine.py, line 6: schedule mine: "), text


def test_the_line_is_that_which_raised_in_the_users_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "def f(t, n):\n    x = 1\n    return math.log(0)\nS = Schedule('s', '-', f)\n")
    with pytest.raises(UserError, match=r"^mine\.py, line 6: schedule s: step 0 of 20: ValueError"):
        plan(tmp_path, ["s"])


PLACES = {
    "a partial function": "functools.partial(f, x=1)",
    "a cached one": "functools.cache(f)",
    "a wrapped one": "functools.wraps(f)(lambda *all: f(*all))",
    "an object": "Called()",
}


@pytest.mark.parametrize("case", PLACES)
def test_the_place_is_that_of_the_users_own_function(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        "def f(step, steps, x=1): return -1.0\nclass Called:\n    __call__ = lambda *all: -1.0\n"
        f"\nS = Schedule('s', '-', {PLACES[case]})\n",
    )
    line = 6 if case == "an object" else 4
    with pytest.raises(UserError, match=rf"^mine\.py, line {line}: schedule s: step 0 of 20"):
        plan(tmp_path, ["s"])


@pytest.mark.parametrize("kind", ["np.ndarray", "int"])
def test_ctrl_c_in_a_function_is_an_interrupt(tmp_path, kind):
    stop = "(_ for _ in ()).throw(KeyboardInterrupt if isinstance(t, {}) else ValueError)"
    schedule = schedule_of(tmp_path, f"lambda t, n: {stop.format(kind)}")
    with pytest.raises(KeyboardInterrupt):
        rates(schedule, 3)


def test_what_a_function_prints_is_not_the_answer_of_the_command(tmp_path, capfd):
    rates(schedule_of(tmp_path, "lambda t, n: print('hello') or 1.0"), 2)
    out, err = capfd.readouterr()
    assert "hello" in err and not out


WRONG_FIELDS = {
    "name": ("Schedule('a b', '-', f)", "schedule 'a b': name: expected letters"),
    "no name": ("Schedule(3, '-', f)", "schedule 3: name: expected letters"),
    "summary": ("Schedule('m', None, f)", "schedule m: summary: expected text, not None"),
    "source": ("Schedule('m', '-', f, source=3)", "source: expected text, not 3"),
    "function": ("Schedule('m', '-', 3)", "function: expected a function, not 3"),
    "arguments": (
        "Schedule('m', '-', lambda step: 1, {'x': Param(1.0)})",
        "function: cannot be called with (step, steps, x)",
    ),
    "a parameter called steps": (
        "Schedule('m', '-', lambda step, steps: 1, {'steps': Param(1.0)})",
        "function: cannot be called with (step, steps, steps)",
    ),
    "params": ("Schedule('m', '-', f, [1])", "params: expected a dict from names to ScheduleParam"),
    "a number": (
        "Schedule('m', '-', f, {'x': 0.5})",
        "params['x']: expected ScheduleParam, not 0.5",
    ),
    "a key": ("Schedule('m', '-', f, {3: Param(1.0)})", "params: the name 3"),
    "default": (
        "Schedule('m', '-', f, {'x': Param('1')})",
        "params['x'].default: expected a finite",
    ),
    "infinite": ("Schedule('m', '-', f, {'x': Param(math.inf)})", ".default: expected a finite"),
    "no values": ("Schedule('m', '-', f, {'x': Param(())})", ".default: expected a finite number"),
    "out of range": ("Schedule('m', '-', f, {'x': Param(2, high=1)})", "2 is outside [0, 1]"),
    "fraction": ("Schedule('m', '-', f, {'x': Param(1.5, whole=True)})", "must be whole, got 1.5"),
    "falling": (
        "Schedule('m', '-', f, {'x': Param((2, 1), increasing=True)})",
        "must increase, got [2, 1]",
    ),
    "low": (
        "Schedule('m', '-', f, {'x': Param(1, low=None)})",
        ".low: expected a number, not None",
    ),
    "high": ("Schedule('m', '-', f, {'x': Param(1, high=math.nan)})", ".high: expected a number"),
    "meaning": ("Schedule('m', '-', f, {'x': Param(1, 2)})", ".meaning: expected text, not 2"),
    "whole": ("Schedule('m', '-', f, {'x': Param(1, whole=1)})", ".whole: expected True or False"),
    "own_warmup": ("Schedule('m', '-', f, own_warmup=1)", "own_warmup: expected True or False"),
    "no warmup": (
        "Schedule('m', '-', f, own_warmup=True)",
        "own_warmup: 'warmup' must be among the params",
    ),
    "a built-in name": ("Schedule('cosine', '-', f)", "the name 'cosine' is taken already"),
    "a misspelt field": ("Schedule('m', '-', f, param={})", "TypeError"),
    "nothing": (
        "None",
        "defines no gradrace.Optimizer, gradrace.TaskSpec, gradrace.Schedule or gradrace.DataSet",
    ),
}


@pytest.mark.parametrize("case", WRONG_FIELDS)
def test_a_wrong_declaration_is_one_line(tmp_path, case):
    text, message = WRONG_FIELDS[case]
    file = write(tmp_path, f"f = lambda step, steps, **params: 1.0\nMINE = {text}\n")
    with pytest.raises(UserError) as caught:
        load_registry([file])
    assert message in str(caught.value) and str(caught.value).startswith(str(file))
    assert len(str(caught.value).splitlines()) == 1


def test_two_files_may_not_take_one_name(tmp_path):
    files = [write(tmp_path, PULSE, name) for name in ("a.py", "b.py")]
    with pytest.raises(UserError, match=r"b\.py: the name 'pulse' is taken already"):
        load_registry(files)


def test_a_file_may_build_on_the_schedule_of_another(tmp_path):
    write(tmp_path, PULSE, "base_of_pulses.py")
    more = (
        "from base_of_pulses import PULSE\nS = Schedule('s', '-', PULSE.function, PULSE.params)\n"
    )
    loaded = load_registry([write(tmp_path, more)]).loaded
    assert loaded["schedules"] == ("pulse", "s")


WRONG_SUITES = {
    "pulze": (["pulze"], "the suite: schedules: no schedule 'pulze' (did you mean 'pulse'?)"),
    "cosin": (["cosin"], "did you mean 'cosine'?"),
    "a parameter": (
        [{"kind": "pulse", "params": {"widht": 1.0}}],
        "schedule pulse has no parameter 'widht' (did you mean 'width'?)",
    ),
    "a range": (
        [{"kind": "pulse", "params": {"width": 2.0}}],
        "schedule pulse: width = 2 is outside [0, 1]",
    ),
    "a list": (
        [{"kind": "pulse", "params": {"width": [0.1, 0.2]}}],
        "schedule pulse: width takes one number, got (0.1, 0.2)",
    ),
    "warmup": ([{"kind": "pulse", "params": {"warmup": -1.0}}], "warmup = -1 is outside [0, inf]"),
}


@pytest.mark.parametrize("case", WRONG_SUITES)
def test_suites_name_it_with_its_parameters(tmp_path, case):
    schedules, message = WRONG_SUITES[case]
    write(tmp_path, PULSE)
    with pytest.raises(UserError) as caught:
        plan(tmp_path, schedules)
    assert message in str(caught.value)


def test_without_its_file_it_is_unknown():
    with pytest.raises(UserError, match="schedules: no schedule 'pulse'"):
        sweep.prepare(suite(["pulse"]))


# -- where a built-in one is, too


def names(prepared):
    return [run.spec.id.split("/")[4] for run in prepared.plan]


@pytest.mark.parametrize(
    ("schedules", "expected"),
    [
        (["constant"], ["constant-lr0.1", "pulse(width=0.5)-lr0.1"]),
        (None, ["constant-lr0.1", "pulse(width=0.5)-lr0.1"]),
        (["pulse"], ["pulse(width=0.5)-lr0.1"]),
        ([{"kind": "pulse", "params": {"width": 0.2}}], ["pulse(width=0.2)-lr0.1"]),
        (
            ["pulse", {"kind": "pulse", "params": {"width": 0.2, "warmup": 3}}],
            ["pulse(width=0.5)-lr0.1", "pulse(width=0.2,warmup=3)-lr0.1"],
        ),
    ],
)
def test_it_joins_a_suite_that_does_not_name_it(tmp_path, schedules, expected):
    write(tmp_path, PULSE)
    content = {**TINY, "optimizers": ["sgd"], "seeds": 1, "timing": False}
    content |= {} if schedules is None else {"schedules": schedules}
    assert names(sweep.prepare(make_suite("x", content), [tmp_path / "mine.py"])) == expected


def test_only_its_own_runs_are_stale_when_its_file_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "VALUE = 1\n", "beside_the_pulse.py")
    text = "from beside_the_pulse import VALUE\n" + PULSE
    other = write(tmp_path, "OTHER = Schedule('other', '-', lambda t, n: 1.0)\n", "other.py")

    def digests(text):
        files = [write(tmp_path, text), other]
        prepared = sweep.prepare(suite(["constant", "pulse", "other"]), files)
        return {run.spec.schedule.kind: run.digest for run in prepared.plan}

    first = digests(text)
    edited = digests(text + "\n# a remark\n")
    assert {kind for kind in first if first[kind] != edited[kind]} == {"pulse"}
    write(tmp_path, "VALUE = 2\n", "beside_the_pulse.py")
    imported = digests(text)
    assert {kind for kind in first if first[kind] != imported[kind]} == {"pulse"}


def test_a_sweep_with_it_is_resumed_read_and_drawn_without_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path, PULSE)
    schedules = ["constant", "pulse", {"kind": "pulse", "params": {"width": 0.2, "warmup": 4}}]
    prepared = plan(tmp_path, schedules)
    assert run(tmp_path, prepared).counts == {"ok": 3}
    assert run(tmp_path, prepared).cached == 3
    pulses = [run for run in prepared.plan if run.spec.schedule.kind == "pulse"]
    for planned in pulses:
        spec = planned.spec.schedule
        curve = read_arrays(tmp_path / "out", "tiny", planned.digest, "curve")
        kept = curve["value"][curve["series"] == "learning_rate"]
        assert np.array_equal(kept, table(spec, 20, prepared.registry.schedules))
    file.unlink()
    records = read_records(tmp_path / "out", "tiny")
    assert [record.spec.schedule.kind for record in records] == ["constant", "pulse", "pulse"]
    frames = frame.load(tmp_path / "out", "tiny")
    factors = tables.schedule_curves(frames, "tiny").groupby("schedule")["factor"].agg(list)
    assert factors["pulse (width=0.5)"] == [1.0] * 10 + [0.5] * 10
    assert factors["pulse (width=0.2, warmup=4)"][:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    drawn = section.curves(frames, section.picked(frames, "tiny"))
    drawn = drawn[drawn["quantity"] == "learning rate"]
    assert set(drawn["name"]) == {"constant", "pulse (width=0.5)", "pulse (width=0.2, warmup=4)"}
    last = drawn[(drawn["name"] == "pulse (width=0.5)") & (drawn["step"] == 19)]
    assert last["mean"].tolist() == [pytest.approx(0.05)]


def test_a_worker_with_other_rates_does_not_train(tmp_path):
    write(tmp_path, "R = random.random()\nS = Schedule('s', '-', lambda t, n: R)\n")
    assert run(tmp_path, plan(tmp_path, ["s"])).counts == {"failed": 1}
    (record,) = read_records(tmp_path / "out", "tiny")
    assert "schedule s: other rates here than when the sweep was planned" in record.reason


def test_a_file_that_is_edited_after_planning_gives_no_result(tmp_path):
    write(tmp_path, PULSE)
    prepared = plan(tmp_path, ["pulse"])
    write(tmp_path, PULSE + "# another remark\n")
    assert run(tmp_path, prepared).counts == {"failed": 1}
    (record,) = read_records(tmp_path / "out", "tiny")
    assert "mine.py was edited after this sweep was planned" in record.reason


@given(factors=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=20), at=st.integers(0, 19))
def test_fingerprints_tell_rates_apart_but_not_their_rounding(factors, at):
    spec = ScheduleSpec(kind="s", base_lr=0.1)
    one = 0.1 * np.array(factors)
    other = one.copy()
    other[at % len(one)] += 1e-6
    assert same_rates(spec, one * (1 + 2**-52), fingerprint(spec, one))
    assert not same_rates(spec, other, fingerprint(spec, one))
    assert same_rates(spec, other, {})


def test_it_is_listed(tmp_path):
    row = catalogue([write(tmp_path, PULSE)])["schedules"][-1]
    assert row == {
        "schedule": "pulse",
        "what": "the base rate, then half of it",
        "parameters": "width=0.5",
        "source": "-",
    }
    assert len(catalogue()["schedules"]) == len(SCHEDULES)


def wish(folder, schedule):
    others = {"sampler": "random", "budget": 2, "schedule": schedule, "steps": 20}
    return asking.StudyRequest(
        ("digits_mlp",), ("sgd",), ("numpy",), load=(folder / "mine.py",), others=others
    )


def test_tune_searches_with_it(tmp_path):
    write(tmp_path, PULSE)
    ready = asking.prepare(wish(tmp_path, "pulse"))
    (cell,) = ready.combinations
    assert cell.known["pulse"].name == "pulse"
    with pytest.raises(UserError, match="--schedule: no schedule 'pulze' .did you mean 'pulse'"):
        asking.prepare(wish(tmp_path, "pulze"))
    write(tmp_path, "PULSE = Schedule('pulse', '-', lambda t, n: -1.0)\n")
    with pytest.raises(UserError, match="schedule pulse: step 0 of 20: the factor is -1"):
        asking.prepare(wish(tmp_path, "pulse"))


def test_verify_proves_its_rates_and_no_more(tmp_path):
    registry = load_registry([write(tmp_path, PULSE)])
    cases = cases_of(registry, Selection())
    assert [case.id for case in cases] == ["rates/pulse/float64", "rates/pulse/float32"]
    assert {case.schedule.kind for case in everything(registry) if case.level == "rates"} == {
        *SCHEDULES,
        "pulse",
    }
    found = verify(registry, VerifyOptions(Selection(frameworks=("numpy",))))
    assert [verdict.verdict for verdict in found.verdicts] == ["equal", "unavailable"]
    assert "mine" in found.sources


def test_verify_refuses_a_schedule_without_rates(tmp_path):
    registry = load_registry([write(tmp_path, "S = Schedule('s', '-', lambda t, n: -1.0)\n")])
    with pytest.raises(UserError, match="schedule s: step 0 of .*: the factor is -1"):
        verify(registry, VerifyOptions(Selection(frameworks=("numpy",))))


def test_compare_takes_a_file_that_brings_schedules_alone(tmp_path):
    registry = load_registry([write(tmp_path, PULSE)])
    selection = choose.SuiteFilter(keyword="torch sgd")
    assert choose.same_cells(registry, selection) == choose.same_cells(load_registry(), selection)


@pytest.mark.parametrize(
    ("schedules", "expected"),
    [
        (None, ["constant"]),
        (["cosine"], ["cosine"]),
        (["pulse"], None),
        (["cosine", {"kind": "pulse", "params": {"width": 0.2}}], ["cosine"]),
    ],
)
def test_gate_leaves_it_to_the_other_side_to_add_its_own(
    tmp_path, monkeypatch, schedules, expected
):
    """The other side loads its own version of the file, which may lack the schedule."""
    write(tmp_path, PULSE)
    content = {**TINY, "optimizers": ["sgd"], "seeds": 1, "timing": False}
    content |= {} if schedules is None else {"schedules": schedules}
    prepared = sweep.prepare(make_suite("x", content), [tmp_path / "mine.py"])
    asked = {}
    monkeypatch.setattr(traces, "_run_elsewhere", lambda side, request: asked.update(request))
    monkeypatch.setattr(traces, "_read", lambda output, name: None)
    traces.compute_elsewhere(prepared, Side("theirs", "python"))
    assert asked["content"].get("schedules") == expected
    make_suite("x", asked["content"])


def test_plans_of_built_in_schedules_need_no_table_of_kinds(make_run, registry):
    spec = make_run(schedule=complete(ScheduleSpec(kind="cosine", base_lr=0.1)))
    sgd = registry.optimizers["adam"]
    rates = make_plan(spec, sgd).learning_rates
    assert np.array_equal(rates, make_plan(spec, sgd, registry.schedules).learning_rates)


def test_a_record_of_a_schedule_that_is_nowhere_is_read(tmp_path):
    write(tmp_path, PULSE)
    run(tmp_path, plan(tmp_path, ["pulse"]))
    (file,) = (tmp_path / "out").glob("runs/tiny/*/run.json")
    content = json.loads(file.read_text())
    content["spec"]["schedule"] = {"kind": "gone", "base_lr": 0.1, "params": {"x": [1.0, 2.0]}}
    file.write_text(json.dumps(content))
    (record,) = read_records(tmp_path / "out", "tiny")
    assert record.spec.schedule.kind == "gone"


def test_the_example_cools_down_as_its_source_says():
    schedule = load_registry([EXAMPLE]).schedules["sqrt_cooldown"]
    found = rates(schedule, 100, cooldown=0.25) / 0.1
    assert (found[:76] == 1.0).all()
    assert found[75:] == pytest.approx([1 - math.sqrt(k / 25) for k in range(25)])
