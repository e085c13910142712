"""MC²-StyleGAN2: counts go in, and are counted again."""

import math
from dataclasses import replace

import pytest
import torch

from gandetect.gans import Images, Settings, Trainer, preset, sample
from gandetect.gans.mc2_stylegan2 import MC2StyleGAN2, MC2StyleGAN2Config, miscounted
from gandetect.gans.modulation import UPS
from gandetect.gans.scenes import scenes as drawn_scenes

SMOKE = preset("mc2-stylegan2", "smoke")
TINY = replace(SMOKE, size=16, widths=(8, 8, 8), styles=8, latent=8, batch=4, kinds=2, counting=0.2)


def scenes(count, kinds, most, seed=0):
    """Up to `most` squares of each kind, which is the color channel that is bright."""
    rng = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, most + 1, (count, kinds), generator=rng)
    images = torch.full((count, 3, 16, 16), 40, dtype=torch.uint8)
    for image, wanted in zip(images, counts.tolist(), strict=True):
        places = torch.randperm(16, generator=rng).tolist()
        for kind, number in enumerate(wanted):
            for _ in range(number):
                row, column = divmod(places.pop(), 4)
                # With one kind all channels are bright.
                channels = slice(None) if kinds == 1 else kind
                image[channels, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 230
    return Images(images, {"name": "squares"}, extras={"counts": counts})


def batch_of(count=4):
    counts = torch.tensor([[0, 0], [1, 2], [3, 0], [2, 2]])[:count]
    return {"images": torch.randn(count, 3, 16, 16), "counts": counts}


def test_counts_reach_every_layer_of_the_mapping_network():
    model = MC2StyleGAN2(replace(TINY, mapping=3)).eval()
    assert [one.in_features for one in model.generator.mapping.layers] == [10, 10, 10]
    z = model.latents(2)
    drawn = [model.draw(z, counts=torch.tensor(one)) for one in ([0, 0], [0, 1], [3, 1])]
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])
    each = model.draw(z, counts=torch.tensor([[0, 1], [0, 1]]))
    assert torch.equal(each, drawn[1])


def test_no_object_at_all_is_legal():
    model = MC2StyleGAN2(TINY).eval()
    images = sample(model, 3, counts=torch.zeros(3, 2, dtype=torch.int64))
    assert images.shape == (3, 3, 16, 16)


def test_both_heads_share_one_trunk():
    model, images = MC2StyleGAN2(TINY), torch.randn(4, 3, 16, 16)
    logits, counts = model.discriminator.counted(images)
    features = model.discriminator.trunk(images)
    found = model.discriminator.head(features)
    assert counts.shape == (4, 2)
    torch.testing.assert_close(torch.cat([logits[:, None], counts], dim=1), found)
    assert torch.equal(model.discriminator(images), logits)


def test_the_counting_error_is_the_mean_norm():
    seen, counts = torch.tensor([[3.0, 4.0], [1.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert float(miscounted(seen, counts)) == pytest.approx(3)
    same = counts.clone().requires_grad_()
    miscounted(same, counts).backward()
    assert same.grad.isfinite().all()


@pytest.mark.parametrize("spectral", ["none", "loss"])
def test_each_image_is_looked_at_once(spectral, monkeypatch):
    """Real ones are counted for the discriminator, generated ones for the generator."""
    model, batch = MC2StyleGAN2(replace(TINY, counting=3.0, spectral=spectral)), batch_of()
    seen, plain = [], model.discriminator.forward
    monkeypatch.setattr(model.discriminator, "forward", lambda x: seen.append(x) or plain(x))
    found = [model.discriminator_terms(batch), model.generator_terms(batch)]
    assert len(seen) == 3
    assert torch.equal(seen[0], batch["images"])
    for terms, images in zip(found, (seen[0], seen[2]), strict=True):
        wanted = miscounted(model.discriminator.counted(images)[1], batch["counts"])
        torch.testing.assert_close(terms["counting"], wanted)
        whole = terms["adversarial"] + terms.get("spectral", 0) + 3 * terms["counting"]
        torch.testing.assert_close(terms["loss"], whole)


def test_the_generator_is_trained_to_be_counted():
    model, batch = MC2StyleGAN2(TINY), batch_of()
    model.generator_terms(batch)["counting"].backward()
    grads = [one.grad for one in model.generator.mapping.parameters()]
    assert all(one.abs().sum() > 0 for one in grads)


@pytest.mark.parametrize("up", UPS)
def test_every_up_sampler_trains(up):
    model, batch = MC2StyleGAN2(replace(TINY, up=up)), batch_of()
    for terms in (model.generator_terms, model.path_terms, model.r1_terms):
        loss = terms(batch)["loss"]
        loss.backward()
        assert loss.isfinite()
    for name, one in model.named_parameters():
        assert one.grad is None or one.grad.isfinite().all(), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_weight_moves(precision):
    settings = Settings(precision=precision)
    trainer = Trainer("mc2-stylegan2", TINY, scenes(16, 2, 3), settings=settings)
    before = {k: v.detach().clone() for k, v in trainer.model.named_parameters()}
    for _ in range(3):
        terms = trainer.iterate()
        assert all(math.isfinite(value) for value in terms.values())
    still = [k for k, v in trainer.model.named_parameters() if torch.equal(v, before[k])]
    assert still == []
    shown = trainer.shown(5)
    assert shown["counts"].shape == (5, 2)
    assert sample(trainer.averaged(), 5, **shown).shape == (5, 3, 16, 16)


def test_resumed_equals_uninterrupted():
    data = scenes(16, 2, 3)
    whole, first, second = (Trainer("mc2-stylegan2", TINY, data, seed=3) for _ in range(3))
    for trainer, count in ((whole, 3), (first, 2)):
        for _ in range(count):
            trainer.iterate()
    second.restore(first.checkpoint())
    second.iterate()
    wanted, found = whole.checkpoint(), second.checkpoint()
    assert wanted.tensors.keys() == found.tensors.keys()
    for name, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[name]), name


def test_it_learns_to_count_and_to_draw_as_many_as_asked():
    """On scenes that it was not trained on, and by the brightness of what it draws."""
    shape = {"widths": (16, 16, 8), "styles": 16, "batch": 16, "kinds": 1, "path": 0.0}
    shape |= {"counting": 1.0}
    trainer = Trainer("mc2-stylegan2", replace(TINY, **shape), scenes(256, 1, 4))
    for _ in range(90):
        trainer.iterate()
    others = scenes(100, 1, 4, seed=1)
    counts = others.extras["counts"].float()
    with torch.no_grad():
        seen = trainer.model.discriminator.counted(others.images.float() / 127.5 - 1)[1]
    constant = miscounted(counts.mean(dim=0).expand_as(counts), counts)
    assert miscounted(seen, counts) < 0.7 * constant
    asked = torch.arange(100)[:, None] % 5
    light = sample(trainer.averaged(), 100, counts=asked).float().mean(dim=(1, 2, 3))
    assert torch.corrcoef(torch.stack([light, asked[:, 0].float()]))[0, 1] > 0.4


def asked_and_found(trainer, config):
    """On 200 scenes not trained on: the error of its counting over that of the mean, the
    correlations of what is counted in its samples (rows) with what was asked (columns), and that of
    their light, which needs no counting, with the number asked."""
    others = drawn_scenes(200, config.size, kinds=config.kinds, seed=1)
    counts = others.extras["counts"].float()
    drawn = sample(trainer.averaged(), 200, counts=others.extras["counts"]).float()
    with torch.no_grad():
        seen, found = (
            trainer.model.discriminator.counted(one / 127.5 - 1)[1]
            for one in (others.images.float(), drawn)
        )
    constant = miscounted(counts.mean(dim=0).expand_as(counts), counts)
    asked = torch.corrcoef(torch.cat([found, counts], dim=1).T)[: config.kinds, config.kinds :]
    light = torch.corrcoef(torch.stack([drawn.mean(dim=(1, 2, 3)), counts.sum(dim=1)]))[0, 1]
    return miscounted(seen, counts) / constant, asked, light


def test_smoke_counts_and_draws_as_many_as_asked():
    trainer = Trainer("mc2-stylegan2", SMOKE, drawn_scenes(1024, SMOKE.size, kinds=SMOKE.kinds))
    for _ in range(200):
        trainer.iterate()
    error, asked, light = asked_and_found(trainer, SMOKE)
    assert error < 0.95
    assert asked.diagonal().mean() > 0.3
    assert light > 0.3


def test_discs_and_squares_of_drawn_scenes_are_asked_for_by_kind():
    shape = {"widths": (16, 16, 8), "styles": 16, "batch": 16, "path": 0.0, "counting": 1.0}
    config = replace(TINY, **shape)
    trainer = Trainer("mc2-stylegan2", config, drawn_scenes(1024, 16, kinds=2))
    for _ in range(250):
        trainer.iterate()
    error, asked, light = asked_and_found(trainer, config)
    assert error < 0.9
    assert (asked.diagonal() > 0.4).all()
    assert (asked.diagonal() > asked.flip(1).diagonal()).all()
    assert light > 0.3


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (None, "no counts given"),
        (torch.tensor([1, 2, 3]), "shape"),
        (torch.zeros(3, 2, dtype=torch.int64), "shape"),
        (torch.tensor([1, -1]), "0 to"),
        (torch.tensor([1, 10**6]), "0 to"),
        (torch.tensor([1.0, 2.0]), "whole numbers"),
        (torch.tensor([True, False]), "whole numbers"),
    ],
)
def test_counts_that_make_no_sense_are_refused(counts, told):
    model = MC2StyleGAN2(TINY)
    with pytest.raises(ValueError, match=told):
        model.draw(model.latents(2), counts=counts)


def test_other_conditions_and_data_without_counts_are_refused():
    model = MC2StyleGAN2(TINY)
    with pytest.raises(ValueError, match="conditioned on counts"):
        model.draw(model.latents(2), counts=torch.tensor([1, 1]), labels=1)
    data = Images(scenes(8, 2, 3).images, {"name": "squares"})
    with pytest.raises(ValueError, match="no counts"):
        Trainer("mc2-stylegan2", TINY, data).iterate()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kinds": 0}, "kinds"),
        ({"kinds": 10**6}, "kinds"),
        ({"counting": -1.0}, "counting"),
        ({"widths": (4096,) * 5}, "widths"),
        ({"up": "lanczos"}, "up"),
    ],
)
def test_refusals(changes, told):
    with pytest.raises(ValueError, match=told):
        MC2StyleGAN2Config(**changes)
