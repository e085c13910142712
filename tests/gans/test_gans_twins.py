"""Generators prepared for inference against their twins of `bench/twins.py`, on torch alone.

The benchmark of generators compares times of the two; here it is tested that their images are the
same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.utils.parametrize import type_before_parametrizations

from gandetect.gans import for_inference, model_class, preset

BENCH = Path(__file__).resolve().parents[2] / "bench"
LIMIT = 1e-5
GENERATORS = [("stylegan2", "fir"), ("stylegan2", "bilinear"), ("biggan", "nearest")]


def kinds(model):
    return {type_before_parametrizations(layer) for layer in model.generator.modules()}


@pytest.mark.parametrize(("name", "up"), GENERATORS)
def test_images_are_those_of_the_twin(name, up, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    from generators import drawing, trained_alike, twin
    from twins import PEERS

    model = model_class(name)(replace(preset(name, "run"), up=up)).requires_grad_(False)
    trained_alike(model)
    ours, theirs = for_inference(model), twin(model)
    assert kinds(model) & PEERS.keys()
    assert not kinds(theirs) & PEERS.keys()
    for count in (1, 16):
        latents = model.latents(count)
        wanted = drawing(theirs, latents)()
        assert wanted.std() > 0.1
        torch.testing.assert_close(drawing(ours, latents)(), wanted, atol=LIMIT, rtol=0)


def test_images_of_a_class_are_those_of_the_twin(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    from generators import trained_alike, twin

    model = model_class("biggan")(replace(preset("biggan", "run"), classes=3)).requires_grad_(False)
    trained_alike(model)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Embedding):
            torch.nn.init.normal_(layer.weight)
    latents, labels = model.latents(6), torch.arange(6) % 3
    ours, theirs = for_inference(model), twin(model)
    with torch.inference_mode():
        wanted, other = (theirs.draw(latents, labels=one) for one in (labels, labels.flip(0)))
        found = ours.draw(latents, labels=labels)
    assert (wanted - other).abs().max() > 0.1
    torch.testing.assert_close(found, wanted, atol=LIMIT, rtol=0)


def test_what_the_benchmark_times_is_what_is_tested(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import generators

    assert (generators.LIMIT, list(generators.GENERATORS)) == (LIMIT, GENERATORS)
    assert generators.COUNTS == (1, 16)
    for name, up in GENERATORS[::2]:
        assert preset(name, "run").up == up
