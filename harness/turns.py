"""One process at a time changes what lies at a path, on one machine or on many over a shared file
system: with turn(file): ...

A turn is a file made by O_EXCL, which holds on NFS from version 3 on. Byte-range locks hold only
where the server and every machine run a lock service. The holder touches the file now and then; a
turn is over if its process is gone or, on another machine, if nobody has touched it for a while."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from .errors import UserError
from .jsonfile import reading, writing
from .process.alive import Place, here, is_gone

# Seconds between two touches, and seconds untouched after which a turn is over.
BEAT_S = 5.0
OVER_S = 60.0
# Between two looks, which become rarer.
_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.5
# The most bytes of such a file that are read.
_MOST_BYTES = 4096


@contextmanager
def turn(path: Path, patience_s: float = 600.0) -> Iterator[None]:
    """Waits until no other process is inside for this path. The folder of the path must exist.

    UserError if that takes longer than patience_s, or if nothing can be written there."""
    file = path.with_name(f".{path.name[:200]}.turn")
    mine = json.dumps({"place": asdict(here()), "token": secrets.token_hex(8)})
    with writing(path):
        _take(file, mine, path, patience_s)
    left = threading.Event()
    beat = threading.Thread(target=_touch, args=(file, left), daemon=True)
    beat.start()
    try:
        yield
    finally:
        left.set()
        if _content(file) == mine:
            with suppress(OSError):
                file.unlink()


def _take(file: Path, mine: str, path: Path, patience_s: float) -> None:
    end = time.monotonic() + patience_s
    seen, since, wait_s = (0, 0), time.monotonic(), _WAIT_S
    while not _made(file, mine):
        holder, now = _content(file), _stamp(file)
        if now != seen:
            # Untouched by this machine's clock: the file's times are the server's.
            seen, since = now, time.monotonic()
        if _is_gone(holder) or time.monotonic() - since > OVER_S:
            _remove(file, holder)
            continue
        if time.monotonic() > end:
            raise UserError(
                f"{path}: another process is changing it ({file.name}); try again later"
            )
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _made(file: Path, content: str) -> bool:
    """Whether the file was not there, and now holds this."""
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, content.encode())
    except OSError:
        file.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return True


def _touch(file: Path, left: threading.Event) -> None:
    while not left.wait(BEAT_S):
        with suppress(OSError):
            os.utime(file, follow_symlinks=False)


def _stamp(file: Path) -> tuple[int, int]:
    """Which file it is, and when it was touched; (0, 0) if there is none."""
    try:
        found = file.lstat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def _content(file: Path) -> str:
    try:
        with reading(file) as opened:
            return opened.read(_MOST_BYTES).decode(errors="replace")
    except UserError:
        return ""


def _is_gone(holder: str) -> bool:
    """Whether the holder is a process of this machine that has ended."""
    try:
        place = TypeAdapter(Place).validate_python(json.loads(holder)["place"])
    # Not written yet, or nobody's.
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return is_gone(place)


def _remove(file: Path, holder: str) -> None:
    """Ends a turn that is over, unless another has begun since that was found."""
    aside = file.with_name(f"{file.name}-{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):
        os.replace(file, aside)
        if _content(aside) != holder:
            with suppress(OSError):
                os.link(aside, file, follow_symlinks=False)
        aside.unlink()
