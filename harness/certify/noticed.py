"""What a package does on the side while it is imported: prints, and calls for the network."""

from __future__ import annotations

import builtins
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..output.escaping import one_line

_SHOWN = 120
_SOCKETS = ("socket.connect", "socket.getaddrinfo")
_OFFLINE = "gradrace certify gives no network to what it checks"


class Notes:
    """What was noticed, for people."""

    def __init__(self) -> None:
        self._printed = ""
        self._hosts: list[str] = []

    def lines(self) -> tuple[str, ...]:
        """A sentence for each kind of thing."""
        found = []
        if text := one_line(self._printed):
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            found.append(f"it prints while it is imported and made: {shown!r}")
        if self._hosts:
            asked = ", ".join(dict.fromkeys(self._hosts))
            found.append(f"it calls for the network while it is imported and made: {asked}")
        return tuple(found)

    def printed(self, text: str) -> None:
        """Notes this text of standard output."""
        self._printed += text

    def called(self, host: str) -> None:
        """Notes a host that was called for."""
        self._hosts.append(host)


@contextmanager
def noticed(notes: Notes) -> Iterator[None]:
    """Inside, standard output is kept in the notes, and the network is refused: PermissionError.

    Only once a process: Python cannot take an audit hook back."""
    inside = True

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if inside and event in _SOCKETS and (host := _host(event, arguments)):
            notes.called(host)
            raise PermissionError(_OFFLINE)

    sys.addaudithook(refuse)
    try:
        with _kept_prints(notes):
            yield
    finally:
        inside = False


def _host(event: str, arguments: tuple[Any, ...]) -> str:
    """The host of an audited call; "" for sockets of this machine alone."""
    address = arguments[1] if event == "socket.connect" else arguments[0]
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    # Sockets with a path in the file system have no host; None is this machine.
    known = isinstance(host, str) and not host.startswith(("/", "\0", "127.", "::1"))
    return str(host) if known and host != "localhost" else ""


@contextmanager
def _kept_prints(notes: Notes) -> Iterator[None]:
    """Descriptor 1 leads to a file, then back. `print` is heard by itself: where a user's file is
    executed, it does not lead to descriptor 1."""
    sys.stdout.flush()
    before, said = os.dup(1), builtins.print
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 1)
        builtins.print = _heard(notes)
        try:
            yield
        finally:
            builtins.print = said
            sys.stdout.flush()
            os.dup2(before, 1)
            os.close(before)
            kept.seek(0)
            notes.printed(kept.read(1 << 16).decode(errors="replace"))


def _heard(notes: Notes) -> Callable[..., None]:
    """A `print` that notes what would go to standard output."""
    said = builtins.print

    def heard(*values: Any, file: Any = None, **how: Any) -> None:
        if file not in (None, sys.stdout):
            said(*values, file=file, **how)
            return
        text = io.StringIO()
        said(*values, **{**how, "file": text})
        notes.printed(text.getvalue())

    return heard
