"""VQ-VAE-2 (Razavi et al. 2019): an image as two maps of codes, and PixelCNNs that draw the maps.

First stage: encoders halve the image twice for the bottom map and once more for the top map. The
top is quantized first; decoded, it joins the bottom's features before those are quantized. The
decoder takes both. What is minimized is the squared error and `commitment` times the distance of
the encoders' vectors to their codes; the codebooks follow by themselves (`codebook`).

Second stage, from iteration `code_steps` on: the first stage stands still, and a PixelCNN learns to
predict the top map, given the class where there are classes, another the bottom map, given the top
map too. Images are drawn from these two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gandetect.gans.codebook import Codebook, Quantized, perplexity
from gandetect.gans.config import Config, check_widths
from gandetect.gans.labels import labels_asked, labels_of
from gandetect.gans.model import Batch, GenerativeModel, Phase, Player, Terms, UniformLatents
from gandetect.gans.priors import Prior
from gandetect.gans.two_maps import Decoder, Encoder

_MOST_CODES, _MOST_CLASSES, _MOST_BLOCKS = 8192, 10_000, 16


@dataclass(frozen=True)
class VQVAE2Config(Config):
    """`Config` of VQ-VAE-2.

    `width`: channels of the encoders and the decoder; `blocks`: residual blocks of each. `latent`:
    length of a code, `codes`: their number in each codebook, `decay`: how much of its means a
    codebook keeps in an iteration; codes that have come to fewer than `fewest` vectors begin anew.
    `commitment`: weight of the distance to the codes. `code_steps`: iterations of the first stage;
    the priors have the others, `steps` - `code_steps`.
    `fine_bottom`: whether the bottom map is told, and tells, only what is finer than a cell of the
    top map. Without, its codes alone hold the layout and the top map says little.
    `prior_width`, `prior_blocks`: of both PixelCNNs. `classes`: 0, or the number of classes that
    the priors are given. `rate`: of the first stage, `prior_rate`: of the second.
    """

    latent: int = 32
    up: str = "conv_transpose"
    batch: int = 32
    steps: int = 4000
    ema: float = 0.99
    width: int = 32
    blocks: int = 2
    codes: int = 64
    decay: float = 0.99
    fewest: float = 0.5
    commitment: float = 0.25
    code_steps: int = 2000
    rate: float = 1e-3
    fine_bottom: bool = False
    prior_width: int = 32
    prior_blocks: int = 4
    prior_rate: float = 1e-3
    classes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "prior_width"):
            check_widths(name, (getattr(self, name),))
        most = {"latent": 2048, "codes": _MOST_CODES, "blocks": _MOST_BLOCKS}
        for name, largest in (*most.items(), ("prior_blocks", _MOST_BLOCKS)):
            if not 1 <= getattr(self, name) <= largest:
                raise ValueError(f"{name}={getattr(self, name)} given; want 1 to {largest}")
        if self.size % 8:
            raise ValueError(f"size={self.size} given; want a multiple of 8")
        if self.width < 2:
            raise ValueError(f"width={self.width} given; want at least 2")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay={self.decay} given; want 0 <= decay < 1")
        if self.classes > _MOST_CLASSES:
            raise ValueError(f"classes={self.classes} given; want 0 to {_MOST_CLASSES}")

    def of_steps(self, steps: int) -> VQVAE2Config:
        """The same of another number of iterations, of which the priors have their share."""
        return replace(self, steps=steps, code_steps=max(1, self.code_steps * steps // self.steps))

    @property
    def top(self) -> int:
        """The side of the top map; the bottom's is twice that."""
        return self.size // 8


class VQVAE2(UniformLatents, GenerativeModel):
    name = "vqvae2"
    source = (
        "Razavi, van den Oord, Vinyals, 2019, after the layers of "
        "github.com/rosinality/vq-vae-2-pytorch; 32 channels and 64 codes in `run` for 128 and "
        "512, priors without self-attention; vectors of mean 0 and deviation 1 (Łańcucki et al., "
        "2020), an encoder whose borders are repeated, and a bottom without the mean of each cell "
        "of the top, or the top would say nothing; codes begin at vectors of the first batch, and "
        "anew where they fall out of use"
    )
    Configuration = VQVAE2Config
    presets: ClassVar = {
        "run": VQVAE2Config(fine_bottom=True),
        "smoke": VQVAE2Config(
            size=32,
            latent=8,
            batch=16,
            steps=110,
            ema=0.9,
            width=16,
            blocks=1,
            codes=16,
            decay=0.9,
            code_steps=80,
            rate=5e-3,
            fine_bottom=True,
            prior_width=8,
            prior_blocks=1,
            prior_rate=5e-3,
        ),
    }
    drawn_from: ClassVar[Sequence[str]] = (
        "top_prior",
        "bottom_prior",
        "top_codes",
        "bottom_codes",
        "decoder",
    )
    config: VQVAE2Config

    def __init__(self, config: VQVAE2Config) -> None:
        super().__init__(config)
        self.top_codes = Codebook(config.codes, config.latent, config.decay)
        self.bottom_codes = Codebook(config.codes, config.latent, config.decay)
        shape = (config.codes, config.prior_width, config.prior_blocks, config.classes)
        self.top_prior = Prior(*shape, above=False)
        self.bottom_prior = Prior(*shape, above=True)
        # Last: models of one seed share what does not up-sample.
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self._step = 0

    def at_step(self, step: int) -> None:
        self._step = step
        if step >= self.config.code_steps:
            # The codes that the priors learn stand still.
            self.encoder.eval()

    def players(self) -> dict[str, Player]:
        config = self.config
        return {
            "coder": Player([self.encoder, self.decoder], config.rate),
            "top": Player([self.top_prior], config.prior_rate),
            "bottom": Player([self.bottom_prior], config.prior_rate),
        }

    def phases(self) -> list[Phase]:
        first = self.config.code_steps
        return [
            Phase("coder", "coder", self.coder_terms, end=first),
            Phase("top", "top", self.top_terms, begin=first),
            Phase("bottom", "bottom", self.bottom_terms, begin=first),
        ]

    def coder_terms(self, batch: Batch) -> Terms:
        """The squared error of the first stage; the codebooks follow meanwhile."""
        images = batch["images"]
        bottom, top_vectors = self.encoder(images)
        top = self._followed(self.top_codes, top_vectors)
        low = self._followed(self.bottom_codes, self.encoder.join(bottom, top.vectors))
        error = F.mse_loss(self.decoder(top.vectors, low.vectors).float(), images)
        commitment = top.commitment + low.commitment
        return {
            "loss": error + self.config.commitment * commitment,
            "error": error,
            "commitment": commitment,
            "top_perplexity": perplexity(top.indices, self.config.codes),
            "bottom_perplexity": perplexity(low.indices, self.config.codes),
        }

    def _followed(self, codebook: Codebook, vectors: Tensor) -> Quantized:
        """Vectors quantized by codes that then move towards them.

        In several processes the first one's codes are everybody's.
        """
        # All of them at first: they begin among the vectors, not somewhere far from them.
        codebook.begin_anew(vectors, math.inf if self._step == 0 else self.config.fewest)
        quantized = codebook(vectors)
        codebook.update(vectors, quantized.indices)
        return quantized

    def top_terms(self, batch: Batch) -> Terms:
        """Bits of a code of the top map."""
        top, _ = self.encode(batch["images"])
        return {"loss": self.top_prior.bits(top, labels_of(batch, self.config.classes), None)}

    def bottom_terms(self, batch: Batch) -> Terms:
        """Bits of a code of the bottom map."""
        top, bottom = self.encode(batch["images"])
        labels = labels_of(batch, self.config.classes)
        return {"loss": self.bottom_prior.bits(bottom, labels, top)}

    @torch.no_grad()
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, S, S) to codes of the top (N, S/8, S/8) and the bottom (N, S/4, S/4)."""
        bottom, vectors = self.encoder(images)
        top = self.top_codes(vectors)
        return top.indices, self.bottom_codes(self.encoder.join(bottom, top.vectors)).indices

    def decode(self, top: Tensor, bottom: Tensor) -> Tensor:
        """Codes, as `encode` gives them, to images (N, C, S, S) in -1..1."""
        images: Tensor = self.decoder(
            self.top_codes.look_up(top), self.bottom_codes.look_up(bottom)
        )
        return images

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, S, S) in -1..1, encoded and decoded; deterministic."""
        return self.decode(*self.encode(images))

    def latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Uniform random numbers (count, 5 (S/8)²), one for each code of both maps."""
        return torch.rand(count, 5 * self.config.top**2, generator=rng)

    def draw(
        self, latents: Tensor, *, labels: Tensor | int | None = None, **conditions: Any
    ) -> Tensor:
        """Images (N, C, H, W) in -1..1 from `latents`; deterministic in eval mode.

        `labels`: (N,) or one class for all; where they are not given, the classes in turn. Raises
        ValueError for labels that the model does not have.
        """
        if conditions:
            raise ValueError(f"{self.name} has labels alone; {sorted(conditions)} given")
        wanted = labels_asked(labels, len(latents), self.config.classes, latents.device)
        return self.decode(*self.drawn(latents, wanted))

    @torch.no_grad()
    def drawn(self, latents: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The codes of the top and the bottom that the priors draw from `latents`."""
        side = self.config.top
        at_top, at_bottom = latents.split([side**2, 4 * side**2], dim=1)
        top = self.top_prior.drawn(at_top.unflatten(1, (side, side)), labels, None)
        return top, self.bottom_prior.drawn(
            at_bottom.unflatten(1, (2 * side, 2 * side)), labels, top
        )
