"""What auto-encoders, VAEs and conditional VAEs share: an encoder, a decoder and how they train."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from gandetect import nn as gnn
from gandetect.gans import UP, Settings, Trainer, load_model, model_class, preset, sample, train
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.coding import CodingConfig

MODELS = ("autoencoder", "vae", "cvae")
HOSTILE = [
    ("size", 20),
    ("size", 2**40),
    ("latent", 0),
    ("latent", 10**9),
    ("rate", math.nan),
    ("up", "lanczos"),
    ("widths", []),
    ("widths", [2**30]),
    ("widths", [8, None]),
    ("widths", [1] * 10**5),
    ("widths", [2048]),
    ("__class__", "os.system"),
]


def tiny(name, **changes):
    """A few hundred weights on images of 8 pixels."""
    shape = {"size": 8, "latent": 3, "widths": (4, 4), "batch": 4, "steps": 3}
    return replace(preset(name, "smoke"), **shape, **changes)


def halved(data, size):
    """The labeled images at `size` pixels."""
    images = torch.nn.functional.interpolate(data.images.float(), size=(size, size), mode="area")
    return type(data)(images.to(torch.uint8), data.card(), data.labels)


def batch_of(data, count=6):
    return {"images": data.images[:count] / 127.5 - 1, "labels": data.labels[:count]}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("up", UP)
def test_every_up_sampler_trains(name, up, labeled_images):
    model = model_class(name)(replace(preset(name, "smoke"), up=up))
    model.terms(batch_of(labeled_images))["loss"].backward()
    for key, one in model.named_parameters():
        assert one.grad.isfinite().all(), key
        assert one.grad.abs().sum() > 0, key
    images = model.eval().draw(model.latents(4))
    assert images.shape == (4, 3, 32, 32)
    assert images.abs().max() <= 1


def test_the_last_up_sampling_may_differ():
    model = model_class("vae")(replace(preset("vae", "smoke"), up="bicubic", up_last="bilinear"))
    ups = [one.mode for one in model.decoder.modules() if isinstance(one, gnn.UpsampleConv2d)]
    assert ups == ["bicubic", "bicubic", "bilinear"]


@pytest.mark.parametrize("name", MODELS)
def test_models_of_one_seed_share_the_encoder(name):
    found = []
    for up in UP:
        torch.manual_seed(3)
        found.append(model_class(name)(replace(preset(name, "smoke"), up=up)).encoder.state_dict())
    for one, other in pairwise(found):
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_weight_moves(name, precision, labeled_images):
    config = replace(
        preset(name, "smoke"), batch=8, **({"prior": "learned"} if name == "cvae" else {})
    )
    trainer = Trainer(name, config, labeled_images, settings=Settings(precision=precision))
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    for _ in range(3):
        terms = trainer.iterate()
    assert all(math.isfinite(value) for value in terms.values())
    after = trainer.model.state_dict()
    assert not [k for k, v in after.items() if torch.equal(v, before[k])]
    images = sample(trainer.averaged(), 3)
    assert images.shape == (3, 3, 32, 32)
    assert len(images.unique()) > 1


@pytest.mark.parametrize("name", MODELS)
def test_resumed_equals_uninterrupted(name, labeled_images, tmp_path):
    data = halved(labeled_images, 8)
    train(name, tiny(name), data, tmp_path / "whole")
    train(name, replace(tiny(name), steps=2), data, tmp_path / "parts")
    train(name, tiny(name), data, tmp_path / "parts")
    whole, parts = (Checkpoint.load(tmp_path / run / NAME) for run in ("whole", "parts"))
    assert whole.tensors.keys() == parts.tensors.keys()
    for key, tensor in whole.tensors.items():
        assert torch.equal(tensor, parts.tensors[key]), key
    drawn = sample(load_model(tmp_path / "parts"), 3)
    assert torch.equal(drawn, sample(load_model(tmp_path / "whole"), 3))


@pytest.mark.parametrize("name", MODELS)
def test_an_image_does_not_depend_on_its_company(name, labeled_images):
    model = model_class(name)(preset(name, "smoke")).eval()
    batch = batch_of(labeled_images)
    labels = {"labels": batch["labels"]} if name == "cvae" else {}
    whole = model.reconstruct(batch["images"], **labels)
    alone = model.reconstruct(batch["images"][:1], **{k: v[:1] for k, v in labels.items()})
    assert whole.shape == batch["images"].shape
    torch.testing.assert_close(alone, whole[:1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("field", "value"), HOSTILE)
def test_hostile_configurations_are_refused(name, field, value):
    kind = model_class(name).Configuration
    with pytest.raises(ValueError, match=field):
        kind.from_dict({**preset(name).to_dict(), field: value})


def test_halvings_and_sizes_have_to_fit():
    CodingConfig(size=48, widths=(8, 8, 8, 8))
    with pytest.raises(ValueError, match="multiple of 16"):
        CodingConfig(size=40, widths=(8, 8, 8, 8))


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_conditions_are_refused(name):
    model = model_class(name)(tiny(name))
    with pytest.raises(ValueError, match="no conditions"):
        model.draw(model.latents(2), labels=1)
