"""Strict parsers of published formats: bytes in, arrays out, anything unexpected refused."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from .parts import DataBroken

_UINT8 = 0x08
CIFAR_SHAPE = (32, 32, 3)
CIFAR_RECORD = 1 + prod(CIFAR_SHAPE)


def idx_header(shape: tuple[int, ...]) -> bytes:
    """How an IDX file of uint8[*shape] begins."""
    sizes = b"".join(size.to_bytes(4, "big") for size in shape)
    return bytes((0, 0, _UINT8, len(shape))) + sizes


def idx(content: bytes, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """uint8[*shape] from the IDX format of the MNIST files (LeCun, Cortes & Burges): two zero
    bytes, the type (8 for unsigned bytes), the number of dimensions, each size as a big-endian
    32-bit number, then the values in C order. DataBroken if any of that is not so."""
    magic = bytes((0, 0, _UINT8, len(shape)))
    if content[:4] != magic:
        raise DataBroken(
            f"{path}: begins with {content[:4].hex(' ')}, not with {magic.hex(' ')} as IDX of"
            " unsigned bytes does"
        )
    header = 4 + 4 * len(shape)
    if len(content) < header:
        raise DataBroken(f"{path}: truncated within its header")
    found = tuple(int(size) for size in np.frombuffer(content, ">u4", len(shape), offset=4))
    if found != shape:
        raise DataBroken(f"{path}: its shape is {found}, not {shape}")
    if len(content) != header + prod(shape):
        raise DataBroken(
            f"{path}: {len(content) - header} values after its header, not {prod(shape)}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def labels(values: np.ndarray, classes: int, path: Path) -> np.ndarray:
    """The values as int64. DataBroken if one is no class."""
    if len(values) and int(values.max()) >= classes:
        raise DataBroken(
            f"{path}: holds the label {int(values.max())}, the largest is {classes - 1}"
        )
    return values.astype(np.int64)


def cifar(content: bytes, records: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8[records, 32, 32, 3] and labels int64[records] of a file of the binary CIFAR-10
    (Krizhevsky, 2009): a record is its label, then 1024 red, 1024 green and 1024 blue values."""
    if len(content) != records * CIFAR_RECORD:
        raise DataBroken(
            f"{path}: {len(content)} bytes instead of {records} records of {CIFAR_RECORD}"
        )
    rows = np.frombuffer(content, np.uint8).reshape(records, CIFAR_RECORD)
    images = rows[:, 1:].reshape(records, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, labels(rows[:, 0], 10, path)


def characters(content: bytes, vocabulary: int, path: Path) -> np.ndarray:
    """int64[n]: each character's rank among the distinct ones; DataBroken if these are others."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        raise DataBroken(f"{path}: not plain ASCII: {error.reason} at byte {error.start}") from None
    codes = np.frombuffer(text.encode("ascii"), np.uint8)
    known, ranks = np.unique(codes, return_inverse=True)
    if len(known) != vocabulary:
        raise DataBroken(f"{path}: {len(known)} distinct characters, not {vocabulary}")
    return ranks.astype(np.int64)
