"""Baselines: what is kept of a run, in which text, and when two traces are equal."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.gate.baseline import Baseline, Origin, file_of, merged, ordered, read, text, write
from gradrace.gate.check import check_run, check_seeds, comparability
from gradrace.gate.trace import (
    EPSILON,
    FACTOR,
    FLOAT64_BAND,
    FLOOR_ULPS,
    Trace,
    band,
    first_beyond,
    first_unequal,
    recorded,
    spec_digest,
)
from gradrace.gate.trace import make_trace as trace_of
from gradrace.machine.place import machine_type
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ROOT
from records import make_curve, make_result, make_specs

VERSIONS = {"torch": "2.13.0", "numpy": "2.4.6"}
NEWER = VERSIONS | {"torch": "2.14.0"}
ORIGIN = Origin(machine_type="Linux, Test Processor", versions=VERSIONS)
EXACT = comparability("torch", ORIGIN, ORIGIN.versions, ORIGIN.machine_type)
BAND = comparability("torch", ORIGIN, NEWER, ORIGIN.machine_type)
ID = "convergence/mlp/torch-eager/adam-canonical/constant-lr0.001/seed{}"
OK = {"framework": "torch", "dtype": "float32", "spec": "0123456789ab", "status": "ok"}
OK |= {"band": ((0, -20),), "final_band": -20, "steps_to_target": 20, "final_validation_loss": 0.5}


def make_trace(losses=(2.5, 1.25, 0.75), seed=0, **changes):
    given = {"id": ID.format(seed), "steps": len(losses), "losses": tuple(losses)}
    return Trace(**{**OK, **given, **changes})


def make_baseline(*traces, **origins):
    runs = ordered(traces or [make_trace()])
    return Baseline(suite="demo", frameworks={"torch": ORIGIN, **origins}, runs=runs)


def with_losses(trace, losses):
    return trace.model_copy(update={"losses": tuple(map(float, losses))})


# -- what is kept


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        (1, [0]),
        (3, [0, 1, 2]),
        (50, [*range(50)]),
        (51, [*range(51)]),
        (75, [*range(51), 60, 70]),
        (61, [*range(51), 60]),
    ],
)
def test_every_step_to_50_then_every_tenth(steps, kept):
    assert recorded(steps).tolist() == kept


finite = {"allow_nan": False, "allow_infinity": False}
float32s = st.floats(min_value=0.0, max_value=2.0**120, width=32, **finite)
float64s = st.floats(min_value=0.0, max_value=1e300, **finite)


@given(
    st.lists(float32s, max_size=60), st.lists(float64s, max_size=60), st.one_of(st.none(), float64s)
)
def test_a_baseline_comes_back_bit_for_bit(tmp_path_factory, narrow, wide, final):
    other = {"dtype": "float64", "steps_to_target": None, "hyper": {"beta1": 0.1}}
    traces = [make_trace(narrow, final_validation_loss=final), make_trace(wide, 1, **other)]
    file = tmp_path_factory.mktemp("b") / "baselines" / "demo.json"
    write(file, make_baseline(*traces))
    assert read(file) == make_baseline(*traces)


def test_float32_losses_have_at_most_nine_digits():
    lines = text(make_baseline(make_trace([np.float32(0.1), np.float32(1 / 3)]))).splitlines()
    line = next(line for line in lines if ID.format(0) in line)
    assert line.endswith('"losses": [0.100000001,0.333333343]}')


def test_a_run_is_a_line_and_lines_are_sorted():
    traces = [make_trace(seed=seed) for seed in (2, 0, 1)]
    changed = [*traces[:2], traces[2].model_copy(update={"steps": 9})]
    before, after = (text(make_baseline(*runs)).splitlines() for runs in (traces, changed))
    lines = [line for line in before if "seed" in line]
    assert [line[-1] for line in lines] == [",", ",", "}"]
    assert all(f"seed{seed}" in line for seed, line in enumerate(lines))
    (apart,) = [a for a, b in zip(before, after, strict=True) if a != b]
    assert "seed1" in apart


NO_FRAMEWORK = '{"schema": 1, "suite": "demo", "frameworks": {}, "runs": [{"id": "x"}]}'
BROKEN = [
    ("{", "truncated or not JSON"),
    ("[]", "not a gradrace file"),
    ('{"suite": "demo"}', "states no schema"),
    ('{"schema": 2}', "schema 2 is newer than this gradrace reads"),
    (NO_FRAMEWORK, "not a baseline (runs.0.framework"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_a_broken_baseline_is_refused_by_name(tmp_path, content, message):
    file = tmp_path / "demo.json"
    file.write_text(content)
    with pytest.raises(UserError) as raised:
        read(file)
    assert message in str(raised.value)
    assert str(file) in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_run_that_stands_in_a_baseline_twice_is_refused(tmp_path):
    """As a merge by hand may leave it: neither of the two may be the one that counts."""
    file = tmp_path / "demo.json"
    write(file, make_baseline(make_trace()))
    lines = file.read_text().splitlines()
    (place,) = [i for i, line in enumerate(lines) if '"losses"' in line]
    file.write_text("\n".join([*lines[:place], f"{lines[place]},", *lines[place:]]))
    with pytest.raises(UserError, match="not a baseline .*stands there twice"):
        read(file)


def test_a_name_that_leaves_the_folder_is_refused(tmp_path):
    assert read(file_of(tmp_path, "demo")) is None
    with pytest.raises(UserError, match="cannot name a baseline"):
        file_of(tmp_path, "../demo")


def test_an_update_of_a_part_keeps_the_other_lines():
    name = ID.format(0)
    old, other = make_trace(), make_trace(id=name.replace("mlp", "cnn"))
    jax = make_trace(id=name.replace("torch-eager", "jax-scan"), framework="jax")
    fresh = with_losses(old, (1.0,))
    kept = make_baseline(old, other, jax, jax=ORIGIN)
    runs = merged(kept, make_baseline(fresh)).by_id
    assert runs == {trace.id: trace for trace in (fresh, other, jax)}
    assert merged(None, make_baseline(fresh)) == make_baseline(fresh)
    moved = make_baseline(fresh, torch=ORIGIN.model_copy(update={"machine_type": "Mars"}))
    with pytest.raises(UserError, match="update all of torch together"):
        merged(kept, moved)
    whole = merged(make_baseline(old, jax, jax=ORIGIN), moved)
    assert whole.frameworks == {**moved.frameworks, "jax": ORIGIN}, "nothing else of torch is left"


def test_the_digest_of_a_spec_is_of_the_request(make_run):
    run = make_run()
    words = run.model_copy(update={"task": run.task.model_copy(update={"title": "Other words"})})
    optimizer = run.optimizer.model_copy(update={"hyper": {"beta1": 0.5}})
    hyper = run.model_copy(update={"optimizer": optimizer})
    assert spec_digest(run) == spec_digest(words) == spec_digest(hyper)
    changes = ({"steps": 21}, {"name": "sgd"}, {"seed": 1}, {"dtype": "float32"}, {"threads": 2})
    others = [make_run(**change) for change in changes]
    assert len({spec_digest(other) for other in (run, *others)}) == 6


# -- the band


def test_the_band_by_hand():
    losses, twin = np.array([1.0, 1.0 + 1e-6, 1.0, 1.0 + 1e-4]), np.ones(4)
    floor = int(np.ceil(np.log2(FLOOR_ULPS * EPSILON["float32"])))
    small, large = (int(np.ceil(np.log2(FACTOR * apart))) for apart in (1e-6, 1e-4))
    found = band(losses, twin, "float32")
    assert found == ((0, floor), (1, small), (3, large)), "it never narrows again"
    half = band(losses, twin[:2], "float32")
    assert half == ((0, floor), (1, small)), "the last distance holds on"
    assert band(losses, None, "float64") == ((0, FLOAT64_BAND),)
    assert band(losses, None, "float32") == ()
    allowed = make_trace([1.0] * 4, band=found).allowed.tolist()
    assert allowed == [2.0**floor, 2.0**small, 2.0**small, 2.0**large]


def test_a_trace_is_made_of_a_record_and_its_twin():
    spec = make_specs(tasks=["mlp"], frameworks=["torch"], optimizers=["adam"], seeds=[0])[0]
    curve = make_curve(spec)
    record = make_result(spec, "0" * 24, "ok", "", curve).record
    final, losses = record.summary.final_validation_loss, curve.train_losses
    near, far = (trace_of(record, losses, losses, final * (1 + apart)) for apart in (1e-9, 1e-3))
    assert near.steps == 60
    assert len(near.losses) == 51
    assert near.hyper == {"beta": 0.9}
    assert near.band == ((0, -21),)
    assert near.final_band == -21 and far.final_band == int(np.ceil(np.log2(FACTOR * 1e-3)))
    broken = np.where(np.arange(60) < 30, losses, np.inf)
    assert len(trace_of(record, broken, losses).losses) == 30, "what is not finite is not kept"


bands = st.lists(st.integers(-20, -4), min_size=1, max_size=4).map(sorted)
positive = st.floats(min_value=2.0**-10, max_value=2.0**10, width=32)


@st.composite
def traces_with_bands(draw):
    losses, exponents = draw(st.lists(positive, min_size=1, max_size=60)), draw(bands)
    size = len(exponents) - 1
    starts = sorted(draw(st.sets(st.integers(1, 59), min_size=size, max_size=size)))
    steps = tuple(zip([0, *starts], exponents, strict=True))
    return make_trace(losses, dtype="float64", band=steps)


@given(traces_with_bands(), st.data())
def test_less_than_the_band_passes_and_more_fails(before, data):
    count = len(before.losses)
    shares = data.draw(st.lists(st.floats(-0.99, 0.99), min_size=count, max_size=count))
    moved = np.array(before.losses) * (1.0 + np.array(shares) * before.allowed)
    after = with_losses(before, moved)
    assert first_beyond(before, after) is None
    assert check_run(before, after, BAND).verdict == "within"
    entry = data.draw(st.integers(0, count - 1))
    share = data.draw(st.sampled_from([-1.01, 1.01, 3.0]))
    moved[entry] = before.losses[entry] * (1.0 + share * before.allowed[entry])
    found, step = check_run(before, with_losses(before, moved), BAND), recorded(before.steps)[entry]
    assert (found.verdict, found.step, found.after) == ("differs", step, moved[entry])


@given(st.lists(positive, min_size=1, max_size=60), st.data())
def test_one_unit_in_the_last_place_fails_at_its_step(losses, data):
    before, entry = make_trace(losses), data.draw(st.integers(0, len(losses) - 1))
    moved = [np.float32(loss) for loss in losses]
    moved[entry] = np.nextafter(moved[entry], np.float32(np.inf))
    after = with_losses(before, moved)
    assert first_unequal(before, before) is None and first_unequal(before, after) == entry
    found = check_run(before, after, EXACT)
    assert (found.verdict, found.step) == ("differs", recorded(before.steps)[entry])
    assert found.relative == pytest.approx(1.19e-7, rel=0.6)
    assert check_run(before, before, EXACT).verdict == "same"


@settings(max_examples=30)
@given(st.integers(0, 200), st.floats(1e-9, 1e-3))
def test_a_trace_lies_within_its_own_band(seed, size):
    """Another rounding error of the same size as the one that the twin showed passes."""
    rng = np.random.default_rng(seed)
    twin = np.exp(-np.arange(120) / 40)
    noise = [1 + size * rng.uniform(-1, 1, 120) * np.arange(1, 121) for _ in range(2)]
    losses, others = (twin * one for one in noise)
    kept = recorded(120)
    before = make_trace(losses[kept], steps=120, band=band(losses, twin, "float32"))
    beyond = first_beyond(before, with_losses(before, others[kept]))
    # Before the running maximum has seen any error, chance alone decides.
    assert beyond is None or beyond < 5


# -- verdicts


HERE, OTHER = ORIGIN.machine_type, "another machine (Linux, Other; was Linux, Test Processor)"


@pytest.mark.parametrize(
    ("versions", "place", "mode", "words"),
    [
        (VERSIONS, HERE, "exact", "bit for bit"),
        (NEWER, HERE, "band", "torch 2.14.0 (was 2.13.0): within"),
        ({"torch": "2.13.0"}, HERE, "band", "numpy none (was 2.4.6)"),
        (VERSIONS, "Linux, Other", "band", OTHER),
    ],
)
def test_why_bits_can_or_cannot_be_compared(versions, place, mode, words):
    found = comparability("torch", ORIGIN, versions, place)
    assert found.mode == mode and words in found.reason


EPSILON_MOVED = {"hyper": {"epsilon": 1e-7}}
ELSEWHERE, ROUNDED = {"losses": (2.5, 1.25, 0.5)}, {"losses": (2.5, 1.2500001, 0.75)}
LOST = {"losses": (2.5, 1.25), "status": "diverged", "steps": 2}
CHANGES = [
    ({}, EXACT, "same", ""),
    ({}, BAND, "within", ""),
    ({"spec": "f" * 12}, EXACT, "changed", "on purpose? `gradrace baseline update`"),
    ({"spec": "f" * 12, "losses": (1.0,)}, BAND, "changed", "no longer the one of the baseline"),
    (EPSILON_MOVED, EXACT, "changed", "epsilon is 1e-07, was none"),
    (EPSILON_MOVED | ELSEWHERE, EXACT, "differs", "epsilon is 1e-07, was none"),
    (ELSEWHERE, BAND, "differs", ""),
    (ROUNDED, EXACT, "differs", "all within the rounding band"),
    (ROUNDED, BAND, "within", ""),
    (LOST, EXACT, "differs", "diverged after 2 steps, was ok after 3 steps"),
    (LOST, BAND, "differs", "diverged after 2 steps"),
    ({"steps_to_target": 30}, EXACT, "differs", "the losses are equal"),
    ({"steps_to_target": None}, EXACT, "differs", "the losses are equal"),
    ({"final_validation_loss": 0.5000001}, EXACT, "differs", "the losses are equal"),
    ({"final_validation_loss": 0.5000001}, BAND, "within", ""),
]


@pytest.mark.parametrize(("changes", "how", "verdict", "reason"), CHANGES, ids=str)
def test_verdicts_on_a_run(changes, how, verdict, reason):
    found = check_run(make_trace(), make_trace(**changes), how)
    assert found.verdict == verdict and reason in found.reason


def test_a_baseline_without_a_band_says_nothing_elsewhere():
    assert check_run(make_trace(band=()), make_trace(), BAND).verdict == "unchecked"
    assert check_run(make_trace(band=()), make_trace(), EXACT).verdict == "same"


SEEDS = [
    # steps to target of the baseline's seeds and today's, every 20; final losses of both
    ((100, 140), (100, 140), (0.5, 0.6), (0.5, 0.6), "within", "within"),
    ((100, 140), (140, 180), (0.5, 0.6), (0.6, 0.69), "within", "within"),
    ((100, 140), (160, 200), (0.5, 0.6), (0.66, 0.67), "differs", "differs"),
    ((100, 100), (120, 120), (0.5, 0.5), (0.5, 0.5), "within", "within"),
    ((100, 100), (140, 140), (0.5, 0.5), (0.501, 0.501), "differs", "differs"),
    ((100, 140), (None, None), (0.5, 0.6), (0.5, 0.6), "differs", "within"),
    ((None, None), (None, None), (0.5, 0.5), (0.5, 0.5), "within", "within"),
    ((None, None), (100, 100), (0.5, 0.6), (0.3, 0.4), "differs", "differs"),
]


@pytest.mark.parametrize(("was", "now", "lost", "loses", "steps", "loss"), SEEDS)
def test_medians_may_move_by_the_range_of_the_seeds(was, now, lost, loses, steps, loss):
    def seeds(steps, finals):
        traces = [
            make_trace(seed=seed, steps_to_target=at, final_validation_loss=final)
            for seed, (at, final) in enumerate(zip(steps, finals, strict=True))
        ]
        return {trace.id: trace for trace in traces}

    before, after = seeds(was, lost), seeds(now, loses)
    checks = check_seeds(before.values(), after, dict.fromkeys(before, 20))
    found = {check.what: check.verdict for check in checks}
    assert found == {"steps to target": steps, "final validation loss": loss}


def test_the_type_of_a_machine_is_not_its_name(tmp_path):
    import platform

    file = tmp_path / "cpuinfo"
    first = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nflags\t\t: fpu avx avx2 fma xsave"
    file.write_text(f"{first}\n\nprocessor\t: 1\nflags : avx512f\n")
    found = machine_type("cpu", file)
    assert found.endswith("family 25 model 17, avx avx2 fma") and platform.node() not in found
    assert "family" not in machine_type("cpu", tmp_path / "none")


def test_the_committed_baseline_is_small_and_current(registry):
    """It holds every run of the suite and no other; `gradrace gate` tells one of other adapters."""
    from gradrace.suite import expand, read_suite

    file = ROOT / "results" / "baselines" / "gate.json"
    kept = read(file)
    assert kept is not None and file.stat().st_size < 110_000 and text(kept) == file.read_text()
    runs = [run for run in expand(read_suite("gate"), registry) if run.measure == "convergence"]
    assert {name: trace.spec for name, trace in kept.by_id.items()} == {
        run.id: spec_digest(run) for run in runs
    }
    assert json.loads(file.read_text())["schema"] == 1


@pytest.mark.parametrize("exponent", [2000, -2000, 2**62])
def test_a_band_beyond_all_numbers_is_no_traceback(exponent):
    before = make_trace(final_band=exponent)
    assert {check.what for check in check_seeds([before], {before.id: before}, {before.id: 20})}


def test_a_baseline_names_the_versions_of_every_run(tmp_path):
    kept = Baseline(suite="gate", frameworks={}, runs=()).model_dump(mode="json", by_alias=True)
    (tmp_path / "gate.json").write_text(json.dumps({**kept, "runs": [make_trace().to_json()]}))
    with pytest.raises(UserError, match="gate.json: not a baseline .*no versions of"):
        read(tmp_path / "gate.json")
