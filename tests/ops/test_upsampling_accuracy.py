"""Largest error over largest value against float64: 2e-6 for every op, layer and size.

At the layers of generators, in both layouts, and at every odd size and number of channels.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from upsampling_cases import Draw
from upsampling_oracle import ACTIVATIONS, PROMISED, Call, error_of

LAYOUTS = (torch.contiguous_format, torch.channels_last)
BATCHES = (1, 2, 5)
# in, out, side of the input, options
LAYERS = (
    (100, 512, 1, {"activation": "relu"}),
    (512, 256, 4, {"stride": 2, "padding": 1, "activation": "relu"}),
    (256, 128, 8, {"stride": 2, "padding": 1, "activation": "leaky_relu"}),
    (128, 64, 16, {"stride": 2, "padding": 1, "activation": "relu"}),
    (64, 3, 32, {"stride": 2, "padding": 1, "activation": "tanh"}),
    (128, 128, 16, {"stride": 2, "padding": 1, "activation": "none"}),
)
# Sides from one pixel to two rows of vectors and more.
SIDES = (*range(1, 10), 13, 17, 31)
CHANNELS = (1, 3, 5, 7, 9, 17, 30, 33, 100)


def check(call: Call, layouts: tuple[torch.memory_format, ...] = LAYOUTS) -> None:
    wanted = call.with_tensors(as_double).torchs()
    for layout in layouts:
        x = call.x.contiguous(memory_format=layout)
        actual = Call(call.name, (x, *call.arguments[1:]), call.options).ours()
        assert actual.shape == wanted.shape, call
        error = error_of(actual, wanted)
        worst = (actual.double() - wanted).abs().argmax()
        place = [int(i) for i in torch.unravel_index(worst, wanted.shape)]
        assert error <= PROMISED, (
            f"{call} in {layout}: error {error:.3g}; at {place} is {actual.flatten()[worst]:.9g}, "
            f"wanted {wanted.flatten()[worst]:.9g}"
        )


def as_double(t: Tensor) -> Tensor:
    return t.double() if t.is_floating_point() else t


# Sums of about one half, so that the largest value of a tanh or a sigmoid is of their size: where
# it is much smaller the error of a sum, which is relative to the sums, counts the more.


def transposed(draw: Draw, n: int, fan: int, out: int, sides: tuple[int, int], **options) -> Call:
    x, weight = draw(n, fan, *sides), draw.weight(fan, out, 4, 4, inputs=fan)
    return Call("conv_transpose2d", (x, weight, draw(out) / 2), options)


def upsampled(draw: Draw, n: int, fan: int, out: int, sides: tuple[int, int], k: int, **options):
    x, weight = draw(n, fan, *sides), draw.weight(out, fan, k, k, inputs=fan) / 2
    return Call("upsample_conv2d", (x, weight, draw(out) / 2), {"padding": k // 2, **options})


@pytest.mark.parametrize("n", BATCHES)
@pytest.mark.parametrize(("fan", "out", "side", "options"), LAYERS)
def test_layers_of_dcgan(fan, out, side, options, n):
    check(transposed(Draw(40, torch.float32), n, fan, out, (side, side), **options))


@pytest.mark.parametrize("n", BATCHES)
@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "bed_of_nails"])
def test_layers_of_generators_that_interpolate(mode, k, n):
    draw = Draw(41, torch.float32)
    check(upsampled(draw, n, 128, 128, (16, 16), k, mode=mode, activation="leaky_relu"))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "bed_of_nails"])
def test_a_larger_image(mode):
    check(upsampled(Draw(42, torch.float32), 2, 64, 64, (32, 32), 3, mode=mode))


def settings(height: int, most: int = 100):
    """(width, (n, activation, in, out)): all choices are met in turn over the pairs of sides."""
    channels = [c for c in CHANNELS if c <= most]
    choices = list(itertools.product(BATCHES, ACTIVATIONS, channels, channels))
    for i, width in enumerate(SIDES):
        # 331 is prime: steps of it visit each choice once.
        yield width, choices[331 * (SIDES.index(height) * len(SIDES) + i) % len(choices)]


@pytest.mark.parametrize("height", SIDES)
def test_transposed_convolution_of_odd_sizes_and_channels(height):
    draw = Draw(height, torch.float32)
    for width, (n, activation, fan, out) in settings(height):
        options = {"stride": 2, "padding": 1, "activation": activation}
        check(transposed(draw, n, fan, out, (height, width), **options))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "bed_of_nails"])
@pytest.mark.parametrize("height", SIDES)
def test_upsampled_convolution_of_odd_sizes_and_channels(height, mode):
    draw = Draw(height, torch.float32)
    for width, (n, activation, fan, out) in settings(height, 33):
        options = {"mode": mode, "activation": activation}
        check(upsampled(draw, n, fan, out, (height, width), 3 + height % 2 * 2, **options))


@pytest.mark.parametrize("height", SIDES)
def test_ops_that_move_values(height):
    draw = Draw(height, torch.float32)
    for width, (n, activation, c, _) in settings(height):
        end = {"activation": activation, "bias": draw(c)}
        check(Call("bed_of_nails", (draw(n, c, height, width), 2), end))
        high = draw(n, c, 2 * height, 2 * width)
        x, indices = F.max_pool2d(high, 2, return_indices=True)
        check(Call("max_unpool2d", (x, indices, 2), end))
        shuffled = {"activation": activation, "bias": draw(4 * c)}
        check(Call("pixel_shuffle", (draw(n, 4 * c, height, width), 2), shuffled))


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if a != "none"])
def test_activations_over_their_whole_range(activation):
    """From denormal numbers to those where they saturate, and never beyond their limits."""
    positive = torch.logspace(-42, 3, 4096)
    x = torch.cat([-positive, positive, torch.linspace(-12, 12, 4096)]).reshape(1, 1, 1, -1)
    call = Call("bed_of_nails", (x, 1), {"activation": activation, "negative_slope": 0.2})
    actual, wanted = call.ours().double(), call.with_tensors(as_double).torchs()
    bounded = activation in ("tanh", "sigmoid")
    # A product of a slope with a denormal number may be rounded to one or to zero.
    error = (actual - wanted).abs() / (1 if bounded else wanted.abs().clamp(min=1e-37))
    worst = int(error.argmax())
    assert float(error.max()) <= PROMISED, (
        f"x = {x.flatten()[worst]:.9g}: {actual.flatten()[worst]:.9g}, "
        f"wanted {wanted.flatten()[worst]:.9g}"
    )
    if bounded:
        low = -1 if activation == "tanh" else 0
        assert low <= float(actual.min()) <= float(actual.max()) <= 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("fan", "out", "side"), [layer[:3] for layer in LAYERS[1:]])
def test_gradient_of_what_a_layer_enlarges(fan, out, side, layout):
    draw = Draw(9, torch.float32)
    for n in BATCHES:
        gradient = draw(n, out, 2 * side, 2 * side).contiguous(memory_format=layout)
        weight = draw(fan, out, 4, 4)
        actual = torch.ops.gandetect.conv_transpose2d_adjoint(gradient, weight)
        wanted = F.conv2d(gradient.double(), weight.double(), stride=2, padding=1)
        error = error_of(actual, wanted)
        assert error <= PROMISED, f"{fan} from {out} at {side}, n = {n}: error {error:.3g}"
