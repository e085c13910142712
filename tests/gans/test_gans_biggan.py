"""BigGAN: orthogonal kernels cost nothing, attention begins as nothing, truncation holds."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from translations import Reduced, moved, resumed_is_the_same

from gandetect.gans import UP, Trainer, model_class, preset, sample
from gandetect.gans.attention import SelfAttention
from gandetect.gans.biggan import (
    BigGAN,
    BigGANConfig,
    VectorBatchNorm2d,
    orthogonality_penalty,
    truncated,
)
from gandetect.gans.distances import distances
from gandetect.gans.spectral_norm import SpectralNorm, original, spectrally_normalized

SMOKE = preset("biggan", "smoke")
TINY = BigGANConfig(
    size=8, latent=4, widths=(8, 8), d_widths=(8, 8), d_downs=1, attention=0, embedding=4, batch=4,
    steps=3, ema=0.5, classes=3,
)  # fmt: skip


@pytest.mark.parametrize("shape", [(4, 9), (4, 2, 3, 3), (9, 9)])
def test_orthogonal_rows_cost_nothing(shape):
    weight = 3 * nn.init.orthogonal_(torch.empty(*shape, dtype=torch.float64))
    weight.requires_grad_()
    penalty = orthogonality_penalty(weight)
    penalty.backward()
    assert penalty.item() == pytest.approx(0, abs=1e-20)
    assert weight.grad.abs().max() < 1e-12


@pytest.mark.parametrize("shape", [(5, 8), (5, 5), (9, 4), (9, 2, 2, 2)])
def test_the_gradient_is_four_times_the_products_and_not_the_codes_two(shape):
    weight = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    orthogonality_penalty(weight).backward()
    rows = weight.detach().flatten(1)
    off = (rows @ rows.T) * (1 - torch.eye(len(rows), dtype=torch.float64))
    torch.testing.assert_close(orthogonality_penalty(weight).detach(), off.square().sum())
    torch.testing.assert_close(weight.grad.flatten(1), 4 * off @ rows)


def test_every_kernel_of_the_generator_is_penalized_but_the_embedding():
    model = BigGAN(replace(SMOKE, classes=3, up_last="conv_transpose", orthogonality=0.5))
    batch = {"images": torch.zeros(4, 3, 32, 32), "labels": torch.tensor([0, 1, 2, 0])}
    terms = model.generator_terms(batch)
    layers = [
        one
        for one in model.generator.modules()
        if isinstance(one, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    # Its rows are outputs.
    assert list(model._kernels())[11].shape[0] == layers[11].weight.shape[0]
    wanted = sum(
        orthogonality_penalty(original(one).transpose(0, 1))
        if isinstance(one, nn.ConvTranspose2d)
        else orthogonality_penalty(original(one))
        for one in layers
    )
    torch.testing.assert_close(terms["orthogonality"], wanted, rtol=1e-4, atol=1e-4)
    both = terms["adversarial"] + 0.5 * terms["orthogonality"]
    torch.testing.assert_close(terms["loss"], both)
    (slope,) = torch.autograd.grad(
        terms["orthogonality"], model.generator.embedding.weight, allow_unused=True
    )
    assert slope is None
    free = BigGAN(replace(SMOKE, orthogonality=0.0)).generator_terms(batch)
    assert "orthogonality" not in free


def test_attention_begins_as_the_identity():
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(SelfAttention(16)(x), x)


def test_attention_is_a_softmax_over_the_maxima_of_all_pixels():
    layer, x = SelfAttention(16), torch.randn(2, 16, 4, 6)
    nn.init.constant_(layer.gain, 0.7)
    q = torch.einsum("oc,nchw->nohw", layer.query.weight[:, :, 0, 0], x).flatten(2)
    k, v = (
        torch.einsum("oc,nchw->nohw", one.weight[:, :, 0, 0], x)
        .unflatten(3, (3, 2))
        .unflatten(2, (2, 2))
        .amax(dim=(3, 5))
        .flatten(2)
        for one in (layer.key, layer.value)
    )
    shares = torch.einsum("ncq,nck->nqk", q, k).softmax(dim=2)
    gathered = torch.einsum("nqk,nck->ncq", shares, v).unflatten(2, (4, 6))
    wanted = x + 0.7 * torch.einsum("oc,nchw->nohw", layer.output.weight[:, :, 0, 0], gathered)
    torch.testing.assert_close(layer(x), wanted, atol=1e-5, rtol=1e-4)
    assert (q.shape[1], k.shape[1], v.shape[1]) == (2, 2, 8)


def test_both_players_attend_at_the_side_that_was_asked_for():
    model = BigGAN(replace(SMOKE, attention=8))
    seen = []
    for network in (model.generator, model.discriminator):
        layers = [one for one in network.modules() if isinstance(one, SelfAttention)]
        assert len(layers) == 1
        layers[0].register_forward_hook(lambda _, x, y: seen.append(tuple(y.shape[2:])))
    model.judge(model.draw(model.latents(2)), {})
    assert seen == [(8, 8), (8, 8)]


def test_the_discriminator_adds_a_projection():
    judge = BigGAN(replace(SMOKE, classes=3)).discriminator.eval()
    for layer in judge.modules():
        if isinstance(layer, SelfAttention):
            nn.init.ones_(layer.gain)
    x = images = torch.randn(3, 3, 32, 32)
    for block, attention in zip(judge.blocks, judge.attentions, strict=True):
        x = attention(block(x))
    features = x.clamp(min=0).flatten(2).sum(dim=2)
    plain = features @ judge.dense.weight[0] + judge.dense.bias
    projections = features @ judge.embedding.weight.T
    assert projections.std(dim=1).min() > 1e-2
    labels = torch.tensor([2, 0, 1])
    wanted = plain + projections[torch.arange(3), labels]
    torch.testing.assert_close(judge(images, labels), wanted, atol=1e-4, rtol=1e-4)
    without = BigGAN(SMOKE).discriminator.eval()
    without.load_state_dict(judge.state_dict(), strict=False)
    torch.testing.assert_close(without(images), plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("threshold", [0.05, 0.5, 1.0, 3.0])
def test_no_latent_is_beyond_the_threshold_and_those_within_stay(threshold):
    z = torch.randn(20_000)
    cut = truncated(z, threshold)
    assert cut.abs().max() <= threshold
    assert torch.equal(cut[z.abs() <= threshold], z[z.abs() <= threshold])


@pytest.mark.parametrize("threshold", [0.3, 1.0])
def test_truncated_latents_are_those_of_a_truncated_normal(threshold):
    z = torch.randn(60_000)
    anew = truncated(z, threshold)[z.abs() > threshold].double()
    normal = torch.distributions.Normal(0.0, 1.0)
    edge = normal.cdf(torch.tensor(threshold)).double()
    place = (torch.special.ndtr(anew) - (1 - edge)) / (2 * edge - 1)
    # Kolmogorov's distance from uniform.
    ranks = (torch.arange(len(place)) + 0.5) / len(place)
    assert (place.sort().values - ranks).abs().max() < 1.9 / len(place) ** 0.5


def test_a_smaller_threshold_lowers_the_variance_of_samples():
    model = BigGAN(SMOKE)
    model.generator(model.latents(64))
    model.eval()
    z = model.latents(64)
    spreads = [model.draw(z, truncation=t).var(dim=0).mean() for t in (0.1, 0.5, 1.0, 5.0)]
    assert spreads == sorted(spreads)
    assert spreads[0] < 0.2 * spreads[-1]
    assert torch.equal(sample(model, 3, truncation=0.5), sample(model, 3, truncation=0.5))


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_a_threshold_that_leaves_nothing_is_refused(threshold):
    with pytest.raises(ValueError, match="truncation"):
        truncated(torch.randn(3), threshold)


def test_chunks_of_the_latents_go_to_the_blocks_in_turn():
    """A chunk changes what its block and those after it make, and nothing before."""
    generator = BigGAN(SMOKE).generator.eval()
    outputs = []
    for block in generator.blocks:
        block.register_forward_hook(lambda _, x, y: outputs.append(y))
    z = torch.randn(2, 32)
    generator(z)
    for chunk in range(4):
        changed, before = z.clone(), outputs[:3]
        changed[:, 8 * chunk : 8 * chunk + 8] += 1
        generator(changed)
        after = outputs[-3:]
        same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert same == [number < chunk - 1 for number in range(3)]


def test_norms_have_a_gain_about_one_and_a_bias():
    norm, x, v = VectorBatchNorm2d(5, 4), torch.randn(6, 5, 3, 3), torch.randn(6, 4)
    plain = nn.functional.batch_norm(x, None, None, training=True)
    gain, bias = v @ norm.gain.weight.T, v @ norm.bias.weight.T
    wanted = (1 + gain)[:, :, None, None] * plain + bias[:, :, None, None]
    torch.testing.assert_close(norm(x, v), wanted)
    torch.testing.assert_close(norm(x, torch.zeros(6, 4)), plain)


def test_all_blocks_share_one_embedding():
    model = BigGAN(replace(SMOKE, classes=3))
    embeddings = [one for one in model.generator.modules() if isinstance(one, nn.Embedding)]
    assert [tuple(one.weight.shape) for one in embeddings] == [(3, 16)]


def test_a_mixture_of_one_class_is_that_class_and_of_two_is_between():
    model = BigGAN(replace(SMOKE, classes=3)).eval()
    z = model.latents(2)
    pure = model.draw(z, mixture=torch.eye(3)[:2])
    torch.testing.assert_close(pure, model.draw(z, labels=torch.tensor([0, 1])))
    vectors = model.generator.embedding.weight
    half = torch.tensor([[0.5, 0.5, 0.0]]).expand(2, 3)
    with torch.no_grad():
        mixed = model.draw(z, mixture=half)
        vectors[2] = (vectors[0] + vectors[1]) / 2
    torch.testing.assert_close(mixed, model.draw(z, labels=2))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"mixture": torch.ones(2, 2)}, "mixture"),
        ({"mixture": torch.ones(2, 3), "labels": 1}, "no labels"),
        ({"labels": 3}, "from 0 to 2"),
    ],
)
def test_conditions_that_the_model_does_not_have_are_refused(given, told):
    model = BigGAN(replace(SMOKE, classes=3)).eval()
    with pytest.raises(ValueError, match=told):
        model.draw(model.latents(2), **given)


@pytest.mark.parametrize(
    "layer", [nn.Linear(6, 9), nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 3, 4)]
)
def test_spectral_norms_fall_to_one_and_stay_in_eval_mode(layer):
    spectrally_normalized(layer)
    transposed = isinstance(layer, nn.ConvTranspose2d)
    for _ in range(300):
        weight = layer.weight
    matrix = (weight.transpose(0, 1) if transposed else weight).flatten(1)
    assert torch.linalg.svdvals(matrix)[0].item() == pytest.approx(1, abs=1e-3)
    layer.eval()
    assert torch.equal(layer.weight, layer.weight)


def test_the_gradient_of_a_normalized_weight_is_that_of_its_singular_value():
    raw = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    norm = SpectralNorm(raw, transposed=False)
    for _ in range(300):
        found = norm(raw)
    wanted = raw / torch.linalg.matrix_norm(raw, 2)
    torch.testing.assert_close(found, wanted)
    slopes = [torch.autograd.grad(one.sin().sum(), raw)[0] for one in (found, wanted)]
    torch.testing.assert_close(*slopes)


def test_an_averaged_direction_needs_no_unit_length():
    """The running average of directions that turned is short; the norm must not shrink with it."""
    layer = spectrally_normalized(nn.Linear(6, 9)).eval()
    before = layer.weight.clone()
    layer.parametrizations.weight[0].direction.mul_(0.1)
    torch.testing.assert_close(layer.weight, before)


def test_the_generator_is_normalized_too():
    for network in (BigGAN(SMOKE).generator, BigGAN(SMOKE).discriminator):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                assert isinstance(layer.parametrizations.weight[0], SpectralNorm)


@pytest.mark.parametrize("up", UP)
def test_every_up_sampler_trains(up):
    model = BigGAN(replace(SMOKE, up=up))
    for layer in model.modules():
        if isinstance(layer, SelfAttention):
            nn.init.ones_(layer.gain)
    images = model.generator(model.latents(4))
    assert images.shape == (4, 3, 32, 32)
    assert images.abs().max() <= 1
    model.generator_terms({"images": torch.zeros(4, 3, 32, 32)})["loss"].backward()
    for name, one in model.generator.named_parameters():
        assert one.grad.isfinite().all(), name
        assert one.grad.abs().sum() > 0, name


def test_the_last_up_sampling_may_differ():
    blocks = BigGAN(replace(SMOKE, up="bilinear", up_last="bicubic")).generator.blocks
    assert [block.residual[2].mode for block in blocks] == ["bilinear", "bilinear", "bicubic"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("classes", [0, 3])
def test_every_weight_moves(classes, precision, labeled_images):
    config = replace(SMOKE, batch=8, classes=classes)
    assert moved("biggan", config, labeled_images, precision) == []


def test_resumed_equals_uninterrupted(labeled_images, tmp_path):
    resumed_is_the_same("biggan", TINY, labeled_images, tmp_path)


def test_smoke_learns(labeled_images):
    trainer = Trainer("biggan", replace(SMOKE, classes=3), labeled_images)
    begun = distances(sample(trainer.averaged(), 48), labeled_images.images).frechet
    for _ in range(25):
        trainer.iterate()
    assert distances(sample(trainer.averaged(), 48), labeled_images.images).frechet < begun / 3


def test_images_of_a_label_have_its_color(labeled_images):
    """A generator that ignores labels is right about a third of them."""
    sizes = {"size": 16, "latent": 24, "widths": (32, 16, 16), "d_widths": (16, 16, 16)}
    config = replace(SMOKE, classes=3, rate=2e-3, attention=8, **sizes)
    trainer = Trainer("biggan", config, Reduced(labeled_images, 16))
    for _ in range(60):
        trainer.iterate()
    labels = torch.arange(96) // 32
    for images, wanted in (
        (sample(trainer.averaged(), 96, labels=labels), labels),
        (labeled_images.images, labeled_images.labels),
    ):
        # Each of the three classes is bright in a channel of its own.
        is_right = images.float().mean(dim=(2, 3)).argmax(dim=1) == wanted
        assert min(is_right[wanted == k].float().mean() for k in range(3)) > 0.85


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"latent": 121}, "multiple of 5"),
        ({"latent": 0}, "latent"),
        ({"embedding": 0}, "embedding"),
        ({"embedding": 10**6}, "embedding"),
        ({"attention": 12}, "attention"),
        ({"attention": 64}, "attention"),
        ({"orthogonality": float("nan")}, "orthogonality"),
        ({"widths": [2**30] * 5}, "widths"),
        ({"classes": 20_000}, "classes"),
        ({"attention": "16"}, "attention"),
    ],
)
def test_hostile_configurations_are_refused(changes, told):
    kind = model_class("biggan").Configuration
    with pytest.raises(ValueError, match=told):
        kind.from_dict({**preset("biggan").to_dict(), **changes})
