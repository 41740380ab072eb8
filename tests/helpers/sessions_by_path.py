"""Sessions of digits_mlp with optimizers by import path, for programs that hold one framework."""

from __future__ import annotations

from typing import Any

import numpy as np
from gradrace.importpath import ImportPath
from gradrace.plan import initial_weights, make_plan
from gradrace.registry import import_adapter, load_registry
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec
from gradrace.tasks.digits_mlp import TASK

STEPS = 6
_SHORT = TASK.model_copy(update={"steps": STEPS, "eval_every": STEPS})


class Trainee:
    """An optimizer of an import path with arguments of its class, and how its runs go."""

    def __init__(self, text: str, hyper: dict[str, Any] | None = None, **fields: Any) -> None:
        path = ImportPath.parse(text)
        registry = load_registry([path])
        self.framework = registry.frameworks[path.framework]
        self.adapter = import_adapter(self.framework)
        self.optimizer = registry.optimizers[path.name]
        self._hyper, self._fields = hyper or {}, {"dtype": "float64", **fields}

    def run(self, seed: int = 0) -> RunSpec:
        """Another seed has another learning rate too, under a schedule."""
        usual: dict[str, Any] = {
            "task": _SHORT,
            "optimizer": OptimizerSpec(name=self.optimizer.name, hyper=self._hyper, rule="native"),
            "schedule": ScheduleSpec(kind="cosine", base_lr=0.01 * (1 + seed)),
            "framework": self.framework.name,
            "mode": self.framework.convergence_mode,
            "seed": seed,
        }
        return RunSpec(**{**usual, **self._fields})

    def opened(self, start: Any = None, seed: int = 0) -> Any:
        """At these weights, or at those of the seed."""
        run = self.run(seed)
        reason = self.adapter.supports(run, self.optimizer)
        assert reason is None, reason
        plan = make_plan(run, self.optimizer)
        return self.adapter.open(run, start or initial_weights(run.task, seed), plan)

    def weights(self, seed: int = 0) -> dict[str, np.ndarray]:
        """After all steps."""
        session = self.opened(seed=seed)
        session.train(range(STEPS))
        found: dict[str, np.ndarray] = session.weights()
        session.close()
        return found

    def lanes(self) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
        """Weights of two seeds trained in lanes, and alone. LanesImpossible passes."""
        runs = [self.run(seed) for seed in (0, 1)]
        plans = [make_plan(run, self.optimizer) for run in runs]
        keys = {self.adapter.lane_key(*pair) for pair in zip(runs, plans, strict=True)}
        assert len(keys) == 1
        starts = [initial_weights(run.task, run.seed) for run in runs]
        population = self.adapter.open_population(runs, starts, plans, 2)
        population.train(range(STEPS))
        found = [population.weights(lane) for lane in (0, 1)]
        population.close()
        return found, [self.weights(seed) for seed in (0, 1)]


def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest difference of two runs' weights."""
    return float(max(np.abs(one[name] - other[name]).max() for name in one))
