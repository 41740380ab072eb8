"""The user's choices for a sweep, and the suite that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import limits
from ..errors import UserError, nearest
from ..executor.make import LOCAL, check_executor
from ..jsonfile import shown, there
from ..machine import usable_cores
from ..registry import Registry
from ..strict import given
from ..suite import Suite, with_content, with_data_at_hand, with_plugins
from .lanes import Population, check_population

# Beyond this a slip of the keyboard is likelier, and memory ends before the cores do.
_WORKERS_A_CORE = 8


@dataclass(frozen=True)
class Options:
    """The user's choices beside the suite; None and empty leave the suite as it is.

    clock_only: train nothing to convergence, time it instead; by default as `suite.TimingEntry`.
    timing: keys of the suite's timing part with other values. workers: how many convergence runs go
    on side by side; 0: as cores and threads allow. scale: one of `suite.SuiteFile.scales`.
    train_fractions and diagnose replace the suite's keys. population: how many lanes train at once,
    see `sweep.lanes`. executor, address: see `executor.make`."""

    output: Path = Path("results")
    keyword: str = ""
    frameworks: tuple[str, ...] = ()
    seeds: int | None = None
    threads: int | None = None
    device: str | None = None
    timeout_s: float = 600.0
    shard: tuple[int, int] = (1, 1)
    interpreters: Mapping[str, str] = field(default_factory=dict)
    dtype: str | None = None
    clock_only: bool = False
    timing: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 0
    scale: str | None = None
    train_fractions: tuple[float, ...] = ()
    diagnose: bool = False
    population: Population = "auto"
    executor: str = LOCAL
    address: str = ""


def check_options(options: Options, registry: Registry) -> None:
    """UserError for options that no run could use, also for users of Python."""
    check_executor(options.executor, options.address)
    here = options.executor == LOCAL
    most = _WORKERS_A_CORE * len(usable_cores()) if here else limits.THREADS
    workers = options.workers
    if isinstance(workers, bool) or not isinstance(workers, int) or not 0 <= workers <= most:
        raise UserError(
            f"-j {workers}: expected a number of workers from 0 (as many as cores allow) to {most}"
            f"{' on this machine' * here}"
        )
    check_population(options.population)
    if not 0 < options.timeout_s <= limits.SECONDS:
        raise UserError(
            f"timeout {options.timeout_s:g} s: expected more than 0 and at most {limits.SECONDS:g}"
        )
    if there(options.output) and not options.output.is_dir():
        raise UserError(f"--output {shown(options.output)}: not a folder; choose another one")
    index, of = options.shard
    if not 1 <= index <= of:
        raise UserError(f"shard {index}/{of}: expected i/n with 1 <= i <= n")
    for name in options.interpreters:
        if name not in registry.frameworks:
            known = nearest(name[:80], registry.frameworks)
            raise UserError(f"--python {given(name)}: no such framework{known}")


def overridden(suite: Suite, registry: Registry, options: Options) -> Suite:
    """The suite with the user's own files and the options but its scale, checked like the file."""
    suite = with_plugins(with_data_at_hand(suite, registry), registry)
    content = suite.content.model_dump(exclude_unset=True)
    for key in ("seeds", "threads", "device", "dtype"):
        if getattr(options, key) is not None:
            content[key] = getattr(options, key)
    if options.train_fractions:
        content["train_fractions"] = list(options.train_fractions)
    if options.diagnose:
        content["diagnose"] = True
    if options.clock_only:
        # The trained part stays in the suite: its settings are timed too.
        content["timing"] = {**(content.get("timing") or {}), **options.timing}
    if options.frameworks:
        content["frameworks"] = list(options.frameworks)
    return with_content(suite, content)
