"""Figures are described first and drawn later, all of a report together: those kept from an earlier
report are taken, the others are drawn, by several processes if there are cores for them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from typing import TYPE_CHECKING, Any

from ..machine import usable_cores
from .kept import Kept

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Another process pays if it has so many figures to draw: it loads what draws first, as long as it
# takes to draw a few.
_WORTH = 6


@dataclass(eq=False)
class Sketch:
    """A figure that is drawn when it is wanted; in a page it is its SVG. See draw.svg.inline.

    draw: a function of report.draw with tables, looks and texts, in a `partial`; one that cannot be
    pickled is drawn in this process. svg: "" until it was drawn."""

    draw: Callable[[], Figure]
    name: str
    title: str
    description: str
    svg: str = ""

    def __html__(self) -> str:
        """For templates: markup, which they do not escape."""
        if not self.svg:
            from .draw import svg

            self.svg = str(svg.inline(self.draw, self.name, self.title, self.description))
        return self.svg

    __str__ = __html__

    @property
    def parts(self) -> tuple[Any, ...]:
        """All that the SVG depends on besides the source and the libraries that draw."""
        return self.draw, self.name, self.title, self.description


def draw(sketches: Sequence[Sketch], kept: Kept | None = None, cores: int | None = None) -> None:
    """Draws them all; the same to the byte whatever the number of cores (all usable ones unless
    given). Those in `kept` are taken from there; afterwards it wants these.

    RuntimeError that names the figure if one cannot be drawn."""
    keys = {id(sketch): kept.key(sketch.parts) for sketch in sketches} if kept else {}
    if kept:
        for sketch in sketches:
            sketch.svg = sketch.svg or kept.find(keys[id(sketch)])
    todo = [sketch for sketch in sketches if not sketch.svg]
    helpers = min((cores or len(usable_cores())) - 1, len(todo) // _WORTH)
    _Team(todo, helpers if sys.platform != "win32" else 0).draw()
    if kept:
        for sketch in sketches:
            kept.want(keys[id(sketch)], sketch.svg)


class _Team:
    """This process and its helpers, which take figures from one list, the first one first."""

    def __init__(self, todo: Sequence[Sketch], helpers: int) -> None:
        self._todo, self._helpers = deque(todo), helpers
        # Those that a helper could not be told of, or died over: they are drawn here.
        self._here: deque[Sketch] = deque()
        self._problems: list[RuntimeError] = []

    def draw(self) -> None:
        """Draws all, or raises the first problem; its processes are gone afterwards."""
        helpers = [_Helper() for _ in range(self._helpers)]
        threads = [threading.Thread(target=self._served, args=[helper]) for helper in helpers]
        try:
            for thread in threads:
                thread.start()
            self._draw_here(self._todo)
            for thread in threads:
                thread.join()
            self._draw_here(self._here)
        finally:
            self._todo.clear()
            for helper in helpers:
                helper.end()
        if self._problems:
            raise self._problems[0]

    def _draw_here(self, sketches: deque[Sketch]) -> None:
        while not self._problems and (sketch := _next(sketches)):
            try:
                sketch.__html__()
            except Exception as error:
                raise RuntimeError(f"the figure {sketch.name} cannot be drawn") from error

    def _served(self, helper: _Helper) -> None:
        """A thread for each helper gives it one figure after another."""
        while not self._problems and (sketch := _next(self._todo)):
            try:
                drawn, text = helper.ask(sketch)
            except (pickle.PicklingError, AttributeError, TypeError):
                self._here.append(sketch)
            except (OSError, EOFError):
                self._here.append(sketch)
                return
            else:
                if drawn:
                    sketch.svg = text
                else:
                    said = f"the figure {sketch.name} cannot be drawn:\n{text}"
                    self._problems.append(RuntimeError(said))


class _Helper:
    """A process of draw/worker.py. It ends with this process: then its pipe is closed."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        command = [sys.executable, "-P", "-m", f"{__package__}.draw.worker", str(theirs.fileno())]
        # It shares the cores with other helpers: one thread each.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with theirs:
            self._process = subprocess.Popen(
                command,
                env=os.environ | threads,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def ask(self, sketch: Sketch) -> tuple[bool, str]:
        """Whether it was drawn, and the SVG or the traceback. OSError or EOFError if it died."""
        self._pipe.send(sketch.parts)
        answer = self._pipe.recv_bytes().decode()
        return answer[:1] == "+", answer[1:]

    def end(self) -> None:
        """Kills it: it has nothing to lose."""
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._pipe.close()


def _next(sketches: deque[Sketch]) -> Sketch | None:
    with suppress(IndexError):
        return sketches.popleft()
    return None
