"""docs/differences.md: how the libraries differ, with formulas, defaults and measured sizes.

The measured part is kept beside the page as JSON, so the page is a pure function of that file and
of the declarations: a test renders it anew and says if it is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import UserError
from ..executor.environment import environment
from ..jsonfile import write_text, writing
from ..optimizer import Binding, Optimizer
from ..process import NoAnswer, ask
from ..registry import Registry
from ..schedules import SCHEDULES
from ..spec import Frozen
from . import notes
from .cases import CLOSED_LOOP, UPDATE_STEPS, Selection
from .driver import Tell, VerifyOptions, some_run, verify
from .formulas import FORMULAS
from .notes import Note
from .verdict import Verdict, VerifyFile, list_versions

LIBRARIES = {"torch": "torch", "tensorflow": "Keras", "jax": "Optax"}
_LAYER_LIBRARIES = {"torch": "torch", "tensorflow": "Keras", "jax": "Flax"}
_PAIRS = (("torch", "tensorflow"), ("torch", "jax"), ("tensorflow", "jax"))


class Size(Frozen):
    """A measured difference of one optimizer between two frameworks; None if not finite."""

    optimizer: str
    rule: str
    schedule: str
    a: str
    b: str
    worst: float | None


class Measured(Frozen):
    """The measured part of the page. defaults: framework -> optimizer -> argument -> default."""

    date: str
    versions: dict[str, dict[str, str]]
    defaults: dict[str, dict[str, dict[str, str]]]
    notes: dict[str, dict[str, str]]
    sizes: tuple[Size, ...]


def write(registry: Registry, file: Path, tell: Tell) -> Path:
    """Measures everything and writes the page, its data beside it. UserError if it cannot."""
    missing = [name for name in LIBRARIES if registry.frameworks[name].versions() is None]
    if missing:
        raise UserError(
            "--document compares three libraries, and these are not installed:"
            f" {', '.join(missing)}"
        )
    measured = measure(registry, tell)
    with writing(file):
        # No data beside a device or a pipe.
        if file.is_file() or not file.exists():
            write_text(data_file(file), json.dumps(measured.to_json(), indent=1) + "\n")
        write_text(file, render(registry.optimizers, measured))
    return file


def data_file(file: Path) -> Path:
    """The measured part of a page: differences.json beside differences.md."""
    return file.with_suffix(".json")


def read(file: Path) -> Measured:
    """The measured part of this page."""
    return Measured.model_validate_json(data_file(file).read_text(encoding="utf-8"))


def measure(registry: Registry, tell: Tell) -> Measured:
    """Runs all update rules, native and canonical, and reads the libraries' defaults."""
    found = verify(registry, VerifyOptions(Selection(keyword="updates/")), tell)
    defaults: dict[str, dict[str, dict[str, str]]] = {}
    of_notes: dict[str, dict[str, str]] = {}
    for name in LIBRARIES:
        read_here = read_defaults(registry, name)
        defaults[name] = read_here["optimizers"]
        of_notes |= read_here["notes"]
    return Measured(
        date=found.started_at[:10],
        versions=found.versions,
        defaults=defaults,
        notes=of_notes,
        sizes=tuple(_sizes(found)),
    )


def read_defaults(registry: Registry, framework: str) -> dict[str, dict[str, dict[str, str]]]:
    """The framework's own defaults, read in a process of its own."""
    command = [sys.executable, "-m", "gradrace.verify.defaults", framework]
    try:
        return ask(command, environment(some_run(registry.frameworks[framework])), timeout_s=300)
    except NoAnswer as error:
        raise UserError(f"the defaults of {framework} cannot be read: {error}") from None


def _sizes(found: VerifyFile) -> Iterator[Size]:
    for verdict in found.verdicts:
        pair = _in_order(verdict)
        if pair in _PAIRS and verdict.verdict in ("equal", "differs by definition"):
            yield Size(
                optimizer=verdict.optimizer,
                rule=verdict.rule,
                schedule=verdict.case.split("/", 2)[2],
                a=pair[0],
                b=pair[1],
                worst=verdict.worst,
            )


def _in_order(verdict: Verdict) -> tuple[str, str]:
    """The pair in the order of the page's columns."""
    both = {verdict.a.framework, verdict.b.framework}
    return next((pair for pair in _PAIRS if set(pair) == both), ("", ""))


def render(optimizers: Mapping[str, Optimizer], measured: Measured) -> str:
    """The page."""
    sections = [
        _INTRODUCTION.format(
            versions=list_versions(measured.versions), date=measured.date, steps=UPDATE_STEPS
        ),
        _overview(optimizers, measured),
        *(_optimizer(optimizer, measured) for optimizer in optimizers.values()),
        (
            "# Layers\n\nWeights are moved between the libraries with these rules; `gradrace verify"
            " -k layers` proves each of them, gradients included, to 1e-12."
        ),
        *(_note(note, measured, "##") for note in notes.LAYERS),
        "# Losses and penalties",
        *(_note(note, measured, "##") for note in notes.LOSSES),
        (
            "# Initialisers\n\nNever compare libraries from their own initial weights: draw them"
            " once and copy."
        ),
        *(_note(note, measured, "##") for note in notes.INITIALIZERS),
        _schedules(),
        _defects(),
    ]
    return "\n\n".join(sections) + "\n"


_INTRODUCTION = """\
<!-- Written by `gradrace verify --document`: change the declarations or harness/verify/notes.py,
not this file. -->
# You ported a model and got another curve

PyTorch, Keras and JAX mean different things by the same names. For every optimizer, layer,
initialiser and schedule that gradrace knows, this page gives the formula of each library, its
defaults side by side, how to make them agree, and how large the difference is if you do not.

Start here, the usual causes first:

1. **Epsilon**: 1e-8 in torch and Optax, 1e-7 in Keras, and not at the same place: see
   [adam](#adam), [rmsprop](#rmsprop).
2. **Weight decay** means three things: see [L2 penalty](#l2-penalty) and [adamw](#adamw).
3. **Momentum under a schedule**: Keras keeps old rates in its buffer: see [momentum](#momentum).
4. **Two biases** in torch's recurrent layers: see [LSTM](#lstm).
5. **Initial weights**: see [Initialisers](#initialisers).
6. **'same' padding at stride 2**, the order of Flatten, and defaults of normalisation: see
   [Layers](#layers).
7. **Schedules**: off by one at boundaries and at the start of a warm-up: see
   [Schedules](#schedules).
8. **Rounding**: in float32, two libraries part after some hundred steps even if all of this is
   right, as two seeds do. Compare distributions over seeds, or run in float64.

**The rule** of each section is gradrace's *canonical* one, which all three are made to compute if
they can. It is the paper's update, with every departure named beside the paper: if all libraries
agree on another form than the paper, that form is meant. [radam](#radam) rectifies from a length
above 5 instead of 4, [nadam](#nadam) has a constant momentum, [ademamix](#ademamix) no warm-ups of
alpha and beta3, and [schedule_free_adamw](#schedule_free_adamw) the averaging weights of Optax.

Measured on {date} with {versions}. A difference of two optimizers is the largest distance between
their parameters over {steps} steps of the same float64 gradients (entries over four decades, some
rows always or sometimes zero), relative to the distance that the parameters have travelled: 1 is
another optimizer, 1e-16 the same one."""


def _overview(optimizers: Mapping[str, Optimizer], measured: Measured) -> str:
    lines = [
        "# Optimizers",
        "",
        (
            "At the libraries' own defaults, only the learning rate aligned: constant rate, then"
            " after the slash one that decays. The last column is what is left of it after the"
            " settings that each section gives."
        ),
        "",
        f"| optimizer | {' | '.join(_heading(pair) for pair in _PAIRS)} | aligned, worst pair |",
        "|---|---|---|---|---|",
    ]
    for name in optimizers:
        native = [_both(measured, name, "native", pair) for pair in _PAIRS]
        lines.append(
            f"| [{name}](#{name}) | {' | '.join(native)} | {_aligned(measured, optimizers[name])} |"
        )
    return "\n".join(lines)


def _heading(pair: tuple[str, str]) -> str:
    return f"{LIBRARIES[pair[0]]}–{LIBRARIES[pair[1]]}"


def _both(measured: Measured, name: str, rule: str, pair: tuple[str, str]) -> str:
    """'2.0e-02 / 3.5e-02', or '-' if a library has none."""
    found = {
        s.schedule: s.worst
        for s in measured.sizes
        if (s.optimizer, s.rule, (s.a, s.b)) == (name, rule, pair)
    }
    texts = []
    for schedule in ("constant", "decaying"):
        # A class that takes matrices alone was measured on these.
        known = [name for name in (schedule, f"{schedule}/matrices") if name in found]
        texts += [_size(found[name]) for name in known[:1]]
    return " / ".join(texts) or "-"


def _size(worst: float | None) -> str:
    return "not finite" if worst is None else "0" if worst == 0.0 else f"{worst:.1e}"


def _aligned(measured: Measured, optimizer: Optimizer) -> str:
    sizes = [
        size.worst
        for size in measured.sizes
        if size.optimizer == optimizer.name
        and size.rule == "canonical"
        and size.worst is not None
        and not {size.a, size.b} & set(optimizer.differs)
    ]
    differing = ", ".join(LIBRARIES.get(name, name) for name in optimizer.differs)
    rest = f"; {differing} cannot be aligned" if differing else ""
    if not sizes:
        return "one library only" if len(optimizer.bindings) < 2 else f"no pair{rest}"
    return f"{max(sizes):.1e}{rest}"


def _optimizer(optimizer: Optimizer, measured: Measured) -> str:
    formulas = FORMULAS.get(optimizer.name, {})
    lines = [f"## {optimizer.name}", "", f"{optimizer.title}. {optimizer.paper}."]
    if optimizer.note:
        lines += ["", optimizer.note]
    defaults = {key: f"{hyper.default:g}" for key, hyper in optimizer.hyper.items()}
    lines += ["", "| | formula | defaults |", "|---|---|---|"]
    lines.append(_row("the rule", formulas.get("canonical", ""), _listed(defaults)))
    for framework, binding in optimizer.bindings.items():
        given = measured.defaults.get(framework, {}).get(optimizer.name, {})
        lines.append(_row(f"`{binding.label}`", formulas.get(framework, ""), _listed(given)))
    for framework, name in LIBRARIES.items():
        if framework not in optimizer.bindings:
            lines.append(f"| {name} | ships none | |")
    lines += ["", *_agreement(optimizer), "", *_if_not(optimizer, measured)]
    return "\n".join(lines)


def _agreement(optimizer: Optimizer) -> Iterable[str]:
    """The settings that the canonical rule gives each library, and their corrections."""
    yield "To make them agree:"
    yield ""
    for framework, binding in optimizer.bindings.items():
        if framework in optimizer.differs:
            name, why = LIBRARIES.get(framework, framework), optimizer.differs[framework]
            yield f"- {name}: cannot be done. {why}."
            continue
        yield f"- {_call(optimizer, binding)}"
        for correction in binding.corrections:
            yield f"  - {correction.name.replace('_', ' ')}: {correction.why}"
    if optimizer.per_tensor:
        yield (
            "- The update depends on how tensors are stored; keep them in one layout (convolutions"
            " HWIO, matrices [in, out])."
        )
    if optimizer.name in CLOSED_LOOP:
        yield (
            "- It evaluates the loss itself, so its native form is not among the differences"
            " measured here."
        )


def _call(optimizer: Optimizer, binding: Binding) -> str:
    given = binding.canonical(optimizer.hypers({}))
    arguments = ", ".join(f"{key}={_argument(value)}" for key, value in given.items())
    if binding.native_target:
        return (
            f"`{binding.label}` cannot; gradrace builds the rule of the library's own parts"
            f" (adapters/), with `{arguments}`"
        )
    return f"`{binding.label}({arguments})`"


def _argument(value: object) -> str:
    """As a call has it; a function by its name, since its repr holds an address."""
    return str(getattr(value, "__name__", repr(value)))


def _if_not(optimizer: Optimizer, measured: Measured) -> Iterable[str]:
    native = [(pair, _both(measured, optimizer.name, "native", pair)) for pair in _PAIRS]
    shown = [f"{_heading(pair)} {sizes}" for pair, sizes in native if sizes != "-"]
    if shown:
        yield (
            f"If you do not (constant / decaying rate): {'; '.join(shown)}. Aligned:"
            f" {_aligned(measured, optimizer)}."
        )


def _note(note: Note, measured: Measured, level: str) -> str:
    lines = [f"{level} {note.name}", ""]
    if set(note.libraries.values()) != {"-"}:
        lines += ["| | what it does | defaults |", "|---|---|---|"]
        for framework, what in note.libraries.items():
            path = note.paths.get(framework, "")
            name = f"`{path}`" if path else _LAYER_LIBRARIES[framework]
            lines.append(_row(name, what, _listed(measured.notes.get(path, {}))))
        lines.append("")
    lines.append(f"To make them agree: {note.agree}.")
    lines += [
        f"\nIf you do not: {what}: {_share(cost())} of the largest value."
        for what, cost in note.cost.items()
    ]
    return "\n".join(lines)


def _share(size: float) -> str:
    return f"{size:.0%}" if size >= 0.01 else f"{size:.0e}"


def _schedules() -> str:
    lines = [
        "# Schedules",
        "",
        notes.SCHEDULES_AGREE,
        "",
        "| schedule | gradrace | torch | Keras | Optax |",
        "|---|---|---|---|---|",
    ]
    for name, schedule in SCHEDULES.items():
        known = notes.SCHEDULES.get(name, {})
        cells = [known.get(framework, "") for framework in LIBRARIES]
        lines.append(_row(name, schedule.summary, *cells))
    return "\n".join(lines)


def _defects() -> str:
    lines = [
        "# Defects of the libraries",
        "",
        "Tests pin what these do today, so that an upgrade that mends one is noticed.",
        "",
        "| where | version | what happens |",
        "|---|---|---|",
    ]
    lines += [_row(f"`{name}`", version, what) for name, version, what in notes.DEFECTS]
    return "\n".join(lines)


def _row(*cells: str) -> str:
    """A row of a table in Markdown."""
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items()) or "-"


def missing(optimizers: Mapping[str, Optimizer]) -> Sequence[str]:
    """The optimizers and schedules without a formula or note on the page."""
    found = []
    for name, optimizer in optimizers.items():
        formulas = FORMULAS.get(name, {})
        found += [
            f"{name}: {key}"
            for key in ("canonical", *optimizer.bindings)
            if key in ("canonical", *LIBRARIES) and not formulas.get(key)
        ]
    return found + [f"schedule {name}" for name in SCHEDULES if name not in notes.SCHEDULES]
