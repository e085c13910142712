"""What trains a generator to leave less of a trace in the power spectrum, and what measures it.

Images are (N, 1 or 3, S, S) in -1..1, as generators make them. Profiles are those of (x + 1)/2,
since the conventions of the literature are of 0..1. Everything can be differentiated to any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gandetect import ops
from gandetect.ops.conventions import CONVENTIONS, PROJECTIONS, member

FORMS = ("log", "durall")
CHANNELS = ("gray", "each")
D_FORMS = ("nonlinear", "linear")
# A profile scaled into 0..1 always reaches both ends, where the cross entropy has no derivative.
_END = 1e-4


def rounding_power(height: int, width: int) -> float:
    """E|F|² of what rounding to 8 bits does to an image in 0..1: H W / (12 255²).

    Rounding adds an error that is even between -1/2 and 1/2 of a gray level, at all frequencies
    alike. Fainter coefficients are lost in any image file.
    """
    return height * width / (12 * 255**2)


def log_mean_profiles(
    images: Tensor,
    projections: Sequence[str] = ("azimuthal",),
    *,
    channels: str = "gray",
    floor: float | None = None,
) -> list[Tensor]:
    """ln(mean power of all images + floor) at each radius, row or column.

    One (1, K) for each of `projections` (as in `ops.spectral_profile`), (C, K) with
    `channels="each"`. `images`: (N, 1 or 3, S, S) in -1..1. `floor`: None is `rounding_power`.
    """
    faintest = rounding_power(*images.shape[-2:]) if floor is None else floor
    found = _profiles(images, "centered", projections, channels)
    return [torch.log(one.mean(dim=0) + faintest) for one in found]


def spectral_l1(generated: Tensor, real: Tensor) -> Tensor:
    """Sum over radii of |mean `jung` profile of generated - that of real|, a scalar.

    What Jung and Keuper (2021) watch while a generator trains. Both (N, 1 or 3, S, S) in -1..1.
    """
    profiles = [_jung(images).mean(dim=0) for images in (generated, real)]
    return (profiles[0] - profiles[1]).abs().sum()


class SpectralLoss(nn.Module):
    """How far the spectra of a batch of generated images are from those of a batch of real ones.

    ``loss(generated, real)`` is a scalar. Its gradient goes into both; the regularizer of the
    published code has none, since it computes the profiles outside of autograd.

    ========  ===================================================================================
    form      loss
    ========  ===================================================================================
    log       ``mean_k (g_k - r_k)²`` with ``g_k, r_k = ln(A_k + floor)``, A_k the mean power at
              radius k over the batch of generated or of real images. Smooth; 0 for equal batches
    durall    ``-mean_k [a_k ln b_k + (1 - a_k) ln(1 - b_k)]``, the mean over generated images:
              a is the mean profile of the real images, b that of one generated, both scaled by
              their own minimum and maximum into 0..1 (Durall et al. 2020, as their paper states
              it). It has kinks where the minimum or maximum moves to another radius. Its least
              value is the entropy of a, not 0
    ========  ===================================================================================

    Parameters
    ----------
    form : "log" or "durall".
    projections : for "log", any of "azimuthal", "rows", "columns"; their losses are averaged. Rows
        and columns hold what up-sampling leaves on the axes, which circles spread thin.
    channels : "gray" compares ``.299 R + .587 G + .114 B``, which is what detectors read; "each"
        compares every channel by itself, so that nothing can hide in the color.
    floor : for "log", a power; None is `rounding_power` of the images' size: what is fainter cannot
        be seen in an image file, and its log would have the steepest gradient of all.
    convention : of the profiles of "durall", one of `ops.CONVENTIONS`.

    Raises ValueError for unknown names and for images that are no (N, 1 or 3, S, S), TypeError for
    images that are not floating.
    """

    def __init__(
        self,
        form: str = "log",
        *,
        projections: Sequence[str] = ("azimuthal",),
        channels: str = "gray",
        floor: float | None = None,
        convention: str = "durall",
    ) -> None:
        super().__init__()
        self.form = member("form", form, FORMS)
        if not projections:
            raise ValueError(f"projections is empty; want some of {PROJECTIONS}")
        self.projections = tuple(member("projections", one, PROJECTIONS) for one in projections)
        self.channels = member("channels", channels, CHANNELS)
        self.convention = member("convention", convention, tuple(CONVENTIONS))
        if floor is not None and not floor > 0:
            raise ValueError(f"floor={floor} given; want a power above 0, or None")
        self.floor = floor

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        _check(generated)
        _check(real)
        if generated.shape[1:] != real.shape[1:]:
            raise ValueError(
                f"generated images of {_told(generated)} and real ones of {_told(real)} given; "
                "want the same channels and sides"
            )
        return (self._squares if self.form == "log" else self._cross_entropy)(generated, real)

    def _squares(self, generated: Tensor, real: Tensor) -> Tensor:
        g, r = (
            log_mean_profiles(images, self.projections, channels=self.channels, floor=self.floor)
            for images in (generated, real)
        )
        squares = [(one - other).square().mean() for one, other in zip(g, r, strict=True)]
        return torch.stack(squares).mean()

    def _cross_entropy(self, generated: Tensor, real: Tensor) -> Tensor:
        b, profiles = (
            _profiles(images, self.convention, ("azimuthal",), self.channels, "none")[0]
            for images in (generated, real)
        )
        a, b = _scaled(profiles.mean(dim=0)), _scaled(b).clamp(_END, 1 - _END)
        return -(a * b.log() + (1 - a) * (1 - b).log()).mean()

    def extra_repr(self) -> str:
        return f"{self.form!r}, projections={self.projections}, channels={self.channels!r}"


class SpectralDiscriminator(nn.Module):
    """A discriminator that sees the spectrum alone (Jung and Keuper 2021); high is real.

    Images (N, 1 or 3, size, size) in -1..1 to logits (N,): the `jung` profile of (x + 1)/2, V
    values, then one linear layer (`form="linear"`) or V to V, LeakyReLU 0.2 and V to 1
    ("nonlinear"). The profile is scaled by its own minimum and maximum, so that contrast cancels.
    The published loop gives generated images in -1..1 but real ones in 0..1, which moves the mean
    brightness and with it the whole scale; here both are mapped alike.

    Raises ValueError for another size, TypeError for images that are not floating.
    """

    def __init__(self, size: int, form: str = "nonlinear") -> None:
        super().__init__()
        self.size, self.form = size, member("form", form, D_FORMS)
        bins = ops.profile_length(size, size, "jung")
        hidden = [nn.Linear(bins, bins), nn.LeakyReLU(0.2)] if form == "nonlinear" else []
        self.layers = nn.Sequential(*hidden, nn.Linear(bins, 1))

    def forward(self, images: Tensor) -> Tensor:
        _check(images)
        if images.shape[-2:] != (self.size, self.size):
            height, width = images.shape[-2:]
            raise ValueError(f"images of {height}x{width} given; want {self.size}x{self.size}")
        logits: Tensor = self.layers(_jung(images))
        return logits[:, 0]

    def extra_repr(self) -> str:
        return f"{self.size}, {self.form!r}"


def _check(images: Tensor) -> None:
    if not images.is_floating_point():
        raise TypeError(f"images of {images.dtype} given; want floating values in -1..1")
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images of shape {tuple(images.shape)} given; want (N, 1 or 3, S, S)")


def _told(images: Tensor) -> str:
    return "x".join(str(side) for side in images.shape[1:])


def _profiles(
    images: Tensor,
    convention: str,
    projections: Sequence[str] = ("azimuthal",),
    channels: str = "gray",
    normalize: str | None = None,
) -> list[Tensor]:
    """Profiles (N, 1 or C, K) of `images` in -1..1, mapped to 0..1."""
    _check(images)
    count = images.shape[1] if channels == "each" else 1
    unit = (images + 1) / 2
    planes = unit.flatten(0, 1).unsqueeze(1) if channels == "each" else unit
    found = ops.spectral_profile(planes, convention, projections=projections, normalize=normalize)
    return [
        one.unflatten(0, (-1, count)) for one in (found if isinstance(found, tuple) else [found])
    ]


def _jung(images: Tensor) -> Tensor:
    """`jung` profiles (N, V) of images in -1..1."""
    return _profiles(images, "jung")[0][:, 0]


def _scaled(profiles: Tensor) -> Tensor:
    """Each profile (..., K) by its own minimum and maximum into 0..1; a flat one becomes 0."""
    lowest = profiles.amin(-1, keepdim=True)
    span = profiles.amax(-1, keepdim=True) - lowest
    return (profiles - lowest) / torch.where(span == 0, 1.0, span)
