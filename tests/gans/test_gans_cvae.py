"""The conditional VAE: what a label changes and what it leaves alone."""

from dataclasses import replace

import pytest
import torch
from plain_images import plain_images

from gandetect.gans import Images, Trainer, preset, sample
from gandetect.gans.cvae import CVAE, CVAEConfig
from gandetect.gans.training import as_input

SMOKE = preset("cvae", "smoke")


@pytest.fixture
def model():
    return CVAE(SMOKE).eval()


@pytest.fixture(scope="module")
def trained():
    trainer = Trainer("cvae", SMOKE, plain_images())
    for _ in range(200):
        trainer.iterate()
    return trainer.averaged()


def test_another_label_is_another_class_of_the_same_code(trained):
    """Classes differ in the color that is strongest."""
    latents = trained.latents(24)
    for label in range(3):
        colors = trained.draw(latents, labels=label).mean(dim=(2, 3))
        assert (colors.argmax(dim=1) == label).float().mean() > 0.8


def test_a_code_with_another_label_keeps_its_layout(trained):
    data = plain_images()
    images, labels = as_input(data.images), data.labels
    codes = trained.posterior(images, labels).mean
    same, other = (trained.decoded(codes, (labels + shift) % 3) for shift in (0, 1))
    brightness = [(one - one.mean(dim=0)).mean(dim=1).flatten() for one in (same, other)]
    assert torch.corrcoef(torch.stack(brightness))[0, 1] > 0.5


def test_the_encoder_sees_one_map_for_each_class(model):
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = torch.randn(2, 3, 32, 32)
    model.posterior(images, torch.tensor([2, 0]))
    assert torch.equal(seen[0][:, :3], images)
    wanted = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert torch.equal(seen[0][:, 3:], wanted[:, :, None, None].expand(-1, -1, 32, 32))


def test_learned_priors_start_as_the_standard_one_and_move_the_codes():
    model = CVAE(replace(SMOKE, prior="learned")).eval()
    prior = model.prior(3, torch.arange(3))
    assert not prior.mean.any()
    assert not prior.log_variance.any()
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0][:, :8]))
    with torch.no_grad():
        model.class_prior.weight[1, :8] = 5
        model.class_prior.weight[1, 8:] = 2 * torch.tensor(3.0).log()
    latents = model.latents(2)
    model.draw(latents, labels=torch.tensor([0, 1]))
    torch.testing.assert_close(seen[0], torch.stack([latents[0], 5 + 3 * latents[1]]))


def test_labels_choose_what_is_drawn(model):
    labels = torch.arange(40) % 3
    images, ones = sample(model, 40, labels=labels), sample(model, 40, labels=1)
    assert torch.equal((images == ones).flatten(1).all(dim=1), labels == 1)
    latents = model.latents(7)
    turns = model.draw(latents, labels=torch.tensor([0, 1, 2, 0, 1, 2, 0]))
    assert torch.equal(model.draw(latents), turns)


@pytest.mark.parametrize("labels", [3, -1, torch.tensor([0, 5]), torch.tensor([0.0, 1.0])])
def test_unknown_labels_are_refused(model, labels):
    with pytest.raises(ValueError, match="from 0 to 2"):
        model.draw(model.latents(2), labels=labels)


def test_what_lacks_labels_is_refused(model, labeled_images):
    with pytest.raises(ValueError, match="no labels"):
        Trainer("cvae", SMOKE, Images(labeled_images.images, {})).iterate()
    with pytest.raises(ValueError, match="want the labels"):
        model.reconstruct(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="no labels"):
        model.posterior(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="labels alone"):
        model.draw(model.latents(1), counts=3)


@pytest.mark.parametrize("changes", [{"classes": 0}, {"classes": 10**6}, {"prior": "flat"}])
def test_refusals(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        CVAEConfig(**changes)
