"""The last up-sampling may differ from the others, in models whose own tests have none of it."""

from dataclasses import replace

import pytest

from gandetect.gans import model_class, preset
from gandetect.nn import ConvTranspose2d


def made(name, up, last):
    return model_class(name)(replace(preset(name, "smoke"), up=up, up_last=last))


def transposed(model):
    return sum(isinstance(one, ConvTranspose2d) for one in model.modules())


@pytest.mark.parametrize("name", ["stylegan", "vqvae2"])
def test_the_last_alone_may_be_a_transposed_convolution(name):
    assert transposed(made(name, "bilinear", None)) == 0
    assert transposed(made(name, "bilinear", "conv_transpose")) == 1
    assert transposed(made(name, "conv_transpose", None)) > 1


def test_mc2_stylegan2_has_it_from_stylegan2():
    blocks = made("mc2-stylegan2", "bilinear", "conv_transpose").generator.synthesis.blocks
    ups = ["bilinear"] * (len(blocks) - 1) + ["conv_transpose"]
    assert len(blocks) > 1
    assert [one.enlarge.conv.up for one in blocks] == [one.skip.up for one in blocks] == ups
