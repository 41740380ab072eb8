"""A scenario as a script for Keras alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradrace.adapters.calls import Call
from gradrace.adapters.scripts import arrays_text, joined, uses
from gradrace.stepping.scenario import Evaluate, Reload, Scenario, SetRate

_STEP = """
def show():
    print({{name: np.float64(v.value).tolist() for name, v in zip(start, variables)}})


def step(gradients):
    given = (gradients.get(name) for name in start)
    apply([g if g is None else tf.constant(g, {dtype!r}) for g in given])
    show()

"""
_SET_RATE = """
def set_rate(rate):
    optimizer.learning_rate = rate

"""
_RELOAD = """
def reload():
    global optimizer, apply
    saved = {}
    optimizer.save_own_variables(saved)
    optimizer, apply = new()
    optimizer.load_own_variables(saved)

"""
_EVALUATE = """
def evaluate():
    kept = [v.numpy() for v in variables]
    optimizer.finalize_variable_values(variables)
    show()
    for variable, value in zip(variables, kept):
        variable.assign(value)

"""
_NEW = """
def new():
    optimizer = {call}
    optimizer.build(variables)

{decorator}    def apply(gradients):
        scaled = [g if g is None else optimizer.scale_loss(g) for g in gradients]
        optimizer.apply(scaled, variables)

    return optimizer, apply


optimizer, apply = new()

"""
# Of the function that applies gradients, by variant.
_DECORATORS = {
    "graph": "    @tf.function(autograph=False)\n",
    "compiled": "    @tf.function(autograph=False, jit_compile=True)\n",
}


def script_of(call: Call, scenario: Scenario) -> str:
    """See Maker.script."""
    imports = [*call.imports(), "import keras", "import tensorflow as tf"]
    return joined(imports, _parts(call, scenario), scenario)


def _parts(call: Call, scenario: Scenario) -> Iterator[str]:
    making = scenario.making
    yield f"""
keras.config.set_floatx({making.dtype!r})
start = {arrays_text(scenario.start)}
variables = [keras.Variable(value, dtype={making.dtype!r}) for value in start.values()]
"""
    yield _NEW.format(
        call=call.text(_number), decorator=_DECORATORS.get(scenario.making.variant, "")
    )
    yield _STEP.format(dtype=making.dtype)
    optional = {SetRate: _SET_RATE, Reload: _RELOAD, Evaluate: _EVALUATE}
    yield from (text for kind, text in optional.items() if uses(scenario, kind))


def _number(value: Any) -> str:
    # A float64 that is no Python float would be written as its own class.
    plain = isinstance(value, float) and type(value) is not float
    return f"np.float64({float(value)!r})" if plain else repr(value)
