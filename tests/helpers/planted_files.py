"""Users' files of optimizers with one fault each: what was wrong in released libraries, and what
would be as easy to get wrong.

A fault is a change of a sound file; certify must name it by the fitting check."""

from __future__ import annotations

from dataclasses import dataclass

ADAMW = """\
import torch


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            rate, decay, eps = group["lr"], group["weight_decay"], group["eps"]
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g, state = p.grad, self.state[p]
                if not state:
                    state["t"] = 0
                    state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
                state["t"] += 1
                t, m, v = state["t"], state["m"], state["v"]
                p.mul_(1 - rate * decay)
                m.mul_(b1).add_(g, alpha=1 - b1)
                v.mul_(b2).addcmul_(g, g, value=1 - b2)
                root = (v / (1 - b2**t)).sqrt()
                p.sub_(rate * (m / (1 - b1**t)) / (root + eps))
"""

KERAS_ADAMW = """\
import keras
from keras import ops


class AdamW(keras.optimizers.Optimizer):
    def __init__(self, learning_rate=1e-3, weight_decay=0.004, beta_1=0.9, beta_2=0.999,
                 epsilon=1e-7, **kwargs):
        super().__init__(learning_rate=learning_rate, weight_decay=None, **kwargs)
        self.decay, self.beta_1, self.beta_2 = weight_decay, beta_1, beta_2
        self.epsilon = epsilon

    def build(self, variables):
        super().build(variables)
        self.m = [self.add_variable_from_reference(v, name="m") for v in variables]
        self.v = [self.add_variable_from_reference(v, name="v") for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        rate, g = ops.cast(learning_rate, dtype), ops.cast(gradient, dtype)
        b1, b2, eps, decay = (
            ops.cast(each, dtype) for each in (self.beta_1, self.beta_2, self.epsilon, self.decay)
        )
        t = ops.cast(self.iterations + 1, dtype)
        k = self._get_variable_index(variable)
        self.assign(variable, variable * (1 - rate * decay))
        self.assign(self.m[k], self.m[k] * b1 + (1 - b1) * g)
        self.assign(self.v[k], self.v[k] * b2 + (1 - b2) * g * g)
        root = ops.sqrt(self.v[k] / (1 - b2**t))
        self.assign_sub(variable, rate * self.m[k] / (1 - b1**t) / (root + eps))
"""

OPTAX_ADAMW = """\
import jax
import jax.numpy as jnp
import optax


def adamw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-4):
    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return {"t": jnp.zeros([], jnp.int32), "m": zeros, "v": zeros}

    def update(grads, state, params=None):
        t = state["t"] + 1
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state["m"], grads)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state["v"], grads)

        def change(m, v, p):
            root = jnp.sqrt(v / (1 - b2**t))
            return -learning_rate * (m / (1 - b1**t) / (root + eps) + weight_decay * p)

        return jax.tree.map(change, m, v, params), {"t": t, "m": m, "v": v}

    return optax.GradientTransformation(init, update)
"""

SOUND = {
    "torch": ("AdamW", ADAMW),
    "tensorflow": ("AdamW", KERAS_ADAMW),
    "jax": ("adamw", OPTAX_ADAMW),
}


@dataclass(frozen=True)
class Fault:
    """old becomes new in the sound file of the framework, and so do `also`. check: the one that
    must find it, with says in its text. like: the public case."""

    check: str
    old: str
    new: str
    says: str = ""
    also: tuple[tuple[str, str], ...] = ()
    framework: str = "torch"
    like: str = ""

    @property
    def source(self) -> str:
        text = SOUND[self.framework][1]
        for old, new in ((self.old, self.new), *self.also):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return text


_STEP = "        for group in self.param_groups:\n"
_MOVE = "                p.sub_(rate * (m / (1 - b1**t)) / (root + eps))\n"
# The claim, whose findings have names of their own.
CLAIM = "is adamw"

FAULTS = {
    "steps_are_no_ops": Fault(
        "steps that do nothing", _STEP, "        return\n" + _STEP, like="heavyball#93"
    ),
    "epsilon_inside_the_root": Fault(
        CLAIM, "(v / (1 - b2**t)).sqrt()", "(v / (1 - b2**t) + eps**2).sqrt() - eps", "differs"
    ),
    "decay_is_coupled": Fault(
        CLAIM,
        "                p.mul_(1 - rate * decay)\n",
        "                g = g + decay * p\n",
        "coupled",
        like="keras#19051",
    ),
    "decay_without_rate": Fault(CLAIM, "1 - rate * decay", "1 - decay", "without"),
    "second_moment_not_corrected": Fault(
        CLAIM, "(v / (1 - b2**t)).sqrt()", "v.sqrt()", "bias correction"
    ),
    "first_moment_not_corrected": Fault(CLAIM, "(m / (1 - b1**t))", "m", "bias correction"),
    "maximum_of_uncorrected": Fault(
        CLAIM,
        "                root = (v / (1 - b2**t)).sqrt()\n",
        '                state["x"] = torch.maximum(state.get("x", v), v)\n'
        '                root = (state["x"] / (1 - b2**t)).sqrt()\n',
        "differs",
        like="optax#1389",
    ),
    "state_of_all_instances": Fault(
        "determinism",
        "self.state[p]",
        "SHARED.setdefault(tuple(p.shape), {})",
        also=(("import torch\n", "import torch\n\nSHARED = {}\n"),),
    ),
    "resume_forgets_the_count": Fault(
        "saved and loaded",
        _STEP,
        '        self.t = getattr(self, "t", 0) + 1\n' + _STEP,
        also=(('t, m, v = state["t"]', "t, m, v = self.t"),),
    ),
    "climbs": Fault("downhill", _MOVE, _MOVE.replace("sub_", "add_"), like="po.Ranger"),
    "rate_kept_from_construction": Fault(
        "learning rate doubled",
        'rate, decay, eps = group["lr"]',
        "rate, decay, eps = self.rate",
        also=(("        super().__init__(", "        self.rate = lr\n        super().__init__("),),
    ),
    "rate_without_effect": Fault(
        "learning rate counts",
        'rate, decay, eps = group["lr"]',
        "rate, decay, eps = 1e-3",
        like="po.AdaFactor",
    ),
    "gradients_changed_in_place": Fault(
        "gradients left alone",
        "                p.mul_(1",
        "                g.mul_(2)\n                p.mul_(1",
    ),
    "float32_inside": Fault(
        "float64",
        _MOVE,
        _MOVE.replace("(root + eps))", "(root + eps))\n                p.copy_(p.float())"),
        like="torch_optimizer.RAdam",
    ),
    "one_nan_for_all": Fault(
        "NaN gradients",
        "            for p in",
        '            norms = [p.grad.norm() for p in group["params"] if p.grad is not None]\n'
        "            rate = rate * 1e9 / sum(norms).clamp(min=1e9)\n"
        "            for p in",
    ),
    "constant_decay": Fault(
        "weight decay shrinks",
        "p.mul_(1 - rate * decay)",
        "p.sub_(rate * decay)",
        like="torch_optimizer.SGDW",
    ),
    "decay_unused": Fault("weight decay counts", "                p.mul_(1 - rate * decay)\n", ""),
    "start_thrown_away": Fault(
        "start kept",
        '                    state["t"] = 0\n',
        '                    state["t"] = 0\n                    p.normal_()\n',
        like="heavyball.Scion",
    ),
    "groups_share_a_cache": Fault(
        "a resting group",
        'rate, decay, eps = group["lr"]',
        'rate, decay, eps = self.param_groups[0]["lr"]',
        like="torch_optimizer.RAdam",
    ),
    "missing_gradient_is_an_error": Fault(
        "absent gradients",
        "                if p.grad is None:\n                    continue\n",
        "",
    ),
    "noise": Fault("determinism", "(root + eps))", "(root + eps) * torch.rand_like(p))"),
    "raises_at_step_500": Fault(
        "a long run",
        "                t, m, v",
        '                assert state["t"] < 500\n                t, m, v',
    ),
    "keras_decay_is_coupled": Fault(
        CLAIM,
        "        self.assign(variable, variable * (1 - rate * decay))\n",
        "        g = g + decay * variable\n",
        "(L2)",
        framework="tensorflow",
        like="keras#19051",
    ),
    "keras_counts_from_zero": Fault(
        CLAIM,
        "self.iterations + 1, dtype",
        "self.iterations + 2, dtype",
        "differs",
        framework="tensorflow",
    ),
    "optax_epsilon_inside": Fault(
        CLAIM,
        "jnp.sqrt(v / (1 - b2**t))",
        "jnp.sqrt(v / (1 - b2**t) + eps)",
        "epsilon",
        framework="jax",
    ),
    "optax_wrong_sign": Fault(
        "downhill", "return -learning_rate", "return learning_rate", framework="jax"
    ),
}
