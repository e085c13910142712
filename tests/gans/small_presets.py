"""Every model small: its smoke preset with all of its phases in the first iterations, and data."""

from dataclasses import replace

import torch
from tiny_runs import tiny_images

from gandetect.gans import Images, preset


def small(name, steps, **changes):
    """The smoke preset of `steps` iterations of 4 images, in which nothing comes late."""
    config = preset(name, "smoke")
    early = {"batch": 4, "r1_every": 1, "path_every": 1, "code_steps": 1, "steps": steps, **changes}
    return replace(config, **{key: v for key, v in early.items() if hasattr(config, key)})


def images_for(config):
    """Smooth images as `config` wants them, of six photographs, with labels."""
    found = tiny_images(24, config.size, config.channels)
    labels = torch.arange(24) % max(getattr(config, "classes", 0), 1)
    sources = [f"photo{n // 4}" for n in range(24)]
    return Images(found.images, found.card(), labels, sources=sources)
