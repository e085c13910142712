"""StyleGAN2's modulated convolution: every image has its own scale of each input channel.

The weight w[o, i, k] becomes w' = s_i w for the styles s of an image, and then, demodulated,
w'' = w' / √(Σ_{i,k} w'² + 1e-8), so that the styles change what is computed but not how strong it
is. Three forms give the same: a weight for each image (`ModulatedConv2d.weights`, a convolution in
groups), one matrix product for each image (`ToImage`, whose kernels are of one pixel), and the one
that runs here elsewhere: scale the input by s, convolve all images with the same w, scale the
output by the demodulation. It lets the fused ops keep a packed weight, and its second derivatives
are of plain convolutions. Without gradients a whole styled layer is one op, or with "fir" two
(`ops.styled_conv2d`, `ops.styled_filter`).

Up-sampling by "fir" is StyleGAN2's own: a transposed convolution, which leaves zeros between the
pixels for the kernel to fill, then the filter [1, 3, 3, 1].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect import ops
from gandetect.gans.equalized import SLOPE, dense
from gandetect.gans.upsampling import INTERPOLATIONS, UP, UpProjection, up_sample
from gandetect.ops.conventions import member

UPS = (*UP, "fir")
_WEIGHTLESS = (*INTERPOLATIONS, "bed_of_nails", "fir")
_TRANSPOSED = ("conv_transpose", "fir")
# Below so many pixels torch takes longer to arrange a weight than to convolve with it.
_FEW_PIXELS = 256
# Of what follows a styled convolution.
_GAIN = math.sqrt(2)


class ModulatedConv2d(nn.Module):
    """A convolution of side 3 with styles from w: (N, inputs, H, W) to (N, outputs, H, W).

    With `up` of `UPS` the result is twice as large. Where an output pixel sees a quarter of the
    weights, or each quarter has weights of its own (bed of nails, transposed convolution, pixel
    shuffle), it is demodulated by the mean of the four: the squared weights that reach a pixel sum
    to 1 in all forms, on average over them.
    """

    kernel: Tensor
    kept_norms: Tensor | None
    kept_weight: Tensor | None
    kept_affine: Tensor | None
    kept_shift: Tensor | None

    def __init__(self, inputs: int, outputs: int, styles: int, up: str | None = None) -> None:
        super().__init__()
        if up is not None:
            member("up", up, UPS)
        self.up, self.outputs = up, outputs
        side = 4 if up == "conv_transpose" else 3
        shape = (4 * outputs if up == "pixel_shuffle" else outputs, inputs, side, side)
        if up in _TRANSPOSED:
            shape = (inputs, outputs, side, side)
        self.weight = nn.Parameter(torch.randn(shape))
        for name in ("kept_norms", "kept_weight", "kept_affine", "kept_shift"):
            self.register_buffer(name, None, persistent=False)
        if up == "fir":
            # Times 4: three quarters of what is filtered are zeros.
            self.register_buffer("kernel", 4 * fir_kernel(outputs), persistent=False)
        self.affine = dense(styles, inputs, bias=1.0)
        self.parts = 4 if up in ("bed_of_nails", "pixel_shuffle", "conv_transpose") else 1
        self.gain = 1 / math.sqrt(9 * inputs)

    def forward(self, x: Tensor, w: Tensor, gain: float = 1.0) -> Tensor:
        """Features (N, inputs, H, W) and w (N, styles); the result is multiplied by `gain`."""
        styles = self.scaled_styles(w)
        y = self.convolve(x * styles[:, :, None, None])
        factors = (gain * self.demodulation(styles))[:, :, None, None]
        if torch.is_grad_enabled() or y.dtype != factors.dtype:
            return y * factors
        return y.mul_(factors)

    def ended(
        self, x: Tensor, w: Tensor, gain: float, noise: Tensor, strength: Tensor, bias: Tensor
    ) -> Tensor:
        """What `StyledConv` makes of the result, in the same sweep. Without `up`, or with "fir"."""
        weight = self.weight if self.kept_weight is None else self.kept_weight
        styles = self.scaled_styles(w)
        end = (gain * self.demodulation(styles), noise, strength, bias)
        if self.up is None:
            # A constant that is the same for all images has a layout of its own.
            x = x.contiguous(memory_format=torch.channels_last)
            return ops.styled_conv2d(x, weight, styles, *end, negative_slope=SLOPE)
        y = ops.conv_transpose2d(x * styles[:, :, None, None], weight, stride=2)
        return ops.styled_filter(y, *end, negative_slope=SLOPE)

    def demodulation(self, styles: Tensor) -> Tensor:
        """What the outputs (N, outputs) are multiplied by."""
        if torch.is_autocast_enabled(styles.device.type):
            # float32: the sum of squares is too coarse in half precision.
            with torch.autocast(styles.device.type, enabled=False):
                return self._demodulation(styles)
        return self._demodulation(styles)

    def scaled_styles(self, w: Tensor) -> Tensor:
        """Styles (N, inputs) of w (N, styles), times the gain of the weight: so the ops see the
        stored weight itself."""
        if self.kept_affine is not None:
            return F.linear(w, self.kept_affine, self.kept_shift)
        styles: Tensor = self.affine(w) * self.gain
        return styles

    def convolve(self, x: Tensor) -> Tensor:
        """All images with the stored weight."""
        weight = self.weight if self.kept_weight is None else self.kept_weight
        if self.up is None:
            return self._convolved(x, weight)
        if self.up == "fir":
            y = ops.conv_transpose2d(x, weight, stride=2)
            return F.conv2d(y, self.kernel, padding=1, groups=self.outputs)
        if self.up == "pixel_shuffle":
            return ops.pixel_shuffle(self._convolved(x, weight), 2)
        if self.up == "conv_transpose":
            return ops.conv_transpose2d(x, weight, stride=2, padding=1)
        return ops.upsample_conv2d(x, weight, mode=self.up, padding=1)

    def weights(self, w: Tensor) -> Tensor:
        """The demodulated weights (N, ...) of each image, in the order of the stored one."""
        styles = self.scaled_styles(w)
        factors = self.demodulation(styles)
        ones = [1] * 2
        if self.up in _TRANSPOSED:
            return (
                self.weight * styles.unflatten(1, (-1, 1, *ones)) * factors[:, None, :, None, None]
            )
        rows = factors.repeat_interleave(len(self.weight) // self.outputs, dim=1)
        return self.weight * styles.unflatten(1, (1, -1, *ones)) * rows.unflatten(1, (-1, 1, *ones))

    def prepare(self) -> None:
        """Compute once what depends on the weights alone; right for as long as these stay."""
        self.kept_norms = self._norms().detach()
        self.kept_affine = (self.affine.weight * self.gain).detach()
        self.kept_shift = (self.affine.bias * self.gain).detach()
        # Torch's convolutions want another layout than the ops, which would make this on each call.
        self.kept_weight = self.weight.detach().contiguous()

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        """A convolution that keeps the size."""
        if not torch.is_grad_enabled() and len(x) * x.shape[2] * x.shape[3] <= _FEW_PIXELS:
            # Up-sampling by 1 finds its weight packed.
            return ops.upsample_conv2d(x, weight, scale=1, padding=1)
        return F.conv2d(x, self.weight, padding=1)

    def _demodulation(self, styles: Tensor) -> Tensor:
        squares = styles.to(self.weight.dtype).square() @ self._norms().T
        return torch.rsqrt(squares / self.parts + 1e-8)

    def _norms(self) -> Tensor:
        """Σ w² of each output and input (outputs, inputs)."""
        if self.kept_norms is not None:
            return self.kept_norms
        sums = self.weight.square().sum(dim=(2, 3))
        if self.up in _TRANSPOSED:
            return sums.T
        return sums.unflatten(0, (self.outputs, -1)).sum(dim=1)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, up={self.up}"


class StyledConv(nn.Module):
    """A modulated convolution, noise, bias and LeakyReLU·√2."""

    kept_strength: Tensor | None
    kept_bias: Tensor | None

    def __init__(self, inputs: int, outputs: int, styles: int, up: str | None = None) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, styles, up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        for name in ("kept_strength", "kept_bias"):
            self.register_buffer(name, None, persistent=False)

    def prepare(self) -> None:
        """Compute once what depends on the weights alone; right for as long as these stay."""
        strength, bias = self._end()
        self.kept_strength, self.kept_bias = strength.detach(), bias.detach()

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """Features (N, inputs, H, W), w (N, styles) and noise (N, 1, ...) of the result's size."""
        conv, gain, (strength, bias) = self.conv, _GAIN, self._end()
        if conv.up in (None, "fir") and not torch.is_grad_enabled():
            return conv.ended(x, w, gain, noise, strength, bias)
        y = conv(x, w, gain) + noise * strength + bias[:, None, None]
        return F.leaky_relu(y, SLOPE, inplace=not torch.is_grad_enabled())

    def _end(self) -> tuple[Tensor, Tensor]:
        """Strength of the noise and bias, times √2: it goes through the activation, to where the
        tensors are small."""
        if self.kept_strength is not None and self.kept_bias is not None:
            return self.kept_strength, self.kept_bias
        return _GAIN * self.strength, _GAIN * self.bias


class ToImage(nn.Module):
    """Features (N, inputs, H, W) to (N, channels, H, W): 1x1, modulated, not demodulated."""

    def __init__(self, inputs: int, channels: int, styles: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, inputs))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = dense(styles, inputs, bias=1.0)
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weights = self.weight * (self.affine(w) * self.gain)[:, None]
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        bias = self.bias[:, None].to(weights.dtype)
        y = torch.baddbmm(bias, weights, pixels.to(weights.dtype).mT)
        return y.unflatten(2, x.shape[2:])


class SkipUp(nn.Module):
    """Images (N, channels, H, W) made twice as large, by every `up` of `UPS`.

    Those that have weights start as nearest up-sampling.
    """

    def __init__(self, channels: int, up: str) -> None:
        super().__init__()
        self.up = member("up", up, UPS)
        self.projection = None if up in _WEIGHTLESS else UpProjection(channels, channels, up)
        if self.projection is not None:
            _start_as_nearest(self.projection.conv, channels)

    def forward(self, images: Tensor) -> Tensor:
        if self.projection is not None:
            found: Tensor = self.projection(images)
            return found
        return fir_up(images) if self.up == "fir" else up_sample(images, self.up)


def fir_up(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, 2H, 2W): zeros inserted, then [1, 3, 3, 1]/4 along both axes."""
    larger = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")
    return larger[:, :, 2:-2, 2:-2]


def fir_kernel(channels: int) -> Tensor:
    """[1, 3, 3, 1]⊗[1, 3, 3, 1]/64 for each channel: (channels, 1, 4, 4)."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return torch.outer(taps, taps).expand(channels, 1, 4, 4).clone()


def _start_as_nearest(layer: nn.Module, channels: int) -> None:
    """Make each of the four phases of an up-sampling layer the identity, in place."""
    identity = torch.eye(channels)
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    with torch.no_grad():
        bias.zero_()
        if isinstance(layer, nn.ConvTranspose2d):
            weight.copy_(identity[:, :, None, None].expand_as(weight))
        else:
            weight.copy_(identity.repeat_interleave(4, dim=0)[:, :, None, None])
