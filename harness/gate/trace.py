"""A convergence run as a baseline keeps it, and how far rounding alone may move it.

The band: the same run in float64 has almost no rounding, so its distance from the float32 run shows
how far rounding has carried this run, chaos of a high learning rate included. Another version or
machine rounds in another order and ends about as far away in another direction: FACTOR times that
distance is allowed. This is a measured scale, not a bound; docs/ci.md says what can hide in it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationInfo, field_validator

from ..record import RunRecord, Status
from ..spec import Dtype, Frozen, HyperValue, RunSpec, canonical_json

Array = np.ndarray
Steps = tuple[tuple[int, int], ...]

# Every step up to this one is kept, then every SPARSE-th.
DENSE, SPARSE = 50, 10
# The band: so many times the distance from float64, and at least so many units in the last place.
FACTOR, FLOOR_ULPS = 10.0, 4.0
EPSILON: dict[Dtype, float] = {"float32": 2.0**-23, "float64": 2.0**-52, "bfloat16": 2.0**-8}
# Float64 has no finer twin. 2^-30 (1e-9) is far above its rounding over some hundred steps, and far
# below a changed rule.
FLOAT64_BAND = -30


class Trace(Frozen):
    """A run as a baseline keeps it.

    spec: a digest of the run's spec, without its hyperparameters, which `hyper` holds. steps: how
    many were taken. losses: at `recorded(steps)`, up to the first that is not finite, as the run's
    dtype gives them (float32 and bfloat16 runs report float32 numbers). band: (i, e) pairs: from
    entry i of losses on, 2^e is the relative band; e never falls. final_band: the same exponent for
    the final validation loss."""

    id: str
    framework: str
    dtype: Dtype
    spec: str
    hyper: Mapping[str, HyperValue] = {}
    status: Status
    steps: int
    steps_to_target: int | None = None
    final_validation_loss: float | None = None
    losses: tuple[float, ...]
    band: Steps = ()
    final_band: int | None = None

    @field_validator("losses")
    @classmethod
    def _as_reported(cls, losses: tuple[float, ...], known: ValidationInfo) -> tuple[float, ...]:
        """Nine digits name a float32 number; here is the number itself."""
        return tuple(map(float, stored(losses, known.data.get("dtype", "float64"))))

    @property
    def seedless(self) -> str:
        """The id without the seed."""
        return self.id.rpartition("/")[0]

    @property
    def allowed(self) -> Array:
        """float64[len(losses)]: the relative band of each entry."""
        exponents = np.zeros(len(self.losses))
        for start, exponent in self.band:
            exponents[start:] = exponent
        return 2.0**exponents


def recorded(steps: int) -> Array:
    """int64[k]: the steps, of so many, that a baseline keeps."""
    dense, sparse = np.arange(min(steps, DENSE)), np.arange(DENSE, steps, SPARSE)
    return np.concatenate([dense, sparse]).astype(np.int64)


def make_trace(
    record: RunRecord, losses: Array, twin: Array | None = None, twin_final: float | None = None
) -> Trace:
    """From a finished run, its training losses float64[n], and losses and end of its twin."""
    spec, summary = record.spec, record.summary
    assert summary is not None, "a finished convergence run has a summary"
    kept = losses[recorded(len(losses))]
    kept = kept[: _first(~np.isfinite(kept))]
    widths = tuple((i, exponent) for i, exponent in band(losses, twin, spec.dtype) if i < len(kept))
    return Trace(
        id=spec.id,
        framework=spec.framework,
        dtype=spec.dtype,
        spec=spec_digest(spec),
        hyper=spec.optimizer.hyper,
        status=record.status,
        steps=len(losses),
        steps_to_target=summary.steps_to_target,
        final_validation_loss=summary.final_validation_loss,
        losses=tuple(map(float, kept)),
        band=widths,
        final_band=_final_band(summary.final_validation_loss, twin_final, widths),
    )


def spec_digest(spec: RunSpec) -> str:
    """12 hex digits of the spec, without the optimizer's hyperparameters and texts for people.

    Fields at their defaults are left out, so that a field added to specs later changes nothing.
    """
    asked: dict[str, Any] = spec.model_dump(mode="json", exclude_defaults=True)
    asked["optimizer"].pop("hyper", None)
    for text in ("title", "target_origin"):
        asked["task"].pop(text, None)
    return hashlib.sha256(canonical_json(asked).encode()).hexdigest()[:12]


def band(losses: Array, twin: Array | None, dtype: Dtype) -> Steps:
    """(i, e) pairs over the recorded entries: from entry i on, the band is 2^e.

    The running maximum of FACTOR times the relative distance to the twin, at least FLOOR_ULPS units
    in the last place, rounded up to a power of two. If the twin is shorter (one of the two
    diverged), its last distance holds on. float64 runs have FLOAT64_BAND; others without a twin
    have no band, ().
    """
    if dtype == "float64":
        return ((0, FLOAT64_BAND),)
    if twin is None or not len(twin):
        return ()
    shared = min(len(losses), len(twin))
    with np.errstate(invalid="ignore"):
        distance = np.abs(losses[:shared] - twin[:shared]) / _scale(twin[:shared], dtype)
    distance = np.where(np.isfinite(distance), distance, 1.0)
    widest = np.maximum.accumulate(np.maximum(FACTOR * distance, FLOOR_ULPS * EPSILON[dtype]))
    exponents = np.ceil(np.log2(widest)).astype(int)[recorded(len(losses)).clip(max=shared - 1)]
    rises = np.flatnonzero(np.diff(exponents, prepend=exponents[0] - 1))
    return tuple((int(i), int(exponents[i])) for i in rises)


def _final_band(final: float | None, twin: float | None, widths: Steps) -> int | None:
    """The last band of the losses; wider if the final validation loss is further from its twin."""
    if final is None or not widths:
        return None
    apart = abs(final - twin) / abs(twin) if twin else 0.0
    return max(widths[-1][1], math.ceil(math.log2(FACTOR * apart))) if apart else widths[-1][1]


def first_unequal(before: Trace, after: Trace) -> int | None:
    """The first entry of losses whose bits differ, as far as both go; None if all are equal."""
    shared = min(len(before.losses), len(after.losses))
    a, b = (stored(trace.losses[:shared], trace.dtype) for trace in (before, after))
    return _none_at_end(a != b)


def first_beyond(before: Trace, after: Trace) -> int | None:
    """The first entry of losses outside of the baseline's band, as far as both go; None if none."""
    relative = relative_distances(before, after)
    return _none_at_end(relative > before.allowed[: len(relative)])


def relative_distances(before: Trace, after: Trace) -> Array:
    """float64[k]: |after - before| / |before| of every entry that both have."""
    shared = min(len(before.losses), len(after.losses))
    a, b = (np.array(trace.losses[:shared]) for trace in (before, after))
    return np.abs(b - a) / _scale(a, before.dtype)


def stored(values: Sequence[float], dtype: Dtype) -> Array:
    """The numbers as a file of that dtype holds them: float64 for float64 runs, else float32."""
    return np.asarray(values, dtype=np.float64 if dtype == "float64" else np.float32)


def _scale(values: Array, dtype: Dtype) -> Array:
    """Distances are relative to this: a loss near 0 still has the rounding of the first loss."""
    rounding = EPSILON[dtype] * np.abs(values[:1]) + np.finfo(np.float64).tiny
    return np.maximum(np.abs(values), rounding)


def _first(true: Array) -> int:
    """Index of the first True, or the length."""
    return int(np.argmax(true)) if true.any() else len(true)


def _none_at_end(true: Array) -> int | None:
    found = _first(true)
    return found if found < len(true) else None
