"""The up-sampling launchers over torch tensors on the CPU, by ctypes.

Arguments are those of the ops; results come in a buffer of exactly their size, which begins where a
wide store may, or, `shifted`, where it may not.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from simt_build import Simt, SimtError
from torch import Tensor

PAST = 7.0  # what a result holds before a kernel runs


class Upsampling:
    def __init__(self, simt: Simt, shifted: bool = False, limit: int = 0) -> None:
        self.simt = simt
        self.shifted = shifted
        self.limit = limit
        self._library = simt._library
        self._library.simt_upsample_error.restype = ctypes.c_char_p

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, f"simt_{name}")(*map(_convert, arguments))
        if status != 0:
            reason = self._library.simt_upsample_error(status).decode()
            raise SimtError(f"status {status}: {reason}")

    def _out(self, like: Tensor, *sides: int) -> Tensor:
        """(N, C, H, W) in the layout of `like`, not aligned where `shifted`."""
        n, c, height, width = sides
        buffer = torch.full((n * c * height * width + 2,), PAST, dtype=like.dtype)
        start = (-buffer.data_ptr() // buffer.element_size()) % (16 // buffer.element_size())
        assert start == 0, "torch aligns its buffers"
        flat = buffer[int(self.shifted) : n * c * height * width + int(self.shifted)]
        if is_interleaved(like):
            return flat.view(n, height, width, c).permute(0, 3, 1, 2)
        return flat.view(n, c, height, width)

    def _ending(self, like: Tensor, bias: Tensor | None, activation: int, slope: float) -> Any:
        return Int(is_interleaved(like)), bias, Int(activation), float(slope)

    def bed_of_nails(self, x: Tensor, down: int, right: int, *ending: Any) -> Tensor:
        n, c, height, width = x.shape
        out = self._out(x, n, c, down * height, right * width)
        sizes = (n, c, height, width, down, right)
        self._call("bed_of_nails", _type(x), x, *sizes, *self._ending(x, *ending), self.limit, out)
        return out

    def pixel_shuffle(self, x: Tensor, scale: int, *ending: Any) -> Tensor:
        n, wide, height, width = x.shape
        c = wide // scale**2
        out = self._out(x, n, c, scale * height, scale * width)
        sizes = (n, c, height, width, scale)
        self._call("pixel_shuffle", _type(x), x, *sizes, *self._ending(x, *ending), self.limit, out)
        return out

    def bias_activation(self, x: Tensor, *ending: Any, in_place: bool = False) -> Tensor:
        n, c, height, width = x.shape
        out = x if in_place else self._out(x, *x.shape)
        sizes = (n, c, height * width)
        self._call(
            "bias_activation", _type(x), x, *sizes, *self._ending(x, *ending), self.limit, out
        )
        return out

    def max_unpool2d(
        self, x: Tensor, indices: Tensor, height: int, width: int, *ending: Any
    ) -> Tensor:
        n, c, *sides = x.shape
        out = self._out(x, n, c, height, width)
        assert indices.stride() == x.stride()
        sizes = (n, c, sides[0] * sides[1], height * width)
        end = self._ending(x, *ending)
        self._call("max_unpool2d", _type(x), x, indices, *sizes, *end, self.limit, out)
        return out

    def tap_gather(
        self,
        z: Tensor,
        tables: tuple[Tensor, ...],
        interleaved: bool,
        *ending: Any,
        window: int = 0,
    ) -> Tensor:
        rows, row_weights, columns, column_weights, span = tables
        n, _, _, channels, _, _ = z.shape
        sides = (rows.shape[2], columns.shape[2])
        layout = torch.channels_last if interleaved else torch.contiguous_format
        like = torch.empty((2, 2, 2, 2), dtype=z.dtype).contiguous(memory_format=layout)
        out = self._out(like, n, channels, *sides)
        self._call(
            "tap_gather",
            _type(z),
            z,
            torch.tensor(z.shape),
            torch.tensor(z.stride()),
            *sides,
            rows.shape[1],
            columns.shape[1],
            rows,
            row_weights,
            columns,
            column_weights,
            span,
            *self._ending(like, *ending),
            window,
            out,
        )
        return out


class Int(int):
    """An argument the C side declares as int; plain integers go as int64_t."""


def is_interleaved(x: Tensor) -> bool:
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def _type(x: Tensor) -> Int:
    return Int({torch.float32: 0, torch.float64: 1}[x.dtype])


def _convert(argument: object) -> object:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, float):
        return ctypes.c_double(argument)
    return ctypes.c_int(argument) if isinstance(argument, Int) else ctypes.c_int64(argument)  # type: ignore[arg-type]
