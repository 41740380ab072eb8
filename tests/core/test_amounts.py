"""Which tasks one compiled program serves: those that differ in the values of numbers alone."""

from __future__ import annotations

import pytest
from gradrace.layers import Dense, Dropout
from gradrace.objective import alike, amounts
from gradrace.spec import Regularization, TaskSpec
from layer_table import task


def of(
    rate: float = 0.4, masks: str = "harness", smoothing: float = 0.1, **rules: float
) -> TaskSpec:
    made = task(
        "made",
        (Dense(units=6), Dropout(rate=rate, masks=masks), Dense(units=10)),
        input_shape=(64,),
    )
    return made.model_copy(
        update={"label_smoothing": smoothing, "regularization": Regularization(**rules)}
    )


def test_amounts_are_those_that_are_not_zero():
    assert amounts(of(0.5, l2=0.2, clip_norm=3.0), 10) == {
        "half_l2": 0.1,
        "clip_norm": 3.0,
        "kept": 0.9,
        "spread": 0.01,
        "scale 1_dropout": 2.0,
    }
    binary = of(0.0, l1=0.5, decay=0.25).model_copy(update={"loss": "binary_cross_entropy"})
    assert amounts(binary, 1) == {"l1": 0.5, "decay": 0.25, "kept": 0.9, "spread": 0.05}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (of(), of(0.3), True),
        (of(), of(smoothing=0.2), True),
        (
            of(l1=1.0, l2=1.0, decay=1.0, clip_norm=1.0),
            of(l1=0.1, l2=0.2, decay=0.3, clip_norm=0.4),
            True,
        ),
        (of(), of(0.0), False),
        (of(), of(smoothing=0.0), False),
        (of(l1=1.0), of(), False),
        (of(l1=1.0), of(l2=1.0), False),
        (of(masks="native"), of(0.3, masks="native"), False),
        (of(), of(masks="native"), False),
    ],
)
def test_tasks_are_alike_if_their_numbers_differ_in_value_alone(one, other, same):
    assert (alike(one) == alike(other)) == same
    if same:
        assert amounts(one, 10).keys() == amounts(other, 10).keys()
