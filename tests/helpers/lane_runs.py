"""A framework's populations against its single runs, for programs that hold one framework."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import layer_table
import numpy as np
from gradrace.adapter import LanesImpossible
from gradrace.layers import BatchNorm, Dense, Dropout
from gradrace.optimizer import Optimizer
from gradrace.plan import initial_weights, make_plan
from gradrace.spec import POPULATION, OptimizerSpec, RunSpec, ScheduleSpec
from runs import REGISTRY

LANES, STEPS, RATE = 5, 8, 0.1
SMALL = layer_table.task(
    "small",
    (Dense(units=6, bias=False), BatchNorm(), Dropout(rate=0.4), Dense(units=10)),
    input_shape=(64,),
)
# Dropout by the framework's own generator.
NATIVE = layer_table.task(
    "native", (Dropout(rate=0.4, masks="native"), Dense(units=10)), input_shape=(64,)
)
LINEAR = layer_table.task("linear", (Dense(units=10),), input_shape=(64,))
ADAM = REGISTRY.optimizers["adam"]


class Lanes:
    """Runs of an adapter in populations, and the same by themselves in this mode."""

    def __init__(self, adapter: Any, mode: str) -> None:
        self._adapter, self._mode = adapter, mode

    def run_of(self, optimizer: Optimizer = ADAM, task: Any = SMALL, **fields: Any) -> RunSpec:
        """In a population, unless `fields` says otherwise; `change` goes into the task."""
        changed = {"steps": STEPS, "eval_every": STEPS, **fields.pop("change", {})}
        usual = {"dtype": "float64", "mode": POPULATION, "lanes": LANES}
        schedule = ScheduleSpec(
            kind=fields.pop("kind", "constant"), base_lr=fields.pop("rate", RATE)
        )
        hyper, rule = fields.pop("hyper", {}), fields.pop("rule", "canonical")
        return RunSpec(
            task=task.model_copy(update=changed),
            optimizer=OptimizerSpec(name=optimizer.name, hyper=hyper, rule=rule),
            schedule=schedule,
            framework=self._adapter.name,
            **{**usual, **fields},
        )

    def seeds(self, count: int, *given: Any, **fields: Any) -> list[RunSpec]:
        return [self.run_of(*given, seed=seed, **fields) for seed in range(count)]

    def key_of(self, run: RunSpec, optimizer: Optimizer = ADAM) -> Hashable:
        return self._adapter.lane_key(run, make_plan(run, optimizer))

    def refusal(self, run: RunSpec, optimizer: Optimizer = ADAM) -> str:
        try:
            self.key_of(run, optimizer)
        except LanesImpossible as reason:
            return str(reason)
        raise AssertionError(f"{run.id} may share a program")

    def together(self, runs: Sequence[RunSpec], optimizer: Optimizer = ADAM) -> Any:
        starts = [initial_weights(run.task, run.seed) for run in runs]
        inputs = [make_plan(run, optimizer) for run in runs]
        return self._adapter.open_population(runs, starts, inputs, LANES)

    def alone(self, run: RunSpec, optimizer: Optimizer = ADAM) -> Any:
        single = run.model_copy(update={"mode": self._mode, "lanes": 1})
        start = initial_weights(run.task, run.seed)
        return self._adapter.open(single, start, make_plan(single, optimizer))

    def assert_as_alone(
        self, runs: Sequence[RunSpec], optimizer: Optimizer = ADAM, within: float = 1e-12
    ) -> None:
        """Every lane has the losses, evaluations, weights and bytes of state of its session."""
        both = self.together(runs, optimizer)
        both.train(range(STEPS))
        losses, metrics = both.losses(), both.evaluate("validation")
        for lane, run in enumerate(runs):
            session = self.alone(run, optimizer)
            session.train(range(STEPS))
            np.testing.assert_allclose(losses[lane], session.losses(), within, within)
            np.testing.assert_allclose(
                metrics[lane], session.evaluate("validation"), within, within
            )
            for name, value in session.weights().items():
                np.testing.assert_allclose(both.weights(lane)[name], value, within, within)
            assert both.state_bytes() == session.state_bytes()


def print_found(checks: Sequence[Callable[[], None]]) -> None:
    """JSON: check -> "", or the failure."""
    found: dict[str, str] = {}
    for check in checks:
        try:
            check()
            found[check.__name__] = ""
        except Exception:
            found[check.__name__] = traceback.format_exc()
    print(json.dumps(found))
