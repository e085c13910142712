"""A copy for inference draws the images of its model, which it leaves as it was."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from gandetect.gans import MODELS, model_class, preset
from gandetect.gans.inference import for_inference

IMAGES = {"stylegan2": 1e-5, "biggan": 1e-5}
OTHERS = 2e-5


def a_model(name, **changes):
    """With weights none of which is zero, and norms that saw a batch."""
    torch.manual_seed(0)
    config = replace(preset(name, "smoke"), **changes)
    model = model_class(name)(config).requires_grad_(False)
    for one in model.parameters():
        if one.eq(0).all():
            one.add_(0.1 * torch.randn(one.shape))
    model.train()
    drawn(model, 16)
    return model.eval()


def drawn(model, count=3):
    torch.manual_seed(1)
    config, latents = model.config, model.latents(count)
    shape = (count, config.size, config.size)
    asked = {
        "domains": {"sources": torch.rand(count, config.channels, *shape[1:])},
        "pairs": {"sources": torch.rand(count, getattr(config, "sources", 3), *shape[1:])},
        "maps": {"maps": torch.randint(0, 4, shape)},
        "counts": {"counts": torch.ones(count, 3, dtype=torch.long)},
    }
    with torch.inference_mode():
        return model.draw(latents, **asked.get(model.learns_from, {}))


@pytest.mark.parametrize("name", MODELS)
def test_it_draws_the_same_and_leaves_the_model_as_it_was(name):
    model = a_model(name)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    kinds = [type(layer) for layer in model.modules()]
    expected, fast = drawn(model), for_inference(model)
    assert expected.std() > 1e-3
    torch.testing.assert_close(drawn(fast), expected, atol=IMAGES.get(name, OTHERS), rtol=0)
    assert torch.equal(drawn(model), expected)
    assert [type(layer) for layer in model.modules()] == kinds
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    draws = [getattr(fast, one) for one in fast.drawn_from]
    assert not any("parametrizations" in key for one in draws for key in one.state_dict())


def test_a_model_that_was_copied_still_trains():
    model = a_model("biggan").requires_grad_(True)
    for_inference(model)
    model.train()
    model.generator_terms({"images": torch.zeros(2, 3, 32, 32)})["loss"].backward()
    assert all(one.grad is not None for one in model.generator.parameters())


def test_what_changes_with_the_step_is_kept():
    model = a_model("progan")
    model.at_step(0)
    early = drawn(model)
    model.at_step(model.config.steps)
    assert not torch.equal(drawn(model), early)
    torch.testing.assert_close(drawn(for_inference(model)), drawn(model), atol=OTHERS, rtol=0)


def test_only_convolutions_without_instance_norms_change_their_layout():
    last = {"memory_format": torch.channels_last}
    for name, changes, wanted in (
        ("biggan", {}, True),
        ("cyclegan", {"norm": "layer"}, True),
        ("cyclegan", {"norm": "instance"}, False),
    ):
        fast = for_inference(a_model(name, **changes))
        network = getattr(fast, fast.drawn_from[0])
        layers = [one for one in network.modules() if type(one) is nn.Conv2d]
        wide = [one for one in layers if one.kernel_size != (1, 1) and one.in_channels > 1]
        assert wide
        assert all(one.weight.is_contiguous(**last) is wanted for one in wide), name
