"""Data drawn from a fixed seed: tests of memory at their papers' scales, an empty sample for
functions of a point, and samples of any width for tasks made to be timed."""

from __future__ import annotations

import zlib
from functools import partial

import numpy as np

from .values import SPLIT_SEED, Data, Loader, Split

# Lengths are a tenth of the papers', so that a run takes seconds on a CPU.
ADDING_LENGTH = 30
COPY_SYMBOLS, COPY_KINDS, COPY_BLANKS = 5, 8, 10
COPY_LENGTH, COPY_CLASSES = COPY_BLANKS + 2 * COPY_SYMBOLS, COPY_KINDS + 2
_SIZES = {"train": 2048, "validation": 512, "test": 512}


def adding() -> Data:
    """Adding problem (Hochreiter & Schmidhuber, 1997, 5.4; as in Arjovsky et al., 2016,
    arXiv:1511.06464, 4.2).

    x[n, 30 * 2]: at each step a number from U[0, 1) and a marker, which is 1 at one step of each
    half and else 0.
    y[n, 1]: the sum of the two marked numbers. Its variance is 1/6: the error of always answering
    1."""
    splits = {}
    for number, (split, size) in enumerate(_SIZES.items()):
        rng = np.random.default_rng([SPLIT_SEED, 1, number])
        values, markers = rng.random((size, ADDING_LENGTH)), np.zeros((size, ADDING_LENGTH))
        half, rows = ADDING_LENGTH // 2, np.arange(size)
        markers[rows, rng.integers(0, half, size)] = 1.0
        markers[rows, rng.integers(half, ADDING_LENGTH, size)] = 1.0
        x = np.stack([values, markers], axis=2).reshape(size, -1)
        splits[split] = Split(x, (values * markers).sum(axis=1, keepdims=True))
    return Data("adding", splits, 0, f"generated: adding problem of length {ADDING_LENGTH}")


def copy_memory() -> Data:
    """Copy memory (Hochreiter & Schmidhuber, 1997, 5.1; as in Arjovsky et al., 2016,
    arXiv:1511.06464, 4.1).

    The input shows 5 symbols of 8 kinds, 10 blanks of which the last is a delimiter, and 5 blanks;
    the output is blank until the delimiter, then the 5 symbols. Kinds are 0 to 7, 8 is blank, 9 the
    delimiter. x[n, 20 * 10]: one-hot. y int64[n, 20]. Without memory the loss is 5 ln 8 / 20."""
    # No sequence is in two splits.
    codes = np.random.default_rng([SPLIT_SEED, 2]).permutation(COPY_KINDS**COPY_SYMBOLS)
    edges = np.cumsum(list(_SIZES.values()))
    splits = {}
    for split, size, chosen in zip(_SIZES, _SIZES.values(), np.split(codes, edges), strict=False):
        symbols = chosen[:, np.newaxis] // COPY_KINDS ** np.arange(COPY_SYMBOLS) % COPY_KINDS
        shown = np.full((size, COPY_LENGTH), COPY_KINDS)
        shown[:, :COPY_SYMBOLS] = symbols
        shown[:, COPY_SYMBOLS + COPY_BLANKS - 1] = COPY_KINDS + 1
        wanted = np.full((size, COPY_LENGTH), COPY_KINDS, dtype=np.int64)
        wanted[:, -COPY_SYMBOLS:] = symbols
        splits[split] = Split(np.eye(COPY_CLASSES)[shown].reshape(size, -1), wanted)
    source = f"generated: copy memory of length {COPY_LENGTH}"
    return Data("copy_memory", splits, COPY_CLASSES, source)


def point() -> Data:
    """One empty sample in every split, which a model made of a Point layer ignores."""
    splits = dict.fromkeys(_SIZES, Split(np.zeros((1, 1)), np.zeros((1, 1))))
    return Data("point", splits, 0, "none: the loss is a function of the parameters alone")


# Features and training samples for tasks made to be timed, and their size as float32.
SYNTHETIC_CLASSES = 10
_LATENT, _TEACHER, _NOISE = 16, 32, 0.5
SYNTHETIC = {
    "synthetic_mlp_s": (256, 4096),  # 4 MiB
    "synthetic_mlp_m": (512, 8192),  # 16 MiB
    "synthetic_mlp_l": (1024, 16384),  # 64 MiB
    "synthetic_cnn_s": (16 * 16 * 3, 2048),  # 6 MiB
    "synthetic_cnn_m": (32 * 32 * 3, 2048),  # 24 MiB
    "synthetic_cnn_l": (64 * 64 * 3, 1024),  # 48 MiB
    "synthetic_lstm_s": (20 * 32, 4096),  # 10 MiB
    "synthetic_lstm_m": (32 * 64, 4096),  # 32 MiB
    "synthetic_lstm_l": (64 * 256, 1024),  # 64 MiB
}


def synthetic(name: str, features: int, training: int) -> Data:
    """Samples with the classes of a fixed random teacher, so that a model that trains gets better.

    z[n, 16] is standard normal; x float32[n, features] is a fixed random map of z plus noise,
    standardised over the training split; the label is the largest of 10 outputs of a fixed random
    network of one hidden layer of 32 tanh units on z, standardised so that no class is rare."""
    rng = np.random.default_rng([SPLIT_SEED, 3, zlib.crc32(name.encode())])
    held_out = max(256, training // 8)
    sizes = {"train": training, "validation": held_out, "test": held_out}
    z = rng.standard_normal((sum(sizes.values()), _LATENT), dtype=np.float32)
    spread = rng.standard_normal((_LATENT, features), dtype=np.float32) / np.sqrt(
        _LATENT, dtype=np.float32
    )
    x = z @ spread + _NOISE * rng.standard_normal((len(z), features), dtype=np.float32)
    fitted = x[:training]
    x = (x - fitted.mean(axis=0)) / fitted.std(axis=0)
    hidden = np.tanh(
        z
        @ rng.standard_normal((_LATENT, _TEACHER), dtype=np.float32)
        / np.sqrt(_LATENT, dtype=np.float32)
    )
    outputs = hidden @ rng.standard_normal((_TEACHER, SYNTHETIC_CLASSES), dtype=np.float32)
    labels = np.argmax((outputs - outputs.mean(axis=0)) / outputs.std(axis=0), axis=1)
    edges = np.cumsum(list(sizes.values()))[:-1]
    pieces = zip(sizes, np.split(x, edges), np.split(labels, edges), strict=True)
    splits = {split: Split(samples, classes) for split, samples, classes in pieces}
    source = f"generated: {features} features of {_LATENT} hidden ones, a random teacher"
    return Data(name, splits, SYNTHETIC_CLASSES, source)


SETS = {
    "adding": Loader(_SIZES["train"], adding),
    "copy_memory": Loader(_SIZES["train"], copy_memory),
    "point": Loader(1, point),
    **{
        name: Loader(training, partial(synthetic, name, features, training))
        for name, (features, training) in SYNTHETIC.items()
    },
}
