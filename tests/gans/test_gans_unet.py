"""U-Net: what pooling loses comes over the skips, and un-pooling puts it back where it was."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from translations import drawn_logits, moved, resumed_is_the_same

from gandetect import nn as gnn
from gandetect.detect.networks.mask import MaskNetwork
from gandetect.gans import UP, Images, Trainer, model_class, preset, sample
from gandetect.gans.domains import Pairs
from gandetect.gans.unet import UNet, UNetConfig
from gandetect.nn import unet

SMOKE = preset("unet", "smoke")
TINY = UNetConfig(size=16, widths=(4, 4), d_width=4, d_downs=1, batch=4, steps=3, ema=0.5)


def transposed(inputs, outputs):
    return gnn.ConvTranspose2d(inputs, outputs, 2, 2)


@pytest.fixture(scope="module")
def pairs(labeled_images):
    """From negatives with red and blue exchanged to the images."""
    return Pairs(labeled_images, Images(255 - labeled_images.images.flip(1), {"name": "negative"}))


@pytest.fixture
def batch(pairs):
    return {key: value.float() / 127.5 - 1 for key, value in pairs.batch(4).items()}


@pytest.mark.parametrize("enlarge", [transposed, unet.Unpool])
@pytest.mark.parametrize("sides", [(16, 16), (32, 48)])
def test_the_output_has_the_size_of_the_input(enlarge, sides):
    network = unet.UNet(3, 5, (4, 4, 6, 6, 8), enlarge).eval()
    assert network(torch.randn(2, 3, *sides)).shape == (2, 5, *sides)


@pytest.mark.parametrize("sides", [(24, 16), (16, 40), (15, 15)])
def test_sides_that_cannot_be_halved_are_refused(sides):
    network = unet.UNet(3, 5, (4, 4, 4, 4, 4), transposed)
    with pytest.raises(ValueError, match="multiples of 16"):
        network(torch.randn(2, 3, *sides))


def test_the_network_is_what_the_paper_draws():
    network = unet.UNet(3, 2, (4, 6), transposed).eval()
    x = torch.randn(2, 3, 8, 8)
    high = network.down[0](x)
    low = network.down[1](F.max_pool2d(high, 2))
    up = F.conv_transpose2d(low, network.enlarge[0].weight, network.enlarge[0].bias, stride=2)
    wanted = network.classify(network.up[0](torch.cat((up, high), dim=1)))
    torch.testing.assert_close(network(x), wanted, atol=1e-5, rtol=1e-5)
    kinds = [type(one) for one in network.down[0]]
    assert kinds == 2 * [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]


def test_the_mask_of_forgeries_is_made_of_the_same_network():
    assert issubclass(MaskNetwork, unet.UNet)


def stripes(count, size=16):
    """Columns of -1 or 1, each by chance: nothing that half the size could hold."""
    signs = torch.randint(2, (count, 1, 1, size)).float() * 2 - 1
    return signs.expand(-1, -1, size, -1).contiguous()


def copied(with_skips):
    """How far a network that was taught to copy stripes is from copying new ones."""
    torch.manual_seed(1)
    network = unet.UNet(1, 1, (8, 8, 8), transposed)
    if not with_skips:
        for convolutions in network.up:
            convolutions.register_forward_pre_hook(
                lambda _, x: (torch.cat((x[0][:, :8], 0 * x[0][:, 8:]), dim=1),)
            )
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(40):
        x = stripes(8)
        optimizer.zero_grad()
        F.l1_loss(network(x), x).backward()
        optimizer.step()
    x = stripes(16)
    return F.l1_loss(network(x), x).item()


def test_without_skips_fine_stripes_are_lost():
    with_skips, without = copied(True), copied(False)
    assert with_skips < 0.2
    assert without > 3 * with_skips


def test_unpooling_puts_values_where_the_maxima_were_and_zeros_elsewhere():
    layer, x = unet.Unpool(3, 3), torch.randn(2, 3, 6, 8)
    layer.conv.weight.data = torch.eye(3)[:, :, None, None]
    nn.init.zeros_(layer.conv.bias)
    pooled, places = F.max_pool2d(x, 2, return_indices=True)
    found = layer(pooled, places)
    is_maximum = F.interpolate(pooled, scale_factor=2) == x
    assert torch.equal(found, torch.where(is_maximum, x, torch.zeros(())))


def test_gradients_return_to_the_places_of_the_maxima_alone():
    layer = unet.Unpool(3, 2)
    x = torch.randn(1, 3, 3, 4, requires_grad=True)
    before = torch.randn(1, 2, 6, 8)
    _, places = F.max_pool2d(before, 2, return_indices=True)
    weights = torch.randn(1, 2, 6, 8)
    (layer(x, places) * weights).sum().backward()
    at_maxima = weights.flatten(2).gather(2, places.flatten(2)).view_as(places)
    torch.testing.assert_close(layer.conv.bias.grad, at_maxima.sum(dim=(0, 2, 3)))
    wanted = torch.einsum("nohw,oc->nchw", at_maxima, layer.conv.weight.detach()[:, :, 0, 0])
    torch.testing.assert_close(x.grad, wanted)


def test_terms_are_an_l1_distance_and_the_patches(batch):
    model = UNet(replace(SMOKE, adversarial=0.5))
    terms = model.generator_terms(batch)
    made = model.generator(batch["sources"])
    torch.testing.assert_close(terms["l1"], (made - batch["images"]).abs().mean())
    logits = model.discriminator(torch.cat((batch["sources"], made), dim=1))
    torch.testing.assert_close(terms["adversarial"], F.softplus(-logits).mean())
    torch.testing.assert_close(terms["loss"], terms["l1"] + 0.5 * terms["adversarial"])


def test_the_discriminator_has_the_logistic_loss(batch):
    model = UNet(SMOKE)
    logits = drawn_logits(model.discriminator)
    found = model.discriminator_terms(batch)["loss"]
    real, made = logits
    wanted = -real.sigmoid().log().mean() - (1 - made.sigmoid()).log().mean()
    torch.testing.assert_close(found, wanted)


def test_the_discriminator_sees_the_source_beside_the_image(batch):
    model, seen = UNet(SMOKE), []
    model.discriminator.register_forward_hook(lambda _, x, y: seen.append(x[0]))
    model.discriminator_terms(batch)
    assert torch.equal(seen[0], torch.cat((batch["sources"], batch["images"]), dim=1))
    assert torch.equal(seen[1][:, :3], batch["sources"])
    assert not torch.equal(seen[1][:, 3:], batch["images"])


def test_without_its_weight_there_is_no_discriminator(batch):
    model = UNet(replace(SMOKE, adversarial=0.0))
    assert model.discriminator is None
    assert [one.name for one in model.phases()] == list(model.players()) == ["generator"]
    terms = model.generator_terms(batch)
    assert terms["loss"] == terms["l1"]


@pytest.mark.parametrize("up", [*UP, "unpool"])
def test_every_up_sampler_trains(up, batch):
    changes = {"unpool": True} if up == "unpool" else {"up": up}
    model = UNet(replace(SMOKE, **changes))
    assert model.generator(batch["sources"]).shape == (4, 3, 32, 32)
    model.generator_terms(batch)["loss"].backward()
    for name, one in model.generator.named_parameters():
        assert one.grad.isfinite().all(), name
        assert one.grad.abs().sum() > 0, name
    kinds = {type(one) for one in model.generator.modules()}
    assert (gnn.MaxUnpool2d in kinds) == (up == "unpool")


def test_the_papers_transposed_convolution_is_of_side_two():
    layers = UNet(preset("unet")).generator.network.enlarge
    assert {(one.conv.kernel_size, one.conv.stride) for one in layers} == {((2, 2), (2, 2))}
    assert all(isinstance(one.conv, gnn.ConvTranspose2d) for one in layers)


def test_the_last_up_sampling_may_differ():
    model = UNet(replace(SMOKE, up="bilinear", up_last="nearest"))
    assert [one.up for one in model.generator.network.enlarge] == ["bilinear", "nearest"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("changes", [{}, {"unpool": True}, {"adversarial": 0.0}])
def test_every_weight_moves(changes, precision, pairs):
    assert moved("unet", replace(SMOKE, **changes), pairs, precision) == []


@pytest.mark.parametrize("unpool", [False, True])
def test_resumed_equals_uninterrupted(unpool, pairs, tmp_path):
    resumed_is_the_same("unet", replace(TINY, unpool=unpool), pairs, tmp_path)


def test_smoke_learns_what_the_pairs_show(pairs):
    """Nearer to the images than at first, than their mean, and than the sources are."""
    trainer = Trainer("unet", SMOKE, pairs)
    images, sources = (one.images.float() for one in (pairs.images, pairs.sources))
    shown = {"sources": sources / 127.5 - 1}

    def apart(made):
        return (made.float() - images).abs().mean().item()

    begun = apart(sample(trainer.averaged(), 48, **shown))
    for _ in range(50):
        trainer.iterate()
    trained = apart(sample(trainer.averaged(), 48, **shown))
    assert trained < 0.8 * min(begun, apart(images.mean(dim=0)), apart(sources))


def test_drawing_wants_sources():
    model = UNet(SMOKE).eval()
    with pytest.raises(ValueError, match="want sources"):
        model.draw(model.latents(2))
    with pytest.raises(ValueError, match="labels"):
        model.draw(model.latents(2), labels=1)


def test_data_without_sources_are_refused(labeled_images):
    with pytest.raises(ValueError, match="no sources"):
        Trainer("unet", SMOKE, labeled_images).iterate()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": 68}, "size"),
        ({"size": 8}, "size|halvings"),
        ({"widths": [8]}, "widths"),
        ({"widths": [2**30] * 4}, "widths"),
        ({"widths": [8] * 12}, "size"),
        ({"unpool": 1}, "unpool"),
        ({"adversarial": -1.0}, "adversarial"),
        ({"d_width": 10**6}, "d_width"),
        ({"up": "unpool"}, "up"),
    ],
)
def test_hostile_configurations_are_refused(changes, told):
    kind = model_class("unet").Configuration
    with pytest.raises(ValueError, match=told):
        kind.from_dict({**preset("unet").to_dict(), **changes})
