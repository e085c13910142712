"""The real images of each world: squares of photographs, as its models see them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gandetect.experiments.families.plan import Options, World
from gandetect.experiments.families.training import configuration
from gandetect.gans import Config, Images
from gandetect.ops.reference import gray_planes


def worlds_of(options: Options) -> dict[World, list[str]]:
    """The families by the world that their presets, or what is loaded, put them in, the first
    one's first."""
    found: dict[World, list[str]] = {}
    for name in options.ordered:
        found.setdefault(world_of(configuration(name, options)), []).append(name)
    return found


def world_of(config: Config) -> World:
    """The world of a configuration; one with `levels` paints in so many."""
    return World(config.size, config.channels, int(getattr(config, "levels", 256)))


def in_world(parts: Mapping[str, Images], world: World) -> dict[str, Images]:
    """Squares in color, of the world's size, as it has them."""
    return {name: _converted(part, world) for name, part in parts.items()}


def _converted(images: Images, world: World) -> Images:
    if world.channels == 3 and world.levels == 256:
        return images
    pixels = torch.cat([_pixels(part, world) for part in images.images.split(1024)])
    card = {**images.card(), "kind": world.name}
    return Images(pixels, card, sources=images.sources, failed=images.failed)


def _pixels(images: Tensor, world: World) -> Tensor:
    gray = world.channels == 1
    values = gray_planes(images, True, torch.float32)[:, None] if gray else images.float()
    if world.levels < 256:
        steps = world.levels - 1
        values = (values / 255 * steps).round() / steps * 255
    return values.round().clamp(0, 255).to(torch.uint8)
