"""What the GPU computes beside what the same kernels computed on the CPU, thread by thread.

The comparison itself is tried here without a GPU: the ops on the CPU stand in for it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ops_table import AZIMUTHAL_AVERAGE, AZIMUTHAL_SPREAD
from simt_build import Builder, Simt

DEVICES = [
    pytest.param("cpu", id="cpu stands in"),
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU"),
        ],
    ),
]


@pytest.fixture(scope="module")
def simt(tmp_path_factory) -> Simt:
    return Simt(Builder(tmp_path_factory.mktemp("simt")).library())


def compare(device: str, samples, op, emulated) -> None:
    compared = 0
    for first, *rest in samples:
        there = [a.to(device) if isinstance(a, torch.Tensor) else a for a in (first, *rest)]
        actual = op(*there).cpu().numpy()
        wanted = emulated(
            *(a.numpy() if isinstance(a, torch.Tensor) else a for a in (first, *rest))
        )
        np.testing.assert_allclose(actual, wanted, rtol=1e-12, atol=1e-13)
        compared += 1
    assert compared > 10


@pytest.mark.parametrize("device", DEVICES)
def test_averages(device, simt):
    def emulated(plane, maps, inverse_counts, width, folded):
        wanted = (True, False, False, False)
        return simt.means(plane, maps, inverse_counts, width, folded, wanted=wanted)[0]

    samples = list(AZIMUTHAL_AVERAGE.samples(torch.float64))
    compare(device, samples, AZIMUTHAL_AVERAGE.op, emulated)


@pytest.mark.parametrize("device", DEVICES)
def test_spreads(device, simt):
    samples = list(AZIMUTHAL_SPREAD.samples(torch.float64))
    compare(device, samples, AZIMUTHAL_SPREAD.op, simt.spread)
