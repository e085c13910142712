"""LSGAN, WGAN-GP and DRAGAN are DCGAN's networks with their own losses and penalties."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from gandetect.gans import model_class, preset
from gandetect.gans.dcgan import DCGAN, DCGANConfig
from gandetect.gans.losses import LOSSES
from gandetect.gans.wgan_gp import WGANGPConfig

FAMILY = {"lsgan": "least_squares", "wgan-gp": "wasserstein", "dragan": "nonsaturating"}


def smoke(name, **changes):
    return model_class(name)(replace(preset(name, "smoke"), **changes))


def shapes(module):
    return [tuple(one.shape) for one in module.parameters()]


@pytest.mark.parametrize("name", FAMILY)
def test_networks_are_those_of_dcgan(name):
    torch.manual_seed(0)
    model = smoke(name)
    config = model.config
    theirs = DCGAN(DCGANConfig(32, latent=32, widths=config.widths, norm=config.norm))
    assert shapes(model) == shapes(theirs)
    assert config.loss == FAMILY[name]
    widths = preset(name).widths
    assert widths == tuple(min(32 * 2**i, 8 * 32) for i in range(4))[::-1]
    assert preset(name).latent == 128


@pytest.mark.parametrize("name", ["wgan-gp", "dragan"])
def test_no_batch_norm_where_there_is_a_penalty(name):
    model = smoke(name)
    kinds = {type(one) for one in model.discriminator.modules()}
    assert nn.BatchNorm2d not in kinds
    assert nn.GroupNorm in kinds
    with pytest.raises(ValueError, match="layer"):
        replace(model.config, norm="batch")


@pytest.mark.parametrize("name", ["wgan-gp", "dragan"])
def test_images_of_a_batch_do_not_mix(name):
    """So that the gradient at one image is that of its logit alone."""
    judge = smoke(name).discriminator
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(judge(images)[:1], judge(images[:1]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["wgan-gp", "dragan"])
@pytest.mark.parametrize("weight", [0.0, 7.0])
def test_the_penalty_is_part_of_the_loss(name, weight):
    model = smoke(name, penalty_weight=weight)
    terms = model.discriminator_terms({"images": torch.rand(4, 3, 32, 32)})
    assert terms["loss"].item() == pytest.approx((terms["adversarial"] + terms["penalty"]).item())
    assert (terms["penalty"] > 0) == (weight > 0)


@pytest.mark.parametrize("weight", [0.0, 1.0, 7.0, 10.0])
@pytest.mark.parametrize("name", ["wgan-gp", "dragan", "progan"])
def test_the_penalty_of_a_linear_critic_is_weighted_once(name, weight):
    """A slope of 3 is 2 too steep: four times the weight."""
    drift = {"drift": 0.0} if name == "progan" else {}
    model = smoke(name, penalty_weight=weight, **drift)
    real, generated = torch.rand(2, 4, 3, 8, 8)
    slope = torch.randn(real[0].numel())
    slope = 3 * slope / slope.norm()
    found = model.penalty(lambda images: images.flatten(1) @ slope, real, generated)
    assert found.item() == pytest.approx(4 * weight, abs=1e-4)


def test_lsgan_has_no_penalty():
    terms = smoke("lsgan").discriminator_terms({"images": torch.rand(4, 3, 32, 32)})
    assert "penalty" not in terms


def test_the_penalty_of_dragan_has_not_seen_generated_images():
    model, real = smoke("dragan"), torch.rand(4, 3, 32, 32)
    values = []
    for generated in (torch.zeros(4, 3, 32, 32), torch.full((4, 3, 32, 32), float("nan"))):
        torch.manual_seed(5)
        values.append(model.penalty(model.discriminator, real, generated).item())
    assert values[0] == values[1]


def test_the_penalty_of_wgan_gp_has():
    model, real = smoke("wgan-gp"), torch.rand(4, 3, 32, 32)
    values = []
    for generated in (torch.zeros(4, 3, 32, 32), real):
        torch.manual_seed(5)
        values.append(model.penalty(model.discriminator, real, generated).item())
    assert values[0] != values[1]


@pytest.mark.parametrize("name", ["wgan-gp", "dragan"])
def test_the_spectral_discriminator_has_the_same_penalty_and_steps(name):
    model = smoke(name, spectral="discriminator", d_steps=3)
    terms = model.spectral_discriminator_terms({"images": torch.rand(4, 3, 32, 32)})
    assert terms["penalty"] > 0
    assert terms["loss"].item() == pytest.approx((terms["adversarial"] + terms["penalty"]).item())
    terms["penalty"].backward()
    assert all(one.grad is not None for one in model.spectral_discriminator.layers[:1].parameters())
    assert {phase.name: phase.repeats for phase in model.phases()} == {
        "discriminator": 3,
        "spectral": 3,
        "generator": 1,
    }


def test_the_settings_of_the_paper_are_a_preset():
    paper = preset("wgan-gp", "paper")
    assert (paper.d_steps, paper.rate, paper.betas) == (5, 1e-4, (0.0, 0.9))
    assert isinstance(paper, WGANGPConfig)
    assert LOSSES[paper.loss].generator(torch.tensor([2.0])).item() == -2
