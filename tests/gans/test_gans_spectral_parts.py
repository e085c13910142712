"""What `spectral` does to an adversarial model: who is trained, on what, and in which direction."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gandetect.gans.data import Images
from gandetect.gans.dcgan import DCGAN, DCGANConfig
from gandetect.gans.training import Trainer


def model(**changes):
    torch.manual_seed(0)
    return DCGAN(DCGANConfig(size=16, widths=(8, 8), latent=4, batch=6, **changes))


def batch():
    return {"images": torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1}


def terms(gan):
    torch.manual_seed(2)
    return gan.generator_terms(batch())


def slopes(gan, loss):
    parameters = list(gan.generator.parameters())
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]).double()


def cosine(a, b):
    return float(F.cosine_similarity(a, b, dim=0))


@pytest.mark.parametrize("spectral", ["loss", "discriminator"])
def test_the_weight_turns_the_generators_gradient(spectral):
    plain = model()
    alone = slopes(plain, terms(plain)["loss"])
    without = model(spectral=spectral, spectral_weight=0.0)
    assert cosine(slopes(without, terms(without)["loss"]), alone) > 1 - 1e-9
    weighted = model(spectral=spectral, spectral_weight=1.0)
    assert cosine(slopes(weighted, terms(weighted)["loss"]), alone) < 0.99


def test_the_loss_is_added_with_its_weight():
    gan = model(spectral="loss", spectral_weight=2.5)
    found = terms(gan)
    assert found["spectral"].item() > 0
    wanted = found["adversarial"] + 2.5 * found["spectral"]
    torch.testing.assert_close(found["loss"], wanted)


def test_the_two_adversaries_are_averaged_by_weight():
    gan = model(spectral="discriminator", spectral_weight=3.0)
    found = terms(gan)
    torch.testing.assert_close(found["loss"], (found["adversarial"] + 3 * found["spectral"]) / 4)


def test_the_spectral_discriminator_is_a_player_of_its_own():
    images = Images(torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8), {"name": "noise"})
    config = model(spectral="discriminator").config
    trainer = Trainer("dcgan", config, images)
    gan = trainer.model
    (phase,) = [one for one in gan.phases() if one.player == "spectral_discriminator"]
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    trainer._take(phase, 1.0)
    moved = {
        name.split(".")[0]
        for name, parameter in gan.named_parameters()
        if not torch.equal(before[name], parameter)
    }
    assert moved == {"spectral_discriminator"}
