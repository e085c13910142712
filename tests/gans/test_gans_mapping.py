"""The mapping network: its running mean, truncation, and the mixing of two styles."""

import pytest
import torch

from gandetect.gans.mapping import Mapping, for_layers, mixed


def test_latents_of_any_length_give_the_same_styles():
    mapping = Mapping(6, 5, 3).eval()
    z = torch.randn(4, 6)
    torch.testing.assert_close(mapping(z), mapping(9 * z))


def test_the_running_mean_follows_training_alone():
    mapping, z = Mapping(6, 5, 2, decay=0.9), torch.randn(8, 6)
    mapping.eval()(z)
    assert mapping.mean.eq(0).all()
    center = mapping.train()(z).mean(dim=0)
    torch.testing.assert_close(mapping.mean, 0.1 * center)
    mapping(z)
    torch.testing.assert_close(mapping.mean, 0.19 * center)
    assert not mapping.mean.requires_grad


def test_truncation_goes_from_the_mean_to_the_styles():
    mapping, w = Mapping(6, 5, 2), torch.randn(4, 5)
    mapping.mean.normal_()
    assert mapping.truncated(w, 1) is w
    torch.testing.assert_close(mapping.truncated(w, 0), mapping.mean.expand(4, 5))
    wanted = mapping.mean + 0.7 * (w - mapping.mean)
    torch.testing.assert_close(mapping.truncated(w, 0.7), wanted)


def test_what_is_given_besides_reaches_every_layer():
    mapping = Mapping(6, 5, 3, extra=2).eval()
    assert [one.in_features for one in mapping.layers] == [8, 7, 7]
    z, counts = torch.randn(4, 6), torch.zeros(4, 2)
    before = mapping(z, counts)
    for layer in mapping.layers[:-1]:
        layer.register_forward_hook(lambda module, given, y: torch.zeros_like(y))
    silent = mapping(z, counts)
    assert not torch.equal(silent, before)
    assert not torch.equal(mapping(z, counts + 1), silent)


def test_a_share_of_the_images_has_two_styles():
    first, second = (for_layers(torch.full((4000, 1), value), 6) for value in (0.0, 1.0))
    w = mixed(first, second, 0.9)[:, :, 0]
    assert w[:, 0].eq(0).all()
    assert (w[:, 1:] >= w[:, :-1]).all()
    counts = w.sum(dim=1).long().bincount(minlength=6) / len(w)
    assert counts.tolist() == pytest.approx([0.1, *[0.18] * 5], abs=0.03)


def test_without_mixing_there_is_one_style():
    first, second = for_layers(torch.zeros(50, 2), 6), for_layers(torch.ones(50, 2), 6)
    assert torch.equal(mixed(first, second, 0), first)
