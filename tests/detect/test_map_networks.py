"""The mask and the warp network: what their outputs mean, their losses, and that they learn."""

from __future__ import annotations

from functools import partial
from itertools import cycle, islice

import pytest
import torch

from gandetect.detect.networks import streaming
from gandetect.detect.networks.base import rebuild
from gandetect.detect.networks.detail import CHANNELS, detail_maps
from gandetect.detect.networks.mask import MaskNetwork, image_logits, mask_losses
from gandetect.detect.networks.streaming import (
    POOL,
    Steps,
    endless,
    train_mask,
    train_on,
    train_warp,
)
from gandetect.detect.networks.warp import WarpNetwork, end_point_errors, gradient_errors
from gandetect.detect.warps import make_warps

FEW = Steps(count=2, batch=4)


def tiles(side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, side, side), generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def warps(photographs):
    return list(make_warps(photographs[:2], count=4, side=48))


def as_batch(warps):
    images = torch.stack([warp.image for warp in warps])
    targets = [torch.cat((warp.flow, warp.original[None])) for warp in warps]
    return images, torch.stack(targets)


def test_the_mask_has_the_size_of_the_image():
    network = MaskNetwork().eval()
    for side in (64, 96):
        assert network.mask_logits(tiles(side)).shape == (2, side, side)


def test_a_side_that_cannot_be_halved_often_enough_is_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        MaskNetwork()(tiles(66))


def test_the_image_is_judged_by_its_most_forged_pixels():
    logits = torch.full((1, 40, 40), -5.0)
    logits[0, :4, :4] = 3.0
    assert image_logits(logits).item() == pytest.approx(3.0)


def test_detail_is_blind_to_brightness_and_shifts_with_contrast():
    noise = 10 * torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(0))
    bands = slice(0, CHANNELS - 4)
    once, brighter, twice = (
        detail_maps(x)[:, bands] for x in (100 + noise, 130 + noise, 100 + 2 * noise)
    )
    assert torch.allclose(once, brighter, atol=1e-4)
    # The square of 2, as logarithm, over the spread of 2.
    assert torch.allclose(twice - once, torch.full_like(once, 0.693), atol=0.05)


def test_detail_sees_the_phases_of_doubled_pixels():
    generator = torch.Generator().manual_seed(0)
    single = 255 * torch.rand(1, 32, 32, generator=generator)
    doubled = single[:, :16, :16].repeat_interleave(2, 1).repeat_interleave(2, 2)

    def across(pixels):
        """Mean log energy of differences across, in each of the four phases."""
        # Cosine filters come in rows: the constant one is left out, then across.
        return detail_maps(pixels)[0, 8:12].mean(dim=(1, 2))

    assert across(single).std() < 0.2
    # Within a doubled pixel nothing differs, between two of them much does.
    assert sorted(across(doubled) < 0) == [False, False, True, True]


def test_only_the_skip_carries_detail_that_pooling_loses():
    network = MaskNetwork().eval()
    pixels = tiles(64)
    with torch.no_grad():
        with_skip = network.mask_logits(pixels)
        network.up[-1][0].weight[:, network.settings["widths"][0] :] = 0
        without = network.mask_logits(pixels)
    assert not torch.allclose(with_skip, without, atol=1e-3)


def test_the_mask_loss_is_least_at_the_mask():
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[0, 8:20, 8:20] = True
    right = torch.where(mask, 8.0, -8.0)
    shifted = right.roll(6, dims=2)
    empty = torch.full_like(right, -8.0)
    losses = [float(mask_losses(logits, mask)) for logits in (right, shifted, empty, -right)]
    assert losses[0] < 0.01
    assert losses[0] < min(losses[1:])
    assert losses[1] < losses[3]


def test_an_empty_mask_can_be_got_right():
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    assert float(mask_losses(torch.full((1, 32, 32), -12.0), mask)) < 0.01


def test_end_point_error_is_a_distance_in_pixels():
    flow = torch.zeros(1, 2, 8, 8)
    wanted = flow.clone()
    wanted[:, 0], wanted[:, 1] = 3.0, 4.0
    assert float(end_point_errors(flow, wanted)) == pytest.approx(5.0, abs=1e-3)


def test_gradient_error_ignores_a_shift_and_sees_a_slope():
    flow = torch.zeros(1, 2, 64, 64)
    assert float(gradient_errors(flow + 2, flow)) == pytest.approx(0.0, abs=1e-5)
    slope = torch.linspace(0, 4, 64).expand(1, 2, 64, 64)
    assert float(gradient_errors(flow + slope, flow)) > 0.1


class Told(WarpNetwork):
    """A network that answers what it was told."""

    def __init__(self, logits, flow):
        super().__init__()
        self.answer = logits, flow

    def logits_and_flow(self, tiles):
        return self.answer


def test_the_warp_loss_is_least_at_the_truth(warps):
    labels = torch.tensor([float(warp.label) for warp in warps])
    flow = torch.stack([warp.flow for warp in warps])
    images, targets = as_batch(warps)

    def loss(logits, flow):
        return float(Told(logits, flow).losses(images, targets).mean())

    right = loss(20 * labels - 10, flow)
    assert right < loss(20 * labels - 10, 0 * flow)
    assert right < loss(20 * labels - 10, -flow)
    assert right < loss(10 - 20 * labels, flow)


def test_the_flow_is_in_pixels_of_the_image():
    logits, flow = WarpNetwork().eval().logits_and_flow(tiles(64))
    assert logits.shape == (2,)
    assert flow.shape == (2, 2, 64, 64)


@pytest.mark.parametrize("train", [train_mask, train_warp])
def test_the_same_seed_trains_the_same_network(photographs, train, monkeypatch):
    monkeypatch.setattr(streaming, "POOL", 8)
    first, again = (train(photographs, side=32, seed=3, steps=FEW).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_training_leaves_the_global_generator_alone(warps):
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    stream = cycle(zip(*as_batch(warps), strict=True))
    train_on(stream, lambda: WarpNetwork((8, 8), (1,)), 0, Steps(count=1, batch=2))
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("kind", [MaskNetwork, WarpNetwork])
def test_networks_are_rebuilt_from_settings_and_weights(kind):
    network = kind().eval()
    again = rebuild(kind, network.settings, network.state_dict())
    assert torch.equal(again(tiles()), network(tiles()))


@pytest.mark.parametrize("kind", ["mask", "warp"])
def test_a_small_network_learns_from_a_stream(kind, warps):
    images, targets = as_batch(warps)
    if kind == "mask":
        targets = images > 128

    def trained(steps):
        make = partial(MaskNetwork, (8, 16)) if kind == "mask" else partial(WarpNetwork, (8, 8))
        stream = cycle(zip(images, targets, strict=True))
        network = train_on(stream, make, 0, Steps(count=steps, batch=len(images), rate=1e-2))
        # With batch statistics, as it learned: the running ones lag behind in so few steps.
        return float(network.train().losses(images, targets).mean())

    assert trained(60) < 0.7 * trained(1)


def test_the_stream_is_shuffled_and_never_repeats_a_pass(photographs):
    seeds = []

    def numbered(seed):
        seeds.append(seed)
        return [(len(seeds), i) for i in range(100)]

    found = list(islice(endless(numbered, 0), 3 * POOL))
    assert len(set(found)) == len(found)
    assert len(set(seeds)) == len(seeds)
    assert found[:20] != sorted(found)[:20]


def test_no_photographs_are_refused():
    with pytest.raises(ValueError, match="no photographs"):
        next(endless(lambda seed: [], 0))
