"""Published data sets for `gradrace fetch`: MNIST, Fashion-MNIST, CIFAR-10, tiny-shakespeare.

The published test set is the test split; the validation split is a stratified part of the training
set. Pixels are standardised by channel with the training split's mean and standard deviation."""

from __future__ import annotations

from functools import partial

import numpy as np

from . import formats
from .files import DataBroken, RemoteFile
from .values import Data, Loader, Split, split_indices

SHAKESPEARE_LENGTH, SHAKESPEARE_VOCABULARY = 64, 65
_IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_CIFAR_FOLDER = "cifar-10-batches-bin"
_CIFAR_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
_CIFAR_SOURCE = (
    "Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images: CIFAR-10, binary"
    " version"
)


def grey_images(
    name: str,
    source: str,
    mirrors: tuple[str, ...],
    sums: tuple[str, str, str, str],
    published: tuple[int, int] = (60_000, 10_000),
    validation: int = 5_000,
) -> Loader:
    """28x28 grey images in MNIST's four files; published: sizes of the training and test part."""
    files = tuple(
        RemoteFile(name, file, digest, tuple(f"{mirror}/{file}" for mirror in mirrors))
        for file, digest in zip(_IDX_FILES, sums, strict=True)
    )
    load = partial(_grey_images, name, source, files, published, validation)
    return Loader(published[0] - validation, load, files)


def _grey_images(
    name: str,
    source: str,
    files: tuple[RemoteFile, ...],
    published: tuple[int, int],
    validation: int,
) -> Data:
    shapes = [shape for count in published for shape in ((count, 28, 28), (count,))]
    arrays = [
        formats.idx(formats.gunzip(file.read(), file.path), shape, file.path)
        for file, shape in zip(files, shapes, strict=True)
    ]
    y, y_test = (formats.labels(arrays[i], 10, files[i].path) for i in (1, 3))
    images = [arrays[i].reshape(len(arrays[i]), 28 * 28, 1) for i in (0, 2)]
    return _images(name, source, (images[0], y), (images[1], y_test), validation)


def cifar10(
    digest: str, urls: tuple[str, ...], per_file: int = 10_000, validation: int = 5_000
) -> Loader:
    """The binary CIFAR-10: five training files and a test file, `per_file` records each."""
    file = RemoteFile("cifar10", "cifar-10-binary.tar.gz", digest, urls)
    load = partial(_cifar10, file, per_file, validation)
    return Loader(5 * per_file - validation, load, (file,))


def _cifar10(file: RemoteFile, per_file: int, validation: int) -> Data:
    members = tuple(f"{_CIFAR_FOLDER}/{name}.bin" for name in _CIFAR_BATCHES)
    contents = formats.cifar_archive(file.read(), members, file.path)
    parts = [
        formats.cifar(content, per_file, file.path / member)
        for content, member in zip(contents, members, strict=True)
    ]
    images = [x.reshape(len(x), -1, 3) for x, _ in parts]
    y = np.concatenate([labels for _, labels in parts[:5]])
    training, test = (np.concatenate(images[:5]), y), (images[5], parts[5][1])
    return _images("cifar10", _CIFAR_SOURCE, training, test, validation)


def _images(
    name: str,
    source: str,
    training: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    validation: int,
) -> Data:
    """Images uint8[n, pixels, channels] to float32[n, pixels * channels], as float64 would take
    gigabytes."""
    images, y = training
    rows = split_indices(y, len(y) - validation, validation)
    scale = _pixel_values(images[rows["train"]])
    splits = {
        split: Split(_scaled(images[rows[split]], scale), y[rows[split]])
        for split in ("train", "validation")
    }
    splits["test"] = Split(_scaled(test[0], scale), test[1])
    return Data(name, splits, classes=10, source=source)


def _pixel_values(images: np.ndarray) -> np.ndarray:
    """float32[256, channels]: the standardised value of each of the 256 values."""
    values = np.arange(256, dtype=np.float64)
    table = []
    for channel in range(images.shape[2]):
        pixels = images[:, :, channel].ravel()
        weights = np.bincount(pixels, minlength=256) / pixels.size
        mean = float(weights @ values)
        spread = float(np.sqrt(weights @ (values - mean) ** 2))
        table.append((values - mean) / (spread or 1.0))
    return np.stack(table, axis=1).astype(np.float32)


def _scaled(images: np.ndarray, table: np.ndarray) -> np.ndarray:
    scaled = np.empty(images.shape, dtype=np.float32)
    for channel in range(images.shape[2]):
        scaled[:, :, channel] = table[images[:, :, channel], channel]
    return scaled.reshape(len(images), -1)


def shakespeare(
    digest: str,
    urls: tuple[str, ...],
    size: int = 1_115_394,
    vocabulary: int = SHAKESPEARE_VOCABULARY,
) -> Loader:
    """A text of `size` characters: 90% for training, 5% for validation, 5% for test, in this order,
    as char-rnn splits it. Samples are windows side by side, targets the same one character later.
    """
    file = RemoteFile("tiny_shakespeare", "input.txt", digest, urls)
    load = partial(_shakespeare, file, size, vocabulary)
    return Loader(_windows(0, int(0.9 * size)), load, (file,))


def _windows(start: int, stop: int) -> int:
    """How many windows lie there; the last needs one more character after it."""
    return (stop - start - 1) // SHAKESPEARE_LENGTH


def _shakespeare(file: RemoteFile, size: int, vocabulary: int) -> Data:
    text = formats.characters(file.read(), vocabulary, file.path)
    if len(text) != size:
        raise DataBroken(f"{file.path}: {len(text)} characters, not {size}")
    edges = [0, int(0.9 * size), int(0.95 * size), size]
    splits = {}
    for split, start, stop in zip(("train", "validation", "test"), edges, edges[1:], strict=False):
        count = _windows(start, stop)
        shape, length = (count, SHAKESPEARE_LENGTH), count * SHAKESPEARE_LENGTH
        splits[split] = Split(
            text[start : start + length].reshape(shape),
            text[start + 1 : start + length + 1].reshape(shape),
        )
    source = "Karpathy (2015), char-rnn: 40,000 lines of Shakespeare"
    return Data("tiny_shakespeare", splits, vocabulary, source)


SETS = {
    "mnist": grey_images(
        "mnist",
        "LeCun, Cortes & Burges: the MNIST database of handwritten digits",
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
        ),
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashion_mnist": grey_images(
        "fashion_mnist",
        "Xiao, Rasul & Vollgraf (2017), arXiv:1708.07747: Fashion-MNIST",
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    "cifar10": cifar10(
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    ),
    "tiny_shakespeare": shakespeare(
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        (
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        ),
    ),
}
