"""Prints plain text, whatever the streams are: a terminal, a pipe that closes early, ASCII only.

If a reader goes away, the command goes on, and its exit code is its own."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import UserError
from .escaping import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Columns of a table if standard output is no terminal.
_WIDE = 160
# Columns between two columns of a table.
_GAP = 3


def prepare_streams() -> None:
    """Call it once, before anything is printed: a character that a stream lacks is then escaped.

    A stream that was closed before we began leads nowhere. Otherwise the next file opened would get
    its number, and prints would land in that file."""
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
    """Prints a text; terminal commands in it are shown, not obeyed.

    UserError if standard output cannot be written: the disk is full, say."""
    _put(visible(str(text)) + "\n" * nl, err)


def teller(quiet: bool) -> Callable[[str], None]:
    """Prints lines to standard error, or nothing."""
    return (lambda line: None) if quiet else (lambda line: say(line, err=True))


def print_table(title: str, rows: Sequence[Mapping[Any, Any]], width: int = _WIDE) -> None:
    """A table of equal dicts; wide cells wrap between words, and their markup is text.

    width: columns if standard output is no terminal; $COLUMNS goes before it if width is less than
    the usual one."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    widths = _widths(rows, _columns(width))
    for column in rows[0] if rows else ():
        table.add_column(plain(column), overflow="fold", width=widths[str(column)])
    for row in rows:
        table.add_row(*map(plain, row.values()))
    # Not the table's own title: that would wrap to the table's width.
    print_rich(plain(title, "bold"), table, width=width)


def print_pairs(pairs: Mapping[str, str], width: int = _WIDE) -> None:
    """Names and texts, one pair a line; long texts wrap beside their name. width: see
    `print_table`."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in pairs.items():
        table.add_row(plain(name, "bold"), plain(text))
    print_rich(table, width=width)


def _widths(rows: Sequence[Mapping[Any, Any]], width: int) -> dict[str, int]:
    """Column -> its width, so that the table fits and no word is broken: each has room for its
    longest word, and those with the longest texts share what is left. If the words do not fit, the
    widest columns break theirs, which are paths and addresses."""
    least: dict[str, int] = {}
    most: dict[str, int] = {}
    for row in rows:
        for key, value in row.items():
            name, text = str(key), visible(str(value))
            words = [*name.split(), *text.split()]
            least[name] = max([least.get(name, 1), *map(len, words)])
            lines = [name, *text.splitlines()]
            most[name] = max([most.get(name, 1), *map(len, lines)])
    if not least:
        return least
    room = max(width - _GAP * len(least) - 1, len(least))
    while sum(least.values()) > room:
        least[max(least, key=least.__getitem__)] -= 1
    while sum(least.values()) < room:
        wanting = max(least, key=lambda name: most[name] - least[name])
        if most[wanting] <= least[wanting]:
            break
        least[wanting] += 1
    return least


def _columns(width: int) -> int:
    """Of the terminal, or as `print_table` says."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) and width < _WIDE:
        return int(given)
    return shutil.get_terminal_size().columns if _is_terminal(sys.stdout) else width


def print_rich(*shown: Table | Any, width: int = _WIDE) -> None:
    """Prints rich's drawings, in colour on a terminal. width: see `print_table`."""
    from rich.console import Console

    terminal = _is_terminal(sys.stdout)
    drawn = _Drawn(getattr(sys.stdout, "encoding", None) or "utf-8")
    console = Console(
        file=drawn,
        width=None if terminal else _columns(width),
        force_terminal=terminal,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(*shown)
    _put(drawn.getvalue(), err=False)


class _Drawn(io.StringIO):
    """Rich draws on it; it draws ASCII lines if the encoding has no others."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def plain(value: object, style: str = "") -> Any:
    """The value as a rich Text, without markup."""
    from rich.text import Text

    return Text(visible(str(value)), style=style)


def progress_console(quiet: bool) -> Console:
    """A console on standard error without markup; it falls silent if its reader has gone."""
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
        # A stream that prepare_streams did not set up, such as a notebook's.
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    except OSError as error:
        _silence(stream)
        if not err:
            raise UserError(
                f"standard output: cannot be written: {error.strerror or error}"
            ) from None


def _silence(stream: TextIO | None) -> None:
    """The rest of its output, and its buffer, go nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
