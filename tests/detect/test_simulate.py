"""Simulated pairs: repeatable, alike in everything but the trace, and the trace is there."""

import numpy as np
import pytest
import torch

from gandetect.detect.simulate import (
    MODES,
    draw_delivery,
    make_pair,
    simulate,
    upsampled,
)


def test_the_same_seed_gives_the_same_pairs(photographs):
    first = list(simulate(photographs[:2], pairs=3, side=128, seed=5))
    again = list(simulate(photographs[:2], pairs=3, side=128, seed=5))
    other = list(simulate(photographs[:2], pairs=3, side=128, seed=6))
    assert all(torch.equal(a.generated, b.generated) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a.real, b.real) for a, b in zip(first, again, strict=True))
    assert not all(
        a.generated.shape == b.generated.shape and torch.equal(a.generated, b.generated)
        for a, b in zip(first, other, strict=True)
    )


def test_a_pair_does_not_depend_on_the_pairs_before_it(photographs):
    few = list(simulate(photographs[:1], pairs=1, side=128, seed=5))
    many = list(simulate(photographs[:1], pairs=4, side=128, seed=5))
    assert torch.equal(few[0].generated, many[0].generated)


def test_photographs_are_read_one_at_a_time(photographs):
    read = []

    def counted(number):
        def load():
            read.append(number)
            return photographs[number]()

        return load

    pairs = simulate([counted(0), counted(1)], pairs=2, side=64, seed=0)
    next(pairs)
    assert read == [0]


def test_every_mode_and_depth_is_drawn(photographs):
    pairs = list(simulate(photographs[:1], pairs=60, side=64, seed=1))
    assert {mode for pair in pairs for mode in pair.modes} == set(MODES)
    assert {len(pair.modes) for pair in pairs} == {1, 2, 3}
    assert {pair.delivery.quality is None for pair in pairs} == {True, False}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_each_mode_keeps_size_and_content(photographs, mode, stages):
    plane = photographs[0]().float()[200:328, 200:328]
    result = upsampled(plane, (mode,) * stages, np.random.default_rng(3))
    assert result.shape == plane.shape
    blocks = torch.nn.functional.avg_pool2d(torch.stack([plane, result])[:, None], 16).flatten(1)
    assert torch.corrcoef(blocks)[0, 1] > 0.8


def test_pairs_are_eight_bit_and_of_equal_size(photographs):
    plane = photographs[0]().float()
    for seed in range(20):
        pair = make_pair(plane, 128, np.random.default_rng(seed))
        assert pair.real.dtype == pair.generated.dtype == torch.uint8
        assert pair.real.shape == pair.generated.shape == (pair.delivery.side,) * 2
        assert pair.delivery.side % 8 == 0


def test_a_photograph_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 64"):
        draw_delivery(40, 400, 128, np.random.default_rng(0))
