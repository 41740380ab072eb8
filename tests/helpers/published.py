"""Small data sets in the forms of the published ones, and places to put them."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import numpy as np
from gradrace.data import downloaded
from gradrace.data.files import Download

NOWHERE = ("http://127.0.0.1:9/x",)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def empty_places(monkeypatch, folder):
    """No data anywhere: each usual place is a folder of its own below this one, not made yet.

    GRADRACE_DATA is folder/data, the home folder folder/home, the current one folder/here."""
    for variable in ("KERAS_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    places = {"GRADRACE_DATA": "data", "HOME": "home", "XDG_DATA_DIRS": "system"}
    for variable, name in places.items():
        monkeypatch.setenv(variable, str(folder / name))
    (folder / "here").mkdir(exist_ok=True)
    monkeypatch.chdir(folder / "here")


def idx_bytes(array):
    """An array of uint8 as an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


def make_images(count, seed):
    """Images whose class can be learnt: a bright row for each, and noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 10
    x = rng.integers(0, 60, (count, 28, 28))
    x[np.arange(count), 2 * y + 3] = 220
    return x.astype(np.uint8), y.astype(np.uint8)


def small_arrays(train=300, test=50):
    """x_train, y_train, x_test, y_test."""
    return (*make_images(train, 1), *make_images(test, 2))


def small_mnist(
    name="mnist", train=300, test=50, validation=60, change=lambda files: files, **more
):
    """A small data set, and its four files' contents, gzipped, which `change` may spoil: their
    sums are those of what it gives."""
    contents = [gzip.compress(idx_bytes(array), mtime=0) for array in small_arrays(train, test)]
    contents = change(contents)
    sums = tuple(sha256(gzip.decompress(content)) for content in contents)
    mirrors = downloaded.Mirrors(NOWHERE, tuple(map(sha256, contents)))
    sizes = (train, test, validation)
    known = downloaded.grey_images(name, "made up", mirrors, sums, sizes=sizes, **more)
    return known, contents


def place(known, contents):
    """By hand, as a user would."""
    known.published.folder.mkdir(parents=True, exist_ok=True)
    for download, content in zip(known.published.downloads, contents, strict=True):
        (known.published.folder / download.name).write_bytes(content)


def cifar_bytes(count, seed):
    rng = np.random.default_rng(seed)
    y = (np.arange(count) % 10).astype(np.uint8)
    planes = rng.integers(0, 256, (count, 3, 32, 32)).astype(np.uint8)
    return planes, y, np.concatenate([y[:, None], planes.reshape(count, -1)], axis=1).tobytes()


def make_archive(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def cifar_batches(per_file=20):
    """File of the binary version -> content."""
    batches = {f"data_batch_{i}.bin": cifar_bytes(per_file, i)[2] for i in range(1, 6)}
    return batches | {"test_batch.bin": cifar_bytes(per_file, 6)[2]}


def small_cifar(batches, per_file=20):
    """CIFAR-10 with these files of the binary version."""
    sums = [hashlib.md5(content).hexdigest() for content in batches.values()]
    download = Download("cifar-10-binary.tar.gz", "0" * 64, NOWHERE)
    return downloaded.cifar10(download, sums, per_file=per_file, validation=per_file)


def small_shakespeare(text):
    content = text.encode()
    known = downloaded.shakespeare(sha256(content), NOWHERE, 2000, 4)
    place(known, [content])
    return known
