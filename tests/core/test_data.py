"""Data sets: splits, generated tasks, strict parsers, and files from a server or placed by hand.

Packings and places of published files: test_published_data.py."""

from __future__ import annotations

import gzip
import http.server
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradrace import data
from gradrace.data import downloaded, fetching, formats, generated
from gradrace.data.files import Download, Packing, Published, read
from gradrace.data.parts import DataBroken, DataMissing, Part
from gradrace.data.places import data_folder
from gradrace.errors import UserError
from gradrace.spec import RunSpec
from published import (
    cifar_batches,
    cifar_bytes,
    empty_places,
    idx_bytes,
    make_archive,
    make_images,
    place,
    sha256,
    small_cifar,
    small_mnist,
    small_shakespeare,
)
from tiny import toml

BUNDLED = ["digits", "breast_cancer", "wine", "diabetes"]


def shapes(loaded):
    """The shape of each split: train, validation, test."""
    assert list(loaded.splits) == ["train", "validation", "test"]
    return [split.x.shape for split in loaded.splits.values()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder of the test's own, and no other place; what was loaded is forgotten
    afterwards."""
    empty_places(monkeypatch, tmp_path)
    data.load.cache_clear()
    yield tmp_path / "data"
    data.load.cache_clear()


# Bundled


@pytest.mark.parametrize("name", BUNDLED)
def test_data_are_split_once_and_standardised_by_training_statistics(name):
    loaded = data.load(name)
    assert len(loaded.train.y) == data.training_samples(name)
    x = loaded.train.x
    spread = x.std(axis=0)
    assert x.dtype == np.float64
    assert np.allclose(x.mean(axis=0), 0, atol=1e-12) and np.allclose(spread[spread > 0], 1)
    assert not np.allclose(loaded.splits["validation"].x.std(axis=0)[spread > 0], 1)
    rows = np.concatenate([split.x for split in loaded.splits.values()])
    total = {"digits": 1797, "breast_cancer": 569, "wine": 178, "diabetes": 442}[name]
    assert len(np.unique(rows, axis=0)) == len(rows) == total, "no sample is in two splits"


@pytest.mark.parametrize("name", BUNDLED[:3])
def test_splits_are_stratified(name):
    loaded = data.load(name)
    splits = [split.y for split in loaded.splits.values()]
    shares = [np.bincount(y, minlength=loaded.classes) / len(y) for y in splits]
    assert np.ptp(shares, axis=0).max() < 0.02
    assert all(y.dtype == np.int64 for y in splits)


def test_diabetes_has_standardised_targets_of_one_column():
    loaded = data.load("diabetes")
    y = loaded.train.y
    assert y.shape == (272, 1) and y.dtype == np.float64
    assert abs(y.mean()) < 1e-12 and y.std() == pytest.approx(1)
    medians = [np.median(split.y) for split in loaded.splits.values()]
    assert np.ptp(medians) < 0.15, "splits reach over the whole range"


# Generated


def test_the_adding_problem_marks_one_number_of_each_half():
    loaded = data.load("adding")
    for split in loaded.splits.values():
        x = split.x.reshape(len(split.x), generated.ADDING_LENGTH, 2)
        values, markers = x[..., 0], x[..., 1]
        assert set(np.unique(markers)) == {0.0, 1.0} and (values >= 0).all() and (values < 1).all()
        assert (markers[:, :15].sum(axis=1) == 1).all() and (markers[:, 15:].sum(axis=1) == 1).all()
        assert split.y == pytest.approx((values * markers).sum(axis=1, keepdims=True))
    assert loaded.train.y.var() == pytest.approx(1 / 6, rel=0.05)


def test_copy_memory_asks_for_the_symbols_shown_first():
    loaded = data.load("copy_memory")
    for split in loaded.splits.values():
        shown = split.x.reshape(len(split.x), 20, 10)
        assert (shown.sum(axis=2) == 1).all()
        kinds = shown.argmax(axis=2)
        assert (kinds[:, :5] < 8).all() and (kinds[:, 14] == 9).all()
        assert (kinds[:, 5:14] == 8).all() and (kinds[:, 15:] == 8).all()
        assert np.array_equal(split.y[:, 15:], kinds[:, :5]) and (split.y[:, :15] == 8).all()
    assert (np.bincount(loaded.train.y[:, 15:].ravel(), minlength=8) > 1000).all()


@pytest.mark.parametrize("name", ["adding", "copy_memory"])
def test_generated_splits_share_no_sample_and_do_not_change(name):
    loaded = data.load(name)
    assert len(loaded.train.y) == data.training_samples(name)
    rows = np.concatenate([split.x for split in loaded.splits.values()])
    assert len(np.unique(rows, axis=0)) == len(rows) == 3072
    again = generated.SETS[name].load()
    assert all(np.array_equal(split.x, again.splits[key].x) for key, split in loaded.splits.items())


# Downloaded


def test_idx_files_placed_by_hand_are_read(folder, monkeypatch):
    known, contents = small_mnist()
    monkeypatch.setitem(data.SETS, "mnist", known)
    place(known, contents)
    loaded = data.load("mnist")
    assert shapes(loaded) == [(240, 784), (60, 784), (50, 784)]
    assert loaded.train.x.dtype == np.float32 and loaded.train.y.dtype == np.int64
    assert abs(loaded.train.x.mean(dtype=np.float64)) < 1e-5
    assert loaded.train.x.std(dtype=np.float64) == pytest.approx(1)
    assert np.array_equal(np.bincount(loaded.splits["validation"].y), np.full(10, 6)), "stratified"
    x, _ = make_images(50, 2)
    test = loaded.splits["test"]
    alike = np.corrcoef(test.x.ravel(), x.reshape(50, -1).ravel())[0, 1]
    assert alike == pytest.approx(1, abs=1e-6)
    assert np.array_equal(test.y, np.arange(50) % 10), "the published test set, in its order"


def spoil(index, change):
    """Changes the decompressed content of one file."""

    def spoiled(contents):
        contents[index] = gzip.compress(change(gzip.decompress(contents[index])), mtime=0)
        return contents

    return spoiled


def put(at, new):
    """Replaces bytes from there on."""
    return lambda before: before[:at] + new + before[at + len(new) :]


SIZE_299 = put(4, (299).to_bytes(4, "big"))
BAD_MAGIC = "train-images.*begins with 00 00 0d 03, not with 00 00 08 03"
OTHER_SHAPE = r"its shape is \(299, 28, 28\), not \(300, 28, 28\)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil(0, put(0, b"\x00\x00\x0d\x03")), BAD_MAGIC),
        (spoil(1, put(0, b"\x00\x00\x08\x03")), "train-labels.*not with 00 00 08 01"),
        (spoil(0, SIZE_299), OTHER_SHAPE),
        (spoil(3, put(8, b"\x0a")), "t10k-labels.*holds the label 10, the largest is 9"),
        (spoil(0, lambda b: b[:-1]), "train-images.*holds 235215 bytes of .*, not 235216"),
        (spoil(2, lambda b: b + b"\x00"), "t10k-images.*holds more than the 39216 bytes"),
    ],
)
def test_contents_that_are_no_such_images_are_refused_by_name(folder, change, message):
    known, contents = small_mnist(change=change)
    place(known, contents)
    with pytest.raises(DataBroken, match=message):
        known.load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx_bytes(np.zeros((3, 2)))[:9], "truncated within its header"),
        (idx_bytes(np.zeros((3, 2)))[:-1], "5 values after its header, not 6"),
        (idx_bytes(np.zeros((3, 2))) + b"x", "7 values after its header, not 6"),
    ],
)
def test_idx_of_another_length_is_refused(content, message):
    with pytest.raises(DataBroken, match=f"a/b: .*{message}"):
        formats.idx(content, (3, 2), Path("a/b"))


def test_a_missing_set_is_said_to_be_missing(folder):
    known, contents = small_mnist()
    place(known, contents)
    (known.published.folder / known.published.downloads[1].name).unlink()
    absent = "train-labels-idx1-ubyte.gz missing in .*/data/mnist, and nothing .*; `gradrace"
    with pytest.raises(DataMissing, match=f"mnist is not there: {absent}"):
        known.load()


def test_cifar_is_read_from_its_archive_with_channels_last(folder):
    files = cifar_batches()
    known = small_cifar(files)
    place(known, [make_archive({f"cifar-10-batches-bin/{n}": c for n, c in files.items()})])
    loaded = known.load()
    assert shapes(loaded) == [(80, 3072), (20, 3072), (20, 3072)]
    planes, y, _ = cifar_bytes(20, 6)
    images = loaded.shaped("test", (32, 32, 3))
    for channel in range(3):
        one, other = images[..., channel].ravel(), planes[:, channel].ravel()
        assert np.corrcoef(one, other)[0, 1] == pytest.approx(1, abs=1e-6)
        train = loaded.shaped("train", (32, 32, 3))[..., channel].astype(np.float64)
        assert abs(train.mean()) < 1e-5 and train.std() == pytest.approx(1, rel=1e-5)
    assert np.array_equal(loaded.splits["test"].y, y)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(100), "100 bytes instead of 20 records of 3073"),
        (b"\x0b" * 61460, "holds the label 11, the largest is 9"),
    ],
)
def test_contents_that_are_no_file_of_cifar_are_refused(content, message):
    with pytest.raises(DataBroken, match=f"a/b: {message}"):
        formats.cifar(content, 20, Path("a/b"))


def test_shakespeare_comes_in_windows_whose_targets_are_one_character_later(folder):
    text = "".join("abcd"[(i * i // 7) % 4] for i in range(2000))
    loaded = small_shakespeare(text).load()
    assert shapes(loaded) == [(28, 64), (1, 64), (1, 64)]
    read = lambda codes: "".join("abcd"[i] for i in codes.ravel())
    decoded = read(loaded.train.x)
    assert text.startswith(decoded) and len(decoded) == 28 * 64
    assert read(loaded.train.y) == text[1 : len(decoded) + 1]
    assert text[1900:].startswith(read(loaded.splits["test"].x))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abcd" * 499, "holds 1996 bytes of input.txt, not 2000"),
        ("abca" * 500, "3 distinct"),
        ("é" * 1000, "not plain ASCII"),
    ],
)
def test_another_text_is_refused(folder, text, message):
    with pytest.raises(DataBroken, match=message):
        small_shakespeare(text).load()


def test_published_sizes_and_sums_are_complete():
    sizes = {"mnist": 55_000, "fashion_mnist": 55_000, "cifar10": 45_000}
    sizes["tiny_shakespeare"] = 15_685
    assert {name: data.training_samples(name) for name in downloaded.SETS} == sizes
    published = [known.published for known in downloaded.SETS.values()]
    files = [file for known in published for file in known.downloads]
    assert len({file.sha256 for file in files}) == len(files) == 10
    assert all(len(file.sha256) == 64 and file.urls for file in files)
    parts = [part for known in published for part in known.parts]
    assert len({part.digest for part in parts}) == len(parts) == 15
    assert {len(part.digest) for part in parts} == {64, 32}
    assert sum(part.size for part in parts) == 2 * 54_950_048 + 6 * 30_730_000 + 1_115_394


# Fetching


@pytest.fixture
def server():
    """A local server of given contents; a test fills `pages`."""
    pages: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = pages.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            # A broken connection leaves a body shorter than announced.
            announced = len(content) + 100 * self.path.startswith("/cut")
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", pages
        running.shutdown()
        thread.join()


def remote(content, *urls, names=("file.bin",)):
    """A data set of files with this content, each at these addresses."""
    parts = tuple(Part(name, len(content), sha256(content)) for name in names)
    downloads = tuple(Download(name, sha256(content), urls) for name in names)
    packing = Packing(("made",), tuple((name,) for name in names))
    return Published("made", parts, downloads, (packing,))


def test_fetch_takes_the_first_mirror_that_has_the_right_file(folder, server):
    address, pages = server
    content = bytes(3_000_000)
    pages |= {"/cut": content[:-100], "/other": b"another file", "/good": content}
    known = remote(content, *(f"{address}/{name}" for name in ("absent", "cut", "other", "good")))
    path = folder / "made" / "file.bin"
    assert fetching.fetch(known) == [path]
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["file.bin"], "nothing half-downloaded"
    pages.clear()
    assert fetching.fetch(known) == [], "what is there is not fetched again"


def test_fetch_takes_a_file_that_is_packed_otherwise(folder, server):
    address, pages = server
    pages["/good"] = gzip.compress(b"right")
    known = remote(b"right", f"{address}/good")
    assert fetching.fetch(known) == [folder / "made" / "file.bin"]
    assert read(known).contents == (b"right",)


def test_fetch_replaces_a_broken_file_and_leaves_a_right_one(folder, server):
    address, pages = server
    pages["/good"] = b"right"
    known = remote(b"right", f"{address}/good", names=("one.bin", "two.bin"))
    one, two = (folder / "made" / name for name in ("one.bin", "two.bin"))
    one.parent.mkdir(parents=True)
    one.write_bytes(b"right")
    two.write_bytes(b"wro")
    assert fetching.fetch(known) == [two]
    assert two.read_bytes() == b"right"


def test_a_fetch_that_fails_names_the_files_and_their_places(folder, server):
    address, pages = server
    pages["/other"] = b"another"
    absent, other = f"{address}/absent", f"{address}/other"
    urls = (absent, other, "http://127.0.0.1:9/closed", "nonsense")
    known = replace(remote(b"right", *urls, names=("file.bin", "later.bin")), hint="Or: ask.")
    with pytest.raises(UserError) as caught:
        fetching.fetch(known)
    places = [str(folder / "made" / name) for name in ("file.bin", "later.bin")]
    ends = [f"{absent}: HTTP Error 404", f"{other}: what came has the sha256 sum", "Or: ask."]
    for part in (*ends, "closed: ", "nonsense: ", *places, sha256(b"right")):
        assert part in str(caught.value), part
    assert list((folder / "made").iterdir()) == []


def test_the_folder_is_the_given_one_then_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADRACE_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv("GRADRACE_DATA")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder() == tmp_path / "cache" / "gradrace"


# Runs on downloaded data


SMALL = """
from gradrace import data
from gradrace.data import downloaded
from gradrace.spec import TaskSpec
from gradrace.layers import Dense
data.SETS["mnist"] = downloaded.grey_images(
    "mnist", "made up", downloaded.Mirrors(("http://127.0.0.1:9/x",), {packed}), {sums},
    sizes=(300, 50, 60),
)
TASK = TaskSpec(
    name="small_mnist", title="a plug-in must define something", data="mnist", input_shape=(784,),
    model=(Dense(units=10),), batch_size=20, steps=60, eval_every=20, target=0.9,
    target_origin="made up",
)
"""
SUITE = toml(
    {"title": "MNIST, small", "tasks": ["mnist_mlp"], "frameworks": ["numpy"], "seeds": 1}
    | {"optimizers": ["adam"], "dtype": "float64", "steps": 40, "eval_every": 20}
    | {"batch_sizes": [30]}
)


def small(known):
    """A plug-in's text with this data set as mnist."""
    packed = tuple(file.sha256 for file in known.published.downloads)
    return SMALL.format(packed=packed, sums=tuple(part.digest for part in known.published.parts))


@pytest.fixture
def run(tmp_path, folder, gradrace):
    """Runs the suite on small MNIST; its files are there if they are given to `place` before."""
    known, contents = small_mnist()
    (tmp_path / "small.py").write_text(small(known))
    (tmp_path / "mnist.toml").write_text(SUITE)

    def call(*options, placed=True, torn=None):
        if placed:
            place(known, contents)
        if torn:
            (folder / "mnist" / torn).write_bytes(b"torn")
        options = ("--load", "small.py", "--no-report", "--quiet", *options)
        done = gradrace("run", "mnist.toml", *options)
        return done, gradrace("show", "mnist_mlp").stdout

    return call


def test_mnist_placed_by_hand_trains_in_a_worker(run, folder, tmp_path):
    from gradrace.results import frame

    done, _ = run("--data-dir", folder)
    assert done.returncode == 0, done.stderr
    runs = frame.load(tmp_path / "results").runs.set_index("task")
    assert runs.status["mnist_mlp"] == "ok"
    assert runs.final_validation_loss["mnist_mlp"] < 0.5 < 2.0
    assert runs.test_metric["mnist_mlp"] > 0.9


def test_a_run_without_its_data_is_skipped_with_the_reason(run):
    done, shown = run(placed=False)
    assert done.returncode == 3, done.stderr
    assert "skipped" in shown and "gradrace fetch mnist" in shown


def test_a_run_on_a_broken_file_fails_by_name(run):
    done, shown = run(torn="t10k-labels-idx1-ubyte.gz")
    assert done.returncode == 1, done.stderr
    assert "failed" in shown and "t10k-labels-idx1-ubyte.gz: holds 4 bytes" in shown


@pytest.mark.slow
def test_fetch_without_a_network_exits_2_and_names_files_and_sources(folder, gradrace, monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    done = gradrace("fetch", "mnist", "--data-dir", folder / "elsewhere")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for file in data.SETS["mnist"].published.downloads:
        assert file.sha256 in done.stderr
        assert str(folder / "elsewhere" / "mnist" / file.name) in done.stderr
        assert all(url in done.stderr for url in file.urls)


def test_fetch_of_something_unknown_is_named(folder, gradrace):
    done = gradrace("fetch", "minst")
    assert done.returncode == 2 and "did you mean 'mnist'" in done.stderr
    done = gradrace("fetch", "digits")
    assert done.returncode == 0 and "nothing to download" in done.stderr + done.stdout


def test_a_batch_larger_than_the_set_is_refused_without_reading_it(folder, tmp_path, gradrace):
    (tmp_path / "large.toml").write_text(SUITE.replace("[30]", "[60000]"))
    done = gradrace("run", "large.toml")
    assert done.returncode == 2
    assert "60000 is larger than the 55000 training samples of mnist_mlp" in done.stderr


def test_a_task_on_unknown_data_is_refused_by_name(tmp_path, gradrace):
    task = small(small_mnist()[0]).replace('data="mnist"', 'data="mnits"')
    (tmp_path / "mine.py").write_text(task)
    (tmp_path / "one.toml").write_text(SUITE.replace("mnist_mlp", "small_mnist"))
    done = gradrace("run", "one.toml", "--load", "mine.py")
    assert done.returncode == 2
    assert "small_mnist: no data set 'mnits' (did you mean 'mnist'?)" in done.stderr


def test_data_of_a_task_do_not_depend_on_the_seed(make_run, registry):
    from gradrace.plan import make_plan

    one, two = (make_plan(make_run(seed=seed), registry.optimizers["adam"]) for seed in (0, 1))
    assert isinstance(make_run(), RunSpec) and one.data is two.data
