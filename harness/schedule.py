"""A schedule: its name, its parameters, and its function of the step.

Built-in kinds (schedules.py) and those of a user's file are the same value, asked the same way."""

from __future__ import annotations

import functools
import inspect
import math
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from .errors import UserError, line_in, nearest
from .output.silenced import off_stdout
from .strict import given

Array = np.ndarray
# One number, or several (as milestones are).
Value = float | tuple[float, ...]


@dataclass(frozen=True)
class ScheduleParam:
    """A parameter of a schedule: default, meaning, and the closed range of values that make sense.

    If the default is a tuple, a value is a list, and the range holds for each of its numbers.
    whole: fractions are refused. increasing: the numbers of a list must grow (shares of the run,
    below 1, and steps each by themselves)."""

    default: Value
    meaning: str = ""
    low: float = 0.0
    high: float = math.inf
    whole: bool = False
    increasing: bool = False

    def problem(self, value: Value) -> str:
        """Why this cannot be a value: 'takes one number, got …'; '' if it can."""
        several = isinstance(self.default, tuple)
        values = value if isinstance(value, tuple) else (value,)
        if several != isinstance(value, tuple) or not values:
            return f"takes {'a list of numbers' if several else 'one number'}, got {value!r}"
        for each in values:
            if not self.low <= each <= self.high:
                return f"= {each:g} is outside [{self.low:g}, {self.high:g}]"
            if self.whole and each != int(each):
                return f"must be whole, got {each:g}"
        growing = (a < b for a, b in pairwise(values) if (a < 1) == (b < 1))
        return "" if not self.increasing or all(growing) else f"must increase, got {list(values)}"


WARMUP = ScheduleParam(0.0, "length of a linear rise to the first rate")


@dataclass(frozen=True)
class Schedule:
    """A schedule, as a file declares it.

    function(step, steps, **params) gives the factor on the base learning rate, finite and at least
    0. step: float64[n], counted from 0; steps: the length of the run, n; parameters are floats, or
    tuples of floats. It returns n numbers. Two other forms are understood:
        a function of a single step, if it cannot take an array or gives one number for it: it is
        called once for each step, with an int;
        a table of another length: a longer one is cut, a shorter one holds its last value.
    It must be pure: equal arguments give equal factors, in every process.

    Every schedule takes a `warmup` besides its own parameters. The function then sees the rest of
    the run alone, as if the run began there. own_warmup: it is given the whole run and `warmup`,
    which must be one of its params, and does the rise itself."""

    name: str
    summary: str
    function: Callable[..., Any]
    params: Mapping[str, ScheduleParam] = field(default_factory=dict)
    source: str = "-"
    own_warmup: bool = False

    def complete(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The defaults with `values` over them; a `warmup` of 0 is left out if it is no parameter
        of the schedule's own. ValueError names an unknown parameter or a bad value."""
        known = {"warmup": WARMUP, **self.params}
        for key, value in values.items():
            if key not in known:
                hint = nearest(key, known)
                raise ValueError(f"schedule {self.name} has no parameter {key!r}{hint}")
            if problem := known[key].problem(value):
                raise ValueError(f"schedule {self.name}: {key} {problem}")
        found = {key: _floats(param.default) for key, param in self.params.items()}
        found |= values
        if "warmup" not in self.params and not found.get("warmup"):
            found.pop("warmup", None)
        return found

    def factors(self, steps: int, params: Mapping[str, Value]) -> Array:
        """float64[steps]: the function's values, asked for twice.

        UserError names schedule, step and file: the function fails, or gives no factor, or two."""
        with off_stdout(), np.errstate(all="ignore"):
            first, again = (_fitted(self._answer(steps, params), steps) for _ in range(2))
        differ = (first != again) & ~(np.isnan(first) & np.isnan(again))
        if (at := _first(differ)) is not None:
            raise self.error(
                f"step {at} of {steps}: two equal calls gave {first[at]:.6g} and {again[at]:.6g};"
                " a schedule must depend on its arguments alone"
            )
        if (at := _first(~(np.isfinite(first) & (first >= 0)))) is not None:
            raise self.error(
                f"step {at} of {steps}: the factor is {first[at]:.6g}; expected a finite number of"
                " at least 0"
            )
        return first

    def error(self, problem: str, cause: BaseException | None = None) -> UserError:
        """A UserError that begins with the place of the function, or of the line that raised."""
        code = _code_of(self.function)
        if code is None:
            return UserError(f"schedule {self.name}: {problem}")
        raised = cause and line_in(cause, Path(code.co_filename))
        place = f"{_shown(code.co_filename)}, line {raised or code.co_firstlineno}"
        return UserError(f"{place}: schedule {self.name}: {problem}")

    def _answer(self, steps: int, params: Mapping[str, Value]) -> Array:
        """float64[k]: for an array of steps if the function takes one, else step by step."""
        refused: BaseException | None = None
        found: Any = None
        try:
            found = self.function(np.arange(steps, dtype=np.float64), steps, **params)
        except KeyboardInterrupt:
            raise
        # It may be a function of a single step.
        except BaseException as error:
            refused = error
        values = _numbers(found)
        if values is None or not values.ndim:
            values = np.array([self._at(k, steps, params, refused) for k in range(steps)])
        if values.ndim != 1 or not len(values):
            shape = list(values.shape)
            raise self.error(f"an array of shape {shape} for {steps} steps; expected [{steps}]")
        return values

    def _at(
        self, step: int, steps: int, params: Mapping[str, Value], refused: BaseException | None
    ) -> float:
        at = f"step {step} of {steps}"
        try:
            found = self.function(step, steps, **params)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            said, before = _said(error), _said(refused) if refused else ""
            also = f" (with an array of steps, {before})" if before not in ("", said) else ""
            raise self.error(f"{at}: {said}{also}", error) from error
        value = _numbers(found)
        if value is None or value.ndim:
            raise self.error(f"{at}: the factor is {given(found)}; expected a number")
        return float(value)


def _numbers(found: object) -> Array | None:
    """As a new float64 array; None if these are no real numbers."""
    try:
        array = np.asarray(found)
    # Lists of several lengths, and objects that cannot be copied.
    except Exception:
        return None
    return array.astype(np.float64) if array.dtype.kind in "biuf" else None


def _fitted(values: Array, steps: int) -> Array:
    return np.concatenate([values[:steps], np.full(max(0, steps - len(values)), values[-1])])


def _first(wrong: Array) -> int | None:
    return int(np.flatnonzero(wrong)[0]) if wrong.any() else None


def _floats(value: Value) -> Value:
    return tuple(map(float, value)) if isinstance(value, tuple) else float(value)


def _code_of(function: Any) -> CodeType | None:
    """Below functools.partial, functools.cache and the like; of an object, its `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    try:
        function = inspect.unwrap(function)
    except ValueError:
        return None
    code = getattr(function, "__code__", None)
    return code or getattr(type(function).__call__, "__code__", None)


def _said(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()


def _shown(file: str) -> str:
    """Relative to the current folder, if it lies there."""
    inside = os.path.relpath(file)
    return file if inside.startswith(os.pardir) else inside
