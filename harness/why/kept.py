"""`gradrace time --profile`: a trace of each timed cell, from a launch after all timing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from ..errors import UserError
from ..jsonfile import writing
from ..paired import Side
from ..paired.measure import portable
from ..paired.sides import of_cells, of_interpreters
from ..registry import Registry
from ..spec import RunSpec
from .measure import TABLE_STEPS, folder_name, profile_of, profiled_steps, profiler_file
from .process import NoProfile, SideProcess

Watch = Callable[[str], None]


def keep_traces(
    runs: Sequence[RunSpec],
    registry: Registry,
    interpreters: dict[str, str],
    folder: Path,
    watch: Watch = lambda line: None,
) -> Iterator[str]:
    """Profiles the first launch of every timing run; gives a line for people about each.

    interpreters: framework -> the Python that runs it, if not this one. folder: gets a folder for
    each cell. UserError if it cannot be written."""
    cells = [run for run in runs if run.measure == "timing" and run.launch == 0]
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for run in cells:
            watch(f"profiling {run.id}")
            python = interpreters.get(run.framework, "")
            try:
                if python not in sides:
                    both = (
                        of_interpreters(python, python, registry.plugins)
                        if python
                        else of_cells("this interpreter", "", registry.plugins)
                    )
                    sides[python] = stack.enter_context(both)[0]
                files = _keep(run, sides[python], registry, folder / cell_folder(run))
                yield from (f"trace: {file}" for file in files)
            except (NoProfile, UserError) as error:
                yield f"no trace of {run.id}: {error}"


def cell_folder(run: RunSpec) -> str:
    """The name of the folder for a timing run's traces."""
    return folder_name(run.id.removeprefix("timing/").removesuffix(f"/launch{run.launch}"))


def _keep(run: RunSpec, side: Side, registry: Registry, folder: Path) -> list[Path]:
    """The files of the traces. NoProfile with the reason if there are none."""
    file = profiler_file(registry.frameworks[run.framework])
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with SideProcess(side, run) as process:
        process.ready()
        process.ask({"do": "open", "cell": 0, "spec": portable(run, TABLE_STEPS)})
        steps = profiled_steps(process.ask({"do": "try", "cell": 0})["step_s"])
        process.ask({"do": "warm", "cell": 0, "block_steps": steps, "steps": steps})
        profile = profile_of(process, file, steps, folder.resolve())
    if not profile.traces:
        raise NoProfile("; ".join(profile.notes) or "its profiler writes none")
    return [folder / name for name in profile.traces]
