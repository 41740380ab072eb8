"""Published data sets: MNIST, Fashion-MNIST, CIFAR-10, tiny-shakespeare.

The published test set is the test split; the validation split is a stratified part of the training
set. Pixels are standardised by channel with the training split's mean and standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np

from . import formats, unpack
from .files import Download, Packing, Published, read
from .parts import Part
from .values import Data, Loader, Split, split_indices

SHAKESPEARE_LENGTH, SHAKESPEARE_VOCABULARY = 64, 65
_IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
# The arrays of Keras' mnist.npz, in the order of these files.
_NPZ = ("x_train", "y_train", "x_test", "y_test")
_CIFAR_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
_CIFAR_SOURCE = "Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images: CIFAR-10"


class Mirrors(NamedTuple):
    """Where four gzipped files are published, and the sha256 sums that they have there."""

    addresses: tuple[str, ...]
    packed: tuple[str, str, str, str]


def grey_images(
    name: str,
    source: str,
    mirrors: Mirrors,
    sums: Sequence[str],
    *,
    folders: tuple[str, ...] = (),
    sizes: tuple[int, int, int] = (60_000, 10_000, 5_000),
    hint: str = "",
) -> Loader:
    """28x28 grey images in MNIST's four files, whose unpacked content has these sha256 sums.

    folders: below those that are searched for any data set, beside one of its own name. sizes: of
    the training and test part, and of the validation split."""
    training, test, validation = sizes
    shapes = [shape for count in (training, test) for shape in ((count, 28, 28), (count,))]
    headers = [formats.idx_header(shape) for shape in shapes]
    parts = tuple(
        Part(f"{file}-ubyte", len(header) + prod(shape), digest)
        for file, header, shape, digest in zip(_IDX, headers, shapes, sums, strict=True)
    )
    published = Published(
        name,
        parts,
        tuple(
            Download(f"{part.name}.gz", digest, tuple(f"{m}/{part.name}.gz" for m in mirrors[0]))
            for part, digest in zip(parts, mirrors.packed, strict=True)
        ),
        (
            Packing((name, *folders, "."), tuple(_idx_names(part.name) for part in parts)),
            Packing(
                (".", name),
                ((f"{name}.npz",),),
                partial(unpack.npz, arrays=dict(zip(_NPZ, headers, strict=True))),
            ),
        ),
        hint,
    )
    load = partial(_grey_images, published, source, shapes, validation)
    return Loader(training - validation, load, published)


def _idx_names(name: str) -> tuple[str, ...]:
    """Those in use: train-images-idx3-ubyte and train-images.idx3-ubyte, gzipped or not."""
    dotted = name.replace("-idx", ".idx")
    return (f"{name}.gz", name, f"{dotted}.gz", dotted)


def _grey_images(
    published: Published, source: str, shapes: Sequence[tuple[int, ...]], validation: int
) -> Data:
    found = read(published)
    arrays = [
        formats.idx(content, shape, path)
        for content, shape, path in zip(found.contents, shapes, found.paths, strict=True)
    ]
    y, y_test = (formats.labels(arrays[i], 10, found.paths[i]) for i in (1, 3))
    images = [arrays[i].reshape(len(arrays[i]), 28 * 28, 1) for i in (0, 2)]
    return _images(published.name, source, (images[0], y), (images[1], y_test), validation)


def cifar10(
    download: Download, sums: Sequence[str], per_file: int = 10_000, validation: int = 5_000
) -> Loader:
    """CIFAR-10: five training files and a test file, `per_file` records each.

    sums: of the files of the binary version. The Python version's are compared with the same sums,
    after they have been brought into that form."""
    size = per_file * formats.CIFAR_RECORD
    parts = tuple(
        Part(f"{name}.bin", size, digest) for name, digest in zip(_CIFAR_BATCHES, sums, strict=True)
    )
    python = tuple((name,) for name in _CIFAR_BATCHES)
    published = Published(
        "cifar10",
        parts,
        (download,),
        (
            Packing(("cifar10", "."), ((download.name,),), unpack.cifar_archive),
            Packing(
                ("cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "cifar10"),
                tuple((part.name,) for part in parts),
            ),
            Packing(
                (
                    "cifar-10-batches-py",
                    "cifar10/cifar-10-batches-py",
                    # Keras', of today and of old.
                    "cifar-10-batches-py-target/cifar-10-batches-py",
                ),
                python,
                unpack.cifar_batch,
            ),
            Packing(
                (".", "cifar10"),
                (
                    (
                        "cifar-10-python.tar.gz",
                        "cifar-10-batches-py-target_archive",
                        "cifar-10-batches-py.tar.gz",
                    ),
                ),
                unpack.cifar_batches,
            ),
        ),
    )
    load = partial(_cifar10, published, per_file, validation)
    return Loader(5 * per_file - validation, load, published)


def _cifar10(published: Published, per_file: int, validation: int) -> Data:
    found = read(published)
    parts = [
        formats.cifar(content, per_file, path)
        for content, path in zip(found.contents, found.paths, strict=True)
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
    folders = ("tiny_shakespeare", "tinyshakespeare", "shakespeare_char")
    published = Published(
        "tiny_shakespeare",
        (Part("input.txt", size, digest),),
        (Download("input.txt", digest, urls),),
        # Keras' guide keeps the same text as shakespeare.txt.
        (Packing(folders, (("input.txt",),)), Packing((".",), (("shakespeare.txt",),))),
    )
    load = partial(_shakespeare, published, size, vocabulary)
    return Loader(_windows(0, int(0.9 * size)), load, published)


def _windows(start: int, stop: int) -> int:
    """How many windows lie there; the last needs one more character after it."""
    return (stop - start - 1) // SHAKESPEARE_LENGTH


def _shakespeare(published: Published, size: int, vocabulary: int) -> Data:
    found = read(published)
    text = formats.characters(found.contents[0], vocabulary, found.paths[0])
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
    # Several public repositories list the same sums of the unpacked files.
    "mnist": grey_images(
        "mnist",
        "LeCun, Cortes & Burges: the MNIST database of handwritten digits",
        Mirrors(
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
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        folders=("MNIST/raw", "MNIST"),
    ),
    # Of Debian's dataset-fashion-mnist 0.0~git20200523.
    "fashion_mnist": grey_images(
        "fashion_mnist",
        "Xiao, Rasul & Vollgraf (2017), arXiv:1708.07747: Fashion-MNIST",
        Mirrors(
            ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
            (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        folders=("FashionMNIST/raw", "FashionMNIST", "fashion-mnist"),
        hint="On Debian: apt-get install dataset-fashion-mnist",
    ),
    # As in rai-project/dldataset, vision/cifar10.go, and others.
    "cifar10": cifar10(
        Download(
            "cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
        ),
        (
            "5dd7e06a14cb22eb9f671a540d1b7c25",
            "5ea93a67294ea407fff1d09f752e9692",
            "942cd6a4bcdd0dd3c604fbe906cb4421",
            "ae636b3ba5c66a11e91e8cb52e771fcb",
            "53f37980c15c3d472c316c40844f3f0d",
            "803d5f7f4d78ea53de84dbe85f74fb6d",
        ),
    ),
    "tiny_shakespeare": shakespeare(
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        (
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        ),
    ),
}
