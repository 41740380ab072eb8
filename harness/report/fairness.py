"""Is the comparison fair? A suite's cells beside the verdicts that `gradrace verify` kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..importpath import is_import_path
from ..record import RunRecord
from ..registry import Registry
from ..spec import TaskSpec
from ..verify.compared import compared_runs, is_known
from ..verify.verdict import FLOAT32_NOTE, REFEREE, Verdict, VerifyFile, list_versions
from .text import minute

_NOT_VERIFIED = (
    "these runs were not verified, so nothing here says whether the frameworks computed the same."
    " gradrace run, once more, verifies them, unless --no-verify is given; gradrace verify checks"
    " everything. Then write the report again."
)
_ALONE = "Nothing is compared between frameworks: NumPy alone computed these runs."
# How a cell of the matrix is to be read, the gravest last.
_GRAVITY = EQUAL, PARTS, DIFFERS, UNAVAILABLE, UNKNOWN, FAILED = (
    *("equal", "equal, by parts", "differs by definition"),
    *("unavailable", "not verified", "FAILED"),
)


@dataclass(frozen=True)
class Agreement:
    """One cell of the matrix: a word of _GRAVITY, the worst difference if one was measured, and the
    reason."""

    word: str
    worst: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class MatrixRow:
    """A task with an optimizer under a rule, and the agreement of every pair of frameworks."""

    task: str
    optimizer: str
    rule: str
    findings: tuple[Agreement, ...]


@dataclass(frozen=True)
class Fairness:
    """The matrix of a suite: pairs are the columns of every row's findings. notes: cautions."""

    pairs: tuple[tuple[str, str], ...]
    rows: tuple[MatrixRow, ...]
    facts: tuple[str, ...]
    notes: tuple[str, ...]


def fairness(
    records: Sequence[RunRecord], verified: VerifyFile | None, registry: Registry | None
) -> Fairness:
    """The verdicts on these runs (of one suite)."""
    wanted = compared_runs([record.spec for record in records])
    if {spec.framework for spec in wanted} == {REFEREE}:
        return Fairness((), (), (_ALONE,), ())
    if verified is None:
        return Fairness((), (), (), (_NOT_VERIFIED,))
    frameworks = list(dict.fromkeys(spec.framework for spec in wanted))
    pairs = tuple(itertools.combinations(frameworks, 2))
    if REFEREE not in frameworks:
        pairs += tuple((framework, REFEREE) for framework in frameworks)
    index = _Index(verified, registry)
    cells = {(spec.task.name, spec.optimizer.name, spec.optimizer.rule): spec for spec in wanted}
    rows = tuple(
        MatrixRow(*names, tuple(index.find(spec.task, *names[1:], pair) for pair in pairs))
        for names, spec in cells.items()
    )
    return Fairness(pairs, rows, _facts(verified), tuple(_notes(records, verified, rows)))


class _Index:
    """Verdicts on CPUs by level, task or case, optimizer with rule, and pair of frameworks."""

    def __init__(self, verified: VerifyFile, registry: Registry | None) -> None:
        self._tasks: Mapping[str, TaskSpec] = registry.tasks if registry else {}
        self._by: dict[tuple[str, str, str, frozenset[str]], list[Verdict]] = {}
        for verdict in (v for v in verified.verdicts if v.a.device == v.b.device == "cpu"):
            trained = verdict.level == "trajectories"
            about = verdict.task if trained else verdict.case.partition("/")[0]
            of_rule = verdict.optimizer and f"{verdict.optimizer} {verdict.rule}"
            both = frozenset((verdict.a.framework, verdict.b.framework))
            self._by.setdefault((verdict.level, about, of_rule, both), []).append(verdict)

    def find(self, task: TaskSpec, optimizer: str, rule: str, pair: tuple[str, str]) -> Agreement:
        """From the cell's own trajectories, else from its parts: the update rule, and the task or
        its layers."""
        both, of_rule = frozenset(pair), f"{optimizer} {rule}"
        direct = self._by.get(("trajectories", task.name, of_rule, both), [])
        if direct and is_known(task, self._tasks):
            return _summed(direct)
        update = self._by.get(("updates", optimizer, of_rule, both), [])
        if not update and is_import_path(optimizer):
            return Agreement(UNKNOWN, None, f"no known rule; see gradrace certify {optimizer}")
        if not update:
            return Agreement(UNKNOWN, None, "no verdict about this optimizer between these two")
        summed = _summed(update)
        if summed.word != EQUAL:
            return summed
        parts = _summed(self._task_parts(task, both))
        if parts.word == EQUAL:
            worst = max(filter(None, (summed.worst, parts.worst)), default=None)
            reason = "its update rule, and the task's training or its layers, are equal one by one"
            return Agreement(PARTS, worst, reason)
        word = UNKNOWN if parts.word == UNAVAILABLE else parts.word
        return Agreement(word, parts.worst, parts.detail)

    def _task_parts(self, task: TaskSpec, both: frozenset[str]) -> list[Verdict]:
        trained = [
            verdict
            for (level, about, _, pair), found in self._by.items()
            for verdict in found
            if (level, about, pair) == ("trajectories", task.name, both)
            and verdict.verdict != DIFFERS
        ]
        if trained and is_known(task, self._tasks):
            return trained
        kinds = dict.fromkeys(layer.kind for layer in task.model)
        pieces = [self._by.get(("layers", kind, "", both), []) for kind in kinds]
        pieces.append(self._by.get(("losses", task.loss, "", both), []))
        return [verdict for piece in pieces for verdict in piece] if all(pieces) else []


def _summed(verdicts: Iterable[Verdict]) -> Agreement:
    """The gravest of several verdicts about one cell; unavailable only if all are."""
    found = list(verdicts)
    words = {verdict.verdict for verdict in found}
    if not words:
        return Agreement(UNKNOWN, None, "no verdict about these")
    word = max(words - {UNAVAILABLE} or words, key=_GRAVITY.index)
    chosen = [verdict for verdict in found if verdict.verdict == word]
    sizes = [verdict.worst for verdict in chosen if verdict.worst is not None]
    reason = next((verdict.reason for verdict in chosen if verdict.reason), "")
    return Agreement(word, max(sizes, default=None), reason)


def _facts(verified: VerifyFile) -> tuple[str, ...]:
    counts = ", ".join(f"{count:,} {kind}" for kind, count in verified.counts().items())
    return (
        f"Verified on {minute(verified.started_at)} UTC with gradrace {verified.gradrace}:"
        f" {list_versions(verified.versions)}; {verified.machine.processor}. Of all its"
        f" verdicts: {counts}.",
        "A cell compares whole float64 training runs of 100 steps, the loss of each step, and"
        " gives the worst difference; “by parts”: this optimizer's update rule, and this"
        " task's training by another one (or its layers and loss), were compared instead."
        f" {FLOAT32_NOTE}",
    )


def _notes(
    records: Sequence[RunRecord], verified: VerifyFile, rows: Sequence[MatrixRow]
) -> Iterable[str]:
    if used := _other_versions(records, verified):
        yield (
            "These results were computed by other versions than were verified:"
            f" {', '.join(sorted(used))}."
        )
    if changed := _other_sources(records, verified):
        some = f"{', '.join(sorted(changed)[:4])}{' …' * (len(changed) > 4)}"
        yield f"gradrace's own code is not what was verified: {some}."
    words = [finding.word for row in rows for finding in row.findings]
    if failed := words.count(FAILED):
        yield (
            f"{failed} of {len(words)} cells FAILED: the frameworks do not compute the same there."
        )
    if unknown := words.count(UNKNOWN):
        yield (
            f"The verdicts do not cover {unknown} of {len(words)} cells; gradrace verify fills"
            " them in."
        )
    if verified.options.get("quick"):
        yield "These verdicts are of --quick, which checks a part only."
    if any(record.spec.device == "gpu" for record in records):
        yield (
            "Some of these runs are of a GPU, and these verdicts of the CPU; gradrace verify"
            " --device gpu proves the GPU."
        )


def _other_versions(records: Sequence[RunRecord], verified: VerifyFile) -> set[str]:
    """'torch 2.9 (verified: 2.13)' of each library that a record has in another version."""
    used: set[str] = set()
    for record in records:
        proven = verified.versions.get(record.spec.framework, {})
        for library, version in record.libraries.items():
            if library in proven and proven[library] != version:
                used.add(f"{library} {version} (verified: {proven[library]})")
    return used


def _other_sources(records: Sequence[RunRecord], verified: VerifyFile) -> set[str]:
    """Modules that a record was computed by in another form than was verified."""
    return {
        name
        for record in records
        for name, source in record.sources.items()
        if verified.sources.get(name, source) != source
    }
