"""`gradrace doctor`: is this machine fit to measure?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from ..errors import ExitCode
from ..output.terminal import print_table, say
from . import options

if TYPE_CHECKING:
    from ..machine.doctor import Diagnosis


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace doctor` takes."""

    output: options.Output
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Say what this machine and installation can do: frameworks, devices, cores, the clock.

    Ends with problems and how to mend them. Exit code 3 if no framework at all can be used."""
    from ..machine.doctor import diagnose
    from ..registry import load_registry

    found = diagnose(load_registry(), args.output)
    if args.as_json:
        say(json.dumps(found.to_json(), indent=1))
    else:
        _print(found)
    others = [each for each in found.frameworks if each["name"] != "numpy"]
    if not any(each["installed"] and not each["problem"] for each in others):
        raise typer.Exit(ExitCode.NOTHING_MEASURED)


def _print(found: Diagnosis) -> None:
    machine, clock = found.machine, found.clock
    cores = f"{machine['logical_cores']} cores ({len(machine['usable_cores'])} usable)"
    memory = f"{machine['memory_bytes'] / 2**30:.1f} GiB"
    say(f"gradrace  {found.gradrace['version']}, {found.gradrace['origin']}")
    say(f"machine   {machine['processor']}, {cores}")
    say(f"          {memory}, {machine['system']}, Python {machine['python']}")
    say(f"load      {machine['load']:.2f}")
    say(
        f"clock     {clock['tick_ns']:.0f} ns a reading; equal work varies by {clock['iqr']:.1%}"
        f" (interquartile range), worst {clock['worst']:.2f} times the median;"
        f" {clock['cpu_share']:.0%} of a core is ours"
    )
    rows = [
        {
            "framework": each["name"],
            "installed": "yes" if each["installed"] else "no",
            "versions": ", ".join(f"{name} {v}" for name, v in each["versions"].items()),
            "devices": ", ".join(each["devices"]),
            "CUDA": _cuda(each),
            "modes": ", ".join(each["modes"]),
        }
        for each in found.frameworks
    ]
    _print_gpus(found)
    for device, counter in found.energy.items():
        say(f"energy    {device}: {counter}")
    print_table("frameworks", rows)
    for problem, mend in found.problems:
        say(f"problem   {problem}\n  mend    {mend}")
    if not found.problems:
        say("no problems found")


def _cuda(framework: dict[str, Any]) -> str:
    """'13.0, cuDNN 9.19.0'."""
    about = framework["accelerator"]
    if not about.get("CUDA"):
        return "none" if about else ""
    return ", ".join(filter(None, (about["CUDA"], f"cuDNN {about.get('cuDNN') or 'unknown'}")))


def _print_gpus(found: Diagnosis) -> None:
    seen = [
        f"{each['name']}'s {what}: {about}"
        for each in found.frameworks
        for what, about in each["accelerator"].items()
        if what.startswith("GPU ")
    ]
    for card in found.cards:
        memory = f"{_gib(card['memory_mib'])} GiB, {_gib(card['free_mib'])} free"
        about = f"compute capability {card['capability']}, driver {card['driver']}"
        say(f"gpu       {card['index']}: {card['name']}, {memory}, {about}")
    for line in seen:
        say(f"          {line}")
    if not found.cards and not seen:
        say("gpu       none; with --device gpu every cell is skipped")
    if found.sharing:
        say(f"          {found.sharing}")


def _gib(mebibytes: str) -> str:
    """Some drivers answer '[N/A]'."""
    try:
        return f"{float(mebibytes) / 1024:.1f}"
    except ValueError:
        return "unknown"
