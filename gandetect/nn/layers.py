"""Up-sampling layers: torch's own, ending with an activation, computed by the fused ops.

Each takes its torch counterpart's arguments, defaults, initialization and state_dict, so that
checkpoints load both ways. What the kernels do not take is torch's composition of the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect import ops
from gandetect.ops.conventions import choice
from gandetect.ops.upsampling import ACTIVATIONS, MODES

Pair = int | tuple[int, int]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class Ending(nn.Module):
    """What every layer here ends with: an activation, and where `fuse` took the layer from."""

    activation: str
    negative_slope: float
    fused_from: tuple[str, ...] = ()

    def end_with(self, activation: str, negative_slope: float) -> None:
        choice("activation", activation, ACTIVATIONS)
        self.activation, self.negative_slope = activation, negative_slope

    @property
    def ending(self) -> dict[str, Any]:
        """The activation as the ops take it."""
        return {"activation": self.activation, "negative_slope": self.negative_slope}

    def extra_repr(self) -> str:
        parts = [super().extra_repr()]
        if self.activation != "none":
            parts.append(f"activation={self.activation}")
        if self.activation == "leaky_relu":
            parts.append(f"negative_slope={self.negative_slope}")
        if self.fused_from:
            parts.append(f"fused_from=[{', '.join(self.fused_from)}]")
        return ", ".join(part for part in parts if part)


class ConvTranspose2d(Ending, nn.ConvTranspose2d):
    """``torch.nn.ConvTranspose2d``, then an activation, in one sweep.

    Parameters
    ----------
    in_channels ... dtype : as of ``torch.nn.ConvTranspose2d``, with its state_dict.
    activation : "none", "relu", "leaky_relu" (with `negative_slope`), "tanh" or "sigmoid".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        activation: str = "none",
        negative_slope: float = 0.01,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            groups,
            bias,
            dilation,  # type: ignore[arg-type]  # torch says int and takes both
            padding_mode,
            device,
            dtype,
        )
        self.end_with(activation, negative_slope)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (..., O, OH, OW); `output_size` as torch takes it."""
        extra = self._output_padding(
            input,
            output_size,
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            self.kernel_size,  # type: ignore[arg-type]
            2,
            self.dilation,  # type: ignore[arg-type]
        )
        return ops.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,  # type: ignore[arg-type]  # no string: torch refuses those
            output_padding=extra,
            groups=self.groups,
            dilation=self.dilation,
            packed=self.packed_weight(),
            **self.ending,
        )

    def packed_weight(self) -> Tensor | None:
        """A handle that stands for the weight as it is now, or None: the op packs by itself."""
        return None


class UpsampleConv2d(Ending, nn.Conv2d):
    """Up-sampling, ``torch.nn.Conv2d``, then an activation, without the up-sampled tensor.

    Computes ``nn.Sequential(nn.Upsample(...), nn.Conv2d(...))`` and the activation after it.

    Parameters
    ----------
    in_channels ... dtype : as of ``torch.nn.Conv2d``, with its state_dict.
    scale, size, mode, align_corners : of the up-sampling, as in `ops.upsample_conv2d`; twice as
        large where neither scale nor size is given. Modes "nearest", "bilinear", "bicubic" and
        "bed_of_nails".
    activation : as in `ConvTranspose2d`.

    Notes
    -----
    (C, H, W) is one image here, where ``nn.Upsample`` takes it for C sequences.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: str | Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        scale: float | Sequence[float] | None = None,
        size: int | Sequence[int] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        activation: str = "none",
        negative_slope: float = 0.01,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        choice("mode", mode, MODES)
        if scale is not None and size is not None:
            raise ValueError("scale and size are given; choose one")
        if align_corners is not None and mode in ("nearest", "bed_of_nails"):
            raise ValueError("align_corners belongs to bilinear and bicubic")
        self.scale = 2 if scale is None and size is None else scale
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.end_with(activation, negative_slope)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (..., O, OH, OW)."""
        if self.padding_mode != "zeros":
            return self._composed(input)
        return ops.upsample_conv2d(
            input,
            self.weight,
            self.bias,
            scale=self.scale,
            size=self.size,
            mode=self.mode,
            align_corners=self.align_corners,
            stride=self.stride,
            padding=self._numeric_padding(),
            groups=self.groups,
            dilation=self.dilation,
            packed=self.packed_weight(),
            **self.ending,
        )

    def packed_weight(self) -> Tensor | None:
        """A handle that stands for the weight as it is now, or None: the op packs by itself."""
        return None

    def _numeric_padding(self) -> Any:
        """Numbers, which the kernels take, for a "same" that is the same on both sides."""
        spans = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        if self.padding != "same" or any(span % 2 for span in spans):
            return self.padding
        return [span // 2 for span in spans]

    def _composed(self, x: Tensor) -> Tensor:
        """Padding repeats the up-sampled image's border, so that image has to exist."""
        batch = x if x.dim() == 4 else x[None]
        if self.mode == "bed_of_nails":
            high = ops.bed_of_nails(batch, self._whole_scales(batch))
        else:
            high = F.interpolate(batch, self.size, self.scale, self.mode, self.align_corners)  # type: ignore[arg-type]
        y = self._conv_forward(high, self.weight, self.bias)
        # A shuffle of scale 1 is the activation alone.
        y = ops.pixel_shuffle(y, 1, **self.ending)
        return y if x.dim() == 4 else y[0]

    def _whole_scales(self, x: Tensor) -> list[int]:
        sides = x.shape[2:]
        if self.size is not None:
            targets = self.size if isinstance(self.size, Sequence) else (self.size,) * 2
        else:
            scales = self.scale if isinstance(self.scale, Sequence) else (self.scale,) * 2
            targets = [math.floor(n * s) for n, s in zip(sides, scales, strict=True)]  # type: ignore[operator]
        if any(target % n for target, n in zip(targets, sides, strict=True)):
            raise ValueError(
                f"bed_of_nails from {tuple(sides)} to {tuple(targets)}: "
                "the scales must be whole numbers"
            )
        return [target // n for target, n in zip(targets, sides, strict=True)]

    def extra_repr(self) -> str:
        given = f"size={self.size}" if self.scale is None else f"scale={self.scale}"
        corners = "" if self.align_corners is None else f", align_corners={self.align_corners}"
        return f"{super().extra_repr()}, {given}, mode={self.mode}{corners}"


class PixelShuffleConv2d(Ending, nn.Conv2d):
    """``torch.nn.Conv2d``, then bias, activation and sub-pixel shuffle in one sweep.

    Computes ``nn.Sequential(nn.Conv2d(...), nn.PixelShuffle(scale))`` and the activation after it.

    Parameters
    ----------
    in_channels ... dtype : as of ``torch.nn.Conv2d``, with its state_dict; out_channels are those
        of the convolution, `scale`^2 times the layer's.
    scale : r, whole and at least 1.
    activation : as in `ConvTranspose2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: str | Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        scale: int = 2,
        activation: str = "none",
        negative_slope: float = 0.01,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        if not isinstance(scale, int) or scale < 1 or out_channels % scale**2:
            raise ValueError(
                f"scale is {scale!r} and out_channels {out_channels}; scale must be a whole number "
                "of at least 1, and out_channels a multiple of its square"
            )
        self.scale = scale
        self.end_with(activation, negative_slope)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (..., O / r^2, r OH, r OW)."""
        y = self._conv_forward(input, self.weight, None)
        # Under autocast y is of a cheaper dtype, and torch adds the bias in that.
        bias = None if self.bias is None else self.bias.to(y.dtype)
        return ops.pixel_shuffle(y, self.scale, bias=bias, **self.ending)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale}"


class BedOfNails(Ending):
    """Zero insertion, then an activation: `ops.bed_of_nails` as a layer.

    Parameters
    ----------
    scale : s, or (s_H, s_W); at least 1.
    activation : as in `ConvTranspose2d`.
    """

    def __init__(
        self, scale: Pair = 2, *, activation: str = "none", negative_slope: float = 0.01
    ) -> None:
        super().__init__()
        self.scale = scale
        self.end_with(activation, negative_slope)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (..., s_H H, s_W W)."""
        return ops.bed_of_nails(input, self.scale, **self.ending)

    def extra_repr(self) -> str:
        ending = super().extra_repr()
        return f"scale={self.scale}, {ending}" if ending else f"scale={self.scale}"


class PixelShuffle(Ending, nn.PixelShuffle):
    """``torch.nn.PixelShuffle``, with an activation in the same sweep.

    Parameters
    ----------
    upscale_factor : as of ``torch.nn.PixelShuffle``.
    activation : as in `ConvTranspose2d`.
    """

    def __init__(
        self, upscale_factor: int, *, activation: str = "none", negative_slope: float = 0.01
    ) -> None:
        super().__init__(upscale_factor)
        self.end_with(activation, negative_slope)

    def forward(self, input: Tensor) -> Tensor:
        """(..., C r^2, H, W) to (..., C, r H, r W)."""
        if input.dim() <= 4:
            return ops.pixel_shuffle(input, self.upscale_factor, **self.ending)
        y = ops.pixel_shuffle(input.flatten(0, -4), self.upscale_factor, **self.ending)
        return y.unflatten(0, input.shape[:-3])


class MaxUnpool2d(Ending, nn.MaxUnpool2d):
    """``torch.nn.MaxUnpool2d``, with an activation in the same sweep.

    Parameters
    ----------
    kernel_size, stride, padding : as of ``torch.nn.MaxUnpool2d``.
    activation : as in `ConvTranspose2d`.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        *,
        activation: str = "none",
        negative_slope: float = 0.01,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.end_with(activation, negative_slope)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: list[int] | None = None
    ) -> Tensor:
        """(N, C, H, W) or (C, H, W) and its indices to (..., OH, OW)."""
        return ops.max_unpool2d(
            input,
            indices,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            output_size=output_size,
            **self.ending,
        )
