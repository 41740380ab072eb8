"""Performance profiles and the AlgoPerf score of a pool's times to target; lower is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .arrivals import median_time
from .intervals import Array

R_MAX = 4.0


class Profile(NamedTuple):
    """Shares of tasks within a factor of the pool's best; every optimizer affects all rows.

    pool: names, the rows. tasks: names, the columns. times, ratios: float[pool, tasks], infinite
    for a miss. score: float[pool], the normalised area under rho from 1 to r_max, between 0 and 1,
    the higher the better. unreached: tasks that no optimizer reached, misses for all.
    """

    pool: tuple[str, ...]
    tasks: tuple[str, ...]
    times: Array
    ratios: Array
    score: Array
    r_max: float
    unreached: tuple[str, ...]

    def rho(self, tau: Array | float) -> Array:
        """float[pool, taus]: share of tasks on which each is within a factor tau of the best."""
        return (self.ratios[:, None, :] <= np.atleast_1d(tau)[None, :, None]).mean(axis=2)


def performance_profile(
    times: Mapping[str, Sequence[Array] | Array], tasks: Sequence[str], r_max: float = R_MAX
) -> Profile:
    """The pool's profile (Dolan & Moré 2002, section 2) and AlgoPerf score, from times to target.

    times: per optimizer one float[studies] per task, in any unit above 0, infinite for a study that
    missed the target; a study is a seed, or the best of a study's tuning trials. The time t of a
    task is the median over studies, the ratio r = t / the pool's least t, rho(tau) the share of
    tasks with r <= tau, and the score B = 1 / (r_max - 1) * integral of rho from 1 to r_max (Dahl
    et al. 2023, "Benchmarking Neural Network Training Algorithms", the section on scoring). rho is
    a staircase, so B is exact: the mean of max(0, r_max - r) / (r_max - 1).

    UserError for an empty pool, a missing task, a time that is NaN or not above 0, or an r_max not
    above 1."""
    if not times:
        raise UserError("a performance profile needs at least one optimizer")
    if not r_max > 1:
        raise UserError(f"a profile is drawn from 1 to r_max, which must be above 1, not {r_max}")
    medians = np.stack([_medians(name, of_tasks, tasks) for name, of_tasks in times.items()])
    best = medians.min(axis=0)
    ratios = np.where(np.isinf(medians), np.inf, medians / np.where(np.isinf(best), 1, best))
    score = np.clip(r_max - ratios, 0, None).mean(axis=1) / (r_max - 1)
    unreached = tuple(task for task, least in zip(tasks, best, strict=True) if np.isinf(least))
    return Profile(tuple(times), tuple(tasks), medians, ratios, score, r_max, unreached)


def _medians(name: str, of_tasks: Sequence[Array] | Array, tasks: Sequence[str]) -> Array:
    """float[tasks]: one optimizer's medians over studies; infinite if half or more missed."""
    if len(of_tasks) != len(tasks) or not tasks:
        raise UserError(
            f"{name}: times of {len(of_tasks)} tasks, not {len(tasks)} as compared; a miss is"
            " infinity"
        )
    for task, studies in zip(tasks, of_tasks, strict=True):
        studies = np.asarray(studies, dtype=np.float64)
        if studies.size == 0 or not (studies > 0).all():
            raise UserError(
                f"{name} on {task}: at least one time above 0 is needed; a miss is infinity,"
                " not NaN"
            )
    return np.array([median_time(studies, np.isfinite(studies)) for studies in of_tasks])
