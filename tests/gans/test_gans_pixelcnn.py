"""PixelCNN and what PixelRNN shares with it: causality, exact likelihoods, drawing, completion."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from plain_images import plain_images

from gandetect.gans import Settings, Trainer, load_model, model_class, preset, sample, train
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.masked import MaskedConv2d, colors_of
from gandetect.gans.pixelcnn import PixelCNN
from gandetect.gans.pixels import as_images, pick, quantize
from gandetect.gans.training import as_input

MODELS = ("pixelcnn", "pixelrnn")
HOSTILE = [
    ("size", 2**40),
    ("levels", 1),
    ("levels", 2**30),
    ("levels", 2.5),
    ("width", 0),
    ("width", 2**30),
    ("layers", 0),
    ("layers", 10**9),
    ("kernel", 4),
    ("kernel", 10**9),
    ("rate", math.nan),
    ("up", "bilinear"),
    ("up_last", "nearest"),
    ("__class__", "os.system"),
]
COLORS = (1, 3)


def small(name, channels=3, **changes):
    """A model of a few thousand weights that says something else at each place."""
    shape = {"size": 6, "channels": channels, "width": 7, "layers": 2, "levels": 3, "kernel": 5}
    model = model_class(name)(replace(preset(name, "smoke"), **(shape | changes))).eval()
    with torch.no_grad():
        for one in model.parameters():
            one.mul_(3)
    return model


def jacobian(model, dtype=torch.float64):
    """d logits / d x: (values, values), largest over the levels; both in the order of drawing."""
    model = model.to(dtype)
    # Several, for a ReLU may be closed.
    images = torch.randn(8, model.config.channels, 6, 6, dtype=dtype)
    slopes = torch.autograd.functional.jacobian(lambda x: model.logits(x).sum(dim=0), images)
    slopes = slopes.abs().amax(dim=(0, 4))
    count = images[0].numel()
    return slopes.permute(1, 2, 0, 4, 5, 3).reshape(count, count)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels", COLORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_logit_depends_on_its_own_or_a_later_value(name, channels, dtype):
    """Exactly, for all pixels and colors."""
    slopes = jacobian(small(name, channels), dtype)
    assert not slopes.triu().any()
    # Each value but the first depends on the one before it in its row or in its pixel.
    before = slopes.diagonal(-1).reshape(-1)
    at = torch.arange(1, len(slopes))
    assert (before > 0)[at % (6 * channels) != 0].all()


def test_the_blind_spot():
    """Above, one pixel further to the right for each row: what is to the right of that, although
    it comes before, a stack of masked 3x3 convolutions never sees."""
    slopes = jacobian(small("pixelcnn", 1, kernel=3))
    wanted = torch.zeros(6, 6, dtype=torch.bool)
    wanted[4, :2] = True
    wanted[3, :4] = True
    wanted[2, :5] = True
    wanted[1, :6] = True
    assert torch.equal(slopes[4 * 6 + 2].view(6, 6) > 0, wanted)


def test_masks_keep_colors_in_order():
    """Mask A at the center lets G see R, and B see both; mask B their own too."""
    for mask, wanted in (
        ("A", [[0, 0, 0], [1, 0, 0], [1, 1, 0]]),
        ("B", [[1, 0, 0], [1, 1, 0], [1, 1, 1]]),
    ):
        conv = MaskedConv2d(3, 3, (3, 3), mask, colors=3)
        assert conv.mask[:, :, 1, 1].tolist() == wanted
        assert conv.mask[:, :, 0].all()
        assert conv.mask[:, :, 1, 0].all()
        assert not conv.mask[:, :, 1, 2].any()
        assert not conv.mask[:, :, 2].any()
        assert not (conv.weight * (1 - conv.mask)).any()
    assert colors_of(7, 3).tolist() == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels", COLORS)
def test_zero_logits_cost_the_bits_of_the_levels(name, channels, labeled_images):
    model = small(name, channels, levels=5, size=32)
    for one in model.network.head.last.parameters():
        one.data.zero_()
    images = as_input(labeled_images.images)[:3, :channels]
    bits = model.terms({"images": images})["loss"].detach()
    assert float(bits) == pytest.approx(math.log2(5), rel=1e-6)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels", COLORS)
def test_probabilities_of_all_small_images_sum_to_one(name, channels):
    model = small(name, channels, size=2, levels=2)
    every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4 * channels)))
    odds = model.double().log_likelihood(every.view(-1, channels, 2, 2).double()).exp()
    assert odds.sum().item() == pytest.approx(1, abs=1e-9)
    assert odds.max() > 4 * odds.min()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels", COLORS)
def test_drawing_inverts_the_cumulative_probabilities(name, channels):
    """Of the logits that the whole drawn image has, place by place."""
    model = small(name, channels)
    latents = model.latents(5)
    images = model.draw(latents)
    logits = model.logits(images).permute(0, 2, 3, 4, 1)
    wanted = pick(logits.reshape(-1, 3), latents.reshape(-1)).view(latents.shape)
    assert torch.equal(quantize(images, 3), wanted)
    assert len(images.unique()) == 3
    assert torch.equal(model.draw(latents), images)


@pytest.mark.parametrize("name", MODELS)
def test_scans_give_the_logits_of_the_whole_image(name):
    model = small(name)
    images = torch.randn(2, 3, 6, 6)
    logits, scan = model.network(images), model.scan(2)
    for row, column in itertools.product(range(6), range(6)):
        scan.put(row, column, images[:, :, row, column])
        torch.testing.assert_close(scan.logits(row, column), logits[:, :, row, column])


def test_images_are_drawn_as_often_as_they_are_likely():
    model = small("pixelcnn", 1, size=2, levels=2)
    every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)))
    odds = model.log_likelihood(every.view(-1, 1, 2, 2)).exp()
    drawn = model.draw(model.latents(20_000)).flatten(1)
    counts = (drawn[:, None] == every).all(dim=2).sum(dim=0)
    deviations = (counts - 20_000 * odds) / (20_000 * odds * (1 - odds)).sqrt()
    assert deviations.abs().max() < 4


def test_picking():
    logits = torch.tensor([0.2, 0.0, 0.5, 0.3]).log().expand(6, 4)
    uniform = torch.tensor([0.0, 0.199, 0.201, 0.699, 0.701, 1.0])
    assert pick(logits, uniform).tolist() == [0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_levels(levels):
    values = torch.arange(levels)
    assert torch.equal(quantize(as_images(values, levels), levels), values)
    assert as_images(values, levels)[[0, -1]].tolist() == [-1, 1]
    if levels == 256:
        files = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
        assert torch.equal(quantize(as_input(files), 256), files.long())


@pytest.mark.parametrize("name", MODELS)
def test_completion_keeps_the_given_half(name):
    model = small(name)
    given = as_images(torch.randint(3, (4, 3, 6, 6)), 3)
    latents = model.latents(4)
    drawn = model.draw(latents, images=given, rows=3)
    assert torch.equal(drawn[:, :, :3], given[:, :, :3])
    logits = model.logits(drawn).permute(0, 2, 3, 4, 1)
    wanted = pick(logits.reshape(-1, 3), latents.reshape(-1)).view(latents.shape)
    assert torch.equal(quantize(drawn, 3)[:, :, 3:], wanted[:, :, 3:])
    assert not torch.equal(model.draw(latents)[:, :, 3:], drawn[:, :, 3:])


def test_what_cannot_be_completed_is_refused():
    model = small("pixelcnn")
    latents = model.latents(2)
    for given, told in (
        ({"images": torch.zeros(2, 1, 6, 6), "rows": 1}, "shape"),
        ({"images": torch.zeros(2, 3, 6, 6, dtype=torch.uint8), "rows": 1}, "uint8"),
        ({"images": torch.zeros(2, 3, 6, 6), "rows": 7}, "rows=7"),
        ({"rows": 2}, "without images"),
        ({"labels": 1}, "labels"),
    ):
        with pytest.raises(ValueError, match=told):
            model.draw(latents, **given)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_weight_moves(name, precision):
    config = replace(preset(name, "smoke"), batch=2, size=8)
    data = plain_images(size=8)
    trainer = Trainer(name, config, data, settings=Settings(precision=precision))
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    for _ in range(3):
        terms = trainer.iterate()
    assert all(math.isfinite(value) for value in terms.values())
    after = trainer.model.state_dict()
    assert not [k for k, v in after.items() if torch.equal(v, before[k])]


@pytest.mark.parametrize("name", MODELS)
def test_resumed_equals_uninterrupted(name, tmp_path):
    data = plain_images(24, size=4)
    shape = {"size": 4, "width": 4, "layers": 1, "kernel": 3, "levels": 2, "batch": 4}
    config = replace(preset(name, "smoke"), **shape, steps=3)
    train(name, config, data, tmp_path / "whole")
    train(name, replace(config, steps=2), data, tmp_path / "parts")
    train(name, config, data, tmp_path / "parts")
    whole, parts = (Checkpoint.load(tmp_path / run / NAME) for run in ("whole", "parts"))
    assert whole.tensors.keys() == parts.tensors.keys()
    for key, tensor in whole.tensors.items():
        assert torch.equal(tensor, parts.tensors[key]), key
    drawn = sample(load_model(tmp_path / "parts"), 3)
    assert torch.equal(drawn, sample(load_model(tmp_path / "whole"), 3))


def test_masks_are_no_part_of_checkpoints():
    """An edited file cannot make a network look ahead."""
    assert not [key for key in PixelCNN(preset("pixelcnn", "smoke")).state_dict() if "mask" in key]


@pytest.mark.parametrize("name", MODELS)
def test_smoke_learns(name):
    """More than how often each level is there: what is left and above."""
    data = plain_images(size=12)
    config = replace(preset(name, "smoke"), size=12)
    trainer = Trainer(name, config, data)
    for _ in range(config.steps):
        trainer.iterate()
    images = as_input(data.images)
    odds = torch.bincount(quantize(images, 4).flatten(), minlength=4) / images.numel()
    entropy = float(torch.special.entr(odds).sum()) / math.log(2)
    with torch.no_grad():
        bits = float(trainer.averaged().terms({"images": images})["loss"])
    assert bits < 0.7 * entropy


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("field", "value"), HOSTILE)
def test_hostile_configurations_are_refused(name, field, value):
    kind = model_class(name).Configuration
    with pytest.raises(ValueError, match=field):
        kind.from_dict({**preset(name).to_dict(), field: value})
