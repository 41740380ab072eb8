"""The libraries' own schedules as tables, for comparison with ours: `python
tests/helpers/library_schedules.py LIBRARY`.

A program of its own, because one process holds one framework. Prints name -> float[STEPS] as JSON.
Names are those of `CASES` in test_schedules.py; each library is asked for what it ships.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

STEPS, BASE = 40, 0.1
LOSSES = (1.0, 0.9, 0.95, 0.9, 0.89, 0.89, 0.89, 0.89, 0.5, 0.5, 0.5, 0.5)


CYCLE = {"base_lr": 0.25 * BASE, "max_lr": BASE, "step_size_up": 5, "cycle_momentum": False}


def torch_tables() -> dict[str, list[float]]:
    """torch.optim.lr_scheduler, stepped once an update."""
    import torch
    from torch.optim import lr_scheduler as s

    def run(make: Callable[..., s.LRScheduler], steps: int = STEPS) -> list[float]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
        scheduler, rates = make(optimizer), []
        for step in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            # A OneCycleLR that was told its steps refuses to be stepped past them.
            if step < steps - 1:
                scheduler.step()
        return rates

    def one_cycle(steps: int, share: float) -> list[float]:
        return run(
            lambda o: s.OneCycleLR(
                o, max_lr=BASE, total_steps=steps, pct_start=share, cycle_momentum=False
            ),
            steps,
        )

    def plateau() -> list[float]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
        # torch reduces when more than `patience` evaluations were bad.
        scheduler = s.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=1, threshold=0.0, threshold_mode="abs", eps=0.0
        )
        rates = []
        for loss in LOSSES:
            scheduler.step(loss)
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    return {
        "step": run(lambda o: s.StepLR(o, step_size=10, gamma=0.5)),
        "multi_step": run(lambda o: s.MultiStepLR(o, milestones=[10, 25], gamma=0.1)),
        "exponential": run(lambda o: s.ExponentialLR(o, gamma=0.5 ** (1 / 10))),
        "polynomial": run(lambda o: s.PolynomialLR(o, total_iters=STEPS, power=2.0)),
        "linear": run(lambda o: s.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=STEPS)),
        "cosine": run(lambda o: s.CosineAnnealingLR(o, T_max=STEPS)),
        "cosine_restarts": run(lambda o: s.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=2)),
        "warmup": run(lambda o: s.LinearLR(o, start_factor=1 / 8, end_factor=1.0, total_iters=7)),
        "one_cycle": one_cycle(STEPS, 0.3),
        **{
            f"one_cycle_{share}_{n}": one_cycle(n, share)
            for n in (2, 3, 4, 10, 11, 97, 360)
            for share in (0.3, 0.37)
        },
        "cyclic": run(lambda o: s.CyclicLR(o, **CYCLE)),
        "cyclic2": run(lambda o: s.CyclicLR(o, **CYCLE, mode="triangular2")),
        "plateau": plateau(),
    }


def keras_tables() -> dict[str, list[float]]:
    """keras.optimizers.schedules, and the callback ReduceLROnPlateau on a made-up history."""
    import keras
    from keras.optimizers import schedules as s

    keras.config.set_floatx("float64")

    def run(schedule: s.LearningRateSchedule) -> list[float]:
        return [float(schedule(step)) for step in range(STEPS)]

    def plateau() -> list[float]:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(BASE), "mse")
        callback = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=2, min_delta=0.0)
        rates = []
        callback.set_model(model)
        callback.on_train_begin()
        for epoch, loss in enumerate(LOSSES):
            callback.on_epoch_end(epoch, {"val_loss": loss})
            rates.append(float(model.optimizer.learning_rate.numpy()))
        return rates

    decay = s.PolynomialDecay
    return {
        "cosine_1000": [float(s.CosineDecay(BASE, decay_steps=1000)(step)) for step in range(1000)],
        "step": run(s.ExponentialDecay(BASE, decay_steps=10, decay_rate=0.5, staircase=True)),
        "multi_step": run(s.PiecewiseConstantDecay([10, 25], [BASE, BASE * 0.1, BASE * 0.01])),
        "exponential": run(s.ExponentialDecay(BASE, decay_steps=10, decay_rate=0.5)),
        "polynomial": run(decay(BASE, decay_steps=STEPS, end_learning_rate=0.0, power=2.0)),
        "linear": run(decay(BASE, decay_steps=STEPS, end_learning_rate=0.1 * BASE, power=1.0)),
        "cosine": run(s.CosineDecay(BASE, decay_steps=STEPS)),
        "cosine_restarts": run(s.CosineDecayRestarts(BASE, first_decay_steps=5, t_mul=2.0)),
        "warmup_cosine": run(
            s.CosineDecay(0.0, decay_steps=STEPS - 8, warmup_target=BASE, warmup_steps=8)
        ),
        "plateau": plateau(),
    }


def optax_tables() -> dict[str, list[float]]:
    """optax.schedules, in the precision that JAX_ENABLE_X64 says."""
    import optax

    def run(schedule: Callable[[int], object]) -> list[float]:
        return [float(schedule(step)) for step in range(STEPS)]  # type: ignore[arg-type]

    def cycle(n: int) -> dict[str, float]:
        peaks = {"init_value": BASE, "peak_value": BASE, "end_value": 0.0}
        return {**peaks, "decay_steps": n, "warmup_steps": 0}

    thousand = optax.cosine_decay_schedule(BASE, 1000)
    warmup = optax.warmup_cosine_decay_schedule(0.0, BASE, warmup_steps=8, decay_steps=STEPS)
    return {
        "cosine_1000": [float(thousand(step)) for step in range(1000)],
        "step": run(optax.exponential_decay(BASE, 10, 0.5, staircase=True)),
        "multi_step": run(optax.piecewise_constant_schedule(BASE, {10: 0.1, 25: 0.1})),
        "exponential": run(optax.exponential_decay(BASE, 10, 0.5)),
        "polynomial": run(optax.polynomial_schedule(BASE, 0.0, power=2.0, transition_steps=STEPS)),
        "linear": run(optax.linear_schedule(BASE, 0.1 * BASE, STEPS)),
        "cosine": run(optax.cosine_decay_schedule(BASE, STEPS)),
        "cosine_restarts": run(optax.sgdr_schedule([cycle(n) for n in (5, 10, 20, 40)])),
        "warmup_cosine": run(warmup),
        "one_cycle": run(optax.cosine_onecycle_schedule(STEPS, BASE, pct_start=0.3)),
    }


if __name__ == "__main__":
    tables = {"torch": torch_tables, "tensorflow": keras_tables, "jax": optax_tables}
    print(json.dumps(tables[sys.argv[1]]()))
