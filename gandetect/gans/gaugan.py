"""GauGAN (Park et al. 2019): images painted after label maps, by spatially adaptive norms.

The generator begins with a latent, which an encoder of the real image gives in training, or with
`latent` = 0 with the label map made small. Two discriminators look at patches of map and image
together, at full size and at half; the generator also matches their features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.config import check_widths
from gandetect.gans.losses import LOSSES
from gandetect.gans.maps import MOST_KINDS
from gandetect.gans.model import Batch, GenerativeModel, Phase, Player, Terms
from gandetect.gans.patch_discriminator import PatchDiscriminator, begin_, check_patches
from gandetect.gans.spade import SpadeBlock, layout_of
from gandetect.gans.translation import TranslationConfig
from gandetect.gans.upsampling import INTERPOLATIONS, up_conv, up_sample

_START, _SLOPE, _MOST_HIDDEN = 8, 0.2, 512
Features = list[list[Tensor]]


@dataclass(frozen=True)
class GauGANConfig(TranslationConfig):
    """`TranslationConfig` of GauGAN.

    `kinds`: labels of the maps, 0 to `kinds` - 1. `widths`: the generator's channels at 8x8 and
    after each doubling. `hidden`: channels between map and norm. `latent`: 0 to begin with the
    map; more for an encoder, of `encoder_widths`, each of which halves the size. `matching`, `kl`:
    weights of feature matching and of the encoder's divergence.
    """

    latent: int = 32
    batch: int = 8
    steps: int = 3000
    loss: str = "hinge"
    rate: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.9)
    d_factor: float = 2.0
    kinds: int = 8
    widths: tuple[int, ...] = (128, 64, 32, 16)
    hidden: int = 16
    encoder_widths: tuple[int, ...] = (16, 32, 64, 64)
    matching: float = 10.0
    kl: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("widths", self.widths)
        check_widths("encoder_widths", self.encoder_widths)
        ups = len(self.widths) - 1
        if ups < 1 or self.size != _START << ups:
            raise ValueError(
                f"{len(self.widths)} widths give images of {_START << max(ups, 0)} pixels; "
                f"size={self.size} given, want 16 or more"
            )
        if not 1 <= self.kinds <= MOST_KINDS or not 1 <= self.hidden <= _MOST_HIDDEN:
            raise ValueError(
                f"kinds={self.kinds}, hidden={self.hidden} given; want 1 to {MOST_KINDS} labels "
                f"and 1 to {_MOST_HIDDEN} channels"
            )
        if self.size >> len(self.encoder_widths) < 2:
            raise ValueError(
                f"encoder_widths={self.encoder_widths} given; {self.size} pixels cannot be halved "
                "so often"
            )
        # The second discriminator sees half of the size.
        check_patches(self.size // 2, self.d_width, self.d_downs)


class Enlarge(nn.Module):
    """(N, channels, H, W) to (N, channels, 2H, 2W), without weights where the mode has none."""

    def __init__(self, channels: int, up: str) -> None:
        super().__init__()
        self.up = up
        weightless = up in (*INTERPOLATIONS, "bed_of_nails")
        self.layer = None if weightless else up_conv(channels, channels, up, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = up_sample(x, self.up) if self.layer is None else self.layer(x)
        return y


class Generator(nn.Module):
    """Latents (N, latent) and label maps (N, S, S) to images (N, C, S, S)."""

    def __init__(self, config: GauGANConfig) -> None:
        super().__init__()
        widths, kinds, hidden = config.widths, config.kinds, config.hidden
        self.kinds = kinds
        self.dense = nn.Linear(config.latent, _START**2 * widths[0]) if config.latent else None
        self.read = None if config.latent else nn.Conv2d(kinds, widths[0], 3, padding=1)
        self.first = SpadeBlock(widths[0], widths[0], kinds, hidden)
        ups = [config.up] * (len(widths) - 2) + [config.last]
        self.enlarge = nn.ModuleList(map(Enlarge, widths, ups))
        self.blocks = nn.ModuleList(
            SpadeBlock(wide, narrow, kinds, hidden) for wide, narrow in pairwise(widths)
        )
        self.image = nn.Conv2d(widths[-1], config.channels, 3, padding=1)
        begin_(self.image)

    def forward(self, latents: Tensor, maps: Tensor) -> Tensor:
        layout = layout_of(maps, self.kinds, _START)
        x: Tensor
        if self.dense is not None:
            x = self.dense(latents).unflatten(1, (-1, _START, _START))
        elif self.read is not None:
            x = self.read(layout)
        x = self.first(x, layout)
        for enlarge, block in zip(self.enlarge, self.blocks, strict=True):
            x = enlarge(x)
            x = block(x, layout_of(maps, self.kinds, x.shape[-1]))
        images: Tensor = self.image(F.leaky_relu(x, _SLOPE)).tanh()
        return images


class Encoder(nn.Module):
    """Images (N, C, S, S) to mean and logarithm of the variance of their latents, (N, latent)."""

    def __init__(self, config: GauGANConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((config.channels, *config.encoder_widths)):
            convolution = nn.Conv2d(narrow, wide, 4, 2, 1, bias=False)
            layers += [convolution, nn.InstanceNorm2d(wide), nn.LeakyReLU(_SLOPE)]
        side = config.size >> len(config.encoder_widths)
        values = config.encoder_widths[-1] * side**2
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(values, 2 * config.latent))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.layers(images).float().chunk(2, dim=1)
        return mean, log_variance


class Discriminator(nn.Module):
    """Images and layouts to what every layer of the two scales makes of them, logits last."""

    def __init__(self, config: GauGANConfig) -> None:
        super().__init__()
        inputs = config.channels + config.kinds
        self.fine, self.coarse = (
            PatchDiscriminator(inputs, config.d_width, config.d_downs, spectral=True)
            for _ in range(2)
        )

    def forward(self, images: Tensor, layout: Tensor) -> Features:
        whole = torch.cat((layout, images), dim=1)
        half = F.avg_pool2d(whole, 3, 2, 1, count_include_pad=False)
        return [self.fine.features(whole), self.coarse.features(half)]


def feature_matching(generated: Features, real: Features) -> Tensor:
    """L1 distance of all layers but the logits, summed over layers, the mean over scales."""
    sums = [
        torch.stack([F.l1_loss(a, b) for a, b in zip(ours[:-1], theirs[:-1], strict=True)]).sum()
        for ours, theirs in zip(generated, real, strict=True)
    ]
    return torch.stack(sums).mean()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) ‖ N(0, 1)), summed over the latent, the mean over the batch."""
    each = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * each.sum(dim=1).mean()


class GauGAN(GenerativeModel):
    name = "gaugan"
    learns_from: ClassVar = "maps"
    source = (
        "Park, Liu, Wang, Zhu, 2019; channels of `run` are an eighth of the paper's, three "
        "doublings from 8x8 for six from 4x4, 16 channels between map and norm for 128, Adam 2e-4 "
        "and 4e-4 for its 1e-4 and 4e-4; without the perceptual loss, which needs weights of "
        "others; the divergence is a mean over the batch; without synchronized batch norm"
    )
    Configuration = GauGANConfig
    presets: ClassVar = {
        "run": GauGANConfig(),
        "smoke": GauGANConfig(
            size=32,
            latent=8,
            kinds=4,
            widths=(16, 8, 8),
            hidden=8,
            encoder_widths=(8, 16, 16),
            d_width=8,
            batch=8,
            rate=1e-3,
            steps=60,
            ema=0.9,
        ),
    }
    config: GauGANConfig

    def __init__(self, config: GauGANConfig) -> None:
        super().__init__(config)
        # First, so that models of one seed start with the same one, whatever they up-sample with.
        self.discriminator = Discriminator(config)
        self.encoder = Encoder(config) if config.latent else None
        # Running averages of batch norm's moments are averaged once more for drawing, as they
        # should be; the count of batches beside them is not used.
        self.generator = Generator(config)

    def players(self) -> Mapping[str, Player]:
        config = self.config
        painters = [self.generator] if self.encoder is None else [self.generator, self.encoder]
        rate = config.rate * config.d_factor
        return {
            "discriminator": Player([self.discriminator], rate, config.betas),
            "generator": Player(painters, config.rate, config.betas),
        }

    def phases(self) -> list[Phase]:
        return [
            Phase("discriminator", "discriminator", self.discriminator_terms),
            Phase("generator", "generator", self.generator_terms),
        ]

    def discriminator_terms(self, batch: Batch) -> Terms:
        """Both scales on real images and on images painted after the same maps."""
        images, maps = batch["images"], self._checked(batch.get("maps"), len(batch["images"]))
        with torch.no_grad():
            painted, _ = self._painted(images, maps)
        layout = layout_of(maps, self.config.kinds, self.config.size)
        on_real = [one[-1] for one in self.discriminator(images, layout)]
        on_painted = [one[-1] for one in self.discriminator(painted, layout)]
        judge = LOSSES[self.config.loss].discriminator
        losses = [judge(a, b) for a, b in zip(on_real, on_painted, strict=True)]
        return {
            "loss": torch.stack(losses).mean(),
            "real": on_real[0].mean(),
            "generated": on_painted[0].mean(),
        }

    def generator_terms(self, batch: Batch) -> Terms:
        """Deceive both scales, match their features, keep latents normal."""
        config = self.config
        images, maps = batch["images"], self._checked(batch.get("maps"), len(batch["images"]))
        painted, kl = self._painted(images, maps)
        layout = layout_of(maps, config.kinds, config.size)
        found = self.discriminator(painted, layout)
        with torch.no_grad():
            wanted = self.discriminator(images, layout)
        deceive = LOSSES[config.loss].generator
        adversarial = torch.stack([deceive(one[-1]) for one in found]).mean()
        matching = feature_matching(found, wanted)
        terms = {"adversarial": adversarial, "matching": matching}
        loss = adversarial + config.matching * matching
        if kl is not None:
            terms["kl"] = kl
            loss = loss + config.kl * kl
        return {"loss": loss, **terms}

    def _painted(self, images: Tensor, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images after `maps` with the latents of `images`, and the latents' divergence."""
        if self.encoder is None:
            return self.generator(images, maps), None
        mean, log_variance = self.encoder(images)
        latents = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.generator(latents, maps), divergence(mean, log_variance)

    def conditions(self, batch: Batch) -> dict[str, Tensor]:
        return {"maps": self._checked(batch.get("maps"), len(batch["images"]))}

    def latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        return torch.randn(count, self.config.latent, generator=rng)

    def draw(self, latents: Tensor, *, maps: Tensor | None = None, **conditions: Any) -> Tensor:
        """Images (N, C, S, S) in -1..1 after label maps (N, S, S), deterministic in eval mode."""
        if conditions:
            raise ValueError(f"gaugan has no {sorted(conditions)}; it has maps")
        wanted = self._checked(maps, len(latents))
        images: Tensor = self.generator(latents, wanted.to(latents.device))
        return images

    def _checked(self, maps: Tensor | None, count: int) -> Tensor:
        """`maps`; ValueError where they are not label maps of `count` images of this model."""
        shape, kinds = (count, self.config.size, self.config.size), self.config.kinds
        wanted = f"want label maps {shape} of whole numbers from 0 to {kinds - 1}"
        if not isinstance(maps, Tensor):
            raise ValueError(f"gaugan paints after maps, and there are none; {wanted}")
        if maps.shape != shape or maps.is_floating_point():
            raise ValueError(f"maps of shape {tuple(maps.shape)} {maps.dtype} given; {wanted}")
        if not 0 <= int(maps.min()) <= int(maps.max()) < kinds:
            raise ValueError(f"maps from {int(maps.min())} to {int(maps.max())} given; {wanted}")
        return maps
