"""Checks the declarations of a user's file, field by field: one line that names the optimizer,
task, schedule or data set, the field, and its form."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, get_args

from pydantic import ValidationError

from .. import dataset
from .. import optimizer as kinds
from ..errors import UserError, located, nearest
from ..jsonfile import first_problem
from ..schedule import Schedule, ScheduleParam
from ..spec import TaskSpec
from ..strict import given
from .places import place_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_NAME_FORM = "letters, digits, '_', '.' and '-' after a letter or digit, at most 80"
# Names of folds are longer: NAME.cv1000-999.1000-999.
_LONGEST_DATA = 60
# (field, problem)
Problem = tuple[str, str]


def check_optimizer(optimizer: kinds.Optimizer) -> None:
    """UserError: 'optimizer mine: learning_rate: expected …, not …', for the first wrong field."""
    for field, problem in _problems(optimizer):
        raise UserError(f"optimizer {_shown(optimizer.name)}: {field}: {problem}")
    if optimizer.space is not None:
        # As `gradrace tune` checks a space that is given on its command line.
        from .space import check

        check(optimizer.space, optimizer)


def check_schedule(schedule: Schedule) -> None:
    """UserError for the first wrong field. The function's values are checked for each run."""
    for field, problem in _schedule_problems(schedule):
        raise UserError(f"schedule {_shown(schedule.name)}: {field}: {problem}")


def check_frameworks(optimizer: kinds.Optimizer, frameworks: Collection[str]) -> None:
    """UserError for a framework that neither gradrace nor a loaded file offers."""
    for field in ("bindings", "differs", "imprecise"):
        for name in getattr(optimizer, field):
            if name not in frameworks:
                raise UserError(
                    f"optimizer {optimizer.name}: {field}: no framework"
                    f" {given(name)}{nearest(name, frameworks)}; the file of an adapter of your own"
                    " must be loaded, too"
                )


def check_task(task: TaskSpec) -> None:
    """UserError for a task whose fields were replaced by what they cannot be."""
    name = _shown(getattr(task, "name", None))
    try:
        TaskSpec.model_validate(task.model_dump(warnings=False))
    except ValidationError as error:
        raise UserError(f"task {name}: {first_problem(error)}") from None
    except (AttributeError, ValueError) as error:
        raise UserError(f"task {name}: {error}") from None


def check_data_of(task: TaskSpec, own: Collection[str]) -> None:
    """UserError if neither gradrace nor a loaded file has the data of a user's task."""
    from ..data import SETS, folds, training_samples

    with located(f"task {task.name}"):
        found = None if task.data in own else folds.parse(task.data)
        base = found[0] if found else task.data
        if base not in own and base not in SETS:
            raise ValueError(f"no data set {task.data!r}{nearest(task.data, [*SETS, *own])}")
        if base not in own:
            training_samples(task.data)


def check_data_set(of: dataset.DataSet) -> None:
    """UserError for the first wrong field. The function is called when a run needs its data."""
    for field, problem in _data_set_problems(of):
        raise UserError(f"data set {_shown(of.name)}: {field}: {problem}")


def _data_set_problems(of: dataset.DataSet) -> Iterator[Problem]:
    """In the order of the fields."""
    from ..data import SETS, folds

    if not isinstance(of.name, str) or not _NAME.fullmatch(of.name):
        yield "name", _expected(_NAME_FORM, of.name)
        return
    if len(of.name) > _LONGEST_DATA:
        yield "name", f"{len(of.name)} characters; at most {_LONGEST_DATA}, since folds add theirs"
    if folds.looks_like(of.name):
        yield "name", f"{of.name!r} is the form of names of folds; choose another one"
    if of.name in SETS:
        yield "name", f"the name {of.name!r} is taken by a data set of gradrace; choose another one"
    if not _takes(of.load, 0):
        yield "load", _expected("a function without arguments", of.load)
    yield from _one_of(of, "target", get_args(dataset.Target))
    if not isinstance(of.column, str | None) and not _are_texts(of.column):
        yield "column", _expected("the target's name in the frame, or a tuple of them", of.column)
    if of.split is not None:
        yield from _split_problems(of.split)
    yield from _standardise_problems(of)
    if not _is_number(of.missing) or not math.isfinite(of.missing):  # type: ignore[arg-type]
        yield from _one_of(of, "missing", ("refuse", "mean", "median"), " or a finite number")
    yield from _one_of(of, "categories", ("refuse", "one_hot"))
    yield from _of_type(of, "text", str, "source", "licence")


def _standardise_problems(of: dataset.DataSet) -> Iterator[Problem]:
    yield from _of_type(of, "True, False or None", bool | None, "standardise")
    yield from _of_type(of, "True or False", bool, "standardise_target", "tokens")
    if of.tokens and of.standardise:
        yield "standardise", "tokens cannot be standardised; leave it out"
    if of.standardise_target and of.target != "number":
        yield "standardise_target", 'labels cannot be standardised; only with target="number"'


def _split_problems(way: object) -> Iterator[Problem]:
    """Of one of the ways to split, whose arrays are looked at with the data."""
    kinds_of_split = get_args(dataset.Splitting)
    if not isinstance(way, kinds_of_split):
        names = ", ".join(kind.__name__ for kind in kinds_of_split)
        yield "split", _expected(f"one of {names}", way)
        return
    if isinstance(way, dataset.Fixed):
        return
    shares = (way.validation, way.test)
    for name, share in zip(("validation", "test"), shares, strict=True):
        if not _is_number(share) or not 0 < share < 1:
            yield f"split.{name}", _expected("a share between 0 and 1", share)
    if sum(shares) >= 1:
        yield "split", f"validation and test take {sum(shares):g} of the rows; leave some to train"


def _one_of(holder: object, field: str, known: Sequence[str], more: str = "") -> Iterator[Problem]:
    value = getattr(holder, field)
    if value not in known if isinstance(value, str) else True:
        names = ", ".join(f'"{name}"' for name in known)
        near = nearest(value, known) if isinstance(value, str) else ""
        yield field, f"expected {names}{more}, not {given(value)}{near}"


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(v, str) for v in value)


def _shown(name: object) -> str:
    """A name as it is, or whatever stands in its place."""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else given(name)


def _problems(optimizer: kinds.Optimizer) -> Iterator[Problem]:
    """In the order of the fields."""
    if not isinstance(optimizer.name, str) or not _NAME.fullmatch(optimizer.name):
        yield "name", _expected(_NAME_FORM, optimizer.name)
    yield from _of_type(optimizer, "text", str, "title", "paper", "note")
    yield from _of_type(optimizer, "True or False", bool, "per_tensor", "full_batch")
    if not _is_number(optimizer.learning_rate) or not 0 < optimizer.learning_rate < math.inf:
        yield "learning_rate", _expected("a finite number above 0", optimizer.learning_rate)
    yield from _of_mapping("hyper", optimizer.hyper, kinds.Hyper, _hyper_problems)
    yield from _of_mapping("bindings", optimizer.bindings, kinds.Binding, _binding_problems)
    if optimizer.rule is not None:
        yield from _rule_problems(optimizer.rule)
    for field in ("differs", "imprecise"):
        yield from _of_mapping(field, getattr(optimizer, field), str, lambda text: iter(()))
    if optimizer.space is not None:
        yield from _space_problems(optimizer.space)


def _hyper_problems(hyper: kinds.Hyper) -> Iterator[Problem]:
    yield from _of_type(hyper, "text", str, "meaning")
    if not _is_number(hyper.default) or not math.isfinite(hyper.default):
        yield "default", _expected("a finite number", hyper.default)
    for field in ("low", "high"):
        value = getattr(hyper, field)
        if not _is_number(value) or math.isnan(value):
            yield field, _expected("a number", value)
    if not hyper.low <= hyper.default <= hyper.high:
        yield "default", f"{hyper.default:g} is outside [{hyper.low:g}, {hyper.high:g}]"


def _binding_problems(binding: kinds.Binding) -> Iterator[Problem]:
    if isinstance(binding.target, str):
        yield from _dotted(binding, "target")
    elif not _takes(binding.target, 0):
        form = (
            "a dotted path such as 'torch.optim.Adam', or a function without arguments that returns"
            " the class"
        )
        yield "target", _expected(form, binding.target)
    for field in ("native_target", "evaluation"):
        if getattr(binding, field) is not None:
            yield from _dotted(binding, field)
    if not _takes(binding.canonical, 1):
        yield "canonical", _expected("a function of the hyperparameters", binding.canonical)
    yield from _of_mapping("native", binding.native, object, lambda value: iter(()))
    yield from _of_type(binding, "True or False", bool, "matrices_only", "asks_for_loss")
    if not isinstance(binding.requires, tuple | list) or not all(map(_is_name, binding.requires)):
        yield "requires", _expected("a tuple of names of distributions", binding.requires)
    if not isinstance(binding.corrections, tuple | list):
        yield "corrections", _expected("a tuple of corrections", binding.corrections)
    for correction in binding.corrections:
        yield from (
            ("corrections: " + field, problem)
            for field, problem in _correction_problems(correction)
        )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(_DISTRIBUTION.fullmatch(value))


_CORRECTIONS = {
    kinds.HyperCorrection: (("name", "why", "argument"), (("values", 2),)),
    kinds.StateCorrection: (("name", "why", "state"), (("scale", 2), ("shift", 2))),
    kinds.RateCorrection: (("name", "why"), (("factor", 2),)),
}


def _correction_problems(correction: object) -> Iterator[Problem]:
    if type(correction) not in _CORRECTIONS:
        yield "an entry", _expected(" or ".join(kind.__name__ for kind in _CORRECTIONS), correction)
        return
    texts, functions = _CORRECTIONS[type(correction)]
    yield from _of_type(correction, "text", str, *texts)
    for field, arguments in functions:
        yield from _function(correction, field, arguments)


def _rule_problems(rule: object) -> Iterator[Problem]:
    if not isinstance(rule, kinds.ReferenceRule):
        yield "rule", _expected("a ReferenceRule or None", rule)
        return
    inner = [*_function(rule, "init", 2), *_function(rule, "update", 6)]
    if rule.evaluation is not None:
        inner += _function(rule, "evaluation", 3)
    inner += _of_type(rule, "True or False", bool, "joint")
    yield from (("rule." + field, problem) for field, problem in inner)


def _space_problems(space: object) -> Iterator[Problem]:
    if not isinstance(space, kinds.SearchSpace):
        yield "space", _expected("a SearchSpace or None", space)
        return
    yield from (
        ("space." + field, problem) for field, problem in _of_type(space, "text", str, "source")
    )
    yield from _of_mapping("space.ranges", space.ranges, kinds.Range, _range_problems)


def _range_problems(given_range: kinds.Range) -> Iterator[Problem]:
    for field in ("low", "high"):
        value = getattr(given_range, field)
        if not _is_number(value) or not math.isfinite(value):
            yield field, _expected("a finite number", value)
    yield from _of_type(given_range, "True or False", bool, "log", "below_one")


def _schedule_problems(schedule: Schedule) -> Iterator[Problem]:
    """In the order of the fields, but for the function, which is tried with its parameters."""
    if not isinstance(schedule.name, str) or not _NAME.fullmatch(schedule.name):
        yield "name", _expected(_NAME_FORM, schedule.name)
    yield from _of_type(schedule, "text", str, "summary", "source")
    yield from _of_mapping("params", schedule.params, ScheduleParam, _param_problems)
    yield from _of_type(schedule, "True or False", bool, "own_warmup")
    if schedule.own_warmup and "warmup" not in schedule.params:
        yield "own_warmup", "'warmup' must be among the params"
    if not callable(schedule.function):
        yield "function", _expected("a function", schedule.function)
    elif not _takes(schedule.function, 2, schedule.params):
        arguments = ", ".join(["step", "steps", *schedule.params])
        yield "function", f"cannot be called with ({arguments})"


def _param_problems(param: ScheduleParam) -> Iterator[Problem]:
    yield from _of_type(param, "text", str, "meaning")
    yield from _of_type(param, "True or False", bool, "whole", "increasing")
    for field in ("low", "high"):
        value = getattr(param, field)
        if not _is_number(value) or math.isnan(value):
            yield field, _expected("a number", value)
    numbers = param.default if isinstance(param.default, tuple) else (param.default,)
    if not numbers or not all(_is_number(each) and math.isfinite(each) for each in numbers):
        yield "default", _expected("a finite number, or a tuple of them", param.default)
    elif problem := param.problem(param.default):
        yield "default", problem.removeprefix("= ")


def _of_mapping(
    field: str, values: object, kind: type, inner: Callable[[Any], Iterator[Problem]]
) -> Iterator[Problem]:
    """Of a mapping from names to values of one kind."""
    article = "text" if kind is str else kind.__name__
    if not isinstance(values, Mapping):
        yield (
            field,
            _expected(f"a dict from names to {'values' if kind is object else article}", values),
        )
        return
    for key, value in values.items():
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            yield field, f"the name {given(key)}: expected {_NAME_FORM}"
        elif not isinstance(value, kind):
            yield f"{field}[{key!r}]", _expected(article, value)
        else:
            yield from ((f"{field}[{key!r}].{deeper}", problem) for deeper, problem in inner(value))


def _of_type(holder: object, form: str, kind: type | UnionType, *fields: str) -> Iterator[Problem]:
    for field in fields:
        value = getattr(holder, field)
        if not isinstance(value, kind):
            yield field, _expected(form, value)


def _dotted(binding: kinds.Binding, field: str) -> Iterator[Problem]:
    value = getattr(binding, field)
    if not isinstance(value, str) or not _DOTTED.fullmatch(value):
        yield field, _expected("a dotted path such as 'torch.optim.Adam'", value)


def _function(holder: object, field: str, arguments: int) -> Iterator[Problem]:
    value = getattr(holder, field)
    if not _takes(value, arguments):
        yield field, f"expected a function of {arguments} arguments, not {_called(value)}"


def _called(value: object) -> str:
    """'update(p, g) (mine.py, line 7)' of a function of the user's file."""
    place = place_of(value)
    if not place:
        return given(value)
    return f"{getattr(value, '__name__', 'a function')}{inspect.signature(value)} ({place})"  # type: ignore[arg-type]


def _takes(value: object, arguments: int, named: Iterable[str] = ()) -> bool:
    """Whether it can be called with as many positional arguments and these named ones, as far as
    Python can tell."""
    if not callable(value):
        return False
    try:
        inspect.signature(value).bind(*[None] * arguments, **dict.fromkeys(named))
    except TypeError:
        return False
    # Written in C: the call itself will tell.
    except ValueError:
        return True
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _expected(form: str, value: object) -> str:
    return f"expected {form}, not {given(value)}"
