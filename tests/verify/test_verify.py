"""`gradrace verify`: the driver with fakes of the NumPy reference, its verdicts, and its file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from gradrace.data.generated import SYNTHETIC
from gradrace.errors import UserError
from gradrace.layers import Activation
from gradrace.optimizer import Binding
from gradrace.registry import Registry, load_registry
from gradrace.spec import ScheduleSpec
from gradrace.verify import VerifyOptions, document, verify
from gradrace.verify import file as verify_file
from gradrace.verify.cases import (
    AMPLIFIED,
    CLOSED_LOOP,
    CORE_OPTIMIZERS,
    CORE_TASKS,
    FLOAT32_TOLERANCE,
    JOINT_TOLERANCE,
    LOSS_TOLERANCE,
    LayerCase,
    Selection,
    TrajectoryCase,
    UpdateCase,
    by_id,
    everything,
    table,
)
from gradrace.verify.compute import Unavailable, compute
from gradrace.verify.judge import Answer, Difference, compare, judge
from gradrace.verify.verdict import LEVELS, Side, Verdict, VerifyFile, json_schema
from paths import ROOT

DOCS = ROOT / "docs"

FAKE = """
import os, time
import numpy as np
from gradrace.adapters.numpy import NumpyAdapter

FRAMEWORK = "fake"
TITLE = "A fake"
REQUIRES = ("numpy",)
MODES = ("plain",)
CONVERGENCE_MODE = "plain"

class Fake(NumpyAdapter):
    name = "fake"
    {body}

ADAPTER = Fake()
"""
WRONG_STEP = """
    def updates(self, run, optimizer, start, gradients, rates):
        after = super().updates(run, optimizer, start, gradients, rates)
        for step in after[7:]:
            step["1_conv2d.bias"][2] += 0.125
        return after
"""


@pytest.fixture
def fake(tmp_path) -> Callable[..., Registry]:
    """A registry with a framework `fake`: the NumPy reference with something else in its class."""

    def make(body: str = "pass", text: str = FAKE) -> Registry:
        file = tmp_path / "fake.py"
        file.write_text(text.replace("{body}", body))
        return load_registry([file])

    return make


def found(registry: Registry, keyword: str, **options: float) -> list[Verdict]:
    """Verdicts about the fake."""
    selection = Selection(keyword=keyword, frameworks=("fake",))
    return list(verify(registry, VerifyOptions(selection, **options)).verdicts)


# -- the driver


def test_a_framework_that_computes_the_same_is_equal_in_every_level(fake):
    small = "!/digits_cnn !/digits_lstm !fashion !mnist !cifar10 !_rnn !_lstm !_gru"
    most = f"!layers/conv !native !float32 {small} sgd"
    keywords = (most, "layers/dense", "losses/huber", "weights/digits_mlp")
    verdicts = [verdict for keyword in keywords for verdict in found(fake(), keyword)]
    assert {v.verdict for v in verdicts if v.reason == ""} == {"equal"}
    assert {v.level for v in verdicts} >= {"updates", "trajectories", "layers", "losses", "weights"}
    assert max(v.worst for v in verdicts if v.verdict == "equal") == 0.0


def test_the_first_place_of_a_difference_is_named(fake):
    (verdict,) = found(fake(WRONG_STEP), "updates/sgd/canonical/constant")
    assert verdict.verdict == "FAILED"
    place = verdict.place
    assert (place.step, place.tensor, place.entry) == (7, "1_conv2d.bias", (2,))
    sides = {verdict.a.framework: verdict.place.a, verdict.b.framework: verdict.place.b}
    assert float(sides["fake"]) - float(sides["numpy"]) == pytest.approx(0.125)


def test_a_framework_that_dies_costs_the_case_it_was_at(fake):
    body = (
        "def loss(self, task, *given):\n"
        "        os._exit(9) if task.loss == 'huber' else None\n"
        "        return super().loss(task, *given)"
    )
    verdicts = {v.case: v for v in found(fake(body), "losses")}
    assert verdicts["huber"].verdict == "FAILED" and "exit code 9" in verdicts["huber"].reason
    assert {v.verdict for case, v in verdicts.items() if case != "huber"} == {"equal"}


def test_a_framework_that_hangs_is_given_up(fake):
    body = "def loss(self, task, *given):\n        time.sleep(300)"
    verdicts = found(fake(body), "losses/output", case_timeout_s=2.0)
    assert [v.verdict for v in verdicts] == ["FAILED"] and "no answer in 2 s" in verdicts[0].reason


def test_a_framework_that_raises_fails_with_the_message(fake):
    body = "def metric(self, *given):\n        raise FloatingPointError('lost\\nmore')"
    verdicts = found(fake(body), "losses/output")
    assert re.fullmatch(r"fake: .*/fake\.py, line 15: FloatingPointError: lost", verdicts[0].reason)


def test_a_framework_that_cannot_load_fails_and_a_missing_one_is_unavailable(fake):
    broken = found(fake(text=FAKE.replace("import os", "import nonesuch, os")), "losses/output")
    assert broken[0].verdict == "FAILED" and "not installed: nonesuch" in broken[0].reason
    missing = found(fake(text=FAKE.replace('("numpy",)', '("nonesuch",)')), "losses/output")
    assert (missing[0].verdict, missing[0].reason) == ("unavailable", "fake: not installed")


def test_nothing_selected_is_an_error_of_its_own(fake):
    with pytest.raises(UserError) as error:
        found(fake(), "nonesuch")
    assert error.value.exit_code == 5


# -- the table


def test_cases_have_names_of_their_own_and_reach_every_part(registry):
    cases = list(everything(registry))
    assert len(by_id(cases)) == len(cases)
    assert {case.level for case in cases} == set(LEVELS)
    trained = {(c.task.name, c.optimizer) for c in cases if isinstance(c, TrajectoryCase)}
    rules = {name: optimizer.rule for name, optimizer in registry.optimizers.items()}
    joint = {*AMPLIFIED, *(name for name, rule in rules.items() if rule and rule.joint)}
    separable = {name for name, rule in rules.items() if rule} - joint
    assert {(task, name) for task in CORE_TASKS for name in separable} <= trained
    assert {("rosenbrock", "lbfgs"), ("quadratic", "lbfgs")} <= trained
    learnt = {name for name, task in registry.tasks.items() if task.data not in SYNTHETIC}
    assert {(task, name) for task in learnt for name in CORE_OPTIMIZERS} <= trained
    assert {(f"synthetic_{kind}_s", "adam") for kind in ("mlp", "cnn", "lstm")} <= trained
    # Those would be too large for the NumPy referee.
    assert not any(task.endswith(("_m", "_l")) for task, _ in trained)
    kinds = {c.layer.kind for c in cases if isinstance(c, LayerCase)}
    assert {layer.kind for task in registry.tasks.values() for layer in task.model} <= kinds


def test_quick_keeps_every_level_and_kind_of_layer(registry):
    full, quick = table(registry, Selection()), table(registry, Selection(quick=True))
    assert {case.id for case in quick} < {case.id for case in full}
    assert {case.level for case in quick} == set(LEVELS)
    kinds = [{c.layer.kind for c in cases if isinstance(c, LayerCase)} for cases in (full, quick)]
    assert kinds[0] == kinds[1]


def test_loaded_files_choose_their_own_cases():
    registry = load_registry([ROOT / "examples" / "my_optimizer.py"])
    cases = table(registry, Selection())
    assert {getattr(case, "optimizer", None) for case in cases} == {"sign_momentum"}
    assert {case.level for case in cases} == {"updates", "trajectories", "populations"}


def test_update_cases_have_the_gradients_they_promise(registry):
    case = by_id(list(everything(registry)))["updates/sgd/canonical/constant"]
    _, gradients = case.draw()
    kernel = np.stack([step["0_dense.kernel"] for step in gradients])
    assert not kernel[:, 0].any() and not kernel[2::3, 1].any() and kernel[0::3, 1].any()
    sizes = np.abs(kernel[:, 2:]).mean(axis=0)
    assert sizes.max() / sizes.min() > 1e2


# -- the judge


def trajectory(registry: Registry, **changes: object) -> TrajectoryCase:
    schedule = ScheduleSpec(kind="constant", base_lr=0.1)
    case = TrajectoryCase("trajectories", "t", "", registry.tasks["digits_mlp"], "sgd", schedule)
    return replace(case, **changes)


def differing(registry: Registry, losses, other) -> Difference:
    return compare(trajectory(registry), {"losses": losses}, {"losses": other})


def test_every_loss_is_compared_and_the_first_difference_named(registry):
    losses = np.linspace(2.0, 1.0, 100)
    other = losses.copy()
    other[41:] *= 1.0 + 1e-11
    found = differing(registry, losses, other)
    assert not found.within and found.place.step == 41
    assert found.worst == pytest.approx(1e-11, rel=1e-3)
    other[41:] = losses[41:] * (1.0 + 1e-13)
    assert differing(registry, losses, other).within


def test_tiny_losses_are_held_to_a_thousandth_of_the_first(registry):
    losses = np.array([2.0, 1e-9])
    found = differing(registry, losses, losses + np.array([0.0, 1e-15]))
    assert found.worst == pytest.approx(1e-15 / 2e-3, rel=1e-3) and found.within


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_equal_to_nothing_and_infinity_to_itself_alone(registry, bad):
    losses = np.array([2.0, bad])
    for other in (losses, np.array([2.0, 1.0])):
        same = differing(registry, losses, other).within
        assert same is (bad == np.inf and other is losses)


def test_arrays_must_have_the_same_names_and_shapes(registry):
    case, one = trajectory(registry), {"losses": np.ones(3)}
    shapes = Difference(np.inf, False, reason="'losses' is [3] and [4]")
    assert compare(case, one, {"losses": np.ones(4)}) == shapes
    assert "only one side" in compare(case, one, {**one, "weight w": np.ones(1)}).reason


def test_updates_are_measured_by_the_distance_travelled():
    schedule = ScheduleSpec(kind="constant", base_lr=0.1)
    case = UpdateCase("updates", "u", "", "sgd", "canonical", schedule, steps=2)
    start, _ = case.draw()
    after = {name: np.stack([value, value + 1e-3]) for name, value in start.items()}
    other = {name: value.copy() for name, value in after.items()}
    other["0_dense.bias"][1, 3] += 1e-13
    found = compare(case, after, other)
    assert found.worst == pytest.approx(1e-10, rel=0.05) and not found.within
    assert (found.place.step, found.place.tensor, found.place.entry) == (1, "0_dense.bias", (3,))


def judged(registry: Registry, case: object, **answers: Answer) -> Verdict:
    """The one verdict on these answers, by framework."""
    sides = [(Side(framework=framework), answer) for framework, answer in answers.items()]
    (verdict,) = judge(case, sides, registry.optimizers)
    return verdict


def test_bit_for_bit_means_bits_and_dtypes(registry):
    case = by_id(list(everything(registry)))["weights/digits_mlp"]
    drawn = case.draw()
    nudged = {**drawn, "0_dense.bias": np.nextafter(drawn["0_dense.bias"], 1.0)}
    narrow = {name: value.astype(np.float32) for name, value in drawn.items()}
    for other in (nudged, narrow):
        assert judged(registry, case, fake=Answer(other)).verdict == "FAILED"
    verdict = judged(registry, case, fake=Answer(drawn))
    assert (verdict.verdict, verdict.worst) == ("equal", 0.0)


def test_declared_differences_are_measured_and_told(registry):
    cases = by_id(list(everything(registry)))
    one, two = (Answer({"0_dense.kernel": np.full((50, 6, 5), size)}) for size in (1.0, 2.0))
    nadam, native = cases["updates/nadam/canonical/constant"], cases["updates/adam/native/constant"]
    verdict = judged(registry, nadam, tensorflow=one, numpy=two)
    assert verdict.verdict == "differs by definition"
    assert "Keras raises the momentum" in verdict.reason
    assert verdict.worst > 0.1
    assert judged(registry, nadam, torch=one, numpy=two).verdict == "FAILED"
    assert judged(registry, native, torch=one, numpy=two).verdict == "differs by definition"


def test_tolerances_are_those_of_the_goals(registry):
    cases = by_id(list(everything(registry, long=True)))
    allowed = {
        name: judged(registry, case, a=Answer(), b=Answer(failed="x")).tolerance
        for name, case in cases.items()
        if isinstance(case, TrajectoryCase | UpdateCase)
    }
    assert allowed["trajectories/digits_mlp/adam"] == LOSS_TOLERANCE == 1e-12
    assert allowed["trajectories/digits_mlp/adam/1000"] == 1e-9
    assert allowed["float32/digits_mlp/adam"] == FLOAT32_TOLERANCE == 1e-5
    assert allowed["updates/lbfgs/canonical/constant"] == JOINT_TOLERANCE
    assert allowed["updates/adam/canonical/constant"] == 1e-12


# -- the file


@pytest.fixture(scope="module")
def verified(tmp_path_factory) -> VerifyFile:
    file = tmp_path_factory.mktemp("fake") / "fake.py"
    file.write_text(FAKE.replace("{body}", "pass"))
    return verify(
        load_registry([file]), VerifyOptions(Selection(keyword="losses", frameworks=("fake",)))
    )


def test_verdicts_are_kept_and_joined(verified, tmp_path):
    verify_file.write(tmp_path, verified)
    assert verify_file.read(tmp_path) == verified
    one = verified.model_copy(update={"verdicts": verified.verdicts[:1]})
    assert len(verify_file.write(tmp_path, one).verdicts) == len(verified.verdicts)
    other = one.model_copy(update={"versions": {**one.versions, "fake": {"numpy": "0"}}})
    assert verify_file.write(tmp_path, other).verdicts == one.verdicts
    assert [file.name for file in tmp_path.iterdir()] == ["verify.json"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "truncated or not JSON"),
        ('{"schema": 99}', "newer than this gradrace reads"),
        ('{"schema": 1}', "not gradrace's"),
    ],
)
def test_other_files_are_refused_by_name(content, says, tmp_path):
    (tmp_path / "verify.json").write_text(content)
    with pytest.raises(UserError, match=says):
        verify_file.read(tmp_path)


def test_the_schema_in_docs_is_current():
    kept = json.loads((DOCS / "verify.schema.json").read_text(encoding="utf-8"))
    assert kept == json_schema(), (
        "write: python -m gradrace.verify.schema > docs/verify.schema.json"
    )


def test_json_validates_against_the_schema(verified):
    schema = json.loads((DOCS / "verify.schema.json").read_text(encoding="utf-8"))
    content = json.loads(verify_file.text(verified))
    jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**content, "verdicts": [{"level": "layers"}]}, schema)


def test_a_side_has_one_label():
    assert Side(framework="jax", mode="scan").label == "jax scan"
    assert Side(framework="torch").label == "torch"


# -- the command line


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("-k nonesuch", 5, "nothing to verify is called 'nonesuch'"),
        ("--dtype float16", 2, "keeps 3 digits"),
        ("--dtype bfloat16", 2, "keeps 2 digits"),
        ("--dtype floot32", 2, "did you mean 'float32'"),
        ("--framework troch", 2, "did you mean 'torch'"),
        ("page.md", 2, "only --document takes a file"),
    ],
)
def test_bad_input_is_named(gradrace, arguments, code, says):
    done = gradrace("verify", *arguments.split())
    assert done.returncode == code and says in done.stderr and "Traceback" not in done.stderr


OF_FAKE = ("verify", "--load", "fake.py", "--framework", "fake", "-k")


def test_a_failure_is_told_in_words_and_by_the_exit_code(gradrace, fake, tmp_path):
    fake(WRONG_STEP)
    done = gradrace(*OF_FAKE, "updates/sgd/canonical")
    assert done.returncode == 1
    assert "part first at step 7, 1_conv2d.bias[2]" in " ".join(done.stdout.split())
    assert "NOT fair" in done.stdout and "Traceback" not in done.stdout + done.stderr
    assert {v.verdict for v in verify_file.read(tmp_path / "results").verdicts} == {"FAILED"}


def test_json_is_the_file(gradrace, tmp_path, fake):
    fake()
    done = gradrace(*OF_FAKE, "losses", "--json", "--output", "here")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((tmp_path / "here" / "verify.json").read_text())


DISAGREEING = """
import numpy as np
from gradrace import Binding, Hyper, Optimizer, ReferenceRule

OPTIMIZER = Optimizer(
    name="disagreeing", title="Disagreeing", paper="made up", learning_rate=0.1, hyper={},
    bindings={
        "torch": Binding("torch.optim.SGD"),
        "jax": Binding("optax.sgd", lambda hyper: {"momentum": 0.5}),
    },
)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    any(load_registry().frameworks[n].versions() is None for n in ("torch", "jax")),
    reason="needs torch and JAX",
)
def test_a_plug_in_whose_frameworks_disagree_fails_in_words(gradrace, tmp_path):
    (tmp_path / "mine.py").write_text(DISAGREEING)
    done = gradrace("verify", "--load", "mine.py", "-k", "updates disagreeing canonical", "-q")
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert "part first at step 1, 0_dense.kernel" in " ".join(done.stdout.split())


# -- docs/differences.md


def test_the_page_of_differences_is_current_and_complete(registry):
    page = DOCS / "differences.md"
    measured = document.read(page)
    stale = "docs/differences.md is stale: run `gradrace verify --document`"
    rendered = document.render(registry.optimizers, measured)
    assert page.read_text(encoding="utf-8") == rendered, stale
    assert not document.missing(registry.optimizers)
    shown, libraries = {size.optimizer for size in measured.sizes}, set(document.LIBRARIES)
    bound = {name: libraries & set(o.bindings) for name, o in registry.optimizers.items()}
    paired = {name for name, known in bound.items() if len(known) > 1}
    # Given gradients, on which sizes are measured, are not enough for these under any rule.
    paired -= {name for name, rules in CLOSED_LOOP.items() if len(rules) == 2}
    assert paired <= shown, "optimizers were added since it was measured"


@pytest.mark.slow
@pytest.mark.parametrize("framework", list(document.LIBRARIES))
def test_the_defaults_on_the_page_are_those_of_the_libraries(registry, framework):
    measured = document.read(DOCS / "differences.md")
    installed = registry.frameworks[framework].versions()
    known = measured.versions[framework]
    release = lambda version: version.partition("+")[0]
    if installed is None or any(
        release(known.get(name, version)) != release(version) for name, version in installed.items()
    ):
        pytest.skip(f"the page is about other versions of {framework} than are installed")
    assert document.read_defaults(registry, framework)["optimizers"] == measured.defaults[framework]


def test_an_activation_has_no_parameters():
    case = LayerCase("layers", "x", "", Activation(), (3,))
    weights, x, upstream, mask = case.draw()
    assert weights == {} and x.shape == upstream.shape == (5, 3) and mask is None


def test_a_class_that_evaluates_the_loss_is_not_asked_for_updates(registry):
    class Adapter:
        def supports(self, run, optimizer):
            return None

    adam, framework = registry.optimizers["adam"], registry.frameworks["torch"]
    asking = replace(adam, bindings={"torch": Binding("torch.optim.Adam", asks_for_loss=True)})
    every = (case for case in everything(registry) if isinstance(case, UpdateCase))
    case = next(case for case in every if case.optimizer == "adam" and case.rule == "canonical")
    with pytest.raises(Unavailable, match=r"torch\.optim\.Adam evaluates the loss itself"):
        compute(case, Adapter(), framework, "", {"adam": asking})
