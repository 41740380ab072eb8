"""Results of many runs, as a population gives them: made up, and drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gradrace.layers import Dense
from gradrace.machine import this_machine
from gradrace.record import Blocks, Curve, Machine, Norms, RunRecord, RunResult, Summary
from gradrace.spec import OptimizerSpec, Regularization, RunSpec, ScheduleSpec, TaskSpec, digest
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TASK = TaskSpec(
    **{"name": "made_up", "title": "Made up", "data": "digits", "input_shape": (4,)},
    **{"model": (Dense(units=2),), "batch_size": 4, "steps": 20, "eval_every": 10},
    **{"target": 0.5, "target_origin": "made up"},
)
COUNTS = st.integers(0, 6)
OTHER_MACHINE = Machine(
    **{"system": "Other", "processor": "P", "logical_cores": 1, "memory_bytes": 1, "python": "3"}
)


def spec_of(number: int, **fields: Any) -> RunSpec:
    """A run of a population of made-up runs: each has its own seed and rate."""
    usual: dict[str, Any] = {"framework": "jax", "mode": "population", "lanes": 8, "seed": number}
    usual["task"] = TASK
    usual["optimizer"] = OptimizerSpec(name="adam", hyper={"beta1": 0.9, "epsilon": 1e-8})
    usual["schedule"] = ScheduleSpec(kind="constant", base_lr=0.001 * (number + 1))
    return RunSpec(**{**usual, **fields})


def result_of(spec: RunSpec, curve: Curve | None = None, **fields: Any) -> RunResult:
    """An ordinary result with a curve of its own, or the given one."""
    rng = np.random.default_rng(spec.seed)
    evaluated = np.arange(0, spec.steps + 1, spec.task.eval_every)
    usual: dict[str, Any] = {
        **{"digest": digest(spec, {"made_up": "1"}, {}), "spec": spec, "status": "ok"},
        **{"lanes": 8, "import_s": 1.5, "setup_s": 0.25, "state_bytes": 100, "wall_s": 0.5},
        **{"started_at": "2026-01-01T00:00:00+00:00", "versions": {"made_up": "1"}},
        **{"sources": {}, "machine": this_machine(), "cores": (0, 1)},
        "summary": Summary(steps_done=spec.steps, final_train_loss=rng.random()),
    }
    made = Curve(
        rng.random(spec.steps), evaluated, rng.random(len(evaluated)), rng.random(len(evaluated))
    )
    return RunResult(RunRecord(**{**usual, **fields}), made if curve is None else curve)


def _floats(draw: DrawFn, size: int) -> np.ndarray:
    return np.array(draw(st.lists(NUMBERS, min_size=size, max_size=size)), dtype=np.float64)


def _ints(draw: DrawFn, size: int) -> np.ndarray:
    number = st.integers(-(2**62), 2**62)
    return np.array(draw(st.lists(number, min_size=size, max_size=size)), dtype=np.int64)


def _texts(draw: DrawFn, size: int) -> np.ndarray:
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
    return np.array(draw(st.lists(text, min_size=size, max_size=size)), dtype=np.str_)


@st.composite
def curves(draw: DrawFn) -> Curve:
    """With any numbers; empty ones too, and those of a function of two numbers."""
    evaluated, size = draw(COUNTS), draw(COUNTS)
    rates = _floats(draw, size) if draw(st.booleans()) else np.empty(0)
    points = _floats(draw, 2 * evaluated).reshape(-1, 2) if draw(st.booleans()) else np.empty(0)
    numbers = (_floats(draw, evaluated) for _ in range(2))
    return Curve(_floats(draw, size), _ints(draw, evaluated), *numbers, rates, points)


@st.composite
def norms(draw: DrawFn) -> Norms:
    size = draw(COUNTS)
    return Norms(_ints(draw, size), _texts(draw, size), *(_floats(draw, size) for _ in range(4)))


@st.composite
def blocks(draw: DrawFn) -> Blocks:
    size = draw(COUNTS)
    return Blocks(*(_ints(draw, size) for _ in range(5)), _texts(draw, size))


@st.composite
def results(draw: DrawFn) -> list[RunResult]:
    """Of different runs, which share some of their fields and not others, whatever their end."""
    variations = st.dictionaries(st.sampled_from("abc"), st.integers() | FINITE | st.text())
    penalties = st.builds(Regularization, l1=st.sampled_from((0.0, 1e-3)))
    hyper = st.dictionaries(st.sampled_from(("beta1", "epsilon")), FINITE)
    found = []
    for number in range(draw(st.integers(1, 5))):
        spec = spec_of(
            number,
            task=TASK.model_copy(update={"regularization": draw(penalties)}),
            optimizer=OptimizerSpec(name="adam", hyper=draw(hyper)),
            variations=draw(st.just({}) | variations.map(_within_64_bits)),
        )
        fields = {
            **{"status": draw(STATUSES), "reason": draw(st.text()), "note": draw(st.text())},
            **{"summary": draw(st.none() | SUMMARIES), "wall_s": draw(st.floats(0, 1e9))},
            **{"state_bytes": draw(st.none() | st.integers(0, 2**62))},
            **{"versions": draw(st.dictionaries(st.sampled_from("xyz"), st.just("1")))},
            **{"machine": draw(st.sampled_from((this_machine(), OTHER_MACHINE)))},
            **{"gauges": draw(st.dictionaries(st.sampled_from("uv"), FINITE))},
        }
        record = result_of(spec, **fields).record
        kinds: tuple[Callable[[], Any], ...] = (curves, blocks, norms)
        found.append(RunResult(record, *(draw(st.none() | kind()) for kind in kinds)))
    return found


def _within_64_bits(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value % 2**62 if isinstance(value, int) else value for key, value in values.items()
    }


STATUSES = st.sampled_from(("ok", "diverged", "failed", "timeout", "skipped"))
SUMMARIES = st.builds(Summary, steps_done=st.integers(0, 20), final_train_loss=st.none() | FINITE)


def same_arrays(one: RunResult, other: RunResult) -> bool:
    """Whether they have the same arrays: bit by bit, NaN and all."""
    for name in ("curve", "blocks", "norms"):
        first, second = getattr(one, name), getattr(other, name)
        if (first is None) != (second is None):
            return False
        for column, dtype in first.DTYPES.items() if first is not None else ():
            a, b = getattr(first, column), getattr(second, column)
            if a.shape != b.shape or (a.tolist() != b.tolist() and dtype is np.str_):
                return False
            if dtype is not np.str_ and a.tobytes() != b.tobytes():
                return False
    return True
