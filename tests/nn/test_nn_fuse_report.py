"""The report and the repr name what was merged, and why something known was not."""

from __future__ import annotations

import torch
from nn_generators import dcgan
from torch import nn

from gandetect import nn as gnn


def test_every_merged_layer_is_named_with_its_sources(capsys):
    fused = gnn.fuse(dcgan(), verbose=True)
    lines = gnn.fusion_report(fused).splitlines()
    assert capsys.readouterr().out.splitlines() == lines
    assert len(lines) == 5
    assert lines[0] == ("0: PrepackedConvTranspose2d from ConvTranspose2d 0, BatchNorm2d 1, ReLU 2")
    assert "fused_from=[ConvTranspose2d 12, Tanh 13]" in repr(fused)


def test_what_was_left_has_its_reason():
    hooked = nn.ConvTranspose2d(4, 4, 4)
    hooked.register_forward_hook(lambda *_: None)
    module = nn.Sequential(hooked, nn.Upsample(scale_factor=2), nn.ReLU())
    module.add_module("low", nn.ConvTranspose2d(4, 4, 4, dtype=torch.float16))
    report = gnn.fusion_report(gnn.fuse(module))
    assert "0: ConvTranspose2d left as it is (it has hooks)" in report
    assert "1: Upsample left as it is (no convolution of zero padding next to it)" in report
    assert "low: ConvTranspose2d left as it is (it holds torch.float16)" in report


def test_nothing_to_fuse(capsys):
    gnn.fuse(nn.Linear(2, 2), verbose=True)
    assert capsys.readouterr().out == "nothing to fuse\n"
