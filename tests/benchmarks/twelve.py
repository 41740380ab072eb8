"""Twelve small runs with NumPy or torch alone: three optimizers at four learning rates.

The script that throughput.py measures, and what its files for Benchopt train, so that both take the
same steps and the same evaluations."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES, RATES = ("sgd", "momentum", "adam"), (1e-3, 2e-3, 3e-3, 5e-3)
STEPS, EVERY, BATCH = 200, 20, 64
# Gets a function that gives the logits of the validation split as an array, at every evaluation.
Evaluated = Callable[[Callable[[], Any]], None]


def torch_run(name: str, rate: float, splits: Any, evaluated: Evaluated) -> list[float]:
    """Trains with torch; the loss of every step."""
    import numpy as np
    import torch
    from torch import nn

    torch.set_num_threads(1)
    (x, y), (vx, _) = (
        (torch.from_numpy(a.astype("float32")), torch.from_numpy(b)) for a, b in splits
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    makers: dict[str, Any] = {
        "sgd": lambda p: torch.optim.SGD(p, rate),
        "adam": lambda p: torch.optim.Adam(p, rate),
        "momentum": lambda p: torch.optim.SGD(p, rate, momentum=0.9),
    }
    optimizer, order, losses = makers[name](model.parameters()), np.random.default_rng(0), []

    def logits() -> Any:
        with torch.no_grad():
            return model(vx).numpy()

    for step in range(STEPS):
        if step % EVERY == 0:
            evaluated(logits)
        if step % (len(x) // BATCH) == 0:
            batches = torch.from_numpy(order.permutation(len(x))).split(BATCH)
        rows = batches[step % (len(x) // BATCH)]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def numpy_run(name: str, rate: float, splits: Any, evaluated: Evaluated) -> list[float]:
    """Trains with NumPy in float64, as the reference; the loss of every step."""
    import numpy as np

    (x, y), (vx, _) = splits
    rng, losses = np.random.default_rng(0), []
    first, last = rng.normal(0, (2 / 64) ** 0.5, (64, 64)), rng.normal(0, 0.1, (64, 10))
    p = [first, np.zeros(64), last, np.zeros(10)]
    m, v = [np.zeros_like(w) for w in p], [np.zeros_like(w) for w in p]

    def forward(a: Any) -> tuple[Any, Any]:
        h = np.maximum(a @ p[0] + p[1], 0.0)
        return h, h @ p[2] + p[3]

    for step in range(STEPS):
        if step % EVERY == 0:
            evaluated(lambda: forward(vx)[1])
        if step % (len(x) // BATCH) == 0:
            order = rng.permutation(len(x))
        rows = order[step % (len(x) // BATCH) * BATCH :][:BATCH]
        h, z = forward(x[rows])
        log_p = log_softmax(z)
        losses.append(float(-log_p[np.arange(BATCH), y[rows]].mean()))
        dz = np.exp(log_p)
        dz[np.arange(BATCH), y[rows]] -= 1.0
        dz /= BATCH
        dh = (dz @ p[2].T) * (h > 0)
        for i, g in enumerate((x[rows].T @ dh, dh.sum(0), h.T @ dz, dz.sum(0))):
            p[i] = p[i] - rate * direction(name, step, g, i, m, v)
    return losses


def direction(name: str, step: int, g: Any, i: int, m: Any, v: Any) -> Any:
    """The update of the i-th array over the learning rate; its averages move."""
    import numpy as np

    if name == "sgd":
        return g
    if name == "momentum":
        m[i] = 0.9 * m[i] + g
        return m[i]
    m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
    size = np.sqrt(v[i] / (1 - 0.999 ** (step + 1))) + 1e-8
    return m[i] / (1 - 0.9 ** (step + 1)) / size


def log_softmax(z: Any) -> Any:
    """Of every row."""
    import numpy as np

    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def scores(logits: Any, labels: Any) -> tuple[float, float]:
    """Loss and accuracy."""
    log_p = log_softmax(logits)
    loss = float(-log_p[range(len(labels)), labels].mean())
    return loss, float((logits.argmax(1) == labels).mean())


def digits() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Training and validation split, standardised."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    halves = {"train_size": 1152, "stratify": y, "random_state": 0}
    train_x, held_x, train_y, held_y = train_test_split(x, y, **halves)
    mean, spread = train_x.mean(0), train_x.std(0)
    scaled = [(part - mean) / (spread + (spread == 0)) for part in (train_x, held_x[:320])]
    return (scaled[0], train_y), (scaled[1], held_y[:320])


RUNS = {"torch": torch_run, "numpy": numpy_run}


def main(framework: str) -> None:
    """All twelve, as a script would: results go into one file."""
    splits, found = digits(), {}
    for name in NAMES:
        for rate in RATES:
            curve: list[Any] = []
            take = lambda logits, curve=curve: curve.append(scores(logits(), splits[1][1]))
            losses = RUNS[framework](name, rate, splits, take)
            found[f"{name} {rate}"] = {"losses": losses, "evaluations": curve}
    Path("by_hand.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
