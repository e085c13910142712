"""CycleGAN: there and back is the identity, the pool remembers, and shapes keep their place."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from translations import drawn_logits, moved, resumed_is_the_same

from gandetect import nn as gnn
from gandetect.gans import UP, Images, Trainer, model_class, preset, sample
from gandetect.gans.cyclegan import CycleGAN, CycleGANConfig, enlarging
from gandetect.gans.domains import Domains
from gandetect.gans.patch_discriminator import PatchDiscriminator
from gandetect.gans.pool import ImagePool
from gandetect.gans.upsampling import up_conv

SMOKE = preset("cyclegan", "smoke")
RED, BLUE = (230, 30, 30), (30, 30, 230)
TINY = CycleGANConfig(
    size=16, width=4, blocks=1, d_width=4, d_downs=1, pool=3, batch=2, steps=3, ema=0.5
)


def shapes(color, seed, count=48, size=16):
    """Squares of one color on gray, and where they are (count, 1, size, size)."""
    rng = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    center = torch.randint(4, size - 4, (count, 2, 1, 1), generator=rng)
    side = torch.randint(2, 5, (count, 1, 1), generator=rng)
    inside = ((y - center[:, 0]).abs().maximum((x - center[:, 1]).abs()) <= side)[:, None]
    images = torch.where(inside, torch.tensor(color)[:, None, None], torch.tensor(128))
    return Images(images.to(torch.uint8), {"name": f"squares {seed}"}), inside


@pytest.fixture(scope="module")
def domains():
    """From red squares to blue ones."""
    return Domains(shapes(BLUE, 1)[0], shapes(RED, 2)[0])


@pytest.fixture
def batch():
    return {"images": torch.rand(2, 3, 32, 32) * 2 - 1, "sources": torch.rand(2, 3, 32, 32) * 2 - 1}


def test_identity_generators_lose_nothing_there_and_back(batch):
    model = CycleGAN(SMOKE)
    model.generator = model.inverse = nn.Identity()
    terms = model.generator_terms(batch)
    assert terms["cycle"] == 0
    assert terms["identity"] == 0
    torch.testing.assert_close(terms["loss"], 2 * terms["adversarial"])


class Plus(nn.Module):
    """Adds a number."""

    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def forward(self, x):
        return x + self.amount


def test_cycles_and_identities_are_counted_in_l1(batch):
    """G adds .5 and F takes .2: both cycles miss by .3, the identities by .5 and .2."""
    model = CycleGAN(replace(SMOKE, cycle=3.0, identity=7.0, adversarial=0.0))
    model.generator, model.inverse = Plus(0.5), Plus(-0.2)
    terms = model.generator_terms(batch)
    assert terms["cycle"].item() == pytest.approx(0.6, rel=1e-5)
    assert terms["identity"].item() == pytest.approx(0.7, rel=1e-5)
    assert terms["loss"].item() == pytest.approx(3 * 0.6 + 7 * 0.7, rel=1e-5)
    free = CycleGAN(replace(SMOKE, identity=0.0))
    assert "identity" not in free.generator_terms(batch)


def test_each_discriminator_sees_its_own_domain(batch):
    model = CycleGAN(replace(SMOKE, pool=0))
    model.generator, model.inverse = Plus(10.0), Plus(20.0)
    seen = {"discriminator": [], "source_discriminator": []}
    for name, kept in seen.items():
        getattr(model, name).register_forward_hook(lambda _, x, y, kept=kept: kept.append(x[0]))
    model.discriminator_terms(batch)
    real, made = seen["discriminator"]
    assert torch.equal(real, batch["images"])
    assert torch.equal(made, batch["sources"] + 10)
    real, made = seen["source_discriminator"]
    assert torch.equal(real, batch["sources"])
    assert torch.equal(made, batch["images"] + 20)


def test_least_squares_are_whole_as_in_the_paper(batch):
    """Beside the weights 10 and 5, the squares have no halves there; the discriminators' have."""
    model = CycleGAN(replace(SMOKE, cycle=0.0, identity=0.0))
    logits = [
        judge(made)
        for judge, made in (
            (model.discriminator, model.generator(batch["sources"])),
            (model.source_discriminator, model.inverse(batch["images"])),
        )
    ]
    wanted = sum((one - 1).square().mean() for one in logits)
    torch.testing.assert_close(model.generator_terms(batch)["loss"], wanted)


def test_both_discriminators_have_halved_least_squares(batch):
    model = CycleGAN(SMOKE)
    of_images, of_sources = map(drawn_logits, (model.discriminator, model.source_discriminator))
    found = model.discriminator_terms(batch)["loss"]
    wanted = [
        0.5 * (real - 1).square().mean() + 0.5 * made.square().mean()
        for real, made in (of_images, of_sources)
    ]
    torch.testing.assert_close(found, wanted[0] + wanted[1])


def numbered(first, count):
    """Images that are their numbers."""
    return torch.arange(first, first + count).float()[:, None, None, None].expand(-1, 1, 2, 2)


def test_a_pool_gives_back_what_it_is_given_until_it_is_full():
    pool = ImagePool(10, 1, 2)
    for first in (0, 5):
        assert torch.equal(pool(numbered(first, 5)), numbered(first, 5))
    assert torch.equal(pool.kept, numbered(0, 10))


def test_then_an_old_image_half_of_the_time_and_the_new_one_takes_its_place():
    pool, given, old = ImagePool(10, 1, 2), 0, 0
    there = set(range(10))
    pool(numbered(0, 10))
    for first in range(10, 810, 4):
        for new, back in zip(range(first, first + 4), pool(numbered(first, 4)), strict=True):
            number = int(back[0, 0, 0])
            given += 1
            if number != new:
                old += 1
                assert number in there
                there = there - {number} | {new}
    assert set(pool.kept[:, 0, 0, 0].int().tolist()) == there
    assert old / given == pytest.approx(0.5, abs=0.06)


def test_a_pool_of_nothing_gives_back_what_it_is_given():
    pool = ImagePool(0, 1, 2)
    for _ in range(5):
        assert torch.equal(pool(numbered(3, 2)), numbered(3, 2))


def test_the_pool_is_part_of_the_checkpoint_and_the_average_draws_without_it(domains):
    trainer = Trainer("cyclegan", TINY, domains)
    for _ in range(3):
        trainer.iterate()
    kept = trainer.checkpoint().part("weights")
    assert torch.equal(kept["pool.kept"], trainer.model.pool.kept)
    assert kept["pool.count"] == kept["source_pool.count"] == 3
    drawn = sample(trainer.averaged(), 4, **trainer.shown(4))
    for pool in (trainer.average.module.pool, trainer.average.module.source_pool):
        pool.kept.fill_(9)
        pool.count.fill_(77)
    assert torch.equal(sample(trainer.averaged(), 4, **trainer.shown(4)), drawn)


def test_the_transposed_convolution_of_the_paper_is_a_bed_of_nails_and_a_convolution():
    layer, nails = enlarging(4, 2, "conv_transpose"), up_conv(4, 2, "bed_of_nails", bias=False)
    assert isinstance(layer, gnn.ConvTranspose2d)
    nails.weight.data = layer.weight.detach().transpose(0, 1).flip(2, 3).contiguous()
    x = torch.randn(2, 4, 5, 6)
    torch.testing.assert_close(layer(x), nails(x), atol=1e-5, rtol=1e-5)
    assert layer(x).shape == (2, 2, 10, 12)


def test_patches_are_the_70_pixels_of_the_paper():
    """One logit sees the pixels of its patch and no other, the first layer's padding aside."""
    judge = PatchDiscriminator(3, 4, 3)
    for layer in [one for one in judge.modules() if isinstance(one, nn.InstanceNorm2d)]:
        layer.forward = lambda x: x
    images = torch.randn(1, 3, 128, 128, requires_grad=True)
    judge(images)[0, 7, 7].backward()
    rows = images.grad.abs().amax(dim=(0, 1, 3)).nonzero()
    assert (rows.max() - rows.min() + 1).item() == 70
    assert judge(images).shape == (1, 14, 14)
    widths = [one.out_channels for one in judge.modules() if isinstance(one, nn.Conv2d)]
    assert widths == [4, 8, 16, 32, 1]


@pytest.mark.parametrize("up", UP)
def test_every_up_sampler_trains(up, batch):
    model = CycleGAN(replace(SMOKE, up=up))
    assert model.generator(batch["sources"]).shape == (2, 3, 32, 32)
    model.generator_terms(batch)["loss"].backward()
    for network in (model.generator, model.inverse):
        for name, one in network.named_parameters():
            assert one.grad.isfinite().all(), name
            assert one.grad.abs().sum() > 0, name


def test_the_last_up_sampling_may_differ():
    layers = CycleGAN(replace(SMOKE, up="nearest", up_last="bicubic")).generator.layers
    assert [one.mode for one in layers if isinstance(one, gnn.UpsampleConv2d)] == [
        "nearest",
        "bicubic",
    ]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_weight_moves(precision, domains):
    config = replace(SMOKE, size=16, d_downs=1)
    assert moved("cyclegan", config, domains, precision) == []


def test_resumed_equals_uninterrupted(domains, tmp_path):
    """With a pool that is full after the second iteration, and draws afterwards."""
    resumed_is_the_same("cyclegan", TINY, domains, tmp_path)


def test_squares_change_their_color_both_ways_and_stay_where_they_were():
    """Red to blue by the generator, blue to red by its inverse; on squares not trained on."""
    red, blue = (shapes(color, seed, size=SMOKE.size)[0] for color, seed in ((RED, 2), (BLUE, 1)))
    trainer = Trainer("cyclegan", SMOKE, Domains(blue, red))
    for _ in range(SMOKE.steps):
        trainer.iterate()
    model = trainer.averaged()
    with torch.no_grad():
        for network, given, made in ((model.generator, 0, 2), (model.inverse, 2, 0)):
            color = [30, 30, 30]
            color[given] = 230
            sources, inside = shapes(tuple(color), 3, size=SMOKE.size)
            images = network(sources.images.float() / 127.5 - 1)
            wanted, before = images[:, made : made + 1], images[:, given : given + 1]
            assert wanted[inside].mean() > 0.3
            assert before[inside].mean() < -0.2
            assert images.mean(dim=1, keepdim=True)[~inside].abs().mean() < 0.1
            # The new color says where the square is.
            both = torch.stack([(wanted - before).flatten(), inside.flatten().float()])
            assert torch.corrcoef(both)[0, 1] > 0.6


def test_rates_fall_in_the_second_half():
    model = CycleGAN(replace(SMOKE, steps=100))
    assert [model.rate_at(step) for step in (0, 49, 50, 75, 99)] == pytest.approx(
        [1, 1, 1, 0.5, 0.02]
    )
    assert CycleGAN(replace(SMOKE, decay_from=1.0)).rate_at(59) == 1


@pytest.mark.parametrize(
    "sources",
    [
        None,
        3,
        torch.zeros(3, 3, 32, 32),
        torch.zeros(2, 3, 16, 32),
        torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
    ],
)
def test_drawing_wants_sources(sources):
    model = CycleGAN(SMOKE).eval()
    with pytest.raises(ValueError, match="sources"):
        model.draw(model.latents(2), sources=sources)


def test_data_without_sources_are_refused(labeled_images):
    with pytest.raises(ValueError, match="no sources"):
        Trainer("cyclegan", SMOKE, labeled_images).iterate()


@pytest.mark.parametrize(("norm", "keeps"), [("layer", True), ("instance", False)])
def test_a_layer_norm_leaves_images_without_detail_their_colors(norm, keeps):
    padded, convolved, normed = CycleGAN(replace(SMOKE, norm=norm)).generator.layers[:3]
    colors = torch.tensor([[-0.5, 0.0, 0.8], [0.8, -0.2, -0.5]])[:, :, None, None]
    with torch.no_grad():
        blue, red = normed(convolved(padded(colors.expand(2, 3, 32, 32))))
    assert ((blue - red).abs().max() > 1e-2) == keeps


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": 66}, "multiple of 4"),
        ({"size": 8}, "16|halvings"),
        ({"width": 0}, "width"),
        ({"width": 10**6}, "width"),
        ({"blocks": 10**6}, "blocks"),
        ({"d_width": 0}, "d_width"),
        ({"d_downs": 5}, "d_downs"),
        ({"pool": 10**6}, "pool"),
        ({"pool": 1.5}, "pool"),
        ({"decay_from": 1.5}, "decay_from"),
        ({"cycle": float("nan")}, "cycle"),
        ({"loss": "unknown"}, "loss"),
        ({"up": "lanczos"}, "up"),
        ({"norm": "batch"}, "norm"),
    ],
)
def test_hostile_configurations_are_refused(changes, told):
    kind = model_class("cyclegan").Configuration
    with pytest.raises(ValueError, match=told):
        kind.from_dict({**preset("cyclegan").to_dict(), **changes})
