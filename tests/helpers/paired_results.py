"""Verdicts and whole comparisons made by hand, and the processes of a launch by declared times."""

from __future__ import annotations

from typing import Any

from gradrace.machine import this_machine
from gradrace.paired import PairedResult, PairVerdict, StopRule


class Scripted:
    """Both sides of a launch, answering with declared times: ns a block by cell and side."""

    def __init__(self, block_ns: dict[int, tuple[int, int]]) -> None:
        self._block_ns = block_ns
        self.asked: list[tuple[str, int, int]] = []

    def ask(self, side: int, request: dict[str, Any], differ: bool = True) -> dict[str, Any]:
        self.asked.append((request["do"], request["cell"], side))
        wall = self._block_ns[request["cell"]][side]
        return {"parts": [], "step_s": wall * 1e-9, "wall_ns": wall, "cpu_ns": wall, "switches": 0}

    def ask_both(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return [self.ask(side, request) for side in (0, 1)]


def verdict(cell: str, decision: str, **fields: Any) -> PairVerdict:
    return PairVerdict(cell=cell, a="a", b="b", decision=decision, **fields)


def comparison(*cells: PairVerdict, **fields: Any) -> PairedResult:
    made = {"started_at": "", "seconds": 60.0, "rule": StopRule(), "a": {}, "b": {}} | fields
    return PairedResult(machine=this_machine(), cells=cells, **made)
