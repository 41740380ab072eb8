"""The built-in learning-rate schedules, and the table of rates that a schedule gives, in float64.

Every framework is handed the same table, so no library's own schedule takes part, nor its rounding
or its off-by-one. `t` counts updates from 0; `steps` is the length of the run. A length is given in
steps (1 or more, rounded) or as a share of the run (below 1). Shares are added up before they are
rounded to steps, so that three thirds are the run. A schedule that falls to its end reaches it at
t = steps, one past the last update, so that no update is wasted on a rate of 0; `one_cycle` alone
reaches it with the last update, as torch's does.

Any kind takes a `warmup` besides its own parameters: a linear rise over that length, (t + 1) /
warmup of the first rate, then the schedule over the rest of the run, in which its lengths are
counted (over the whole run in inverse_sqrt and wsd, which have a warm-up by definition). `plateau`
alone is no function of the step: the harness drives it, see `plateau_factors`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np

from .errors import nearest
from .schedule import Array, Schedule, ScheduleParam, Value
from .spec import ScheduleSpec


def in_steps(length: float, steps: int) -> int:
    """A length below 1 is a share of the run, else a number of steps; whole, and at least 1."""
    return max(1, round(length * steps if length < 1 else length))


def in_run(share: float, steps: int) -> int:
    """The step nearest to a share of the run, halves up; 1 to steps - 1, so that every change lies
    inside the run. 1 in a run of one step, which has none."""
    return max(1, min(math.floor(share * steps + 0.5), steps - 1))


def _rising(t: Array, rise: int, then: Array) -> Array:
    """(t + 1) / rise of the first rate: a first rate of 0 would be a wasted step."""
    return np.where(t < rise, then[0] * (t + 1.0) / max(rise, 1), then)


def _constant(t: Array, steps: int) -> Array:
    return np.ones_like(t)


def _step(t: Array, steps: int, every: float, factor: float) -> Array:
    if every >= 1 or every * steps <= 1:
        return factor ** np.floor(t / in_steps(every, steps))
    return _multi_step(t, steps, [k * every for k in range(1, _whole(every))], factor)


def _whole(share: float) -> int:
    """How many lengths of this share cover the run."""
    # The tolerance is for shares such as 1 / 3 and 0.1.
    return math.ceil(1.0 / share - 1e-9)


def _multi_step(t: Array, steps: int, milestones: Sequence[float], factor: float) -> Array:
    # side="right": the rate changes at the milestone, not one update later, as in torch and Optax.
    at = sorted(in_run(m, steps) if m < 1 else in_steps(m, steps) for m in milestones)
    passed = np.searchsorted(at, t, side="right")
    return factor ** passed.astype(np.float64)


def _exponential(t: Array, steps: int, every: float, factor: float) -> Array:
    # Continuous in the step, so a share need not be rounded.
    return factor ** (t / (max(1.0, every * steps) if every < 1 else in_steps(every, steps)))


def _polynomial(t: Array, steps: int, power: float, final_fraction: float) -> Array:
    return final_fraction + (1.0 - final_fraction) * (1.0 - np.minimum(t / steps, 1.0)) ** power


def _linear(t: Array, steps: int, final_fraction: float) -> Array:
    return _polynomial(t, steps, 1.0, final_fraction)


def _cosine(t: Array, steps: int, final_fraction: float) -> Array:
    return _half_cosine(1.0, final_fraction, np.minimum(t / steps, 1.0))


def _half_cosine(start: float, end: float, progress: Array) -> Array:
    return end + (start - end) * 0.5 * (1.0 + np.cos(np.pi * progress))


def _cosine_restarts(
    t: Array, steps: int, period: float, growth: float, final_fraction: float
) -> Array:
    """If the period is given in steps, the run may end anywhere in a cycle, as in torch; if it is a
    share, every cycle is whole: see `_whole_cycles`."""
    edges = _cycles(steps, period, growth) if period >= 1 else _whole_cycles(steps, period, growth)
    cycle = np.searchsorted(edges, t, side="right") - 1
    return _half_cosine(1.0, final_fraction, (t - edges[cycle]) / (edges[cycle + 1] - edges[cycle]))


def _cycles(steps: int, period: float, growth: float) -> Array:
    """The steps at which cycles start, and the last one's end: the run's, or later."""
    edges, length = [0.0], float(in_steps(period, steps))
    while edges[-1] < steps:
        edges.append(edges[-1] + length)
        length *= growth
    return np.floor(np.array(edges) + 0.5)


def _whole_cycles(steps: int, share: float, growth: float) -> Array:
    """The steps at which cycles start, and the end of the run, which is the last cycle's: no run
    ends soon after a restart.

    If less than half of a next cycle fits, the last one is stretched to the end; else the next is
    cut short. A cycle of less than a step becomes one step; the last has two at least, so that it
    falls."""
    share = max(share, 1.0 / steps)
    edges, end, length = [0.0], share, share
    while 1.0 - end >= 0.5 * length * growth - 1e-9:
        edges.append(max(edges[-1] + 1, math.floor(end * steps + 0.5)))
        length *= growth
        end += length
    return np.array([*(edge for edge in edges if edge == 0 or edge <= steps - 2), float(steps)])


def _one_cycle(
    t: Array, steps: int, rise: float, start_fraction: float, final_fraction: float
) -> Array:
    """As torch's OneCycleLR of total_steps = steps and pct_start = rise: the peak is the last step
    of the rise, the final rate the last step of the run. If `rise` is a share, the peak may lie
    between two steps, as it does there."""
    top = (rise * steps if rise < 1 else in_steps(rise, steps)) - 1.0
    last = steps - 1.0
    up = _half_cosine(start_fraction, 1.0, np.minimum(t / max(top, 1e-9), 1.0))
    down = _half_cosine(1.0, final_fraction, np.clip((t - top) / max(1e-9, last - top), 0.0, 1.0))
    return np.where(t < top, up, down)


def _cyclic(t: Array, steps: int, half_cycle: float, low_fraction: float, factor: float) -> Array:
    turns = _turns(steps, half_cycle)
    at = np.searchsorted(turns, t, side="right") - 1
    part = (t - turns[at]) / (turns[at + 1] - turns[at])
    height = np.where(at % 2 == 0, part, 1.0 - part)
    return low_fraction + (1.0 - low_fraction) * height * factor ** (at // 2)


def _turns(steps: int, half_cycle: float) -> Array:
    """float64[k]: steps at which the rate is lowest (even k) and highest (odd), to the end of the
    run or past it."""
    if half_cycle >= 1 or half_cycle * steps <= 1:
        half = in_steps(half_cycle, steps)
        return np.arange(0.0, steps + half + 1.0, half)
    count = np.arange(_whole(half_cycle) + 2)
    return np.floor(count * (half_cycle * steps) + 0.5)


def _inverse_sqrt(t: Array, steps: int, warmup: float) -> Array:
    top = in_steps(warmup, steps)
    return np.minimum((t + 1.0) / top, np.sqrt(top / (t + 1.0)))


def _wsd(t: Array, steps: int, warmup: float, decay: float, final_fraction: float) -> Array:
    rise = in_steps(warmup, steps) if warmup else 0
    fall = min(in_steps(decay, steps), max(1, steps - rise))
    return _rising(
        t, rise, final_fraction + (1.0 - final_fraction) * np.minimum((steps - t) / fall, 1.0)
    )


def _plateau(t: Array, steps: int, **params: float) -> Array:
    # Until something is reduced; see plateau_factors.
    return np.ones_like(t)


def _length(default: Value, low: float = 1e-9, increasing: bool = False) -> ScheduleParam:
    return ScheduleParam(default, "a share of the run, or steps", low=low, increasing=increasing)


def _share(default: float, low: float = 0.0) -> ScheduleParam:
    return ScheduleParam(default, "of the base rate", low=low, high=1.0)


def _factor(default: float) -> ScheduleParam:
    return ScheduleParam(default, "what the rate is multiplied by", low=1e-12, high=1.0)


_RISE, _END = _length(0.1, low=0.0), _share(0.0)
_ALL = (
    Schedule("constant", "the base rate throughout", _constant),
    Schedule(
        "step",
        "times `factor` every `every`",
        _step,
        {"every": _length(1 / 3), "factor": _factor(0.1)},
        "He et al. (2016), 3.4",
    ),
    Schedule(
        "multi_step",
        "times `factor` at each of `milestones`",
        _multi_step,
        {"milestones": _length((0.5, 0.75), increasing=True), "factor": _factor(0.1)},
        "He et al. (2016), arXiv:1512.03385, 4.2: at 32k and 48k of 64k steps",
    ),
    Schedule(
        "exponential",
        "times `factor` per `every`, continuously",
        _exponential,
        {"every": _length(1 / 3), "factor": _factor(0.3)},
    ),
    Schedule(
        "polynomial",
        "(1 - progress) to the power `power`, down to `final_fraction`",
        _polynomial,
        {"power": ScheduleParam(0.9, low=1e-3, high=100.0), "final_fraction": _END},
        "Chen et al. (2017), DeepLab, arXiv:1606.00915, 4.1",
    ),
    Schedule(
        "linear",
        "a straight line down to `final_fraction`",
        _linear,
        {"final_fraction": _END},
        "Devlin et al. (2019), BERT, arXiv:1810.04805, A.2, after its warm-up",
    ),
    Schedule(
        "cosine",
        "half a cosine down to `final_fraction` of the base rate",
        _cosine,
        {"final_fraction": _END},
        "Loshchilov & Hutter (2017), arXiv:1608.03983, eq. 5, one cycle",
    ),
    Schedule(
        "cosine_restarts",
        "half cosines; the first takes `period`, each next one `growth` times as long; of a share"
        " the last ends with the run",
        _cosine_restarts,
        {"period": _length(1 / 7), "growth": ScheduleParam(2.0, low=1.0), "final_fraction": _END},
        "Loshchilov & Hutter (2017), arXiv:1608.03983, eq. 5",
    ),
    Schedule(
        "warmup_cosine",
        "linear rise over `warmup`, then half a cosine",
        _cosine,
        {"warmup": _RISE, "final_fraction": _END},
        "Goyal et al. (2017), arXiv:1706.02677, 2.2, then cosine",
    ),
    Schedule(
        "one_cycle",
        "half a cosine up from `start_fraction` over `rise`, another down to `final_fraction`",
        _one_cycle,
        {
            "rise": _length(0.3),
            "start_fraction": _share(0.04, low=1e-12),
            "final_fraction": _share(4e-6),
        },
        "Smith & Topin (2018), arXiv:1708.07120, with the cosines and defaults that libraries"
        " gave it",
    ),
    Schedule(
        "cyclic",
        "triangles from `low_fraction` to the base rate, up for `half_cycle` and down; heights"
        " times `factor` each",
        _cyclic,
        {
            "half_cycle": _length(0.125),
            "low_fraction": _share(0.25, low=1e-12),
            "factor": _factor(1.0),
        },
        "Smith (2017), arXiv:1506.01186, 3.1 (triangular; triangular2 with factor 0.5)",
    ),
    Schedule(
        "inverse_sqrt",
        "linear rise over `warmup`, then one over the root of the step",
        _inverse_sqrt,
        {"warmup": _RISE},
        "Vaswani et al. (2017), arXiv:1706.03762, eq. 3, over its maximum",
        own_warmup=True,
    ),
    Schedule(
        "wsd",
        "warm-up, stable, and a straight line down to `final_fraction` over the last `decay`",
        _wsd,
        {"warmup": _RISE, "decay": _length(0.2), "final_fraction": _END},
        "Hu et al. (2024), MiniCPM, arXiv:2404.06395, 4; linear decay of Hägele et al. (2024),"
        " arXiv:2405.18392",
        own_warmup=True,
    ),
    Schedule(
        "plateau",
        "times `factor` after `patience` evaluations without a validation loss lower by"
        " `min_delta`; not below `floor_fraction`",
        _plateau,
        {
            "factor": _factor(0.3),
            "patience": ScheduleParam(2.0, "evaluations", low=1.0, whole=True),
            "min_delta": ScheduleParam(0.0),
            "floor_fraction": _share(0.001),
        },
        "He et al. (2016), arXiv:1512.03385, 3.4, by hand there; counted as Keras'"
        " ReduceLROnPlateau does; torch's waits for one evaluation more",
    ),
)
SCHEDULES: Mapping[str, Schedule] = {schedule.name: schedule for schedule in _ALL}
if len(SCHEDULES) < len(_ALL):
    raise ValueError("two of the schedules here have one name")


def complete(spec: ScheduleSpec, known: Mapping[str, Schedule] = SCHEDULES) -> ScheduleSpec:
    """The spec with every parameter filled in, see `Schedule.complete`.

    known: the schedules by kind. ValueError names an unknown kind or parameter, or a bad value.
    """
    return spec.model_copy(update={"params": _of(spec, known).complete(spec.params)})


def _of(spec: ScheduleSpec, known: Mapping[str, Schedule]) -> Schedule:
    if spec.kind not in known:
        raise ValueError(f"no schedule {spec.kind!r}{nearest(spec.kind, known)}")
    return known[spec.kind]


def table(spec: ScheduleSpec, steps: int, known: Mapping[str, Schedule] = SCHEDULES) -> Array:
    """The learning rate of every update: float64[steps]. Of `plateau`, the rates before any
    reduction.

    ValueError as in `complete`; UserError if the schedule's function gives no rates, see
    `Schedule.factors`."""
    schedule, rise = _of(spec, known), 0
    params = schedule.complete(spec.params)
    if not schedule.own_warmup and (warmup := params.pop("warmup", 0.0)):
        rise = in_steps(float(warmup), steps)  # type: ignore[arg-type]
    factors = schedule.factors(max(1, steps - rise), params)
    # The first update of a warm-up already moves: a rate of 0 would be a wasted step.
    up = factors[0] * (np.arange(rise) + 1.0) / max(rise, 1)
    with np.errstate(over="ignore"):
        rates = spec.base_lr * np.concatenate([up, factors])[:steps]
    if not np.isfinite(rates).all():
        raise schedule.error(f"times the base rate {spec.base_lr:g}, a rate is infinite")
    return rates


def fingerprint(spec: ScheduleSpec, rates: Array) -> dict[str, str]:
    """For the sources of a run: 16 hex digits, equal for tables that are equal but for rounding."""
    # Whole parts of 2^-30; the odd share keeps common fractions away from the edges.
    parts = np.floor(rates / spec.base_lr * 2.0**30 + 0.2718)
    return {f"rates {spec.kind}": hashlib.sha256(parts.astype("<f8").tobytes()).hexdigest()[:16]}


def same_rates(spec: ScheduleSpec, rates: Array, sources: Mapping[str, str]) -> bool:
    """Whether these are the rates of which a run's sources hold the fingerprint; True if they hold
    none."""
    label = f"rates {spec.kind}"
    return label not in sources or sources[label] == fingerprint(spec, rates)[label]


def plateau_factors(spec: ScheduleSpec, losses: Array) -> Array:
    """`plateau`'s factor on the base rate after each evaluation, of validation losses: float64[k]
    of float64[k].

    An evaluation is better if its loss is below the best so far by more than `min_delta`. After
    `patience` others in a row the rate is reduced and the count starts anew. The evaluation before
    the first step counts."""
    params = {
        key: float(value)
        for key, value in complete(spec).params.items()
        if not isinstance(value, tuple)
    }
    factor, best, waited, factors = 1.0, np.inf, 0, []
    for loss in losses:
        better = loss < best - params["min_delta"]
        best, waited = (loss, 0) if better else (best, waited + 1)
        if waited >= params["patience"]:
            factor, waited = max(factor * params["factor"], params["floor_fraction"]), 0
        factors.append(factor)
    return np.array(factors, dtype=np.float64)


def reduced(spec: ScheduleSpec, rates: Array, losses: Array, step: int) -> Array:
    """The table of a run with this schedule once `losses` are known, the last of them after `step`
    updates. Entries before `step` stay; only `plateau` changes the others."""
    if spec.kind != "plateau":
        return rates
    return np.concatenate(
        [rates[:step], table(spec, len(rates))[step:] * plateau_factors(spec, losses)[-1]]
    )
