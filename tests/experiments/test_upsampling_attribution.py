"""Naming the generator of an image, known or never shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from upsampling_sets import EFFORT, sets

from gandetect.experiments.upsampling.attribution import attribution

NAMES = ("striped", "nearest", "blurred")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    effort = replace(EFFORT, counts={"train": 80, "validation": 4, "test": 24})
    made = sets(tmp_path_factory.mktemp("sets"), NAMES, effort)
    return attribution(made.work(), made.pictures, NAMES)


def test_every_test_image_is_counted_in_the_row_of_what_it_is(found):
    assert found["classes"] == ["real", *NAMES]
    for row in found["confusion"].values():
        assert list(row) == ["real", *NAMES, "unknown"]
        assert sum(row.values()) == 24


def test_plain_traces_are_named(found):
    assert found["balanced_accuracy"][0] > 0.9
    for name in NAMES:
        assert max(found["confusion"][name], key=found["confusion"][name].get) == name


def test_a_generator_that_was_never_shown_is_new(found):
    assert set(found["unknown"]) == set(NAMES)
    assert found["unknown"]["nearest"]["auc"][0] > 0.9
    assert found["unknown"]["nearest"]["called_unknown"][0] > 0.9


def test_two_generators_leave_none_out(tmp_path):
    made = sets(tmp_path, NAMES[:2])
    assert attribution(made.work(), made.pictures, NAMES[:2])["unknown"] == {}
