"""Every layer of SNGAN's discriminator has spectral norm 1, as far as power iteration knows."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gandetect.gans import preset
from gandetect.gans.sngan import SNGAN


@pytest.fixture
def judge():
    return SNGAN(replace(preset("sngan", "smoke"), classes=5)).discriminator


IMAGES, LABELS = torch.randn(2, 3, 32, 32), torch.tensor([0, 4])


def layers(judge):
    return {
        name: one
        for name, one in judge.named_modules()
        if isinstance(one, nn.Conv2d | nn.Linear | nn.Embedding)
    }


def largest(weight):
    return torch.linalg.svdvals(weight.detach().flatten(1).double())[0].item()


def norms(judge):
    """The spectral norm of the weight that each layer uses."""
    judge.eval()
    found = {name: largest(one.weight) for name, one in layers(judge).items()}
    judge.train()
    return found


def redraw(judge):
    """Give every layer a new random weight; what power iteration knows is of the old one."""
    with torch.no_grad():
        for one in layers(judge).values():
            nn.init.normal_(one.parametrizations.weight.original)


def test_every_layer_is_normalized(judge):
    found = layers(judge)
    assert all(is_parametrized(one, "weight") for one in found.values())
    # Two convolutions a block, shortcuts where the size changes, the dense layer, the embedding.
    assert len(found) == 2 * 4 + 2 + 2
    assert not any(isinstance(one, nn.BatchNorm2d | nn.GroupNorm) for one in judge.modules())


def test_it_falls_to_one(judge):
    for _ in range(100):
        judge(IMAGES, LABELS)
    for name, norm in norms(judge).items():
        assert 1 - 1e-5 <= norm < 1.02, name


def test_random_weights_fall_to_one_as_fast_as_power_iteration_does(judge):
    """Each use of a weight in training is one iteration."""
    judge.train()
    # Of other weights than those that were iterated over when the layers were made.
    redraw(judge)
    done = 0
    for iterations, within in ((20, 0.04), (50, 0.015), (1000, 1e-4)):
        for _ in range(iterations - done):
            for one in layers(judge).values():
                assert one.weight.requires_grad
        done = iterations
        for name, norm in norms(judge).items():
            assert 1 - 1e-5 <= norm < 1 + within, (iterations, name)


def test_the_estimate_never_exceeds_the_norm(judge):
    for _ in range(5):
        judge(IMAGES, LABELS)
        for name, norm in norms(judge).items():
            assert norm >= 1 - 1e-5, name
        with torch.no_grad():
            for one in layers(judge).values():
                one.parametrizations.weight.original.add_(
                    0.3 * torch.randn_like(one.parametrizations.weight.original)
                )


def test_a_step_of_training_iterates_once(judge):
    redraw(judge)
    before = norms(judge)
    judge(IMAGES, LABELS)
    after = norms(judge)
    # A vector of a single entry is exact at once.
    improved = [after[name] < before[name] for name in before if before[name] > 1.001]
    assert len(improved) > 8
    assert all(improved)


def test_frozen_in_eval(judge):
    judge.eval()
    redraw(judge)
    state = {k: v.clone() for k, v in judge.state_dict().items()}
    first = judge(IMAGES, LABELS)
    assert torch.equal(judge(IMAGES, LABELS), first)
    assert all(torch.equal(v, state[k]) for k, v in judge.state_dict().items())


def test_the_norm_has_a_gradient(judge):
    """W / sigma does not change with the length of W, so its gradient is orthogonal to W."""
    judge(IMAGES, LABELS).sum().backward()
    for name, one in layers(judge).items():
        weight = one.parametrizations.weight.original
        share = (weight.grad * weight).sum() / (weight.grad.norm() * weight.norm())
        assert share.abs() < 1e-4, name
