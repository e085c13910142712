"""`fuse` leaves its argument and the random numbers alone; its copy is ready for inference."""

from __future__ import annotations

import torch
from nn_generators import dcgan, resnet, settled
from torch import nn

from gandetect import nn as gnn


def test_the_original_is_as_it_was():
    generator = settled(resnet("nearest")).train()
    text = repr(generator)
    state = {key: value.clone() for key, value in generator.state_dict().items()}
    fused = gnn.fuse(generator)
    with torch.no_grad():
        for tensor in (*fused.parameters(), *fused.buffers()):
            tensor.zero_()
    assert repr(generator) == text
    assert all(torch.equal(value, state[key]) for key, value in generator.state_dict().items())
    assert all(module.training for module in generator.modules())
    assert all(parameter.requires_grad for parameter in generator.parameters())


def test_the_copy_is_in_eval_mode_without_gradients():
    fused = gnn.fuse(settled(dcgan()).train())
    assert not any(module.training for module in fused.modules())
    assert not any(parameter.requires_grad for parameter in fused.parameters())


def test_random_numbers_are_not_drawn():
    generator = settled(dcgan())
    before = torch.get_rng_state()
    gnn.fuse(generator)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_keep_their_names():
    fused = gnn.fuse(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3), nn.ReLU()))
    assert list(fused.state_dict()) == ["1.weight", "1.bias"]


def test_positions_are_kept_in_the_sequential_of_a_module_of_ones_own():
    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = settled(dcgan())

        def forward(self, x):
            return self.main[3:](self.main[:3](x))

    generator, x = Generator().eval(), torch.randn(2, 100, 1, 1)
    fused = gnn.fuse(generator)
    assert len(fused.main) == len(generator.main)
    torch.testing.assert_close(fused(x), generator(x))
