"""A scenario as a short script of PyTorch and the optimizer's package alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gradrace.adapters.torch.stepping.making import BY_HAND, Recipe, public_path
from gradrace.importpath import ImportPath
from gradrace.stepping.instance import Gradients
from gradrace.stepping.scenario import Evaluate, Reload, Scenario, SetRate, Step

_PARTS = {
    "model": "model",
    "steps": str(BY_HAND.steps),
    "examples": str(BY_HAND.examples),
}
_GIVE = """\
    for name, tensor in weights.items():
        tensor.grad = gradients.get(name)
"""
_DROP = """\
    for tensor in weights.values():
        tensor.grad = None
"""
_LOSS = "sum((g * weights[name]).sum() for name, g in gradients.items())"
_CLOSURE = f"""\
    @torch.enable_grad()
    def closure():
        for tensor in weights.values():
            tensor.grad = None
        loss = {_LOSS}
        loss.backward()
        return loss.detach()

"""
# Drive -> the body of `def step(gradients)`.
_BODIES = {
    "step()": f"{_GIVE}    optimizer.step()\n",
    "step(closure)": f"{_CLOSURE}{_GIVE}    optimizer.step(closure)\n",
    "backward(create_graph=True), step()": f"""\
{_DROP}    loss = {_LOSS}
    for name in gradients:  # second derivatives of 1
        loss = loss + (weights[name] - weights[name].detach()).square().sum() / 2
    loss.backward(create_graph=True)
    optimizer.step()
""",
    "fused_backward(loss, lr)": f"{_DROP}    optimizer.fused_backward({_LOSS}, rate)\n",
}
_SHOW = """\
def show(what):
    print(what, {name: tensor.tolist() for name, tensor in weights.items()})
"""
_EVALUATED = """\
kept = {name: tensor.detach().clone() for name, tensor in weights.items()}
optimizer.eval()
show("evaluated")
optimizer.train()
for name, tensor in weights.items():
    tensor.data.copy_(kept[name])  # train() alone may round"""
_RELOADED = """\
buffer = io.BytesIO()
torch.save(optimizer.state_dict(), buffer)
buffer.seek(0)
weights = {name: torch.nn.Parameter(tensor.detach().clone()) for name, tensor in weights.items()}
optimizer = make()
optimizer.load_state_dict(torch.load(buffer, weights_only=False))"""


# For a class that is not given a rate, and holds an optimizer of its own.
_SET_INSIDE = """\
for holder in (optimizer, *vars(optimizer).values()):
    for group in getattr(holder, "param_groups", ()):
        if "lr" in group:
            group["lr"] = {rate!r}"""


def script_of(path: ImportPath, recipe: Recipe, scenario: Scenario) -> str:
    """See gradrace.stepping.instance.Maker.script."""
    return "\n".join(_Script(path, recipe, scenario).parts())


class _Script:
    """The parts of one script, each a few lines."""

    def __init__(self, path: ImportPath, recipe: Recipe, scenario: Scenario) -> None:
        self._path, self._recipe, self._scenario = path, recipe, scenario
        self._making = scenario.making
        self._dtype = f"torch.{self._making.dtype}"

    def parts(self) -> Iterator[str]:
        yield from self._imports()
        yield ""
        yield "weights = {"
        for name, values in self._scenario.start.items():
            yield f"    {name!r}: torch.nn.Parameter({self._laid_out(values)}),"
        yield "}"
        yield from self._optimizer()
        yield f"\n\ndef step(gradients):\n{_BODIES[self._recipe.drive]}    show('step')\n"
        yield f"\n{_SHOW}\n"
        if self._sets_inside:
            yield self._set_rate(self._making.rate)
        if self._recipe.switches:
            yield "optimizer.train()"
        yield from self._actions()

    @property
    def _sets_inside(self) -> bool:
        return not self._recipe.signature.rate and not self._recipe.inner

    def _imports(self) -> Iterator[str]:
        if any(isinstance(action, Reload) for action in self._scenario.actions):
            yield "import io"
        if self._path.file:
            yield "import sys"
        yield "from math import inf, nan\n\nimport torch"
        if file := self._path.file:
            yield f"\nsys.path.insert(0, {str(file.resolve().parent)!r})\nimport {file.stem}"
        classes = [self._recipe.inner, *([] if self._path.file else [self._path.dotted])]
        for package in sorted({each.partition(".")[0] for each in classes} - {"", "torch"}):
            yield f"import {package}"
        if self._path.dotted.startswith("heavyball."):
            yield "import heavyball.utils\n\nheavyball.utils.compile_mode = None"

    def _laid_out(self, values: np.ndarray) -> str:
        text = self._tensor(values)
        if self._making.strided and np.ndim(values) > 1:
            return f"{text}.mT.contiguous().mT"
        if self._making.strided and np.ndim(values) == 1:
            return f"torch.stack([{text}] * 2, 1)[:, 0]"
        return text

    def _tensor(self, values: np.ndarray) -> str:
        array = np.asarray(values, dtype=np.float64)
        if not array.size:
            return f"torch.empty({array.shape}, dtype={self._dtype})"
        return f"torch.tensor({array.tolist()}, dtype={self._dtype})"

    def _optimizer(self) -> Iterator[str]:
        supplied = self._recipe.supplied(self._making.hyper)
        if self._recipe.drive == "fused_backward(loss, lr)":
            yield f"rate = {self._making.rate!r}"
        yield "\n\ndef make():"
        if "model" in supplied.values():
            yield "    model = torch.nn.Module()"
            yield "    for name, tensor in weights.items():"
            yield "        model.register_parameter(name.replace('.', '_'), tensor)"
        yield f"    return {self._call(supplied)}\n\n\noptimizer = make()"

    def _call(self, supplied: Mapping[str, str]) -> str:
        making = self._making
        more = {**making.hyper, **({making.variant: True} if making.variant else {})}
        keywords = self._recipe.keywords(making.rate, more, making.dtype)
        place = (self._path.file.stem + ".") if self._path.file else ""
        first = [f"{name}={self._part(part)}" for name, part in supplied.items()]
        rest = [f"{name}={_source(value)}" for name, value in keywords.items()]
        return f"{place}{self._path.dotted}({', '.join([*first, *rest])})"

    def _part(self, part: str) -> str:
        inner = self._recipe.inner
        if part == "inner class":
            return inner
        if part == "inner":
            return f"{inner}({self._parameters()}, lr={self._making.rate!r})"
        return self._parameters() if part == "params" else _PARTS[part]

    def _groups(self) -> list[tuple[list[str], dict[str, Any]]]:
        dimensions = {name: np.ndim(values) for name, values in self._scenario.start.items()}
        return self._recipe.groups(dimensions, self._making.resting)

    def _parameters(self) -> str:
        groups = self._groups()
        if len(groups) == 1 and not groups[0][1]:
            return "list(weights.values())"
        found = []
        for names, options in groups:
            members = ", ".join(f"weights[{name!r}]" for name in names)
            rest = "".join(f", {key!r}: {value!r}" for key, value in options.items())
            found.append(f'{{"params": [{members}]{rest}}}')
        return f"[{', '.join(found)}]"

    def _actions(self) -> Iterator[str]:
        rate = self._making.rate
        for action in self._scenario.actions:
            match action:
                case Step():
                    yield f"step({self._gradients(action.gradients)})"
                case SetRate():
                    rate = action.rate
                    yield self._set_rate(rate)
                case Reload():
                    yield from self._reload(rate)
                case Evaluate():
                    yield _EVALUATED if self._recipe.switches else "show('evaluated')"

    def _reload(self, rate: float) -> Iterator[str]:
        yield _RELOADED
        if rate != self._making.rate:
            yield self._set_rate(rate)
        if self._recipe.switches:
            yield "optimizer.train()"

    def _gradients(self, gradients: Gradients) -> str:
        found = [
            f"{name!r}: {self._gradient(values)}"
            for name, values in gradients.items()
            if values is not None
        ]
        return f"{{{', '.join(found)}}}"

    def _gradient(self, values: np.ndarray) -> str:
        # A dense tensor's gradient is laid out in memory as the tensor is.
        dense = self._making.strided and np.ndim(values) > 1
        return f"{self._tensor(values)}{'.mT.contiguous().mT' if dense else ''}"

    def _set_rate(self, rate: float) -> str:
        if self._recipe.drive == "fused_backward(loss, lr)":
            return f"rate = {rate!r}"
        if self._sets_inside:
            return _SET_INSIDE.format(rate=rate)
        groups = self._groups()
        moving = sum(options.get("lr") != 0.0 for _, options in groups)
        which = f"[:{moving}]" if moving < len(groups) else ""
        key = "max_lr" if self._recipe.signature.rate == "max_lr" else "lr"
        return f"for group in optimizer.param_groups{which}:\n    group[{key!r}] = {rate!r}"


def _source(value: Any) -> str:
    """A value as Python writes it; a class by its path."""
    return public_path(value) if inspect.isclass(value) else repr(value)
