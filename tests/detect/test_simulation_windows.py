"""Means and extremes around each pixel are those of torch's pooling, at the borders, too."""

import pytest
import torch
from torch.nn import functional as F

from gandetect.detect.simulation.windows import highest, local_mean

SIZES = [(1, 1), (1, 7), (2, 3), (4, 64), (5, 5), (96, 97)]


@pytest.mark.parametrize("size", SIZES)
def test_means(size):
    x = torch.randn(3, *size)
    wanted = F.avg_pool2d(x.double(), 5, 1, 2, count_include_pad=False)
    torch.testing.assert_close(local_mean(x).double(), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_extremes(size):
    x = torch.randn(3, *size)
    assert torch.equal(highest(x), F.max_pool2d(x, 3, 1, 1))
    assert torch.equal(-highest(-x), -F.max_pool2d(-x, 3, 1, 1))
