"""Weight and spectral norms of merged layers, of either of torch's kinds, are computed once."""

from __future__ import annotations

import pytest
import torch
from nn_generators import exact_output, relative_error, settled
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from gandetect import nn as gnn

NORMS = {
    "weight": parametrizations.weight_norm,
    "spectral": parametrizations.spectral_norm,
    "old_weight": nn.utils.weight_norm,
    "old_spectral": nn.utils.spectral_norm,
}


def has_norm(layer):
    return parametrize.is_parametrized(layer) or bool(layer._forward_pre_hooks)


@pytest.mark.parametrize("after_training", [False, True])
@pytest.mark.parametrize("name", NORMS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_baked(name, after_training):
    module = nn.Sequential(
        NORMS[name](nn.ConvTranspose2d(4, 6, 4, 2, 1)),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        NORMS[name](nn.Conv2d(6, 4, 3)),
        NORMS[name](nn.Conv2d(4, 16, 3)),
        nn.PixelShuffle(2),
    )
    x = torch.randn(2, 4, 5, 5)
    if after_training:
        module(x).sum().backward()
    settled(module.eval())
    fused = gnn.fuse(module)
    assert len(fused) == 3
    for layer in fused:
        assert not has_norm(layer)
        assert set(layer.state_dict()) == {"weight", "bias"}
    with torch.no_grad():
        assert relative_error(fused(x), module(x)) < 2e-6
    assert all(has_norm(module[i]) for i in (0, 4, 5))


def test_layers_that_are_not_merged_keep_theirs():
    module = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), nn.ReLU())
    fused, x = gnn.fuse(module), torch.randn(2, 4, 5, 5)
    assert parametrize.is_parametrized(fused[0])
    assert relative_error(fused(x), exact_output(module, x)) < 2e-6
