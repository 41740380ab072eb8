"""Rules on learning curves. Each compares losses with losses of the same run, so that the loss's scale cancels out.

docs/diagnosis.md gives the reasons of the thresholds and what the rules cannot see.
"""

from __future__ import annotations

import numpy as np

from .course import Course
from .finding import Finding

# All shares are of the loss at the start (Course.scale) unless another is named.
RISEN = 0.5  # diverged: both losses ended this much above the start
RELAPSE = 0.25  # oscillating: the smoothed training loss rose again by this
SWING = 0.1  # oscillating: a turn up or down, as a share of what the loss fell in all
LEAST_FALL = 0.5  # ... where it fell by less than this, swings are measured in this
TURNS = 3  # oscillating: that many turns; falling and then rising, as in over-fitting, is one
NOISE = 4.0  # a swing of the smoothed training loss is that many of its standard errors
HARDLY = 0.05  # too slow: both losses fell by less than this
STILL = 1e-3  # too slow: all moves of the validation loss together are less than this
STEADY = 0.7  # too slow: the share of moves of the validation loss that go down
LATE = 0.2  # too slow: the share of its whole fall that the last third of the steps brought to the validation loss
LATE_OF_REST = 0.15  # ... or, of positive losses, the share of what was left by which it still fell
FLAT = 0.02  # plateaued: the training loss stays within this
LOW = 0.1  # below this the training loss has nothing left to learn
HIGH = 0.25  # under-fitting: the training loss ended above this
GAP = 0.1  # under-fitting: the validation loss is no further above the training loss; over-fitting: it is
TURNED = 0.1  # over-fitting: the share of its lowest value by which the validation loss rose again
TURNED_OF_FALL = 0.02  # over-fitting: and the share of its whole fall
STILL_LEARNT = 0.1  # over-fitting: the share by which the training loss fell meanwhile


def judge(course: Course) -> list[Finding]:
    """Findings on the curve. One that diverged or oscillates is not judged by where it ended: that is a consequence."""
    end = _diverged(course)
    if end:
        return [end]
    if not course.judgeable or not course.scale:
        return []
    unstable = _rose(course) or _oscillating(course)
    if unstable:
        return [unstable]
    rules = (_too_slow, _over_fitting, _plateaued, _under_fitting)
    found = [finding for rule in rules if (finding := rule(course))]
    slow = any(finding.rule == "too slow" for finding in found)
    return [f for f in found if not slow or f.rule not in ("plateaued", "under-fitting")]


def _diverged(course: Course) -> Finding | None:
    """The run ended so, or has a loss that is not a number."""
    bad_train, bad_validation = (~np.isfinite(values) for values in (course.train_losses, course.validation_losses))
    if not (course.diverged or bad_train.any() or bad_validation.any()):
        return None
    steps = [*np.flatnonzero(bad_train)[:1], *course.eval_steps[bad_validation][:1]]
    step = int(min(steps)) if steps else max(0, len(course.train_losses) - 1)
    said = course.reason or f"a loss at step {step} is not finite"
    return Finding("diverged", "error", step, f"{said[:1].upper()}{said[1:]}: the learning rate is too high for this start.")


def _rose(course: Course) -> Finding | None:
    """Both losses ended far above where they began."""
    rises = (course.end - course.start, float(course.validation_losses[-1]) - float(course.validation_losses[0]))
    if min(rises) <= RISEN * course.scale:
        return None
    above = course.windows.means - course.start > RISEN * course.scale
    last_fine = int(np.flatnonzero(~above)[-1]) + 1 if (~above).any() else 0
    step = int(course.windows.stops[last_fine - 1]) if last_fine else 0
    return Finding(
        "diverged", "error", step,
        f"The training loss ended at {course.end:.3g}, far above {course.start:.3g} where it began: the learning rate is too "
        "high.",
    )  # fmt: skip


def _oscillating(course: Course) -> Finding | None:
    """The smoothed training loss rose again by much, or it or the validation loss, which no batch makes noisy, went up and
    down by much of what there was to fall."""
    windows, noise = course.windows, NOISE * float(np.median(course.windows.errors))
    means, stops = windows.means, windows.stops
    lowest = np.minimum.accumulate(means)
    relapsed = np.flatnonzero(means - lowest > max(RELAPSE * course.scale, noise))
    if len(relapsed):
        first = relapsed[0]
        bottom = int(np.flatnonzero(means[:first] == lowest[first])[-1])
        return Finding(
            "oscillating", "warning", int(stops[bottom]),
            f"The smoothed training loss rose from {means[bottom]:.3g} at step {stops[bottom]} to as much as "
            f"{means[relapsed].max():.3g}: the learning rate is too high.",
        )  # fmt: skip
    seen = (
        ("validation", course.validation_losses, course.eval_steps, 0.0),
        ("smoothed training", means, stops, noise),
    )
    for name, values, steps, least in seen:
        swing = max(SWING * max(values[0] - values.min(), LEAST_FALL * course.scale), least)
        turns = turning_points(values, swing)
        if len(turns) >= TURNS:
            return Finding(
                "oscillating", "warning", int(steps[turns[0]]),
                f"The {name} loss turned {len(turns)} times by more than {swing:.3g}, between "
                f"{values[turns].min():.3g} and {values[turns].max():.3g}: the learning rate is too high.",
            )  # fmt: skip
    return None


def turning_points(values: np.ndarray, swing: float) -> list[int]:
    """Indices of the extremes between which values[n] move by more than `swing` up and down; ends are none of them."""
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
    """The loss hardly fell, though it went down steadily or not at all; or it was still falling fast at the end."""
    if course.reached:
        return None
    losses, steps = course.validation_losses, len(course.train_losses)
    moves = np.diff(losses)
    if course.fall < HARDLY * course.scale:
        still = float(np.abs(moves).sum()) < STILL * course.scale
        if not still and np.mean(moves < 0) < STEADY:
            return None
        return Finding(
            "too slow", "warning", 0,
            f"In {steps} steps the validation loss went from {losses[0]:.4g} only to {losses.min():.4g}: a higher learning rate, "
            "or a start with larger gradients, is needed.",
        )  # fmt: skip
    last, since = float(losses[-1]), 2 * steps // 3
    before = float(np.interp(since, course.eval_steps, losses))
    much = before - last > LATE * (losses[0] - last) or (last > 0 and before - last > LATE_OF_REST * before)
    learnt = course.generalises and course.end < LOW * course.scale
    if last >= before or not much or learnt or np.mean(moves[-max(2, len(moves) // 3) :] < 0) < STEADY:
        return None
    return Finding(
        "too slow", "warning", since,
        f"The validation loss was still falling, from {before:.3g} to {last:.3g} in the last third of {steps} steps, and the "
        "target was missed: a higher learning rate or more steps are needed.",
    )  # fmt: skip


def _plateau_from(course: Course) -> int | None:
    """The step from which the smoothed training loss stays where it ends; None where that is not half of the run."""
    windows = course.windows
    away = np.flatnonzero(np.abs(windows.means - course.end) > FLAT * course.scale)
    step = int(windows.stops[away[-1]]) if len(away) else 0
    return step if step <= len(course.train_losses) // 2 else None


def _plateaued(course: Course) -> Finding | None:
    """The training loss stopped falling while there was much left, and the target was missed."""
    step = _plateau_from(course)
    if course.reached or step is None or abs(course.end) < LOW * course.scale:
        return None
    return Finding(
        "plateaued", "note", step,
        f"From step {step} of {len(course.train_losses)} on the training loss stayed within {FLAT:.0%} of the first loss "
        f"around {course.end:.3g}, and the target was missed.",
    )  # fmt: skip


def _under_fitting(course: Course) -> Finding | None:
    """A high training loss that no longer falls fast, with the validation loss close to it."""
    if course.reached or not course.generalises or course.end < HIGH * course.scale:
        return None
    last = float(course.validation_losses[-1])
    if last - course.end > GAP * course.scale:
        return None
    return Finding(
        "under-fitting", "warning", _plateau_from(course) or 0,
        f"The training loss stays at {course.end:.3g}, {course.end / course.scale:.0%} of where it began, and the validation "
        f"loss, {last:.3g}, is no worse: the model, or what drives it, does not fit the samples that it sees.",
    )  # fmt: skip


def _over_fitting(course: Course) -> Finding | None:
    """The validation loss turned and rose for good, while the training loss fell on; or it stayed high, and the target was
    missed, while the training loss fell to next to nothing."""
    if not course.generalises:
        return None
    losses, lowest = course.validation_losses, int(course.validation_losses.argmin())
    after, low, step = losses[lowest + 1 :], float(losses[lowest]), int(course.eval_steps[lowest])
    late = float(np.median(after[-max(2, len(after) // 2) :])) if len(after) > 1 else low
    turned = late - low > TURNED * abs(low) and late - low > TURNED_OF_FALL * (float(losses[0]) - low)
    at_turn = course.smooth_at(step)
    if turned and at_turn - course.end > STILL_LEARNT * abs(at_turn):
        return Finding(
            "over-fitting", "warning", step,
            f"The validation loss was lowest, {low:.3g}, after step {step} and rose to {late:.3g}, while the training loss "
            f"fell from {at_turn:.3g} to {course.end:.3g}.",
        )  # fmt: skip
    if course.reached or abs(course.end) > LOW * course.scale or low - course.end < GAP * course.scale:
        return None
    return Finding(
        "over-fitting", "warning", step,
        f"The training loss fell to {course.end:.3g}, the validation loss no further than {low:.3g}, after step {step}, and "
        "the target was missed.",
    )  # fmt: skip
