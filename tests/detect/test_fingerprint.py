"""Networks that tell sources apart: what they look at, what they answer, and that they learn."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gandetect.detect.networks import DiscriminantNetwork, FingerprintNetwork
from gandetect.detect.networks.fingerprint import GaussianClasses, residual_view
from gandetect.detect.networks.training import Examples, Schedule, train
from gandetect.detect.phases import phase_count, phase_features

SMALL = {"widths": (4, 8), "hidden": 8}


def noise(count, side, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, side, side), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("side", [32, 50, 128])
def test_tiles_of_any_size_get_a_logit_of_each_class(side):
    network = FingerprintNetwork(5, **SMALL).eval()
    assert network.class_logits(noise(3, side)).shape == (3, 5)


def test_the_screening_logit_is_the_odds_of_any_generator():
    network = FingerprintNetwork(4, **SMALL).eval()
    shares = torch.softmax(network.class_logits(noise(6, 32)).double(), dim=1)
    odds = torch.log(shares[:, 1:].sum(dim=1) / shares[:, 0])
    torch.testing.assert_close(network(noise(6, 32)).double(), odds, atol=1e-4, rtol=0)


def test_the_loss_is_the_cross_entropy_of_the_class():
    network = FingerprintNetwork(3, **SMALL).eval()
    targets = torch.tensor([0, 2, 1, 1])
    wanted = F.cross_entropy(network.class_logits(noise(4, 32)), targets, reduction="none")
    assert torch.equal(network.losses(noise(4, 32), targets), wanted)


def test_the_residual_view_ignores_brightness_and_contrast():
    tile = noise(1, 32).float()
    torch.testing.assert_close(residual_view(tile), residual_view(tile * 0.4 + 30))
    assert residual_view(tile).std() == pytest.approx(1, rel=1e-3)
    assert (residual_view(torch.full((1, 32, 32), 90.0)) == 0).all()


def test_novelty_is_the_squared_distance_from_the_nearest_class():
    known = GaussianClasses(2, 3, 2)
    arrays = {
        "center": [1.0, 0.0, 0.0],
        "projection": [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        "means": [[0.0, 0.0], [4.0, 3.0]],
    }
    known.load_state_dict({name: torch.tensor(value) for name, value in arrays.items()})
    answer = known.respond(torch.tensor([[1.0, 0.0, 9.0], [3.0, 3.0, 0.0], [2.0, 0.0, 0.0]]))
    assert answer.tolist() == [[0, -12.5, 0], [-12.5, 0, 0], [-2, -6.5, 4]]


def test_a_fingerprint_network_learns_three_sources(real_images, generated_images):
    vertical = generated_images.transpose(0, 2, 1)[:, ::2].repeat(2, axis=1)
    tiles = np.concatenate([real_images, generated_images, vertical])
    labels = np.repeat([0, 1, 2], len(real_images))
    examples = Examples(
        torch.from_numpy(tiles), torch.from_numpy(labels), torch.ones(len(tiles)),
        np.arange(len(tiles)),
    )  # fmt: skip
    schedule = Schedule(epochs=8, batch=16, rate=3e-3, patience=8)
    network = train(partial(FingerprintNetwork, 3, **SMALL), examples, seed=0, schedule=schedule)
    found = network.class_logits(torch.from_numpy(tiles)).argmax(dim=1).numpy()
    assert (found == labels).mean() > 0.9


def test_phases_show_a_period_of_two_and_not_noise():
    doubled = noise(8, 32).repeat_interleave(2, 1).repeat_interleave(2, 2)
    plain = noise(8, 64, seed=1)
    assert phase_features(plain).shape == (8, phase_count())
    assert phase_features(doubled).max(dim=1).values.min() > phase_features(plain).max() + 1


def test_phases_do_not_depend_on_where_the_grid_lies():
    wide = noise(4, 34).repeat_interleave(2, 1).repeat_interleave(2, 2)
    first, moved = phase_features(wide[:, :64, :64]), phase_features(wide[:, 1:65, 3:67])
    clear = first > -2
    assert clear.any()
    torch.testing.assert_close(first[clear], moved[clear], atol=0.3, rtol=0)


def test_phases_tell_zero_insertion_from_replication_of_the_same_spectrum():
    """Shifting every second row by nothing but its sign leaves the power spectrum's replicas."""
    small = noise(4, 32).float()
    nails = torch.zeros(4, 64, 64)
    nails[:, ::2, ::2] = small
    copies = small.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert (phase_features(nails) - phase_features(copies)).abs().max() > 1


def test_a_discriminant_answers_as_its_gaussians_do():
    side = 64
    network = DiscriminantNetwork(3, side)
    generator = torch.Generator().manual_seed(0)
    for buffer in network.known.buffers():
        buffer.copy_(torch.randn(buffer.shape, generator=generator))
    tiles = noise(2, side)
    answer = network.known.respond(network.prepare(tiles))
    assert torch.equal(network.class_logits(tiles), answer[:, :-1])
    again = DiscriminantNetwork.of(network.known, side)
    assert torch.equal(again(tiles), network(tiles))
