"""The importance of each hyperparameter."""

from __future__ import annotations

import warnings

from ..plugins.space import free
from .results import SearchResult
from .samplers import Search, optuna_study
from .study import StudyFile
from .trials import told

FEWEST = 8


def importances(study: StudyFile, found: SearchResult) -> dict[str, float]:
    """Share of the scores' variance by hyperparameter, the largest first.

    Empty with fewer than FEWEST trials, equal scores, or a single hyperparameter. fANOVA on a
    random forest (Hutter, Hoos & Leyton-Brown 2014), as Optuna has it, seeded. A diverged trial
    counts as trials.worst_score says, a failed one is left out.
    """
    import optuna

    space = study.spaces[found.key[1]].space
    trials = [trial for trial in found.trials if trial.state in ("ok", "diverged")]
    numbers = told(trials, found.higher, found.chance)
    ended_ok = any(trial.state == "ok" for trial in trials)
    few = len(trials) < FEWEST or len(free(space)) < 2 or len({one.score for one in numbers}) < 2
    if few or not ended_ok:
        return {}
    search = Search(study.sampler, space, study.budget, study.seed, found.key[1], found.higher)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = optuna_study(search, numbers)
        shares = optuna.importance.get_param_importances(
            kept, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=study.seed)
        )
    return {name: float(share) for name, share in shares.items()}
