"""The ways in which published files are packed: a file in, the contents of its parts out.

Nothing is trusted before its sum is compared: sizes are bounded by those that are published, and
pickles are read, never loaded. Each function yields the parts in their order, unchecked."""

from __future__ import annotations

import gzip
import io
import pickletools
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from .parts import DataBroken, Part

_GZIP = b"\x1f\x8b"
_ERRORS = (OSError, EOFError, ValueError, KeyError, RuntimeError, zlib.error)


def alone(path: Path, parts: Sequence[Part]) -> Iterator[bytes]:
    """A file that is one part, plain or gzipped."""
    [part] = parts
    with _refusing(path, "truncated or not gzip"), path.open("rb") as file:
        if file.seek(0, io.SEEK_END) > _packed(part.size):
            raise DataBroken(f"{path}: larger than {part.name} can be")
        content = _plain(file).read(part.size + 1)
    if len(content) > part.size:
        raise DataBroken(f"{path}: holds more than the {part.size} bytes of {part.name}")
    yield content


def npz(path: Path, parts: Sequence[Part], arrays: Mapping[str, bytes]) -> Iterator[bytes]:
    """An .npz file with an array for each part: uint8, in C order. arrays: the name of each array,
    and the header of the part that holds the same values."""
    with _refusing(path, "truncated or no .npz"), zipfile.ZipFile(path) as archive:
        for part, (name, header) in zip(parts, arrays.items(), strict=True):
            with archive.open(f"{name}.npy") as member:
                shape, fortran, dtype = _npy_header(member)
                if dtype != np.uint8 or (fortran and len(shape) > 1):
                    raise DataBroken(f"{path}: {name} is no uint8 array in C order")
                content = header + member.read(part.size - len(header) + 1)
            yield content


def _npy_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    if np.lib.format.read_magic(member) == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)


def cifar_archive(path: Path, parts: Sequence[Part]) -> Iterator[bytes]:
    """The binary CIFAR-10, a .tar.gz."""
    members = {f"cifar-10-batches-bin/{part.name}": part.size for part in parts}
    yield from _members(path, members)


def cifar_batch(path: Path, parts: Sequence[Part]) -> Iterator[bytes]:
    """A file of CIFAR-10's Python version, as the same file of the binary version."""
    [part] = parts
    pickle = Part(path.name, pickled_size(part.size), "")
    [content] = alone(path, [pickle])
    yield _binary(content, part, path)


def cifar_batches(path: Path, parts: Sequence[Part]) -> Iterator[bytes]:
    """CIFAR-10's Python version, a .tar.gz, as the files of the binary version."""
    names = [f"cifar-10-batches-py/{part.name.removesuffix('.bin')}" for part in parts]
    limits = [pickled_size(part.size) for part in parts]
    contents = _members(path, dict(zip(names, limits, strict=True)))
    for content, part in zip(contents, parts, strict=True):
        yield _binary(content, part, path)


def pickled_size(size: int) -> int:
    """The most bytes of a pickle with the content of a binary file of this size."""
    return size + size // 20 + 4096


def _binary(content: bytes, part: Part, path: Path) -> bytes:
    with _refusing(path, f"{part.name} is no file of CIFAR-10's Python version"):
        labels, pixels = _labels_and_pixels(content)
        rows = np.frombuffer(pixels, np.uint8).reshape(len(labels), -1)
        return np.hstack([np.array(labels, np.uint8)[:, np.newaxis], rows]).tobytes()


# The published pickles: a dict of texts, a list of small numbers and an array of uint8.
_OPCODES = frozenset(
    (
        *("PROTO", "MARK", "STOP", "EMPTY_DICT", "EMPTY_LIST", "APPENDS", "SETITEMS"),
        *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "SHORT_BINSTRING", "BINSTRING"),
        *("BININT", "BININT1", "BININT2", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NONE"),
        *("NEWFALSE", "GLOBAL", "REDUCE", "BUILD", "APPEND", "SETITEM"),
    )
)
_GLOBALS = frozenset({"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"})


def _labels_and_pixels(content: bytes) -> tuple[list[int], bytes]:
    """Reads a pickle's opcodes and does nothing that they say. ValueError: it has other ones."""
    labels: list[int] = []
    pixels, in_labels = b"", False
    for opcode, value, _ in pickletools.genops(content):
        if opcode.name not in _OPCODES:
            raise ValueError(f"the opcode {opcode.name} in a pickle")
        if opcode.name == "GLOBAL" and value not in _GLOBALS:
            raise ValueError(f"the name {value!r} in a pickle")
        if isinstance(value, str):
            in_labels = value == "labels"
            if opcode.name == "BINSTRING":
                pixels = value.encode("latin-1")
        elif in_labels and opcode.name == "BININT1" and isinstance(value, int):
            labels.append(value)
    return labels, pixels


def _members(path: Path, limits: Mapping[str, int]) -> Iterator[bytes]:
    """These members of a .tar or .tar.gz, in this order, each with its most bytes. Nothing is
    unpacked to the disk."""
    contents: dict[str, bytes] = {}
    most = sum(limits.values()) + (1 << 20)
    with _refusing(path, "truncated or no .tar.gz"), path.open("rb") as file:
        stream = _Bounded(_plain(file), most, path)
        with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                if member.isreg() and member.name in limits:
                    opened = archive.extractfile(member)
                    contents[member.name] = opened.read() if opened else b""
                if len(contents) == len(limits):
                    break
    for name in limits:
        if name not in contents:
            raise DataBroken(f"{path}: has no {name}")
        yield contents[name]


class _Bounded:
    """A file that refuses to give more than so many bytes."""

    def __init__(self, file: IO[bytes], most: int, path: Path) -> None:
        self._file, self._left, self._path = file, most, path

    def read(self, size: int) -> bytes:
        """The next bytes."""
        piece = self._file.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise DataBroken(f"{self._path}: unpacks to more than what is published")
        return piece


def _packed(size: int) -> int:
    """The most bytes that packing makes of a content: gzip adds a little to what is random."""
    return size + size // 100 + (1 << 16)


def _plain(file: IO[bytes]) -> IO[bytes]:
    """The file from its beginning, through gzip if it is gzipped."""
    file.seek(0)
    head = file.read(len(_GZIP))
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if head == _GZIP else file  # type: ignore[return-value]


@contextmanager
def _refusing(path: Path, problem: str) -> Iterator[None]:
    """Errors of a reader, on a file of another kind, become DataBroken."""
    try:
        yield
    except DataBroken:
        raise
    except PermissionError as error:
        raise DataBroken(f"{path}: cannot be read: {error.strerror}") from None
    except (*_ERRORS, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataBroken(f"{path}: {problem}: {error}") from None
