"""What is printed: plain text on whatever standard output and error are, a pipe that closes early
and ASCII included.

A reader that has gone changes nothing: the command goes on, and its exit code is its own.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import UserError
from .escaping import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Columns of a table that goes to no terminal.
_WIDE = 160


def prepare_streams() -> None:
    """To be called once, before anything is printed: what the streams cannot show, they show by its
    number.

    A stream that was closed before we began leads nowhere; without that, the next file opened would
    get its number, and whatever is printed would land in it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: object, err: bool = False, nl: bool = True) -> None:
    """Prints a text without the terminal commands that it may hold.

    UserError if standard output cannot be written, because the disk is full, say.
    """
    _put(visible(str(text)) + "\n" * nl, err)


def teller(quiet: bool) -> Callable[[str], None]:
    """Prints lines to standard error, or nothing."""
    return (lambda line: None) if quiet else (lambda line: say(line, err=True))


def print_table(title: str, rows: Sequence[Mapping[Any, Any]]) -> None:
    """A table of equal dicts; wide content wraps instead of being cut. What the cells say is text,
    never markup.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in rows[0] if rows else ():
        table.add_column(plain(column), overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row.values()))
    # As the table's own title it would be broken to the table's width.
    print_rich(plain(title, "bold"), table)


def print_rich(*shown: Table | Any, width: int = _WIDE) -> None:
    """Prints what rich draws to standard output, in colour on a terminal; `width` holds elsewhere."""
    from rich.console import Console

    terminal = _is_terminal(sys.stdout)
    drawn = _Drawn(getattr(sys.stdout, "encoding", None) or "utf-8")
    options = {"width": None if terminal else width, "force_terminal": terminal}
    Console(file=drawn, highlight=False, markup=False, emoji=False, **options).print(*shown)  # type: ignore[arg-type]
    _put(drawn.getvalue(), err=False)


class _Drawn(io.StringIO):
    """Takes what rich draws; rich draws lines of ASCII where the encoding has no others."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def plain(value: object, style: str = "") -> Any:
    """A rich Text of what `value` says."""
    from rich.text import Text

    return Text(visible(str(value)), style=style)


def progress_console(quiet: bool) -> Console:
    """A console on standard error that takes no markup, and falls silent if its reader has gone."""
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            _silence(sys.stderr)

    return Patient(
        stderr=True, quiet=quiet, highlight=False, soft_wrap=True, markup=False, emoji=False
    )


def _put(text: str, err: bool) -> None:
    stream = sys.stderr if err else sys.stdout
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)
    except UnicodeEncodeError:
        # Streams that are not ours to set up, such as a notebook's.
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    except OSError as error:
        _silence(stream)
        if not err:
            raise UserError(
                f"standard output: cannot be written: {error.strerror or error}"
            ) from None


def _silence(stream: TextIO | None) -> None:
    """What is still to be printed there, and what waits in its buffer, goes nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
