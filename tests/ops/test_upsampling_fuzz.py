"""Random calls of the up-sampling functions: what torch takes gives what torch gives, the rest
raises.

Shapes, types, layouts and every argument meet at random; all is fixed by the seeds.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from upsampling_calls import CALLS, DTYPES, pick
from upsampling_oracle import TOLERANCE, Call, assert_agree

from gandetect import ops

REFUSALS = (ValueError, TypeError, RuntimeError)
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
# Calls in a share, and shares: 12,000 calls in all.
SHARES = {
    "bed_of_nails": (400, 3),
    "pixel_shuffle": (400, 3),
    "conv_transpose2d": (750, 5),
    "upsample_conv2d": (750, 6),
    "max_unpool2d": (450, 3),
}
# Without an activation these move values and round nothing.
EXACT = ("bed_of_nails", "pixel_shuffle", "max_unpool2d")


def is_channels_last(t: torch.Tensor) -> bool:
    return not t.is_contiguous() and t.is_contiguous(memory_format=torch.channels_last)


def check(call: Call) -> bool:
    """Compares the call with torch's; returns whether torch takes it."""
    try:
        wanted = call.torchs()
    except Exception:
        try:
            shape = tuple(call.ours().shape)
        except REFUSALS:
            return False
        raise AssertionError(f"torch refuses it, but the result is {shape}: {call}") from None
    try:
        actual = call.ours()
    except REFUSALS as error:
        if is_checked_by_torch_with_images_only(call):
            return False
        raise AssertionError(f"torch takes it, but {error!r} was raised: {call}") from error
    assert actual.dtype == wanted.dtype, f"{actual.dtype}, wanted {wanted.dtype}: {call}"
    is_exact = call.name in EXACT and call.options.get("activation", "none") in ("none", "relu")
    assert_agree(actual, wanted, 0 if is_exact else TOLERANCE[wanted.dtype], call)
    if call.x.dim() == 4 and is_channels_last(call.x):
        is_last = actual.is_contiguous(memory_format=torch.channels_last)
        assert is_last, f"x is channels_last, the result {actual.stride()}: {call}"
    return True


def is_checked_by_torch_with_images_only(call: Call) -> bool:
    """An empty batch passes some of torch's checks that one image does not."""
    if call.x.numel():
        return False
    x = call.x.new_ones(1, *call.x.shape[1:])
    try:
        Call(call.name, (x, *call.arguments[1:]), call.options).torchs()
    except Exception:
        return True
    return False


@pytest.mark.parametrize(
    ("name", "share"),
    [(name, share) for name, (_, shares) in SHARES.items() for share in range(shares)],
)
def test_random_calls(name, share):
    random = np.random.default_rng([30, *name.encode(), share])
    count = SHARES[name][0]
    taken = sum(check(CALLS[name](random, pick(random, *DTYPES))) for _ in range(count))
    assert 0.6 * count < taken < count, f"torch takes {taken} of {count} calls"


def test_a_kernel_that_misses_the_image_in_bfloat16():
    """torch's own convolution ends the process here on CPUs with AMX."""
    x = torch.ones(2, 3, 1, 7, dtype=torch.bfloat16)
    weight, bias = x.new_ones(5, 3, 4, 3), x.new_ones(5)
    found = ops.upsample_conv2d(x, weight, bias, mode="nearest", padding=4, dilation=3)
    assert torch.equal(found, x.new_ones(2, 5, 1, 16))
    with pytest.raises(REFUSALS):
        ops.upsample_conv2d(x, weight.float(), padding=4, dilation=3)
