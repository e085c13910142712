"""The up-sampling ops give the same bits for any number of threads, on every run."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from upsampling_cases import Draw
from upsampling_oracle import Call

from gandetect.ops import _ext

pytestmark = pytest.mark.skipif(not _ext.available(), reason="the kernels are not compiled")


def calls():
    """Large enough to be shared out, over images, over channels and over rows."""
    draw = Draw(70, torch.float32)
    geometry = {"stride": 2, "padding": 1, "activation": "relu"}
    for n, fan, out, side in (
        (1, 64, 96, 4),
        (5, 32, 48, 8),
        (3, 33, 31, 13),
        (2, 64, 3, 32),
        (1, 16, 3, 64),
    ):
        weight = draw.weight(fan, out, 4, 4, inputs=fan)
        yield Call("conv_transpose2d", (draw(n, fan, side, side), weight, draw(out)), geometry)
    first = draw.weight(100, 128, 4, 4, inputs=100)
    yield Call("conv_transpose2d", (draw(7, 100, 1, 1), first, draw(128)), {"activation": "relu"})
    odd = draw.weight(20, 17, 5, 3, inputs=20)
    yield Call("conv_transpose2d", (draw(2, 20, 19, 23), odd), {"stride": (3, 2)})
    kernel = draw.weight(40, 32, 3, 3, inputs=32)
    for mode in ("nearest", "bilinear", "bicubic", "bed_of_nails"):
        for n, side in ((1, 31), (5, 8)):
            options = {"mode": mode, "padding": 1, "activation": "tanh"}
            yield Call("upsample_conv2d", (draw(n, 32, side, side), kernel, draw(40)), options)
    yield Call("bed_of_nails", (draw(3, 20, 70, 61), 2), {"bias": draw(20), "activation": "tanh"})
    yield Call("pixel_shuffle", (draw(3, 40, 70, 61), 2), {"bias": draw(40)})
    x, indices = F.max_pool2d(draw(3, 20, 120, 90), 2, return_indices=True)
    yield Call("max_unpool2d", (x, indices, 2), {"activation": "sigmoid"})


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("call", [*calls()], ids=lambda call: str(call)[:60])
def test_bits_do_not_depend_on_threads(call, layout, threads):
    x = call.x.contiguous(memory_format=layout)
    call = Call(call.name, (x, *call.arguments[1:]), call.options)
    threads(1)
    wanted = call.ours()
    for count in (1, 2, 3, 5):
        threads(count)
        for run in range(3):
            actual = call.ours()
            places = (actual != wanted).nonzero().tolist()
            assert not places, f"{count} threads, run {run}: {places[:3]} differ in {call}"


def test_they_are_among_the_deterministic_algorithms(threads):
    wanted = [call.ours() for call in calls()]
    torch.use_deterministic_algorithms(True)
    for call, w in zip(calls(), wanted, strict=True):
        assert torch.equal(call.ours(), w), call
