"""A scenario as a script for Optax alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gradrace.adapters.calls import Call
from gradrace.adapters.scripts import arrays_text, joined, uses
from gradrace.stepping.scenario import Evaluate, Reload, Scenario, SetRate

Calls = Callable[[float], tuple[Call, ...]]

_SHOW = """
def show(tensors):
    print({name: np.float64(value).tolist() for name, value in tensors.items()})

"""
_STEP = """
def step(gradients):
    global tensors, state
    given = {{name: jnp.asarray(gradients[name], {dtype!r}) for name in tensors}}
    tensors, state = update(given, state, tensors)
    show(tensors)

"""
_SET_RATE = """
def set_rate(rate):
    global update
    update = new(rate)[1]

"""
_RELOAD = """
def reload():
    # A state is a tree of arrays, which a file gives back as they were.
    global state
    state = jax.tree.map(jnp.array, state)

"""
_EVALUATE = """
def evaluate():
    show({found})

"""
_EXTRA = {
    "value": "value=loss(tensors)",
    "grad": "grad=gradients",
    "value_fn": "value_fn=lambda tensors, obj_fn=None: loss(tensors)",
    "obj_fn": "obj_fn=loss",
}
_LOSS = """
        def loss(tensors):
            return sum((gradients[name] * tensors[name]).sum() for name in tensors)

"""


def script_of(calls: Calls, extra: tuple[str, ...], scenario: Scenario) -> str:
    """See Maker.script."""
    own = [line for call in calls(scenario.making.rate) for line in call.imports()]
    imports = [*own, "import jax", "import jax.numpy as jnp", "import optax"]
    return joined(imports, _parts(calls, extra, scenario), scenario)


def _parts(calls: Calls, extra: tuple[str, ...], scenario: Scenario) -> Iterator[str]:
    making = scenario.making
    x64 = making.dtype == "float64"
    yield f"""
jax.config.update("jax_enable_x64", {x64})
start = {arrays_text(scenario.start)}
tensors = {{name: jnp.asarray(value, {making.dtype!r}) for name, value in start.items()}}
"""
    yield _new(calls, extra, making.variant)
    yield f"optimizer, update = new({making.rate!r})\nstate = optimizer.init(tensors)"
    yield _SHOW
    yield _STEP.format(dtype=making.dtype)
    found = "tensors"
    if any("schedule_free" in call.path.dotted for call in calls(making.rate)):
        found = "optax.contrib.schedule_free_eval_params(state, tensors)"
    optional = {
        SetRate: _SET_RATE,
        Reload: _RELOAD,
        Evaluate: _EVALUATE.format(found=found),
    }
    yield from (text for kind, text in optional.items() if uses(scenario, kind))


def _new(calls: Calls, extra: tuple[str, ...], variant: str) -> str:
    texts = [call.text(_value) for call in calls(_Rate())]
    made = texts[0] if len(texts) == 1 else f"optax.chain({', '.join(texts)})"
    given = ", ".join(["gradients", "state", "tensors", *(_EXTRA[name] for name in extra)])
    decorator = "" if variant else "    @jax.jit\n"
    return f"""
def new(rate):
    optimizer = {made}

{decorator}    def update(gradients, state, tensors):{_LOSS if extra else ""}
        updates, state = optimizer.update({given})
        return optax.apply_updates(tensors, updates), state

    return optimizer, update
"""


class _Rate(float):
    """Stands for the variable of that name."""


def _value(value: object) -> str:
    return "rate" if isinstance(value, _Rate) else repr(value)
