"""Who suggests a trial: a pure function of the search, the trial's number and earlier trials.

No sampler outlives a suggestion, so the same question after a kill gets the same answer. random,
qmc and grid depend on the number alone; tpe and gp are Optuna's, made anew for each trial with a
seed of their own, because a seeded sampler that is opened again repeats its first suggestions."""

from __future__ import annotations

import importlib.util
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError, nearest
from ..optimizer import SearchSpace
from ..plugins.space import at, free
from . import space as spaces

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("random", "qmc", "grid", "tpe", "gp")
# These learn from earlier trials.
LEARNING = ("tpe", "gp")


@dataclass(frozen=True)
class Told:
    """A trial as a sampler sees it. score: None if it failed or has none yet."""

    settings: Mapping[str, float]
    score: float | None
    running: bool = False


@dataclass(frozen=True)
class Search:
    """A search as a sampler sees it. `stream` tells searches apart that share a seed."""

    sampler: str
    space: SearchSpace
    budget: int
    seed: int
    stream: str
    higher_is_better: bool


def check_sampler(name: str) -> None:
    """UserError for an unknown sampler, or one whose package is not installed."""
    if name not in SAMPLERS:
        raise UserError(f"--sampler: no sampler {name!r}{nearest(name, SAMPLERS)}")
    if name in LEARNING and importlib.util.find_spec("optuna") is None:
        raise UserError(
            f"--sampler {name} needs Optuna: pip install 'gradrace[tune]'; random, qmc and grid do"
            " without"
        )
    if name == "gp" and importlib.util.find_spec("torch") is None:
        raise UserError(
            "--sampler gp: Optuna's Gaussian process needs PyTorch: pip install torch; tpe does"
            " without"
        )


def trials(search: Search) -> int:
    """Number of trials: the budget, or the points of a grid within it."""
    if search.sampler == "grid":
        return len(spaces.grid(search.space, search.budget))
    return search.budget


def suggest(search: Search, number: int, before: Sequence[Told]) -> dict[str, float]:
    """Settings of trial `number`, from 0: every hyperparameter of the space, learning rate too."""
    return spaces.settings(search.space, _SUGGEST[search.sampler](search, number, before))


def _at(search: Search, shares: Sequence[float]) -> dict[str, float]:
    return {
        name: at(given, share)
        for (name, given), share in zip(free(search.space).items(), shares, strict=True)
    }


def _stream(search: Search) -> int:
    return zlib.crc32(search.stream.encode())


def _random(search: Search, number: int, before: Sequence[Told]) -> dict[str, float]:
    rng = np.random.default_rng([search.seed, _stream(search), number])
    return _at(search, rng.random(len(free(search.space))).tolist())


def _qmc(search: Search, number: int, before: Sequence[Told]) -> dict[str, float]:
    """Scrambled Sobol points (Owen 1998, "Scrambling Sobol' and Niederreiter-Xing points")."""
    from scipy.stats import qmc

    seed = int(np.random.default_rng([search.seed, _stream(search)]).integers(2**31))
    points = qmc.Sobol(len(free(search.space)), scramble=True, seed=seed)
    with warnings.catch_warnings():
        # Only powers of two are balanced, but any number of points may be drawn.
        warnings.simplefilter("ignore", UserWarning)
        return _at(search, points.random(number + 1)[-1].tolist())


def _grid(search: Search, number: int, before: Sequence[Told]) -> dict[str, float]:
    return spaces.grid(search.space, search.budget)[number]


def _tpe(search: Search, number: int, before: Sequence[Told]) -> dict[str, float]:
    """Bergstra et al. (2011), "Algorithms for Hyper-Parameter Optimization", as Optuna has it."""

    def make(optuna: Any, seed: int) -> Any:
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)

    return _ask(search, number, before, make)


def _gp(search: Search, number: int, before: Sequence[Told]) -> dict[str, float]:
    return _ask(search, number, before, lambda optuna, seed: optuna.samplers.GPSampler(seed=seed))


def _ask(search: Search, number: int, before: Sequence[Told], make: Any) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seed = int(np.random.default_rng([search.seed, _stream(search), number]).integers(2**31))
        study = optuna_study(search, before, make, seed)
        return dict(study.ask(_distributions(search.space)).params)


def optuna_study(
    search: Search, before: Sequence[Told], make: Any = None, seed: int = 0
) -> optuna.Study:
    """These trials as a study of Optuna's, in coordinates of the space."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=make(optuna, seed) if make else None,
        direction="maximize" if search.higher_is_better else "minimize",
    )
    distributions, ranges = _distributions(search.space), free(search.space)
    states = optuna.trial.TrialState
    for told in before:
        ended = states.FAIL if told.score is None else states.COMPLETE
        trial = optuna.trial.create_trial(
            params={name: spaces.coordinate(ranges[name], told.settings[name]) for name in ranges},
            distributions=distributions,
            state=states.RUNNING if told.running else ended,
            value=None if told.running else told.score,
        )
        study.add_trial(trial)
    return study


def _distributions(space: SearchSpace) -> dict[str, Any]:
    import optuna

    return {
        name: optuna.distributions.FloatDistribution(given.low, given.high, log=given.log)
        for name, given in free(space).items()
    }


_SUGGEST = dict(zip(SAMPLERS, (_random, _qmc, _grid, _tpe, _gp), strict=True))
