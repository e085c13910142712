"""Kernels against the float64 reference: every op, value mode, convention, dtype; and a fuzz."""

from __future__ import annotations

import pytest
import torch
from ops_oracle import compare, is_exact_enough, random_calls
from ops_table import ALL_OPS, SPECTRAL_MEANS


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.uint8])
@pytest.mark.parametrize("case", ALL_OPS, ids=str)
def test_matches_reference(case, dtype):
    if dtype == torch.uint8 and case is not SPECTRAL_MEANS:
        pytest.skip("planes are floating")
    compared = 0
    for arguments in case.samples(dtype):
        if not is_exact_enough(case, arguments, dtype):
            continue
        compare(case, arguments, dtype)
        compared += 1
    assert compared > 20


def test_fuzz_of_shapes_strides_and_arguments():
    """700 random calls; layouts include slices, transposes, channels-last and expanded batches."""
    for arguments, dtype in random_calls(700):
        compare(SPECTRAL_MEANS, arguments, dtype)
