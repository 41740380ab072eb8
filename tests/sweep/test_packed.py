"""The message that carries the results of many runs: all of it comes back, nonsense is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import many
import numpy as np
import pytest
from gradrace.executor import PlannedRun
from gradrace.record import Curve, RunResult
from gradrace.shared import joined, parted
from gradrace.spec import digest
from gradrace.worker.packed import packed, portions, unpacked
from hypothesis import given, settings


def planned(results: list[RunResult]) -> list[PlannedRun]:
    records = [result.record for result in results]
    return [PlannedRun(of.spec, of.digest, {}, {}, Path()) for of in records]


@settings(deadline=None, max_examples=60)
@given(results=many.results())
def test_what_is_packed_comes_back_bit_for_bit(results: list[RunResult]) -> None:
    again = unpacked(json.loads(json.dumps(packed(results))), planned(results))
    for one, other in zip(results, again, strict=True):
        assert one.record == other.record and one.record.spec.id == other.record.spec.id
        assert many.same_arrays(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 0.0}, {"a": -0.0}),
        ({}, {"a": ""}),
    ],
)
def test_what_reads_alike_is_not_taken_for_the_same(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    specs = [many.spec_of(number, variations=of) for number, of in enumerate((one, other))]
    records = [many.result_of(spec).record for spec in specs]
    head, own = parted([record.to_json() for record in records])
    again = joined(*json.loads(json.dumps([head, own])))
    assert [repr(record.spec.variations) for record in again] == [repr(one), repr(other)]
    assert [record.digest for record in again] == [
        digest(record.spec, record.versions, record.sources) for record in again
    ]


def test_what_all_records_share_is_sent_once() -> None:
    message = packed([many.result_of(many.spec_of(number)) for number in range(3)])
    assert [set(own) for own in message["records"]] == [{"digest", "summary"}] * 3
    assert {"machine", "sources", "versions"} < set(message["head"])


def three() -> list[RunResult]:
    return [many.result_of(many.spec_of(number)) for number in range(3)]


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    """Changes one place of a message."""

    def change(message: dict[str, Any]) -> None:
        node: Any = message
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return change


def raw(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers).tobytes()).decode()


LOSSES = ("curve", "columns", "train_losses")
NONSENSE = {
    "no head": put("head", value=[]),
    "records are no list": put("records", value={}),
    "a record is none": put("records", 1, value="x"),
    "one record fewer": lambda message: message["records"].pop(),
    "another's digest": put("records", 0, "digest", value="0" * 24),
    "a digest that is a path": put("records", 0, "digest", value="../../x"),
    "no such status": put("head", "status", value="fine"),
    "an unknown field": put("records", 0, "surprise", value=1),
    "a spec in the head": put("head", "spec", value={}),
    "no curves": lambda message: message.pop("curve"),
    "curves are no table": put("curve", value=[1]),
    "a curve of no run": put("curve", "has", value=[0, 1, 3]),
    "a curve before the first": put("curve", "has", value=[-1, 0, 1]),
    "a run twice": put("curve", "has", value=[0, 1, 1]),
    "truth is a position": put("curve", "has", value=[False, True, 2]),
    "a column fewer": lambda message: message["curve"]["columns"].pop("eval_steps"),
    "a shape fewer": lambda message: message["curve"]["columns"]["points"]["shapes"].pop(),
    "a size below 0": put(*LOSSES, "shapes", 0, value=[-20]),
    "a size of a half": put(*LOSSES, "shapes", 0, value=[19.5]),
    "two axes": put(*LOSSES, "shapes", 0, value=[4, 5]),
    "no axis": put(*LOSSES, "shapes", 0, value=[]),
    "sizes beyond the data": put(*LOSSES, "shapes", 0, value=[2**30]),
    "data beyond the sizes": put(*LOSSES, "data", value=raw(*range(61))),
    "data of half a number": put(*LOSSES, "data", value=base64.b64encode(b"abc").decode()),
    "no base64": put(*LOSSES, "data", value="%%"),
    "data are numbers": put(*LOSSES, "data", value=7),
    "evaluations of two lengths": lambda message: message["curve"]["columns"][
        "validation_losses"
    ].update(shapes=[[2], [4], [3]]),
    "points of other evaluations": lambda message: message["curve"]["columns"]["points"].update(
        shapes=[[1, 2], [0], [0]], data=raw(1, 2)
    ),
}


@pytest.mark.parametrize("change", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    results = three()
    message = json.loads(json.dumps(packed(results)))
    assert len(unpacked(message, planned(results))) == 3
    change(message)
    with pytest.raises((ValueError, TypeError, LookupError)):
        unpacked(message, planned(results))


def test_long_curves_travel_in_several_messages() -> None:
    results = three()
    size = sum(getattr(results[0].curve, name).nbytes for name in Curve.DTYPES)
    assert [len(of) for of in portions(results, 2 * size)] == [2, 1]
    assert [len(of) for of in portions(results, 1)] == [1, 1, 1]
    assert [len(of) for of in portions(results)] == [3] and not list(portions([]))
