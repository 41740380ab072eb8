"""A framework's own optimizers on given gradients: `python
tests/helpers/oracle_updates.py FRAMEWORK <
CASES`.

CASES is a JSON list of {"optimizer", "hyper", "rate", "start", "gradients"}; out comes, for each,
the tensor after every step, or null where the framework does not have the optimizer under its
canonical rule. A program of its own, because one process holds one
framework.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from gradrace.registry import import_adapter, load_registry
from runs import spec_of


def main() -> None:
    """Reads cases, prints tensors."""
    registry, framework = load_registry(), sys.argv[1]
    adapter = import_adapter(registry.frameworks[framework])

    def take(case: dict[str, Any]) -> list[list[float]] | None:
        optimizer = registry.optimizers[case["optimizer"]]
        task = registry.tasks["digits_mlp"].model_copy(update={"steps": len(case["gradients"])})
        fields = {"framework": framework, "mode": registry.frameworks[framework].convergence_mode}
        run = spec_of(task, optimizer.name, case["rate"], hyper=case["hyper"], **fields)
        if adapter.supports(run, optimizer):
            return None
        gradients = [{"point": np.array(gradient)} for gradient in case["gradients"]]
        rates = np.full(len(gradients), case["rate"])
        taken = adapter.updates(
            run, optimizer, {"point": np.array(case["start"])}, gradients, rates
        )
        return [step["point"].tolist() for step in taken]

    print(json.dumps([take(case) for case in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
