"""Which runs are of one machine, and what their machines are called."""

from __future__ import annotations

from typing import Any

import pytest
from gradrace.machine import this_machine
from gradrace.machine.identity import Identity, identities, identity, is_here, names
from hypothesis import given
from hypothesis import strategies as st
from many import OTHER_MACHINE, result_of, spec_of

A1 = Identity("a1", "EPYC 7B13", 2, 8, "Linux 6.1", "")


def record(machine: dict[str, Any], **fields: Any) -> Any:
    """A run of this machine, but for these fields of the machine and of the record."""
    made = result_of(spec_of(0)).record
    here = this_machine().model_copy(update=machine)
    return made.model_copy(update={"machine": here, **fields})


@pytest.mark.parametrize(
    ("machine", "fields", "same"),
    [
        ({"python": "3.9.0"}, {}, True),
        ({"memory_bytes": this_machine().memory_bytes - 4096}, {}, True),
        ({"host": "elsewhere"}, {}, False),
        ({"processor": "Another"}, {}, False),
        ({"logical_cores": 1000}, {}, False),
        ({"memory_bytes": this_machine().memory_bytes + 2**31}, {}, False),
        ({"system": "Linux 1.0"}, {}, False),
        ({}, {"gpu": "NVIDIA H100, index 0"}, False),
    ],
)
def test_which_records_are_of_one_machine(machine, fields, same):
    assert (identity(record({})) == identity(record(machine, **fields))) == same


def test_records_of_this_machine():
    assert is_here(record({})) and is_here(record({}, gpu="NVIDIA H100, index 0"))
    assert is_here(record({"host": ""})), "of an earlier version"
    assert not is_here(record({"host": "elsewhere"}))
    assert not is_here(record({"host": "", "processor": "Another"}))


@pytest.mark.parametrize(
    ("others", "name"),
    [
        ([], "a1: EPYC 7B13, 2 cores"),
        ([{"host": "b2"}], "a1: EPYC 7B13, 2 cores"),
        ([{"processor": "Xeon"}], "a1: EPYC 7B13, 2 cores"),
        ([{"memory_gib": 16}], "a1: EPYC 7B13, 2 cores, 8 GiB, Linux 6.1"),
        ([{"system": "Linux 6.2"}], "a1: EPYC 7B13, 2 cores, 8 GiB, Linux 6.1"),
    ],
)
def test_a_name_is_as_short_as_the_others_allow(others, name):
    every = [A1, *(A1._replace(**other) for other in others)]
    found = names(every)
    assert found[A1] == name and len(set(found.values())) == len(every)


def test_names_without_a_host_and_with_a_card():
    old = A1._replace(host="", logical_cores=1, gpu="H100, index 0")
    assert names([old]) == {old: "EPYC 7B13, 1 core, H100, index 0"}


TEXTS = st.sampled_from(["", "a", "a: b", "b", "b, 1 core", "1 core", "a\nb", "a b"])
MACHINES = st.builds(
    Identity, TEXTS, TEXTS, st.integers(1, 2), st.integers(1, 2), TEXTS, st.sampled_from(["", "b"])
)


@given(st.lists(MACHINES, max_size=8))
def test_no_two_machines_have_one_name(machines):
    found = names(machines)
    assert set(found) == set(machines)
    assert len(set(found.values())) == len(found)


def test_a_failed_gpu_run_has_the_only_card_of_its_machine():
    def runs(*cards: str, device: str = "gpu") -> list[Any]:
        specs = [spec_of(number, device=device) for number in range(len(cards))]
        made = (result_of(spec).record for spec in specs)
        return [
            each.model_copy(update={"gpu": card}) for each, card in zip(made, cards, strict=True)
        ]

    def cards(records: list[Any]) -> list[str]:
        return [of.gpu for of in identities(records).values()]

    assert cards(runs("H100, index 0", "")) == ["H100, index 0", "H100, index 0"]
    assert cards(runs("H100, index 0", "", "L4, index 1")) == ["H100, index 0", "", "L4, index 1"]
    on_cpu = [each.model_copy(update={"digest": "0" * 24}) for each in runs("", device="cpu")]
    assert cards([*runs("H100, index 0"), *on_cpu]) == ["H100, index 0", ""]
    far = [each.model_copy(update={"machine": OTHER_MACHINE}) for each in runs("a", "")[1:]]
    assert cards([*runs("H100, index 0"), *far]) == ["H100, index 0", ""]
