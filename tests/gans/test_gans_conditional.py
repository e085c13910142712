"""The conditional SNGAN: what a label changes in the generator and in the discriminator."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from gandetect.gans import Images, Trainer, preset, sample
from gandetect.gans.sngan import SNGAN, ClassBatchNorm2d

CONFIG = replace(preset("sngan", "smoke"), classes=3, batch=6, steps=4)


@pytest.fixture
def model():
    return SNGAN(CONFIG).eval()


def test_class_batch_norm_starts_as_batch_norm():
    x, labels = torch.randn(4, 5, 3, 3), torch.tensor([0, 1, 2, 1])
    wanted = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(ClassBatchNorm2d(5, 3)(x, labels), wanted)


def test_class_batch_norm_has_a_gain_and_a_bias_for_each_class():
    norm, x = ClassBatchNorm2d(5, 3), torch.randn(4, 5, 3, 3)
    torch.nn.init.normal_(norm.gain.weight)
    torch.nn.init.normal_(norm.bias.weight)
    labels = [0, 2, 1, 2]
    plain = F.batch_norm(x, None, None, training=True)
    found = norm(x, torch.tensor(labels))
    for number, label in enumerate(labels):
        gain, bias = (one.weight[label][:, None, None] for one in (norm.gain, norm.bias))
        torch.testing.assert_close(found[number], gain * plain[number] + bias)


def test_every_norm_of_the_generator_is_conditional(model):
    norms = [one for one in model.generator.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    conditional = [one for one in model.generator.modules() if isinstance(one, ClassBatchNorm2d)]
    assert len(norms) == len(conditional) == 7
    assert not any(one.affine for one in norms)


def test_the_discriminator_adds_a_projection(model):
    judge, images = model.discriminator, torch.randn(3, 3, 32, 32)
    features = judge.blocks(images).sum(dim=(2, 3))
    plain = judge.dense(features)[:, 0]
    for label in range(3):
        wanted = plain + features @ judge.embedding.weight[label]
        found = judge(images, torch.full((3,), label))
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_without_classes_there_is_none():
    assert SNGAN(replace(CONFIG, classes=0)).discriminator.embedding is None


@pytest.fixture
def taught(model):
    """A model whose classes differ."""
    for norm in model.modules():
        if isinstance(norm, ClassBatchNorm2d):
            torch.nn.init.normal_(norm.gain.weight)
    return model


def test_labels_choose_what_is_drawn(taught):
    labels = torch.arange(40) % 3
    images = sample(taught, 40, labels=labels)
    ones = sample(taught, 40, labels=1)
    same = (images == ones).flatten(1).all(dim=1)
    assert torch.equal(same, labels == 1)


def test_without_labels_classes_take_turns(taught):
    latents = taught.latents(7)
    wanted = taught.draw(latents, labels=torch.tensor([0, 1, 2, 0, 1, 2, 0]))
    assert torch.equal(taught.draw(latents), wanted)


def test_images_of_a_label_have_its_color(labeled_images):
    """A generator that ignores labels is right about a third of them."""
    quick = replace(CONFIG, rate=2e-3, d_steps=1, batch=12, steps=200, ema=0.8)
    trainer = Trainer("sngan", quick, labeled_images)
    for _ in range(80):
        trainer.iterate()
    labels = torch.arange(96) // 32
    images = sample(trainer.averaged(), 96, labels=labels)
    # Each of the three classes is bright in a channel of its own.
    is_right = images.float().mean(dim=(2, 3)).argmax(dim=1) == labels
    assert min(is_right[labels == k].float().mean() for k in range(3)) > 0.85


@pytest.mark.parametrize("labels", [3, -1, torch.tensor([0, 5]), torch.tensor([0.0, 1.0])])
def test_unknown_labels_are_refused(model, labels):
    with pytest.raises(ValueError, match="from 0 to 2"):
        model.draw(model.latents(2), labels=labels)


def test_labels_for_a_model_without_classes_are_refused():
    model = SNGAN(replace(CONFIG, classes=0))
    with pytest.raises(ValueError, match="without classes"):
        model.draw(model.latents(2), labels=1)


def test_data_without_labels_are_refused(labeled_images):
    data = Images(labeled_images.images, {})
    with pytest.raises(ValueError, match="no labels"):
        Trainer("sngan", CONFIG, data).iterate()


def test_both_players_see_the_labels_of_the_batch(model, monkeypatch):
    seen = {"generator": [], "discriminator": []}
    for name, kept in seen.items():
        network = getattr(model, name)
        plain = network.forward
        monkeypatch.setattr(
            network, "forward", lambda x, y, kept=kept, plain=plain: kept.append(y) or plain(x, y)
        )
    batch = {"images": torch.zeros(3, 3, 32, 32), "labels": torch.tensor([2, 0, 1])}
    model.discriminator_terms(batch)
    model.generator_terms(batch)
    assert [len(kept) for kept in seen.values()] == [2, 3]
    for label in [*seen["generator"], *seen["discriminator"]]:
        assert torch.equal(label, batch["labels"])


@pytest.mark.parametrize("classes", [0, 3])
def test_conditions_of_other_models_are_refused(classes):
    model = SNGAN(replace(CONFIG, classes=classes)).eval()
    with pytest.raises(ValueError, match="counts"):
        model.draw(model.latents(2), counts=torch.zeros(2, 3))
