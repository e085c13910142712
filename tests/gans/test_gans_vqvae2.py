"""VQ-VAE-2: its codebooks, its two maps of codes, its two stages."""

import math
from dataclasses import replace

import pytest
import torch
from plain_images import plain_images
from torch.nn import functional as F

from gandetect.gans import UP, Settings, Trainer, load_model, preset, sample, train
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.codebook import Codebook, perplexity
from gandetect.gans.training import as_input
from gandetect.gans.two_maps import finer
from gandetect.gans.vqvae2 import VQVAE2, VQVAE2Config

SMOKE = preset("vqvae2", "smoke")
TINY = replace(
    SMOKE, size=8, latent=3, width=4, codes=4, batch=4, prior_width=3, code_steps=1, steps=3
)
HOSTILE = [
    ("size", 20),
    ("size", 2**40),
    ("latent", 0),
    ("latent", 4096),
    ("codes", 0),
    ("codes", 2**30),
    ("width", 1),
    ("width", 2**30),
    ("blocks", 10**9),
    ("blocks", 0),
    ("prior_width", 0),
    ("prior_blocks", 10**9),
    ("decay", 1.0),
    ("classes", 10**9),
    ("commitment", -1.0),
    ("fine_bottom", 1),
    ("rate", math.nan),
    ("up", "lanczos"),
    ("__class__", "os.system"),
]


def test_quantized_vectors_are_the_nearest_codes():
    book, x = Codebook(7, 3, 0.9), torch.randn(2, 3, 4, 5)
    found = book(x)
    rows = x.permute(0, 2, 3, 1)
    distances = (rows[..., None, :] - book.codes).norm(dim=-1)
    assert torch.equal(found.indices, distances.argmin(dim=-1))
    assert torch.equal(found.vectors.permute(0, 2, 3, 1), book.codes[found.indices])
    torch.testing.assert_close(found.commitment, (x - found.vectors).square().mean())


def test_gradients_go_straight_through():
    book, x = Codebook(7, 3, 0.9), torch.randn(2, 3, 4, 5, requires_grad=True)
    found = book(x)
    at_codes = found.vectors.detach().requires_grad_()
    weights = torch.randn(2, 3, 4, 5)
    for loss in (lambda v: (weights * v.square()).sum(), lambda v: v.sin().prod()):
        (slope,) = torch.autograd.grad(loss(found.vectors), x, retain_graph=True)
        (wanted,) = torch.autograd.grad(loss(at_codes), at_codes)
        assert torch.equal(slope, wanted)
    (pull,) = torch.autograd.grad(found.commitment, x)
    torch.testing.assert_close(pull, 2 * (x - found.vectors).detach() / x.numel())


def test_codes_move_as_by_hand():
    """Three codes of one value, of which the last has no vector."""
    book = Codebook(3, 1, 0.9)
    book.codes.copy_(torch.tensor([[0.0], [10.0], [99.0]]))
    book.counts.copy_(torch.tensor([2.0, 1.0, 1.0]))
    book.sums.copy_(torch.tensor([[0.0], [10.0], [99.0]]))
    x = torch.tensor([1.0, 3.0, 11.0]).view(3, 1, 1, 1)
    book.update(x, book.nearest(x))
    counts = [0.9 * 2 + 0.1 * 2, 0.9 + 0.1, 0.9]
    sums = [0.1 * 4, 9 + 0.1 * 11, 0.9 * 99]
    total, tiny = sum(counts), 1e-5
    smooth = [(count + tiny) / (total + 3 * tiny) * total for count in counts]
    torch.testing.assert_close(book.counts, torch.tensor(counts))
    torch.testing.assert_close(book.sums[:, 0], torch.tensor(sums))
    wanted = torch.tensor([one / many for one, many in zip(sums, smooth, strict=True)])
    torch.testing.assert_close(book.codes[:, 0], wanted)


def test_codes_out_of_use_begin_anew():
    book, x = Codebook(4, 2, 0.9), torch.randn(3, 2, 2, 2)
    book.counts.copy_(torch.tensor([0.1, 5.0, 0.49, 0.5]))
    before = book.codes.clone()
    book.begin_anew(x, 0.5)
    rows = x.permute(0, 2, 3, 1).reshape(-1, 2)
    is_vector = (book.codes[:, None] == rows).all(dim=2).any(dim=1)
    assert is_vector.tolist() == [True, False, True, False]
    assert torch.equal(book.codes[[1, 3]], before[[1, 3]])
    assert book.counts.tolist() == [1, 5, 1, 0.5]


def test_perplexity_counts_the_codes_in_use():
    assert float(perplexity(torch.tensor([[3, 3], [3, 3]]), 8)) == pytest.approx(1)
    assert float(perplexity(torch.arange(5), 8)) == pytest.approx(5)
    assert 1 < float(perplexity(torch.tensor([0, 0, 0, 1]), 8)) < 2


@pytest.fixture(scope="module")
def trained():
    trainer = Trainer("vqvae2", SMOKE, plain_images())
    for _ in range(SMOKE.steps):
        terms = trainer.iterate()
    return trainer, terms


def test_smoke_learns(trained):
    trainer, terms = trained
    images = as_input(plain_images().images)
    model = trainer.averaged()
    error = (model.reconstruct(images) - images).square().mean()
    assert error < 0.75 * (images - images.mean(dim=0)).square().mean()
    # A code that says nothing of the others costs log2 of their number.
    assert terms["top/loss"] < 0.85 * math.log2(SMOKE.codes)
    assert terms["bottom/loss"] < 0.85 * math.log2(SMOKE.codes)
    drawn = sample(model, 8)
    assert drawn.shape == (8, 3, 32, 32)
    assert not torch.equal(drawn[0], drawn[1])


def test_codes_of_the_top_say_something_of_the_image(trained):
    """They would be where they are and nothing else if borders were zeros."""
    model, images = trained[0].averaged(), as_input(plain_images().images)
    top, _ = model.encode(images)
    at_one_place = [len(codes.unique()) for codes in top.flatten(1).T]
    assert min(at_one_place) >= 4


def test_vectors_are_of_deviation_one():
    model, images = VQVAE2(TINY), torch.rand(64, 3, 8, 8)
    bottom, top = model.encoder(images)
    low = model.encoder.join(bottom, model.top_codes(top).vectors)
    for vectors in (top, low):
        torch.testing.assert_close(vectors.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
        deviations = vectors.var(dim=(0, 2, 3), correction=0).sqrt()
        torch.testing.assert_close(deviations, torch.ones(3), atol=0.05, rtol=0)


def test_the_loss_has_the_commitment_of_both_maps():
    """With its weight, and gradients of its own in the encoder."""
    images, slopes, pulls = as_input(plain_images(24, 16).images), [], []
    for weight in (0.25, 2.0):
        torch.manual_seed(1)
        model, seen = VQVAE2(replace(TINY, size=16, commitment=weight)), []
        for part in (model.top_codes, model.bottom_codes, model.decoder):
            part.register_forward_hook(lambda _, given, y, seen=seen: seen.append((given[0], y)))
        loss = model.coder_terms({"images": images})["loss"]
        (*quantized, (_, decoded)) = seen
        top, bottom = ((x - found.vectors.detach()).square().mean() for x, found in quantized)
        assert min(top, bottom) > 0.05
        error = (decoded - images).square().mean()
        torch.testing.assert_close(loss, error + weight * (top + bottom))
        # Without biases: batch norm takes some of them away again.
        weights = [one for one in model.encoder.parameters() if one.dim() > 1]
        slopes.append(torch.autograd.grad(loss, weights, retain_graph=True))
        pulls.append(torch.autograd.grad(top + bottom, weights))
    for less, more, pull in zip(*slopes, pulls[0], strict=True):
        assert pull.abs().sum() > 0
        torch.testing.assert_close(more - less, 1.75 * pull, atol=1e-4, rtol=1e-3)


def test_the_second_stage_leaves_the_encoder_as_it_is():
    trainer = Trainer("vqvae2", TINY, plain_images(24, 8))
    trainer.iterate()
    before = {k: v.clone() for k, v in trainer.model.encoder.state_dict().items()}
    trainer.iterate()
    for key, value in trainer.model.encoder.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_what_is_decoded_are_codes(trained):
    """Decoding does not ask the encoder, and the codes of an image are all that it needs."""
    model, images = trained[0].averaged(), as_input(plain_images().images[:4])
    top, bottom = model.encode(images)
    assert top.shape == (4, 4, 4)
    assert bottom.shape == (4, 8, 8)
    wanted = model.reconstruct(images)
    for one in model.encoder.parameters():
        one.zero_()
    assert torch.equal(model.decode(top, bottom), wanted)
    assert not torch.equal(model.reconstruct(images), wanted)


def test_bottom_codes_are_near_what_they_change(trained):
    """A code of the bottom changes its surroundings alone, and the layout stays."""
    model, images = trained[0].averaged(), as_input(plain_images().images[:8])
    top, bottom = model.encode(images)
    other = bottom.clone()
    other[:, 0, 0] = (other[:, 0, 0] + 1) % SMOKE.codes
    changed = (model.decode(top, bottom) != model.decode(top, other)).any(dim=1).any(dim=0)
    assert changed[:4, :4].any()
    assert not changed[:, 24:].any()
    assert not changed[24:].any()


def test_the_layout_is_in_the_top_alone(trained):
    """With the bottom codes of other images the layout, means of eight by eight, stays."""
    model, images = trained[0].averaged(), as_input(plain_images().images)
    top, bottom = model.encode(images)
    own, mixed = (layout(model.decode(top, codes)) for codes in (bottom, bottom.roll(1, 0)))
    apart = (own - own.roll(1, 0)).square().mean()
    assert (mixed - own).square().mean() < 0.05 * apart
    assert (mixed - own.roll(1, 0)).square().mean() > 0.5 * apart


def layout(images):
    return F.avg_pool2d(images, 8)


def test_what_is_finer_has_no_mean_in_any_cell():
    x = torch.rand(2, 3, 8, 6)
    assert F.avg_pool2d(finer(x), 2).abs().max() < 1e-6
    torch.testing.assert_close(finer(x + 7), finer(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(finer(finer(x)), finer(x), atol=1e-6, rtol=0)


def test_priors_are_causal_and_see_what_they_are_given():
    model = VQVAE2(replace(TINY, size=32, classes=2)).eval()
    top, bottom = torch.randint(4, (1, 4, 4)), torch.randint(4, (1, 8, 8))
    label = torch.tensor([1])
    logits = model.bottom_prior(bottom, label, top)
    later = bottom.clone()
    later.flatten()[20:] = (later.flatten()[20:] + 1) % 4
    same = model.bottom_prior(later, label, top)
    assert torch.equal(logits.flatten(2)[..., :21], same.flatten(2)[..., :21])
    assert not torch.equal(logits, model.bottom_prior(bottom, label, (top + 1) % 4))
    assert not torch.equal(logits, model.bottom_prior(bottom, 1 - label, top))
    assert not torch.equal(model.top_prior(top, label, None), model.top_prior(top, 1 - label, None))


def test_drawn_codes_are_those_that_the_latents_pick():
    """The probabilities of the whole drawn maps say the same, place by place."""
    model = VQVAE2(replace(TINY, size=16, classes=2)).eval()
    latents, labels = model.latents(3), torch.tensor([0, 1, 0])
    assert latents.shape == (3, 20)
    top, bottom = model.drawn(latents, labels)
    given = (
        (model.top_prior, top, None, latents[:, :4]),
        (model.bottom_prior, bottom, top, latents[:, 4:]),
    )
    for prior, codes, above, uniform in given:
        odds = prior(codes, labels, above).softmax(dim=1).double().cumsum(dim=1).flatten(2)
        assert torch.equal(codes.flatten(1), (odds <= uniform[:, None]).sum(dim=1))


def test_the_second_stage_leaves_the_first_alone():
    trainer = Trainer(
        "vqvae2",
        replace(TINY, size=16, width=12, prior_width=8, ema=0.5, steps=60),
        plain_images(size=16),
    )
    first = ("encoder", "decoder", "top_codes", "bottom_codes")
    assert set(trainer.iterate()) >= {"coder/loss", "coder/top_perplexity"}
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    for _ in range(40):
        terms = trainer.iterate()
    assert {key.split("/")[0] for key in terms} == {"top", "bottom"}
    averaged = trainer.averaged().state_dict()
    for key, value in trainer.model.state_dict().items():
        assert torch.equal(value, before[key]) == key.startswith(first), key
        # The running average has come to where the first stage stands.
        if key.startswith(first):
            torch.testing.assert_close(averaged[key], value)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("classes", [0, 3])
def test_every_weight_moves(precision, classes):
    config = replace(TINY, size=16, width=12, codes=8, prior_width=8, classes=classes, batch=6)
    settings = Settings(precision=precision)
    trainer = Trainer("vqvae2", config, plain_images(size=16), settings=settings)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    for _ in range(3):
        terms = trainer.iterate()
        assert all(math.isfinite(value) for value in terms.values())
    after = trainer.model.state_dict()
    assert not [k for k, v in after.items() if torch.equal(v, before[k])]
    assert sample(trainer.averaged(), 3).shape == (3, 3, 16, 16)


def test_resumed_equals_uninterrupted(tmp_path):
    """Across the change of stages."""
    data = plain_images(24, size=8)
    train("vqvae2", replace(TINY, code_steps=2), data, tmp_path / "whole")
    train("vqvae2", replace(TINY, code_steps=2, steps=2), data, tmp_path / "parts")
    train("vqvae2", replace(TINY, code_steps=2), data, tmp_path / "parts")
    whole, parts = (Checkpoint.load(tmp_path / run / NAME) for run in ("whole", "parts"))
    assert whole.tensors.keys() == parts.tensors.keys()
    for key, tensor in whole.tensors.items():
        assert torch.equal(tensor, parts.tensors[key]), key
    drawn = sample(load_model(tmp_path / "parts"), 3)
    assert torch.equal(drawn, sample(load_model(tmp_path / "whole"), 3))


@pytest.mark.parametrize("up", UP)
def test_every_up_sampler_trains(up):
    model = VQVAE2(replace(SMOKE, up=up))
    model.coder_terms({"images": as_input(plain_images().images[:4])})["loss"].backward()
    for network in (model.encoder, model.decoder):
        for key, one in network.named_parameters():
            assert one.grad.isfinite().all(), key
            assert one.grad.abs().sum() > 0, key
    top, bottom = torch.randint(16, (2, 4, 4)), torch.randint(16, (2, 8, 8))
    images = model.decode(top, bottom)
    assert images.shape == (2, 3, 32, 32)
    assert images.abs().max() <= 1


def test_labels():
    model = VQVAE2(replace(TINY, classes=3)).eval()
    latents = model.latents(4)
    turns = model.draw(latents, labels=torch.tensor([0, 1, 2, 0]))
    assert torch.equal(model.draw(latents), turns)
    for given in ({"labels": 3}, {"labels": torch.tensor([0, 1, 2, -1])}):
        with pytest.raises(ValueError, match="from 0 to 2"):
            model.draw(latents, **given)
    with pytest.raises(ValueError, match="without classes"):
        VQVAE2(TINY).draw(latents, labels=1)
    with pytest.raises(ValueError, match="no labels"):
        model.top_terms({"images": torch.zeros(1, 3, 8, 8)})


@pytest.mark.parametrize(("field", "value"), HOSTILE)
def test_hostile_configurations_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        VQVAE2Config.from_dict({**preset("vqvae2").to_dict(), field: value})
