"""Options that several commands take: type, default, names and help text, once each.

A command that wants another default gives it to its field: `device: Device = "cpu"`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .. import limits
from . import completion
from .numbers import BUDGET_S, SECONDS, count

# -- what is run

_SUITE = "A suite's name (`gradrace list suites`) or the path of a TOML file."
Suite = Annotated[str, Argument(help=_SUITE, autocompletion=completion.suites)]
_KEYWORD = "Only what is named by all these words, and by none after a '!': 'adam !lstm'."
Keyword = Annotated[str, Option("", "-k", help=_KEYWORD)]
_FRAMEWORK = "Instead of the suite's frameworks; may be repeated."
FRAMEWORK_NAMES = completion.named("frameworks")
Frameworks = Annotated[
    tuple[str, ...],
    Option((), "--framework", help=_FRAMEWORK, autocompletion=FRAMEWORK_NAMES),
]
Device = Annotated[str | None, Option(None, help="cpu or gpu instead of the suite's.")]
_DTYPE = "float32, bfloat16 or float64 instead of the suite's."
Dtype = Annotated[str | None, Option(None, help=_DTYPE)]
_THREADS = "Threads of a worker instead of the suite's."
Threads = Annotated[int | None, Option(None, parser=count(1, limits.THREADS), help=_THREADS)]
_LOAD = (
    "A Python file with an optimizer, task, schedule or data set of your own, or an optimizer's"
    " import path such as torch:schedulefree.AdamWScheduleFree; may be repeated."
)
Load = Annotated[tuple[Path, ...], Option((), "--load", help=_LOAD)]

# -- how it is run

_WORKERS = "Workers that train side by side; 0: as many as the cores allow."
Workers = Annotated[int, Option(0, "--jobs", "-j", parser=count(0, limits.THREADS), help=_WORKERS)]
_EXECUTOR = "local, or ray: on the nodes of a Ray cluster that runs already."
Executor = Annotated[str, Option("local", metavar="local|ray", help=_EXECUTOR)]
_ADDRESS = (
    "Of Ray's cluster: HOST:PORT or ray://HOST:PORT; by default auto, the one that runs here."
)
Address = Annotated[str, Option("", help=_ADDRESS)]
_POPULATION = "Lanes that train at once in one program: auto (as many as pay), off, or a number."
Population = Annotated[str, Option("auto", "--population", metavar="auto|off|N", help=_POPULATION)]
_PYTHON = "FRAMEWORK=INTERPRETER: run it in another Python; may be repeated."
Pythons = Annotated[tuple[str, ...], Option((), "--python", help=_PYTHON)]
_DATA_DIR = "Folder of downloaded data; $GRADRACE_DATA or the user's cache by default."
DataDir = Annotated[Path | None, Option(None, help=_DATA_DIR)]
_TIMEOUT = "Seconds after which a run is given up."
Timeout = Annotated[float, Option(600.0, "--timeout", parser=SECONDS, help=_TIMEOUT)]
_DRY_RUN = "List the runs and what is cached; run nothing."
DryRun = Annotated[bool, Option(False, "--dry-run", help=_DRY_RUN)]

# -- results and messages

Output = Annotated[Path, Option(Path("results"), "--output", "-o", help="Folder of results.")]
_SUITES = "Which suites; all that have results by default."
Suites = Annotated[tuple[str, ...], Argument((), help=_SUITES, autocompletion=completion.results)]
_REPORT = "Write the HTML report."
Report = Annotated[bool, Option(True, "--report/--no-report", help=_REPORT)]
_QUIET = "No progress; of failed runs, each reason once."
Quiet = Annotated[bool, Option(False, "--quiet", "-q", help=_QUIET)]
_JSON = "Machine-readable output on standard output."
AsJson = Annotated[bool, Option(False, "--json", help=_JSON)]

# -- two sides against each other

_BASE = "A commit to compare the working tree with: HEAD~1, origin/main, a tag."
Base = Annotated[str | None, Option(None, help=_BASE)]
_HEAD = "With --base: a commit to judge instead of the working tree."
Head = Annotated[str | None, Option(None, help=_HEAD)]
_MEASURE = "step (time), first_call (time with compilation), memory or energy: what is compared."
Measure = Annotated[str, Option("step", metavar="step|first_call|memory|energy", help=_MEASURE)]
_A_PYTHON = "Interpreter of A, the base: two versions of a framework, say."
APython = Annotated[str | None, Option(None, help=_A_PYTHON)]
BPython = Annotated[str | None, Option(None, help="Interpreter of B, which is judged.")]
_BUDGET = "Seconds after which no further launch is begun."
Budget = Annotated[float, Option(180.0, "--budget", parser=BUDGET_S, help=_BUDGET)]
_LAUNCHES = "Launches of every cell before it is judged for the first time."
Launches = Annotated[int, Option(6, parser=count(3, limits.LAUNCHES), help=_LAUNCHES)]
_DIRTY = "With --base, also judge changes that are not committed."
AllowDirty = Annotated[bool, Option(False, "--allow-dirty", help=_DIRTY)]
_STRICT = "Exit code 6 if a verdict stays suspected or inconclusive."
Strict = Annotated[bool, Option(False, "--strict", help=_STRICT)]
