"""What `fuse` does not recognize it copies as it is, and it still computes the same."""

from __future__ import annotations

import pytest
import torch
from nn_generators import exact_output, relative_error, settled
from torch import nn
from torch.nn.utils import parametrize

from gandetect import nn as gnn


def transposed(**options):
    return nn.ConvTranspose2d(4, 4, 4, 2, 1, **options)


class Subclass(nn.ConvTranspose2d):
    def forward(self, x, output_size=None):
        return 2 * super().forward(x)


class Halved(nn.Module):
    def forward(self, weight):
        return weight / 2


def hooked():
    layer = transposed()
    layer.register_forward_hook(lambda module, arguments, output: output + 1)
    return nn.Sequential(layer, nn.ReLU())


def hooked_before():
    layer = transposed()
    layer.register_forward_pre_hook(lambda module, arguments: (arguments[0] + 1,))
    return nn.Sequential(layer, nn.ReLU())


def replaced_forward():
    layer = transposed()
    layer.forward = lambda x: torch.cat([x, x], 2)
    return nn.Sequential(layer, nn.ReLU())


def used_twice():
    layer = transposed()
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Tanh())


def tied():
    first, second = transposed(), transposed()
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


def parametrized():
    layer = transposed()
    parametrize.register_parametrization(layer, "weight", Halved())
    return nn.Sequential(layer, nn.ReLU())


def repeated_block():
    block = nn.Sequential(transposed(), nn.ReLU())
    return nn.Sequential(block, block)


ALONE = {
    "hook": hooked,
    "hook_before": hooked_before,
    "forward": replaced_forward,
    "subclass": lambda: nn.Sequential(Subclass(4, 4, 3), nn.ReLU()),
    "used_twice": used_twice,
    "tied": tied,
    "parametrized": parametrized,
    "repeated_block": repeated_block,
    "nearest_exact": lambda: nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest-exact"), nn.Conv2d(4, 4, 3)
    ),
    "recomputed_scale": lambda: nn.Sequential(
        nn.Upsample(scale_factor=1.7, mode="bilinear", recompute_scale_factor=True),
        nn.Conv2d(4, 4, 3),
    ),
    "padding_mode": lambda: nn.Sequential(
        nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
    ),
    "pad_between": lambda: nn.Sequential(
        nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(4, 4, 3)
    ),
    "convolution": lambda: nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
    "elsewhere": lambda: nn.ModuleList([nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3)]),
}


@pytest.mark.parametrize("name", ALONE)
def test_left_alone(name):
    module = settled(ALONE[name]()).eval()
    fused = gnn.fuse(module)
    assert repr(fused) == repr(module)
    if name != "elsewhere":
        x = torch.randn(2, 4, 5, 5)
        assert torch.equal(fused(x), module(x))


def test_tied_weights_stay_tied():
    fused = gnn.fuse(tied())
    assert fused[0].weight is fused[2].weight


def test_a_hooked_sequential_keeps_its_children():
    module = nn.Sequential(transposed(), nn.ReLU(), nn.Dropout())
    module.register_forward_hook(lambda *_: None)
    assert [type(layer) for layer in gnn.fuse(module)[1:]] == [nn.ReLU, nn.Dropout]


def test_a_norm_over_the_batch_is_not_folded():
    """Without running statistics it computes them in eval mode too."""
    module = nn.Sequential(transposed(), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU())
    fused, x = gnn.fuse(module), torch.randn(2, 4, 5, 5)
    assert [type(layer) for layer in fused[1:]] == [nn.BatchNorm2d, nn.ReLU]
    assert relative_error(fused(x), exact_output(module, x)) < 2e-6


def test_a_norm_that_stays_in_training_is_not_folded():
    module = nn.Sequential(transposed(), nn.BatchNorm2d(4), nn.ReLU())
    module[1].train = lambda mode=True: module[1]
    assert [type(layer) for layer in gnn.fuse(module)[1:]] == [nn.BatchNorm2d, nn.ReLU]


def test_half_is_left_to_torch():
    module = nn.Sequential(transposed(), nn.BatchNorm2d(4), nn.ReLU()).half()
    assert repr(gnn.fuse(module)) == repr(module)


def test_an_activation_that_all_share_is_merged():
    """It holds nothing that could be shared wrongly."""
    ending = nn.ReLU()
    module = nn.Sequential(transposed(), ending, transposed(), ending)
    fused, x = gnn.fuse(module), torch.randn(2, 4, 5, 5)
    assert len(fused) == 2
    assert relative_error(fused(x), exact_output(module, x)) < 2e-6


def test_an_activation_twice_is_merged_once():
    module = nn.Sequential(gnn.ConvTranspose2d(4, 4, 3, activation="tanh"), nn.Sigmoid())
    fused, x = gnn.fuse(module), torch.randn(2, 4, 5, 5)
    assert type(fused[1]) is nn.Sigmoid
    assert relative_error(fused(x), exact_output(module, x)) < 2e-6


def test_a_layer_held_by_a_module_of_ones_own_is_merged_alone():
    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.norm = transposed(), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.up(x, output_size=[10, 10])).relu()

    module, x = settled(Generator()), torch.randn(2, 4, 5, 5)
    fused = gnn.fuse(module)
    assert type(fused.up) is gnn.PrepackedConvTranspose2d
    assert type(fused.norm) is nn.BatchNorm2d
    assert relative_error(fused(x), exact_output(module, x)) < 2e-6
