"""Simulated pairs: repeatable, alike in everything but the trace, and the trace is there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data

from gandetect.detect.simulate import BLOCK, MODES, make_pair, simulate, upsampled
from gandetect.detect.simulation.network import GeneratorNetwork, Network, NetworkConfig
from gandetect.detect.simulation.pipeline import draw_modes


@pytest.fixture(scope="module")
def color():
    """An RGB photograph, (3, H, W) uint8."""
    return torch.from_numpy(data.astronaut().transpose(2, 0, 1).copy())


@pytest.fixture(scope="module")
def networks():
    """Two networks as they are before training: enough to see them used."""
    torch.manual_seed(0)
    configs = [
        NetworkConfig("superresolver", "nearest", (2,), width=8, blocks=0),
        NetworkConfig("autoencoder", "transposed", (2, 2), width=8, blocks=0),
    ]
    return [GeneratorNetwork(Network(config), 0, 0) for config in configs]


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


@pytest.mark.parametrize("workers", [1, 2])
def test_pairs_are_the_same_however_many_processes_make_them(photographs, networks, workers):
    how = {"pairs": BLOCK + 2, "side": 80, "seed": 5, "networks": networks}
    alone = list(simulate(photographs[:2], **how))
    shared = list(simulate(photographs[:2], workers=workers, **how))
    assert [pair.source for pair in shared] == [0] * (BLOCK + 2) + [1] * (BLOCK + 2)
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.real, other.real)
        assert torch.equal(one.generated, other.generated)
        assert replace(one, real=0, generated=0) == replace(other, real=0, generated=0)


def test_a_photograph_that_a_worker_cannot_use_is_told_as_it_is(photographs):
    small = [photographs[0], lambda: torch.zeros(3, 40, 40, dtype=torch.uint8)]
    pairs = simulate(small, pairs=1, side=64, workers=2)
    assert next(pairs).source == 0
    with pytest.raises(ValueError, match=r"^photograph of 40x40"):
        next(pairs)


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


def test_every_mode_and_depth_is_drawn():
    drawn = [draw_modes(np.random.default_rng(seed)) for seed in range(120)]
    assert {mode for modes in drawn for mode in modes} == set(MODES)
    assert {len(modes) for modes in drawn} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stages", [1, 2, 3, 5])
def test_each_mode_keeps_size_and_content(photographs, mode, stages):
    plane = photographs[0]().float()[200:328, 200:328]
    for seed in range(4):
        result = upsampled(plane, (mode,) * stages, np.random.default_rng(seed))
        assert result.shape == plane.shape
        both = torch.stack([plane, result])[:, None]
        blocks = torch.nn.functional.avg_pool2d(both, 16).flatten(1)
        assert torch.corrcoef(blocks)[0, 1] > 0.8


def test_what_comes_out_differs_from_what_went_in(photographs):
    plane = photographs[0]().float()[200:328, 200:328]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert (upsampled(plane, draw_modes(rng), rng) - plane).abs().mean() > 0.5


def test_pairs_are_eight_bit_luma_of_equal_size(photographs, color):
    for photograph in (photographs[0](), photographs[0]().float(), color):
        for seed in range(10):
            pair = make_pair(photograph, 128, np.random.default_rng(seed))
            assert pair.real.dtype == pair.generated.dtype == torch.uint8
            assert pair.real.shape == pair.generated.shape == (pair.delivery.delivered_side,) * 2


def test_color_keeps_its_planes(color):
    result = upsampled(color[:, :96, :96], ("bilinear", "pixel_shuffle"), np.random.default_rng(0))
    assert result.shape == (3, 96, 96)
    assert (result.mean(dim=(1, 2)) - color[:, :96, :96].float().mean(dim=(1, 2))).abs().max() < 20


def test_pixels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="want luma"):
        make_pair(torch.zeros(100, 100, 3), 64, np.random.default_rng(0))


def test_networks_make_half_of_the_pairs_and_are_named(color, networks):
    pairs = list(simulate([lambda: color], pairs=40, side=64, networks=networks))
    made = [pair for pair in pairs if pair.network]
    assert 10 < len(made) < 30
    modes = {network.id: network.modes for network in networks}
    assert {pair.network for pair in made} == set(modes)
    assert all(pair.modes == modes[pair.network] for pair in made)


def test_without_networks_none_is_named(color):
    pairs = simulate([lambda: color], pairs=5, side=64)
    assert {pair.network for pair in pairs} == {""}
