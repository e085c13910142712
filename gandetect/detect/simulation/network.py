"""Small trained generators: what they are made of, how they are kept, how they make an image anew.

An auto-encoder squeezes an image through a code and draws it again; a super-resolver gets it
reduced, and often damaged, and draws it large. Both are trained on photographs by
`gandetect.detect.autoencoders`, so that their kernels are what training makes of kernels.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.random import Generator
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.detect.simulation.delivery import Compression, recompressed
from gandetect.detect.simulation.finishing import matched
from gandetect.detect.simulation.pictures import (
    as_picture,
    as_planes,
    draw_filter,
    padded,
    resized,
)
from gandetect.detect.simulation.upsamplers import MODES
from gandetect.nn import ConvTranspose2d, PixelShuffleConv2d, UpsampleConv2d

TASKS = ("autoencoder", "superresolver")
SKIPS = ("", "nearest", "bilinear", "bicubic")
FORMAT_VERSION = 1
MAX_BYTES = 16 * 2**20
_METADATA_KEY = "gandetect_network"
_MIN_WIDTH = 8
_SLOPE = 0.1


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that decides a network before it is trained.

    `task`: one of TASKS. `mode`: the up-sampler, one of MODES, in each of the stages that enlarge
    by `factors`. `width`: channels at the lowest resolution, halved by every stage. `blocks`:
    residual blocks there. `kernel`: side of the convolution that goes with an up-sampler, 3 or 5.
    `code`: channels of an auto-encoder's code. `skip`: interpolation of a super-resolver's input
    that its output is added to, "" for none. `smoothing`: [1, 3, 3, 1] along both axes after each
    stage. `tanh`: at the end; else clipping alone. `degraded`: a super-resolver's input has noise
    and JPEG in it, which it takes away.

    Of the training, besides the L1 distance: `adversarial`, the weight of a patch discriminator;
    `spectral`, that of the distance of the log spectra.

    Raises ValueError on values without meaning.
    """

    task: str
    mode: str
    factors: tuple[int, ...]
    width: int = 24
    blocks: int = 2
    kernel: int = 3
    code: int = 8
    skip: str = ""
    smoothing: bool = False
    tanh: bool = True
    degraded: bool = False
    adversarial: float = 0.0
    spectral: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))
        for name, known in (("task", TASKS), ("mode", MODES), ("skip", SKIPS), ("kernel", (3, 5))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} given; choose from {known}")
        if not 1 <= len(self.factors) <= 3 or any(f not in (2, 3, 4) for f in self.factors):
            raise ValueError(f"factors {self.factors} given; want one to three of 2, 3 and 4")
        for name, low, high in (("width", 8, 64), ("blocks", 0, 8), ("code", 1, 64)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} {value!r} given; want a number from {low} to {high}")
        for name in ("smoothing", "tanh", "degraded"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} {getattr(self, name)!r} given; want true or false")
        for name in ("adversarial", "spectral"):
            if not 0 <= float(getattr(self, name)) <= 10:
                raise ValueError(f"{name} {getattr(self, name)!r} given; want a weight, 0 to 10")

    @property
    def scale(self) -> int:
        """How many times all stages together enlarge."""
        return math.prod(self.factors)

    def widths(self) -> list[int]:
        """Channels at each resolution, from the lowest to the full."""
        return [max(_MIN_WIDTH, self.width >> stage) for stage in range(len(self.factors) + 1)]


class Network(nn.Module):
    """The layers of a configuration; images (N, 3, H, W) in -1..1 to images, not yet clipped.

    H and W of an auto-encoder are multiples of `config.scale`; a super-resolver multiplies them by
    it.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths()
        encodes = config.task == "autoencoder"
        self.entry = _encoder(config) if encodes else nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(_block(widths[0]) for _ in range(config.blocks))
        stages = zip(config.factors, widths, widths[1:], strict=False)
        self.stages = nn.ModuleList(_stage(config, *stage) for stage in stages)
        self.exit = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.entry(images)
        for block in self.blocks:
            x = x + block(x)
        for stage in self.stages:
            x = stage(x)
            if self.config.smoothing:
                x = _smoothed(x)
        x = self.exit(x)
        if self.config.tanh:
            x = torch.tanh(x)
        if self.config.skip and self.config.task == "superresolver":
            x = x + F.interpolate(images, scale_factor=self.config.scale, mode=self.config.skip)
        return x


class GeneratorNetwork:
    """A trained network and its origin: `seed` and `steps` of the training.

    `id`: of its configuration, origin and weights; the same network has the same id everywhere.
    """

    def __init__(self, module: Network, seed: int, steps: int) -> None:
        self.module = module.eval().requires_grad_(False)
        self.seed, self.steps = seed, steps
        self.id = _digest(self.card(), module.state_dict())[:12]

    @property
    def config(self) -> NetworkConfig:
        """What the network is made of."""
        return self.module.config

    @property
    def modes(self) -> tuple[str, ...]:
        """The up-sampler of each stage, in order."""
        return (self.config.mode,) * len(self.config.factors)

    def card(self) -> dict[str, Any]:
        """Configuration and origin as plain JSON values."""
        config = {**asdict(self.config), "factors": list(self.config.factors)}
        version = FORMAT_VERSION
        return {"version": version, "config": config, "seed": self.seed, "steps": self.steps}

    def regenerated(self, original: Image.Image, rng: Generator) -> Image.Image:
        """`original`, gray or RGB, as the network draws it; of the same size and mode.

        Random are the place on the network's grid and how the input of a super-resolver is made.
        """
        wide, top, left = padded(original.convert("RGB"), self.config.scale, rng)
        images = network_input(wide, self.config, rng)
        with torch.inference_mode():
            drawn = self.module(images[None])[0]
        drawn = matched(drawn, as_planes(wide).float() / 127.5 - 1, rng) * 127.5 + 127.5
        drawn = drawn[:, top : top + original.height, left : left + original.width]
        return as_picture(drawn).convert(original.mode)

    def save(self, folder: str | Path) -> Path:
        """Write the network into `folder`, named by its id, the same bytes every time."""
        path = Path(folder) / f"{self.id}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        document = json.dumps({"id": self.id, **self.card()}, sort_keys=True)
        arrays = {name: value.contiguous() for name, value in self.module.state_dict().items()}
        path.write_bytes(safetensors.torch.save(arrays, {_METADATA_KEY: document}))
        return path


def load_network(path: str | Path) -> GeneratorNetwork:
    """Read what `GeneratorNetwork.save` wrote.

    Raises ValueError where the file is something else, of another version, was changed, or is
    larger than `MAX_BYTES`.
    """
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes; a network has at most {MAX_BYTES}")
    data = path.read_bytes()
    try:
        arrays = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        document = json.loads(header["__metadata__"][_METADATA_KEY])
        return _rebuilt(document, arrays)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path}: not a network that can be used ({error})") from error


def load_bank(folder: str | Path, leave_out: Iterable[str] = ()) -> tuple[GeneratorNetwork, ...]:
    """The networks in `folder` but those whose ids are in `leave_out`, in order of their ids.

    Raises ValueError where there are none, and for an id to leave out that is not there.
    """
    networks = {n.id: n for n in map(load_network, sorted(Path(folder).glob("*.safetensors")))}
    if not networks:
        raise ValueError(f"{folder}: no networks found; recipes/networks.py trains some")
    left_out = set(leave_out)
    if unknown := left_out - set(networks):
        raise ValueError(f"{folder}: no networks {sorted(unknown)}; there are {sorted(networks)}")
    return tuple(networks[name] for name in sorted(networks) if name not in left_out)


def network_input(picture: Image.Image, config: NetworkConfig, rng: Generator) -> Tensor:
    """What a network of `config` gets to draw the RGB `picture` from: (3, H, W) in -1..1.

    The sides of the picture are multiples of `config.scale`.
    """
    if config.task == "superresolver":
        picture = resized(picture, picture.width // config.scale, draw_filter(rng))
        if config.degraded:
            picture = _degraded(picture, rng)
    return as_planes(picture).float() / 127.5 - 1


def _degraded(picture: Image.Image, rng: Generator) -> Image.Image:
    """`picture` with white noise and, half of the time, JPEG."""
    noise = rng.uniform(0, 10) * rng.standard_normal((picture.height, picture.width, 3))
    noisy = Image.fromarray((np.asarray(picture) + noise).round().clip(0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        return noisy
    return recompressed(noisy, Compression("jpeg", int(rng.integers(40, 96))))


def _rebuilt(document: Mapping[str, Any], arrays: dict[str, Tensor]) -> GeneratorNetwork:
    if document["version"] != FORMAT_VERSION:
        raise ValueError(f"version {document['version']}; this gandetect reads {FORMAT_VERSION}")
    module = Network(NetworkConfig(**document["config"]))
    if any(array.dtype != torch.float32 for array in arrays.values()):
        raise ValueError("weights are not float32")
    if not all(torch.isfinite(array).all() for array in arrays.values()):
        raise ValueError("weights are not finite")
    module.load_state_dict(arrays)
    network = GeneratorNetwork(module, int(document["seed"]), int(document["steps"]))
    if network.id != document["id"]:
        raise ValueError("its content was changed after it was saved")
    return network


def _digest(card: dict[str, Any], arrays: Mapping[str, Tensor]) -> str:
    contiguous = {name: array.contiguous() for name, array in arrays.items()}
    written = json.dumps(card, sort_keys=True).encode() + safetensors.torch.save(contiguous)
    return hashlib.sha256(written).hexdigest()


def _activation() -> nn.Module:
    return nn.LeakyReLU(_SLOPE)


def _encoder(config: NetworkConfig) -> nn.Module:
    """To the lowest resolution by strided convolutions, through the code."""
    widths = config.widths()[::-1]
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, padding=1), _activation()]
    stages = zip(config.factors[::-1], widths, widths[1:], strict=False)
    for factor, narrow, wide in stages:
        layers += [nn.Conv2d(narrow, wide, factor + 2, factor, padding=1), _activation()]
    code = nn.Conv2d(widths[-1], config.code, 1)
    return nn.Sequential(*layers, code, nn.Conv2d(config.code, widths[-1], 3, padding=1))


def _block(width: int) -> nn.Module:
    convolutions = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
    return nn.Sequential(next(convolutions), _activation(), next(convolutions))


def _stage(config: NetworkConfig, factor: int, wide: int, narrow: int) -> nn.Module:
    """Up-sampling by `factor` with its convolution and activation."""
    margin = config.kernel // 2
    ending: dict[str, Any] = {"activation": "leaky_relu", "negative_slope": _SLOPE}
    if config.mode == "transposed":
        return ConvTranspose2d(wide, narrow, factor + 2 * margin, factor, margin, **ending)
    if config.mode == "pixel_shuffle":
        channels = narrow * factor**2
        return PixelShuffleConv2d(
            wide, channels, config.kernel, padding=margin, scale=factor, **ending
        )
    # A kernel over the zeros between the samples has to reach a sample from everywhere.
    side = max(config.kernel, 2 * factor - 1) if config.mode == "bed_of_nails" else config.kernel
    return UpsampleConv2d(
        wide, narrow, side, padding=side // 2, scale=factor, mode=config.mode, **ending
    )


def _smoothed(x: Tensor) -> Tensor:
    """[1, 3, 3, 1] / 8 along both axes of each channel; of equal size."""
    line = x.new_tensor([1, 3, 3, 1]) / 8
    weight = torch.outer(line, line).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (1, 2, 1, 2), mode="replicate"), weight, groups=x.shape[1])
