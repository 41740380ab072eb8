"""Rules on learning curves. Each compares losses with losses of the same run, or with that of the
best constant prediction, so that the loss's scale cancels out. A training loss that holds a penalty
is compared with training losses only.

docs/diagnosis.md gives the reasons for the thresholds, and the limits of the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from .course import Course
from .finding import Finding, Rule

# Shares of moves are of the loss at the start (Course.scale, Course.train_scale), shares of levels
# are of that or of chance if that is lower (Course.unit), unless another is named.

# diverged: both losses ended this much above the start.
RISEN = 0.5
# oscillating: the smoothed training loss rose again by this; or, that many TURNS up or down by more
# than SWING, a share of the whole fall or of LEAST_FALL if that is more, and by more than NOISE of
# the smoothed loss's standard errors. To fall and then rise, as in over-fitting, is one turn.
RELAPSE, SWING, LEAST_FALL, TURNS, NOISE = 0.25, 0.1, 0.5, 3, 4.0
# recovered spike: the loss ended within this share of the rise, above the level before it.
RECOVERED = 0.2
# too slow: both losses fell by less than HARDLY; all moves of the validation loss together are less
# than STILL, or the share STEADY of them goes down.
HARDLY, STILL, STEADY = 0.05, 1e-3, 0.7
# too slow: the last third of the steps brought the validation loss this share of its whole fall; or
# of positive losses, this share of the rest.
LATE, LATE_OF_REST = 0.2, 0.15
# plateaued: the training loss stays within this.
FLAT = 0.02
# Below LOW the training loss has nothing left to learn. under-fitting: it ended above HIGH;
# over-fitting without a turn: below.
LOW, HIGH = 0.1, 0.25
# under-fitting: the validation loss is no further above the training loss; over-fitting: it is.
GAP = 0.1
# over-fitting without a turn: the training loss is at most this share of the validation loss.
APART = 0.5
# over-fitting: the validation loss rose again by this share of its lowest value, and of its fall,
# while the training loss fell by the share STILL_LEARNT.
TURNED, TURNED_OF_FALL, STILL_LEARNT = 0.1, 0.02, 0.1
# validation loss rose: at the end it was above its lowest by this share of it and of its fall; or
# it was this many TIMES its lowest, and above it by LEAST of the unit (near 0 a multiple means
# nothing).
ROSE, ROSE_OF_FALL, TIMES, LEAST = 0.5, 0.1, 3.0, 1e-3
# at chance: the validation loss is lower than chance by no more than this share, and the accuracy
# above it by no more ERRORS, standard errors of the split.
NO_BETTER, ERRORS = 0.02, 2.0


def judge(course: Course) -> list[Finding]:
    """Findings on the curve. The end of one that diverged or oscillates is not judged: it is a
    consequence."""
    end = _diverged(course)
    if end:
        return [end]
    if not course.judgeable or not course.scale:
        return []
    unstable = _rose(course) or _oscillating(course)
    if unstable:
        return [unstable]
    found = [finding for rule in _RULES if (finding := rule(course))]
    said = {finding.rule for finding in found}
    hidden = set().union(*(_HIDES.get(rule, ()) for rule in said))
    return [finding for finding in found if finding.rule not in hidden]


def _diverged(course: Course) -> Finding | None:
    """The run ended so, or has a loss that is not a number."""
    bad_train = ~np.isfinite(course.train_losses)
    bad_validation = ~np.isfinite(course.validation_losses)
    if not (course.diverged or bad_train.any() or bad_validation.any()):
        return None
    steps = [*np.flatnonzero(bad_train)[:1], *course.eval_steps[bad_validation][:1]]
    step = int(min(steps)) if steps else max(0, len(course.train_losses) - 1)
    said = course.reason or f"a loss at step {step} is not finite"
    reason = f"{said[:1].upper()}{said[1:]}: the learning rate is too high for this start."
    return Finding("diverged", "error", step, reason)


def _rose(course: Course) -> Finding | None:
    """Both losses ended far above their start."""
    rise = (course.end - course.train_start) / course.train_scale
    if min(rise, (float(course.validation_losses[-1]) - course.start) / course.scale) <= RISEN:
        return None
    above = course.windows.means - course.train_start > RISEN * course.train_scale
    last_fine = int(np.flatnonzero(~above)[-1]) + 1 if (~above).any() else 0
    step = int(course.windows.stops[last_fine - 1]) if last_fine else 0
    reason = (
        f"The training loss ended at {course.end:.3g}, far above {course.train_start:.3g} at the"
        " start: the learning rate is too high."
    )
    return Finding("diverged", "error", step, reason)


def _oscillating(course: Course) -> Finding | None:
    """The smoothed training loss rose again by much, or it or the validation loss went up and down
    by much of its fall."""
    means, stops = course.windows.means, course.windows.stops
    relapse = _relapse(course)
    if relapse and not relapse.recovered:
        reason = (
            f"The smoothed training loss rose from {means[relapse.bottom]:.3g} at step"
            f" {stops[relapse.bottom]} to as much as {means[relapse.top]:.3g}, and ended at"
            f" {course.end:.3g}: the learning rate is too high."
        )
        return Finding("oscillating", "warning", int(stops[relapse.bottom]), reason)
    seen = (
        ("validation", course.validation_losses, course.eval_steps, course.scale, 0.0),
        ("smoothed training", means, stops, course.train_scale, _noise(course)),
    )
    for name, values, steps, scale, least in seen:
        swing = max(SWING * max(values[0] - values.min(), LEAST_FALL * scale), least)
        turns = turning_points(values, swing)
        if len(turns) >= TURNS:
            reason = (
                f"The {name} loss turned {len(turns)} times by more than {swing:.3g}, between"
                f" {values[turns].min():.3g} and {values[turns].max():.3g}: the learning rate is"
                " too high."
            )
            return Finding("oscillating", "warning", int(steps[turns[0]]), reason)
    return None


class _Relapse(NamedTuple):
    """Windows between which the smoothed training loss rose again, and whether it ended near its
    level before."""

    bottom: int
    top: int
    recovered: bool


def _noise(course: Course) -> float:
    return NOISE * float(np.median(course.windows.errors))


def _relapse(course: Course) -> _Relapse | None:
    """The first time that the smoothed training loss rose by much above its lowest so far, up to
    the highest from then on."""
    means = course.windows.means
    lowest = np.minimum.accumulate(means)
    relapsed = np.flatnonzero(means - lowest > max(RELAPSE * course.train_scale, _noise(course)))
    if not len(relapsed):
        return None
    first = relapsed[0]
    bottom = int(np.flatnonzero(means[:first] == lowest[first])[-1])
    top = int(relapsed[means[relapsed].argmax()])
    rise = means[top] - means[bottom]
    near = max(RECOVERED * rise, float(course.windows.errors[-1]) * NOISE)
    fine = course.end - means[bottom] <= near
    return _Relapse(bottom, top, bool(fine and top < len(means) - 1))


def _spiked(course: Course) -> Finding | None:
    """The training loss jumped up and came back: no reason to call the rate too high."""
    relapse = _relapse(course)
    if relapse is None or not relapse.recovered:
        return None
    means, stops = course.windows.means, course.windows.stops
    reason = (
        f"The smoothed training loss rose from {means[relapse.bottom]:.3g} at step"
        f" {stops[relapse.bottom]} to {means[relapse.top]:.3g} and came back: it ended at"
        f" {course.end:.3g}."
    )
    return Finding("recovered spike", "note", int(stops[relapse.bottom]), reason)


def turning_points(values: np.ndarray, swing: float) -> list[int]:
    """Indices of the extremes between which values[n] move by more than `swing` up and down, both
    ends left out."""
    turns: list[int] = []
    high = low = direction = 0
    for i, value in enumerate(values):
        high, low = (i if value > values[high] else high), (i if value < values[low] else low)
        if direction >= 0 and values[high] - value > swing:
            turns += [high] if direction else []
            direction, low = -1, i
        elif direction <= 0 and value - values[low] > swing:
            turns += [low] if direction else []
            direction, high = 1, i
    return turns


def _too_slow(course: Course) -> Finding | None:
    """The loss hardly fell, though it went down steadily or not at all; or it was still falling
    fast at the end."""
    if course.reached:
        return None
    losses, steps = course.validation_losses, len(course.train_losses)
    moves = np.diff(losses)
    if course.fall < HARDLY:
        still = float(np.abs(moves).sum()) < STILL * course.scale
        if not still and np.mean(moves < 0) < STEADY:
            return None
        reason = (
            f"In {steps} steps the validation loss went from {losses[0]:.4g} only to"
            f" {losses.min():.4g}: a higher learning rate, or a start with larger gradients, is"
            " needed."
        )
        return Finding("too slow", "warning", 0, reason)
    last, since = float(losses[-1]), 2 * steps // 3
    before = float(np.interp(since, course.eval_steps, losses))
    fall = before - last
    much = fall > LATE * (losses[0] - last) or (last > 0 and fall > LATE_OF_REST * before)
    learnt = course.generalises and course.level(course.fitted) < LOW
    steady = np.mean(moves[-max(2, len(moves) // 3) :] < 0) >= STEADY
    if last >= before or not much or learnt or not steady:
        return None
    reason = (
        f"The validation loss was still falling, from {before:.3g} to {last:.3g} in the last third"
        f" of {steps} steps, and the target was missed: a higher learning rate or more steps are"
        " needed."
    )
    return Finding("too slow", "warning", since, reason)


def _plateau_from(course: Course) -> int | None:
    """The step from which the smoothed training loss stays near its end; None if that is not half
    of the run."""
    windows, unit = course.windows, course.train_scale if course.penalised else course.unit
    away = np.flatnonzero(np.abs(windows.means - course.end) > FLAT * unit)
    step = int(windows.stops[away[-1]]) if len(away) else 0
    return step if step <= len(course.train_losses) // 2 else None


def _plateaued(course: Course) -> Finding | None:
    """The training loss stopped falling while there was much left, and the target was missed."""
    step = _plateau_from(course)
    if course.reached or step is None or abs(course.level(course.fitted)) < LOW:
        return None
    reason = (
        f"From step {step} of {len(course.train_losses)} on the training loss stayed around"
        f" {course.end:.3g}, and the target was missed."
    )
    return Finding("plateaued", "note", step, reason)


def _at_chance(course: Course) -> Finding | None:
    """At the end neither loss nor metric was better than those of the best constant prediction."""
    level, task = course.chance, course.task
    loss, metric = float(course.validation_losses[-1]), float(course.validation_metrics[-1])
    if level is None or not np.isfinite([level.loss, level.metric]).all() or metric >= task.target:
        return None
    spread = 0.0
    if task.metric == "accuracy" and level.samples:
        spread = ERRORS * np.sqrt(level.metric * (1 - level.metric) / level.samples)
    scores = task.metric != "negative_loss" and metric > level.metric + max(spread, NO_BETTER)
    if scores or level.loss - loss > NO_BETTER * abs(level.loss):
        return None
    penalty = ", perhaps because of the penalty" if course.penalised else ""
    reason = (
        f"The validation loss ended at {loss:.4g}; the best constant prediction has"
        f" {level.loss:.4g}: the model tells samples apart no better than chance{penalty}."
    )
    return Finding("at chance", "warning", _at_chance_since(course, level.loss), reason)


def _at_chance_since(course: Course, level: float) -> int:
    """The last evaluated step before the validation loss stayed no better than chance, and the
    first evaluated step if it never was."""
    better = np.flatnonzero(level - course.validation_losses > NO_BETTER * abs(level))
    return int(course.eval_steps[better[-1]]) if len(better) else int(course.eval_steps[0])


def _under_fitting(course: Course) -> Finding | None:
    """A high training loss that no longer falls fast, with the validation loss close to it."""
    if course.reached or not course.generalises or course.level(course.fitted) < HIGH:
        return None
    last = float(course.validation_losses[-1])
    if last - course.fitted > GAP * course.unit:
        return None
    lower = last < course.end
    beside = "" if lower else f", and the validation loss, {last:.3g}, is not far above it"
    reason = (
        f"The {'validation' if lower else 'training'} loss stays at {course.fitted:.3g},"
        f" {course.level(course.fitted):.0%} of the way up to {course.floor + course.unit:.3g}, the"
        f" level without learning{beside}: the model, or its training, does not fit the samples"
        " that it sees."
    )
    return Finding("under-fitting", "warning", _plateau_from(course) or 0, reason)


def _rose_again(course: Course) -> Finding | None:
    """The validation loss ended far above its lowest, by more than it ever rose before."""
    losses, lowest = course.validation_losses, int(course.validation_losses.argmin())
    low, last, step = float(losses[lowest]), float(losses[-1]), int(course.eval_steps[lowest])
    rise = last - low
    before = losses[: lowest + 1]
    lows = np.minimum.accumulate(before)
    much = rise >= ROSE * abs(low) and rise > ROSE_OF_FALL * (course.start - low)
    much = much and rise > float((before - lows).max())
    # High losses move by more than the whole loss at the end: only multiples can be compared.
    many = low >= 0 and last >= TIMES * low and rise > LEAST * course.unit
    many = many and bool((last * lows > low * before).all())
    if not (much or many):
        return None
    reason = (
        f"The validation loss was lowest, {low:.3g}, after step {step}, and ended at {last:.3g}:"
        " the last weights are not the best, and the rate at the end may be too high."
    )
    return Finding("validation loss rose", "warning", step, reason)


def _over_fitting(course: Course) -> Finding | None:
    """The validation loss turned and rose for good, while the training loss fell on; or it stayed
    high, and the target was missed, while the training loss fell to less than half of it."""
    if not course.generalises:
        return None
    losses, lowest = course.validation_losses, int(course.validation_losses.argmin())
    after, low, step = losses[lowest + 1 :], float(losses[lowest]), int(course.eval_steps[lowest])
    late = float(np.median(after[-max(2, len(after) // 2) :])) if len(after) > 1 else low
    rise = late - low
    turned = rise > TURNED * abs(low) and rise > TURNED_OF_FALL * (float(losses[0]) - low)
    at_turn = course.smooth_at(step)
    # Dropout or a penalty may keep the training loss above the validation loss: then nothing shows
    # that it was fitted too well.
    gap = course.end < late
    if turned and gap and at_turn - course.end > STILL_LEARNT * abs(at_turn):
        reason = (
            f"The validation loss was lowest, {low:.3g}, after step {step} and rose to {late:.3g},"
            f" while the training loss fell from {at_turn:.3g} to {course.end:.3g}."
        )
        return Finding("over-fitting", "warning", step, reason)
    above, trained = low - course.floor, course.end - course.floor
    apart = low - course.end >= GAP * course.unit and trained <= APART * above
    if course.reached or course.level(course.end) > HIGH or not apart:
        return None
    reason = (
        f"The training loss fell to {course.end:.3g}, the validation loss no further than"
        f" {low:.3g}, after step {step}, and the target was missed."
    )
    return Finding("over-fitting", "warning", step, reason)


_RULES: tuple[Callable[[Course], Finding | None], ...] = (
    _at_chance,
    _too_slow,
    _over_fitting,
    _rose_again,
    _plateaued,
    _under_fitting,
    _spiked,
)
# A finding that says more, or the cause, and the rules that it hides.
_HIDES: Mapping[Rule, tuple[Rule, ...]] = {
    "too slow": ("plateaued", "under-fitting", "at chance"),
    "at chance": ("plateaued", "under-fitting"),
    "over-fitting": ("under-fitting", "validation loss rose"),
}
