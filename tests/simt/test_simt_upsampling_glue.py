"""The CUDA glue of the up-sampling ops over the shim, and the convolutions that end in it."""

from __future__ import annotations

import itertools

import pytest
import torch
from simt_build import Builder
from simt_glue import load_glue
from torch import Tensor

from gandetect.ops import _upsampling_cuda as cuda
from gandetect.ops import upsampling_reference as reference
from gandetect.ops.upsampling_reference import Activation, Mode, is_channels_last

LAYOUTS = (torch.contiguous_format, torch.channels_last)
DTYPES = (torch.float32, torch.float64)
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-14}
NONE, RELU, LEAKY, TANH, SIGMOID = (int(a) for a in Activation)


@pytest.fixture(scope="module")
def ops(builder: Builder):
    return load_glue(builder)


@pytest.fixture
def convolutions(ops, monkeypatch: pytest.MonkeyPatch):
    """The shipped Python functions over the emulated kernels, and chunks of an image or two."""
    monkeypatch.setattr(cuda, "ops", ops)
    monkeypatch.setattr(cuda, "CHUNK_BYTES", 20000)
    return cuda


def random(*shape: int, dtype: torch.dtype, layout=torch.contiguous_format) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    return x.contiguous(memory_format=layout) if x.dim() == 4 else x


def assert_agree(got: Tensor, want: Tensor) -> None:
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    assert is_channels_last(got) == is_channels_last(want)
    scale = 1 + want.abs().max() if want.numel() else 1.0
    assert not want.numel() or (got - want).abs().max() <= TOLERANCE[want.dtype] * scale


def laid_out_otherwise(x: Tensor) -> list[Tensor]:
    """The same values: both formats, a slice of something larger, permuted, expanded."""
    larger = torch.zeros(*(side + 1 for side in x.shape), dtype=x.dtype)
    inside = larger[1:, 1:, 1:, 1:].copy_(x)
    return [
        x.contiguous(),
        x.contiguous(memory_format=torch.channels_last),
        inside,
        x.transpose(2, 3).contiguous().transpose(2, 3),
        x[:1].expand(x.shape),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [NONE, RELU, LEAKY, TANH, SIGMOID])
def test_every_op_in_every_layout(ops, dtype: torch.dtype, activation: int) -> None:
    biases = (None, random(8, dtype=dtype), random(16, dtype=dtype)[::2])
    for x in laid_out_otherwise(random(3, 8, 5, 7, dtype=dtype)):
        indices = torch.arange(35).flip(0).view(5, 7).expand(x.shape) * 2
        for bias in biases:
            end = (bias, activation, 0.2)
            for name, *arguments in (
                ("bed_of_nails", x, 2, 3),
                ("pixel_shuffle", x, 2),
                ("bias_activation", x),
                ("max_unpool2d", x, indices, 10, 14),
            ):
                got = getattr(ops, name)(*arguments, *end)
                assert_agree(got, getattr(reference, name)(*arguments, *end))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_in_place_means_in_place(ops, layout) -> None:
    x = random(2, 3, 4, 5, dtype=torch.float32, layout=layout)
    bias, over = random(3, dtype=torch.float32), x.clone(memory_format=torch.preserve_format)
    data = over.data_ptr()
    assert ops.bias_activation_(over, bias, TANH, 0.0) is None
    assert over.data_ptr() == data
    assert torch.equal(over, ops.bias_activation(x, bias, TANH, 0.0))
    with pytest.raises(RuntimeError, match="contiguous or channels_last"):
        ops.bias_activation_(x.transpose(2, 3), bias, TANH, 0.0)


def test_the_result_of_bias_activation_lies_as_torch_would_have_it(ops) -> None:
    for x in laid_out_otherwise(random(2, 8, 5, 7, dtype=torch.float32)):
        got = ops.bias_activation(x, None, RELU, 0.0)
        assert got.stride() == torch.empty_like(x).stride()


TARGETS = (
    (Mode.NEAREST, False, (2.0, 2.0)),
    (Mode.NEAREST, False, (1.3, 2.6)),
    (Mode.BILINEAR, False, (2.0, 2.0)),
    (Mode.BILINEAR, True, (2.4, 3.0)),
    (Mode.BICUBIC, False, (2.0, 1.7)),
    (Mode.BICUBIC, True, (0.0, 0.0)),
    (Mode.BED_OF_NAILS, False, (3.0, 2.0)),
)
# kernel, stride, padding, dilation
CONVOLUTIONS = (
    ((3, 3), [1, 1], [1, 1], [1, 1]),
    ((5, 4), [1, 1], [2, 0], [1, 1]),
    ((1, 1), [2, 1], [0, 3], [1, 1]),
    ((3, 2), [1, 2], [2, 1], [2, 3]),
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), CONVOLUTIONS)
@pytest.mark.parametrize(("mode", "align", "scales"), TARGETS)
def test_up_sampling_and_convolution(
    convolutions, mode, align, scales, kernel, stride, padding, dilation, layout, dtype
) -> None:
    x = random(3, 5, 7, 6, dtype=dtype, layout=layout)
    weight, bias = random(9, 5, *kernel, dtype=dtype) / 5, random(9, dtype=dtype)
    high = [int(side * (scale or 2.0)) for side, scale in zip((7, 6), scales, strict=True)]
    call = (x, weight, bias, *high, *scales, int(mode), align, stride, padding, dilation)
    want = reference.upsample_conv2d(*[_double(a) for a in call], LEAKY, 0.2, None)
    got = convolutions.tap_convolution(*call, LEAKY, 0.2)
    if mode != Mode.NEAREST and dtype == torch.float32:
        assert_agree(got, want.float())  # torch's own places, in float32, are off by more
    else:
        assert_agree(got, reference.upsample_conv2d(*call, LEAKY, 0.2, None))
    assert is_channels_last(got) == is_channels_last(x)


def _double(argument):
    return argument.double() if isinstance(argument, Tensor) else argument


def call_of(n: int, sides: tuple[int, int], kernel: int, stride: int, **other):
    dtype = other.get("dtype", torch.float32)
    x, weight = random(n, 4, *sides, dtype=dtype), random(6, 4, kernel, kernel, dtype=dtype)
    high = [2 * side for side in sides]
    geometry = ([stride] * 2, [kernel // 2] * 2, [1, 1])
    return x, weight, None, *high, 2.0, 2.0, int(Mode.NEAREST), False, *geometry, RELU, 0.0, None


@pytest.mark.parametrize(
    ("call", "taps"),
    [
        (call_of(2, (6, 5), 3, 1), True),
        (call_of(2, (6, 5), 3, 2), False),  # a quarter of the outputs, and so of the products
        (call_of(0, (6, 5), 3, 1), False),
        (call_of(2, (6, 5), 3, 1, dtype=torch.float16), False),
        (call_of(1, (3, 40), 65, 1), False),
        (call_of(2, (1, 1), 1, 1), True),
    ],
)
def test_the_taps_are_chosen_where_they_pay(convolutions, monkeypatch, call, taps: bool) -> None:
    taken = []
    whole = convolutions.tap_convolution
    monkeypatch.setattr(convolutions, "tap_convolution", lambda *a: taken.append(True) or whole(*a))
    got, want = convolutions.upsample_conv2d(*call), reference.upsample_conv2d(*call)
    assert bool(taken) == taps
    torch.testing.assert_close(
        got, want, rtol=1e-3 if got.dtype == torch.float16 else 1e-5, atol=1e-5
    )


def test_an_image_does_not_depend_on_its_chunk(convolutions, monkeypatch) -> None:
    call = call_of(7, (6, 5), 3, 1)
    in_parts = convolutions.upsample_conv2d(*call)
    monkeypatch.setattr(convolutions, "CHUNK_BYTES", 1 << 20)
    torch.testing.assert_close(convolutions.upsample_conv2d(*call), in_parts)
    monkeypatch.setattr(convolutions, "MAX_IMAGE_BYTES", 100)
    torch.testing.assert_close(convolutions.upsample_conv2d(*call), in_parts)


# kernel, stride, padding, output padding, dilation
TRANSPOSED = (
    ((4, 4), [2, 2], [1, 1], [0, 0], [1, 1]),
    ((4, 4), [1, 1], [0, 0], [0, 0], [1, 1]),
    ((5, 3), [3, 2], [2, 1], [1, 1], [1, 1]),
    ((3, 3), [1, 1], [1, 1], [0, 0], [2, 2]),
)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("geometry", TRANSPOSED)
def test_transposed_convolution(convolutions, geometry, layout, dtype) -> None:
    kernel, *rest = geometry
    x, weight = random(2, 5, 4, 3, dtype=dtype, layout=layout), random(5, 7, *kernel, dtype=dtype)
    for bias, activation in itertools.product((None, random(7, dtype=dtype)), (NONE, LEAKY, TANH)):
        call = (x, weight, bias, *rest, activation, 0.2, None)
        got, want = convolutions.conv_transpose2d(*call), reference.conv_transpose2d(*call)
        assert is_channels_last(got) == is_channels_last(want)
        torch.testing.assert_close(got, want)


def test_empty_batches(ops, convolutions) -> None:
    x = torch.empty(0, 4, 3, 3)
    assert ops.bed_of_nails(x, 2, 2, None, RELU, 0.0).shape == (0, 4, 6, 6)
    assert ops.pixel_shuffle(x, 2, None, RELU, 0.0).shape == (0, 1, 6, 6)
    assert ops.bias_activation(x, None, RELU, 0.0).shape == x.shape
    assert ops.max_unpool2d(x, x.long(), 6, 6, None, RELU, 0.0).shape == (0, 4, 6, 6)
    geometry = ([2, 2], [1, 1], [0, 0], [1, 1])
    got = convolutions.conv_transpose2d(x, torch.ones(4, 2, 4, 4), None, *geometry, TANH, 0.0, None)
    assert got.shape == (0, 2, 6, 6)


X = torch.zeros(2, 4, 3, 3)
INDICES = torch.zeros(2, 4, 3, 3, dtype=torch.int64)
TABLES = cuda.tap_tables(
    (3, 3), (6, 6), (2.0, 2.0), 0, False, (1, 1), (1, 1), (0, 0), (1, 1), torch.float32, X.device
)
OUT, Z = torch.zeros(2, 4, 6, 6), torch.zeros(2, 1, 1, 4, 3, 3)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("bed_of_nails", (X[0], 2, 2), "4 dimensions"),
        ("bed_of_nails", (X.half(), 2, 2), "float32 or float64"),
        ("bed_of_nails", (X, 0, 2), "at least 1"),
        ("pixel_shuffle", (X, 3), "multiple of scale"),
        ("pixel_shuffle", (X, 0), "multiple of scale"),
        ("bias_activation", (X.int(),), "float32 or float64"),
        ("max_unpool2d", (X, INDICES.int(), 6, 6), "indices must be int64"),
        ("max_unpool2d", (X, INDICES[:1], 6, 6), "shape of x"),
        ("max_unpool2d", (X, INDICES, -1, 6), "must not be negative"),
        ("tap_gather_", (OUT.double(), Z, *TABLES), "out must be of the type of z"),
        ("tap_gather_", (OUT[:1], Z, *TABLES), "images and channels of z"),
        ("tap_gather_", (OUT[..., 1:], Z, *TABLES), "columns must be"),
        ("tap_gather_", (OUT, Z, TABLES[0].long(), *TABLES[1:]), "rows must be int32"),
        ("tap_gather_", (OUT, Z, *TABLES[:4], TABLES[4][:1]), "span must be"),
        ("tap_gather_", (OUT.mT, Z, *TABLES), "contiguous or channels_last"),
    ],
)
def test_direct_calls_are_checked(ops, name: str, arguments: tuple, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        getattr(ops, name)(*arguments, None, RELU, 0.0)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ((torch.zeros(4), 5, 0.0), "activation must be"),
        ((torch.zeros(5), RELU, 0.0), "one number for each channel"),
        ((torch.zeros(4).double(), RELU, 0.0), "bias must be of the type of x"),
        ((torch.zeros(4, 1), RELU, 0.0), "bias must have 1 dimensions"),
    ],
)
def test_endings_are_checked(ops, ending: tuple, words: str) -> None:
    for name, *arguments in (
        ("bed_of_nails", X, 2, 2),
        ("pixel_shuffle", X, 2),
        ("bias_activation", X),
        ("bias_activation_", X),
        ("max_unpool2d", X, INDICES, 6, 6),
        ("tap_gather_", OUT, Z, *TABLES),
    ):
        with pytest.raises(RuntimeError, match=words):
            getattr(ops, name)(*arguments, *ending)
