"""Search under a budget from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..results.frame import Frames
    from ..sweep.lanes import Population


def tune(  # noqa: PLR0913 - the options of `gradrace tune`, by keyword
    task: str | Sequence[str],
    optimizer: str | Sequence[str],
    *,
    framework: str | Sequence[str] = (),
    budget: int = 50,
    sampler: str = "random",
    space: Sequence[str] = (),
    seed: int = 0,
    seeds: int = 1,
    fresh_seeds: int = 5,
    nested_cv: str | None = None,
    schedule: str = "constant",
    steps: int | None = None,
    batch_size: int | None = None,
    name: str | None = None,
    output: str | Path = "results",
    load: Sequence[str | Path] = (),
    workers: int = 0,
    population: Population = "auto",
    threads: int = 1,
    device: str = "cpu",
    dtype: str = "float32",
    timeout_s: float = 600.0,
    executor: str = "local",
    address: str = "",
) -> Frames:
    """Searches optimizers' settings under a budget of trials, as `gradrace tune`, and scores the
    winner and the default settings on fresh seeds. The same call goes on where it was stopped.

    Returns the results of the study, trials among them: `frames.best()` ranks what was tried,
    `gradrace.plot.tuning(frames)` draws it, and `frames.studies` has what was asked. task,
    optimizer, framework: a name or several. The others are as the options of the command line.

    Raises gradrace.UserError for anything misspelt or impossible; failed trials are rows with a
    status."""
    from ..commands.tune import study_name
    from ..results.frame import load as load_frames
    from ..tune.prepare import StudyRequest, prepare
    from ..tune.search import StudyPlace, execute

    request = StudyRequest(
        tasks=_several(task),
        optimizers=_several(optimizer),
        frameworks=_several(framework),
        spaces=tuple(space),
        nested=nested_cv,
        load=tuple(Path(file) for file in load),
        others={
            **{"sampler": sampler, "budget": budget, "seed": seed, "seeds": seeds},
            **{"fresh_seeds": fresh_seeds, "schedule": schedule, "steps": steps},
            **{"batch_size": batch_size, "threads": threads, "device": device, "dtype": dtype},
        },
    )
    ready = prepare(request)
    place = StudyPlace(
        output=Path(output),
        name=study_name(ready.study) if name is None else name,
        registry=ready.registry,
        timeout_s=timeout_s,
        workers=workers,
        population=population,
        executor=executor,
        address=address,
    )
    execute(ready.study, ready.combinations, place)
    return load_frames(output, place.name)


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
