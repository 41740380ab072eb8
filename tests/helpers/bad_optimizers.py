"""Users' files that are no optimizer, or one that misbehaves, and what certify says of each."""

from __future__ import annotations

from typing import NamedTuple

_CLASS = """
import torch

class Mine(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3{arguments}):
        super().__init__(params, dict(lr=lr))
        {init}

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                {step}
"""
_SGD = 'p.sub_(group["lr"] * p.grad)'


def torch_class(step: str = _SGD, init: str = "pass", arguments: str = "", above: str = "") -> str:
    """SGD with changes; `above` stands before the class."""
    return above + _CLASS.format(step=step, init=init, arguments=arguments)


def fails_after(updates: int) -> str:
    """SGD that raises after so many updates of tensors."""
    step = f'self.t += 1; {_SGD}\n                assert self.t < {updates}, "no"'
    return torch_class(step, "self.t = 0")


class Bad(NamedTuple):
    """check: the one that says so; "" if the file is refused, "note" if it is noted. outcome: of
    the check. hyper: given to the class."""

    source: str
    says: str
    check: str = ""
    outcome: str = "failed"
    name: str = "Mine"
    hyper: dict[str, object] = {}


BAD = {
    "syntax": Bad("def", "line 1: invalid syntax"),
    "raises_at_import": Bad("1 / 0", "line 1: ZeroDivisionError"),
    "package_is_missing": Bad("import lionn", "not installed: lionn (pip install lionn)"),
    "calls_exit": Bad("import sys; sys.exit('no licence')", "SystemExit: no licence"),
    "misspelt_class": Bad(torch_class(), "did you mean 'Mine'?", name="Mien"),
    "no_optimizer": Bad("class Mine: pass", "no optimizer"),
    "a_function": Bad("def Mine(params, lr): return 3", "Mine"),
    "abstract": Bad(
        "import abc, torch\n"
        "class Mine(torch.optim.Optimizer, abc.ABC):\n"
        "    @abc.abstractmethod\n"
        "    def direction(self): ...\n",
        "abstract",
    ),
    "wants_arguments": Bad(torch_class(arguments=", *, horizon, scale"), "horizon"),
    "unknown_argument": Bad(
        torch_class(arguments=", weight_decay=0.0, **others"),
        "did you mean 'weight_decay'?",
        hyper={"weight_decy": 0.1},
    ),
    "needs_cuda": Bad(torch_class(init="torch.zeros(3, device='cuda')"), "CUDA"),
    "needs_triton": Bad("import triton\n" + torch_class(), "triton"),
    "prints_at_import": Bad("print('welcome')\n" + torch_class(), "'welcome'", "note"),
    "calls_home": Bad(
        "import urllib.request\nurllib.request.urlopen('http://example.org/x')\n", "example.org"
    ),
    "mutates_gradients": Bad(
        torch_class(f"p.grad.mul_(2.0); {_SGD}"), "in place", "gradients left alone"
    ),
    # PyTorch lets a class do so, and the parameter stays the same.
    "replaces_tensors": Bad(
        torch_class('p.data = p.data - group["lr"] * p.grad'),
        "All 24 steps move",
        "steps that do nothing",
        "passed",
    ),
    "new_parameter_list": Bad(
        torch_class(
            'new = torch.nn.Parameter(p - group["lr"] * p.grad)\n'
            "                new.grad = p.grad\n"
            '                group["params"] = [new if q is p else q for q in group["params"]]'
        ),
        "it never moves: kernel, bias",
        "steps that do nothing",
    ),
    "global_state": Bad(
        torch_class(
            'SEEN.append(1); p.sub_(group["lr"] * len(SEEN) * p.grad)', above="SEEN = []\n"
        ),
        "Two equal instances part",
        "determinism",
    ),
    "global_generator": Bad(
        torch_class(f"{_SGD}; p.add_(1e-6 * torch.rand_like(p))"),
        "Two equal instances part",
        "determinism",
    ),
    "raises_at_step_500": Bad(
        torch_class(
            f'self.t += 1; {_SGD}\n                assert self.t < 500, "no"', "self.t = 0"
        ),
        "AssertionError: no",
        "a long run",
    ),
}
