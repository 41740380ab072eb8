"""Is the comparison fair? A suite's cells beside the verdicts that `gradrace verify` kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..record import RunRecord
from ..registry import Registry
from ..spec import TaskSpec
from ..verify.verdict import FLOAT32_NOTE, REFEREE, Verdict, VerifyFile, list_versions

# How a cell of the matrix is to be read, the gravest last.
EQUAL, PARTS, DIFFERS, UNAVAILABLE, UNKNOWN, FAILED = (
    "equal",
    "equal, by parts",
    "differs by definition",
    "unavailable",
    "not verified",
    "FAILED",
)
_GRAVITY = (EQUAL, PARTS, DIFFERS, UNAVAILABLE, UNKNOWN, FAILED)

# What of a task decides what is computed; its length, batches and target do not.
_COMPUTED = ("input_shape", "model", "loss", "label_smoothing", "metric", "regularization")


@dataclass(frozen=True)
class Finding:
    """One cell of the matrix: a word of _GRAVITY, the worst difference where one was measured, and
    what lies behind.
    """

    word: str
    worst: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Row:
    """A task with an optimizer under a rule, and what is known of every pair of frameworks."""

    task: str
    optimizer: str
    rule: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Fairness:
    """The matrix of a suite: pairs are the columns of every row's findings. notes: what a reader
    must mind.
    """

    pairs: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    facts: tuple[str, ...]
    notes: tuple[str, ...]


def fairness(
    records: Sequence[RunRecord], verified: VerifyFile | None, registry: Registry | None
) -> Fairness:
    """What the verdicts say about these runs (of one suite)."""
    wanted = [record for record in records if record.spec.measure == "convergence"] or list(records)
    frameworks = list(dict.fromkeys(record.spec.framework for record in wanted))
    if verified is None:
        note = (
            "gradrace verify was not run into this folder of results, so nothing here says whether"
            " the frameworks computed the same. It takes some minutes; then write the report again."
        )
        return Fairness((), (), (), (note,))
    pairs = tuple(itertools.combinations(frameworks, 2))
    if REFEREE not in frameworks:
        pairs += tuple((framework, REFEREE) for framework in frameworks)
    index = _Index(verified, registry)
    cells = {
        (r.spec.task.name, r.spec.optimizer.name, r.spec.optimizer.rule): r.spec.task
        for r in wanted
    }
    rows = tuple(
        Row(task, optimizer, rule, tuple(index.find(spec, optimizer, rule, pair) for pair in pairs))
        for (task, optimizer, rule), spec in cells.items()
    )
    return Fairness(pairs, rows, _facts(verified), tuple(_notes(records, verified, rows)))


class _Index:
    """Verdicts by what they are about."""

    def __init__(self, verified: VerifyFile, registry: Registry | None) -> None:
        self._tasks: Mapping[str, TaskSpec] = registry.tasks if registry else {}
        self._by: dict[tuple[str, str, str, frozenset[str]], list[Verdict]] = {}
        for verdict in verified.verdicts:
            about = (
                verdict.task if verdict.level == "trajectories" else verdict.case.partition("/")[0]
            )
            key = (
                verdict.level,
                about,
                verdict.optimizer and f"{verdict.optimizer} {verdict.rule}",
                _pair(verdict),
            )
            self._by.setdefault(key, []).append(verdict)

    def find(self, task: TaskSpec, optimizer: str, rule: str, pair: tuple[str, str]) -> Finding:
        """The cell from its own trajectories, else from its parts: the update rule, and the task or
        its layers.
        """
        both, of_rule = frozenset(pair), f"{optimizer} {rule}"
        direct = (
            self._by.get(("trajectories", task.name, of_rule, both), [])
            if self._is_known(task)
            else []
        )
        if direct:
            return _summed(direct)
        update = self._by.get(("updates", optimizer, of_rule, both), [])
        if not update:
            return Finding(UNKNOWN, None, "no verdict about this optimizer between these two")
        summed = _summed(update)
        if summed.word != EQUAL:
            return summed
        parts = _summed(self._task_parts(task, both))
        if parts.word == EQUAL:
            worst = max(filter(None, (summed.worst, parts.worst)), default=None)
            return Finding(
                PARTS,
                worst,
                "its update rule, and the task's training or its layers, are equal one by one",
            )
        return Finding(
            UNKNOWN if parts.word == UNAVAILABLE else parts.word, parts.worst, parts.detail
        )

    def _is_known(self, task: TaskSpec) -> bool:
        """Whether the suite's task computes what the verified one does; varied tasks do not."""
        known = self._tasks.get(task.name)
        return known is None or all(
            getattr(known, name) == getattr(task, name) for name in _COMPUTED
        )

    def _task_parts(self, task: TaskSpec, both: frozenset[str]) -> list[Verdict]:
        trained = [
            v
            for (level, about, _, pair), found in self._by.items()
            for v in found
            if level == "trajectories"
            and about == task.name
            and pair == both
            and v.verdict != DIFFERS
        ]
        if trained and self._is_known(task):
            return trained
        kinds = dict.fromkeys(layer.kind for layer in task.model)
        pieces = [self._by.get(("layers", kind, "", both), []) for kind in kinds]
        pieces.append(self._by.get(("losses", task.loss, "", both), []))
        return [verdict for piece in pieces for verdict in piece] if all(pieces) else []


def _summed(verdicts: Iterable[Verdict]) -> Finding:
    """The gravest of several verdicts about one cell; unavailable only where nothing else was
    found.
    """
    found = list(verdicts)
    words = {verdict.verdict for verdict in found}
    if not words:
        return Finding(UNKNOWN, None, "no verdict about these")
    known = words - {UNAVAILABLE} or words
    word = max(known, key=_GRAVITY.index)
    chosen = [verdict for verdict in found if verdict.verdict == word]
    sizes = [verdict.worst for verdict in chosen if verdict.worst is not None]
    return Finding(word, max(sizes, default=None), next((v.reason for v in chosen if v.reason), ""))


def _pair(verdict: Verdict) -> frozenset[str]:
    return frozenset((verdict.a.framework, verdict.b.framework))


def _facts(verified: VerifyFile) -> tuple[str, ...]:
    counts = ", ".join(f"{count:,} {kind}" for kind, count in verified.counts().items())
    minute = verified.started_at[:16].replace("T", " ")
    return (
        (
            f"Verified on {minute} UTC with gradrace {verified.gradrace}:"
            f" {list_versions(verified.versions)}; {verified.machine.processor}. Of all its"
            f" verdicts: {counts}."
        ),
        (
            "A cell compares whole float64 training runs of 100 steps, the loss of each step, and"
            " gives the worst difference; “by parts”: this optimizer's update rule, and this"
            " task's training by another one (or its layers and loss), were compared instead."
            f" {FLOAT32_NOTE}"
        ),
    )


def _notes(
    records: Sequence[RunRecord], verified: VerifyFile, rows: Sequence[Row]
) -> Iterable[str]:
    used: dict[str, set[str]] = {}
    changed: set[str] = set()
    for record in records:
        proven = {**verified.versions.get(record.spec.framework, {})}
        for library, version in record.versions.items():
            if library in proven and proven[library] != version:
                used.setdefault(f"{library} {version} (verified: {proven[library]})", set()).add(
                    record.digest
                )
        changed |= {
            name
            for name, source in record.sources.items()
            if name in verified.sources and verified.sources[name] != source
        }
    if used:
        yield (
            "These results were computed by other versions than were verified:"
            f" {', '.join(sorted(used))}."
        )
    if changed:
        yield (
            "gradrace's own code is not what was verified:"
            f" {', '.join(sorted(changed)[:4])}{' …' * (len(changed) > 4)}."
        )
    findings = [finding for row in rows for finding in row.findings]
    failed = sum(finding.word == FAILED for finding in findings)
    if failed:
        yield (
            f"{failed} of {len(findings)} cells FAILED: the frameworks do not compute the same"
            " there."
        )
    unknown = sum(finding.word == UNKNOWN for finding in findings)
    if unknown:
        yield (
            f"The verdicts do not cover {unknown} of {len(findings)} cells; gradrace verify fills"
            " them in."
        )
    if verified.options.get("quick"):
        yield "These verdicts are of --quick, which looks at a part only."
