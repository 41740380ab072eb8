"""The log of a bisection: JSON lines, one for each launch and decision, appended at once.

The first line is the question. To resume is to go through the same decisions again, with the
launches that the log has, and to measure from where it ends: nothing else is stored."""

from __future__ import annotations

import base64
import json
import os
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, FiniteFloat, NonNegativeFloat, TypeAdapter, ValidationError

from ..errors import UserError
from ..jsonfile import first_problem, read_text, writing
from ..paired.measure import Launch, Outcome
from ..paired.processes import Failure
from ..spec import Frozen
from ..strict import LONG_TEXT
from . import SCHEMA, Place, Question

# A log of 10,000 launches has 3 MB; one of losses has 11 KB for 1,000 steps.
_MOST_BYTES = 2**28
_MEND = "give another file with --resume, or begin anew without it"


class Measured(Frozen):
    """A pair in one launch: paired.measure.Launch."""

    log_ratio: FiniteFloat
    cpu_log_ratio: FiniteFloat
    a_value: FiniteFloat
    b_value: FiniteFloat
    contended: bool = False


class Failed(Frozen):
    """paired.processes.Failure."""

    reason: str
    skipped: bool = False


class LaunchLine(Frozen):
    """One launch in a phase of the bisection. outcomes: by the index of the pair, as text."""

    kind: Literal["launch"] = "launch"
    phase: str
    seconds: NonNegativeFloat
    outcomes: dict[Annotated[str, Field(pattern=r"^\d{1,6}$")], Measured | Failed]


class LossesLine(Frozen):
    """The losses of a version: run id -> float64[n], base64 of its bytes in pieces; or why there
    are none."""

    kind: Literal["losses"] = "losses"
    phase: str
    seconds: NonNegativeFloat
    runs: dict[str, tuple[Annotated[str, Field(max_length=LONG_TEXT)], ...]] = {}
    reason: str = ""


class DecisionLine(Frozen):
    """For readers; resuming decides again."""

    kind: Literal["decision"] = "decision"
    version: str
    place: Place
    reason: str = ""


class QuestionLine(Frozen):
    """The first line."""

    kind: Literal["question"] = "question"
    question: Question


Line = Annotated[QuestionLine | LaunchLine | LossesLine | DecisionLine, Field(discriminator="kind")]
_LINE: TypeAdapter[Line] = TypeAdapter(Line)


class Log:
    """Appends to a file; the lines of an earlier process are handed out first, by phase."""

    def __init__(self, file: Path, question: Question, resume: bool) -> None:
        """UserError: the file cannot be read or written, or has another question."""
        self.file = file
        self._known: dict[str, deque[LaunchLine | LossesLine]] = {}
        self._decided: set[str] = set()
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        if resume:
            self._read(question)
        else:
            self._begin(question)

    def next(self, phase: str) -> LaunchLine | LossesLine | None:
        """The next line of this phase from an earlier process; None if there is none left."""
        known = self._known.get(phase)
        return known.popleft() if known else None

    def add(self, line: Line) -> None:
        """On the disk when this returns. A decision that the log has already is not repeated."""
        text = line.model_dump_json(by_alias=True)
        if isinstance(line, DecisionLine):
            if text in self._decided:
                return
            self._decided.add(text)
        with writing(self.file), self.file.open("ab") as opened:
            opened.write(text.encode() + b"\n")
            opened.flush()
            os.fsync(opened.fileno())

    def _begin(self, question: Question) -> None:
        with writing(self.file):
            # x: a log is never overwritten.
            self.file.open("x").close()
        self.add(QuestionLine(question=question))

    def _read(self, question: Question) -> None:
        text = read_text(self.file, _MOST_BYTES)
        lines = text.splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            # It was killed while it wrote this line.
            with writing(self.file), self.file.open("rb+") as opened:
                opened.truncate(len(text.encode()) - len(lines[-1].encode()))
            lines.pop()
        parsed = [self._parsed(number, line) for number, line in enumerate(lines, 1)]
        if not parsed or not isinstance(parsed[0], QuestionLine):
            raise UserError(f"{self.file}: not a log of gradrace bisect; {_MEND}")
        _check_same(self.file, parsed[0].question, question)
        for line in parsed[1:]:
            if isinstance(line, LaunchLine | LossesLine):
                self._known.setdefault(line.phase, deque()).append(line)
            elif isinstance(line, DecisionLine):
                self._decided.add(line.model_dump_json(by_alias=True))

    def _parsed(self, number: int, line: str) -> Line:
        if number == 1:
            self._check_schema(line)
        try:
            return _LINE.validate_json(line)
        except ValidationError as error:
            problem = first_problem(error)
        raise UserError(f"{self.file}, line {number}: not of gradrace bisect ({problem}); {_MEND}")

    def _check_schema(self, line: str) -> None:
        try:
            found = json.loads(line)["question"]["schema"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if isinstance(found, int) and found > SCHEMA:
            raise UserError(
                f"{self.file}: schema {found} is newer than this gradrace reads ({SCHEMA});"
                " upgrade gradrace"
            )


def _check_same(file: Path, logged: Question, asked: Question) -> None:
    """UserError names the first field in which two questions differ."""
    for name in Question.model_fields:
        before, now = getattr(logged, name), getattr(asked, name)
        if name == "machine" and (asked.losses or before == now):
            continue
        if before != now:
            what = "was made on another type of machine" if name == "machine" else f"has {name}"
            raise UserError(
                f"{file}: this log {what} {_shown(before)}, and now it is {_shown(now)}; {_MEND}"
            )


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items()) or "none"
    return repr(value) if isinstance(value, str) else str(value)


def outcomes_of(line: LaunchLine) -> dict[int, Outcome]:
    """As a Launcher gives them, without parts. UserError for an index that is no number."""
    found: dict[int, Outcome] = {}
    for index, one in line.outcomes.items():
        if isinstance(one, Failed):
            found[int(index)] = Failure(one.reason, one.skipped)
        else:
            found[int(index)] = Launch(**one.model_dump())
    return found


def line_of(phase: str, seconds: float, outcomes: Mapping[int, Outcome]) -> LaunchLine:
    """A launch as a line."""
    return LaunchLine(
        phase=phase,
        seconds=seconds,
        outcomes={str(index): _logged(outcome) for index, outcome in outcomes.items()},
    )


def _logged(outcome: Outcome) -> Measured | Failed:
    if isinstance(outcome, Failure):
        return Failed(reason=outcome.reason, skipped=outcome.skipped)
    return Measured(**{name: getattr(outcome, name) for name in Measured.model_fields})


def packed(losses: np.ndarray) -> tuple[str, ...]:
    """float64[n] as texts, every bit kept."""
    text = base64.b64encode(np.asarray(losses, dtype="<f8").tobytes()).decode()
    return tuple(text[start : start + LONG_TEXT] for start in range(0, len(text), LONG_TEXT))


def unpacked(pieces: Iterable[str]) -> np.ndarray:
    """The float64[n] that `packed` was given. UserError for any other texts."""
    try:
        return np.frombuffer(base64.b64decode("".join(pieces), validate=True), dtype="<f8")
    except ValueError as error:
        raise UserError(f"losses in a log of gradrace bisect: {error}; {_MEND}") from None
