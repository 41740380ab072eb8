"""A process that draws figures for report/drawing.py: `python -m gradrace.report.draw.worker PIPE`.

PIPE is the number of the descriptor that it inherits. What comes through it was written by the
process that started this one."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection

from . import svg


def serve(pipe: Connection) -> None:
    """Draws the figures that it gets (the arguments of svg.inline), until the other end is closed.
    Answers each by "+" and the SVG, or by "-" and the traceback."""
    with suppress(EOFError, OSError):
        while True:
            parts = pipe.recv()
            try:
                answer = f"+{svg.inline(*parts)}"
            except Exception:
                answer = f"-{traceback.format_exc()}"
            pipe.send_bytes(answer.encode())


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
