"""Weights that change: a packed copy in a cache must never outlive the values it was made of.

Whatever way a weight is written, the next call computes with the new values. Without the compiled
module nothing is packed and nothing can go stale, so the same tests hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from upsampling_cases import Draw
from upsampling_oracle import PROMISED, TOLERANCE, Call, assert_agree

from gandetect import ops
from gandetect.ops import _ext

needs_module = pytest.mark.skipif(not _ext.available(), reason="nothing is packed without it")


@dataclass(frozen=True)
class Layer:
    """One way that a kernel takes: its own layout of packed weights."""

    name: str
    function: str
    x: tuple[int, ...]
    weight: tuple[int, ...]
    options: dict[str, Any]

    def __str__(self) -> str:
        return self.name

    def input(self) -> Tensor:
        return Draw(80, torch.float32)(*self.x)

    def values(self, seed: int = 81) -> Tensor:
        return Draw(seed, torch.float32)(*self.weight) / 8

    def call(self, weight: Tensor, **options: Any) -> Tensor:
        return Call(self.function, (self.input(), weight), {**self.options, **options}).ours()

    def check(self, weight: Tensor, what: str) -> None:
        """The call against torch's, twice: the second may come from the cache."""
        wanted = Call(self.function, (self.input(), weight.detach()), self.options).torchs()
        for turn in ("first", "second"):
            actual = self.call(weight)
            assert_agree(actual, wanted, TOLERANCE[torch.float32], f"{turn} call after {what}")

    def pack(self, weight: Tensor) -> Tensor:
        if self.function == "upsample_conv2d":
            return ops.pack_upsample_conv2d(weight, mode=self.options.get("mode", "nearest"))
        geometry = {k: v for k, v in self.options.items() if k in ("stride", "padding", "dilation")}
        return ops.pack_conv_transpose2d(weight, **geometry)


DCGAN = {"stride": 2, "padding": 1}
LAYERS = (
    Layer("winograd", "conv_transpose2d", (2, 32, 8, 8), (32, 32, 4, 4), DCGAN),
    Layer("few tiles", "conv_transpose2d", (1, 32, 4, 4), (32, 48, 4, 4), DCGAN),
    Layer("few outputs", "conv_transpose2d", (1, 32, 16, 16), (32, 3, 4, 4), DCGAN),
    Layer("first layer", "conv_transpose2d", (2, 50, 1, 1), (50, 32, 4, 4), {}),
    Layer("phases", "conv_transpose2d", (1, 7, 5, 6), (7, 9, 5, 3), {"stride": (3, 2)}),
    Layer("nearest", "upsample_conv2d", (2, 16, 8, 8), (32, 16, 3, 3), {"padding": 1}),
    Layer("bilinear", "upsample_conv2d", (1, 9, 5, 6), (7, 9, 3, 3), {"mode": "bilinear"}),
    Layer("nails", "upsample_conv2d", (1, 16, 8, 8), (16, 16, 3, 3), {"mode": "bed_of_nails"}),
)
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=str)


def in_place(w: Tensor, new: Tensor) -> None:
    with torch.no_grad():
        w.copy_(new)


def through_data(w: Tensor, new: Tensor) -> None:
    w.data.copy_(new)


def items_of_data(w: Tensor, new: Tensor) -> None:
    w.data[...] = new


def one_item_of_data(w: Tensor, new: Tensor) -> None:
    w.data[-1, -1, -1, -1] = new[0, 0, 0, 0] + 1


def optimizer_step(w: Tensor, new: Tensor) -> None:
    w.grad = (w - new).detach()
    torch.optim.SGD([w], lr=1.0).step()


def fused_optimizer_step(w: Tensor, new: Tensor) -> None:
    w.grad = new.detach().clone()
    torch.optim.Adam([w], lr=0.1, fused=True).step()


def numpy_view(w: Tensor, new: Tensor) -> None:
    w.detach().numpy()[...] = new.numpy()


def memory_alias(w: Tensor, new: Tensor) -> None:
    alias = torch.from_dlpack(w.detach())
    alias.copy_(new)


def untracked_storage(w: Tensor, new: Tensor) -> None:
    torch.frombuffer(memoryview(w.detach().numpy()), dtype=torch.float32).copy_(new.flatten())


def swapped_data(w: Tensor, new: Tensor) -> None:
    w.data = new.clone()


def under_inference_mode(w: Tensor, new: Tensor) -> None:
    with torch.inference_mode():
        w.detach().copy_(new)


def swapped_values(w: Tensor, new: Tensor) -> None:
    """Sums, norms and sets of values stay as they were."""
    w.data.copy_(w.data.flip(0, 1).clone())


def one_sign(w: Tensor, new: Tensor) -> None:
    middle = w.data.view(-1)[w.numel() // 2 :][:1]
    middle.neg_()


def copied_state(w: Tensor, new: Tensor) -> None:
    module = torch.nn.ParameterDict({"w": w})
    module.load_state_dict({"w": new})


CHANGES: tuple[Callable[[Tensor, Tensor], None], ...] = (
    in_place,
    through_data,
    items_of_data,
    one_item_of_data,
    optimizer_step,
    fused_optimizer_step,
    numpy_view,
    memory_alias,
    untracked_storage,
    swapped_data,
    under_inference_mode,
    swapped_values,
    one_sign,
    copied_state,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
@every_layer
def test_no_change_is_missed(layer, change):
    weight = torch.nn.Parameter(layer.values())
    layer.check(weight, "nothing")
    before = layer.call(weight)
    change(weight, layer.values(82))
    assert not torch.equal(layer.call(weight), before), f"{change.__name__} changed nothing"
    layer.check(weight, change.__name__)
    change(weight, layer.values(83))
    layer.check(weight, f"{change.__name__}, again")


@pytest.mark.parametrize("grad", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@every_layer
def test_calls_in_every_mode_see_changes(layer, grad):
    with grad():
        weight = layer.values()
        layer.check(weight, "nothing")
        weight.data.copy_(layer.values(82))
        layer.check(weight, f"a change under {grad.__name__}")


@every_layer
def test_each_element_counts(layer):
    """A comparison of some of the values would miss most of these."""
    weight = layer.values()
    random = torch.Generator().manual_seed(84)
    for _ in range(40):
        at = int(torch.randint(weight.numel(), (1,), generator=random))
        weight.view(-1)[at] += 1
        wanted = Call(layer.function, (layer.input(), weight), layer.options).torchs()
        assert_agree(layer.call(weight), wanted, TOLERANCE[torch.float32], f"element {at}")


@every_layer
def test_the_smallest_change_is_seen(layer):
    """The last bit of one value, beside a fresh tensor of the same values."""
    weight = layer.values()
    layer.call(weight)
    weight.view(torch.int32).view(-1)[weight.numel() // 3] ^= 1 << 12
    assert torch.equal(layer.call(weight), layer.call(weight.clone()))


@every_layer
def test_a_weight_at_the_address_of_one_that_was_freed(layer):
    for seed in range(90, 102):
        weight = layer.values(seed)
        layer.check(weight, f"weight {seed} at {weight.data_ptr():#x}")
        del weight
    # The same address for certain: one memory, taken by one tensor after the other.
    memory = bytearray(4 * layer.values().numel())
    for seed in range(102, 106):
        weight = torch.frombuffer(memory, dtype=torch.float32).view(layer.weight)
        weight.copy_(layer.values(seed))
        layer.check(weight, f"weight {seed} in the same memory")
        del weight


def test_one_memory_seen_as_two_shapes():
    """The same bytes at the same address, as weights of other shapes, strides and ops."""
    values = Draw(85, torch.float32)(16 * 16 * 16) / 8
    x, geometry = Draw(86, torch.float32)(1, 16, 8, 8), {"stride": 2, "padding": 1}
    square = values.view(16, 16, 4, 4)
    for weight in (
        square,
        square.transpose(0, 1),
        square.transpose(2, 3),
        square.contiguous(memory_format=torch.channels_last),
        values[: 16 * 8 * 16].view(16, 8, 4, 4),
        values[: 16 * 16 * 9].view(16, 16, 3, 3),
        values[: 16 * 16 * 4].view(16, 16, 2, 2),
    ):
        for name, options in (
            ("conv_transpose2d", geometry),
            ("conv_transpose2d", {}),
            ("conv_transpose2d", {"stride": 2, "padding": 1, "dilation": 2}),
            ("upsample_conv2d", {"padding": 1}),
            ("upsample_conv2d", {"padding": 1, "mode": "bed_of_nails"}),
        ):
            if name == "upsample_conv2d" and weight.shape[1] != 16:
                continue
            call = Call(name, (x, weight), options)
            assert_agree(call.ours(), call.torchs(), TOLERANCE[torch.float32], call)


@every_layer
def test_more_weights_than_a_cache_can_hold(layer):
    weights = [layer.values(seed) for seed in range(110, 150)]
    wanted = [layer.call(w) for w in weights]
    for w, expected in zip(reversed(weights), reversed(wanted), strict=True):
        assert torch.equal(layer.call(w), expected)


@every_layer
def test_training_steps_use_the_weight_of_the_step(layer):
    """Forward, backward and step, as torch does them."""
    ours, torchs = (torch.nn.Parameter(layer.values()) for _ in range(2))
    for step in range(4):
        for weight, function in ((ours, Call.ours), (torchs, Call.torchs)):
            optimizer = torch.optim.SGD([weight], lr=0.1)
            optimizer.zero_grad()
            result = function(Call(layer.function, (layer.input(), weight), layer.options))
            result.square().mean().backward()
            optimizer.step()
        assert_agree(ours.detach(), torchs.detach(), 1e-5, f"{layer} after step {step}")


@every_layer
def test_a_packed_weight_gives_the_same_bits(layer):
    weight = layer.values()
    packed = layer.pack(weight)
    assert packed.dtype == torch.uint8
    assert torch.equal(layer.call(weight, packed=packed), layer.call(weight))
    with torch.inference_mode():
        assert torch.equal(layer.call(weight, packed=layer.pack(weight)), layer.call(weight))


@every_layer
def test_packing_detaches_and_leaves_the_weight(layer):
    weight = torch.nn.Parameter(layer.values())
    before = weight.detach().clone()
    packed = layer.pack(weight)
    assert not packed.requires_grad
    assert torch.equal(weight.detach(), before)
    call = layer.call(weight, packed=packed)
    assert call.requires_grad
    (found,) = torch.autograd.grad(call.sum(), weight)
    (wanted,) = torch.autograd.grad(layer.call(weight).sum(), weight)
    assert torch.equal(found, wanted)


@every_layer
def test_packing_a_weight_of_another_layout(layer):
    weight = layer.values()
    strided = weight.transpose(0, 3).contiguous().transpose(0, 3)
    wanted = layer.call(weight, packed=layer.pack(weight))
    assert torch.equal(layer.call(strided, packed=layer.pack(strided)), wanted)


@every_layer
def test_an_empty_handle_is_none(layer):
    weight = layer.values()
    empty = torch.empty(0, dtype=torch.uint8)
    assert torch.equal(layer.call(weight, packed=empty), layer.call(weight))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_what_no_kernel_reads_is_packed_as_nothing(dtype):
    weight = torch.rand(4, 4, 4, 4, dtype=dtype)
    for packed in (ops.pack_conv_transpose2d(weight), ops.pack_upsample_conv2d(weight)):
        assert (packed.numel(), packed.dtype) == (0, torch.uint8)
    x = torch.rand(1, 4, 3, 3, dtype=dtype)
    packed = ops.pack_conv_transpose2d(weight)
    assert_agree(
        ops.conv_transpose2d(x, weight, packed=packed), F.conv_transpose2d(x, weight), 0, dtype
    )


@needs_module
@every_layer
def test_a_handle_is_opaque_bytes_and_of_use(layer):
    assert layer.pack(layer.values()).numel() >= layer.values().numel()


@needs_module
@every_layer
def test_a_handle_does_not_follow_its_weight(layer):
    """What was packed counts, or the weight where a kernel reads that itself; never a mixture."""
    weight = layer.values()
    packed, before = layer.pack(weight), layer.call(weight)
    weight.copy_(layer.values(82))
    actual, after = layer.call(weight, packed=packed), layer.call(weight)
    assert not torch.equal(before, after)
    assert torch.equal(actual, before) or torch.equal(actual, after)


@needs_module
@every_layer
def test_a_handle_of_another_shape_is_refused(layer):
    a, b, kh, kw = layer.weight
    for other in ((a, b + 16, kh, kw), (a + 1, b, kh, kw), (a, b, kh + 1, kw), (a, b, kh, kw + 2)):
        packed = layer.pack(torch.rand(other))
        with pytest.raises(RuntimeError, match="pack"):
            layer.call(layer.values(), packed=packed)


@pytest.mark.parametrize(
    "geometry",
    [{"stride": 1}, {"padding": 0}, {"dilation": 2}, {"stride": (2, 1)}, {"padding": (1, 0)}],
    ids=str,
)
def test_a_handle_of_another_geometry_serves_too(geometry):
    """Perhaps by a slower kernel, never with other results."""
    weight, x = torch.rand(16, 16, 4, 4) - 0.5, torch.rand(1, 16, 8, 8)
    for made, used in ((geometry, {}), ({}, geometry)):
        packed = ops.pack_conv_transpose2d(weight, **{**DCGAN, **made})
        call = Call("conv_transpose2d", (x, weight), {**DCGAN, **used})
        actual = ops.conv_transpose2d(x, weight, **call.options, packed=packed)
        assert_agree(actual, call.torchs(), TOLERANCE[torch.float32], f"packed for {made}: {call}")


@needs_module
def test_handles_of_the_other_op_are_refused():
    """The two read a weight in turned roles, which a square one does not show."""
    weight, x = torch.rand(16, 16, 3, 3), torch.rand(1, 16, 8, 8)
    with pytest.raises(RuntimeError, match="pack"):
        ops.conv_transpose2d(x, weight, packed=ops.pack_upsample_conv2d(weight))
    with pytest.raises(RuntimeError, match="pack"):
        ops.upsample_conv2d(x, weight, packed=ops.pack_conv_transpose2d(weight))


@needs_module
def test_bytes_that_are_no_handle_are_refused():
    weight, x = torch.rand(16, 16, 3, 3), torch.rand(1, 16, 8, 8)
    for function, packed in (
        (ops.conv_transpose2d, ops.pack_conv_transpose2d(weight)),
        (ops.upsample_conv2d, ops.pack_upsample_conv2d(weight)),
    ):
        for wrong in (
            packed[:-1],
            packed[: packed.numel() // 2],
            packed.repeat(2),
            packed.repeat_interleave(2)[::2],
            packed[None],
            torch.zeros_like(packed),
            torch.full_like(packed, 255),
            packed.to(torch.int64),
            torch.zeros(1, dtype=torch.uint8),
        ):
            with pytest.raises(RuntimeError, match="pack"):
                function(x, weight, packed=wrong)


@needs_module
def test_a_handle_at_an_odd_address():
    """Bytes may be moved; the kernels read whole vectors from where they then lie."""
    weight, x = torch.rand(16, 16, 4, 4), torch.rand(1, 16, 8, 8)
    packed = ops.pack_conv_transpose2d(weight, **DCGAN)
    wanted = ops.conv_transpose2d(x, weight, **DCGAN)
    for offset in (0, 1, 4, 60):
        memory = torch.zeros(packed.numel() + 64, dtype=torch.uint8)
        moved = memory[offset : offset + packed.numel()]
        moved.copy_(packed)
        assert torch.equal(ops.conv_transpose2d(x, weight, **DCGAN, packed=moved), wanted), offset


@needs_module
def test_one_handle_serves_every_mode_and_scale():
    weight, x = torch.rand(16, 16, 3, 3), torch.rand(1, 16, 6, 7)
    packed = ops.pack_upsample_conv2d(weight)
    with_nails = ops.pack_upsample_conv2d(weight, mode="bed_of_nails")
    for options in (
        {},
        {"scale": 3},
        {"mode": "bilinear", "scale": 1.5},
        {"mode": "bicubic", "align_corners": True},
        {"mode": "bed_of_nails"},
        {"stride": 2, "padding": 1, "dilation": 2},
    ):
        wanted = ops.upsample_conv2d(x, weight, **options)
        for handle in (packed, with_nails):
            actual = ops.upsample_conv2d(x, weight, **options, packed=handle)
            assert_agree(actual, wanted, PROMISED, options)
