"""The traces printed in optax' docstrings, read from the installed library: `python
tests/helpers/optax_traces.py`.

Prints JSON: name of the factory -> {"start": "14.0", "printed": [...], "arguments": {...}}.
Docstrings that minimise f(x) = sum(x^2) from [1, 2, 3] with one factory of keyword numbers are
taken, and no others. A program of its own, because importing optax loads JAX.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from typing import Any

FUNCTION = re.compile(
    r"f(?:\(x\): return| = lambda x:) (?:jnp.sum\((?:x ?\*\* ?2|jnp.square\(x\))\)|x @ x)"
)
START = re.compile(r"params = jnp.array\(\[1\., 2\., 3\.\]\)")
SOLVER = re.compile(r">>> solver = (?:optax\.|contrib\.|optax\.contrib\.)(\w+)\((.*)\)")
PRINTED = re.compile(r"^\s*Objective function: +([\d.]+(?:E[+-]\d+)?)$", re.MULTILINE)


def trace_of(docstring: str, name: str) -> dict[str, Any] | None:
    """What one docstring prints, or None where it shows something else."""
    solver = SOLVER.search(docstring)
    if not (
        solver and solver[1] == name and FUNCTION.search(docstring) and START.search(docstring)
    ):
        return None
    call = ast.parse(f"f({solver[2]})", mode="eval").body
    assert isinstance(call, ast.Call)
    arguments = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    if call.args:
        arguments["learning_rate"] = ast.literal_eval(call.args[0])
    start, *printed = PRINTED.findall(docstring)
    return {"start": start, "printed": printed, "arguments": arguments}


def main() -> None:
    """Prints every trace found in optax and optax.contrib."""
    import optax
    import optax.contrib

    found = {}
    for module in (optax, optax.contrib):
        for name in dir(module):
            docstring = (
                inspect.getdoc(getattr(module, name)) if callable(getattr(module, name)) else None
            )
            trace = (
                trace_of(docstring, name)
                if docstring and "Objective function" in docstring
                else None
            )
            if trace:
                found[name] = trace
    print(json.dumps(found))


if __name__ == "__main__":
    main()
