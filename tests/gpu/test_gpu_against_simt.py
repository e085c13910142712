"""What the GPU computes beside what the same sources compute on the CPU, thread by thread.

Where the GPU is wrong and the emulation is not, the kernels' logic is not to blame. Without a GPU
the CPU ops stand in for it, which proves the comparison.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from ops_oracle import compare_results, on
from ops_table import ALL_OPS, as_tuple
from simt_build import session_builder
from simt_glue import load_glue

from gandetect.ops import _upsampling_cuda

# On CUDA torch's own convolution serves it.
WITHOUT_KERNEL = "conv_transpose2d_adjoint"
OPS = [case for case in ALL_OPS if case.name != WITHOUT_KERNEL]


class Emulated:
    """The ops over the emulated kernels; convolutions, which torch's libraries begin, as well."""

    def __init__(self, glue) -> None:
        self.glue = glue

    def __call__(self, name: str, *arguments):
        function = getattr(_upsampling_cuda, name, None)
        if function is None:
            return getattr(self.glue, name)(*arguments)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_upsampling_cuda, "ops", self.glue)
            return function(*arguments)


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    return Emulated(load_glue(session_builder(tmp_path_factory)))


def pairs(case, device: str, emulated):
    """Calls and what both made of them: all on a GPU, some where it has a stand-in."""
    samples = case.samples(torch.float64)
    for arguments in itertools.islice(samples, 0, None, 1 if device == "cuda" else 7):
        actual = as_tuple(case.op(*on(device, arguments)))
        yield arguments, actual, as_tuple(emulated(case.name, *arguments))


@pytest.mark.parametrize("case", OPS, ids=str)
def test_results_are_those_of_the_emulation(case, device, emulated):
    compared = 0
    for arguments, actual, wanted in pairs(case, device, emulated):
        compare_results(case, arguments, actual, wanted, torch.float64)
        compared += 1
    assert compared >= 5


@pytest.mark.parametrize("case", OPS, ids=str)
def test_a_small_difference_is_seen(case, device, emulated):
    for arguments, actual, wanted in itertools.islice(pairs(case, device, emulated), 4):
        for i, result in enumerate(actual):
            if not result.abs().max() > 0:
                continue
            wrong = [r.clone() for r in actual]
            wrong[i].view(-1)[int(result.abs().argmax())] *= 1 + 1e-8
            with pytest.raises(AssertionError, match="elements are off"):
                compare_results(case, arguments, tuple(wrong), wanted, torch.float64)
