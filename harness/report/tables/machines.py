"""Results of several machines in one table: how rows say whose they are. Short, if it can be: the
host's name."""

from __future__ import annotations

import pandas as pd

from ...machine.identity import identity
from ...results.frame import Frames
from .grouping import texts, varies


def are_of_several_machines(frames: Frames, rows: pd.DataFrame) -> bool:
    """Whether several machines computed these runs, whichever of their cards did."""
    return len({identity(frames.records[digest]).whole for digest in rows["digest"]}) > 1


def timed_on_several(rows: pd.DataFrame) -> bool:
    """Whether these timed runs or cells are of several machines, or of several cards."""
    return varies(rows, "machine", ["device"])


def machine_labels(rows: pd.DataFrame) -> dict[str, str]:
    """Machine -> its host, or its whole name if the host is not known or has several."""
    pairs = rows[["device", "host", "machine"]].drop_duplicates()
    counts = pairs.groupby(["device", "host"]).size()
    shared = {"", *(host for (_, host), n in counts.items() if n > 1)}
    return {
        machine: machine if host in shared else host
        for host, machine in zip(pairs["host"], pairs["machine"], strict=True)
    }


def setups(rows: pd.DataFrame) -> pd.Series:
    """The setups of timed runs, with their machine if there are several: 'jax (jit) on a1'."""
    if not timed_on_several(rows):
        return rows["setup"]
    named = machine_labels(rows)
    pairs = zip(rows["setup"], rows["machine"], strict=True)
    return texts(rows, [f"{setup} on {named[machine]}" for setup, machine in pairs])
