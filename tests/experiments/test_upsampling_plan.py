"""What the up-sampling experiment trains, and options that cannot be."""

from __future__ import annotations

import pytest

from gandetect.experiments.upsampling.plan import (
    EFFORTS,
    MODES,
    PLAIN,
    REPEAT,
    SPECTRALLY_TRAINED,
    SPLITS,
    Options,
    generators,
)
from gandetect.experiments.upsampling.training import configuration
from gandetect.gans.upsampling import UP


def test_every_up_sampler_is_trained_once_and_first_the_most_wanted():
    plain = [one for one in generators(Options()) if one.role == PLAIN]
    assert sorted(one.up for one in plain) == sorted(UP)
    assert [one.name for one in plain[:3]] == ["conv_transpose", "bed_of_nails", "pixel_shuffle"]


def test_spectral_training_and_repeats_come_after_the_plain_ones():
    planned = generators(
        Options(modes=("nearest", "bicubic"), spectral_modes=("nearest",), seeds=3)
    )
    assert [one.name for one in planned] == [
        "nearest", "bicubic", "nearest+loss", "nearest+discriminator",
        "nearest#1", "bicubic#1", "nearest#2", "bicubic#2",
    ]  # fmt: skip
    assert [one.role for one in planned] == [PLAIN] * 2 + [SPECTRALLY_TRAINED] * 2 + [REPEAT] * 4
    assert [one.seed for one in planned] == [0, 0, 0, 0, 1, 1, 2, 2]
    assert planned[3].base == planned[4].base == "nearest"


def test_generators_differ_in_nothing_but_what_they_are_compared_by():
    options = Options(preset="smoke", seeds=2, steps=7)
    plain, *others = [configuration(one, options).to_dict() for one in generators(options)]
    assert plain["steps"] == 7
    for other in others:
        assert {key for key in plain if plain[key] != other[key]} <= {"up", "spectral"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"preset": "quick"}, "quick"),
        ({"modes": ("nearest", "lanczos")}, "lanczos"),
        ({"modes": ("nearest", "nearest")}, "two or more"),
        ({"modes": ("nearest", "bicubic")}, "conv_transpose"),
        ({"seeds": 0}, "seeds=0"),
        ({"steps": 0}, "steps=0"),
    ],
)
def test_options_that_cannot_be_say_why(given, said):
    with pytest.raises(ValueError, match=said):
        Options(**given)


@pytest.mark.parametrize("name", EFFORTS)
def test_every_effort_counts_every_split(name):
    assert tuple(EFFORTS[name].counts) == SPLITS
    assert all(count > 0 for count in EFFORTS[name].counts.values())
    assert len(MODES) <= EFFORTS[name].counts["train"]
