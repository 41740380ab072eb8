"""A workflow, a suite and an optimizer to begin with, and the commands to go on with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..jsonfile import writing

# The address of gradrace is the user's to say: forks and copies have others.
ACTION = "OWNER/gradrace@v1"
CHECKOUT = "actions/checkout@34e114876b0b11c390a56381ad16ebd13914f8d5 # v4.3.1"
WORKFLOW = Path(".github/workflows/gradrace.yml")
SUITE = Path("gradrace.toml")
_TEMPLATES = Path(__file__).parent / "templates"
# Framework -> its line in `bindings`; NumPy computes the rule.
_BINDINGS = {
    "torch": '{"torch": Binding(for_torch)}',
    "jax": '{"jax": Binding(for_optax)}',
    "tensorflow": '{"tensorflow": Binding(for_keras)}',
    "numpy": "{}",
}
FRAMEWORKS = tuple(_BINDINGS)
# pyproject.toml's extras bear the frameworks' names; NumPy is there in any case.
_NO_EXTRA = ("numpy",)


@dataclass(frozen=True)
class Beginning:
    """What is asked for. optimizer: its name and its file's. source: what pip installs gradrace
    from, '' for the action's own checkout. action: what the workflow uses."""

    framework: str
    optimizer: str
    action: str = ACTION
    source: str = ""
    nightly: bool = False


def check(asked: Beginning) -> None:
    """UserError for a name that is none, and for an address that is no line of a workflow."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", asked.optimizer):
        raise UserError(
            f"--optimizer {asked.optimizer!r}: expected lower-case letters, digits and"
            " underscores, such as my_optimizer"
        )
    if not re.fullmatch(r"(\./|[\w.-]+/[\w./-]+@[\w./-]+)", asked.action):
        raise UserError(f"--action {asked.action!r}: expected OWNER/REPOSITORY@REF, or ./")
    if asked.source and not re.fullmatch(r"[\w.:/@+=~<>!-]+", asked.source):
        raise UserError(f"--source {asked.source!r}: expected what pip takes, in one word")


def contents(asked: Beginning) -> Mapping[Path, str]:
    """Path inside the repository -> text."""
    return {WORKFLOW: _workflow(asked), SUITE: _suite(asked), _file(asked): _optimizer(asked)}


def write(folder: Path, texts: Mapping[Path, str]) -> None:
    """UserError, and nothing written, if one of the files is there."""
    if there := [str(path) for path in texts if (folder / path).exists()]:
        are = "is there already" if len(there) == 1 else "are there already"
        raise UserError(
            f"{', '.join(there)} {are} in {folder}, and nothing is replaced; move it away, or see"
            " with --dry-run what would be written"
        )
    for path, text in texts.items():
        with writing(folder / path):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with (folder / path).open("x", encoding="utf-8") as file:
                file.write(text)


def next_commands(asked: Beginning) -> tuple[str, ...]:
    """To be called in the folder, in this order."""
    load = f"{SUITE} --load {_file(asked)}"
    baseline = f"results/baselines/{SUITE.stem}.json"
    return (
        f"gradrace run {load}",
        f"gradrace baseline update {load} -k {asked.optimizer}",
        f"git add -f {baseline} {WORKFLOW} {SUITE} {_file(asked)}",
    )


def _file(asked: Beginning) -> Path:
    return Path(f"{asked.optimizer}.py")


def _template(name: str, **values: str) -> str:
    text = (_TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(key, value)
    return text


def _optimizer(asked: Beginning) -> str:
    bindings, name = _BINDINGS[asked.framework], asked.optimizer
    own = asked.framework != "numpy"
    parts = [
        _template("head", BINDING="Binding, " if own else "", NAME=name),
        _template(asked.framework) if own else "",
        _template("rule", BINDINGS=f"    bindings={bindings},\n", NAME=name),
    ]
    return "".join(parts)


def _suite(asked: Beginning) -> str:
    reference = asked.framework == "numpy"
    return _template(
        "suite",
        FRAMEWORK=asked.framework,
        NAME=asked.optimizer,
        # The reference computes in float64, by the rule.
        DTYPE='dtype = "float64"\n' if reference else "",
        RULE="canonical" if reference else "native",
    )


def _workflow(asked: Beginning) -> str:
    inputs = {
        "gradrace": asked.source,
        "frameworks": "" if asked.framework in _NO_EXTRA else asked.framework,
        "suite": str(SUITE),
        "load": str(_file(asked)),
        "keyword": asked.optimizer,
    }
    given = "\n".join(f"          {name}: {value}" for name, value in inputs.items() if value)
    same = {"CHECKOUT": CHECKOUT, "ACTION": asked.action, "WITH": given}
    nightly = 'schedule:\n    - cron: "23 4 * * *"\n  workflow_dispatch:\n'
    job = "\n" + _template("nightly", **same).rstrip("\n") if asked.nightly else ""
    return _template("workflow", NIGHTLY=f"  {nightly}" * asked.nightly, JOB=job, **same)
